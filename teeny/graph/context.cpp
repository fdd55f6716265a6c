#include "teeny/graph/context.h"

#include <atomic>
#include <bit>
#include <exception>

#include "tinyops/base/environment.h"

namespace teeny {

static std::atomic<int> threads{0};
thread_local Context context(threads++);

namespace {
/// The memory of a thread that ends. What is stored there later, by the destructors of static objects, is not given
/// back.
struct Emptied {
  ~Emptied() {
    context.execution = {}, context.recent_views = {};
    context.pending = std::vector<PendingAssignment>();  // of `= {}` the memory of the elements would stay
    context.totals = std::vector<std::weak_ptr<Node>>(), context.earlier_totals = std::vector<std::weak_ptr<Node>>();
  }
};
thread_local Emptied emptied;

[[maybe_unused]] const int main_thread = context.thread;  // objects like this one are made by the thread that runs main
}

void PendingAssignment::take_back() noexcept {
  const auto variable_now = variable.lock();
  if (variable_now && before && variable_now->node() == now.lock())
    *variable_now = LazyBuffer(std::move(before), std::move(views));
}

AssignmentGroup::AssignmentGroup(bool with_earlier)
    : open_(context.group == 0), with_earlier_(with_earlier), exceptions_(std::uncaught_exceptions()) {
  static std::atomic<int64_t> groups{0};
  if (open_) context.group = ++groups;
}

AssignmentGroup::~AssignmentGroup() {
  if (!open_) return;
  const int64_t group = std::exchange(context.group, 0);
  if (std::uncaught_exceptions() == exceptions_) {
    for (PendingAssignment& p : context.pending)
      if (with_earlier_ && p.group != 0) p.group = group;
    return;
  }
  for (size_t i = context.pending.size(); i-- > 0;)
    if (context.pending[i].group == group) context.pending[i].take_back();
  std::erase_if(context.pending, [&](const PendingAssignment& p) { return p.group == group; });
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
