#pragma once
// A Jit must notice when a handle through which its call read a tensor is another tensor's now: `w = other`,
// `std::swap(a, b)`. It looks at the handle itself, before each replay; so it must know whether the handle is still
// there.
#include <atomic>
#include <memory>

namespace teeny::detail {

/// A member of every handle. It costs nothing until a Jit that records has read through the handle.
class HandleWatch {
 public:
  HandleWatch() = default;
  HandleWatch(const HandleWatch&) noexcept {}  // it belongs to the place, not to the tensor
  HandleWatch& operator=(const HandleWatch&) noexcept { return *this; }
  ~HandleWatch() {
    if (watched_.load(std::memory_order_relaxed)) end();
  }
  /// What it gives becomes false when the handle dies.
  std::shared_ptr<const std::atomic<bool>> begin() const;

 private:
  void end() const noexcept;
  mutable std::atomic<bool> watched_ = false;
};

/// How many recorders there are, on all threads: while there is none, nobody asks for this thread's.
inline std::atomic<int> recorders{0};

}  // namespace teeny::detail
