#pragma once
// Jobs on a thread of its own, one after the other.
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

namespace tinyops::ranks {

/// Any thread may `run` a job; one starts and finishes them, in the same order.
///
///   program   ── start a ── start b ── kernels ── finish ───── finish ──
///   thread         └─ a ──────┴─ b ───────────┘ a's Error   └ b's
class JobQueue {
 public:
  JobQueue() : thread_([this] { work(); }) {}
  ~JobQueue() {
    push({});  // behind the others
    thread_.join();
  }
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  /// Waits for it, and throws what it throws.
  void run(std::function<void()> job) { push(Job(std::move(job))).get(); }

  void start(std::function<void()> job) { started_.push_back(push(Job(std::move(job)))); }
  /// Waits for the oldest job that was started and not finished, and throws what it has thrown.
  void finish() {
    if (started_.empty()) throw std::logic_error("JobQueue: nothing was started that is not finished");
    std::future<void> oldest = std::move(started_.front());
    started_.pop_front();
    oldest.get();
  }
  /// Finishes what is left, and drops its errors.
  void drain() noexcept {
    for (const std::future<void>& job : started_) job.wait();
    started_.clear();
  }

 private:
  using Job = std::packaged_task<void()>;  ///< an empty one: the thread ends

  std::future<void> push(Job job) {
    std::future<void> over = job.valid() ? job.get_future() : std::future<void>();
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    more_.notify_one();
    return over;
  }
  void work() {
    while (true) {
      std::unique_lock lock(mutex_);
      more_.wait(lock, [this] { return !jobs_.empty(); });
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      if (!job.valid()) return;
      job();
    }
  }

  std::deque<std::future<void>> started_;  ///< of the thread that starts them
  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<Job> jobs_;
  std::thread thread_;  // the last: it uses the others
};

}  // namespace tinyops::ranks
