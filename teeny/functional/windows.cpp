#include "teeny/functional/functional.h"

#include <algorithm>
#include <limits>

namespace teeny {

Dims per_axis(const Sizes& sizes, int axes, const char* op, const char* what, int64_t least) {
  const Dims result = sizes.list.size() == 1 ? Dims::filled(axes, sizes.list[0]) : sizes.list;
  if (result.size() != axes) fail(op, ": ", what, ' ', sizes.list, " must have one size, or ", axes);
  for (int64_t size : result) {
    if (size < least) fail(op, ": ", what, ' ', sizes.list, " must be at least ", least);
    if (size > std::numeric_limits<int32_t>::max())  // so that sums and products of a few of them fit 63 bits
      fail(op, ": ", what, ' ', sizes.list, " is more than 31 bits can count");
  }
  return result;
}

/// Grows first: a cut may reach into what the other end has grown.
Tensor pad_spatial(const Tensor& x, const Dims& before, const Dims& after, Scalar value) {
  Dims grow[2], cut[2];
  for (int end = 0; end < 2; ++end) {
    grow[end] = cut[end] = Dims::filled(x.rank() - before.size(), 0);
    for (int64_t amount : end == 0 ? before : after) {
      grow[end].push_back(std::max<int64_t>(amount, 0));
      cut[end].push_back(std::min<int64_t>(amount, 0));
    }
  }
  return x.pad(grow[0], grow[1], value).pad(cut[0], cut[1]);
}

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

Tensor windows(const Tensor& x, const Dims& window, const Dims& step, const Dims& dilation) {
  Dims steps = step, dilations = dilation;
  for (int a = 0; a < window.size(); ++a) {
    steps[a] =
        std::min(step[a], x.size(a - window.size()));  // a longer one leaves the first window alone, as this does
    if (window[a] == 1) dilations[a] = 1;              // nothing is between the taps
  }
  return apply(Windows(window, steps, dilations), x);
}

Tensor Tensor::unfold(int64_t axis, int64_t size, int64_t step, int64_t dilation) const {
  if (rank() == 0) return flatten().unfold(axis, size, step, dilation).flatten();
  const int a = axis_index(axis, "unfold");
  if (size < 0 || step < 1 || dilation < 1)
    fail("unfold: size ", size, " must be at least 0, step ", step, " and dilation ", dilation, " at least 1");
  check_rank(rank() + 1, "unfold");
  if (size == 0) {  // before, between and behind the elements is room for nothing
    Shape nothing = shape();
    nothing[a] = shape()[a] / step + 1;
    nothing.push_back(0);
    return flatten().shrink({0}, {0}).reshape(nothing);
  }
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

// ---- The adjoint ---------------------------------------------------------------------------------------------------

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
Tensor fold(const Tensor& grad, int axis, const Dims& sizes, Dims steps, const Dims& dilations) {
  const int n = sizes.size();
  Tensor g = grad;  // (.., O0, O1, K0, K1)
  for (int a = 0; a < n; ++a) {
    Dims order = range(0, g.rank());  // the next taps go last
    order.erase(axis + n + a);
    order.push_back(axis + n + a);
    g = g.permute(order);
    if (dilations[a] > 1) g = spread_last(g, dilations[a]);
    const int last = g.rank() - 1;
    const int64_t taps = g.size(-1);
    if (g.size(axis + a) == 1) steps[a] = std::min(steps[a], taps);  // one window takes no step
    const int64_t step = steps[a], groups = (taps + step - 1) / step;
    Dims none = Dims::filled(g.rank(), 0), fill = none;
    fill[last] = groups * step - taps;
    g = g.pad(none, fill).unflatten(-1, {groups, step});  // (.., O, .., J, step)
    if (groups == 1) {
      g = g.squeeze(last);
    } else {
      Dims around = Dims::filled(g.rank(), 0);
      around[axis + a] = groups - 1;
      g = g.pad(around, around).contiguous().flip(last).unfold(axis + a, groups, 1);  // (.., Q, .., J, step, J)
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
