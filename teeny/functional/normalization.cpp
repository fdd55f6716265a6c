// Normalization by the statistics of a layer or of a batch.
#include "teeny/functional/functional.h"

namespace teeny {

Tensor Tensor::layernorm(int64_t axes, double eps) const {
  if (axes < 1 || axes > lazy("layernorm").shape().size())
    fail("layernorm: the last ", axes, " axes of ", shape(), "; from 1 to all of them");
  TEENY_TRACED(layernorm(axes, eps), {*this}, {{"axes", axes}, {"eps", eps}});
  const Dims last = range(rank() - axes, rank());
  const Tensor x = to_accumulate_dtype(*this), centered = x - x.mean(last, true);
  return (centered * (mean_square(centered, last) + eps).rsqrt().cast(x.dtype())).cast(as_float(*this).dtype());
}

Tensor Tensor::batchnorm(const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& var,
                         double eps) const {
  if (lazy("batchnorm").shape().size() < 2) fail("batchnorm: x of ", shape(), " must be (N, C, ...)");
  DType common = as_float(*this).dtype();
  const auto spread = [&](const Tensor& x, const char* what) {
    if (x.lazy("batchnorm").shape() != Shape{size(1)})
      fail("batchnorm: a ", what, " of ", x.shape(), " for x of ", shape());
    common = promote(common, x.dtype());
    return reshape_to_axis(to_accumulate_dtype(x), 1, rank());
  };
  TEENY_TRACED(batchnorm(weight, bias, mean, var, eps), {*this, weight, bias, mean, var}, {{"eps", eps}});
  const Tensor centred = to_accumulate_dtype(*this) - spread(mean, "mean");
  Tensor scale = (spread(var, "variance") + eps).rsqrt();
  if (weight.defined()) scale = spread(weight, "weight") * scale;
  // The scale stands first, and so is there before a convolution that computes x: its kernel does the rest.
  const Tensor scaled = scale * centred, y = bias.defined() ? scaled + spread(bias, "bias") : scaled;
  return y.cast(common);
}

}  // namespace teeny
