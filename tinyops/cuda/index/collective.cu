// Collectives of ranks that MPI connects, or of one: by way of the host's memory.
#include <deque>

#include "tinyops/cuda/runtime/cuda.h"
#include "tinyops/ranks.h"

namespace tinyops::cuda {
namespace {

/// What is on its way, between Start and Finish.
struct OnHost {
  std::vector<std::byte> in, out;
};

}  // namespace

void run_kernel(const CollectiveKernel& k) {
  using enum CollectiveKernel::Phase;
  static std::deque<OnHost> running;
  finish_recording();  // a graph holds kernels only
  if (k.phase != Finish) {
    const size_t size = size_t(itemsize(k.in.dtype));
    OnHost& now = running.emplace_back();
    now.in.resize(size_t(k.in.view.numel()) * size), now.out.resize(size_t(k.out.view.numel()) * size);
    tinyops::read(now.in.data(), memory_of(k.in), now.in.size());
    CollectiveKernel start = k;
    start.phase = Start;
    ranks::run(start, now.in.data(), now.out.data());
  }
  if (k.phase != Start) {
    const OnHost now = std::move(running.front());
    running.pop_front();
    CollectiveKernel finish = k;
    finish.phase = Finish;
    ranks::run(finish, now.in.data(), const_cast<std::byte*>(now.out.data()));
    tinyops::write(memory_of(k.out), now.out.data(), now.out.size());
  }
}

}  // namespace tinyops::cuda
