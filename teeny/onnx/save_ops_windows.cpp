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
NodeAttributes window_attributes(const SavedCall& call, const Dims& before, const Dims& after) {
  const Dims stride = call.dims("stride"), dilation = call.dims("dilation");
  const int n = stride.size();
  (void)is_open_image(call, n);
  Dims pads = before;
  for (int64_t end : after) pads.push_back(end);
  NodeAttributes attributes;
  if (dilation != Dims::filled(n, 1)) attributes.emplace_back("dilations", dilation);
  if (pads != Dims::filled(2 * n, 0)) attributes.emplace_back("pads", pads);
  if (stride != Dims::filled(n, 1)) attributes.emplace_back("strides", stride);
  return attributes;
}
NodeAttributes window_attributes(const SavedCall& call) {
  return window_attributes(call, call.dims("padding"), call.dims("padding_end"));
}

/// An image (C, H, W) gets the axis of the batch, which the result loses again.
Name batched(SavedCall& call, int spatial) {
  return call.rank() == spatial + 1 ? call.unsqueeze(call.x(), {0}) : call.x();
}
Names without_batch(SavedCall& call, int spatial, Names made) {
  for (Name& name : made)
    if (call.rank() == spatial + 1) name = call.squeeze(name, {0});
  return made;
}

/// A pooling; `counts`: padding counts as elements. Where the size is known, so is how far the last window hangs over
/// the end: that is padding, too, which never counts. What does is made of elements before.
Names pool(SavedCall& call, std::string_view op, int results, bool counts = false) {
  const Dims window = call.dims("window"), stride = call.dims("stride"), dilation = call.dims("dilation");
  Dims before = call.dims("padding"), after = call.dims("padding_end");
  const int n = window.size();
  const Dims none = Dims::filled(n, 0);
  const bool open = is_open_image(call, n), pads = before != none || after != none;
  Name x = batched(call, n);
  if (!open && call.flag("hangs_over")) {
    const Ints from = call.shape(), to = call.result_shape(call.wants(0) ? 0 : 1);
    Dims over = after;
    for (int a = 0; a < n; ++a) {
      const int64_t size = from[from.size() - size_t(n - a)][0], windows = to[to.size() - size_t(n - a)][0];
      const int64_t last = (windows - 1) * stride[a] + dilation[a] * (window[a] - 1) + 1;
      over[a] = std::max(after[a], last - size - before[a]);
    }
    if (counts && pads) {
      Dims amounts{0, 0};
      for (int64_t amount : before) amounts.push_back(amount);
      amounts.push_back(0), amounts.push_back(0);
      for (int64_t amount : after) amounts.push_back(amount);
      x = call.node("Pad", {x, call.integers(amounts, "pads")});
      for (int a = 0; a < n; ++a) over[a] -= after[a];
      before = none;
    }
    after = over, counts = false;
  }
  NodeAttributes attributes = window_attributes(call, before, after);
  attributes.emplace_back("kernel_shape", window);
  if (open && call.flag("ceil_mode")) attributes.emplace_back("ceil_mode", 1);
  if (counts && pads) attributes.emplace_back("count_include_pad", 1);
  return without_batch(call, n, call.nodes(op, {x}, attributes, results));
}

Names conv_transpose(SavedCall& call) {
  const DType type = call.result_dtype();
  if (!is_float(type)) call.refuse("ConvTranspose is for floats; cast its operands");
  NodeAttributes attributes = window_attributes(call);
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
  Names made = pool(call, "MaxPool", 2);
  Int size = 1;
  const Ints shape = call.shape();
  for (size_t a = shape.size() - size_t(spatial); a < shape.size(); ++a) size = size * shape[a];
  made[1] =
      call.node("Mod", {made[1], size.is_open() ? call.integers(Ints{size}) : call.scalar(size[0], DType::Int64)});
  return made;
}

/// Windows that lie side by side.
Names adaptive_avg_pool(SavedCall& call) {
  const Dims out = call.dims("size");
  if (out == Dims{1, 1}) return without_batch(call, 2, call.node("GlobalAveragePool", {batched(call, 2)}));
  const Ints shape = call.shape();
  Dims window;
  for (int a = 0; a < 2; ++a) {
    const Int size = shape[shape.size() - 2 + size_t(a)];
    if (size.is_open()) call.refuse("a window would be a share of an axis that is open");
    window.push_back(size[0] / out[a]);
  }
  const Name x = call.node("AveragePool", {batched(call, 2)}, {{"strides", window}, {"kernel_shape", window}});
  return without_batch(call, 2, x);
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
    if (!is_float(type)) call.refuse("Conv is for floats; cast its operands");
    NodeAttributes attributes = window_attributes(call);
    if (call.integer("groups") != 1) attributes.emplace_back("group", call.integer("groups"));
    std::vector<Name> inputs{call.x(0, type), call.x(1, type)};
    if (call.has(2)) inputs.push_back(call.x(2, type));
    return call.node("Conv", inputs, attributes);
  };
  ops["conv_transpose"] = conv_transpose;
  ops["max_pool"] = [](SavedCall& call) -> Names {
    check_pooled(call);
    return pool(call, "MaxPool", 1);
  };
  ops["max_pool_with_indices"] = max_pool_with_indices;
  ops["avg_pool"] = [](SavedCall& call) -> Names { return pool(call, "AveragePool", 1, call.flag("include_pad")); };
  ops["adaptive_avg_pool2d"] = adaptive_avg_pool;
  ops["windows"] = windows_of;
}

}  // namespace teeny::onnx
