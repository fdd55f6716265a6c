// The row kernel: runs the program of a RowPlan, block by block, tile by tile, op by op.
//
//   thread's memory   | slot | slot | ... | packed | totals ... | kept: tile 0, tile 1, ... | kept ...
//
//   x  ──(in place)──►  op ──► slot ──► op ──► slot ──► op ──(through)──►  out      the ends of the chain touch memory
//   y  ──gather──► slot ──^                                                         directly where a tile lies there in
//                                                                                   one piece, and need no copy
#include <cstdlib>
#include <cstring>
#include <memory>

#include "tinyops/cpu/row/row.h"
#include "tinyops/cpu/parallel.h"
#include "tinyops/cpu/row/row_plan.h"
#include "tinyops/cpu/row/window_max.h"
#include "tinyops/cpu/scratch.h"

namespace tinyops::cpu {
namespace {

class Worker {
 public:
  explicit Worker(const RowPlan& plan)
      : plan_(plan), slot_bytes_(plan.tile * plan.value_bytes), at_(plan.forms.size()), data_(plan.values.size()),
        row_data_(plan.values.size()), expected_(plan.inputs.size() + (plan.deep ? plan.outputs.size() : 0)) {
    thread_local Scratch scratch;
    thread_local const Scratch::End end{scratch};
    const int64_t slots = plan.slots * slot_bytes_, packed = plan.tile * 8, kept = plan.kept * plan.tiles * slot_bytes_;
    slots_ = scratch.take(size_t(slots + packed + plan.totals_bytes() + kept) + 64);
    packed_ = slots_ + slots, totals_ = packed_ + packed, kept_ = totals_ + plan.totals_bytes();
    for (size_t f = 0; f < at_.size(); ++f) at_[f] = plan.forms[f].offset;
    region_ = {plan.lane_shape, Dims::filled(plan.lane_shape.size(), 0), 1};
    row_region_ = {{plan.packed ? plan.lane_shape[0] : 1}, {0}, 1};
    for (const Step& step : plan.constants) run_row_step(step);
  }
  ~Worker() {
    if (plan_.stream) finish_streaming();
  }

  /// A whole block.
  void run_block(int64_t block) {
    for (size_t s = 0; s < plan_.stages.size(); ++s) {
      run_rows(block, s, true);
      run_tiles(block, s, 0, plan_.tiles);
    }
  }

  /// The tiles of one chunk of a block, whose totals go to `totals`.
  void run_chunk(int64_t block, int64_t chunk, char* totals) {
    run_rows(block, 0, false);
    run_tiles(block, 0, plan_.tiles * chunk / plan_.chunks, plan_.tiles * (chunk + 1) / plan_.chunks);
    std::memcpy(totals, totals_, size_t(plan_.totals_bytes()));
  }

  /// The rest of a block, from the totals of its chunks.
  void finish_block(int64_t block, const char* totals) {
    std::memcpy(totals_, totals, size_t(plan_.totals_bytes()));
    for (int64_t chunk = 1; chunk < plan_.chunks; ++chunk) {
      totals += plan_.totals_bytes();
      for (int i = 0; i < int(plan_.totals.size()); ++i)
        plan_.totals[size_t(i)]->combine(plan_.block_rows, total(i), totals + (total(i) - totals_));
    }
    for (size_t s = 0; s < plan_.stages.size(); ++s) run_rows(block, s, true);
  }

 private:
  /// What of an operand is left to prefetch.
  struct Expected {
    uintptr_t before = 0, next = 0, end = 0;  // the last tile, and what is left of a run
    uintptr_t bytes = 0, stride = 0;          // of a run, and from one to the next
    int64_t runs = 0;                         // that follow
    bool next_run() {
      if (runs == 0) return false;
      --runs, end += stride, next = end - bytes;
      return true;
    }
  };

  char* slot(int index) { return slots_ + index * slot_bytes_; }
  char* total(int index) { return totals_ + index * plan_.tile * 8; }
  char* kept(int index, int64_t tile) { return kept_ + (index * plan_.tiles + tile) * slot_bytes_; }

  /// How many totals and row values a block has.
  int64_t rows_of_block() const {
    if (plan_.lanes_are_inner) return plan_.packed ? region_.n / plan_.row_length : 1;
    return plan_.deep ? region_.n / region_.lanes[0] : region_.n;
  }

  void run_rows(int64_t block, size_t stage, bool with_stores) {
    const std::vector<Step>& steps = plan_.stages[stage].rows;
    if (steps.empty()) return;
    plan_.place(block, 0, region_, at_.data());
    if (plan_.lanes_are_inner) {  // the block's rows become the lanes
      if (plan_.packed) row_region_.start[0] = region_.start[0];
      row_region_.n = rows_of_block();
      std::swap(region_, row_region_);
      forms_ = plan_.row_forms.data();
    } else if (plan_.deep) region_.n = rows_of_block(), region_.lanes[0] = 1;
    for (const Step& step : steps)
      if (step.kind != Step::Kind::Store) run_row_step(step);
      else if (with_stores) store(step, row_data_[size_t(step.value)]);
    if (plan_.lanes_are_inner) {
      std::swap(region_, row_region_);
      forms_ = plan_.forms.data();
    }
  }

  /// A value of rows or of the whole kernel. Where a scalar goes with many lanes and the operation does not take it
  /// alone, it is written to all of them, so that it can be read like any other tile.
  void run_row_step(const Step& step) {
    const PlannedValue& value = plan_.values[size_t(step.value)];
    char* result = data_[size_t(step.value)] = row_data_[size_t(step.value)] = slot(step.slot);
    const int64_t n = value.is_fixed ? 1 : region_.n;
    switch (step.kind) {
      case Step::Kind::Load: load(step, result); break;
      case Step::Kind::Constant:
        with_compute(value.dtype, [&, i = std::get<Constant>(plan_.kernel.program[size_t(step.value)].op)]<class T>(T) {
          *reinterpret_cast<InTile<T>*>(result) = i.value.as<T>();
        });
        break;
      case Step::Kind::Finish:
        plan_.totals[size_t(step.operand)]->finish(n, result, total(step.operand));
        break;
      default: compute(step, result, whole_steps(n), row_data_);
    }
    if (value.is_fixed && value.in_lanes) spread_tile(value.dtype, result, 1, plan_.tile, result);
    if (value.wide_slot < 0) return;
    char* wide = data_[size_t(step.value)] = slot(value.wide_slot);
    if (plan_.deep)  // a b c  a b c  ...
      for (int64_t d = 0, bytes = n * itemsize(value.dtype); d < plan_.box[0]; ++d)
        std::memcpy(wide + d * bytes, result, size_t(bytes));
    else spread_tile(value.dtype, wide, n, plan_.packed ? plan_.row_length : plan_.tile, result);
  }

  void run_tiles(int64_t block, size_t stage, int64_t begin, int64_t end) {
    const std::vector<Step>& steps = plan_.stages[stage].tiles;
    if (steps.empty()) return;
    for (const Step& step : steps)
      if (step.kind == Step::Kind::Accumulate)
        plan_.totals[size_t(step.operand)]->reset(plan_.block_rows, total(step.operand));
    for (int64_t t = begin; t < end; ++t) {
      plan_.place(block, t, region_, at_.data());
      last_tile_ = t + 1 == end;
      if (plan_.kept)
        for (size_t v = 0; v < data_.size(); ++v)
          if (plan_.values[v].kept >= 0) data_[v] = kept(plan_.values[v].kept, t);
      for (const Step& step : steps) {
        run_tile_step(step);
        if (plan_.prefetch) prefetch();
      }
    }
  }

  void run_tile_step(const Step& step) {
    char*& data = data_[size_t(step.value)];
    switch (step.kind) {
      case Step::Kind::Load:
        data = nullptr;
        if (!step.copied && can_touch_memory(plan_.inputs[size_t(step.operand)]))
          data = in_place(plan_.inputs[size_t(step.operand)]);
        if (plan_.deep) expect_runs(plan_.inputs[size_t(step.operand)], expected_[size_t(step.operand)]);
        else if (data && plan_.prefetch) expect_next(step.operand, data);
        if (!data) data = slot(step.slot), load(step, data);
        break;
      case Step::Kind::Op:
        if (step.slot >= 0) data = slot(step.slot);
        if (step.through >= 0 && step.slot >= 0 && can_touch_memory(plan_.outputs[size_t(step.through)]))
          if (char* memory = in_place(plan_.outputs[size_t(step.through)])) data = memory;
        compute(step, data, whole_steps(region_.n), data_);
        break;
      case Step::Kind::Accumulate: {
        const TileReduction& reduction = *plan_.totals[size_t(step.operand)];
        const char* values = data_[size_t(step.args[0])];
        char* totals = total(step.operand);
        if (!plan_.lanes_are_inner) reduction.rows(plan_.deep ? region_.lanes[0] : 1, rows_of_block(), totals, values);
        else reduction.packed(rows_of_block(), plan_.packed ? plan_.row_length : region_.n, totals, values);
        break;
      }
      case Step::Kind::Store:
        store(step, data_[size_t(step.value)]);
        if (plan_.deep)
          expect_runs(plan_.outputs[size_t(step.operand)], expected_[plan_.inputs.size() + size_t(step.operand)]);
        break;
      default: break;
    }
  }

  /// The next tile of an input is prefetched while this one is computed, a few cache lines a step, as if it were
  /// as far away as this one was from the last. A wrong guess, even outside the buffer, only costs its time; a tile
  /// that just follows is left to the processor, which sees it coming.
  void expect_next(int input, const char* data) {
    Expected& e = expected_[size_t(input)];
    const uintptr_t here = reinterpret_cast<uintptr_t>(data);
    const uintptr_t bytes = uintptr_t(region_.n * plan_.inputs[size_t(input)].itemsize);
    e.next = here + (here - e.before);
    e.end = e.next == here + bytes ? e.next : e.next + bytes;
    e.before = here;
  }
  /// The same for the runs of a deep tile. They are far from each other, so the processor sees none of them coming; the
  /// next tile has the next inner elements, or where this one has all, the next rows.
  void expect_runs(const PlannedOperand& operand, Expected& e) {
    const Dims& step = forms_[operand.first_form].lane;
    if (!plan_.prefetch || operand.kind != Input::Kind::Memory || step[step.size() - 1] != 1) return;
    if (last_tile_ && plan_.tiles > 1) return;
    const int axis = plan_.tiles == 1;
    const int64_t first = *at(operand) + step[axis] * plan_.box[axis];
    e.next = reinterpret_cast<uintptr_t>(operand.access.memory) + uintptr_t(first * operand.itemsize);
    e.stride = uintptr_t(step[0] * operand.itemsize);
    e.bytes = uintptr_t(rows_of_block() * operand.itemsize);
    e.end = e.next + e.bytes, e.runs = plan_.box[0] - 1;
  }
  void prefetch() {
    int lines = 16;
    for (Expected& e : expected_)
      for (; lines > 0 && (e.next < e.end || e.next_run()); e.next += 64, --lines)
        __builtin_prefetch(reinterpret_cast<const void*>(e.next));
  }

  /// Only whole steps: what stands behind the last element is not of this tile.
  bool can_touch_memory(const PlannedOperand& operand) const {
    return operand.kind == Input::Kind::Memory && !operand.convert && region_.n % kStep == 0;
  }
  const int64_t* at(const PlannedOperand& operand) const { return &at_[size_t(operand.first_form)]; }
  OperandAccess access(const PlannedOperand& operand) const {
    OperandAccess access = operand.access;
    access.forms = forms_ + operand.first_form;
    if (forms_ == plan_.forms.data()) access.block = &operand.block;
    return access;
  }
  char* in_place(const PlannedOperand& operand) const {
    return cpu::in_place(access(operand), at(operand), region_, operand.itemsize);
  }

  void compute(const Step& step, char* result, int64_t n, const std::vector<char*>& data) {
    const char* args[3];
    for (size_t i = 0; i < 3; ++i) args[i] = step.args[i] < 0 ? nullptr : data[size_t(step.args[i])];
    if (!step.row_by_row) return step.op(n, result, args[0], args[1], args[2]);
    int64_t stride[3] = {0, 0, 0};  // from one row to the next, in bytes
    for (size_t i = 0; i < 3; ++i) {
      if (!args[i]) continue;
      const PlannedValue& value = plan_.values[size_t(step.args[i])];
      const int64_t elements = step.single >> i & 1 ? !value.is_fixed : plan_.row_length;
      stride[i] = elements * itemsize(value.dtype);
    }
    const int64_t result_stride = plan_.row_length * itemsize(plan_.values[size_t(step.value)].dtype);
    for (int64_t r = rows_of_block(); r > 0; --r, result += result_stride) {
      step.op(plan_.row_length, result, args[0], args[1], args[2]);
      for (size_t i = 0; i < 3; ++i) args[i] += stride[i];
    }
  }

  void load(const Step& step, char* to) {
    const PlannedOperand& input = plan_.inputs[size_t(step.operand)];
    if (input.kind == Input::Kind::Memory) {
      gather(access(input), at(input), region_, input.itemsize, input.convert ? packed_ : to);
      if (input.convert) input.convert(whole_steps(region_.n), to, packed_, nullptr, nullptr);
    } else generate(step, input, to);
  }

  /// An input without a buffer: a constant, or the view's address, where the guards hold.
  void generate(const Step& step, const PlannedOperand& input, char* to) {
    const OperandAccess w = access(input);
    const int64_t stride = w.forms[0].lane[region_.lanes.size() - 1];
    with_compute(plan_.values[size_t(step.value)].dtype, [&]<class T>(T) {
      InTile<T>* out = reinterpret_cast<InTile<T>*>(to);
      const T constant = plan_.kernel.inputs[size_t(step.operand)].constant.as<T>();
      if (const Block* block = w.block; block && block->axes > 0 && input.kind == Input::Kind::Constant)
        return for_each_block(*block, w, at(input), region_,
                              [&](int64_t done, int64_t length, int64_t first, int64_t, bool present) {
          if (!present || block->keep.empty()) std::fill_n(out + done, length, InTile<T>(present ? constant : T(0)));
          else
            for (int64_t i = 0; i < length; ++i)
              out[done + i] = block->keep[size_t(first + i)] ? InTile<T>(constant) : InTile<T>(0);
        });
      for_each_run(w, at(input), region_, [&](int64_t done, int64_t length, int64_t low, int64_t high, int64_t address) {
        std::fill_n(out + done, low, InTile<T>(0));
        if (input.kind == Input::Kind::Constant) std::fill_n(out + done + low, high - low, InTile<T>(constant));
        else for (int64_t i = low; i < high; ++i) out[done + i] = convert<T>(address + i * stride);
        std::fill_n(out + done + high, length - high, InTile<T>(0));
      });
    });
  }

  void store(const Step& step, const char* from) {
    const PlannedOperand& output = plan_.outputs[size_t(step.operand)];
    if (from == in_place(output)) return;
    if (output.convert) output.convert(whole_steps(region_.n), packed_, from, nullptr, nullptr), from = packed_;
    scatter(access(output), at(output), region_, output.itemsize, from, plan_.stream);
  }

  const RowPlan& plan_;
  int64_t slot_bytes_;
  char *slots_, *packed_, *totals_, *kept_;
  std::vector<int64_t> at_;   // every form's value at the tile's first element
  std::vector<char*> data_;   // where every value is now, for tiles ...
  std::vector<char*> row_data_;  // ... and for rows: one scalar each
  const AffineForm* forms_ = plan_.forms.data();
  std::vector<Expected> expected_;  // of every input, and of deep tiles every output
  TileRegion region_, row_region_;
  bool last_tile_ = false;  // of the stage
};

struct PlannedKernel {
  std::unique_ptr<StencilRows> window_max;
  std::optional<RowPlan> rows;

  explicit PlannedKernel(const RowKernel& kernel) : window_max(find_window_max(kernel)) {
    if (!window_max) rows.emplace(kernel);
  }
};

}  // namespace

void run_kernel(const RowKernel& kernel) {
  const int outer = kernel.shape.size() - kernel.inner;
  if (numel(Shape(kernel.shape.begin(), kernel.shape.begin() + outer)) == 0 || kernel.outputs.empty()) return;
  PlannedKernel& planned = kernel.plan_cache.get<PlannedKernel>(kernel);
  if (planned.window_max) return planned.window_max->run();
  RowPlan& plan = *planned.rows;
  plan.find_memory();
  if (plan.chunks == 1)
    return parallel(plan.blocks, plan.work, [&] {
      return [worker = std::make_shared<Worker>(plan)](int64_t block) { worker->run_block(block); };
    });

  std::vector<char> totals(size_t(plan.blocks * plan.chunks * plan.totals_bytes()));
  parallel(plan.blocks * plan.chunks, plan.work, [&] {
    return [&, worker = std::make_shared<Worker>(plan)](int64_t piece) {
      worker->run_chunk(piece / plan.chunks, piece % plan.chunks, totals.data() + piece * plan.totals_bytes());
    };
  });
  Worker worker(plan);
  for (int64_t block = 0; block < plan.blocks; ++block)
    worker.finish_block(block, totals.data() + block * plan.chunks * plan.totals_bytes());
}

}  // namespace tinyops::cpu
