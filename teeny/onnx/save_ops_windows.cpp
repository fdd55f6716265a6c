// Operations that look at windows of an image.
#include "teeny/functional/functional.h"
#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

namespace {

/// Whether one of the last n axes is open. Throws where all the sizes that were tried give as many windows: larger ones
/// would give more, and what follows would be written for these.
bool is_open_image(const SavedCall& call, int n) {
  bool open = false;
  const Ints from = call.shape(), to = call.wants(0) ? call.result_shape() : from;
  for (int i = 1; i <= n; ++i) {
    const Int &before = from[from.size() - size_t(i)], &after = to[to.size() - size_t(i)];
    if (before.is_open() && !after.is_open())
      call.refuse(text("it makes ", after[0], " of each of the sizes ", before[0], ", ", before[1], " and ", before[2],
                       " along an open axis; give a larger example"));
    open |= before.is_open();
  }
  return open;
}

/// What a convolution and a pooling say alike; what ONNX takes for granted is left out.
NodeAttributes window_attributes(const SavedCall& call, const Dims& padding_end) {
  const Dims stride = call.dims("stride"), dilation = call.dims("dilation");
  const int n = stride.size();
  (void)is_open_image(call, n);
  Dims pads = call.dims("padding");
  for (int64_t end : padding_end) pads.push_back(end);
  NodeAttributes attributes;
  if (dilation != Dims::filled(n, 1)) attributes.emplace_back("dilations", dilation);
  if (pads != Dims::filled(2 * n, 0)) attributes.emplace_back("pads", pads);
  if (stride != Dims::filled(n, 1)) attributes.emplace_back("strides", stride);
  return attributes;
}

/// A pooling. A last window that hangs over the end is what ceil_mode says, but not where it is longer than the image:
/// there the end is padded.
NodeAttributes pool_attributes(const SavedCall& call, bool counts_padding = false) {
  const Dims window = call.dims("window"), stride = call.dims("stride"), dilation = call.dims("dilation");
  const Dims before = call.dims("padding");
  Dims after = call.dims("padding_end");
  // Where the size is known, so is whether the last window reaches beyond the padding.
  const bool hangs_over = call.flag(is_open_image(call, window.size()) ? "ceil_mode" : "hangs_over");
  bool fits = true, pads = false;
  for (int a = 0; hangs_over && a < window.size(); ++a) {
    const size_t axis = size_t(call.rank() - window.size() + a);
    const Int in = call.shape()[axis], out = call.result_shape(call.wants(0) ? 0 : 1)[axis];
    const int64_t reach = dilation[a] * (window[a] - 1) + 1;
    fits &= in.is_open() || reach <= in[0] + before[a] + after[a];
    pads |= before[a] + after[a] > 0;
    if (!in.is_open()) after[a] = std::max(after[a], (out[0] - 1) * stride[a] + reach - in[0] - before[a]);
  }
  if (!fits && pads && counts_padding) call.refuse("a window is longer than the image, and counts padding");
  NodeAttributes attributes = window_attributes(call, fits ? call.dims("padding_end") : after);
  attributes.emplace_back("kernel_shape", window);
  if (hangs_over && fits) attributes.emplace_back("ceil_mode", 1);
  if (counts_padding && fits) attributes.emplace_back("count_include_pad", 1);
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

Names conv_transpose(SavedCall& call) {
  const DType type = call.result_dtype();
  NodeAttributes attributes = window_attributes(call, call.dims("padding_end"));
  const Dims more = call.dims("output_padding");
  if (more != Dims::filled(more.size(), 0)) attributes.emplace_back("output_padding", more);
  if (call.integer("groups") != 1) attributes.emplace_back("group", call.integer("groups"));
  std::vector<Name> inputs{call.x(0, type), call.x(1, type)};
  if (call.has(2)) inputs.push_back(call.x(2, type));
  return call.node("ConvTranspose", inputs, attributes);
}

void check_pooled(const SavedCall& call) {
  if (is_int(call.dtype()) && call.dtype() != DType::UInt8)
    call.refuse("MaxPool is for floats and 8-bit integers; cast to a float");
}

/// ONNX counts positions from the first element of the batch, teeny from that of each image.
Names max_pool_with_indices(SavedCall& call) {
  check_pooled(call);
  const int spatial = call.dims("window").size();
  Names made = with_batch(call, spatial, "MaxPool", pool_attributes(call), 2);
  Int size = 1;
  const Ints shape = call.shape();
  for (size_t a = shape.size() - size_t(spatial); a < shape.size(); ++a) size = size * shape[a];
  made[1] = call.node("Mod", {made[1], size.is_open() ? call.integers(Ints{size}) : call.scalar(size[0], DType::Int64)});
  return made;
}

/// Windows that lie side by side.
Names adaptive_avg_pool(SavedCall& call) {
  const Dims out = call.dims("size");
  if (out == Dims{1, 1}) return with_batch(call, 2, "GlobalAveragePool", {}, 1);
  const Ints shape = call.shape();
  Dims window;
  for (int a = 0; a < 2; ++a) {
    const Int size = shape[shape.size() - 2 + size_t(a)];
    if (size.is_open()) call.refuse("a window would be a share of an axis that is open");
    window.push_back(size[0] / out[a]);
  }
  return with_batch(call, 2, "AveragePool", {{"strides", window}, {"kernel_shape", window}}, 1);
}

/// Every window over the last axes: a table of positions for each of them.
Names windows_of(SavedCall& call) {
  const Dims window = call.dims("window"), step = call.dims("step"), dilation = call.dims("dilation");
  const int n = window.size(), first = call.rank() - n;
  Name x = call.x();
  Dims order = range(0, first);
  for (int a = 0; a < n; ++a) {
    const Int count = call.result_shape()[size_t(first + a)];
    if (count.is_open()) call.refuse("its positions are a table, and the axis is open");
    const Tensor begin = (Tensor::arange(count[0]) * step[a]).unsqueeze(-1);
    const Name table = call.constant(begin + Tensor::arange(window[a]) * dilation[a], "windows");
    x = call.node("Gather", {x, table}, {{"axis", first + 2 * a}});
    order.push_back(first + 2 * a);
  }
  for (int a = 0; a < n; ++a) order.push_back(first + 2 * a + 1);
  return call.transpose(x, order);
}

}  // namespace

void add_save_windows(SaveOps& ops) {
  ops["conv"] = [](SavedCall& call) -> Names {
    const DType type = call.result_dtype();
    NodeAttributes attributes = window_attributes(call, call.dims("padding_end"));
    if (call.integer("groups") != 1) attributes.emplace_back("group", call.integer("groups"));
    std::vector<Name> inputs{call.x(0, type), call.x(1, type)};
    if (call.has(2)) inputs.push_back(call.x(2, type));
    return call.node("Conv", inputs, attributes);
  };
  ops["conv_transpose"] = conv_transpose;
  ops["max_pool"] = [](SavedCall& call) -> Names {
    check_pooled(call);
    return with_batch(call, call.dims("window").size(), "MaxPool", pool_attributes(call), 1);
  };
  ops["max_pool_with_indices"] = max_pool_with_indices;
  ops["avg_pool"] = [](SavedCall& call) -> Names {
    return with_batch(call, call.dims("window").size(), "AveragePool", pool_attributes(call, call.flag("include_pad")),
                      1);
  };
  ops["adaptive_avg_pool2d"] = adaptive_avg_pool;
  ops["windows"] = windows_of;
}

}  // namespace teeny::onnx
