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
  TEENY_TRACED(windows(x, window, step, dilation), {x},
               {{"window", window}, {"step", steps}, {"dilation", dilations}});
  return apply(Windows(window, steps, dilations), x);
}

Tensor Tensor::unfold(int64_t axis, int64_t size, int64_t step, int64_t dilation) const {
  if (axis_list(axis, "unfold"); rank() == 0) return flatten().unfold(axis, size, step, dilation).flatten();
  const int a = axis_index(axis, "unfold");
  if (size < 0 || step < 1 || dilation < 1)
    fail("unfold: size ", size, " must be at least 0, step ", step, " and dilation ", dilation, " at least 1");
  check_rank(rank() + 1, "unfold", shape());
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

/// Windows that lie side by side are the image cut into pieces, once the gaps between their taps, and those up to the
/// step, are filled.
static Tensor joined(Tensor grad, int axis, const Dims& sizes, const Dims& steps, const Dims& dilations) {
  const int n = sizes.size();
  for (int a = 0, tap = axis + n; a < n; ++a, ++tap)
    if (grad.size(tap) > 1) grad = spread_last(grad.transpose(tap, -1), dilations[a]).transpose(tap, -1);
  Dims none = Dims::filled(grad.rank(), 0), fill = none;
  Dims order = range(0, axis), before = Dims::filled(axis + n, 0), after = before;
  Shape whole(grad.shape().begin(), grad.shape().begin() + axis);
  for (int a = 0; a < n; ++a) {
    fill[axis + n + a] = steps[a] - grad.size(axis + n + a);
    order.push_back(axis + a), order.push_back(axis + n + a);
    whole.push_back(grad.size(axis + a) * steps[a]);
    after[axis + a] = sizes[a] - whole.back();  // negative: what never was in a window's reach
  }
  return grad.pad(none, fill).permute(order).reshape(whole).pad(before, after);
}

// Elsewhere it is one sum by index, the same for all that stands before `axis`. Along one axis, with a step of 2:
//
//   windows    a0 a1 a2    positions   0 1 2
//              b0 b1 b2                2 3 4    ->    a0  a1  a2+b0  b1  b2
Tensor fold(const Tensor& grad, int axis, const Dims& sizes, Dims steps, const Dims& dilations, bool taps_first) {
  const int n = sizes.size(), first_window = taps_first ? n : 0, first_tap = n - first_window;
  bool side_by_side = true;
  for (int a = 0; a < n; ++a) {
    const int64_t reach = (grad.size(axis + first_tap + a) - 1) * dilations[a] + 1;
    if (grad.size(axis + first_window + a) == 1) steps[a] = std::min(steps[a], reach);  // one window takes no step
    side_by_side &= reach <= steps[a];
  }
  if (side_by_side) {
    Dims order = range(0, axis);
    for (int first : {first_window, first_tap})
      for (int a = 0; a < n; ++a) order.push_back(axis + first + a);
    return joined(grad.permute(order), axis, sizes, steps, dilations);
  }
  const Dims strides = row_major(sizes);
  Tensor position = Tensor::zeros({}, DType::Int64);
  const auto walk = [&](int at, int64_t step) {
    position = position + reshape_to_axis(Tensor::arange(grad.size(axis + at)) * step, at, 2 * n);
  };
  for (int a = 0; a < n; ++a)
    walk(first_window + a, steps[a] * strides[a]), walk(first_tap + a, dilations[a] * strides[a]);
  if (numel(sizes) <= std::numeric_limits<int32_t>::max()) position = position.cast(DType::Int32);
  const Tensor source = grad.flatten(axis);
  Shape flat = source.shape(), image = flat;
  flat[axis] = numel(sizes);
  image.erase(axis);
  for (int64_t size : sizes) image.push_back(size);
  const Tensor index = position.contiguous().flatten().expand(source.shape());
  return scatter_sum(flat, axis, index, source, "fold").reshape(image);
}

}  // namespace teeny
