// Products and what is made of them: matmul, convolution, pooling. Every product is one contraction; every gradient of
// one is a contraction again.
#include <algorithm>
#include <numeric>

#include "teeny/mlops.h"

namespace teeny {
namespace {

Dims range(int64_t begin, int64_t end) {
  Dims result;
  for (int64_t i = begin; i < end; ++i) result.push_back(i);
  return result;
}

/// sum of x * y over `axes`, which stay with size 1. The two broadcast.
Tensor product_sum(const Tensor& x, const Tensor& y, const Dims& axes) {
  if (axes.empty()) return x * y;
  Dims order;
  for (int a = 0; a < x.rank(); ++a)
    if (!axes.contains(a)) order.push_back(a);
  for (int64_t a : axes) order.push_back(a);
  Shape kept = broadcast(x.shape(), y.shape(), "contract");
  for (int64_t a : axes) kept[int(a)] = 1;
  return contract(x.permute(order), y.permute(order), axes.size()).reshape(kept);
}

}  // namespace

struct Contract : Function {
  int reduced;
  explicit Contract(int reduced) : reduced(reduced) {}

  LazyBuffer forward(const LazyBuffer& a, const LazyBuffer& b) {
    const Shape whole = broadcast(a.shape(), b.shape(), "contract");
    return contract(a.expand(whole), b.expand(whole), reduced);
  }

  // d/da[i] = sum of grad * b over every axis along which a was repeated: the same product, other axes summed.
  Grads backward(const Tensor& grad, const Tensor&) override {
    const auto [a, b] = saved<2>();
    Shape shape = grad.shape();
    for (int i = 0; i < reduced; ++i) shape.push_back(1);
    const Tensor g = grad.reshape(shape);
    const Shape whole = broadcast(a.shape(), b.shape(), "contract");
    auto repeated = [&](const Tensor& x) {
      Dims axes;
      for (int i = 0; i < whole.size(); ++i)
        if (x.shape()[i] != whole[i]) axes.push_back(i);
      return axes;
    };
    return {a.requires_grad() ? product_sum(g, b, repeated(a)) : Tensor(),
            b.requires_grad() ? product_sum(g, a, repeated(b)) : Tensor()};
  }
};

Tensor contract(const Tensor& a, const Tensor& b, int reduced) { return apply(Contract(reduced), a, b); }

//   x (.., M, 1, K)  *  y (.., 1, N, K)   summed over K   ->   (.., M, N)
Tensor Tensor::matmul(const Tensor& y) const {
  if (rank() == 0 || y.rank() == 0) fail("matmul: ", shape(), " x ", y.shape(), ": both need at least one axis");
  const DType common = promote(dtype(), y.dtype());
  if (common == DType::Bool) fail("matmul: not defined on bools");
  const bool row = rank() == 1, column = y.rank() == 1;  // vectors: an axis is added here and dropped again
  const Tensor a = row ? unsqueeze(0).cast(common) : cast(common);
  const Tensor b = column ? y.unsqueeze(-1).cast(common) : y.cast(common);
  if (a.size(-1) != b.size(-2))
    fail("matmul: ", shape(), " x ", y.shape(), ": inner sizes ", a.size(-1), " and ", b.size(-2), " differ");
  auto batch = [](const Tensor& x) { return Shape(x.shape().begin(), x.shape().end() - 2); };
  broadcast(batch(a), batch(b), "matmul");
  auto aligned = [&](Tensor x, int axes) {  // as many batch axes as the other
    Shape to = Dims::filled(axes - x.rank(), 1);
    for (int64_t size : x.shape()) to.push_back(size);
    return x.reshape(to);
  };
  const int axes = std::max(a.rank(), b.rank());
  Tensor out = contract(aligned(a, axes).unsqueeze(-2), aligned(b, axes).transpose().unsqueeze(-3), 1);
  if (column) out = out.squeeze(-1);
  return row ? out.squeeze(column ? -1 : -2) : out;
}

Tensor Tensor::linear(const Tensor& weight, const Tensor& bias) const {
  if (weight.rank() != 2 || rank() == 0 || size(-1) != weight.shape()[1])
    fail("linear: an input of ", shape(), " does not fit a weight of ", weight.shape(), ": (.., in) x (out, in)");
  if (bias.defined() && bias.shape() != Shape{weight.shape()[0]})
    fail("linear: a bias of ", bias.shape(), " does not fit a weight of ", weight.shape());
  const Tensor out = matmul(weight.t());
  return bias.defined() ? out + bias : out;
}

// ---- Sliding windows ------------------------------------------------------------------------------------------------

/// (.., H, W) -> (.., OH, OW, KH, KW): every window over the last axes, as a view.
struct Windows : Function {
  Dims window, step, dilation;
  Windows(Dims window, Dims step, Dims dilation)
      : window(std::move(window)), step(std::move(step)), dilation(std::move(dilation)) {}
  LazyBuffer forward(const LazyBuffer& x) {
    LazyBuffer result = x;
    const int first = x.shape().size() - window.size();
    for (int a = 0; a < window.size(); ++a) result = result.unfold(first + a, window[a], step[a], dilation[a]);
    return result;
  }
  Grads backward(const Tensor& grad, const Tensor&) override {
    const Shape& x = inputs[0].shape();
    const int first = x.size() - window.size();
    return {fold(grad, first, Dims(x.begin() + first, x.end()), step, dilation)};
  }
};

namespace {
Tensor windows(const Tensor& x, const Dims& window, const Dims& step, const Dims& dilation) {
  return apply(Windows(window, step, dilation), x);
}
}  // namespace

Tensor Tensor::unfold(int64_t axis, int64_t size, int64_t step, int64_t dilation) const {
  const int a = axis_index(axis, "unfold");
  if (size < 1 || step < 1 || dilation < 1)
    fail("unfold: size ", size, ", step ", step, " and dilation ", dilation, " must be at least 1");
  if (size > shape()[a] || (size - 1) > (shape()[a] - 1) / dilation)
    fail("unfold: a window of ", size, " taps, ", dilation, " apart, is longer than axis ", a, " of ", shape());
  if (a == rank() - 1) return windows(*this, {size}, {step}, {dilation});
  Dims order = Dims::filled(rank() + 1, 0);  // (.., n, ..) -> (.., .., windows, taps) -> (.., windows, .., taps)
  for (int i = 0; i <= rank(); ++i) order[i] = i == a ? rank() - 1 : i > a && i < rank() ? i - 1 : i;
  Dims last = range(0, rank());
  last.erase(a);
  last.push_back(a);
  return windows(permute(last), {size}, {step}, {dilation}).permute(order);
}

// ---- Convolution ----------------------------------------------------------------------------------------------------

namespace {

/// The options of a convolution, one number for each of its spatial axes.
struct Geometry {
  Dims stride, padding, dilation;
  int64_t groups;
  int axes() const { return stride.size(); }
};

Dims each(const Sizes& sizes, int axes, const char* op, const char* what, int64_t least) {
  const Dims result = sizes.list.size() == 1 ? Dims::filled(axes, sizes.list[0]) : sizes.list;
  if (result.size() != axes) fail(op, ": ", what, ' ', sizes.list, " must have one size, or ", axes);
  for (int64_t size : result)
    if (size < least) fail(op, ": ", what, ' ', sizes.list, " must be at least ", least);
  return result;
}

/// Pads the spatial axes; negative amounts cut.
Tensor pad_spatial(const Tensor& x, const Dims& before, const Dims& after, Scalar value = 0) {
  Dims front = Dims::filled(x.rank() - before.size(), 0), back = front;
  for (int64_t amount : before) front.push_back(amount);
  for (int64_t amount : after) back.push_back(amount);
  return x.pad(front, back, value);
}

/// x (N, C, H, W) -> (N, G, 1, OH, OW, C/G, KH, KW): what the outputs of one group look at.
Tensor conv_windows(const Tensor& x, const Dims& kernel, const Geometry& g) {
  const int n = g.axes();
  Tensor w = pad_spatial(x, g.padding, g.padding).unflatten(1, {g.groups, -1});
  w = windows(w, kernel, g.stride, g.dilation);  // (N, G, C/G, OH, OW, KH, KW)
  Dims order{0, 1};
  for (int64_t a : range(3, 3 + n)) order.push_back(a);
  order.push_back(2);
  for (int64_t a : range(3 + n, 3 + 2 * n)) order.push_back(a);
  return w.permute(order).unsqueeze(2);
}

Dims spatial(const Shape& shape) { return {shape.begin() + 2, shape.end()}; }

/// d/dweight: grad (N, G, O/G, 1, OH, OW) times windows, summed over images and pixels.
Tensor conv_weight_grad(const Tensor& grad, const Tensor& x, const Shape& weight, const Geometry& g) {
  const int n = g.axes();
  const Tensor looked_at = conv_windows(x, spatial(weight), g);  // (N, G, 1, O.., C/G, K..)
  // Both as (G, O/G, C/G, K.. | N, O..).
  Dims order{1, 2};
  for (int64_t a : range(3 + n, 4 + 2 * n)) order.push_back(a);
  order.push_back(0);
  for (int64_t a : range(3, 3 + n)) order.push_back(a);
  Tensor out = grad.unflatten(1, {g.groups, -1});
  for (int i = 0; i <= n; ++i) out = out.unsqueeze(-1);
  return contract(out.permute(order), looked_at.permute(order), 1 + n).reshape(weight);
}

// d/dx is the convolution of the output's gradient with the weights mirrored. Along one axis, x[h] met output o through
// tap k where h + padding = o*stride + k*dilation. With h + padding = stride*q + r (q: position, r: phase) only the taps
// k = stride*j + r of its phase reach x[h], from output q - j:
//
//   dx[q, r] = sum over j of grad[q - j] * weight[j, r]
//
// a convolution of stride 1 whose phases are channels of the weight, and whose result (q, r) lies in x's order. No
// product with an inserted zero is computed, but for taps that fill up K to a multiple of the stride.
Tensor conv_input_grad(const Tensor& grad, const Tensor& weight, const Shape& x, Geometry g) {
  const int n = g.axes();
  Tensor w = weight.unflatten(0, {g.groups, -1});  // (G, O/G, C/G, K..)
  Dims taps, first, before, after;
  for (int a = 0; a < n; ++a) {
    if (g.stride[a] > 1 && g.dilation[a] > 1) {  // the taps' gaps become taps of 0
      w = spread_last(w.transpose(3 + a, -1), g.dilation[a]).transpose(3 + a, -1);
      g.dilation[a] = 1;
    }
    const int64_t s = g.stride[a], size = w.size(3 + a), outputs = grad.size(2 + a);
    taps.push_back((size + s - 1) / s);
    first.push_back(g.padding[a] / s);
    const int64_t last = (g.padding[a] + x[2 + a] - 1) / s;
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

  LazyBuffer forward(const LazyBuffer& image, const LazyBuffer& kernel) {
    const NoGrad guard;
    const Tensor x(image), weight(kernel);
    const int n = geometry.axes();
    const Tensor looked_at = conv_windows(x, spatial(weight.shape()), geometry);  // (N, G, 1, O.., C/G, K..)
    Tensor w = weight.unflatten(0, {geometry.groups, -1}).unsqueeze(0);           // (1, G, O/G, C/G, K..)
    for (int i = 0; i < n; ++i) w = w.unsqueeze(3);                               // (1, G, O/G, 1.., C/G, K..)
    return contract(looked_at, w, 1 + n).flatten(1, 2).lazy();
  }
  Grads backward(const Tensor& grad, const Tensor&) override {
    const auto [x, weight] = saved<2>();
    return {x.requires_grad() ? conv_input_grad(grad, weight, x.shape(), geometry) : Tensor(),
            weight.requires_grad() ? conv_weight_grad(grad, x, weight.shape(), geometry) : Tensor()};
  }
};

Tensor Tensor::conv2d(const Tensor& weight, const Tensor& bias, const ConvOptions& options) const {
  const int n = weight.rank() - 2;
  const int64_t groups = options.groups;
  if (n < 1 || rank() != weight.rank())
    fail("conv2d: an image of ", shape(), " does not fit a weight of ", weight.shape(), ": (N, C, H, W) * (O, C/groups, KH, KW)");
  if (groups < 1 || shape()[1] != weight.shape()[1] * groups || weight.shape()[0] % groups)
    fail("conv2d: ", shape()[1], " channels in ", groups, " groups do not fit a weight of ", weight.shape());
  if (bias.defined() && bias.shape() != Shape{weight.shape()[0]})
    fail("conv2d: a bias of ", bias.shape(), " does not fit a weight of ", weight.shape());
  const Geometry geometry{each(options.stride, n, "conv2d", "stride", 1), each(options.padding, n, "conv2d", "padding", 0),
                          each(options.dilation, n, "conv2d", "dilation", 1), groups};
  for (int a = 0; a < n; ++a) {
    const int64_t padded = shape()[2 + a] + 2 * geometry.padding[a], taps = weight.shape()[2 + a];
    if (taps < 1 || geometry.dilation[a] * (taps - 1) + 1 > padded)
      fail("conv2d: a kernel of ", weight.shape(), ", dilation ", geometry.dilation, ", is larger than the padded image ",
           shape(), ", padding ", geometry.padding);
  }
  const DType common = promote(dtype(), weight.dtype());
  const Tensor out = apply(Conv(geometry), cast(common), weight.cast(common));
  if (!bias.defined()) return out;
  Shape channels = Dims::filled(n + 1, 1);
  channels[0] = weight.shape()[0];
  return out + bias.reshape(channels);
}

// ---- Pooling: a reduction over windows ------------------------------------------------------------------------------

/// The maximum over the last `axes` axes; the gradient goes to the first of equals.
struct FirstMax : Function {
  int axes;
  explicit FirstMax(int axes) : axes(axes) {}
  LazyBuffer forward(const LazyBuffer& x) {
    return x.reduce(ReduceOp::Max, range(x.shape().size() - axes, x.shape().size()));
  }
  Grads backward(const Tensor& grad, const Tensor& out) override {
    const Tensor x = inputs[0];
    const Shape taps(x.shape().end() - axes, x.shape().end());
    const int64_t count = teeny::numel(taps);
    const Tensor number = Tensor::arange(count).cast(DType::Int32).reshape(taps);
    const Tensor first = where(x == out, number, Scalar(count)).min(range(x.rank() - axes, x.rank()), true);
    return {where(number == first, grad, 0)};
  }
};

namespace {
Tensor pool_windows(const Tensor& x, const Sizes& window, const PoolOptions& options, Scalar padding, const char* op) {
  const int n = window.list.size() == 1 ? 2 : window.list.size();
  if (x.rank() <= n) fail(op, ": ", x.shape(), " needs batch or channel axes before the ", n, " pooled ones");
  const Dims size = each(window, n, op, "window", 1), pad = each(options.padding, n, op, "padding", 0);
  const Dims stride = options.stride ? each(*options.stride, n, op, "stride", 1) : size;
  const Dims dilation = each(options.dilation, n, op, "dilation", 1);
  for (int a = 0; a < n; ++a) {
    if (2 * pad[a] > size[a]) fail(op, ": padding ", pad, " is more than half the window ", size);
    if (dilation[a] * (size[a] - 1) + 1 > x.size(a - n) + 2 * pad[a])
      fail(op, ": a window of ", size, ", dilation ", dilation, ", is larger than ", x.shape(), ", padding ", pad);
  }
  return windows(pad_spatial(x, pad, pad, padding), size, stride, dilation);
}
}  // namespace

Tensor Tensor::max_pool2d(const Sizes& window, const PoolOptions& options) const {
  if (!is_float(dtype())) fail("max_pool2d: needs floats, not ", dtype());
  const Tensor taps = pool_windows(*this, window, options, -std::numeric_limits<double>::infinity(), "max_pool2d");
  const int n = taps.rank() - rank();
  return apply(FirstMax(n), taps).reshape(Shape(taps.shape().begin(), taps.shape().end() - n));
}

Tensor Tensor::avg_pool2d(const Sizes& window, const PoolOptions& options) const {
  const Tensor taps = pool_windows(*this, window, options, 0, "avg_pool2d");
  return taps.mean(range(rank(), taps.rank()));
}

// ---- The adjoint of sliding windows ---------------------------------------------------------------------------------

Tensor spread_last(const Tensor& x, int64_t every) {
  const int64_t n = x.size(-1);
  Dims none = Dims::filled(x.rank() + 1, 0), gap = none, begin = Dims::filled(x.rank(), 0), end = x.shape();
  gap[x.rank()] = every - 1;
  end[x.rank() - 1] = (n - 1) * every + 1;
  return x.unsqueeze(-1).pad(none, gap).flatten(-2, -1).shrink(begin, end);
}

// Along one axis, position h = step*q + r gets, from window o = q - j, its tap k = step*j + r:
//
//   dx[q, r] = sum over j of g[q - j, j, r]
//
// That is a view and a sum: pad the windows' axis by J-1 on both sides, slide a window of J along it, and walk its taps
// and the j axis together (a diagonal):
//
//        j=0  j=1  j=2                q
//   o=0   a0   a1   a2                0:  a0
//   o=1   b0   b1   b2      ->        1:  a1 + b0
//   o=2   c0   c1   c2                2:  a2 + b1 + c0  ...
//
// Where windows do not overlap J is 1, and only the interleaving of (q, r) is left: one copy for all axes.
Tensor fold(const Tensor& grad, int axis, const Dims& sizes, const Dims& steps, const Dims& dilations) {
  const int n = sizes.size();
  Tensor g = grad;  // (.., O0, O1, K0, K1)
  for (int a = 0; a < n; ++a) {
    Dims order = range(0, g.rank());  // the next taps go last
    order.erase(axis + n + a);
    order.push_back(axis + n + a);
    g = g.permute(order);
    if (dilations[a] > 1) g = spread_last(g, dilations[a]);
    const int last = g.rank() - 1;
    const int64_t step = steps[a], taps = g.size(-1), groups = (taps + step - 1) / step;
    Dims none = Dims::filled(g.rank(), 0), fill = none;
    fill[last] = groups * step - taps;
    g = g.pad(none, fill).unflatten(-1, {groups, step});  // (.., O, .., J, step)
    if (groups == 1) {
      g = g.squeeze(last);
    } else {
      Dims around = Dims::filled(g.rank(), 0);
      around[axis + a] = groups - 1;
      g = g.pad(around, around).flip(last).unfold(axis + a, groups, 1);  // (.., Q, .., J, step, J)
      g = g.diagonal(last, -1).sum(-1);                                  // (.., Q, .., step)
    }
    order = range(0, last);  // and back to where they were
    order.insert(axis + n + a, last);
    g = g.permute(order);
  }
  Dims order = range(0, axis), before = Dims::filled(axis + n, 0), after = before;
  Shape joined(g.shape().begin(), g.shape().begin() + axis);
  for (int a = 0; a < n; ++a) {
    order.push_back(axis + a), order.push_back(axis + n + a);
    joined.push_back(g.size(axis + a) * steps[a]);
    after[axis + a] = sizes[a] - joined.back();  // negative: what never was in a window's reach
  }
  return g.permute(order).reshape(joined).pad(before, after);
}

}  // namespace teeny
