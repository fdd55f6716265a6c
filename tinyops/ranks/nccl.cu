// RANKS=nccl: NCCL carries the elements from GPU to GPU, on a stream of its own. Who the ranks are, and whether all are
// about to do the same, MPI says, as it does without NCCL: see mpi.cpp.
//
//   kernels   backward 3 ─┬─ backward 2 ─┬─ backward 1 ──────┬─ step 3 ─ ..       an arrow is an event: the other
//   NCCL                  └► all_reduce 3 ──┬► all_reduce 2  │                    stream goes on when it has come
//                                           └────────────────►
#include <nccl.h>

#include <atomic>
#include <list>
#include <map>
#include <mutex>
#include <utility>

#include "tinyops/cuda/runtime/cuda.h"
#include "tinyops/ranks.h"

static_assert(NCCL_VERSION_CODE >= NCCL_VERSION(2, 14, 0), "the first NCCL whose calls need not wait");

namespace tinyops::cuda {
namespace {

std::atomic<bool> failed = false;  ///< a collective has: what follows from its result is not to be read
constexpr const char* kFailed = "nccl: an earlier collective has failed";

void check_nccl(ncclResult_t result, std::string_view what) {
  if (result != ncclSuccess) fail("nccl: ", what, ": ", ncclGetErrorString(result), ": ", ncclGetLastError(nullptr));
}

/// The ranks of a group. Its calls return before they are done, so that waiting for other ranks has a limit.
class Communicator {
 public:
  Communicator(int group, const ranks::Agreement& agreement) {
    ncclUniqueId id = {};
    if (ranks::rank(group) == 0) check_nccl(ncclGetUniqueId(&id), "inviting the other ranks");
    agreement.tell(&id, sizeof(id));
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    const ncclResult_t begun = ncclCommInitRankConfig(&comm_, ranks::world(group), id, ranks::rank(group), &config);
    settle(begun, "meeting the other ranks", agreement);
  }
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  void begin(const CollectiveKernel& k, const void* in, void* out, cudaStream_t on, const ranks::Agreement& agreement) {
    settle(call(k, in, out, on), name(k.what), agreement);
  }
  /// Until `done`. Where other ranks do not come, or are gone, the GPU leaves its collectives as they are.
  void wait(const std::function<bool()>& done, const ranks::Agreement& agreement) try {
    agreement.wait_until([&] { return done() || (state(), false); });
  } catch (...) {
    failed = true;
    const std::lock_guard lock(mutex_);
    if (ncclComm_t comm = std::exchange(comm_, nullptr)) ncclCommAbort(comm);
    throw;
  }

 private:
  ncclResult_t call(const CollectiveKernel& k, const void* in, void* out, cudaStream_t on) const {
    constexpr ncclDataType_t types[] = {ncclUint8,   ncclUint8,    ncclInt32,   ncclInt64,
                                        ncclFloat16, ncclBfloat16, ncclFloat32, ncclFloat64};
    constexpr ncclRedOp_t ops[] = {ncclSum, ncclProd, ncclMax, ncclMin};
    const ncclDataType_t type = types[int(k.in.dtype)];
    const size_t n = size_t(k.in.view.numel());
    if (n == 0) return ncclSuccess;
    switch (k.what) {
      case Collective::AllReduce: return ncclAllReduce(in, out, n, type, ops[int(k.op)], comm_, on);
      case Collective::AllGather: return ncclAllGather(in, out, n, type, comm_, on);
      case Collective::Broadcast: return ncclBroadcast(in, out, n, type, k.root, comm_, on);
      case Collective::ReduceScatter:
        return ncclReduceScatter(in, out, size_t(k.out.view.numel()), type, ops[int(k.op)], comm_, on);
    }
    return ncclInvalidArgument;
  }
  /// Of what was begun; throws what went wrong.
  ncclResult_t state() {
    const std::lock_guard lock(mutex_);
    if (failed) fail(kFailed);
    ncclResult_t now = ncclSuccess;
    check_nccl(ncclCommGetAsyncError(comm_, &now), "waiting for other ranks");
    if (now != ncclInProgress) check_nccl(now, "waiting for other ranks");
    return now;
  }
  void settle(ncclResult_t result, std::string_view what, const ranks::Agreement& agreement) {
    const auto done = [&] {
      if (result == ncclInProgress) result = state();
      else check_nccl(result, what);
      return result == ncclSuccess;
    };
    wait(done, agreement);
  }

  ncclComm_t comm_ = nullptr;
  std::mutex mutex_;  ///< another thread may wait, and give up
};

/// A collective on its way.
struct Operation {
  cudaEvent_t ready = new_event(), over = new_event();  ///< its input is, and it is
  Communicator* communicator = nullptr;                 ///< null: it has not begun
  ranks::Agreement agreement = {};
};
/// Started; finished, but perhaps not over; and what later ones will use. In the order of the program. They are there
/// until its very end, when a destructor may still ask for a collective.
auto &started = *new std::list<Operation>, &finished = *new std::list<Operation>, &idle = *new std::list<Operation>;
std::mutex waiting;  // of the last two: any thread may wait

/// On the thread of MPI, when the ranks agree.
void begin(Operation& now, const CollectiveKernel& k, const void* in, void* out, const ranks::Agreement& agreement) {
  static const cudaStream_t own = new_stream();
  static auto& of_group = *new std::map<int, Communicator>;  // never destroyed: the last may be over after main
  Communicator& communicator = of_group.try_emplace(k.group, k.group, agreement).first->second;
  check(cudaStreamWaitEvent(own, now.ready), "ordering a collective");
  communicator.begin(k, in, out, own, agreement);
  check(cudaEventRecord(now.over, own), "ordering a collective");
  now.communicator = &communicator, now.agreement = agreement;
}

/// Kernels from now on run when it is over: they may read its result, or have its memory.
void finish() noexcept {
  const std::lock_guard lock(waiting);
  finished.splice(finished.end(), started, started.begin());
  if (finished.back().communicator) cudaStreamWaitEvent(stream(), finished.back().over);
}
void drain() noexcept {
  while (!started.empty()) finish();
}
struct Finished {
  ~Finished() { if (!started.empty()) finish(); }
};

}  // namespace

const bool kRanksShareGpus = false;

void wait_for_collectives() {
  const std::lock_guard lock(waiting);
  for (; !finished.empty(); idle.splice(idle.end(), finished, finished.begin())) {
    const Operation& oldest = finished.front();
    const auto is_over = [&] {
      const cudaError_t now = cudaEventQuery(oldest.over);
      if (now != cudaErrorNotReady) check(now, "a collective");
      return now == cudaSuccess;
    };
    if (oldest.communicator) oldest.communicator->wait(is_over, oldest.agreement);
  }
  if (failed) fail(kFailed);
}

void run_kernel(const CollectiveKernel& k) {
  using enum CollectiveKernel::Phase;
  [[maybe_unused]] static const bool told = (ranks::also_drain(drain), true);
  CollectiveKernel job = ranks::without_buffers(k);
  if (k.phase != Finish) {
    throw_device_error();  // what follows from a wrong index is not sent
    const void* const in = memory_of(k.in);
    void* const out = memory_of(k.out);  // before the event, which is after all that has used this memory
    const std::lock_guard lock(waiting);
    if (idle.empty()) idle.emplace_back();
    Operation& now = idle.front();
    now.communicator = nullptr;
    check(cudaEventRecord(now.ready, stream()), "ordering a collective");
    started.splice(started.end(), idle, idle.begin());
    job.phase = Start;
    ranks::run(job, [&now, job, in, out](const ranks::Agreement& agreement) { begin(now, job, in, out, agreement); });
  }
  if (k.phase != Start) {
    const Finished at_the_end;  // also where it throws
    job.phase = Finish;
    ranks::run(job, {});
  }
}

}  // namespace tinyops::cuda
