// A number of the program's text beside a tensor: which dtype it takes, and the operators with one on either side.
#include <string_view>

#include "teeny/mlops/common.h"

namespace teeny {

Tensor Tensor::scalar_like(Scalar value, const char* op) const {
  DType to = dtype();
  if (value.is_fraction() && !is_float(to)) to = DType::Float32;
  if (!value.is_bool() && to == DType::Bool) to = DType::Int64;
  if (!is_float(to) && !fits(value, to)) fail(op, ": ", value, " does not fit ", to, "; cast the tensor to int64 first");
  return Tensor(LazyBuffer::constant(value, to, {}));
}
namespace {
/// Division makes floats of both. A number that x cannot hold is still larger or smaller than all that x holds.
Tensor beside(const Tensor& x, Scalar y, std::string_view op) {
  if (op == "/") return as_float(x);
  const bool compares = op == "<" || op == "<=" || op == ">" || op == ">=" || op == "==" || op == "!=";
  return compares && is_int(x.dtype()) && !y.is_fraction() && !fits(y, x.dtype()) ? x.cast(DType::Int64) : x;
}
}  // namespace
#define TEENY_OPERATOR(op)                              \
  Tensor operator op(const Tensor& x, Scalar y) {       \
    const Tensor a = beside(x, y, #op);                 \
    return a op a.scalar_like(y, #op);                  \
  }                                                     \
  Tensor operator op(Scalar x, const Tensor& y) {       \
    const Tensor b = beside(y, x, #op);                 \
    return b.scalar_like(x, #op) op b;                  \
  }

TEENY_OPERATOR(+)
TEENY_OPERATOR(-)
TEENY_OPERATOR(*)
TEENY_OPERATOR(/)
TEENY_OPERATOR(%)
TEENY_OPERATOR(&)
TEENY_OPERATOR(|)
TEENY_OPERATOR(^)
TEENY_OPERATOR(<<)
TEENY_OPERATOR(>>)
TEENY_OPERATOR(<)
TEENY_OPERATOR(<=)
TEENY_OPERATOR(>)
TEENY_OPERATOR(>=)
TEENY_OPERATOR(==)
TEENY_OPERATOR(!=)
#undef TEENY_OPERATOR
Tensor where(const Tensor& condition, const Tensor& x, Scalar y) { return where(condition, x, x.scalar_like(y, "where")); }
Tensor where(const Tensor& condition, Scalar x, const Tensor& y) { return where(condition, y.scalar_like(x, "where"), y); }
Tensor where(const Tensor& condition, Scalar x, Scalar y) { return where(condition, Tensor(x), Tensor(y)); }

}  // namespace teeny
