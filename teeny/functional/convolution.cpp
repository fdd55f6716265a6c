// Convolution and its adjoint, the transposed convolution. Each is the other's gradient by its image; both are one
// contraction over windows, which are views: no window is ever copied.
#include <algorithm>
#include <numeric>

#include "teeny/functional/functional.h"
#include "teeny/mlops/common.h"

namespace teeny {
namespace {

/// The options of a convolution, one value for each of its spatial axes.
struct Geometry {
  Dims stride, padding, padding_end, dilation;
  int64_t groups;
  int axes() const { return stride.size(); }
};

/// How many windows an axis has.
int64_t output_size(int64_t image, int64_t taps, const Geometry& g, int a) {
  return (image + g.padding[a] + g.padding_end[a] - (taps - 1) * g.dilation[a] - 1) / g.stride[a] + 1;
}

int64_t div_floor(int64_t x, int64_t by) { return (x >= 0 ? x : x - by + 1) / by; }

/// x (N, C, H, W) -> (N, G, 1, OH, OW, C/G, KH, KW): what the outputs of one group look at.
Tensor conv_windows(const Tensor& x, const Dims& kernel, const Geometry& g) {
  const int n = g.axes();
  Tensor w = pad_spatial(x, g.padding, g.padding_end).unflatten(1, {g.groups, -1});
  w = windows(w, kernel, g.stride, g.dilation);  // (N, G, C/G, OH, OW, KH, KW)
  Dims order{0, 1};
  for (int64_t a : range(3, 3 + n)) order.push_back(a);
  order.push_back(2);
  for (int64_t a : range(3 + n, 3 + 2 * n)) order.push_back(a);
  return w.permute(order).unsqueeze(2);
}

Dims spatial(const Shape& shape) { return {shape.begin() + 2, shape.end()}; }

// A small image under a large kernel: where every output sees every pixel, a convolution is a product of matrices, and
// so is its adjoint. Output o sees pixel i through tap i + (O-1-o)*stride, so the matrix is a view of the weights, too,
// and no multiply-add meets padding.
//
//   image a b, padding 1, kernel 0 1 2      out0 = a*w1 + b*w2      matrix  w1 w2
//                                           out1 = a*w0 + b*w1              w0 w1
bool sees_all(const Shape& image, const Shape& weight, const Shape& out, const Geometry& g) {
  for (int a = 0; a < g.axes(); ++a) {
    const int64_t reach = (out[2 + a] - 1) * g.stride[a];  // where padding begins for the first, and the last one ends
    if (g.padding[a] != reach || weight[2 + a] != image[2 + a] + reach || (weight[2 + a] > 1 && g.dilation[a] > 1))
      return false;
  }
  return true;
}

/// Sums over the channels and pixels of x (N, G*I, S..), for each channel and place of the other side: (N, G*O, T..).
/// The weights are (G*O, I, K..) or, where x is the side that a convolution writes, (G*I, O, K..).
Tensor multiply_all(const Tensor& x, const Tensor& weight, const Shape& result, const Geometry& g, bool adjoint) {
  const int n = g.axes();
  const Dims pixels = spatial(adjoint ? result : x.shape());
  Dims outputs;
  for (int a = 0; a < n; ++a) outputs.push_back(3 + a);
  Tensor w = windows(weight.unflatten(0, {g.groups, -1}), pixels, g.stride, Dims::filled(n, 1)).flip(outputs);
  Dims order{0};  // of w (G, O/G, C/G, OH, OW, H, W)
  for (const bool summed : {adjoint, !adjoint}) {
    order.push_back(summed ? 2 : 1);
    for (int a = 0; a < n; ++a) order.push_back(summed ? 3 + n + a : 3 + a);
  }
  w = w.permute(order).unsqueeze(0);
  Tensor y = x.unflatten(1, {g.groups, -1});  // (N, G, 1, 1.., I, S..)
  for (int a = 0; a <= n; ++a) y = y.unsqueeze(2);
  return contract(y, w, 1 + n).flatten(1, 2);
}

Tensor convolve(const Tensor& x, const Tensor& weight, const Geometry& g) {
  const int n = g.axes();
  Shape out{x.size(0), weight.size(0)};
  for (int a = 0; a < n; ++a) out.push_back(output_size(x.size(2 + a), weight.size(2 + a), g, a));
  if (sees_all(x.shape(), weight.shape(), out, g)) return multiply_all(x, weight, out, g, false);
  Tensor w = weight.unflatten(0, {g.groups, -1}).unsqueeze(0);  // (1, G, O/G, C/G, K..)
  for (int i = 0; i < n; ++i) w = w.unsqueeze(3);               // (1, G, O/G, 1.., C/G, K..)
  return contract(conv_windows(x, spatial(weight.shape()), g), w, 1 + n).flatten(1, 2);
}

/// d/dweight: grad (N, G, O/G, 1, OH, OW) times windows, summed over images and pixels.
Tensor conv_weight_grad(const Tensor& grad, const Tensor& x, const Shape& weight, const Geometry& g) {
  const int n = g.axes();
  // [exercise 18
  const Tensor looked_at = conv_windows(x, spatial(weight), g);  // (N, G, 1, O.., C/G, K..)
  // Both as (G, O/G, C/G, K.. | N, O..).
  Dims order{1, 2};
  for (int64_t a : range(3 + n, 4 + 2 * n)) order.push_back(a);
  order.push_back(0);
  for (int64_t a : range(3, 3 + n)) order.push_back(a);
  Tensor out = grad.unflatten(1, {g.groups, -1});
  for (int i = 0; i <= n; ++i) out = out.unsqueeze(-1);
  return contract(out.permute(order), looked_at.permute(order), 1 + n).reshape(weight);
  // exercise 18]
}

Tensor conv_adjoint(const Tensor& grad, const Tensor& weight, const Shape& x, Geometry g);

/// Part of x along one axis, from `begin` on.
Tensor tail(const Tensor& x, int axis, int64_t begin) {
  Dims from = Dims::filled(x.rank(), 0);
  from[axis] = begin;
  return x.shrink(from, x.shape());
}

/// The adjoint where both a stride and a dilation are above 1 along axis a, without a common divisor. Pixels i,
/// i + stride, .. are met by the same taps alone, at one distance, so each such phase of the image is the adjoint of a
/// convolution of stride 1 by these.
Tensor conv_adjoint_in_phases(const Tensor& grad, const Tensor& weight, const Shape& x, const Geometry& g, int a) {
  const int64_t stride = g.stride[a];
  Shape part = x;
  part[2 + a] = (x[2 + a] + stride - 1) / stride;
  std::vector<Tensor> phases;
  for (int64_t i = 0; i < stride; ++i) {
    int64_t tap = 0;  // the first that meets pixel i, and so pixel i + stride, from the next output
    while ((i + g.padding[a] - tap * g.dilation[a]) % stride != 0) ++tap;
    if (tap >= weight.size(2 + a)) {
      phases.push_back(Tensor::zeros(part, grad.dtype()));
      continue;
    }
    Geometry phase = g;
    phase.stride[a] = 1, phase.padding[a] = (i + g.padding[a] - tap * g.dilation[a]) / stride;
    const Tensor taps = tail(weight, 2 + a, tap).unfold(2 + a, 1, stride).squeeze(-1);
    phases.push_back(conv_adjoint(grad, taps, part, phase));
  }
  return Tensor::stack(phases, 3 + a).flatten(2 + a, 3 + a).shrink(Dims::filled(x.size(), 0), x);
}

/// Whether the adjoint is a product at each pixel of `grad` whose results are added where they belong, rather than a
/// contraction at each pixel of x. The contraction also multiplies padding, and zeros where strides or dilations leave
/// gaps; the product is written to memory and read again. Both costs are counted in multiply-adds, as measured on CPUs.
bool adds_products(const Shape& grad, const Shape& weight, const Shape& x, const Geometry& g) {
  constexpr double kWritten = 320, kLaunched = 1e6;  // what an element that is written and added costs, and a kernel
  constexpr double kMostWritten = 1 << 24;           // elements that may be more than the result has
  const double channels = double(x[1] / g.groups);
  double met = double(x[0]) * double(grad[1]) * channels, multiplied = met, rows = channels, phases = 1;
  bool apart = true, interleaved = false;
  for (int a = 0; a < g.axes(); ++a) {
    const int64_t taps = weight[2 + a], outputs = grad[2 + a], stride = g.stride[a], dilation = g.dilation[a];
    met *= double(outputs) * double(taps);
    apart &= (taps - 1) * dilation < stride;  // no two windows meet a pixel: nothing is added
    if (outputs == 1 || taps == 1) {
      multiplied *= double(std::max(outputs, taps));
      continue;
    }
    const int64_t common = std::gcd(stride, dilation), period = stride / common;  // of the taps that meet one pixel
    multiplied *= double(x[2 + a]) / double(common) * double((taps + period - 1) / period);
    (dilation == common ? rows : phases) *= double(period);
    interleaved |= stride > 1;
  }
  if (apart) return interleaved;
  const double written = met / double(grad[1] / g.groups);
  const double by_product = met + written * kWritten + kLaunched;
  const double by_contraction = multiplied * (1 + 16 / (1 + rows)) + (phases - 1) * 2 * kLaunched;  // few rows: slow
  return written <= std::max(kMostWritten, double(numel(x))) && by_product < by_contraction;
}

/// The adjoint that adds products.
Tensor add_products(const Tensor& grad, const Tensor& weight, const Shape& x, const Geometry& g) {
  const int n = g.axes();
  Tensor w = weight.unflatten(0, {g.groups, -1}).movedim(1, -1).unsqueeze(0);  // (1, G, C/G, K.., O/G)
  Tensor y = grad.unflatten(1, {g.groups, -1}).movedim(2, -1).unsqueeze(2);    // (N, G, 1, O.., O/G)
  for (int a = 0; a < n; ++a) w = w.unsqueeze(-2), y = y.unsqueeze(3);
  // (N, C, K.., O..)
  const Tensor products = contract(to_accumulate_dtype(y), to_accumulate_dtype(w), 1).flatten(1, 2);
  Dims reach, before, after;  // of the windows, and what x has beyond that
  for (int a = 0; a < n; ++a) {
    reach.push_back((grad.size(2 + a) - 1) * g.stride[a] + (weight.size(2 + a) - 1) * g.dilation[a] + 1);
    before.push_back(-g.padding[a]), after.push_back(x[2 + a] + g.padding[a] - reach[a]);
  }
  return pad_spatial(fold(products, 2, reach, g.stride, g.dilation, true), before, after).cast(grad.dtype());
}

// d/dx is the convolution of the output's gradient with the weights mirrored. Along one axis, x[h] met output o through
// tap k where h + padding = o*stride + k*dilation. With h + padding = stride*q + r (q: position, r: phase) only the
// taps k = stride*j + r of its phase reach x[h], from output q - j:
//
//   dx[q, r] = sum over j of grad[q - j] * weight[j, r]
//
// a convolution of stride 1 whose phases are channels of the weight, and whose result (q, r) lies in x's order. No
// product with an inserted zero is computed, but for taps that fill up K to a multiple of the stride.
Tensor conv_adjoint(const Tensor& grad, const Tensor& weight, const Shape& x, Geometry g) {
  if (numel(x) == 0) return Tensor::zeros(x, grad.dtype());  // windows over padding alone: nothing to reach
  const int n = g.axes();
  if (sees_all(x, weight.shape(), grad.shape(), g)) return multiply_all(grad, weight, x, g, true);
  for (int a = 0; a < n; ++a) {
    if (weight.size(2 + a) == 1) g.dilation[a] = 1;
    if (grad.size(2 + a) == 1)  // takes no step: any will do that is as long as it reaches
      g.stride[a] = std::max((weight.size(2 + a) - 1) * g.dilation[a] + 1, g.padding[a] + x[2 + a]);
  }
  if (adds_products(grad.shape(), weight.shape(), x, g)) return add_products(grad, weight, x, g);
  for (int a = 0; a < n; ++a) {  // where all meet every i-th pixel alone, the result for these is moved apart
    const int64_t stride = grad.size(2 + a) > 1 ? g.stride[a] : 0;
    const int64_t dilation = weight.size(2 + a) > 1 ? g.dilation[a] : 0, every = std::gcd(stride, dilation);
    if (every <= 1) continue;
    const int64_t first = -div_floor(-g.padding[a], every);  // such pixel
    Shape dense = x;
    Dims before = Dims::filled(n, 0), after = before;
    before[a] = first * every - g.padding[a], dense[2 + a] = div_floor(x[2 + a] - 1 - before[a], every) + 1;
    if (dense[2 + a] < 1) return Tensor::zeros(x, grad.dtype());
    after[a] = x[2 + a] - before[a] - ((dense[2 + a] - 1) * every + 1);
    g.padding[a] = first, g.stride[a] = std::max<int64_t>(stride / every, 1);
    g.dilation[a] = std::max<int64_t>(dilation / every, 1);
    const Tensor dx = conv_adjoint(grad, weight, dense, g).transpose(2 + a, -1);
    return pad_spatial(spread_last(dx, every).transpose(2 + a, -1), before, after);
  }
  for (int a = 0; a < n; ++a)
    if (g.stride[a] > 1 && g.dilation[a] > 1) return conv_adjoint_in_phases(grad, weight, x, g, a);
  Tensor w = weight.unflatten(0, {g.groups, -1});  // (G, O/G, C/G, K..)
  Dims taps, first, before, after;
  for (int a = 0; a < n; ++a) {
    const int64_t outputs = grad.size(2 + a), s = g.stride[a], size = w.size(3 + a);
    taps.push_back((size + s - 1) / s);
    first.push_back(div_floor(g.padding[a], s));
    const int64_t last = div_floor(g.padding[a] + x[2 + a] - 1, s);
    before.push_back((taps[a] - 1) * g.dilation[a] - first[a]);
    after.push_back(last - (outputs - 1));
  }
  Shape phased(w.shape().begin(), w.shape().begin() + 3);
  Dims extra = Dims::filled(w.rank(), 0), none = extra;
  for (int a = 0; a < n; ++a) {
    extra[3 + a] = taps[a] * g.stride[a] - w.size(3 + a);
    phased.push_back(taps[a]);
    phased.push_back(g.stride[a]);
  }
  w = w.pad(none, extra).reshape(phased);  // (G, O/G, C/G, J0, s0, J1, s1, ..)
  Dims flipped, w_order{0, 2};
  for (int a = 0; a < n; ++a) flipped.push_back(3 + 2 * a), w_order.push_back(4 + 2 * a);
  w_order.push_back(1);
  for (int a = 0; a < n; ++a) w_order.push_back(3 + 2 * a);
  w = w.flip(flipped).permute(w_order).unsqueeze(0);  // (1, G, C/G, s.., O/G, J..)

  Tensor y = pad_spatial(grad, before, after).unflatten(1, {g.groups, -1});
  y = windows(y, taps, Dims::filled(n, 1), g.dilation);  // (N, G, O/G, Q.., J..)
  Dims y_order{0, 1};
  for (int64_t a : range(3, 3 + n)) y_order.push_back(a);
  y_order.push_back(2);
  for (int64_t a : range(3 + n, 3 + 2 * n)) y_order.push_back(a);
  y = y.permute(y_order).unsqueeze(2);  // (N, G, 1, Q.., O/G, J..)

  // Interleave: y (N, G, 1, Q0, 1, Q1, 1, .., O/G, J..), w (1, G, C/G, 1, s0, 1, s1, .., O/G, J..).
  for (int a = 0; a < n; ++a) {
    y = y.unsqueeze(4 + 2 * a);
    w = w.unsqueeze(3 + 2 * a);
  }
  Tensor dx = contract(y, w, 1 + n);  // (N, G, C/G, Q0, s0, Q1, s1, ..)
  Shape joined{x[0], x[1]};
  Dims begin{0, 0}, end{x[0], x[1]};
  for (int a = 0; a < n; ++a) {
    joined.push_back(dx.size(3 + 2 * a) * g.stride[a]);
    begin.push_back(g.padding[a] - first[a] * g.stride[a]);
    end.push_back(begin[2 + a] + x[2 + a]);
  }
  return dx.reshape(joined).shrink(begin, end);
}

}  // namespace

struct Conv : Function {
  Geometry geometry;
  explicit Conv(Geometry geometry) : geometry(std::move(geometry)) {}
  LazyBuffer forward(const LazyBuffer& image, const LazyBuffer& weight) {
    const NoGrad guard;
    return convolve(Tensor(image), Tensor(weight), geometry).lazy();
  }
  Grads backward(const Tensor& grad, const Tensor&) override;
};

/// `image` is the shape of the result: several lead to the same convolution when a stride passes over the last
/// elements.
struct ConvTranspose : Function {
  Shape image;
  Geometry geometry;
  ConvTranspose(Shape image, Geometry geometry) : image(std::move(image)), geometry(std::move(geometry)) {}
  LazyBuffer forward(const LazyBuffer& x, const LazyBuffer& weight) {
    const NoGrad guard;
    return conv_adjoint(Tensor(x), Tensor(weight), image, geometry).lazy();
  }
  Grads backward(const Tensor& grad, const Tensor&) override {
    const auto [x, weight] = saved<2>();
    return {x.requires_grad() ? apply(Conv(geometry), grad, weight) : Tensor(),
            weight.requires_grad() ? conv_weight_grad(x, grad, weight.shape(), geometry) : Tensor()};
  }
};

Grads Conv::backward(const Tensor& grad, const Tensor&) {
  const auto [x, weight] = saved<2>();
  return {x.requires_grad() ? apply(ConvTranspose(x.shape(), geometry), grad, weight) : Tensor(),
          weight.requires_grad() ? conv_weight_grad(grad, x, weight.shape(), geometry) : Tensor()};
}

// ---- The methods ---------------------------------------------------------------------------------------------------

namespace {

DType common_dtype(const Tensor& x, const Tensor& weight, const char* op) {
  const DType common = promote(x.dtype(), weight.dtype());
  if (common == DType::Bool) fail(op, ": not defined on bools");
  return common;
}

/// As a trace keeps it.
Attributes attributes_of(const Geometry& g, const Dims& padding_end, const Dims& output_padding) {
  return {{"stride", g.stride},           {"padding", g.padding},   {"padding_end", padding_end},
          {"output_padding", output_padding}, {"dilation", g.dilation}, {"groups", g.groups}};
}

/// out (N, O, H, W) + bias (O), if there is one.
Tensor with_bias(const Tensor& out, const Tensor& bias) {
  if (!bias.defined()) return out;
  return out + reshape_to_axis(bias, 1, out.rank());
}

/// The weights without those taps at either end that meet nothing but padding, which is changed to match.
Tensor without_idle_taps(const Tensor& weight, const Shape& image, const Dims& outputs, Geometry& g) {
  Dims begin = Dims::filled(weight.rank(), 0), end = weight.shape();
  for (int a = 0; a < g.axes(); ++a) {
    const int64_t size = image[2 + a], step = g.stride[a], dilation = g.dilation[a], padding = g.padding[a];
    const auto meets = [&](int64_t tap) {  // whether the first output that this tap brings to 0 or beyond is inside
      const int64_t at = tap * dilation - padding, o = std::max<int64_t>(0, -div_floor(at, step));
      return o < outputs[a] && at + o * step < size;
    };
    int64_t &first = begin[2 + a], &last = end[2 + a];
    while (last > 1 && !meets(last - 1)) --last;
    while (first < last - 1 && !meets(first)) ++first;
    g.padding[a] -= first * dilation;
    g.padding_end[a] = (outputs[a] - 1) * step + (last - first - 1) * dilation + 1 - size - g.padding[a];
  }
  return weight.shrink(begin, end);
}

Tensor conv(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvOptions& options, int n,
            const char* op) {
  const Shape &image = x.lazy(op).shape(), &kernel = weight.lazy(op).shape();
  const int64_t groups = options.groups;
  if (weight.rank() != n + 2 || x.rank() != n + 2)
    fail(op, ": an image of ", image, " does not fit a weight of ", kernel, ": (N, C, ..) * (O, C/groups, ..) with ", n,
         " spatial axes");
  if (groups < 1 || image[1] % groups || image[1] / groups != kernel[1] || kernel[0] % groups)
    fail(op, ": ", image[1], " channels of ", image, " in ", groups, " groups do not fit a weight of ", kernel);
  if (bias.defined() && bias.shape() != Shape{kernel[0]})
    fail(op, ": a bias of ", bias.shape(), " does not fit a weight of ", kernel);
  const Sizes& padding = options.padding;
  Geometry g{per_axis(options.stride, n, op, "stride", 1), per_axis(padding, n, op, "padding", 0),
             per_axis(options.padding_end.value_or(padding), n, op, "padding_end", 0),
             per_axis(options.dilation, n, op, "dilation", 1), groups};
  for (int a = 0; options.padding.same && a < n; ++a) {
    if (g.stride[a] != 1) fail(op, ": padding \"same\" needs a stride of 1, not ", g.stride);
    if (options.padding_end) fail(op, ": padding_end beside padding \"same\", which says both ends");
    const int64_t reach = g.dilation[a] * (kernel[2 + a] - 1);
    g.padding[a] = reach / 2, g.padding_end[a] = reach - reach / 2;
  }
  Dims outputs, products{image[0], kernel[0], kernel[1]};
  for (int a = 0; a < n; ++a) {
    const int64_t padded = image[2 + a] + g.padding[a] + g.padding_end[a], taps = kernel[2 + a];
    if (taps < 1 || taps > padded || taps - 1 > (padded - 1) / g.dilation[a])
      fail(op, ": a kernel of ", kernel, ", dilation ", g.dilation, ", is larger than the padded image ", image,
           ", padding ", g.padding, " and ", g.padding_end);
    outputs.push_back(output_size(image[2 + a], taps, g, a));
    products.push_back(outputs[a]), products.push_back(taps);
  }
  numel(products, op);
  TEENY_TRACED(conv(x, weight, bias, options, n, op), {x, weight, bias}, attributes_of(g, g.padding_end, {}));
  const DType common = common_dtype(x, weight, op);
  const Tensor taps = without_idle_taps(weight.cast(common), image, outputs, g);
  return with_bias(apply(Conv(g), x.cast(common), taps), bias);
}

Tensor conv_transpose(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvTransposeOptions& options,
                      int n, const char* op) {
  const Shape &input = x.lazy(op).shape(), &kernel = weight.lazy(op).shape();
  const int64_t groups = options.groups;
  if (weight.rank() != n + 2 || x.rank() != n + 2)
    fail(op, ": an image of ", input, " does not fit a weight of ", kernel, ": (N, C, ..) * (C, O/groups, ..) with ", n,
         " spatial axes");
  if (groups < 1 || input[1] != kernel[0] || kernel[0] % groups)
    fail(op, ": ", input[1], " channels of ", input, " in ", groups, " groups do not fit a weight of ", kernel);
  if (bias.defined() && bias.shape() != Shape{numel({kernel[1], groups})})
    fail(op, ": a bias of ", bias.shape(), " does not fit a weight of ", kernel, " in ", groups, " groups");
  Geometry g{per_axis(options.stride, n, op, "stride", 1), per_axis(options.padding, n, op, "padding", 0),
             per_axis(options.padding_end.value_or(options.padding), n, op, "padding_end", 0),
             per_axis(options.dilation, n, op, "dilation", 1), groups};
  const Dims extra = per_axis(options.output_padding, n, op, "output_padding", 0);
  const Dims end = g.padding_end;
  Shape image{input[0], numel({kernel[1], groups})};
  for (int a = 0; a < n; ++a) {
    if (extra[a] >= g.stride[a] && extra[a] >= g.dilation[a])
      fail(op, ": output_padding ", extra, " must be smaller than stride ", g.stride, " or dilation ", g.dilation);
    // The convolution that this is the adjoint of pads its end by that much less, and so sees the image to its end.
    g.padding_end[a] -= extra[a];
    int64_t steps, taps;
    constexpr int64_t kMost = int64_t(1) << 60;
    if (__builtin_mul_overflow(input[2 + a] - 1, g.stride[a], &steps) || steps > kMost ||
        __builtin_mul_overflow(kernel[2 + a] - 1, g.dilation[a], &taps) || taps > kMost)
      fail(op, ": an image of ", input, ", a weight of ", kernel, ", stride ", g.stride, ", dilation ", g.dilation,
           ": more than 60 bits can count along axis ", 2 + a);
    image.push_back(steps + taps + 1 - g.padding[a] - g.padding_end[a]);
    if (input[2 + a] < 1 || kernel[2 + a] < 1 || image[2 + a] < 1)
      fail(op, ": an image of ", input, ", a weight of ", kernel, ", padding ", g.padding,
           ": nothing is left along axis ", 2 + a);
  }
  numel(image, op);
  numel({numel(input), numel(kernel) / std::max<int64_t>(kernel[0], 1)}, op);  // the products
  TEENY_TRACED(conv_transpose(x, weight, bias, options, n, op), {x, weight, bias}, attributes_of(g, end, extra));
  const DType common = common_dtype(x, weight, op);
  const Tensor taps = without_idle_taps(weight.cast(common), image, spatial(input), g);
  return with_bias(apply(ConvTranspose(image, g), x.cast(common), taps), bias);
}

}  // namespace

Tensor Tensor::conv1d(const Tensor& weight, const Tensor& bias, const ConvOptions& options) const {
  return conv(*this, weight, bias, options, 1, "conv1d");
}
Tensor Tensor::conv2d(const Tensor& weight, const Tensor& bias, const ConvOptions& options) const {
  return conv(*this, weight, bias, options, 2, "conv2d");
}
Tensor Tensor::conv3d(const Tensor& weight, const Tensor& bias, const ConvOptions& options) const {
  return conv(*this, weight, bias, options, 3, "conv3d");
}
Tensor Tensor::conv_transpose1d(const Tensor& weight, const Tensor& bias, const ConvTransposeOptions& options) const {
  return conv_transpose(*this, weight, bias, options, 1, "conv_transpose1d");
}
Tensor Tensor::conv_transpose2d(const Tensor& weight, const Tensor& bias, const ConvTransposeOptions& options) const {
  return conv_transpose(*this, weight, bias, options, 2, "conv_transpose2d");
}
Tensor Tensor::conv_transpose3d(const Tensor& weight, const Tensor& bias, const ConvTransposeOptions& options) const {
  return conv_transpose(*this, weight, bias, options, 3, "conv_transpose3d");
}

}  // namespace teeny
