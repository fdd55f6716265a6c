// Frequencies: the discrete Fourier transform as a product with a matrix, windows over a signal, mel filters. A complex
// element is two of the last axis.
#include <cmath>
#include <numbers>

#include "teeny/onnx/ops.h"

namespace teeny::onnx {

namespace {

constexpr int64_t kLargestMatrix = 1 << 25;  // elements: real transforms of 4096
constexpr int64_t kLongest = 1 << 26;        // of what the host makes

struct Transform {
  int64_t length;      ///< of the transform: an input that is shorter has zeros behind it, a longer one is cut
  int64_t given;       ///< elements of the input that count
  int64_t parts;       ///< of one of them: 1, real, or 2
  bool inverse, half;  ///< half: the other half of the spectrum is this one's mirror image
  int64_t results() const { return half && !inverse ? length / 2 + 1 : length; }
  int64_t result_parts() const { return half && inverse ? 1 : 2; }
};

/// (given * parts, results * result_parts):
///
///   y[k] = sum over j of exp(-2 pi i j k / length) x[j]          the inverse: with +, divided by the length
///
/// The inverse of half a spectrum counts each element twice that has a mirror image.
Tensor matrix(const Transform& t, DType dtype) {
  const int64_t columns = t.results() * t.result_parts();
  if (t.given * t.parts > kLargestMatrix / std::max<int64_t>(columns, 1))
    unsupported("a transform of ", t.length, " elements: its matrix would have more than ", kLargestMatrix);
  std::vector<double> values;
  for (int64_t j = 0; j < t.given; ++j) {
    const bool twice = t.half && t.inverse && j != 0 && 2 * j != t.length;
    const double size = (twice ? 2 : 1) / (t.inverse ? double(t.length) : 1);
    for (int64_t part = 0; part < t.parts; ++part)
      for (int64_t k = 0; k < t.results(); ++k) {
        // A second part is the first one times i, a quarter of a turn.
        const double turns = double(j * k % t.length) / double(t.length);
        const double angle = 2 * std::numbers::pi * ((t.inverse ? turns : -turns) + 0.25 * double(part));
        values.push_back(size * std::cos(angle));
        if (t.result_parts() == 2) values.push_back(size * std::sin(angle));
      }
  }
  return Tensor::from(values, {t.given * t.parts, columns}).cast(dtype);
}

/// Throws unless the last axis has real or complex elements.
void check_parts(const Tensor& x) {
  if (x.rank() < 2 || x.size(-1) < 1 || x.size(-1) > 2)
    fail("an input of ", x.shape(), "; its last axis must have a real part, or that and an imaginary one");
}

Outputs fourier(Call& call) {
  check_parts(call.x());
  const Tensor x = to_accumulate_dtype(call.x());
  int64_t axis = call.integer("axis", 1);
  if (call.opset >= 20) axis = call.has(2) ? call.integer(2) : -2;
  const int a = call.axis(axis, x.rank());
  if (a == x.rank() - 1) fail("axis ", axis, " of ", x.shape(), " has the parts of an element");
  Transform t{0, x.size(a), x.size(-1), call.flag("inverse"), call.flag("onesided")};
  t.length = call.has(1) ? call.integer(1) : t.half && t.inverse ? 2 * (t.given - 1) : t.given;
  if (t.length < 1 || t.length > kLongest) fail("a transform of ", t.length, " elements");
  if (t.half && !t.inverse && t.parts == 2) fail("onesided is for a real input, not for ", x.shape());
  t.given = std::min(t.given, t.half && t.inverse ? t.length / 2 + 1 : t.length);
  const Tensor weights = call.prepared({1, 2}, [&] { return std::vector{matrix(t, x.dtype())}; })[0];
  const Tensor rows = part(x, a, 0, t.given).movedim(a, -2).flatten(-2);
  return rows.matmul(weights).unflatten(-1, {t.results(), t.result_parts()}).movedim(-2, a).cast(call.x().dtype());
}

/// Transforms of windows that begin every `step` elements: (N, windows, results, 2).
Outputs short_time_fourier(Call& call) {
  Tensor x = call.x().rank() == 2 ? call.x().unsqueeze(-1) : call.x();
  check_parts(x);
  if (x.rank() != 3) fail("a signal of ", x.shape(), "; (N, L, 1) or (N, L, 2)");
  x = to_accumulate_dtype(x);
  const int64_t step = call.integer(1);
  const int64_t length = call.has(3) ? call.integer(3) : call.has(2) ? call.x(2).numel() : x.size(1);
  const Transform t{length, length, x.size(-1), false, call.flag("onesided", true)};
  if (call.has(2) && call.x(2).shape() != Shape{length}) fail("a window of ", call.x(2).shape(), " for ", length);
  if (length < 1 || length > x.size(1) || step < 1 || (t.half && t.parts == 2))
    fail("windows of ", length, " every ", step, " elements of ", x.shape(), t.half ? ", onesided" : "");
  const Tensor weights = call.prepared({1, 2, 3}, [&] {
    const Tensor all = matrix(t, x.dtype());
    if (!call.has(2)) return std::vector{all};
    return std::vector{all * call.x(2).cast(x.dtype()).repeat_interleave(t.parts).unsqueeze(-1)};
  })[0];
  const Tensor windows = x.unfold(1, length, step).movedim(2, -1).flatten(-2);  // (N, windows, length * parts)
  return windows.matmul(weights).unflatten(-1, {t.results(), 2}).cast(call.x().dtype());
}

/// A window that is symmetric, or the beginning of one that is one element longer: a + b cos(t) + c cos(2 t).
Op window(double a, double b, double c) {
  return [=](Call& call) -> Outputs {
    const int64_t size = call.integer(0);
    if (size < 0 || size > kLongest) fail("a window of ", size, " elements; 0 to ", kLongest);
    const double steps = double(std::max<int64_t>(call.flag("periodic", true) ? size : size - 1, 1));
    const Tensor t = Tensor::arange(size).cast(DType::Float64) * (2 * std::numbers::pi / steps);
    const Tensor values = c == 0 ? a + b * t.cos() : a + b * t.cos() + c * (2 * t).cos();
    return as_type(values, call.type("output_datatype", Type::Float32));
  };
}

/// Triangles over the frequencies of a spectrum, evenly spaced in mel: (length / 2 + 1, count).
Outputs mel_weights(Call& call) {
  const int64_t count = call.integer(0), length = call.integer(1), rate = call.integer(2);
  if (count < 1 || length < 1 || rate < 1 || count > kLongest || length > kLongest)
    fail(count, " filters over a transform of ", length, " elements at ", rate, " Hz");
  const Shape shape{length / 2 + 1, count};
  if (numel(shape) > kLongest) fail(count, " filters over ", shape[0], " frequencies are too many");
  const auto mel = [](double hertz) { return 2595 * std::log10(1 + hertz / 700); };
  const double low = mel(call.real(3)), step = (mel(call.real(4)) - low) / double(count + 2);
  const auto bin = [&](int64_t i) {  // the frequency where a triangle begins, has its peak, or ends
    const double hertz = 700 * (std::pow(10, (low + step * double(i)) / 2595) - 1);
    const double at = std::floor(double(length + 1) * hertz / double(rate));
    if (!(at >= 0 && at < double(shape[0]))) fail("a filter reaches ", hertz, " Hz, beyond the spectrum");
    return int64_t(at);
  };
  std::vector<double> values(size_t(numel(shape)));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = bin(i), peak = bin(i + 1), end = bin(i + 2);
    const auto at = [&](int64_t j) -> double& { return values[size_t(j * count + i)]; };
    for (int64_t j = begin; j < peak; ++j) at(j) = double(j - begin) / double(peak - begin);
    at(peak) = 1;
    for (int64_t j = peak + 1; j < end; ++j) at(j) = double(end - j) / double(end - peak);
  }
  return as_type(Tensor::from(values, shape), call.type("output_datatype", Type::Float32));
}

}  // namespace

void add_spectral(Ops& ops) {
  ops["DFT"] = fourier;
  ops["STFT"] = short_time_fourier;
  ops["HannWindow"] = window(0.5, -0.5, 0);
  ops["HammingWindow"] = window(25. / 46, -21. / 46, 0);
  ops["BlackmanWindow"] = window(0.42, -0.5, 0.08);
  ops["MelWeightMatrix"] = mel_weights;
}

}  // namespace teeny::onnx
