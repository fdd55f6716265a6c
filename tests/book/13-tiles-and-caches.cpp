// The program of notes/13-tiles-and-caches.md: what a GELU costs where each of its operations walks the array; the plan of a softmax
// over long rows, step by step; and the runs of a tile of a padded image.
#include <iostream>

#include "teeny/debug/trace.h"
#include "teeny/schedule/schedule.h"
#include "teeny/teeny.h"
#include "tinyops/cpu/row/row_plan.h"

using namespace teeny;
namespace cpu = tinyops::cpu;

void print_steps(const cpu::RowPlan& plan, size_t stage, const char* of, const std::vector<cpu::Step>& steps) {
  const char* const kinds[] = {"load", "constant", "op", "accumulate", "finish", "store"};
  for (const cpu::Step& s : steps) {
    const int shown = s.kind == cpu::Step::Kind::Accumulate ? s.args[0] : s.value;
    const auto& value = plan.values[size_t(s.value)];
    std::cout << stage << "\t" << of << "\t" << kinds[int(s.kind)] << "\t" << debug::op_name(plan.kernel.program[size_t(s.value)]) << "\t"
              << shown << "\t" << s.slot << "\t" << s.through << "\t" << value.kept << "\t";
    for (int arg : s.args) std::cout << (arg < 0 ? "" : "%" + std::to_string(arg) + " ");
    std::cout << "\n";
  }
}

int main() {
  const Tensor x = Tensor::ones({1 << 24}).contiguous().realize(), y = x.gelu();
  debug::Counters work;
  for (const Step& step : schedule_unfused(std::span(&y.lazy(), 1))) work += debug::work(step.kernel);
  const char* const words[] = {"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"};
  std::cout << "== gelu\n"
            << words[work.kernels] << " operations of a GELU over 2^24 floats that is "
            << double(work.bytes / 10000000) / 100 << " GB.\n";

  const Tensor rows = Tensor::ones({64, 4096}).contiguous().realize(), softmax = rows.softmax();
  const std::vector<Step> steps = schedule(std::span(&softmax.lazy(), 1));
  const cpu::RowPlan plan(std::get<tinyops::RowKernel>(steps.back().kernel));
  std::cout << "== figure tile\n" << plan.blocks << "\t" << plan.tiles << "\t" << plan.tile << "\t" << plan.slots << "\n";
  for (size_t s = 0; s < plan.stages.size(); ++s) {
    print_steps(plan, s, "row", plan.stages[s].rows);
    print_steps(plan, s, "tile", plan.stages[s].tiles);
  }

  const tinyops::View image = tinyops::View::contiguous({2, 5}).pad({1, 2}, {1, 2});
  std::vector<cpu::AffineForm> forms{{image.address.coef, {}, image.address.offset}};
  for (const tinyops::Guard& g : image.guards) forms.push_back({g.position.coef, {}, g.position.offset, g.size});
  const cpu::OperandAccess access{forms.data(), int(forms.size())};
  const cpu::TileRegion tile{image.shape, {1, 4}, 20};
  std::vector<int64_t> at{image.address.at(tile.start)};
  for (const tinyops::Guard& g : image.guards) at.push_back(g.position.at(tile.start));
  std::cout << "== figure runs\n" << image << "\n";
  cpu::for_each_run(access, at.data(), tile, [](int64_t done, int64_t length, int64_t low, int64_t high, int64_t address) {
    std::cout << done << " " << length << " " << low << " " << high << " " << address << "\n";
  });
}
