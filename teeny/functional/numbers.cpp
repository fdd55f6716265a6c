// A number of the program's text beside a tensor: which dtype it takes, and the operators with one on either side.
#include "teeny/functional/functional.h"

namespace teeny {

Tensor Tensor::scalar_like(Scalar value, const char* op) const {
  DType to = lazy(op).dtype();
  if (value.is_fraction() && !is_float(to)) to = DType::Float32;
  if (!value.is_bool() && to == DType::Bool) to = DType::Int64;
  if (!is_float(to) && !fits(value, to))
    fail(op, ": ", value, " does not fit ", to, "; cast the tensor to int64 first");
  return Tensor(LazyBuffer::constant(value, to, {}));
}

namespace {
/// x beside a number it is compared with: one that x cannot hold is still larger or smaller than all that x holds.
Tensor comparable(const Tensor& x, Scalar y, const char* op) {
  return is_int(x.lazy(op).dtype()) && !y.is_fraction() && !fits(y, x.dtype()) ? x.cast(DType::Int64) : x;
}
}  // namespace

// `beside`: the tensor t beside the number n, as the operator takes it; `number`: the number beside the tensor x. It is
// compared as a tensor of x's dtype would hold it, so that a float16 that was made from 0.1 equals 0.1.
#define TEENY_OPERATOR(op, beside, number)        \
  Tensor operator op(const Tensor& t, Scalar n) { \
    const Tensor x = beside;                      \
    return x op x.scalar_like(number, #op);       \
  }                                               \
  Tensor operator op(Scalar n, const Tensor& t) { \
    const Tensor x = beside;                      \
    return x.scalar_like(number, #op) op x;       \
  }

TEENY_OPERATOR(+, t, n)
TEENY_OPERATOR(-, t, n)
TEENY_OPERATOR(*, t, n)
TEENY_OPERATOR(/, as_float(t, "/"), n)  // division makes floats of both
TEENY_OPERATOR(%, t, n)
TEENY_OPERATOR(&, t, n)
TEENY_OPERATOR(|, t, n)
TEENY_OPERATOR(^, t, n)
TEENY_OPERATOR(<<, t, n)
TEENY_OPERATOR(>>, t, n)
TEENY_OPERATOR(<, comparable(t, n, "<"), rounded(n, x.dtype()))
TEENY_OPERATOR(<=, comparable(t, n, "<="), rounded(n, x.dtype()))
TEENY_OPERATOR(>, comparable(t, n, ">"), rounded(n, x.dtype()))
TEENY_OPERATOR(>=, comparable(t, n, ">="), rounded(n, x.dtype()))
TEENY_OPERATOR(==, comparable(t, n, "=="), rounded(n, x.dtype()))
TEENY_OPERATOR(!=, comparable(t, n, "!="), rounded(n, x.dtype()))
#undef TEENY_OPERATOR

Tensor where(const Tensor& condition, const Tensor& x, Scalar y) {
  return where(condition, x, x.scalar_like(rounded(y, x.lazy("where").dtype()), "where"));
}
Tensor where(const Tensor& condition, Scalar x, const Tensor& y) {
  return where(condition, y.scalar_like(rounded(x, y.lazy("where").dtype()), "where"), y);
}
Tensor where(const Tensor& condition, Scalar x, Scalar y) { return where(condition, Tensor(x), Tensor(y)); }

}  // namespace teeny
