// NCCL's calls on the host: ranks of one machine, each with a part of a memory that they share.
//
//   rank 0   in ──► slot 0 ─┐                a barrier, each rank makes its result of all slots, a barrier
//   rank 1   in ──► slot 1 ─┴─► out
//
// A call that begins something returns ncclInProgress, and nothing has happened: that comes when somebody asks for the
// state. TEENY_NCCL_STALLS=1 lets rank 1 never come to its second collective.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "tests/gpu_emulator/nccl.h"
#include "tests/gpu_emulator/streams.h"
#include "tinyops/base/environment.h"
#include "tinyops/base/float16.h"
#include "tinyops/base/scalar_ops.h"

using namespace tinyops;

namespace {
constexpr size_t kSlot = size_t(1) << 20, kMostRanks = 16;

/// What the ranks share; zeros at first.
struct Meeting {
  std::atomic<uint64_t> arrived;  ///< at barriers, in all
  std::atomic<bool> aborted;
  char gpus[kMostRanks][64];
  char slots[kMostRanks][kSlot];
};
}  // namespace

struct ncclComm {
  int rank, ranks;
  Meeting* meeting;
  std::function<cudaError_t()> begun;  ///< what a call has begun
  cudaStream_t stream;
  std::atomic<bool> aborted = false;
  std::atomic<ncclResult_t> error = ncclSuccess;
  std::mutex mutex;
  uint64_t barriers = 1;  ///< the first is the meeting
  int collectives = 0;

  bool has_met() const { return meeting->arrived >= uint64_t(ranks); }
  bool ends() const { return aborted || meeting->aborted; }
  bool barrier() {
    const uint64_t all = ++barriers * uint64_t(ranks);
    for (++meeting->arrived; meeting->arrived < all;) {
      if (ends()) return false;
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
    return true;
  }
};

namespace {

bool is_device(const void* p, size_t bytes) {
  const gpu_emulator::Range range = gpu_emulator::allocation_of(p);
  return range.begin && bytes <= size_t(range.end - static_cast<const char*>(p));
}

template <class T>
void reduce(BinaryOp op, T* y, const T* x, size_t bytes) {
  for (size_t i = 0; i < bytes / sizeof(T); ++i) y[i] = T(apply(op, Compute<T>(y[i]), Compute<T>(x[i])));
}
void reduce(ncclDataType_t type, ncclRedOp_t op, char* y, const char* x, size_t bytes) {
  const auto as = [&](auto* to) {
    reduce(step(ReduceOp(op)), to, reinterpret_cast<const std::remove_pointer_t<decltype(to)>*>(x), bytes);
  };
  switch (type) {
    case ncclUint8: return as(reinterpret_cast<uint8_t*>(y));
    case ncclInt32: return as(reinterpret_cast<int32_t*>(y));
    case ncclInt64: return as(reinterpret_cast<int64_t*>(y));
    case ncclFloat16: return as(reinterpret_cast<float16*>(y));
    case ncclBfloat16: return as(reinterpret_cast<bfloat16*>(y));
    case ncclFloat32: return as(reinterpret_cast<float*>(y));
    case ncclFloat64: return as(reinterpret_cast<double*>(y));
    default: std::abort();
  }
}
size_t size_of(ncclDataType_t type) {
  constexpr size_t sizes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
  return sizes[type];
}

/// `take(from, rank, offset, bytes)` is called for each part of what the ranks bring, in their order.
template <class Take>
ncclResult_t begin(ncclComm& c, const void* in, size_t brought, void* out, size_t made, cudaStream_t stream, Take take) {
  const std::lock_guard lock(c.mutex);
  if (c.begun || !c.has_met()) return ncclInvalidUsage;  // the state was not waited for
  c.stream = stream;
  c.begun = [&c, in = static_cast<const char*>(in), brought, out, made, take] {
    static const auto stalls = environment::whole_number("TEENY_NCCL_STALLS", kMostRanks, kMostRanks);
    while (c.collectives > 0 && stalls == uint64_t(c.rank) && !c.aborted)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ++c.collectives;
    if (!is_device(in, brought) || !is_device(out, made)) return c.error = ncclUnhandledCudaError, cudaErrorInvalidValue;
    for (size_t at = 0; at < brought; at += kSlot) {
      const size_t bytes = std::min(brought - at, kSlot);
      std::memcpy(c.meeting->slots[c.rank], in + at, bytes);
      if (!c.barrier()) return cudaSuccess;
      for (int r = 0; r < c.ranks; ++r) take(c.meeting->slots[r], r, at, bytes);
      if (!c.barrier()) return cudaSuccess;
    }
    return cudaSuccess;
  };
  return ncclInProgress;
}

}  // namespace

const char* ncclGetErrorString(ncclResult_t result) {
  constexpr const char* names[] = {"no error", "unhandled cuda error", "unhandled system error", "internal error",
                                   "invalid argument", "invalid usage", "remote process exited or there was a network error",
                                   "NCCL operation in progress"};
  return names[result];
}
const char* ncclGetLastError(ncclComm_t) { return ""; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static int made = 0;
  std::snprintf(id->internal, sizeof(id->internal), "/teeny-nccl-%d-%d", int(getpid()), made++);
  return ncclSuccess;
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  if (config->blocking || ranks > int(kMostRanks)) return ncclInvalidArgument;
  const int file = shm_open(id.internal, O_CREAT | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, sizeof(Meeting)) != 0) return ncclSystemError;
  void* const memory = mmap(nullptr, sizeof(Meeting), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return ncclSystemError;
  *comm = new ncclComm{.rank = rank, .ranks = ranks, .meeting = static_cast<Meeting*>(memory)};
  std::snprintf((*comm)->meeting->gpus[rank], 64, "%s", environment::visible_gpus().value_or("").c_str());
  if (int(++(*comm)->meeting->arrived) == ranks) shm_unlink(id.internal);
  return ncclInProgress;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  const std::lock_guard lock(comm->mutex);
  *error = !comm->has_met() ? ncclInProgress : comm->meeting->aborted ? ncclRemoteError : comm->error.load();
  if (*error != ncclSuccess) return ncclSuccess;
  for (int r = 0; r < comm->ranks; ++r)
    if (r != comm->rank && !std::strcmp(comm->meeting->gpus[r], comm->meeting->gpus[comm->rank]))
      return *error = ncclInvalidUsage, ncclSuccess;  // two ranks on one GPU
  if (comm->begun) gpu_emulator::in_order(comm->stream, std::exchange(comm->begun, nullptr));
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) { return comm->meeting->aborted = comm->aborted = true, ncclSuccess; }

ncclResult_t ncclAllReduce(const void* in, void* out, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  const size_t bytes = count * size_of(type);
  return begin(*comm, in, bytes, out, bytes, stream, [=](const char* from, int rank, size_t at, size_t part) {
    if (rank == 0) std::memcpy(static_cast<char*>(out) + at, from, part);
    else reduce(type, op, static_cast<char*>(out) + at, from, part);
  });
}
ncclResult_t ncclReduceScatter(const void* in, void* out, size_t count, ncclDataType_t type, ncclRedOp_t op,
                               ncclComm_t comm, cudaStream_t stream) {
  const size_t bytes = count * size_of(type), mine = bytes * size_t(comm->rank);
  const auto take = [=](const char* from, int rank, size_t at, size_t part) {
    const size_t begin = std::max(at, mine), end = std::min(at + part, mine + bytes);
    if (begin >= end) return;
    char* const to = static_cast<char*>(out) + (begin - mine);
    if (rank == 0) std::memcpy(to, from + (begin - at), end - begin);
    else reduce(type, op, to, from + (begin - at), end - begin);
  };
  return begin(*comm, in, bytes * size_t(comm->ranks), out, bytes, stream, take);
}
ncclResult_t ncclAllGather(const void* in, void* out, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  const size_t bytes = count * size_of(type);
  const auto take = [=](const char* from, int rank, size_t at, size_t part) {
    std::memcpy(static_cast<char*>(out) + size_t(rank) * bytes + at, from, part);
  };
  return begin(*comm, in, bytes, out, bytes * size_t(comm->ranks), stream, take);
}
ncclResult_t ncclBroadcast(const void* in, void* out, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream) {
  const size_t bytes = count * size_of(type);
  return begin(*comm, in, bytes, out, bytes, stream, [=](const char* from, int rank, size_t at, size_t part) {
    if (rank == root) std::memcpy(static_cast<char*>(out) + at, from, part);
  });
}
