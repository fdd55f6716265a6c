// Streams and events. A stream is the order of the calls: nothing overlaps. With TEENY_STREAMS=50 it is a queue, worked
// off by a thread of its own, which pauses up to 50 microseconds before each entry: what no event orders has no order.
#include "tests/gpu_emulator/streams.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <thread>

#include "tinyops/base/environment.h"

struct gpu_emulator_stream {
  std::deque<std::function<cudaError_t()>> work;  ///< the first of it is being done
};
struct gpu_emulator_event {
  uint64_t recorded = 0, reached = 0;  ///< how often
};

namespace gpu_emulator {
namespace {

struct Queues {
  std::mutex mutex;
  std::condition_variable moved;
  cudaError_t error = cudaSuccess;  ///< the first of all
  std::string what;
};
Queues& queues() {  // never destroyed: their threads never end
  static auto* all = new Queues;
  return *all;
}
int longest_pause() {
  static const int microseconds = int(tinyops::environment::whole_number("TEENY_STREAMS", 0, 1000000));
  return microseconds;
}

void work_off(gpu_emulator_stream& stream) {
  std::minstd_rand random(unsigned(reinterpret_cast<uintptr_t>(&stream) >> 4));
  std::unique_lock lock(queues().mutex);
  while (true) {
    queues().moved.wait(lock, [&] { return !stream.work.empty(); });
    const std::function<cudaError_t()>& next = stream.work.front();
    lock.unlock();
    std::this_thread::sleep_for(std::chrono::microseconds(random() % unsigned(longest_pause() + 1)));
    const cudaError_t error = next();
    lock.lock();
    if (error != cudaSuccess && queues().error == cudaSuccess)
      queues().error = error, queues().what = cudaGetErrorString(error);
    stream.work.pop_front();
    queues().moved.notify_all();
  }
}

/// Waits, under the lock, and returns what has gone wrong so far.
template <class Condition>
cudaError_t wait_until(Condition condition) {
  std::unique_lock lock(queues().mutex);
  queues().moved.wait(lock, condition);
  if (queues().error != cudaSuccess) last_error() = queues().what;
  return queues().error;
}

}  // namespace

cudaError_t in_order(cudaStream_t stream, std::function<cudaError_t()> work) {
  if (!stream) return work();
  const std::lock_guard lock(queues().mutex);
  stream->work.push_back(std::move(work));
  queues().moved.notify_all();
  return cudaSuccess;
}

}  // namespace gpu_emulator

using namespace gpu_emulator;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = longest_pause() ? new gpu_emulator_stream : nullptr;
  if (*stream) std::thread(work_off, std::ref(**stream)).detach();
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return stream ? wait_until([&] { return stream->work.empty(); }) : cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (!stream) return cudaSuccess;
  const uint64_t now = [&] { return std::lock_guard(queues().mutex), event->recorded; }();
  return in_order(stream, [event, now] {
    wait_until([&] { return event->reached >= now; });
    return cudaSuccess;
  });
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = longest_pause() ? new gpu_emulator_event : nullptr;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (!stream) return cudaSuccess;
  const uint64_t now = [&] { return std::lock_guard(queues().mutex), ++event->recorded; }();
  return in_order(stream, [event, now] {
    const std::lock_guard lock(queues().mutex);
    event->reached = now;
    return cudaSuccess;
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return event ? wait_until([&] { return event->reached == event->recorded; }) : cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (!event) return cudaSuccess;
  const bool reached = [&] { return std::lock_guard(queues().mutex), event->reached == event->recorded; }();
  return reached ? wait_until([] { return true; }) : cudaErrorNotReady;
}
