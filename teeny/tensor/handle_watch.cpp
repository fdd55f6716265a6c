#include <mutex>

#include "teeny/tensor/function.h"

namespace teeny::detail {

std::weak_ptr<const char> TensorAccess::watch(const Tensor& x) {
  static std::mutex mutex;  // calls on several threads may read through one handle
  const std::lock_guard lock(mutex);
  if (!x.watch_) x.watch_ = std::make_shared<char>();
  return x.watch_;
}

}  // namespace teeny::detail
