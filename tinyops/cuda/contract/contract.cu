// The contraction: what is multiplied how is decided in contract_plan.cu; here is what its epilogue makes of the sums.
//
//   product ──────────────────────────► output                  the epilogue only stores the sums
//   product and epilogue ─────────────► outputs                 in tiles, with the sums in registers: contract_epilogue.h
//   product ──► sums ──► row kernel ──► outputs                 what these cannot; sums may wait in an output of their dtype
//   product ──► parts of the sums ──► row kernel ──► outputs    too few tiles to fill the chip: k is cut into parts, and
//                                                               what adds them up goes on with the epilogue
#include <algorithm>
#include <optional>

#include "tinyops/common/contraction.h"
#include "tinyops/common/split_reduction.h"
#include "tinyops/cuda/contract/contract.h"

namespace tinyops::cuda {
namespace {

/// The epilogue as a row kernel, for all the runs of its contraction: buffers are put in for a run, and taken out
/// again.
struct EpilogueKernel {
  RowKernel kernel = {};
  int written = -1;  ///< the one of the epilogue's outputs that it lacks: the product has stored it

  /// Runs it; `sums` is where the product has left them, or their parts.
  void run(const RowKernel& epilogue, const BufferRef& sums) {
    if (kernel.outputs.empty()) return;
    for (size_t i = 0; i < kernel.inputs.size(); ++i) {
      const Input& from = epilogue.inputs[i];
      kernel.inputs[i].operand.buffer = from.kind == Input::Kind::Sum ? sums : from.operand.buffer;
    }
    for (int o = 0; o < int(kernel.outputs.size()); ++o)
      kernel.outputs[size_t(o)].operand.buffer =
          epilogue.outputs[size_t(o + (written >= 0 && o >= written))].operand.buffer;
    run_kernel(kernel);
    for (Input& input : kernel.inputs) input.operand.buffer = nullptr;
    for (Output& output : kernel.outputs) output.operand.buffer = nullptr;
  }
};

/// Of sums that are in memory, in output `place` if that is not negative, or of their parts.
EpilogueKernel epilogue_kernel(const RowKernel& epilogue, const Contraction& c, int64_t parts, int place) {
  EpilogueKernel result{epilogue};
  std::vector<PartialReduction> partial;
  const DType wide = compute_dtype(c.dtype);
  for (int i = 0; i < int(epilogue.inputs.size()); ++i) {
    if (epilogue.inputs[size_t(i)].kind != Input::Kind::Sum) continue;
    result.kernel.inputs[size_t(i)] = {Input::Kind::Memory, {nullptr, c.dtype, c.out}};
    for (int v = 0; v < int(epilogue.program.size()); ++v)
      if (const auto* load = std::get_if<Load>(&epilogue.program[size_t(v)].op); load && load->input == i)
        partial.push_back({v, ReduceOp::Sum, wide, i, totals_of_parts(epilogue.shape, parts, wide, nullptr)});
  }
  if (parts > 1) result.kernel = reduce_parts(result.kernel, parts, partial);
  else if (place >= 0 && is_sum(epilogue, epilogue.outputs[size_t(place)]))
    result.kernel.outputs.erase(result.kernel.outputs.begin() + place), result.written = place;
  return result;
}

/// Whether a row kernel that adds up parts has room for the epilogue, too.
bool has_room(const RowKernel& epilogue) {
  return int(epilogue.inputs.size()) < kMaxInputs && int(epilogue.program.size()) + 3 <= kMaxInstructions &&
         epilogue.shape.size() < kMaxRank;
}

/// All that is decided about a contraction. Of where its buffers are it knows only the output that takes the sums, if
/// any.
struct Plan {
  int place;
  ProductPlan product;
  /// Of an epilogue of its tiles: inputs, and outputs by ~output. None: there is no such epilogue.
  std::vector<int> operands;
  EpilogueKernel epilogue_rows;  ///< where there is none

  struct Of {
    const RowKernel& epilogue;
    const Contraction& contraction;
    int place;
  };
  explicit Plan(const Of& of) : place(of.place), product(of.contraction, has_room(of.epilogue)) {
    if (product.parts() > 1 || !fuse(of))
      epilogue_rows = epilogue_kernel(of.epilogue, of.contraction, product.parts(), place);
  }

  /// Tries to let the tiles do all of it.
  bool fuse(const Of& of) {
    const RowKernel& epilogue = of.epilogue;
    if (!product.tiling || (epilogue.outputs.size() == 1 && place == 0 && is_sum(epilogue, epilogue.outputs[0])))
      return false;
    auto program = epilogue_of(epilogue, of.contraction.dtype);
    if (!program) return false;
    Contraction all = of.contraction;
    all.out = epilogue.outputs[0].operand.view;
    for (const int o : program->operands) all.beside.push_back(operand_of(epilogue, o).view);
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
      product.tiling->epilogue.operand[i].memory = memory_of(operand_of(epilogue, operands[i]));
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
  Contraction c{kernel.shape,
                kernel.reduced,
                kernel.a,
                kernel.b,
                output ? output->view : View::contiguous(epilogue.shape),
                dtype,
                {}};
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
  const int64_t parts = plan->product.parts(),
                bytes = count * parts * itemsize(parts == 1 ? dtype : compute_dtype(dtype));
  const BufferRef sums = output && parts == 1 ? output->buffer : Scratch(size_t(bytes)).buffer();
  multiply(c, plan->product, static_cast<char*>(sums->data()));
  plan->epilogue_rows.run(epilogue, sums);
}

}  // namespace tinyops::cuda
