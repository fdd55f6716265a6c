// The program of notes/ranks.md: how long a step takes on many ranks.
#include <iomanip>
#include <iostream>

#include "tests/scaling.h"

using namespace teeny::scaling;

void model() {
  std::cout << "== model\n" << std::fixed;
  std::mt19937_64 random(1);
  for (const int n : {8, 64, 1024, 4096}) {
    const Work work = language_model(8192);
    const Clocks equal(static_cast<size_t>(n), 1);
    Clocks flat(static_cast<size_t>(n)), boxes = flat;
    ring(flat, 2 * (n - 1), work.bytes, kBoxes.between, n);
    kBoxes.play(boxes, work.bytes);
    const AllReduce all_reduce = [](Clocks& clocks, double bytes) { kBoxes.play(clocks, bytes); };
    const double compute = work.forward + work.backward, overlapped = step(work, equal, all_reduce);
    double late = 0;
    for (int i = 0; i < 20; ++i) late += step(work, jitter(n, 0.02, random), all_reduce) / 20;
    std::cout << "| " << n << std::setprecision(1);
    for (const double seconds : {compute, last(flat), last(boxes), compute + last(boxes), overlapped})
      std::cout << " | " << 1e3 * seconds;
    std::cout << std::setprecision(3) << " | " << compute / overlapped << " | " << compute / late << " |\n";
  }
}

/// The same batch, however many ranks.
void batch() {
  std::cout << "== batch\n" << std::setprecision(3);
  for (const int n : {1024, 4096}) {
    const Work work = language_model(4.2e6 / n);
    const AllReduce all_reduce = [](Clocks& clocks, double bytes) { kBoxes.play(clocks, bytes); };
    const double seconds = step(work, Clocks(static_cast<size_t>(n), 1), all_reduce);
    std::cout << (work.forward + work.backward) / seconds << " on " << n << "\n";
  }
}

/// A batch of MNIST, 33 ms of one core, on a network of 1 Gbit/s and 50 us; and what the ranks compare before a sum.
void mnist() {
  std::cout << "== mnist\n" << std::setprecision(1);
  const Link link{50e-6, 118e6};
  for (const int n : {2, 4, 8, 16, 32, 64}) {
    Clocks clocks(static_cast<size_t>(n), 0.033 / n);
    halving(clocks, 24, link, n);
    halving(clocks, 73512, link, n);
    std::cout << (n == 2 ? "" : ", ") << 0.033 / last(clocks);
  }
  std::cout << "\n";
}

int main() {
  model();
  batch();
  mnist();
}
