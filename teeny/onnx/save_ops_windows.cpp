// Operations that look at windows of an image.
#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

namespace {

/// What a convolution and a pooling say alike; what ONNX takes for granted is left out.
NodeAttributes window_attributes(const SavedCall& call) {
  const Dims stride = call.dims("stride"), dilation = call.dims("dilation");
  const int n = stride.size();
  Dims pads = call.dims("padding");
  for (int64_t end : call.dims("padding_end")) pads.push_back(end);
  NodeAttributes attributes;
  if (dilation != Dims::filled(n, 1)) attributes.emplace_back("dilations", dilation);
  if (pads != Dims::filled(2 * n, 0)) attributes.emplace_back("pads", pads);
  if (stride != Dims::filled(n, 1)) attributes.emplace_back("strides", stride);
  return attributes;
}

/// An image (C, H, W) gets the axis of the batch, which the result loses again.
Names with_batch(SavedCall& call, int spatial, std::string_view op, const NodeAttributes& attributes, int results) {
  const bool alone = call.rank() == spatial + 1;
  Names made = call.nodes(op, {alone ? call.unsqueeze(call.x(), {0}) : call.x()}, attributes, results);
  for (Name& name : made)
    if (alone) name = call.squeeze(name, {0});
  return made;
}

}  // namespace

void add_save_windows(SaveOps& ops) {
  ops["conv"] = [](SavedCall& call) -> Names {
    const DType type = call.result_dtype();
    NodeAttributes attributes = window_attributes(call);
    if (call.integer("groups") != 1) attributes.emplace_back("group", call.integer("groups"));
    std::vector<Name> inputs{call.x(0, type), call.x(1, type)};
    if (call.has(2)) inputs.push_back(call.x(2, type));
    return call.node("Conv", inputs, attributes);
  };
  ops["max_pool"] = [](SavedCall& call) -> Names {
    NodeAttributes attributes = window_attributes(call);
    const Dims window = call.dims("window");
    attributes.emplace_back("kernel_shape", window);
    if (call.flag("hangs_over")) attributes.emplace_back("ceil_mode", 1);
    return with_batch(call, window.size(), "MaxPool", attributes, 1);
  };
}

}  // namespace teeny::onnx
