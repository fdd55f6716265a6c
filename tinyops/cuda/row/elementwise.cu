// The first kernel: one operation on arrays of floats, y[i] = op(a[i], b[i]). It is the whole of GPU programming in a
// few lines: a thread finds out which elements are its own, reads, computes, writes.
//
//   a   0 1 2 3 | 4 5 6 7 | 8 ..                 a thread has four neighbours, in one access of 16 bytes, and four more
//       thread 0  thread 1   ..                  a block of threads further on: while it waits for the first ones the
//       └──── a block's first 1024 ────┘         second ones are on their way, too
//
// Limit: memory. An addition for every twelve bytes is nothing beside them. A program of several operations is left to
// the interpreter of rows.cu, which finds out before each operation what it is.
#include "tinyops/cuda/row/row_plan.h"

namespace tinyops::cuda {
namespace {

constexpr int kThreads = 256, kEach = 8;

/// `b` may be missing: then the operation's second argument is `constant`, if it has two.
template <auto op>
__global__ void __launch_bounds__(kThreads)
    elementwise(Global<const float> a, Global<const float> b, float constant, Global<float> y, int64_t n) {
  constexpr auto apply_op = [](float x, float z) {
    if constexpr (std::is_same_v<decltype(op), UnaryOp>) return apply(op, x);
    else return apply(op, x, z);
  };
  // [exercise 31
  const int64_t first = int64_t(blockIdx.x) * kThreads * kEach + threadIdx.x * 4, second = first + kThreads * 4;
  const auto fours = [&](const float4& u, const float4& v) {
    return make_float4(apply_op(u.x, v.x), apply_op(u.y, v.y), apply_op(u.z, v.z), apply_op(u.w, v.w));
  };
  if (second + 4 <= n) {
    const float4 same = make_float4(constant, constant, constant, constant);
    const float4 u = vector_at<float4>(a, first), v = b ? vector_at<float4>(b, first) : same;
    const float4 s = vector_at<float4>(a, second), t = b ? vector_at<float4>(b, second) : same;
    vector_at<float4>(y, first) = fours(u, v);
    vector_at<float4>(y, second) = fours(s, t);
  } else {
    for (const int64_t start : {first, second})
      for (int64_t k = start; k < start + 4 && k < n; ++k) y[k] = apply_op(a[k], b ? b[k] : constant);
  }
  // exercise 31]
}

/// Where the elements of an operand are that is read or written from its first to its last; null where it is another
/// way.
float* straight(const Operand& operand) {
  const bool plain = operand.dtype == DType::Float32 && operand.view.is_contiguous();
  return plain ? memory_of<float>(operand) : nullptr;
}

/// The operation, where it is the program's only one, and its result is all that is stored.
const Instruction* single_operation(const RowKernel& k) {
  const Instruction* operation = nullptr;
  for (const Instruction& i : k.program) {
    if (i.dtype != DType::Float32) return nullptr;
    if (std::holds_alternative<Load>(i.op) || std::holds_alternative<Constant>(i.op)) continue;
    if (operation) return nullptr;
    operation = &i;
  }
  return k.outputs.size() == 1 && &k.program[size_t(k.outputs[0].value)] == operation ? operation : nullptr;
}

}  // namespace

bool run_elementwise(const RowKernel& k) {
  const Instruction* const operation = single_operation(k);
  float* const y = operation ? straight(k.outputs[0].operand) : nullptr;
  if (!y) return false;
  const float* inputs[2] = {};
  float constant = 0;
  for (size_t a = 0; a < 2 && operation->args[a] >= 0; ++a) {
    const Instruction& from = k.program[size_t(operation->args[a])];
    if (const auto* load = std::get_if<Load>(&from.op)) {
      const Input& input = k.inputs[size_t(load->input)];
      inputs[a] = input.kind == Input::Kind::Memory ? straight(input.operand) : nullptr;
      if (!inputs[a]) return false;
    } else if (a == 1) constant = std::get<Constant>(from.op).value.as<float>();
    else return false;
  }

  const int64_t n = numel(k.shape), blocks = blocks_for(n, kThreads * kEach);
  if (blocks > INT32_MAX) return false;
  const auto start = [&](auto op) {
    launch("elementwise", elementwise<decltype(op)::value>, Grid{unsigned(blocks), kThreads}, inputs[0], inputs[1],
           constant, y, n);
  };
  if (const auto* op = std::get_if<BinaryOp>(&operation->op)) return InlinedBinary::visit(*op, start);
  if (const auto* op = std::get_if<UnaryOp>(&operation->op)) return InlinedUnary::visit(*op, start);
  return false;
}

}  // namespace tinyops::cuda
