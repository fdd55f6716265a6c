// Functions of windows that slide over an image (N, C, ..) of one to three spatial axes: convolution and pooling.
#include <algorithm>
#include <array>
#include <limits>

#include "teeny/onnx/windows.h"

namespace teeny::onnx {

namespace {

/// Which of the functions of one, two and three axes is for this image.
auto for_rank(const Tensor& x, const auto& functions) { return functions[size_t(spatial(x).size() - 1)]; }

// ---- Convolution ---------------------------------------------------------------------------------------------------

Tensor convolve(const Call& call, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  constexpr std::array functions{&Tensor::conv1d, &Tensor::conv2d, &Tensor::conv3d};
  const Windows w(call, spatial(x), kernel_of(call, x, weight));
  return (x.*for_rank(x, functions))(weight, bias,
                                     {.stride = sizes(w.stride),
                                      .padding = sizes(w.pads.before),
                                      .dilation = sizes(w.dilation),
                                      .groups = call.integer("group", 1),
                                      .padding_end = sizes(w.pads.after)});
}

Outputs conv(Call& call) { return convolve(call, call.x(), call.x(1), call.has(2) ? call.x(2) : Tensor()); }

/// Of integers less their zero points, in int32. What is padded is a zero as well.
Outputs conv_integer(Call& call) {
  Tensor x = call.x().cast(DType::Int32), weight = call.x(1).cast(DType::Int32);
  if (call.has(2)) x = x - call.x(2).cast(DType::Int32).reshape({});
  if (call.has(3)) {  // one, or one for each channel of the result
    const Tensor zero = call.x(3).cast(DType::Int32);
    weight = weight - (zero.numel() == 1 ? zero.reshape({}) : reshape_to_axis(zero, 0, weight.rank()));
  }
  return as_type(convolve(call, x, weight, {}), Type::Int32);
}

Outputs conv_transpose(Call& call) {
  constexpr std::array functions{&Tensor::conv_transpose1d, &Tensor::conv_transpose2d, &Tensor::conv_transpose3d};
  const Tensor &x = call.x(), &weight = call.x(1);
  const Dims kernel = kernel_of(call, x, weight);
  const int n = kernel.size();
  const Dims stride = amounts(call, "strides", n, 1, 1), dilation = amounts(call, "dilations", n, 1, 1);
  Dims extra = amounts(call, "output_padding", n, 0, 0);
  Dims whole, same;
  for (int a = 0; a < n; ++a) {
    whole.push_back((x.size(2 + a) - 1) * stride[a] + (kernel[a] - 1) * dilation[a] + 1 + extra[a]);
    same.push_back(whole[a] - x.size(2 + a) * stride[a]);
  }
  Pads pads(call, same);
  if (call.has("output_shape")) {
    Dims wanted = call.dims("output_shape");
    if (wanted.size() == n + 2) wanted = {wanted.begin() + 2, wanted.end()};  // some files name N and C as well
    pads = {};
    for (int a = 0; a < n; ++a) {
      if (wanted.size() != n || wanted[a] < 1 || wanted[a] > kMost)
        fail("output_shape ", call.dims("output_shape"), " must have ", n, " sizes, each at least 1");
      pads.add(whole[a] - wanted[a], call.text("auto_pad", "NOTSET") == "SAME_UPPER");
      extra[a] += std::max<int64_t>(wanted[a] - whole[a], 0);
    }
  }
  return (x.*for_rank(x, functions))(weight, call.has(2) ? call.x(2) : Tensor(),
                                     {.stride = sizes(stride),
                                      .padding = sizes(pads.before),
                                      .output_padding = sizes(extra),
                                      .dilation = sizes(dilation),
                                      .groups = call.integer("group", 1),
                                      .padding_end = sizes(pads.after)});
}

/// Columns (N, C * taps, windows), which are added up where they came from: (N, C, ..).
Outputs columns_to_image(Call& call) {
  const Tensor& x = call.x();
  const std::vector<int64_t> image = call.integers(1), block = call.integers(2);
  const int n = int(image.size());
  if (x.rank() != 3 || n < 1 || n > 6 || block.size() != image.size())
    fail("columns of ", x.shape(), ", an image of ", n, " axes, blocks of ", block.size(),
         "; (N, C, L) and 1 to 6 wanted");
  const Dims stride = amounts(call, "strides", n, 1, 1), dilation = amounts(call, "dilations", n, 1, 1),
             pads = amounts(call, "pads", 2 * n, 0, 0);
  Dims padded, before, after, taps, windows;
  for (int a = 0; a < n; ++a) {
    if (image[size_t(a)] < 1 || image[size_t(a)] > kMost || block[size_t(a)] < 1 || block[size_t(a)] > kMost)
      fail("an image of ", image[size_t(a)], " and a block of ", block[size_t(a)], " elements along axis ", 2 + a);
    taps.push_back(block[size_t(a)]);
    before.push_back(-pads[a]), after.push_back(-pads[n + a]);
    padded.push_back(image[size_t(a)] + pads[a] + pads[n + a]);
    windows.push_back((padded[a] - (taps[a] - 1) * dilation[a] - 1 + stride[a]) / stride[a]);
  }
  if (numel(taps) == 0 || x.size(1) % numel(taps) || x.size(2) != numel(windows))
    fail("columns of ", x.shape(), " for blocks of ", taps, " at ", windows, " places");
  Shape apart{x.size(0), x.size(1) / numel(taps)};
  for (const Dims& sizes : {taps, windows})
    for (int64_t size : sizes) apart.push_back(size);
  return pad_spatial(fold(x.reshape(apart), 2, padded, stride, dilation, true), before, after);
}

// ---- Pooling -------------------------------------------------------------------------------------------------------

/// What no element is below.
Scalar lowest(DType dtype) {
  if (is_float(dtype)) return -std::numeric_limits<double>::infinity();
  if (dtype == DType::UInt8) return 0;
  return dtype == DType::Int32 ? std::numeric_limits<int32_t>::min() : std::numeric_limits<int64_t>::min();
}

struct Pool : Windows {
  Dims over;  ///< how far the last window reaches beyond the padded end: ceil_mode rounds the number of windows up
  bool plain = true;  ///< whether the pads are such that Tensor's own functions take them

  Pool(const Call& call, const Tensor& x) : Windows(call, spatial(x), kernel(call, x)) {
    for (int a = 0; a < axes(); ++a) {
      const int64_t image = x.size(2 + a), most = std::max(pads.before[a], pads.after[a]);
      const int64_t room = image + pads.before[a] + pads.after[a] - reach(a);
      if (image == 0 || room < 0 || most >= reach(a))
        fail("a window of ", size, ", dilation ", dilation, ", over ", x.shape(), ", padded by ", pads.before, " and ",
             pads.after, ": along each axis it must be larger than either pad and fit into the padded image");
      int64_t last = room / stride[a] * stride[a];
      if (call.flag("ceil_mode") && last < room && last + stride[a] < image + pads.before[a]) last += stride[a];
      over.push_back(std::max<int64_t>(last - room, 0));
      plain = plain && 2 * most <= size[a];
    }
  }
  static Dims kernel(const Call& call, const Tensor& x) {
    if (!call.has("kernel_shape")) fail("kernel_shape is missing");
    return amounts(call, "kernel_shape", spatial(x).size(), 1, 1);
  }

  /// For images that are padded, or that are not.
  PoolOptions options(bool is_padded) const {
    PoolOptions result{.stride = sizes(stride), .dilation = sizes(dilation)};
    if (is_padded) return result;
    result.padding = sizes(pads.before), result.padding_end = sizes(pads.after);
    result.ceil_mode = over != Dims::filled(axes(), 0);
    return result;
  }
  /// `beyond` is what lies where windows hang over the end.
  Tensor padded(const Tensor& x, Scalar pad, Scalar beyond) const {
    return pad_spatial(pad_spatial(x, pads.before, pads.after, pad), Dims::filled(axes(), 0), over, beyond);
  }
  /// Of an image that is padded.
  Tensor sums(Tensor x) const {
    for (int a = 0; a < axes(); ++a) x = x.unfold(2 + a, size[a], stride[a], dilation[a]).sum(-1);
    return x;
  }
};

/// Positions in the flat images (H * W) that were pooled, as ONNX counts them: in all of x, and if `column_major` along
/// the first axis of an image first. `shift` is where the image begins in the one that was pooled.
Tensor positions_in_all(const Tensor& index, const Tensor& x, const Dims& pooled, const Dims& shift,
                        bool column_major) {
  const Dims image = spatial(x);
  Dims strides = row_major(image);
  if (column_major)
    for (int a = 0; a < image.size(); ++a) strides[a] = a == 0 ? 1 : strides[a - 1] * image[a - 1];
  Tensor rest = index, place = Tensor::arange(x.size(0) * x.size(1)) * numel(image);
  place = reshape_to_axis(place, 0, x.rank() - 1).unflatten(0, {x.size(0), x.size(1)});
  if (image == pooled && !column_major) return place + index;
  for (int a = image.size() - 1; a >= 0; --a) {
    place = place + (rest % pooled[a] - shift[a]).clamp(0, image[a] - 1) * strides[a];
    rest = floor_divide(rest, pooled[a]);
  }
  return place;
}

Outputs max_pool(Call& call) {
  constexpr std::array functions{&Tensor::max_pool1d, &Tensor::max_pool2d, &Tensor::max_pool3d};
  constexpr std::array with_indices{max_pool1d_with_indices, max_pool2d_with_indices, max_pool3d_with_indices};
  const Tensor& x = call.x();
  const Pool pool(call, x);
  const Tensor image = pool.plain ? x : pool.padded(x, lowest(x.dtype()), lowest(x.dtype()));
  const PoolOptions options = pool.options(!pool.plain);
  if (call.node.outputs.size() < 2) return (image.*for_rank(x, functions))(sizes(pool.size), options);
  const ValuesIndices all = for_rank(x, with_indices)(image, sizes(pool.size), options);
  const Dims shift = pool.plain ? Dims::filled(pool.axes(), 0) : pool.pads.before;
  return {all.values, indices(positions_in_all(all.indices, x, spatial(image), shift, call.flag("storage_order")))};
}

Outputs average_pool(Call& call) {
  constexpr std::array functions{&Tensor::avg_pool1d, &Tensor::avg_pool2d, &Tensor::avg_pool3d};
  const Tensor& x = call.x();
  const Pool pool(call, x);
  const bool counts_pads = call.flag("count_include_pad");
  PoolOptions options = pool.options(false);
  options.count_include_pad = counts_pads;
  if (pool.plain && pool.dilation == Dims::filled(pool.axes(), 1))
    return (x.*for_rank(x, functions))(sizes(pool.size), options);
  Shape image = x.shape();
  image[0] = image[1] = 1;
  const Tensor sums = pool.sums(pool.padded(to_accumulate_dtype(x), 0, 0));
  return (sums / pool.sums(pool.padded(Tensor::ones(image, sums.dtype()), counts_pads, 0))).cast(x.dtype());
}

Outputs lp_pool(Call& call) {
  const Tensor x = to_accumulate_dtype(call.x());
  const double p = double(call.integer("p", 2));
  const Pool pool(call, x);
  return pool.sums(pool.padded(x.abs().pow(p), 0, 0)).pow(1 / p).cast(call.x().dtype());
}

/// What is in each channel becomes one element.
Op global(Tensor (*reduce)(const Call&, const Tensor&, const Axes&)) {
  return [reduce](Call& call) -> Outputs {
    spatial(call.x());
    return reduce(call, call.x(), range(2, call.x().rank()));
  };
}

/// Whether each of the `index` of a pooling into x lies in its own window, if they count in images of these sizes.
Tensor are_in_windows(const Tensor& index, const Dims& image, const Windows& w) {
  Tensor rest = index % numel(image), inside(true);
  for (int a = image.size() - 1; a >= 0; --a) {
    const Tensor at = rest % image[a] + w.pads.before[a];
    const Tensor begin = reshape_to_axis(Tensor::arange(index.size(2 + a)) * w.stride[a], 2 + a, index.rank());
    inside = inside & (at >= begin) & (at < begin + w.size[a]);
    rest = floor_divide(rest, image[a]);
  }
  return inside.all();
}

/// The elements of x back at their places, zeros everywhere else. With an output_shape that is not the smallest,
/// PyTorch and onnxruntime count places in the result; ONNX's own test counts them in the smallest, whose end is then
/// padded. The windows tell which one is meant.
Outputs max_unpool(Call& call) {
  const Tensor &x = call.x(), index = call.x(1).cast(DType::Int64);
  if (index.shape() != x.shape()) fail("indices of ", index.shape(), " for elements of ", x.shape());
  const Windows w(call, spatial(x), Pool::kernel(call, x));
  Shape least{x.size(0), x.size(1)};
  for (int a = 0; a < w.axes(); ++a)
    least.push_back((x.size(2 + a) - 1) * w.stride[a] - w.pads.before[a] - w.pads.after[a] + w.size[a]);
  Shape to = least;
  if (call.has(2)) {
    const std::vector<int64_t> sizes = call.integers(2);
    to = {sizes.begin(), sizes.end()};
    if (to.size() != x.rank() || to[0] != x.size(0) || to[1] != x.size(1))
      fail("an output_shape of ", to, " for an input of ", x.shape());
  }
  Dims extra;
  for (int a = 0; a < w.axes(); ++a) {
    extra.push_back(to[2 + a] - least[2 + a]);
    if (extra[a] < 0) fail("an output_shape of ", to, " is smaller than ", least, ", from which windows are pooled");
  }
  const auto placed = [&](const Shape& shape, const Tensor& at) {
    return Tensor::zeros({numel(shape)}, x.dtype()).scatter(0, at.flatten(), x.flatten()).reshape(shape);
  };
  if (to == least) return placed(to, index);
  const Tensor is_usual = are_in_windows(index, {to.begin() + 2, to.end()}, w);
  const Tensor padded = pad_spatial(placed(least, where(is_usual, 0, index)), Dims::filled(w.axes(), 0), extra);
  return where(is_usual, placed(to, where(is_usual, index, 0)), padded);
}

}  // namespace

void add_windows(Ops& ops) {
  ops["Conv"] = conv;
  ops["ConvInteger"] = conv_integer;
  ops["ConvTranspose"] = conv_transpose;
  ops["Col2Im"] = columns_to_image;
  ops["MaxPool"] = max_pool;
  ops["AveragePool"] = average_pool;
  ops["LpPool"] = lp_pool;
  ops["MaxUnpool"] = max_unpool;
  ops["GlobalAveragePool"] = global([](const Call&, const Tensor& x, const Axes& axes) { return x.mean(axes, true); });
  ops["GlobalMaxPool"] = global([](const Call&, const Tensor& x, const Axes& axes) { return x.max(axes, true); });
  ops["GlobalLpPool"] = global([](const Call& call, const Tensor& x, const Axes& axes) {
    return x.norm(double(call.integer("p", 2)), axes, true);
  });
}

}  // namespace teeny::onnx
