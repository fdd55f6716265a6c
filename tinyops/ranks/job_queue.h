#pragma once
// Jobs on a thread of its own, one after the other.
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace tinyops::ranks {

/// For one thread that submits and finishes.
///
///   program   ── submit a ── submit b ── kernels ── finish ───── finish ──
///   thread          └─ a ──────┴─ b ───────────┘ a's Error   └ b's
class JobQueue {
 public:
  JobQueue() : thread_([this] { work(); }) {}
  ~JobQueue() {
    drain();
    submit(nullptr);
    thread_.join();
  }
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  void submit(std::function<void()> job) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    ++open_;
    changed_.notify_all();
  }
  /// Waits for the oldest job that was not finished yet, and throws what it has thrown.
  void finish() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !done_.empty(); });
    const std::exception_ptr error = std::move(done_.front());
    done_.pop_front();
    --open_;
    if (error) std::rethrow_exception(error);
  }
  void run(std::function<void()> job) {
    submit(std::move(job));
    finish();
  }
  /// Finishes what is left, and drops its errors.
  void drain() noexcept {
    while (open_ > 0) try {
        finish();
      } catch (...) {}
  }

 private:
  void work() {
    while (true) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !jobs_.empty(); });
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      if (!job) return;
      std::exception_ptr error;
      try {
        job();
      } catch (...) { error = std::current_exception(); }
      lock.lock();
      done_.push_back(std::move(error));
      changed_.notify_all();
    }
  }

  int open_ = 0;  ///< submitted, and not finished; of the thread that submits
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  std::deque<std::exception_ptr> done_;
  std::thread thread_;  // the last: it uses the others
};

}  // namespace tinyops::ranks
