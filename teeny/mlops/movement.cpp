// Movement: the rules that change a view and copy nothing, and what is made of them.
#include <algorithm>

#include "teeny/mlops/common.h"

namespace teeny {

namespace {

struct Reshape : Function {
  Shape to;
  explicit Reshape(Shape to) : to(std::move(to)) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.reshape(to); }
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad.reshape(inputs[0].shape())}; }
};

struct Permute : Function {
  Dims axes;
  explicit Permute(Dims axes) : axes(std::move(axes)) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.permute(axes); }
  Grads backward(const Tensor& grad, const Tensor&) override {
    Dims back = axes;
    for (int a = 0; a < axes.size(); ++a) back[int(axes[a])] = a;
    return {grad.permute(back)};
  }
};

struct Expand : Function {
  Shape to;
  explicit Expand(Shape to) : to(std::move(to)) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.expand(to); }
  Grads backward(const Tensor& grad, const Tensor&) override {
    // [exercise 15
    Dims repeated;
    for (int a = 0; a < to.size(); ++a)
      if (inputs[0].shape()[a] != to[a]) repeated.push_back(a);
    return {grad.sum(repeated, true)};
    // exercise 15]
  }
};

struct Pad : Function {
  Dims before, after;
  Pad(Dims before, Dims after) : before(std::move(before)), after(std::move(after)) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.pad(before, after); }
  Grads backward(const Tensor& grad, const Tensor&) override {
    Dims end = before;
    for (int a = 0; a < end.size(); ++a) end[a] += inputs[0].shape()[a];
    return {grad.shrink(before, end)};
  }
};

struct Shrink : Function {
  Dims begin, end;
  Shrink(Dims begin, Dims end) : begin(std::move(begin)), end(std::move(end)) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.shrink(begin, end); }
  Grads backward(const Tensor& grad, const Tensor&) override {
    Dims after = end;
    for (int a = 0; a < end.size(); ++a) after[a] = inputs[0].shape()[a] - end[a];
    return {grad.pad(begin, after)};
  }
};

struct Flip : Function {
  Dims axes;
  explicit Flip(Dims axes) : axes(std::move(axes)) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.flip(axes); }
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad.flip(axes)}; }
};

struct Contiguous : Function {
  LazyBuffer forward(const LazyBuffer& x) { return x.contiguous(); }
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad}; }
};

}  // namespace

Tensor Tensor::reshape(const Shape& sizes) const {
  const int64_t all = teeny::numel(lazy("reshape").shape());
  Shape to = sizes;
  int64_t known = 1;
  int open = -1;
  for (int a = 0; a < to.size(); ++a) {
    if (to[a] == -1 && open < 0) open = a;
    else if (to[a] < 0) fail("reshape: ", shape(), " to ", sizes, ": a size is >= 0, or -1 once");
    else if (__builtin_mul_overflow(known, to[a], &known)) fail("reshape: ", shape(), " to ", sizes, ": too large");
  }
  if (open >= 0) {
    if (known == 0 || all % known)
      fail("reshape: ", shape(), " to ", sizes, ": ", all, " elements do not divide by ", known);
    to[open] = all / known;
  } else if (known != all) {
    fail("reshape: ", shape(), " has ", all, " elements, ", sizes, " would have ", known);
  }
  return to == shape() ? *this : apply(Reshape(to), *this);
}

Tensor Tensor::permute(const Dims& axes) const {
  Dims order;
  for (int64_t a : axes) order.push_back(axis_index(a, "permute"));
  bool once = order.size() == lazy("permute").shape().size();
  for (int a = 0; a < rank(); ++a) once &= order.contains(a);
  if (!once) fail("permute: ", axes, " does not name each axis of ", shape(), " once");
  TEENY_TRACED(permute(order), {*this}, {{"axes", order}});
  return apply(Permute(order), *this);
}

Tensor Tensor::expand(const Shape& sizes) const {
  const int extra = sizes.size() - lazy("expand").shape().size();
  if (extra < 0) fail("expand: ", shape(), " to ", sizes, ": fewer axes than before");
  Shape from = Dims::filled(extra, 1), to = sizes;
  for (int64_t size : shape()) from.push_back(size);
  for (int a = 0; a < to.size(); ++a) {
    if (to[a] == -1 && a >= extra) to[a] = from[a];
    if (to[a] < 0 || (from[a] != to[a] && from[a] != 1))
      fail("expand: ", shape(), " to ", sizes, ": only axes of size 1 can grow");
  }
  teeny::numel(to, "expand");
  const Tensor aligned = reshape(from);
  return from == to ? aligned : apply(Expand(to), aligned);
}

void check_pad_amounts(const Dims& before, const Dims& after) {
  constexpr int64_t kMost = int64_t(1) << 60;
  for (const Dims& amounts : {before, after})
    for (int64_t amount : amounts)
      if (amount < -kMost || amount > kMost) fail("pad: ", before, " and ", after, ": no axis has that many");
}

Tensor Tensor::pad(const Dims& before, const Dims& after, Scalar value) const {
  TEENY_TRACED(pad(before, after, value), {*this}, {{"before", before}, {"after", after}, {"value", value}});
  if (before.size() != lazy("pad").shape().size() || after.size() != rank())
    fail("pad: ", before, " and ", after, " must have an amount for each axis of ", shape());
  Dims begin = before, end = shape(), front = before, back = after;  // negative amounts cut first
  bool grows = false;
  check_pad_amounts(before, after);
  for (int a = 0; a < rank(); ++a) {
    begin[a] = std::max<int64_t>(-before[a], 0);
    end[a] = shape()[a] - std::max<int64_t>(-after[a], 0);
    front[a] = std::max<int64_t>(before[a], 0);
    back[a] = std::max<int64_t>(after[a], 0);
    grows |= front[a] + back[a] > 0;
    if (begin[a] > end[a]) fail("pad: ", before, " and ", after, " cut more than ", shape(), " has");
  }
  if (!fits(value, dtype())) fail("pad: ", value, " does not fit ", dtype());
  const Tensor cut = shrink(begin, end);
  if (!grows) return cut;
  Shape to = cut.shape();
  for (int a = 0; a < rank(); ++a) to[a] += front[a] + back[a];
  teeny::numel(to, "pad");
  const Tensor padded = apply(Pad(front, back), cut);
  if (value == Scalar(0) || value == Scalar(0.0)) return padded;
  const Tensor inside = full(cut.shape(), true).pad(front, back);
  return teeny::where(inside, padded, full({}, value, dtype()));
}

Tensor Tensor::shrink(const Dims& begin, const Dims& end) const {
  bool all = true;
  if (begin.size() != lazy("shrink").shape().size() || end.size() != rank())
    fail("shrink: ", begin, " and ", end, " must have a position for each axis of ", shape());
  for (int a = 0; a < rank(); ++a) {
    if (begin[a] < 0 || begin[a] > end[a] || end[a] > shape()[a])
      fail("shrink: [", begin[a], ", ", end[a], ") is not inside axis ", a, " of ", shape());
    all &= begin[a] == 0 && end[a] == shape()[a];
  }
  if (all) return *this;
  TEENY_TRACED(shrink(begin, end), {*this}, {{"begin", begin}, {"end", end}});
  return apply(Shrink(begin, end), *this);
}

Tensor Tensor::flip(const Axes& axes) const {
  TEENY_TRACED(flip(axes), {*this}, {{"axes", axis_list(axes, "flip")}});
  return apply(Flip(axis_list(axes, "flip")), *this);
}
Tensor Tensor::contiguous() const { return lazy("contiguous"), apply(Contiguous{}, *this); }

// ---- What is made of them ------------------------------------------------------------------------------------------

Tensor Tensor::transpose(int64_t a, int64_t b) const {
  if (lazy("transpose").shape().empty()) return axis_list(a, "transpose"), axis_list(b, "transpose"), *this;
  const int first = axis_index(a, "transpose"), second = axis_index(b, "transpose");
  Dims order;
  for (int i = 0; i < rank(); ++i) order.push_back(i == first ? second : i == second ? first : i);
  return permute(order);
}

Tensor Tensor::flatten(int64_t start, int64_t end) const {
  if (lazy("flatten").shape().empty()) return axis_list(start, "flatten"), axis_list(end, "flatten"), reshape({1});
  const int first = axis_index(start, "flatten"), last = axis_index(end, "flatten");
  if (first > last) fail("flatten: from axis ", first, " to axis ", last, ", which stands before it, of ", shape());
  Shape to(shape().begin(), shape().begin() + first);
  to.push_back(teeny::numel(Shape(shape().begin() + first, shape().begin() + last + 1)));
  for (int a = last + 1; a < rank(); ++a) to.push_back(shape()[a]);
  return reshape(to);
}

Tensor Tensor::squeeze(const Axes& axes) const {
  const Dims wanted = axis_list(axes, "squeeze");
  Shape to;
  for (int a = 0; a < rank(); ++a)
    if (shape()[a] != 1 || !wanted.contains(a)) to.push_back(shape()[a]);
  return reshape(to);
}

Tensor Tensor::unsqueeze(int64_t axis) const {
  Shape to = lazy("unsqueeze").shape();
  if (axis < -rank() - 1 || axis > rank())
    fail("unsqueeze: axis ", axis, " is outside ", -rank() - 1, " <= axis <= ", rank(), " of ", shape());
  if (rank() == kMaxRank) fail("unsqueeze: needs 17 axes for ", shape(), ", and a tensor has at most ", kMaxRank);
  to.insert(int(axis < 0 ? axis + rank() + 1 : axis), 1);
  return reshape(to);
}

}  // namespace teeny
