// Recurrent layers as one kernel. It has no rule: where a gradient is asked for, a layer is built of steps, each with a
// product and a few functions of elements, as in nn/recurrent.cpp.
#include <algorithm>

#include "teeny/functional/functional.h"

namespace teeny {

namespace {
constexpr int64_t kMostWeights = 1 << 18;  // they stay in a core's second-level cache

/// Its elements one after the other, as the kernel reads them.
LazyBuffer in_a_row(const Tensor& x) {
  const LazyBuffer& lazy = x.lazy();
  return lazy.views().is_contiguous() ? lazy : lazy.contiguous();
}
}  // namespace

bool is_one_kernel(tinyops::RecurrentCell cell, int64_t hidden, const std::vector<Tensor>& inputs) {
  if (hidden < 1 || hidden > tinyops::kMaxHidden || gates_of(cell) * hidden * hidden > kMostWeights) return false;
  return std::ranges::all_of(inputs, [&](const Tensor& x) {
    const bool is_plain = x.dtype() == DType::Float32 || x.dtype() == DType::Float64;
    return is_plain && x.dtype() == inputs[0].dtype() && !(context.grad && x.requires_grad());
  });
}

Tensor recurrent_states(tinyops::RecurrentCell cell, int64_t forward, const Tensor& in, const Tensor& weight,
                        const Tensor& first) {
  TEENY_TRACED(recurrent_states(cell, forward, in, weight, first), {in, weight, first}, {});
  Shape shape = in.shape();
  shape[3] = first.size(2);
  return Tensor(special(tinyops::RecurrentKernel{cell, forward}, in.dtype(), shape,
                        {in_a_row(in), in_a_row(weight), in_a_row(first)}));
}

}  // namespace teeny
