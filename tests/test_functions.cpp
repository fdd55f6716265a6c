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

enum Made { Primitive, Composite };

/// `ulp` and `slope_ulp` bound the error of values and gradients on the cpu backend; a slope may be `slope_error` off
/// instead, a value `error`. What the reference computes in one go, a primitive, it rounds once: within 1 ulp.
struct RealFunction {
  const char* name;
  Made made;
  Tensor (*function)(const Tensor& x);
  double (*value)(double x), (*slope)(double x);
  double ulp = 1, slope_ulp = 4, slope_error = 0, error = 0;
};

double sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
double softplus(double x) { return std::fmax(x, 0) + std::log1p(std::exp(-std::abs(x))); }
double bell(double x) { return 2 * std::numbers::inv_sqrtpi * std::exp(-x * x); }
double selu_scale(double x) { return (x > 0 ? 1 : 1.6732632423543772) * 1.0507009873554805; }

/// x sigmoid(u(x)), and its slope where u has the slope `du`.
double gated(double x, double u) { return x * sigmoid(u); }
double gated_slope(double x, double u, double du) {
  const double s = sigmoid(u), rest = sigmoid(-u);
  return s + (s * rest == 0 && !std::isnan(du) ? 0 : x * s * rest * du);
}
double gelu_argument(double x) { return 2 * std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x); }
/// NaN where x^2 is beyond all floats: a product of 0 and infinity, as PyTorch's.
double gelu_argument_slope(double x) {
  if (x * x > std::numeric_limits<float>::max()) return std::numeric_limits<double>::quiet_NaN();
  return 2 * std::sqrt(2 / std::numbers::pi) * (1 + 3 * 0.044715 * x * x);
}
double normal_cdf(double x) { return 0.5 * std::erfc(-x * std::sqrt(0.5)); }
/// Infinite where 6 x is beyond all floats, and NaN of -inf, as PyTorch's.
double hardswish(double x) { return x < -3 ? x * 0 : x > 3 ? float(x * 6) / 6.0 : x * (x + 3) / 6; }
double mish_slope(double x) {
  const double t = std::tanh(softplus(x)), c = std::cosh(softplus(x));
  return t + (std::isinf(c) ? 0 : x * sigmoid(x) / (c * c));
}

/// Some functions see a rounded part through a steep slope: half an ulp in u is up to |u| ulp in e^u, and u is a
/// product or two, and -104 where e^u is hardly a number any more. 2 ulp would need a wider type within. PyTorch's have
/// the same errors, and much larger ones where they add 1 to a tanh or an erf that is nearly -1.
constexpr double kOfRoundedPart = 250;
/// Of 1 - y^2 and y (1 - y) little is left when y is nearly 1, in PyTorch as here: slopes may be that far off.
constexpr double kCancels = 0x1p-23;
/// The ulp of a product may be half as large, beside it, as that of its factor: the 1.5 ulp of a sigmoid or a tanh are
/// up to 3 of silu and mish. Of x e^x the factor e^x is subnormal below -87, and rounded to a multiple of 2^-149.
/// Splitting it costs silu 30 % of its time; PyTorch's is 0 there.
constexpr double kOfSubnormal = 0x1p-143;

#define OF(...) [](double x) -> double { return (void)x, __VA_ARGS__; }
#define TENSOR(method) [](const Tensor& x) { return x.method(); }
const RealFunction kFunctions[] = {
    {"neg", Primitive, TENSOR(neg), OF(-x), OF(-1)},
    {"abs", Composite, TENSOR(abs), OF(std::abs(x)), OF((x > 0) - (x < 0))},
    {"sign", Composite, TENSOR(sign), OF((x > 0) - (x < 0)), OF(0)},
    {"floor", Primitive, TENSOR(floor), OF(std::floor(x)), OF(0)},
    {"ceil", Composite, TENSOR(ceil), OF(std::ceil(x)), OF(0)},
    {"trunc", Primitive, TENSOR(trunc), OF(std::trunc(x)), OF(0)},
    {"round", Primitive, TENSOR(round), OF(std::nearbyint(x)), OF(0)},
    {"square", Composite, TENSOR(square), OF(x* x), OF(2 * x)},
    {"sqrt", Primitive, TENSOR(sqrt), OF(std::sqrt(x)), OF(0.5 / std::sqrt(x))},
    {"rsqrt", Composite, TENSOR(rsqrt), OF(1 / std::sqrt(x)), OF(-0.5 / (x * std::sqrt(x))), 2, 6},
    {"reciprocal", Primitive, TENSOR(reciprocal), OF(1 / x), OF(-1 / (x * x))},
    {"exp", Primitive, TENSOR(exp), OF(std::exp(x)), OF(std::exp(x)), 2},
    {"exp2", Primitive, TENSOR(exp2), OF(std::exp2(x)), OF(std::exp2(x) * std::numbers::ln2)},
    {"expm1", Primitive, TENSOR(expm1), OF(std::expm1(x)), OF(std::exp(x))},
    {"log", Primitive, TENSOR(log), OF(std::log(x)), OF(1 / x)},
    {"log2", Primitive, TENSOR(log2), OF(std::log2(x)), OF(1 / (x * std::numbers::ln2))},
    {"log10", Primitive, TENSOR(log10), OF(std::log10(x)), OF(1 / (x * std::numbers::ln10))},
    {"log1p", Primitive, TENSOR(log1p), OF(std::log1p(x)), OF(1 / (1 + x))},
    {"sin", Primitive, TENSOR(sin), OF(std::sin(x)), OF(std::cos(x))},
    {"cos", Primitive, TENSOR(cos), OF(std::cos(x)), OF(-std::sin(x))},
    {"tan", Primitive, TENSOR(tan), OF(std::tan(x)), OF(1 + std::tan(x) * std::tan(x))},
    {"asin", Primitive, TENSOR(asin), OF(std::asin(x)), OF(1 / std::sqrt((1 - x) * (1 + x)))},
    {"acos", Primitive, TENSOR(acos), OF(std::acos(x)), OF(-1 / std::sqrt((1 - x) * (1 + x)))},
    {"atan", Primitive, TENSOR(atan), OF(std::atan(x)), OF(1 / (1 + x * x))},
    {"sinh", Primitive, TENSOR(sinh), OF(std::sinh(x)), OF(std::cosh(x))},
    {"cosh", Primitive, TENSOR(cosh), OF(std::cosh(x)), OF(std::sinh(x))},
    {"tanh", Primitive, TENSOR(tanh), OF(std::tanh(x)), OF(1 / (std::cosh(x) * std::cosh(x))), 2, 4, kCancels},
    {"asinh", Primitive, TENSOR(asinh), OF(std::asinh(x)), OF(1 / std::sqrt(1 + x * x))},
    {"acosh", Primitive, TENSOR(acosh), OF(std::acosh(x)), OF(1 / std::sqrt((x - 1) * (x + 1)))},
    {"atanh", Primitive, TENSOR(atanh), OF(std::atanh(x)), OF(1 / ((1 - x) * (1 + x)))},
    {"erf", Primitive, TENSOR(erf), OF(std::erf(x)), OF(bell(x)), 1, kOfRoundedPart},
    {"erfc", Primitive, TENSOR(erfc), OF(std::erfc(x)), OF(-bell(x)), 1, kOfRoundedPart},
    {"sigmoid", Primitive, TENSOR(sigmoid), OF(sigmoid(x)), OF(sigmoid(x) * sigmoid(-x)), 2, 4, kCancels},
    {"logsigmoid", Composite, TENSOR(logsigmoid), OF(-softplus(-x)), OF(sigmoid(-x)), 2},
    {"softplus", Composite, TENSOR(softplus), OF(softplus(x)), OF(sigmoid(x)), 2},
    {"softsign", Composite, TENSOR(softsign), OF(x / (1 + std::abs(x))),
     OF(1 / ((1 + std::abs(x)) * (1 + std::abs(x)))), 2, 4, kCancels},
    {"relu", Composite, TENSOR(relu), OF(x < 0 ? 0 : x), OF(x > 0)},
    {"relu6", Composite, TENSOR(relu6), OF(x<0 ? 0 : x> 6 ? 6 : x), OF(x > 0 && x < 6)},
    {"hardtanh", Composite, TENSOR(hardtanh), OF(x<-1 ? -1 : x> 1 ? 1 : x), OF(x > -1 && x < 1)},
    {"leaky_relu", Composite, TENSOR(leaky_relu), OF(x > 0 ? x : x * 0.01), OF(x > 0 ? 1 : 0.01)},
    {"hardsigmoid", Composite, TENSOR(hardsigmoid), OF(x<-3 ? 0 : x> 3 ? 1 : (x + 3) / 6),
     OF(x > -3 && x < 3 ? 1 / 6.0 : 0), 2},
    {"hardswish", Composite, TENSOR(hardswish), OF(hardswish(x)), OF(x<-3 ? 0 : x> 3 ? 1 : (2 * x + 3) / 6), 2, 4,
     kCancels},
    {"elu", Composite, TENSOR(elu), OF(x > 0 ? x : std::expm1(x)), OF(x > 0 ? 1 : std::exp(x))},
    {"celu", Composite, TENSOR(celu), OF(x > 0 ? x : std::expm1(x)), OF(x > 0 ? 1 : std::exp(x))},
    {"selu", Composite, TENSOR(selu), OF(selu_scale(x) * (x > 0 ? x : std::expm1(x))),
     OF(selu_scale(x) * (x > 0 ? 1 : std::exp(x))), 2},
    {"silu", Composite, TENSOR(silu), OF(gated(x, x)), OF(gated_slope(x, x, 1)), 3, 6, kCancels, kOfSubnormal},
    {"mish", Composite, TENSOR(mish), OF(x* std::tanh(softplus(x))), OF(mish_slope(x)), 4, 6, kCancels, kOfSubnormal},
    {"quick_gelu", Composite, TENSOR(quick_gelu), OF(gated(x, 1.702 * x)), OF(gated_slope(x, 1.702 * x, 1.702)),
     kOfRoundedPart, 10, kCancels},
    {"gelu", Composite, TENSOR(gelu), OF(gated(x, gelu_argument(x))),
     OF(gated_slope(x, gelu_argument(x), gelu_argument_slope(x))), kOfRoundedPart, 10, kCancels},
    {"gelu_erf", Composite, TENSOR(gelu_erf), OF(x* normal_cdf(x)),
     OF(normal_cdf(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi)), kOfRoundedPart, 10, kCancels},
};

/// In ulp of `want`, which is in double; a subnormal's ulp is the smallest number, and what overflows is the number
/// that would come next.
double error_in_ulp(float got, double want) {
  const float nearest = float(want);
  if (got == nearest || (std::isnan(got) && std::isnan(want))) return 0;
  if (std::isnan(got) || !std::isfinite(want)) return std::numeric_limits<double>::infinity();
  const double least = 0x1p-126, most = 0x1p128;
  int exponent;
  std::frexp(std::clamp(std::abs(want), least, std::nextafter(most, 0)), &exponent);
  return std::abs(std::clamp(double(got), -most, most) - std::clamp(want, -most, most)) /
         std::ldexp(1.0, exponent - 24);
}

struct Worst {
  double ulp = 0;
  float at = 0;
  int64_t tried = 0;
  void take(float x, float got, double want, double allowed) {
    ++tried;
    if (std::abs(got - want) <= allowed) return;
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
Worst compare(const std::vector<float>& x, const std::vector<float>& got, const RealFunction& f) {
  Worst halves[2];
  const auto half = [&](size_t h) {
    for (size_t i = h; i < x.size(); i += 2) halves[h].take(x[i], got[i], f.value(x[i]), f.error);
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
  // A GPU's functions are right to 4 ulp, says CUDA's manual.
  const std::string device = tinyops::device_name();
  const bool gpu = device.starts_with("cuda"), reference = device.starts_with("reference");
  const int64_t step = every(), count = ((int64_t(1) << 32) + step - 1) / step, piece = 1 << 20;
  std::cout << "one float in " << step << " on " << device << "\n"
            << "function        worst ulp              at   slope, worst              at\n";
  for (const RealFunction& f : kFunctions) {
    CAPTURE(std::string(f.name));
    Worst value;
    for (int64_t begin = 0; begin < count; begin += piece) {
      const std::vector<float> x = floats(begin, std::min(count, begin + piece), step);
      const Worst w = compare(x, f.function(Tensor::from(x)).to_vector(), f);
      value = {std::max(value.ulp, w.ulp), w.ulp > value.ulp ? w.at : value.at, value.tried + w.tried};
    }
    const std::vector<float> x = floats(0, (int64_t(1) << 32) / 65521, 65521);
    Tensor leaf = Tensor::from(x);
    leaf.requires_grad_();
    f.function(leaf).sum().backward();
    const std::vector<float> slopes = leaf.grad().to_vector();
    Worst w;
    for (size_t i = 0; i < x.size(); ++i)
      if (const double want = f.slope(x[i]); std::isfinite(float(f.value(x[i]))) && std::abs(want) < 1e38)
        w.take(x[i], slopes[i], want, f.slope_error);
    std::cout << std::left << std::setw(12) << f.name << std::right << std::fixed << std::setprecision(2)
              << std::setw(13) << value.ulp << std::defaultfloat << std::setprecision(9) << std::setw(17) << value.at
              << std::fixed << std::setprecision(2) << std::setw(14) << w.ulp << std::defaultfloat
              << std::setprecision(9) << std::setw(17) << w.at << std::endl;
    CHECK(value.tried == count);
    CHECK(value.ulp <= (reference && f.made == Primitive ? 1 : f.ulp + (gpu ? 3 : 0)));
    CHECK(w.ulp <= f.slope_ulp + (gpu ? 8 : 0));
  }
}

}  // namespace teeny::test
