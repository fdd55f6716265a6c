// The contraction: what is multiplied how is decided in contract_plan.cu; here is what `after` makes of the sums.
//
//   product ──────────────────────────► output                  `after` only stores the sums
//   product and `after` ──────────────► outputs                 tiles do it while the sums are in registers: contract_epilogue.h
//   product ──► sums ──► row kernel ──► outputs                 what these cannot; the sums wait in an output of their dtype, if any
//   product ──► parts of the sums ──► row kernel ──► outputs    too few tiles to fill the chip: k is cut into parts, and what
//                                                               adds them up goes on with `after`
#include <algorithm>
#include <optional>

#include "tinyops/common/contraction.h"
#include "tinyops/common/split_reduction.h"
#include "tinyops/cuda/contract/contract.h"

namespace tinyops::cuda {
namespace {

// ---- What follows ---------------------------------------------------------------------------------------------------

/// A row kernel made of `after`, for all the runs of its contraction: buffers are put in for a run, and taken out again.
struct Following {
  static constexpr int kSums = -1;

  RowKernel kernel;
  std::vector<int> inputs, outputs;  ///< whose buffers its own have: numbers of `after`'s, or kSums

  /// Runs it; `sums` is where the product has left them, or their parts.
  void run(const RowKernel& epilogue, const BufferRef& sums) {
    if (kernel.outputs.empty()) return;
    for (size_t i = 0; i < inputs.size(); ++i)
      kernel.inputs[i].operand.buffer = inputs[i] == kSums ? sums : epilogue.inputs[size_t(inputs[i])].operand.buffer;
    for (size_t i = 0; i < outputs.size(); ++i)
      kernel.outputs[i].operand.buffer = epilogue.outputs[size_t(outputs[i])].operand.buffer;
    run_kernel(kernel);
    for (Input& input : kernel.inputs) input.operand.buffer = nullptr;
    for (Output& output : kernel.outputs) output.operand.buffer = nullptr;
  }
};

/// `after` of sums that are in memory, or of their parts; it need not store output `place` again where that is the sum.
Following following_of(const RowKernel& epilogue, const Contraction& c, int64_t parts, int place) {
  Following result{epilogue, {}, {}};
  std::vector<PartialReduction> partial;
  for (int i = 0; i < int(epilogue.inputs.size()); ++i) {
    const bool sum = epilogue.inputs[size_t(i)].kind == Input::Kind::Sum;
    result.inputs.push_back(sum ? Following::kSums : i);
    if (!sum) continue;
    result.kernel.inputs[size_t(i)] = {Input::Kind::Memory, {nullptr, c.dtype, c.out}};
    for (int v = 0; v < int(epilogue.program.size()); ++v)
      if (epilogue.program[size_t(v)].op == decltype(Instruction::op)(Load{i})) {
        const DType wide = compute_dtype(c.dtype);
        partial.push_back({v, ReduceOp::Sum, wide, i, totals_of_parts(epilogue.shape, parts, wide, nullptr)});
      }
  }
  if (parts > 1) result.kernel = reduce_parts(result.kernel, parts, partial);
  const std::vector<Output> outputs = std::exchange(result.kernel.outputs, {});
  for (int i = 0; i < int(outputs.size()); ++i)
    if (parts > 1 || i != place || !is_sum(epilogue, epilogue.outputs[size_t(i)]))
      result.kernel.outputs.push_back(outputs[size_t(i)]), result.outputs.push_back(i);
  return result;
}

/// Whether a row kernel that adds up parts has room for `after`, too.
bool has_room(const RowKernel& epilogue) {
  return int(epilogue.inputs.size()) < kMaxInputs && int(epilogue.program.size()) + 3 <= kMaxInstructions &&
         epilogue.shape.size() < kMaxRank;
}

/// All that is decided about a contraction. Of where its buffers are it knows only the output that takes the sums, if any.
struct Plan {
  int place;
  ProductPlan product;
  std::vector<int> operands;  ///< of an epilogue of its tiles: inputs, and outputs by ~output. None: there is no such epilogue
  Following following;

  struct Of {
    const RowKernel& epilogue;
    const Contraction& contraction;
    int place;
  };
  explicit Plan(const Of& of) : place(of.place), product(of.contraction, has_room(of.epilogue)) {
    if (product.parts() > 1 || !fuse(of)) following = following_of(of.epilogue, of.contraction, product.parts(), place);
  }

  /// Tries to let the tiles do all of it.
  bool fuse(const Of& of) {
    const RowKernel& epilogue = of.epilogue;
    if (!product.tiling || (epilogue.outputs.size() == 1 && place == 0 && is_sum(epilogue, epilogue.outputs[0]))) return false;
    auto program = epilogue_of(epilogue, of.contraction.dtype);
    if (!program) return false;
    Contraction all = of.contraction;
    all.out = epilogue.outputs[0].operand.view;
    for (const int o : program->operands)
      all.beside.push_back(o < 0 ? epilogue.outputs[size_t(~o)].operand.view : epilogue.inputs[size_t(o)].operand.view);
    ProductPlan with_all(all, false);
    if (!with_all.tiling) return false;
    Tiling& tiling = *with_all.tiling;
    for (size_t i = 0; i < tiling.beside.size(); ++i) program->epilogue.operand[i].view = tiling.beside[i];
    tiling.epilogue = program->epilogue;
    product = std::move(with_all), operands = std::move(program->operands);
    return true;
  }

  /// Tells the tiles where their operands are now.
  void find_operands(const RowKernel& epilogue) {
    for (size_t i = 0; i < operands.size(); ++i)
      product.tiling->epilogue.operand[i].memory =
          memory_of(operands[i] < 0 ? epilogue.outputs[size_t(~operands[i])].operand : epilogue.inputs[size_t(operands[i])].operand);
  }
};

}  // namespace

void run_kernel(const ContractKernel& kernel) {
  const RowKernel& epilogue = kernel.epilogue;
  const int64_t count = numel(epilogue.shape);
  if (count == 0) return;
  const DType dtype = kernel.a.dtype;
  const int place = output_for_sums(epilogue, dtype);
  const Operand* const output = place >= 0 ? &epilogue.outputs[size_t(place)].operand : nullptr;
  Contraction c{kernel.shape, kernel.reduced, kernel.a, kernel.b, output ? output->view : View::contiguous(epilogue.shape), dtype, {}};
  for (Operand* operand : {&c.a, &c.b})
    if (operand->view.guards.size() > kMostGuards) *operand = without_guards(*operand);

  const Plan::Of of{epilogue, c, place};
  Plan* plan = &epilogue.plan_cache.get<Plan>(of);
  std::optional<Plan> other;
  if (plan->place != place) plan = &other.emplace(of);  // its buffers lie over each other in another way
  if (!plan->operands.empty()) {
    plan->find_operands(epilogue);
    return multiply(c, plan->product, memory_of(epilogue.outputs[0].operand));
  }
  const int64_t parts = plan->product.parts(), bytes = count * parts * itemsize(parts == 1 ? dtype : compute_dtype(dtype));
  const BufferRef sums = output && parts == 1 ? output->buffer : Scratch(size_t(bytes)).buffer();
  multiply(c, plan->product, static_cast<char*>(sums->data()));
  plan->following.run(epilogue, sums);
}

}  // namespace tinyops::cuda
