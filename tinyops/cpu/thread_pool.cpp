#include "tinyops/cpu/thread_pool.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <span>
#include <system_error>
#include <thread>
#include <vector>

namespace tinyops::cpu {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

/// A helper that waits spins for this long at most, or, where that does not pay, at least.
constexpr Clock::duration kLongestSpin = microseconds(100), kShortestSpin = microseconds(2);
/// Between two looks at the clock nothing takes this long, but that something else had the processor.
constexpr Clock::duration kInterrupted = microseconds(30);
/// After that, for so long tasks are waited for asleep.
constexpr Clock::duration kCautious = microseconds(2000);

thread_local bool in_team = false;

int processors() {
  static const int count = omp_get_num_procs();
  return count;
}

struct Task {
  void* data;
  void (*run)(void*, size_t);
  std::atomic<int> ended = 0;  ///< helpers that have run it
};

/// Waits until `is_over()`, for as long as `most`. Says whether it is, and whether the processor was taken meanwhile.
struct Spin {
  bool over = false, interrupted = false;
  template <class Over>
  Spin(Clock::time_point begin, Clock::duration most, const Over& is_over) {
    for (auto last = begin; !(over = is_over());) {
      const auto now = Clock::now();
      interrupted |= now - last > kInterrupted;
      if (interrupted || now - begin > most) break;
      last = now;
    }
  }
};

class Helper {
 public:
  /// One that has no processor of its own never spins.
  explicit Helper(bool spins) : spins_(spins) {
    std::thread([this] { work(); }).detach();
  }

  bool is_asleep() const { return asleep_; }
  void miss() { ++missed_; }  ///< a task for which it is not woken
  bool invite(Task& task, size_t member) {
    Task* idle = nullptr;
    if (task_.load(std::memory_order_relaxed) || !task_.compare_exchange_strong(idle, &kTaken)) return false;
    member_ = member;
    task_ = &task;
    ++calls_;
    calls_.notify_one();
    return true;
  }
  /// False: it has begun.
  bool withdraw(Task& task) {
    Task* mine = &task;
    return task_.compare_exchange_strong(mine, nullptr);
  }

 private:
  void work() {
    in_team = true;
    for (;;) {
      wait();
      Task* task = task_;
      if (!is_task(task) || !task_.compare_exchange_strong(task, &kTaken)) continue;  // withdrawn
      task->run(task->data, member_);
      task_ = nullptr;
      ++task->ended;  // from here on it may be gone; only its address is used
      task->ended.notify_one();
    }
  }

  static bool is_task(const Task* task) { return task && task != &kTaken; }

  void wait() {
    const auto is_called = [this] { return is_task(task_.load(std::memory_order_acquire)); };
    const auto begin = Clock::now();
    if (spins_ && begin >= spins_from_) {
      const Spin spin(begin, patience_, is_called);
      if (spin.interrupted) spins_from_ = Clock::now() + kCautious;
      if (spin.over) return;
    }
    missed_ = 0;
    asleep_ = true;
    if (const int seen = calls_; !is_called()) calls_.wait(seen);  // perhaps for a task that is withdrawn meanwhile
    asleep_ = false;
    const bool soon = (Clock::now() - begin) / (1 + missed_) < kLongestSpin;  // from one task to the next
    patience_ = soon ? std::min(2 * patience_, kLongestSpin) : std::max(patience_ / 2, kShortestSpin);
  }

  inline static Task kTaken{};         ///< a helper that has this as its task is at work, or is being invited
  std::atomic<Task*> task_ = nullptr;  ///< null: it waits
  std::atomic<int> calls_ = 0;
  std::atomic<bool> asleep_ = false;
  std::atomic<int> missed_ = 0;     ///< tasks since it fell asleep
  std::atomic<size_t> member_ = 0;  ///< as which it does the task
  const bool spins_;
  Clock::duration patience_ = kLongestSpin;
  Clock::time_point spins_from_;
};

/// All helpers there are. They are never ended: the destructor of a static object may still run a kernel.
class Helpers {
 public:
  static Helpers& all() {
    static auto* helpers = new Helpers;
    return *helpers;
  }
  /// The first `most` of them, fewer where the system starts no more threads.
  std::span<const std::unique_ptr<Helper>> start(size_t most) {
    if (size_t(started_) < most && !failed_) start_more(most);
    return std::span(helpers_).first(std::min(most, size_t(started_)));
  }

 private:
  void start_more(size_t most) {
    const std::lock_guard lock(mutex_);
    try {
      for (size_t h = size_t(started_); h < most; ++h, ++started_)
        helpers_[h] = std::make_unique<Helper>(int(h) + 1 < processors());
    } catch (const std::system_error&) { failed_ = true; }
  }

  std::array<std::unique_ptr<Helper>, kMostThreads> helpers_;
  std::atomic<int> started_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
};

}  // namespace

bool is_in_team() { return in_team; }

void run_in_team(int64_t team, double steps, void* data, void (*run)(void*, size_t)) {
  Task task{data, run};
  std::vector<Helper*> invited;
  invited.reserve(size_t(team));
  thread_local double unused = 0;  // steps for which no helper was woken
  unused = std::min(unused + steps, double(team - 1) * kWorthWaking);
  for (const auto& helper : Helpers::all().start(size_t(team - 1))) {
    const bool asleep = helper->is_asleep();
    if (asleep && unused < kWorthWaking) helper->miss();
    else if (helper->invite(task, invited.size() + 1)) {
      if (asleep) unused -= kWorthWaking;
      invited.push_back(helper.get());
    }
  }
  in_team = true;
  run(data, 0);
  in_team = false;
  const auto begun = int(std::ranges::count_if(invited, [&](Helper* helper) { return !helper->withdraw(task); }));
  (void)Spin(Clock::now(), team <= processors() ? kLongestSpin : kShortestSpin, [&] { return task.ended == begun; });
  for (int ended = task.ended; ended != begun; ended = task.ended) task.ended.wait(ended);
}

}  // namespace tinyops::cpu
