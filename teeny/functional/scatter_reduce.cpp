// Elements sent to places by an index, and combined with what is there: scatter_add, scatter_reduce and their like.
#include "teeny/functional/functional.h"

namespace teeny {
namespace {

Tensor ones_sent(const Shape& shape, int axis, const Tensor& index, const IndexOrigin& op) {
  return scatter_sum(shape, axis, index, Tensor::ones(index.shape(), DType::Int64), op);
}

/// The product of the sources that meet in a place, 1 where there is none.
struct ScatterProd : Function {
  Shape shape;
  int axis;
  IndexOrigin op;
  ScatterProd(Shape shape, int axis, const IndexOrigin& op) : shape(std::move(shape)), axis(axis), op(op) {}
  LazyBuffer forward(const LazyBuffer& index, const LazyBuffer& source) {
    return scatter(shape, axis, index, source, ReduceOp::Prod, op);
  }
  // The gradient of a factor is the product of the others: the whole divided by it. Of a 0 that has no other beside it
  // that is the product in which a 1 stands for it; the others' is 0, as all are where two zeros meet.
  Grads backward(const Tensor& grad, const Tensor& out) override {
    const auto [index, source] = saved<2>();
    const Tensor zero = source == 0;
    const Tensor zeros = gathered(scatter_sum(shape, axis, index, zero.cast(DType::Int64), op), axis, index, op);
    const Tensor alone = zero & (zeros == 1);
    const Tensor others = apply(ScatterProd(shape, axis, op), index, where(alone, 1, source));
    const Tensor divided = gathered(grad * out, axis, index, op) / where(zero, 1, source);
    return {{}, where(alone, gathered(grad * others, axis, index, op), where(zero, 0, divided))};
  }
};

/// The largest, or the smallest, of the sources that meet in a place and of x there; `include_self`: or x where there
/// is no source. Equals share the gradient.
struct ScatterExtreme : Function {
  ReduceOp extreme;
  int axis;
  bool include_self;
  IndexOrigin op;
  ScatterExtreme(ReduceOp extreme, int axis, bool include_self, const IndexOrigin& op)
      : extreme(extreme), axis(axis), include_self(include_self), op(op) {}
  LazyBuffer forward(const LazyBuffer& data, const LazyBuffer& index, const LazyBuffer& source) {
    const NoGrad guard;
    const Tensor x(data), best(scatter(data.shape(), axis, index, source, extreme, op));
    if (include_self) return (extreme == ReduceOp::Max ? best.maximum(x) : best.minimum(x)).lazy();
    return where(ones_sent(x.shape(), axis, Tensor(index), op) > 0, best, x).lazy();
  }
  Grads backward(const Tensor& grad, const Tensor& out) override {
    const auto [x, index, source] = saved<3>();
    const auto equal = [](const Tensor& a, const Tensor& b) { return (a == b) | (a.isnan() & b.isnan()); };
    const Tensor of_source = equal(source, gathered(out.detach(), axis, index, op));
    const Tensor of_self = include_self ? equal(x, out.detach()) : ones_sent(x.shape(), axis, index, op) == 0;
    const Tensor count = scatter_sum(x.shape(), axis, index, of_source.cast(DType::Int64), op) + of_self;
    const Tensor share = (to_accumulate_dtype(grad) / count).cast(grad.dtype());
    return {where(of_self, share, 0), {}, where(of_source, gathered(share, axis, index, op), 0)};
  }
};

Tensor reduced(const Tensor& x, int axis, const Tensor& index, const Tensor& source, ScatterReduce how,
               bool include_self, const IndexOrigin& op) {
  TEENY_TRACED_AS("scatter_reduce", reduced(x, axis, index, source, how, include_self, op), {x, index, source},
                  {{"axis", axis}, {"how", int(how)}, {"include_self", include_self}});
  if (how == ScatterReduce::Amax || how == ScatterReduce::Amin) {
    const ReduceOp extreme = how == ScatterReduce::Amax ? ReduceOp::Max : ReduceOp::Min;
    return apply(ScatterExtreme(extreme, axis, include_self, op), x, index, source);
  }
  if (how == ScatterReduce::Sum && include_self) return x + scatter_sum(x.shape(), axis, index, source, op);
  const Tensor count = include_self && how == ScatterReduce::Prod ? Tensor() : ones_sent(x.shape(), axis, index, op);
  if (how == ScatterReduce::Prod) {
    const Tensor product = apply(ScatterProd(x.shape(), axis, op), index, source);
    return include_self ? x * product : where(count > 0, product, x);
  }
  // Of 16 bits, only the end result is rounded to them.
  const bool real = is_float(x.dtype());
  const Tensor self = real ? to_accumulate_dtype(x) : x;
  const Tensor sum = scatter_sum(x.shape(), axis, index, real ? to_accumulate_dtype(source) : source, op);
  const Tensor total = include_self ? self + sum : where(count > 0, sum, self);
  if (how == ScatterReduce::Sum) return total.cast(x.dtype());
  const Tensor terms = include_self ? count + 1 : count.maximum(1);
  if (real) return (total / terms).cast(x.dtype());
  const auto [a, b] = promote_and_broadcast(total, terms, op.op);  // floor_divide would look for a 0
  const Tensor quotient(a.lazy().binary(BinaryOp::IDiv, b.lazy()));
  return (quotient - (a - quotient * b < 0).cast(b.dtype())).cast(x.dtype());
}

/// What all of these methods do, under the name of each.
Tensor sent(const Tensor& x, int64_t axis, const Tensor& index, const Tensor& source, ScatterReduce how,
            bool include_self, const char* op) {
  for (const Tensor* t : {&x, &index, &source}) t->lazy(op);
  if (x.axis_list(axis, op); x.rank() == 0)
    return sent(x.flatten(), axis, index, with_an_axis(source), how, include_self, op).reshape({});
  const int a = x.axis_index(axis, op);
  const Tensor at = with_an_axis(index);
  check_index(x, a, at, op);
  return reduced(x, a, at, scattered(x, at, with_an_axis(source), op), how, include_self, {op, index.shape()});
}

/// The same with one index for all that lies at a position of the axis.
Tensor sent_whole(const Tensor& x, int64_t axis, const Tensor& index, const Tensor& source, ScatterReduce how,
                  bool include_self, const char* op) {
  for (const Tensor* t : {&x, &index, &source}) t->lazy(op);
  if (x.axis_list(axis, op); x.rank() == 0)
    return sent_whole(x.flatten(), axis, index, with_an_axis(source), how, include_self, op).reshape({});
  const int a = x.axis_index(axis, op);
  const Tensor to = spread_index(x, a, with_an_axis(index), op);
  if (source.shape() != to.shape() || source.dtype() != x.dtype())
    fail(op, ": the source is ", source.dtype(), ' ', source.shape(), " and must be ", x.dtype(), ' ', to.shape());
  check_index(x, a, to, op);
  return reduced(x, a, to, source, how, include_self, {op, index.shape(), a});
}

}  // namespace

Tensor Tensor::scatter_add(int64_t axis, const Tensor& index, const Tensor& source) const {
  return sent(*this, axis, index, source, ScatterReduce::Sum, true, "scatter_add");
}

Tensor Tensor::index_add(int64_t axis, const Tensor& index, const Tensor& source) const {
  return sent_whole(*this, axis, index, source, ScatterReduce::Sum, true, "index_add");
}

Tensor Tensor::scatter_reduce(int64_t axis, const Tensor& index, const Tensor& source, ScatterReduce how,
                              bool include_self) const {
  refuse_bools(*this, "scatter_reduce");
  return sent(*this, axis, index, source, how, include_self, "scatter_reduce");
}

Tensor Tensor::index_reduce(int64_t axis, const Tensor& index, const Tensor& source, ScatterReduce how,
                            bool include_self) const {
  refuse_bools(*this, "index_reduce");
  return sent_whole(*this, axis, index, source, how, include_self, "index_reduce");
}

}  // namespace teeny
