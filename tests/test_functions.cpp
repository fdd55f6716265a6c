// Every function of one real number beside the same function in double, over the floats in the order of their bits:
//
//   make test ARGS='--test-case=*functions*'                one in 4,099
//   EVERY=64 make test ARGS='--test-case=*functions*'       one in 64: what `make test-all` does
//   FULL=1   make test ARGS='--test-case=*functions*'       all 2^32
//
// Prints how far off the worst value is, in units of the last place (ulp) of the right one.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <limits>
#include <numbers>
#include <thread>

#include "teeny/teeny.h"
#include "tinyops/device.h"

namespace teeny::test {
namespace {

/// `ulp` and `slope_ulp` bound the error of values and gradients on the cpu backend.
struct RealFunction {
  const char* name;
  Tensor (*function)(const Tensor& x);
  double (*value)(double x), (*slope)(double x);
  double ulp = 1, slope_ulp = 4;
};

double sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
double softplus(double x) { return std::fmax(x, 0) + std::log1p(std::exp(-std::abs(x))); }
double bell(double x) { return 2 * std::numbers::inv_sqrtpi * std::exp(-x * x); }
double selu_scale(double x) { return (x > 0 ? 1 : 1.6732632423543772) * 1.0507009873554805; }

/// Some formulas are of rounded parts: e^(-x^2) has the error of x^2, up to 88 times as large, x sigmoid(x) that of a
/// subnormal factor, and of 1 - y^2 little is left when y is nearly 1. There PyTorch's is the same.
constexpr double kOfSquare = 100, kCancels = std::numeric_limits<double>::infinity();

#define OF(...) [](double x) -> double { return (void)x, __VA_ARGS__; }
#define TENSOR(method) [](const Tensor& x) { return x.method(); }
const RealFunction kFunctions[] = {
    {"sqrt", TENSOR(sqrt), OF(std::sqrt(x)), OF(0.5 / std::sqrt(x))},
    {"rsqrt", TENSOR(rsqrt), OF(1 / std::sqrt(x)), OF(-0.5 / (x * std::sqrt(x))), 2, 6},
    {"reciprocal", TENSOR(reciprocal), OF(1 / x), OF(-1 / (x * x))},
    {"exp", TENSOR(exp), OF(std::exp(x)), OF(std::exp(x)), 2},
    {"exp2", TENSOR(exp2), OF(std::exp2(x)), OF(std::exp2(x) * std::numbers::ln2)},
    {"expm1", TENSOR(expm1), OF(std::expm1(x)), OF(std::exp(x))},
    {"log", TENSOR(log), OF(std::log(x)), OF(1 / x)},
    {"log2", TENSOR(log2), OF(std::log2(x)), OF(1 / (x * std::numbers::ln2))},
    {"log10", TENSOR(log10), OF(std::log10(x)), OF(1 / (x * std::numbers::ln10))},
    {"log1p", TENSOR(log1p), OF(std::log1p(x)), OF(1 / (1 + x))},
    {"sin", TENSOR(sin), OF(std::sin(x)), OF(std::cos(x))},
    {"cos", TENSOR(cos), OF(std::cos(x)), OF(-std::sin(x))},
    {"tan", TENSOR(tan), OF(std::tan(x)), OF(1 + std::tan(x) * std::tan(x))},
    {"asin", TENSOR(asin), OF(std::asin(x)), OF(1 / std::sqrt((1 - x) * (1 + x)))},
    {"acos", TENSOR(acos), OF(std::acos(x)), OF(-1 / std::sqrt((1 - x) * (1 + x)))},
    {"atan", TENSOR(atan), OF(std::atan(x)), OF(1 / (1 + x * x))},
    {"sinh", TENSOR(sinh), OF(std::sinh(x)), OF(std::cosh(x))},
    {"cosh", TENSOR(cosh), OF(std::cosh(x)), OF(std::sinh(x))},
    {"tanh", TENSOR(tanh), OF(std::tanh(x)), OF(1 / (std::cosh(x) * std::cosh(x))), 2, kCancels},
    {"asinh", TENSOR(asinh), OF(std::asinh(x)), OF(1 / std::sqrt(1 + x * x))},
    {"acosh", TENSOR(acosh), OF(std::acosh(x)), OF(1 / std::sqrt((x - 1) * (x + 1)))},
    {"atanh", TENSOR(atanh), OF(std::atanh(x)), OF(1 / ((1 - x) * (1 + x)))},
    {"erf", TENSOR(erf), OF(std::erf(x)), OF(bell(x)), 1, kOfSquare},
    {"erfc", TENSOR(erfc), OF(std::erfc(x)), OF(-bell(x)), 1, kOfSquare},
    {"sigmoid", TENSOR(sigmoid), OF(sigmoid(x)), OF(sigmoid(x) * sigmoid(-x)), 2, kCancels},
    {"logsigmoid", TENSOR(logsigmoid), OF(-softplus(-x)), OF(sigmoid(-x)), 2},
    {"softplus", TENSOR(softplus), OF(softplus(x)), OF(sigmoid(x)), 2},
    {"silu", TENSOR(silu), OF(x* sigmoid(x)), OF(sigmoid(x) * (1 + x * sigmoid(-x))), kOfSquare, kCancels},
    {"elu", TENSOR(elu), OF(x > 0 ? x : std::expm1(x)), OF(x > 0 ? 1 : std::exp(x))},
    {"celu", TENSOR(celu), OF(x > 0 ? x : std::expm1(x)), OF(x > 0 ? 1 : std::exp(x))},
    {"selu", TENSOR(selu), OF(selu_scale(x) * (x > 0 ? x : std::expm1(x))),
     OF(selu_scale(x) * (x > 0 ? 1 : std::exp(x))), 2.5},
};

/// In ulp of `want`, which is in double; a subnormal's ulp is the smallest number, and what overflows is the number that
/// would come next.
double error_in_ulp(float got, double want) {
  const float nearest = float(want);
  if (got == nearest || (std::isnan(got) && std::isnan(want))) return 0;
  if (std::isnan(got) || !std::isfinite(want)) return std::numeric_limits<double>::infinity();
  const double least = 0x1p-126, most = 0x1p128;
  int exponent;
  std::frexp(std::clamp(std::abs(want), least, std::nextafter(most, 0)), &exponent);
  return std::abs(std::clamp(double(got), -most, most) - std::clamp(want, -most, most)) / std::ldexp(1.0, exponent - 24);
}

struct Worst {
  double ulp = 0;
  float at = 0;
  int64_t tried = 0;
  void take(float x, float got, double want) {
    ++tried;
    if (const double error = error_in_ulp(got, want); error > ulp) ulp = error, at = x;
  }
};

/// The floats whose bits are begin * every, (begin + 1) * every, ...
std::vector<float> floats(int64_t begin, int64_t end, int64_t every) {
  std::vector<float> x;
  for (int64_t i = begin; i < end; ++i) x.push_back(std::bit_cast<float>(uint32_t(i * every)));
  return x;
}

/// Double is asked by two threads: it takes the longest.
Worst compare(const std::vector<float>& x, const std::vector<float>& got, double (*want)(double)) {
  Worst halves[2];
  const auto half = [&](size_t h) {
    for (size_t i = h; i < x.size(); i += 2) halves[h].take(x[i], got[i], want(x[i]));
  };
  std::thread other(half, 1);
  half(0), other.join();
  if (halves[1].ulp > halves[0].ulp) std::swap(halves[0], halves[1]);
  halves[0].tried += halves[1].tried;
  return halves[0];
}

int64_t every() {
  if (getenv("FULL")) return 1;
  const char* text = getenv("EVERY");
  return text ? std::max(1L, std::atol(text)) : 4099;
}

}  // namespace

TEST_CASE("functions of float32 are right to the last place or two") {
  // The reference rounds what double gives; a GPU's functions are right to 4 ulp, says CUDA's manual.
  const bool gpu = tinyops::device_name().starts_with("cuda");
  const int64_t step = every(), count = ((int64_t(1) << 32) + step - 1) / step, piece = 1 << 20;
  std::cout << "one float in " << step << " on " << tinyops::device_name() << "\n"
            << "function        worst ulp              at   slope, worst              at\n";
  for (const RealFunction& f : kFunctions) {
    CAPTURE(std::string(f.name));
    Worst value;
    for (int64_t begin = 0; begin < count; begin += piece) {
      const std::vector<float> x = floats(begin, std::min(count, begin + piece), step);
      const Worst w = compare(x, f.function(Tensor::from(x)).to_vector(), f.value);
      value = {std::max(value.ulp, w.ulp), w.ulp > value.ulp ? w.at : value.at, value.tried + w.tried};
    }
    const std::vector<float> x = floats(0, (int64_t(1) << 32) / 65521, 65521);
    Tensor leaf = Tensor::from(x);
    leaf.requires_grad_();
    f.function(leaf).sum().backward();
    const std::vector<float> slopes = leaf.grad().to_vector();
    Worst w;
    for (size_t i = 0; i < x.size(); ++i)
      if (std::isfinite(float(f.value(x[i]))) && std::abs(f.slope(x[i])) < 1e38) w.take(x[i], slopes[i], f.slope(x[i]));
    std::cout << std::left << std::setw(12) << f.name << std::right << std::fixed << std::setprecision(2)
              << std::setw(13) << value.ulp << std::defaultfloat << std::setprecision(9) << std::setw(17) << value.at
              << std::fixed << std::setprecision(2) << std::setw(14) << w.ulp << std::defaultfloat
              << std::setprecision(9) << std::setw(17) << w.at << std::endl;
    CHECK(value.tried == count);
    CHECK(value.ulp <= f.ulp + (gpu ? 3 : 0));
    CHECK(w.ulp <= f.slope_ulp + (gpu ? 8 : 0));
  }
}

}  // namespace teeny::test
