// The program of notes/13-tiles-and-caches.md: what a GELU costs where each of its operations walks the array.
#include <iostream>

#include "teeny/debug/trace.h"
#include "teeny/schedule/schedule.h"
#include "teeny/teeny.h"

int main() {
  using namespace teeny;
  const Tensor x = Tensor::ones({1 << 24}).contiguous().realize(), y = x.gelu();
  debug::Counters work;
  for (const Step& step : schedule_unfused(std::span(&y.lazy(), 1))) work += debug::work(step.kernel);
  const char* const words[] = {"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"};
  std::cout << "== gelu\n"
            << words[work.kernels] << " operations of a GELU over 2^24 floats that is "
            << double(work.bytes / 10000000) / 100 << " GB.\n";
}
