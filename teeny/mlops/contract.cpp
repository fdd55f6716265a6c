// Products: matmul and what else is one contraction. The gradient of a contraction is a contraction again; so are
// einsum.cpp and convolution.cpp made of them.
#include <algorithm>

#include "teeny/mlops/common.h"

namespace teeny {

namespace {

struct Contract : Function {
  int reduced;
  const char* op;
  Contract(int reduced, const char* op) : reduced(reduced), op(op) {}

  LazyBuffer forward(const LazyBuffer& a, const LazyBuffer& b) {
    const Shape whole = broadcast(a.shape(), b.shape(), op);
    return contract(a.expand(whole), b.expand(whole), reduced);
  }

  // d/da[i] = sum of grad * b over every axis along which a was repeated: the same product, other axes summed.
  Grads backward(const Tensor& grad, const Tensor&) override {
    // [exercise 17
    const auto [a, b] = saved<2>();
    Shape shape = grad.shape();
    for (int i = 0; i < reduced; ++i) shape.push_back(1);
    const Tensor g = grad.reshape(shape);
    const Shape whole = broadcast(a.shape(), b.shape(), "contract");
    auto gradient_of = [&](const Tensor& x, const Tensor& other) {
      if (!x.requires_grad()) return Tensor();
      Dims repeated;
      for (int i = 0; i < whole.size(); ++i)
        if (x.shape()[i] != whole[i]) repeated.push_back(i);
      return product_sum(g, other, repeated).expand(x.shape());  // an axis that was summed of x alone comes back
    };
    return {gradient_of(a, b), gradient_of(b, a)};
    // exercise 17]
  }
};

}  // namespace

Tensor contract(const Tensor& a, const Tensor& b, int n, const char* op) { return apply(Contract(n, op), a, b); }

Tensor product_sum(const Tensor& a, const Tensor& b, const Dims& axes) {
  if (axes.empty()) return a * b;
  Dims order;
  for (int i = 0; i < a.rank(); ++i)
    if (!axes.contains(i)) order.push_back(i);
  for (int64_t axis : axes) order.push_back(axis);
  Shape kept = broadcast(a.shape(), b.shape(), "contract");
  for (int64_t axis : axes) kept[int(axis)] = 1;
  return contract(a.permute(order), b.permute(order), axes.size()).reshape(kept);
}

//   x (.., M, 1, K)  *  y (.., 1, N, K)   summed over K   ->   (.., M, N)
Tensor Tensor::matmul(const Tensor& y) const {
  TEENY_TRACED(matmul(y), {*this, y}, {});
  if (lazy("matmul").shape().empty() || y.lazy("matmul").shape().empty())
    fail("matmul: ", shape(), " x ", y.shape(), ": both need at least one axis");
  const DType common = promote(dtype(), y.dtype());
  if (common == DType::Bool) fail("matmul: not defined on bools");
  const bool row = rank() == 1, column = y.rank() == 1;  // vectors: an axis is added here and dropped again
  const Tensor a = row ? unsqueeze(0).cast(common) : cast(common);
  const Tensor b = column ? y.unsqueeze(-1).cast(common) : y.cast(common);
  if (a.size(-1) != b.size(-2))
    fail("matmul: ", shape(), " x ", y.shape(), ": inner sizes ", a.size(-1), " and ", b.size(-2), " differ");
  auto batch = [](const Tensor& x) { return Shape(x.shape().begin(), x.shape().end() - 2); };
  const Shape both = broadcast(batch(a), batch(b), "matmul");
  auto aligned = [&](Tensor x, int axes) {  // as many batch axes as the other
    Shape to = Dims::filled(axes - x.rank(), 1);
    for (int64_t size : x.shape()) to.push_back(size);
    return x.reshape(to);
  };
  const int axes = std::max(a.rank(), b.rank());
  const auto joined = [&](const Tensor& x) {  // the contraction has one axis more: of sixteen, two of the batch are one
    Shape to = both;
    to.push_back(x.size(-2)), to.push_back(x.size(-1));
    return x.expand(to).flatten(0, 1);
  };
  Tensor out = axes == kMaxRank
                   ? joined(a).matmul(joined(b)).unflatten(0, {both[0], both[1]})
                   : contract(aligned(a, axes).unsqueeze(-2), aligned(b, axes).transpose().unsqueeze(-3), 1, "matmul");
  if (column) out = out.squeeze(-1);
  return row ? out.squeeze(column ? -1 : -2) : out;
}

Tensor Tensor::linear(const Tensor& weight, const Tensor& bias) const {
  TEENY_TRACED(linear(weight, bias), {*this, weight, bias}, {});
  if (weight.lazy("linear").shape().size() != 2 || lazy("linear").shape().empty() || size(-1) != weight.shape()[1])
    fail("linear: an input of ", shape(), " does not fit a weight of ", weight.shape(), ": (.., in) x (out, in)");
  if (bias.defined() && bias.shape() != Shape{weight.shape()[0]})
    fail("linear: a bias of ", bias.shape(), " does not fit a weight of ", weight.shape());
  teeny::numel({numel(), weight.shape()[0]}, "linear");
  return bias.defined() ? matmul(weight.t()) + bias : matmul(weight.t());
}

}  // namespace teeny
