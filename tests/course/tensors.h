#pragma once
// For checks that compare tensors and gradients.
#include <functional>
#include <string>
#include <vector>

#include "teeny/debug/trace.h"
#include "teeny/schedule/schedule.h"
#include "teeny/teeny.h"
#include "teeny/testing.h"
#include "tests/course/check.h"

namespace course {

using Tensors = std::vector<teeny::Tensor>;

/// A float64 tensor of random numbers, in memory.
inline teeny::Tensor numbers(const teeny::Shape& shape, double low = -2, double high = 2) {
  std::vector<double> values(size_t(teeny::numel(shape)));
  for (double& x : values) x = uniform(low, high);
  return teeny::Tensor::from(values, shape);
}

inline void same(const std::string& what, const teeny::Tensor& yours, const std::vector<double>& want,
                 double tolerance = 0, double scale = 1) {
  same(what, yours.to_vector<double>(), want, tolerance, yours.shape(), scale);
}
inline void same_shape(const std::string& what, const teeny::Tensor& yours, const teeny::Shape& want) {
  expect(yours.shape() == want, text(what, " has shape ", yours.shape(), ", not ", want));
}

/// The gradient of `f` at `xs` (float64), beside (f(x + h) - f(x - h)) / 2h element by element.
inline void gradients(const std::string& what, const std::function<teeny::Tensor(const Tensors&)>& f, Tensors xs,
                      double tolerance = 1e-5) try {
  for (teeny::Tensor& x : xs) x = x.detach().clone().realize().requires_grad_();
  const teeny::Shape shape = f(xs).shape();
  const teeny::Tensor weights = numbers(shape);  // all derivatives are seen in the sum, in different amounts
  const auto loss = [&](const Tensors& at) { return (f(at) * weights).sum(); };
  loss(xs).backward();
  for (size_t k = 0; k < xs.size(); ++k) {
    std::vector<double> want, at = xs[k].to_vector<double>();
    const auto moved = [&](size_t i, double by) {
      Tensors near = xs;
      std::vector<double> values = at;
      values[i] += by;
      near[k] = teeny::Tensor::from(values, xs[k].shape());
      return loss(near).item();
    };
    for (size_t i = 0; i < at.size(); ++i) want.push_back((moved(i, 1e-5) - moved(i, -1e-5)) / 2e-5);
    const std::string by = xs.size() > 1 ? text(what, ", by input ", k) : what;
    expect(xs[k].grad().defined(), by + ": no gradient arrived");
    same(by + " (want: by finite differences)", xs[k].grad(), want, tolerance);
  }
} catch (const teeny::Error& e) { expect(false, what + ": " + e.what()); }

/// Expects that `targets` are computed by `want` kernels, `why`; else draws the list of kernels, as DEBUG=2 would.
inline void same_kernels(const std::string& what, const Tensors& targets, size_t want, const std::string& why = "") {
  std::vector<teeny::LazyBuffer> buffers;
  for (const teeny::Tensor& t : targets) buffers.push_back(t.lazy());
  const std::vector<teeny::Step> steps = teeny::schedule(buffers);
  if (steps.size() == want) return;
  std::string list;
  for (const teeny::Step& step : steps) list += "\n      " + teeny::debug::label(step.kernel);
  expect(false, text(what, " takes ", steps.size(), steps.size() == 1 ? " kernel" : " kernels", ", and ", want,
                     want == 1 ? " is" : " are", " enough", why.empty() ? "" : ": " + why, list));
}

}  // namespace course
