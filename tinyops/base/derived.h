#pragma once
// What a backend makes of elements that stay as they are: the weights of a network in the order in which a product reads
// them, say. It is made once, and kept as long as they are.
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace tinyops {

class Derived {
 public:
  /// What `make` made when `key` was asked for first. The key says all that it depends on, and begins with a number of
  /// its own for each kind of thing.
  template <class T, class Make>
  std::shared_ptr<T> get(const std::vector<int64_t>& key, const Make& make) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<void>& made = made_[key];
    if (!made) made = make();
    return std::static_pointer_cast<T>(made);
  }

 private:
  std::mutex mutex_;
  std::map<std::vector<int64_t>, std::shared_ptr<void>> made_;
};

}  // namespace tinyops
