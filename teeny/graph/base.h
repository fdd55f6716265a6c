#pragma once
// The words of tinyops/base in the namespace of teeny: what a tensor, a graph and a kernel all speak of.
#include "tinyops/base/dtype.h"
#include "tinyops/base/error.h"
#include "tinyops/base/index_error.h"
#include "tinyops/base/op.h"
#include "tinyops/base/shape.h"

namespace teeny {

using tinyops::Error, tinyops::fail, tinyops::text;

using tinyops::bfloat16, tinyops::DType, tinyops::float16, tinyops::kDTypes, tinyops::Scalar;
using tinyops::dtype_of, tinyops::is_float, tinyops::is_int, tinyops::itemsize, tinyops::promote, tinyops::with_type;

using tinyops::BinaryOp, tinyops::name, tinyops::ReduceOp, tinyops::TernaryOp, tinyops::UnaryOp;

using tinyops::Affine, tinyops::Dims, tinyops::Guard, tinyops::kMaxRank, tinyops::Shape, tinyops::View;
using tinyops::IndexOrigin;
using tinyops::broadcast, tinyops::compose, tinyops::numel, tinyops::range, tinyops::row_major;

}  // namespace teeny
