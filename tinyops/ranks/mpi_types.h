#pragma once
// teeny's data types, reductions and collectives as MPI knows them. For this room alone, and for the thread on which
// all of MPI happens.
#define OMPI_SKIP_MPICXX 1  // MPI is C here; its old C++ interface would want a library of its own
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <string_view>

#include "tinyops/base/collective.h"
#include "tinyops/base/error.h"
#include "tinyops/base/op.h"
#include "tinyops/base/scalar_ops.h"

namespace tinyops::ranks {

inline void check(int code, std::string_view what) {
  if (code == MPI_SUCCESS) return;
  char message[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, message, &length);
  fail("MPI: ", what, ": ", std::string_view(message, size_t(length)));
}

inline MPI_Datatype type_of(DType dtype) {
  switch (dtype) {
    case DType::Bool:
    case DType::UInt8: return MPI_UINT8_T;
    case DType::Int32: return MPI_INT32_T;
    case DType::Int64: return MPI_INT64_T;
    case DType::Float32: return MPI_FLOAT;
    case DType::Float64: return MPI_DOUBLE;
    case DType::Float16:
    case DType::BFloat16: return MPI_UINT16_T;  // two bytes; what adds them up is below
  }
  fail("MPI: no type for ", dtype);
}

/// `op` of two vectors of T, which MPI does not know: each result is rounded to T.
template <class T, ReduceOp op>
void reduce_elements(void* in, void* in_out, int* count, MPI_Datatype*) {
  const T* x = static_cast<const T*>(in);
  T* y = static_cast<T*>(in_out);
  for (int i = 0; i < *count; ++i) y[i] = T(apply(step(op), Compute<T>(y[i]), Compute<T>(x[i])));
}

template <class T, ReduceOp op>
MPI_Op op_of() {
  static const MPI_Op made = [] {
    MPI_Op result;
    check(MPI_Op_create(reduce_elements<T, op>, 1, &result), "an operation of 16 bits");
    return result;
  }();
  return made;
}

inline MPI_Op op_of(ReduceOp op, DType dtype) {
  const auto choose = [&]<ReduceOp which>(MPI_Op otherwise) {
    if (dtype == DType::Float16) return op_of<float16, which>();
    if (dtype == DType::BFloat16) return op_of<bfloat16, which>();
    return otherwise;
  };
  switch (op) {
    case ReduceOp::Sum: return choose.operator()<ReduceOp::Sum>(MPI_SUM);
    case ReduceOp::Prod: return choose.operator()<ReduceOp::Prod>(MPI_PROD);
    case ReduceOp::Max: return choose.operator()<ReduceOp::Max>(MPI_MAX);
    case ReduceOp::Min: return choose.operator()<ReduceOp::Min>(MPI_MIN);
  }
  fail("MPI: no operation for ", op);
}

/// The kernel, begun.
inline MPI_Request started(const CollectiveKernel& k, const void* in, void* out, MPI_Comm comm) {
  const int64_t n = k.in.view.numel(), most = std::max(n, k.out.view.numel());
  if (most > INT_MAX) fail(name(k.what), ": ", most, " elements, and MPI counts to ", INT_MAX);
  const MPI_Datatype type = type_of(k.in.dtype);
  const MPI_Op op = op_of(k.op, k.in.dtype);
  int rank = 0, world = 1;
  MPI_Comm_rank(comm, &rank), MPI_Comm_size(comm, &world);
  MPI_Request request = MPI_REQUEST_NULL;
  const auto code = [&] {
    switch (k.what) {
      case Collective::AllReduce: return MPI_Iallreduce(in, out, int(n), type, op, comm, &request);
      case Collective::AllGather: return MPI_Iallgather(in, int(n), type, out, int(n), type, comm, &request);
      case Collective::ReduceScatter:
        return MPI_Ireduce_scatter_block(in, out, int(n / world), type, op, comm, &request);
      case Collective::Broadcast:
        if (rank == k.root) std::memcpy(out, in, size_t(n * itemsize(k.in.dtype)));
        return MPI_Ibcast(out, int(n), type, k.root, comm, &request);
    }
    return MPI_ERR_ARG;
  };
  check(code(), name(k.what));
  return request;
}

}  // namespace tinyops::ranks
