// What sorting tells of a distribution: medians and quantiles.
#include <cmath>
#include <limits>

#include "teeny/functional/functional.h"

namespace teeny {
namespace {

/// The median of a vector. All elements that equal it share the gradient.
struct Median : Function {
  LazyBuffer forward(const LazyBuffer& x) {
    const NoGrad guard;
    return Tensor(x).median(0).values.lazy();
  }
  Grads backward(const Tensor& grad, const Tensor& out) override {
    const Tensor x = inputs[0], equal = (x == out) | (x.isnan() & out.isnan());
    return {where(equal, grad / equal.sum(), 0)};
  }
};

}  // namespace

Tensor Tensor::median() const {
  if (lazy("median"); numel() == 0 && is_float(dtype()))
    return full({}, std::numeric_limits<double>::quiet_NaN(), dtype());
  if (context.tracing) return flatten().median(0).values;  // made of what a trace has names for
  return apply(Median{}, flatten());
}

ValuesIndices Tensor::median(int64_t axis, bool keepdim) const {
  refuse_bools(*this, "median");
  if (axis_list(axis, "median"); rank() == 0) {
    const auto [values, indices] = flatten().median(axis);
    return {values.reshape({}), indices.reshape({})};
  }
  const int a = axis_index(axis, "median");
  const int64_t n = shape()[a];
  if (n == 0) fail("median: axis ", a, " of ", shape(), " is empty, and nothing has no middle");
  const Tensor nans = isnan().sum(a, true);  // sorted to the end: if there are any, the first is the median
  const Tensor indices = argsort(a).gather(a, where(nans > 0, n - nans, (n - 1) / 2)), values = gather(a, indices);
  if (keepdim) return {values, indices};
  return {values.squeeze(a), indices.squeeze(a)};
}

namespace {
/// A quantile lies at the rank q (n - 1) of the sorted elements, counted from 0. As in PyTorch, q is rounded to the
/// elements' dtype before: which elements are the neighbours of 0.3 (11 - 1) depends on it.
std::vector<Tensor> quantiles(const Tensor& data, std::span<const double> qs, std::optional<int64_t> axis, bool keepdim,
                              QuantileMode mode) {
  refuse_non_floats(data, "quantile");
  if (qs.empty()) fail("quantile: an empty list for ", data.shape(), "; name at least one q, as in {0.5}");
  const Tensor x = axis && data.rank() > 0 ? to_accumulate_dtype(data) : to_accumulate_dtype(data).flatten();
  const int a = x.axis_index(axis.value_or(0), "quantile");
  const int64_t n = x.shape()[a];
  if (data.numel() == 0) fail("quantile: ", data.shape(), " is empty");
  const Tensor sorted = x.sort(a).values;
  const auto at = [&](double rank) {
    Dims begin = Dims::filled(x.rank(), 0), end = x.shape();
    begin[a] = std::min(int64_t(rank), n - 1), end[a] = begin[a] + 1;
    return sorted.shrink(begin, end);
  };
  const Tensor last = at(double(n - 1));  // a NaN, if there is one
  std::vector<Tensor> found;
  for (double q : qs) {
    if (!(q >= 0 && q <= 1)) fail("quantile: ", q, " is outside [0, 1]");
    const double rank = (x.dtype() == DType::Float64 ? q : double(float(q))) * double(n - 1);
    const double below = std::floor(rank), above = std::min(std::ceil(rank), double(n - 1));
    const auto value = [&] {
      switch (mode) {
        case QuantileMode::Lower: return at(below);
        case QuantileMode::Higher: return at(above);
        case QuantileMode::Nearest: return at(std::nearbyint(rank));
        case QuantileMode::Midpoint: return at(below).lerp(at(above), 0.5);
        case QuantileMode::Linear: break;
      }
      return below == above ? at(below) : at(below).lerp(at(above), rank - below);
    };
    const Tensor result = where(last.isnan(), last, value()).cast(data.dtype());
    const bool whole = x.rank() != data.rank() || !axis;
    found.push_back(!keepdim ? result.squeeze(a) : whole ? result.reshape(Dims::filled(data.rank(), 1)) : result);
  }
  return found;
}
}  // namespace

Tensor Tensor::quantile(std::span<const double> q, std::optional<int64_t> axis, bool keepdim, QuantileMode mode) const {
  lazy("quantile");
  check_rank(rank() + keepdim, "quantile", shape());
  return stack(quantiles(*this, q, axis, keepdim, mode));
}

Tensor Tensor::quantile(double q, std::optional<int64_t> axis, bool keepdim, QuantileMode mode) const {
  return quantiles(*this, std::span<const double>(&q, 1), axis, keepdim, mode)[0];
}

}  // namespace teeny
