// The program of notes/06-from-a-graph-to-kernels.md: what a softmax costs node by node, and what a kernel may hold.
#include <cmath>
#include <iostream>

#include "teeny/debug/trace.h"
#include "teeny/schedule/schedule.h"
#include "teeny/teeny.h"

int main() {
  using namespace teeny;
  const char* const words[] = {"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"};
  const Tensor x = Tensor::ones({4096, 1024}).contiguous().realize(), y = x.softmax();
  debug::Counters work;
  for (const Step& step : schedule_unfused(std::span(&y.lazy(), 1))) work += debug::work(step.kernel);
  const double walks = double(work.bytes) / (4. * double(x.numel()));
  std::cout << "== unfused\n" << words[work.kernels] << " nodes\n" << words[std::lround(walks)] << " times\n";
  std::cout << "== limits\n(" << tinyops::kMaxInstructions << " instructions, " << tinyops::kMaxInputs << " inputs, "
            << tinyops::kMaxOutputs << " outputs:\n";
}
