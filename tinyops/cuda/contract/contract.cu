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

/// `after` of sums that are in memory, in output `place` if that is not negative; it need not store that one again.
Following after_sums(const RowKernel& epilogue, const Operand& sums, int place) {
  Following result{epilogue, {}, {}};
  result.kernel.outputs.clear();
  for (int i = 0; i < int(epilogue.outputs.size()); ++i) {
    const Output& output = epilogue.outputs[size_t(i)];
    if (i == place && is_sum(epilogue, output)) continue;
    result.kernel.outputs.push_back(output), result.outputs.push_back(i);
  }
  for (int i = 0; i < int(epilogue.inputs.size()); ++i) {
    const bool sum = epilogue.inputs[size_t(i)].kind == Input::Kind::Sum;
    if (sum) result.kernel.inputs[size_t(i)] = {Input::Kind::Memory, sums};
    result.inputs.push_back(sum ? Following::kSums : i);
  }
  return result;
}

/// `after` of sums whose parts are in memory, `parts` times the sums: a row kernel over (i axes | parts).
///
///   %0 = load 0    %1 = Reduce Sum %0    %2 = Cast %1, for 16 bits    .. and from here on `after`, with %2 for its sum
Following after_parts(const RowKernel& epilogue, DType dtype, int64_t parts) {
  const DType wide = dtype == DType::Float64 ? dtype : DType::Float32;
  const auto with_parts = [&](Operand operand) {
    operand.view.shape.push_back(parts);
    operand.view.address.coef.push_back(0);
    for (Guard& guard : operand.view.guards) guard.position.coef.push_back(0);
    return operand;
  };
  Following result;
  RowKernel& kernel = result.kernel;
  kernel.shape = epilogue.shape;
  kernel.shape.push_back(parts);
  kernel.inner = 1;
  Operand all = with_parts({nullptr, wide, View::contiguous(epilogue.shape)});
  all.view.address.coef[-1] = numel(epilogue.shape);
  kernel.inputs.push_back({Input::Kind::Memory, all}), result.inputs.push_back(Following::kSums);
  kernel.program = {{Load{0}, wide}, {Reduce{ReduceOp::Sum}, wide, {0, -1, -1}, true}};
  if (dtype != wide) kernel.program.push_back({UnaryOp::Cast, dtype, {1, -1, -1}, true});
  const int sum = int(kernel.program.size()) - 1;

  std::vector<int> inputs, values;  // where each of `after` is now
  for (int i = 0; i < int(epilogue.inputs.size()); ++i) {
    const Input& input = epilogue.inputs[size_t(i)];
    inputs.push_back(int(kernel.inputs.size()));
    if (input.kind == Input::Kind::Sum) continue;
    kernel.inputs.push_back(input), result.inputs.push_back(i);
    kernel.inputs.back().operand = with_parts(input.operand);
  }
  for (Instruction step : epilogue.program) {
    auto* const load = std::get_if<Load>(&step.op);
    values.push_back(int(kernel.program.size()));
    if (load && epilogue.inputs[size_t(load->input)].kind == Input::Kind::Sum) {
      values.back() = sum;
      continue;
    }
    if (load) load->input = inputs[size_t(load->input)];
    for (int& arg : step.args)
      if (arg >= 0) arg = values[size_t(arg)];
    step.per_row = true;
    kernel.program.push_back(step);
  }
  for (int i = 0; i < int(epilogue.outputs.size()); ++i) {
    const Output& output = epilogue.outputs[size_t(i)];
    kernel.outputs.push_back({with_parts(output.operand), values[size_t(output.value)]}), result.outputs.push_back(i);
  }
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
    if (product.parts() > 1) {
      following = after_parts(of.epilogue, of.contraction.dtype, product.parts());
    } else if (!fuse(of)) {
      following = after_sums(of.epilogue, {nullptr, of.contraction.dtype, of.contraction.out}, place);
    }
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
  const int64_t bytes = plan->product.parts() == 1  ? count * itemsize(dtype)
                        : dtype == DType::Float64   ? 8 * count * plan->product.parts()
                                                    : 4 * count * plan->product.parts();
  const BufferRef sums = output && plan->product.parts() == 1 ? output->buffer : Scratch(size_t(bytes)).buffer();
  multiply(c, plan->product, static_cast<char*>(sums->data()));
  plan->following.run(epilogue, sums);
}

}  // namespace tinyops::cuda
