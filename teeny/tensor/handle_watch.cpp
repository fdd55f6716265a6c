#include "teeny/tensor/handle_watch.h"

#include <mutex>
#include <unordered_map>

namespace teeny::detail {
namespace {

struct Watched {
  std::mutex mutex;
  std::unordered_map<const HandleWatch*, std::shared_ptr<std::atomic<bool>>> alive;
};
/// Never destroyed: handles in static objects die after main has returned.
Watched& watched() {
  static auto* all = new Watched;
  return *all;
}

}  // namespace

std::shared_ptr<const std::atomic<bool>> HandleWatch::begin() const {
  const std::lock_guard lock(watched().mutex);
  std::shared_ptr<std::atomic<bool>>& alive = watched().alive[this];
  if (!alive) alive = std::make_shared<std::atomic<bool>>(true);
  watched_ = true;
  return alive;
}

void HandleWatch::end() const noexcept {
  const std::lock_guard lock(watched().mutex);
  const auto found = watched().alive.find(this);
  if (found == watched().alive.end()) return;
  if (found->second) *found->second = false;
  watched().alive.erase(found);
}

}  // namespace teeny::detail
