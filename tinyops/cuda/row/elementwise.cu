// The first kernel: one operation on arrays of floats, y[i] = op(a[i], b[i]). It is the whole of GPU programming in a few
// lines: a thread finds out which elements are its own, reads, computes, writes.
//
//   a   0 1 2 3 | 4 5 6 7 | 8 ..                 a thread has four neighbours, in one access of 16 bytes, and four more
//       thread 0  thread 1   ..                  a block of threads further on: while it waits for the first ones the
//       └──── a block's first 1024 ────┘         second ones are on their way, too
//
// Limit: memory. An addition for every twelve bytes is nothing beside them. A program of several operations is left to
// the interpreter of rows.cu, which asks before each operation what it is.
#include <optional>

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
}

/// Where the elements of an operand are that is read or written from its first to its last; null where it is another way.
float* straight(const Operand& operand) {
  const bool plain = operand.dtype == DType::Float32 && operand.view.is_contiguous();
  return plain ? memory_of<float>(operand) : nullptr;
}

/// The program's only operation, and what it reads: the numbers of inputs, or a constant.
struct Single {
  const Instruction* operation = nullptr;
  const Input* inputs[2] = {};
  std::optional<float> constant;
};

std::optional<Single> single_operation(const RowKernel& k) {
  Single result;
  for (const Instruction& i : k.program) {
    if (i.dtype != DType::Float32) return {};
    if (std::holds_alternative<Load>(i.op) || std::holds_alternative<Constant>(i.op)) continue;
    if (result.operation) return {};
    result.operation = &i;
  }
  if (!result.operation || k.outputs.size() != 1 || &k.program[size_t(k.outputs[0].value)] != result.operation) return {};
  for (size_t a = 0; a < 2 && result.operation->args[a] >= 0; ++a) {
    const Instruction& from = k.program[size_t(result.operation->args[a])];
    const auto* constant = std::get_if<Constant>(&from.op);
    if (constant && a == 1) result.constant = constant->value.as<float>();
    else if (const auto* load = std::get_if<Load>(&from.op)) result.inputs[a] = &k.inputs[size_t(load->input)];
    else return {};
    if (result.inputs[a] && result.inputs[a]->kind != Input::Kind::Memory) return {};
  }
  return result;
}

}  // namespace

bool run_elementwise(const RowKernel& k) {
  const std::optional<Single> single = single_operation(k);
  if (!single || !single->inputs[0]) return false;
  const float* const a = straight(single->inputs[0]->operand);
  const float* const b = single->inputs[1] ? straight(single->inputs[1]->operand) : nullptr;
  float* const y = straight(k.outputs[0].operand);
  if (!a || !y || (single->inputs[1] && !b)) return false;

  const int64_t n = numel(k.shape), blocks = blocks_for(n, kThreads * kEach);
  if (blocks > INT32_MAX) return false;
  const auto start = [&](auto op) {
    const Grid grid{dim3(unsigned(blocks)), dim3(kThreads)};
    launch("elementwise", elementwise<decltype(op)::value>, grid, a, b, single->constant.value_or(0), y, n);
  };
  if (const auto* op = std::get_if<BinaryOp>(&single->operation->op)) return InlinedBinary::visit(*op, start);
  if (const auto* op = std::get_if<UnaryOp>(&single->operation->op)) return InlinedUnary::visit(*op, start);
  return false;
}

}  // namespace tinyops::cuda
