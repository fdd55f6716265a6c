#include "teeny/graph/context.h"

#include <atomic>
#include <bit>

#include "tinyops/base/environment.h"

namespace teeny {

static std::atomic<int> threads{0};
thread_local Context context(threads++);

namespace {
[[maybe_unused]] const int main_thread = context.thread;  // objects like this one are made by the thread that runs main
}

void Context::add_total(const std::shared_ptr<Node>& total) {
  const size_t size = totals.size();
  if (size >= 64 && std::has_single_bit(size))  // a program without an optimiser
    std::erase_if(totals, [](const std::weak_ptr<Node>& t) { return t.expired() || t.lock()->realized(); });
  totals.push_back(total);
}

RandomStream& Context::random() {
  constexpr uint64_t kGoldenRatio = 0x9E3779B97F4A7C15;  // 2^64 / 1.618..: multiples of it lie far apart
  static std::atomic<uint64_t> streams{0};
  if (!random_set) {
    const uint64_t before = thread == 0 ? 0 : ++streams;
    random_set = RandomStream{tinyops::environment::seed() + before * kGoldenRatio, 0};
  }
  return *random_set;
}

}  // namespace teeny
