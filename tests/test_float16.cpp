// The 16-bit floats over all their values, and functions of floats over all exponents.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>

#include "tests/check.h"
#include "tinyops/base/scalar_ops.h"

namespace teeny::test {
namespace {

/// What the bits of a 16-bit float stand for, straight from the definition.
double meaning(uint16_t bits, int fraction_bits) {
  const int exponent_bits = 15 - fraction_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1), fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return fraction ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign * std::ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
}

/// Every value of Half becomes the right float and comes back; the float halfway between neighbours goes to the even
/// one, and the floats just below and above the middle to the nearer one.
template <class Half>
void check_half(int fraction_bits) {
  int wrong = 0;
  for (int i = 0; i < 65536; ++i) {
    Half half;
    half.bits = uint16_t(i);
    const double value = meaning(half.bits, fraction_bits);
    const float wide = half;
    if (std::isnan(value)) {
      wrong += !std::isnan(wide) || !std::isnan(float(Half(wide)));
      continue;
    }
    wrong += wide != value || std::signbit(wide) != std::signbit(value) || Half(wide).bits != half.bits;

    if (std::isinf(value)) continue;
    Half next;  // away from zero; after the largest comes infinity, whose place is taken by what would have been there
    next.bits = uint16_t(i + 1);
    const double beyond =
        std::isinf(float(next)) ? value + (value - meaning(uint16_t(i - 1), fraction_bits)) : double(float(next));
    const float middle = float((value + beyond) / 2);
    wrong += Half(middle).bits != (i % 2 ? next.bits : half.bits);
    wrong += Half(std::nextafter(middle, 0.0f)).bits != half.bits;
    wrong += Half(std::nextafter(middle, float(value < 0 || i >= 0x8000 ? -INFINITY : INFINITY))).bits != next.bits;
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("float16: all values, and rounding between them") { check_half<float16>(10); }
TEST_CASE("bfloat16: all values, and rounding between them") { check_half<bfloat16>(7); }

TEST_CASE("16-bit floats: a cast rounds, whether or not the values are stored in between") {
  for (DType half : {DType::Float16, DType::BFloat16}) {
    const Tensor x = Tensor::of({1.0001f, 70000.f, 3.14159f, 1e-8f});
    const Tensor stored = x.cast(half).realize().cast(DType::Float32);
    CHECK(difference(x.cast(half).cast(DType::Float32), stored) == "");
    CHECK(x.cast(half).to_vector() == stored.to_vector());
  }
}

TEST_CASE("16-bit floats: a constant is what the dtype holds of it, rounded once, wherever it is used") {
  const double above_tie = 1 + 0x1p-11 + 0x1p-40;  // as a float32 it is the tie between 1 and the next float16
  CHECK(Tensor::full({2}, above_tie, DType::Float16).to_vector<double>() == std::vector<double>(2, 1 + 0x1p-10));
  const Tensor zero = Tensor::zeros({1}, DType::Float16);
  for (const Tensor& x : {zero.pad({0}, {1}, above_tie)[1], zero.masked_fill(zero == 0, above_tie),
                          zero.clamp(above_tie), where(zero == 0, above_tie, zero), where(zero != 0, zero, above_tie)})
    CHECK(x.item() == 1 + 0x1p-10);
  for (DType half : {DType::Float16, DType::BFloat16}) {
    const Tensor x = Tensor::full({2}, 0.1, half), stored = x.contiguous().realize(), one = Tensor::ones({2});
    CHECK(x.to_vector<double>() == stored.to_vector<double>());
    CHECK((x + one).to_vector<double>() == (stored + one).to_vector<double>());
    CHECK((x.cast(DType::Float64) * 3).to_vector<double>() == (stored.cast(DType::Float64) * 3).to_vector<double>());
    CHECK((stored.full_like(0.1) == stored).all().item<bool>());
    CHECK((stored == 0.1).all().item<bool>());
    CHECK_FALSE(((0.1 < stored) | (0.1 > stored) | (stored != 0.1)).any().item<bool>());
  }
}

TEST_CASE("floats: functions, over all exponents, are libm's to a few units in the last place") {
  std::vector<float> values;
  for (uint32_t high = 0; high < 1u << 16; ++high)
    values.push_back(std::bit_cast<float>(high << 16 | (high * 40503u >> 4 & 0xffff)));
  const Tensor x = Tensor::from(values);
  struct Function {
    std::string name;
    Tensor result;
    double (*exact)(double);
    double ulps;
  };
  const Function functions[] = {{"exp", x.exp(), std::exp, 1},      {"log", x.log(), std::log, 2.2},
                                {"tanh", x.tanh(), std::tanh, 5.6}, {"erf", x.erf(), std::erf, 5.6},
                                {"atan", x.atan(), std::atan, 3},   {"sqrt", x.sqrt(), std::sqrt, 0.5}};
  for (const Function& f : functions) {
    const std::vector<float> got = f.result.to_vector();
    int wrong = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double want = f.exact(values[i]);
      const float nearest = float(want);
      bool good = std::isnan(want) ? std::isnan(got[i]) : got[i] == nearest;
      if (!good && std::isfinite(nearest) && std::isfinite(got[i])) {
        const float next = std::nextafter(std::abs(nearest), INFINITY) - std::abs(nearest);
        good = std::abs(double(got[i]) - want) <= f.ulps * next;
      }
      if (!good && ++wrong == 1) MESSAGE(f.name << "(" << values[i] << ") is " << got[i] << ", not " << nearest);
    }
    CHECK_MESSAGE(wrong == 0, f.name << " is wrong for " << wrong << " of " << values.size());
  }
}

TEST_CASE("16-bit floats: sums of exponentials may exceed their range") {
  for (const DType half : {DType::Float16, DType::BFloat16}) {  // where PyTorch says infinity
    const Tensor zeros = Tensor::zeros({70000}, half);
    CHECK(std::abs(zeros.logsumexp().item() - std::log(70000)) < 0.1);
    CHECK(std::abs(zeros.log_softmax()[0].item() + std::log(70000)) < 0.1);
  }
}

TEST_CASE("16-bit floats: a bitcast keeps all bits of all values") {
  std::vector<uint8_t> bytes;
  for (int i = 0; i < 65536; ++i) bytes.push_back(uint8_t(i)), bytes.push_back(uint8_t(i >> 8));
  const Tensor packed = Tensor::from(bytes);
  for (const DType half : {DType::Float16, DType::BFloat16}) {
    const Tensor halves = packed.bitcast(half).contiguous();
    CHECK(halves.numel() == 65536);
    CHECK(halves.to_bytes() == packed.to_bytes());
    CHECK(halves.bitcast(DType::UInt8).to_bytes() == packed.to_bytes());
    CHECK(halves.bitcast(half == DType::Float16 ? DType::BFloat16 : DType::Float16).to_bytes() == packed.to_bytes());
  }
}

}  // namespace teeny::test
