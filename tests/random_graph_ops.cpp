#include "random_graph_ops.h"

#include <algorithm>
#include <cmath>

#include "teeny/mlops/common.h"

namespace random_graph {

using namespace teeny;

namespace {

#define RUN(...)                                                                                      \
  [](const Step& s, const Tensor& x, const Tensor& y, const Tensor& z) -> Tensor {                    \
    (void)s, (void)x, (void)y, (void)z;                                                               \
    return __VA_ARGS__;                                                                               \
  }
#define BOUND(...)                                                                                    \
  [](double a, double b, double n) -> double {                                                        \
    (void)a, (void)b, (void)n;                                                                        \
    return __VA_ARGS__;                                                                               \
  }
#define ERROR(...)                                                                                    \
  [](const ErrorInputs& inputs) -> Tensor {                                                                \
    const auto& [s, x, y, z, ex, ey, ez, out, u, c] = inputs;                                         \
    return __VA_ARGS__;                                                                               \
  }

// The bare primitives, where the methods do more than these.
Tensor primitive(BinaryOp op, const Tensor& x, const Tensor& y) {
  const auto [a, b] = promote_and_broadcast(x, y, "primitive");
  return Tensor(a.lazy().binary(op, b.lazy()));
}

// One of a list of op.h: its number is in s.more.
template <class Op>
Op listed(const Step& s) { return Op(s.more[0]); }

Tensor any_unary(const Step& s, const Tensor& x) {
  if (listed<UnaryOp>(s) == UnaryOp::Bitcast) fail("random graph: the bits of a bool");
  return Tensor(x.lazy().unary(listed<UnaryOp>(s)));
}
Tensor any_binary(const Step& s, const Tensor& x, const Tensor& y) { return primitive(listed<BinaryOp>(s), x, y); }
Tensor any_scatter(const Step& s, const Tensor& x, const Tensor& index, const Tensor& source) {
  return Tensor(scatter(x.shape(), int(s.params[0]), index.lazy(), source.lazy(), listed<ReduceOp>(s), "any_scatter"));
}
/// Of functions that may be anything: a number between -20 and 20.
Tensor tamed(const Tensor& y) {
  if (!is_float(y.dtype())) fail("random graph: a bool is not smooth");
  return where(y == y, y.clamp(-20, 20), 0);
}
/// Of two fractions, what does not jump.
Tensor tamed_binary(const Step& s, const Tensor& x, const Tensor& y) {
  if (!(traits(listed<BinaryOp>(s)) & tinyops::Transcendental))
    fail("random graph: ", listed<BinaryOp>(s), " may jump");
  return tamed(any_binary(s, x, y));
}

/// Assigned to a handle of its own: x still holds the old values.
Tensor assigned(const Tensor& x, const Tensor& y) { return x.detach().assign(y.expand(x.shape())); }

/// The part of `x` that a step of `slice` is about; `f` is called with the index that says so.
template <class F>
auto indexed(const Step& s, const Tensor& x, F f) {
  const Index part = slice(s.params[1], s.params[2], s.params[3]);
  const Tensor turned = x.transpose(s.params[0], -1);
  return f(turned, part).transpose(s.params[0], -1);
}
Tensor sliced(const Step& s, const Tensor& x) {
  return indexed(s, x, [](const Tensor& t, const Index& part) { return t[{ellipsis, part}]; });
}
/// That part becomes what `f` makes of it, in a handle of its own.
template <class F>
Tensor overwritten(const Step& s, const Tensor& x, F f) {
  return indexed(s, x, [&](const Tensor& t, const Index& part) {
    return t.detach().set({ellipsis, part}, f(t[{ellipsis, part}]));
  });
}
Tensor doubled(const Tensor& x) { return x + x; }
Tensor backwards(const Tensor& x) { return x.flip(-1); }

/// A copy that dies when all but the first of its last axis is written over, backwards.
Tensor turned_inside(const Tensor& x) {
  Tensor copy = x.detach().contiguous();
  return copy.set({ellipsis, slice(1)}, backwards(copy[{ellipsis, slice(1)}]));
}

/// The bits of a float that has an integer of its size. NaN and -0 have more than one answer.
Tensor bits_of(const Tensor& x) {
  return where(x == x, x + 0, 0).bitcast(x.dtype() == DType::Float64 ? DType::Int64 : DType::Int32);
}

Tensor conv(const Step& s, const Tensor& x, const Tensor& weight) {
  const ConvOptions options{
      .stride = s.params[0], .padding = s.params[1], .dilation = s.params[2], .groups = s.params[3]};
  return x.rank() == 3 ? x.conv1d(weight, {}, options) : x.conv2d(weight, {}, options);
}

/// The values of the few largest or smallest.
Tensor few(const Step& s, const Tensor& x) {
  const int64_t axis = s.params[0], by = s.params[1];
  return x.topk(std::min(std::abs(by), x.size(axis)), axis, by > 0).values;
}

/// What may change place along an axis may bring the largest error of all.
Tensor spread_error(const Step& s, const Tensor& ex, const Tensor& out) {
  return out.numel() ? ex.max(s.params[0], true).expand(out.shape()) : out;
}

/// `f` with the random values of this step; the thread's stream stays where it is.
template <class F>
Tensor drawn(const Step& s, F f) {
  const auto [seed, counter] = Tensor::random_state();
  Tensor::manual_seed(uint64_t(s.more[0]));
  const Tensor result = f();
  Tensor::set_random_state(seed, counter);
  return result;
}
Tensor rand(const Step& s) {
  return drawn(s, [&] { return Tensor::rand(s.params, s.dtype); });
}
Tensor dice(const Step& s) {
  if (is_float(s.dtype)) return (rand(s) * 8).floor();
  return drawn(s, [&] { return Tensor::randint(0, 8, s.params).cast(s.dtype); });
}

using M = Maker;
const Op table[] = {
    // ---- What op.h lists, alone: a new primitive is among them.
    // Of fractions it sees leaves, which are the same in any precision.
    {"any_unary", "w", "bi", &M::any<UnaryOp, &M::unary>, RUN(any_unary(s, x)), BOUND(INFINITY)},
    {"any_unary_of_leaf", "s", "f", &M::any<UnaryOp, &M::unary_of_leaf>, RUN(tamed(any_unary(s, x))), BOUND(20),
     ERROR(out.zeros_like())},
    {"any_binary", "w", "bi", &M::any<BinaryOp, &M::binary>, RUN(any_binary(s, x, y)), BOUND(INFINITY)},
    {"any_binary_of_leaves", "s", "f", &M::any<BinaryOp, &M::binary_of_leaves>, RUN(tamed_binary(s, x, y)), BOUND(20),
     ERROR(out.abs() * (8 * u))},
    {"any_reduce", "w", "bi", &M::any<ReduceOp, &M::reduce>,
     RUN(Tensor(x.lazy().reduce(listed<ReduceOp>(s), s.params))), BOUND(INFINITY)},
    {"any_scan", "w", "bi", &M::any<ReduceOp, &M::along>,
     RUN(Tensor(x.lazy().scan(listed<ReduceOp>(s), int(s.params[0])))), BOUND(INFINITY)},
    {"any_scatter", "w", "bi", &M::any<ReduceOp, &M::scatter>, RUN(any_scatter(s, x, y, z)), BOUND(INFINITY)},

    // ---- Sources
    {"arange", "w", "", &M::source, RUN(Tensor::arange(numel(s.params)).reshape(s.params).cast(s.dtype)), BOUND(n)},
    {"full", "wsg", "", &M::source, RUN(Tensor::full(s.params, s.more[0] % 4, s.dtype)), BOUND(3),
     ERROR(out.zeros_like())},
    {"dice", "w", "", &M::source, RUN(dice(s)), BOUND(8)},
    {"rand", "s", "", &M::source, RUN(rand(s)), BOUND(1), ERROR(out.zeros_like())},

    // ---- Elementwise, exact
    {"add", "wsg", "bif", &M::binary, RUN(x + y), BOUND(a + b), ERROR(ex + ey)},
    {"sub", "wsg", "if", &M::binary, RUN(x - y), BOUND(a + b), ERROR(ex + ey)},
    {"mul", "wsg", "bif", &M::binary, RUN(x * y), BOUND(a * b), ERROR(x.abs() * ey + y.abs() * ex + ex * ey)},
    {"max", "ws", "bif", &M::binary, RUN(x.maximum(y)), BOUND(std::max(a, b)), ERROR(ex.maximum(ey))},
    {"min", "ws", "bif", &M::binary, RUN(x.minimum(y)), BOUND(std::max(a, b)), ERROR(ex.maximum(ey))},
    {"neg", "wsg", "if", &M::unary, RUN(-x), BOUND(a), ERROR(ex)},
    {"plus1", "wsg", "if", &M::unary, RUN(x + 1), BOUND(a + 1), ERROR(ex)},
    {"relu", "ws", "if", &M::unary, RUN(x.relu()), BOUND(a), ERROR(ex)},
    {"not", "w", "bif", &M::unary, RUN(x.logical_not()), BOUND(1)},
    {"isnan", "w", "f", &M::unary, RUN(x.isnan()), BOUND(1)},
    {"floor", "w", "f", &M::unary, RUN((x * 0.5).floor()), BOUND(a)},
    {"trunc", "w", "f", &M::unary, RUN((x * 0.5).trunc()), BOUND(a)},
    {"round", "w", "f", &M::unary, RUN((x * 0.5).round()), BOUND(a)},
    {"root", "w", "f", &M::unary, RUN((x * x).sqrt()), BOUND(a * a)},
    {"pow2", "w", "f", &M::unary, RUN(x.pow(2)), BOUND(a * a)},
    {"pow", "w", "i", &M::binary, RUN(x.pow(y)), BOUND(INFINITY)},
    {"idiv1", "w", "f", &M::binary, RUN(primitive(BinaryOp::IDiv, x, y * y + 1)), BOUND(std::max(a, b * b + 1))},
    {"mod1", "w", "f", &M::binary, RUN(x.fmod(y * y + 1)), BOUND(std::max(a, b * b + 1))},
    {"floor_divide", "w", "i", &M::binary, RUN(floor_divide(x, y)), BOUND(a + 1)},
    {"remainder", "w", "i", &M::binary, RUN(x % y), BOUND(a + b)},
    {"and", "w", "bi", &M::binary, RUN(x & y), BOUND(INFINITY)},
    {"or", "w", "bi", &M::binary, RUN(x | y), BOUND(INFINITY)},
    {"xor", "w", "bi", &M::binary, RUN(x ^ y), BOUND(INFINITY)},
    {"shl", "w", "i", &M::binary, RUN(x << y), BOUND(INFINITY)},
    {"shr", "w", "i", &M::binary, RUN(x >> y), BOUND(a)},
    {"less", "w", "bif", &M::binary, RUN(x < y), BOUND(1)},
    {"less_equal", "w", "bif", &M::binary, RUN(x <= y), BOUND(1)},
    {"equal", "w", "bif", &M::binary, RUN(x == y), BOUND(1)},
    {"cast", "ws", "bif", &M::cast, RUN(x.cast(s.dtype)), BOUND(a), ERROR(ex)},
    {"through_half", "w", "f", &M::unary, RUN((x * 99).cast(DType::Float16).cast(x.dtype())),
     BOUND(a * 99 < 65000 ? a * 100 : INFINITY)},
    {"through_bfloat", "w", "f", &M::unary, RUN((x * 999).cast(DType::BFloat16).cast(x.dtype())), BOUND(a * 1024)},
    {"bits", "w", "f", &M::unary, RUN(bits_of(x) % 1000003), BOUND(1000003)},
    {"where", "wsg", "bif", &M::select, RUN(where(x, y, z)), BOUND(std::max(a, b))},

    // ---- Elementwise, rounded. Steps of a staircase are exact where they are taken of a leaf.
    {"step", "s", "f", &M::unary_of_leaf, RUN(x.floor() + x.round() * x.trunc()), BOUND(12), ERROR(out.zeros_like())},
    {"sin", "sg", "f", &M::unary, RUN(x.sin()), BOUND(1), ERROR(ex)},
    {"cos", "sg", "f", &M::unary, RUN(x.cos()), BOUND(1), ERROR(ex)},
    {"atan", "sg", "f", &M::unary, RUN(x.atan()), BOUND(2), ERROR(ex)},
    {"tanh", "sg", "f", &M::unary, RUN(x.tanh()), BOUND(1), ERROR(ex)},
    {"erf", "sg", "f", &M::unary, RUN(x.erf()), BOUND(1), ERROR(ex * 1.2)},
    {"exp", "sg", "f", &M::unary, RUN(x.sin().exp()), BOUND(3), ERROR((ex + u) * 2.8)},
    {"log", "sg", "f", &M::unary, RUN((x.sin() + 2).log()), BOUND(2), ERROR(ex + 4 * u)},
    {"sqrt", "sg", "f", &M::unary, RUN((x.cos() + 2).sqrt()), BOUND(2), ERROR(ex + 4 * u)},
    {"recip", "sg", "f", &M::unary, RUN((x.sin() + 2).reciprocal()), BOUND(1), ERROR(ex + 4 * u)},
    {"div", "sg", "f", &M::binary, RUN(x / (y.sin() + 2)), BOUND(a), ERROR(ex + (x.abs() + ex) * (ey + 4 * u))},
    {"power", "sg", "f", &M::binary, RUN((x.sin() + 2).pow(y.cos())), BOUND(3), ERROR(ex + 4 * u + (ey + u) * 3.4)},

    // ---- Reductions, and what reads its row again
    {"sum", "wsg", "bif", &M::reduce, RUN(x.sum(s.params, true)), BOUND(a * n),
     ERROR((ex + (x.abs() + ex) * c).sum(s.params, true))},
    {"prod", "ws", "bif", &M::reduce, RUN(x.prod(s.params, true)), BOUND(std::pow(std::max(a, 1.0), n)),
     ERROR((x.abs() * (1 + c) + ex).prod(s.params, true) - x.abs().prod(s.params, true))},
    {"largest", "ws", "bif", &M::reduce, RUN(x.max(s.params, true)), BOUND(a), ERROR(ex.max(s.params, true))},
    {"smallest", "ws", "bif", &M::reduce, RUN(x.min(s.params, true)), BOUND(a), ERROR(ex.max(s.params, true))},
    {"below_largest", "w", "if", &M::reduce, RUN(x - x.max(s.params, true)), BOUND(2 * a)},
    {"softmax", "sg", "f", &M::along, RUN(x.softmax(s.params[0])), BOUND(1),
     ERROR(x.numel() ? out * (((ex + x.abs() * u).max(s.params[0], true) * 4 + 4 * u + c).exp() - 1) : ex)},

    // ---- Along an axis
    {"cumsum", "wsg", "bif", &M::along, RUN(x.cumsum(s.params[0])), BOUND(a * n),
     ERROR((ex + (x.abs() + ex) * c).cumsum(s.params[0]))},
    {"cumprod", "ws", "bif", &M::along, RUN(x.cumprod(s.params[0])), BOUND(std::pow(std::max(a, 1.0), n)),
     ERROR((x.abs() * (1 + c) + ex).cumprod(s.params[0]) - x.abs().cumprod(s.params[0]))},
    {"cummax", "ws", "bif", &M::along, RUN(x.cummax(s.params[0]).values), BOUND(a),
     ERROR(ex.cummax(s.params[0]).values)},
    {"cummin_at", "w", "bif", &M::along, RUN(x.cummin(s.params[0]).indices), BOUND(n)},
    {"sort", "ws", "bif", &M::along, RUN(x.sort(s.params[0], s.params[1] > 0).values), BOUND(a),
     ERROR(spread_error(s, ex, out))},
    {"argsort", "w", "bif", &M::along, RUN(x.argsort(s.params[0], s.params[1] > 0)), BOUND(n)},
    {"topk", "ws", "bif", &M::along, RUN(few(s, x)), BOUND(a), ERROR(spread_error(s, ex, out))},

    // ---- The special kinds
    {"matmul", "wsg", "if", &M::matmul, RUN(x.matmul(y)), BOUND(a * b * n),
     ERROR(x.abs().matmul(ey) + ex.matmul(y.abs() + ey) + x.abs().matmul(y.abs()) * c)},
    {"conv", "wsg", "if", &M::conv, RUN(conv(s, x, y)), BOUND(a * b * n),
     ERROR(conv(s, x.abs(), ey) + conv(s, ex, y.abs() + ey) + conv(s, x.abs(), y.abs()) * c)},
    {"gather", "wsg", "bif", &M::gather, RUN(x.gather(s.params[0], y))},
    {"scatter_add", "wsg", "bif", &M::scatter, RUN(x.scatter_add(s.params[0], y, z)), BOUND(a + b * n),
     ERROR(ex.scatter_add(s.params[0], y, ez) +
           x.abs().scatter_add(s.params[0], y, z.abs() + ez) * (u * double(s.terms + 1)))},
    {"scatter", "wsg", "bif", &M::scatter, RUN(x.scatter(s.params[0], y, z)), BOUND(std::max(a, b))},
    {"cat", "wsg", "bif", &M::cat, RUN(Tensor::cat({x, y, x}, s.params[0])), BOUND(std::max(a, b))},
    {"contiguous", "wsg", "bif", &M::unary, RUN(x.contiguous())},
    {"turned_copy", "wsg", "if", &M::unary, RUN(-x.contiguous().flip({})), BOUND(a), ERROR(ex.flip({}))},
    {"realize", "wsg", "bif", &M::unary, RUN(Tensor(x).realize())},
    {"assign", "ws", "bif", &M::assign, RUN(assigned(x, y)), BOUND(b), ERROR(ey.expand(out.shape()))},
    {"set", "ws", "bif", &M::slice, RUN(overwritten(s, x, doubled)), BOUND(2 * a), ERROR(overwritten(s, ex, doubled))},
    {"turned_inside", "ws", "bif", &M::unary, RUN(turned_inside(x))},
    {"set_backwards", "ws", "bif", &M::slice, RUN(overwritten(s, x, backwards))},

    // ---- Movement
    {"reshape", "wsg", "bif", &M::reshape, RUN(x.reshape(s.params))},
    {"permute", "wsg", "bif", &M::permute, RUN(x.permute(s.params))},
    {"expand", "wsg", "bif", &M::expand, RUN(x.expand(s.params))},
    {"repeat", "wsg", "bif", &M::repeat, RUN(x.repeat(s.params))},
    {"pad", "wsg", "bif", &M::pad, RUN(x.pad(s.params, s.more))},
    {"pad2", "wsg", "if", &M::pad, RUN(x.pad(s.params, s.more, 2)), BOUND(std::max(a, 2.0)),
     ERROR(ex.pad(s.params, s.more))},
    {"cut", "wsg", "bif", &M::cut, RUN(x.pad(s.params, s.more))},
    {"shrink", "wsg", "bif", &M::shrink, RUN(x.shrink(s.params, s.more))},
    {"slice", "wsg", "bif", &M::slice, RUN(sliced(s, x))},
    {"flip", "wsg", "bif", &M::reduce, RUN(x.flip(s.params))},
    {"roll", "wsg", "bif", &M::along, RUN(x.roll(s.params[1], s.params[0]))},
    {"unfold", "wsg", "bif", &M::unfold, RUN(x.unfold(s.params[0], s.params[1], s.params[2], s.params[3]))},
    {"diagonal", "wsg", "bif", &M::diagonal, RUN(x.diagonal(s.params[0], s.params[1]))},
    {"unmergeable", "wsg", "bif", &M::permute, RUN(x.permute(s.params).flatten())},
    {"two_views", "wsg", "if", &M::permute,
     RUN(x.permute(s.params).flatten() - x.flip({}).permute(s.params).flatten()),
     BOUND(2 * a), ERROR(ex.permute(s.params).flatten() + ex.flip({}).permute(s.params).flatten())},
};

}  // namespace

std::span<const Op> operations() { return table; }

const Op& operation(std::string_view name) {
  const Op* op = std::ranges::find(table, name, &Op::name);
  if (op == std::end(table)) fail("random graph: no operation ", name);
  return *op;
}

double most_exact(DType dtype) {
  switch (dtype) {
    case DType::Float16: return 0x1p11;
    case DType::BFloat16: return 0x1p8;
    case DType::Float32: return 0x1p24;
    default: return 0x1p53;
  }
}

}  // namespace random_graph
