#pragma once
// Exercise 38: a judge of gradients. See notes/exercises/38-own_gradcheck.md.
#include <cmath>
#include <functional>
#include <vector>

#include "teeny/teeny.h"

namespace own {
using namespace teeny;

/// A function of some tensors, whose result may have any shape.
using Formula = std::function<Tensor(const std::vector<Tensor>&)>;

/// Whether the gradient of f by every element of every input is (f(x + h) - f(x - h)) / 2h, up to rounding. The inputs
/// are float64, f is smooth near them, and they stay as they are.
inline bool gradient_is_right(const Formula& f, const std::vector<Tensor>& inputs) {
  // [exercise 38
  std::vector<Tensor> xs;
  for (const Tensor& input : inputs) xs.push_back(input.detach().clone().requires_grad_());
  const Shape shape = f(xs).shape();
  const Tensor amounts = (1 + Tensor::arange(numel(shape)).cast(DType::Float64)).sqrt().reshape(shape);
  const auto weighed = [&](const std::vector<Tensor>& at) { return (f(at) * amounts).sum(); };
  const std::vector<Tensor> slopes = gradient(weighed(xs), xs);

  const double h = 1e-5, tolerance = 1e-6;
  for (size_t n = 0; n < xs.size(); ++n) {
    const std::vector<double> slope = slopes[n].to_vector<double>();
    for (int64_t i = 0; i < xs[n].numel(); ++i) {
      const Tensor here = h * (Tensor::arange(xs[n].numel()) == i).cast(DType::Float64).reshape(xs[n].shape());
      std::vector<Tensor> right = xs, left = xs;
      right[n] = xs[n] + here, left[n] = xs[n] - here;
      const double measured = (weighed(right).item() - weighed(left).item()) / (2 * h);
      if (!(std::abs(slope[size_t(i)] - measured) <= tolerance * (1 + std::abs(measured)))) return false;
    }
  }
  return true;
  // exercise 38]
}

}  // namespace own
