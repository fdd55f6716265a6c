// Collectives by way of the host's memory: for ranks that MPI connects, and for one that is alone. From GPU to GPU goes
// ranks/nccl.cu.
//
//   kernels   backward 3 ─┐   ┌─ backward 2 ─┐   ┌─ backward 1 ..              ┌► step 3 ..
//   host                  └───┴► in 3        └───┴► in 2                 out 3 ┘
//   MPI                          └─── all_reduce 3 ───┴─── all_reduce 2 ─┘
#include <list>

#include "tinyops/cuda/runtime/cuda.h"
#include "tinyops/ranks.h"

namespace tinyops::cuda {
namespace {

struct OnHost {
  std::vector<std::byte> in, out;
};
/// Of those between Start and Finish, oldest first; and what later ones will use: fresh memory costs more than a copy.
/// Never destroyed: a destructor may ask for a collective after main has returned.
auto &running = *new std::list<OnHost>, &idle = *new std::list<OnHost>;

void forget_running() noexcept { idle.splice(idle.end(), running); }

}  // namespace

const bool kRanksShareGpus = true;
void wait_for_collectives() {}  // no kernel waits for one: the host does

void run_kernel(const CollectiveKernel& k) {
  using enum CollectiveKernel::Phase;
  [[maybe_unused]] static const bool told = (ranks::also_drain(forget_running), true);
  const size_t size = size_t(itemsize(k.in.dtype));
  void* const out = memory_of(k.out);  // where there is none, nothing is sent
  if (k.phase != Finish) {
    if (idle.empty()) idle.emplace_back();
    OnHost& now = idle.front();
    now.in.resize(size_t(k.in.view.numel()) * size), now.out.resize(size_t(k.out.view.numel()) * size);
    tinyops::read(now.in.data(), memory_of(k.in), now.in.size());  // the Error of a kernel before it is thrown here
    running.splice(running.end(), idle, idle.begin());
    CollectiveKernel start = k;
    start.phase = Start;
    ranks::run(start, now.in.data(), now.out.data());
  }
  if (k.phase != Start) {
    OnHost& oldest = running.front();
    idle.splice(idle.end(), running, running.begin());
    CollectiveKernel finish = k;
    finish.phase = Finish;
    ranks::run(finish, oldest.in.data(), oldest.out.data());
    tinyops::write(out, oldest.out.data(), oldest.out.size());
  }
}

}  // namespace tinyops::cuda
