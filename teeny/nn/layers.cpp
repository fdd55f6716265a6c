#include "teeny/nn/layers.h"

#include "teeny/functional/functional.h"
#include "teeny/nn/init.h"

namespace teeny::nn {

Linear::Linear(int64_t in, int64_t out, LayerOptions layer) {
  init::check_sizes("Linear", {in, out});
  weight = init::fan_in_uniform({out, in}, in);
  if (layer.bias) bias = init::fan_in_uniform({out}, in);
}

namespace {
/// `kernel` with a size for each of `axes` axes, after the checks that both kinds of convolution share.
Dims kernel_sizes(const char* layer, int axes, int64_t in, int64_t out, const Sizes& kernel, int64_t groups) {
  const std::string name = text(layer, axes, "d");
  const Dims k = per_axis(kernel, axes, name.c_str(), "kernel", 1);
  init::check_sizes(name.c_str(), {in, out});
  if (groups < 1 || in % groups || out % groups)
    fail(name, ": ", in, " and ", out, " channels do not divide into ", groups, " groups");
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
  const Dims k = kernel_sizes("Conv", kAxes, in, out, kernel, options.groups);
  const int64_t fan_in = numel(weight_shape(1, in / options.groups, k));
  weight = init::fan_in_uniform(weight_shape(out, in / options.groups, k), fan_in);
  if (layer.bias) bias = init::fan_in_uniform({out}, fan_in);
}
template <int kAxes>
Tensor Conv<kAxes>::operator()(const Tensor& x) const {
  if constexpr (kAxes == 1) return x.conv1d(weight, bias, options);
  else if constexpr (kAxes == 2) return x.conv2d(weight, bias, options);
  else return x.conv3d(weight, bias, options);
}
template struct Conv<1>;
template struct Conv<2>;
template struct Conv<3>;

template <int kAxes>
ConvTranspose<kAxes>::ConvTranspose(int64_t in, int64_t out, const Sizes& kernel, const ConvTransposeOptions& options,
                                    LayerOptions layer)
    : options(options) {
  const Dims k = kernel_sizes("ConvTranspose", kAxes, in, out, kernel, options.groups);
  // Of axis 1, as in PyTorch: the fan-in of the adjoint.
  const int64_t fan_in = numel(weight_shape(1, out / options.groups, k));
  weight = init::fan_in_uniform(weight_shape(in, out / options.groups, k), fan_in);
  if (layer.bias) bias = init::fan_in_uniform({out}, fan_in);
}
template <int kAxes>
Tensor ConvTranspose<kAxes>::operator()(const Tensor& x) const {
  if constexpr (kAxes == 1) return x.conv_transpose1d(weight, bias, options);
  else if constexpr (kAxes == 2) return x.conv_transpose2d(weight, bias, options);
  else return x.conv_transpose3d(weight, bias, options);
}
template struct ConvTranspose<1>;
template struct ConvTranspose<2>;
template struct ConvTranspose<3>;

Embedding::Embedding(int64_t count, int64_t size, std::optional<int64_t> padding) : padding(padding) {
  init::check_sizes("Embedding", {count, size});
  if (padding && (*padding < 0 || *padding >= count))
    fail("Embedding: the padding ", *padding, " is none of ", count, " rows");
  weight = Tensor::randn({count, size});
  if (padding) weight = where((Tensor::arange(count) == *padding).unsqueeze(-1), 0, weight);
  weight.requires_grad_();
}

Tensor Embedding::operator()(const Tensor& index) const {
  const Tensor rows = weight.embedding(index);
  return padding ? where((index == *padding).unsqueeze(-1), rows.detach(), rows) : rows;
}

Dropout::Dropout(double p) : p(p) {
  if (!(p >= 0 && p <= 1)) fail("Dropout: a probability of ", p);
}

}  // namespace teeny::nn
