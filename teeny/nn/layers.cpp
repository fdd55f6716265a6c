#include "teeny/nn/layers.h"

#include <limits>

#include "teeny/functional/functional.h"
#include "teeny/nn/functions.h"
#include "teeny/nn/init.h"

namespace teeny::nn {

Linear::Linear(int64_t in, int64_t out, LayerOptions layer) {
  init::check_sizes("Linear", {in, out});
  weight = init::fan_in_uniform("Linear", {out, in}, in);
  if (layer.bias) bias = init::fan_in_uniform("Linear", {out}, in);
}

namespace {
/// `kernel` with a size for each of `axes` axes, after the checks that both kinds of convolution share.
Dims kernel_sizes(const char* layer, int axes, int64_t in, int64_t out, const Sizes& kernel, int64_t groups) {
  const Dims k = per_axis(kernel, axes, layer, "kernel", 1);
  init::check_sizes(layer, {in, out});
  if (groups < 1 || in % groups || out % groups)
    fail(layer, ": ", in, " and ", out, " channels do not divide into ", groups, " groups");
  return k;
}
/// (channels out, channels in, kernel...); of a transposed convolution in comes before out.
Shape weight_shape(int64_t first_channels, int64_t second_channels, const Dims& kernel) {
  Shape shape = {first_channels, second_channels};
  for (int64_t size : kernel) shape.push_back(size);
  return shape;
}
}  // namespace

template <int kAxes>
Conv<kAxes>::Conv(int64_t in, int64_t out, const Sizes& kernel, const ConvOptions& options, LayerOptions layer)
    : options(options) {
  const std::string name = text("Conv", kAxes, "d");
  const Dims k = kernel_sizes(name.c_str(), kAxes, in, out, kernel, options.groups);
  const int64_t fan_in = numel(weight_shape(1, in / options.groups, k), name.c_str());
  weight = init::fan_in_uniform(name.c_str(), weight_shape(out, in / options.groups, k), fan_in);
  if (layer.bias) bias = init::fan_in_uniform(name.c_str(), {out}, fan_in);
}
template <int kAxes>
Tensor Conv<kAxes>::operator()(const Tensor& x) const {
  constexpr const char* names[] = {"Conv1d", "Conv2d", "Conv3d"};
  return detail::called(names[kAxes - 1], *this, x, [&] {
    if constexpr (kAxes == 1) return x.conv1d(weight, bias, options);
    else if constexpr (kAxes == 2) return x.conv2d(weight, bias, options);
    else return x.conv3d(weight, bias, options);
  });
}
template struct Conv<1>;
template struct Conv<2>;
template struct Conv<3>;

template <int kAxes>
ConvTranspose<kAxes>::ConvTranspose(int64_t in, int64_t out, const Sizes& kernel, const ConvTransposeOptions& options,
                                    LayerOptions layer)
    : options(options) {
  const std::string name = text("ConvTranspose", kAxes, "d");
  const Dims k = kernel_sizes(name.c_str(), kAxes, in, out, kernel, options.groups);
  // Of axis 1, as in PyTorch: the fan-in of the adjoint.
  const int64_t fan_in = numel(weight_shape(1, out / options.groups, k), name.c_str());
  weight = init::fan_in_uniform(name.c_str(), weight_shape(in, out / options.groups, k), fan_in);
  if (layer.bias) bias = init::fan_in_uniform(name.c_str(), {out}, fan_in);
}
template <int kAxes>
Tensor ConvTranspose<kAxes>::operator()(const Tensor& x) const {
  constexpr const char* names[] = {"ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"};
  return detail::called(names[kAxes - 1], *this, x, [&] {
    if constexpr (kAxes == 1) return x.conv_transpose1d(weight, bias, options);
    else if constexpr (kAxes == 2) return x.conv_transpose2d(weight, bias, options);
    else return x.conv_transpose3d(weight, bias, options);
  });
}
template struct ConvTranspose<1>;
template struct ConvTranspose<2>;
template struct ConvTranspose<3>;

namespace {
/// A table of standard normal rows; that of `padding` is zeros.
Tensor table(const char* layer, int64_t count, int64_t size, std::optional<int64_t> padding) {
  init::check_sizes(layer, {count, size});
  check_shape({count, size}, layer);
  if (padding && (*padding < 0 || *padding >= count))
    fail(layer, ": the padding ", *padding, " is none of ", count, " rows");
  Tensor weight = Tensor::randn({count, size});
  if (padding) weight = where((Tensor::arange(count) == *padding).unsqueeze(-1), 0, weight);
  return weight.requires_grad_();
}

void check_probability(const char* layer, double p) {
  if (!(p >= 0 && p <= 1)) fail(layer, ": a probability of ", p, "; 0 <= p <= 1");
}
}  // namespace

Embedding::Embedding(int64_t count, int64_t size, std::optional<int64_t> padding)
    : padding(padding), weight(table("Embedding", count, size, padding)) {}

Tensor Embedding::operator()(const Tensor& index) const {
  return detail::called("Embedding", *this, index, [&] {
    const Tensor rows = (index.lazy("Embedding"), weight.embedding(index));
    return padding && !context.tracing ? where((index == *padding).unsqueeze(-1), rows.detach(), rows) : rows;
  });
}

EmbeddingBag::EmbeddingBag(int64_t count, int64_t size, EmbeddingBagOptions options)
    : options(options), weight(table("EmbeddingBag", count, size, options.padding)) {}

Tensor EmbeddingBag::operator()(const Tensor& index, const Tensor& offsets, const Tensor& weights) const {
  const char* name = "EmbeddingBag";
  if (!is_int(index.lazy(name).dtype()) || index.rank() < 1 || index.rank() > 2)
    fail(name, ": index ", index.shape(), " of ", index.dtype(), "; integers (B, L), or (L) with offsets, wanted");
  if ((index.rank() == 1) != offsets.defined())
    fail(name, ": index ", index.shape(),
         index.rank() == 1 ? " needs offsets (B)" : " is B bags by itself, without offsets");
  if (offsets.defined() && (offsets.rank() != 1 || !is_int(offsets.dtype())))
    fail(name, ": offsets ", offsets.shape(), " of ", offsets.dtype(), "; integers (B) wanted");
  if (weights.defined() && (weights.shape() != index.shape() || options.mode != BagMode::Sum))
    fail(name, ": weights ", weights.shape(), " for index ", index.shape(),
         "; they have its shape, and need BagMode::Sum");

  return detail::called(name, *this, index, [&] {
    Tensor rows = weight.embedding(index);  // (B, L, size) or (L, size)
    const Tensor counted =
        (options.padding ? index != *options.padding : Tensor::ones(index.shape(), DType::Bool)).unsqueeze(-1);
    if (weights.defined()) rows = rows * weights.unsqueeze(-1);
    const int64_t bags = offsets.defined() ? offsets.size(0) : index.size(0), length = index.size(-1);
    if (bags == 0) return Tensor::zeros({0, weight.size(1)}, rows.dtype());
    // The bag of each place: the last that begins there or before.
    Tensor bag;
    if (offsets.defined()) {
      const Tensor begin = offsets.cast(DType::Int64), ends = Tensor::full({1}, length, DType::Int64);
      const Tensor lengths = Tensor::cat({begin[slice(1)], ends}) - begin;
      bag = require((begin.unsqueeze(-1) <= Tensor::arange(length)).sum(0) - 1, (lengths >= 0).all() & (begin[0] == 0),
                    "EmbeddingBag: the offsets must begin with 0, ascend, and stay within the index");
    }
    const auto sum = [&](const Tensor& x) {
      return offsets.defined() ? Tensor::zeros({bags, x.size(-1)}, x.dtype()).index_add(0, bag, x) : x.sum(1);
    };
    const Tensor count = sum(counted.cast(rows.dtype()));
    if (options.mode != BagMode::Max) {
      const Tensor total = sum(where(counted, rows, 0));
      return options.mode == BagMode::Mean ? total / count.maximum(1) : total;
    }
    if (length == 0) return Tensor::zeros({bags, weight.size(1)}, rows.dtype());
    Tensor inside = counted;
    if (offsets.defined()) inside = inside & (Tensor::arange(bags).unsqueeze(-1) == bag).unsqueeze(-1);  // (B, L, 1)
    return where(count > 0, where(inside, rows, -std::numeric_limits<double>::infinity()).max(1), 0);
  });
}

static Tensor prelu(const Tensor& x, const Tensor& factor) {
  TEENY_TRACED(prelu(x, factor), {x, factor}, {});
  return where(x > 0, x, where(x > 0, 0, x) * factor);  // no infinity times 0 in the gradient of the weight
}

PReLU::PReLU(int64_t channels, double initial) {
  init::check_sizes("PReLU", {channels});
  weight = Tensor::full({channels}, initial, DType::Float32).requires_grad_();
}

Tensor PReLU::operator()(const Tensor& x) const {
  x.lazy("PReLU");
  const int64_t channels = weight.size(0);
  if (channels != 1 && (x.rank() < 2 || x.size(1) != channels))
    fail("PReLU: x of shape ", x.shape(), "; (N, ", channels, ", ...) wanted");
  return detail::called("PReLU", *this, x, [&] {
    return prelu(x, channels == 1 ? weight.squeeze() : reshape_to_axis(weight, 1, x.rank()));
  });
}

Dropout::Dropout(double p) : p(p) { check_probability("Dropout", p); }

DropoutChannels::DropoutChannels(double p) : p(p) { check_probability("Dropout2d", p); }

Tensor DropoutChannels::operator()(const Tensor& x) const {
  if (x.lazy("Dropout2d").shape().size() < 2) fail("Dropout2d: x of shape ", x.shape(), "; (N, C, ...) wanted");
  return detail::called("Dropout2d", *this, x, [&] {
    Shape channels = x.shape();
    for (int a = 2; a < x.rank(); ++a) channels[a] = 1;
    return x * Tensor::ones(channels, x.dtype()).dropout(p);
  });
}

Tensor Upsample::operator()(const Tensor& x) const {
  return detail::called("Upsample", *this, x, [&] {
    if (x.lazy("Upsample").shape().size() < 3) fail("Upsample: x of shape ", x.shape(), "; (N, C, ...) wanted");
    Sizes size = 1;
    size.list = per_axis(scale, x.rank() - 2, "Upsample", "scale", 1);
    for (int a = 2; a < x.rank(); ++a) size.list[a - 2] = numel({size.list[a - 2], x.size(a)}, "Upsample");
    return x.interpolate(size, options);
  });
}

}  // namespace teeny::nn
