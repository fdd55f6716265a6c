#pragma once
// For tests of one's own: whether two tensors are equal within a tolerance, and whether a gradient is that of its
// function.
//
//   const auto cube = [](const Tensor& x) { return x * x * x; };
//   const testing::Report report = testing::gradcheck(cube, {Tensor::randn({3, 4}, DType::Float64)});
//   if (!report) std::cerr << report.message << "\n";
#include <cmath>
#include <concepts>
#include <iomanip>
#include <string>
#include <vector>

#include "teeny/tensor/tensor.h"

namespace teeny::testing {

/// True where everything is right; else `message` says what is not.
struct Report {
  std::string message;
  explicit operator bool() const { return message.empty(); }
};

/// float32 and float64 leave room for a sum of some hundred terms in another order; the 16-bit floats for two roundings
/// to their 11 and 8 bits. Integers and bools must be equal.
inline double tolerance_of(DType d) {
  switch (d) {
    case DType::Float64: return 1e-12;
    case DType::Float32: return 1e-5;
    case DType::Float16: return 2e-3;
    case DType::BFloat16: return 1.6e-2;
    default: return 0;
  }
}

/// |got - want| <= tolerance * (1 + |want|). An infinity is only close to itself, and a NaN to a NaN.
inline bool is_close(double got, double want, double tolerance) {
  if (std::isnan(want)) return std::isnan(got);
  if (std::isinf(want)) return got == want;
  return std::abs(got - want) <= tolerance * (1 + std::abs(want));
}

/// The place of a row-major element of `shape`: element 5 of (2, 3) is (1, 2).
inline Dims position(int64_t element, const Shape& shape) {
  Dims at = shape;
  for (int axis = shape.size(); axis-- > 0; element /= shape[axis]) at[axis] = element % shape[axis];
  return at;
}

/// Whether `got` has the shape and the dtype of `want`, and each of its elements is close to the wanted one. The report
/// names the first that is not, and how many there are.
inline Report allclose(const Tensor& got, const Tensor& want, double tolerance) {
  want.lazy("allclose");
  if (!got.defined()) return {"is undefined"};
  if (got.dtype() != want.dtype()) return {text("is ", got.dtype(), " and should be ", want.dtype())};
  if (got.shape() != want.shape()) return {text("has shape ", got.shape(), " and should have ", want.shape())};
  const bool exact = tolerance == 0;
  if (exact && got.to_bytes() == want.to_bytes()) return {};
  const std::vector<double> g = got.to_vector<double>(), w = want.to_vector<double>();
  size_t first = 0, wrong = 0;
  for (size_t i = w.size(); i-- > 0;)
    if (!is_close(g[i], w[i], tolerance)) first = i, ++wrong;
  if (wrong)
    return {text(std::setprecision(10), "element ", position(int64_t(first), want.shape()), " is ", g[first],
                 " and should be ", w[first], "; ", wrong, " of ", w.size(), " are wrong (", want.dtype(), ' ',
                 want.shape(), ")")};
  return {exact && !is_float(want.dtype()) ? "differs in the last digits" : ""};  // of integers that no double holds
}
inline Report allclose(const Tensor& got, const Tensor& want) {
  return allclose(got, want, tolerance_of(want.lazy("allclose").dtype()));
}

struct GradcheckOptions {
  double step = 1e-5;       ///< an input is moved by this much to either side
  double tolerance = 1e-6;  ///< as of `is_close`
};

/// Whether the gradient of `f` by each input is (f(x + h) - f(x - h)) / 2h, element by element: the definition of the
/// derivative, so it shows whether the `backward` of a Function fits its `forward`. `f` takes the tensors one by one,
/// up to three, or all as one std::vector, and gives a tensor of any shape; it must be smooth near the inputs and give
/// the same values each time. Inputs are float64, since in float32 the difference is lost in rounding; throws where one
/// is not.
template <class F>
Report gradcheck(const F& f, const std::vector<Tensor>& inputs, const GradcheckOptions& options = {}) {
  // sum(y * v) for a fixed v without symmetry: all derivatives of y are seen in it, and in different amounts.
  const auto loss = [&](const std::vector<Tensor>& xs) {
    Tensor y;
    if constexpr (std::invocable<F, const std::vector<Tensor>&>) {
      y = f(xs);
    } else {
      constexpr size_t count = std::invocable<F, Tensor> ? 1 : std::invocable<F, Tensor, Tensor> ? 2 : 3;
      if (xs.size() != count) fail("gradcheck: a function of ", count, " tensors for ", xs.size(), " inputs");
      if constexpr (count == 1) y = f(xs[0]);
      else if constexpr (count == 2) y = f(xs[0], xs[1]);
      else y = f(xs[0], xs[1], xs[2]);
    }
    return (y * (3 * Tensor::arange(y.numel()).cast(DType::Float64) + 1).cos().reshape(y.shape())).sum();
  };
  std::vector<Tensor> xs;
  for (const Tensor& input : inputs) {
    if (input.lazy("gradcheck").dtype() != DType::Float64)
      fail("gradcheck: input ", xs.size(), " is ", input.dtype(),
           "; finite differences need float64: cast(DType::Float64)");
    xs.push_back(input.detach().clone().realize().requires_grad_());
  }
  const GradMode recorded(true);
  const Tensor y = loss(xs);
  if (!is_close(loss(xs).item(), y.item(), 0)) return {"the function gives other values for the same inputs"};
  std::vector<Tensor> grads;
  if (y.requires_grad()) grads = gradient(y, xs);
  else
    for (const Tensor& x : xs) grads.push_back(x.zeros_like());  // depends on nothing, as the gradient of x + 1

  for (size_t k = 0; k < xs.size(); ++k) {
    if (grads[k].shape() != xs[k].shape())
      return {text("input ", k, ": a gradient of ", grads[k].shape(), " for ", xs[k].shape())};
    const std::vector<double> values = xs[k].to_vector<double>(), got = grads[k].to_vector<double>();
    for (size_t i = 0; i < values.size(); ++i) {
      const auto moved = [&](double by) {
        std::vector<Tensor> near = xs;
        std::vector<double> changed = values;
        changed[i] += by;
        near[k] = Tensor::from(changed, xs[k].shape()).requires_grad_();
        return loss(near).item();
      };
      const double want = (moved(options.step) - moved(-options.step)) / (2 * options.step);
      if (!is_close(got[i], want, options.tolerance))
        return {text(std::setprecision(10), "input ", k, ", element ", position(int64_t(i), xs[k].shape()),
                     ": the gradient is ", got[i], " and finite differences give ", want)};
    }
  }
  return {};
}

}  // namespace teeny::testing
