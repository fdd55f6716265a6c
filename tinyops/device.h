#pragma once
// The whole interface between teeny and what runs it: buffers, kernels, and the eight functions and the one constant
// that a backend, a folder beside this file, defines. One is the device of a binary; the reference is there, too.
#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "tinyops/base/derived.h"
#include "tinyops/kernel.h"

namespace tinyops {

// ---- The eight functions --------------------------------------------------------------------------------------------

std::string device_name();                                  ///< "cpu (2 threads, 16 float lanes)"
void* allocate(size_t bytes);                               ///< null: no memory is left; by any thread, as the next two
void deallocate(void* memory, size_t bytes);
void write(void* to, const void* host, size_t bytes);       ///< host -> device
void read(void* host, const void* from, size_t bytes);      ///< device -> host; waits for what is still running
void run(const Kernel& kernel);                             ///< may return before the work is done
/// Runs them in order. They will come again in this order, perhaps with other buffers and counters: what a backend made
/// of them as a whole may wait in `plan_cache`.
void run_again(std::span<const Kernel* const> kernels, const PlanCache& plan_cache);
void synchronize();                                         ///< waits, and throws the Error of a kernel, if any
extern const bool kHostMemory;                              ///< it works in host memory: a Buffer may be any of it

namespace reference {  // the same kernels in plain loops, summed in double: what each backend is compared with
void run(const Kernel& kernel);    ///< on memory of the host
void check(const Kernel& kernel);  ///< on memory of the device: it works on copies
}

// ---- Buffers --------------------------------------------------------------------------------------------------------

/// Bytes reserved now, and the most there ever were since the last `reset_peak`.
struct MemoryUse {
  size_t live = 0, peak = 0;
};
namespace detail {
inline std::atomic<size_t> live{0}, peak{0};
}
inline MemoryUse memory_use() { return {detail::live, detail::peak}; }
inline void reset_peak() { detail::peak = detail::live.load(); }

class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// Memory of the device. It is reserved when a kernel first needs it and goes back when the last owner is gone.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes) {}
  /// Memory that is there already, such as a part of a mapped file, and can be written to. Only where `kHostMemory`.
  Buffer(size_t bytes, std::shared_ptr<void> memory) : bytes_(bytes), data_(memory.get()), owner_(std::move(memory)) {}
  ~Buffer() {
    if (!data_ || owner_) return;
    detail::live -= bytes_;
    deallocate(data_, bytes_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  size_t bytes() const { return bytes_; }
  /// Reserves on the first call; throws OutOfMemory when there is no memory.
  void* data() {
    if (other_) return other_->data();
    if (data_ || bytes_ == 0) return data_;
    data_ = allocate(bytes_);
    if (!data_)
      throw OutOfMemory(text("out of memory: ", bytes_, " bytes more than the ", detail::live.load(), " in use"));
    const size_t now = detail::live += bytes_;
    for (size_t seen = detail::peak; now > seen && !detail::peak.compare_exchange_weak(seen, now);) {
    }
    return data_;
  }
  /// From now on this buffer's memory is that of `other`, which is at least as large; null ends it.
  void alias_to(std::shared_ptr<Buffer> other) { other_ = std::move(other); }
  bool is_alias() const { return other_ != nullptr; }
  void freeze() { derived_ = std::make_unique<Derived>(); }  ///< its elements stay: nothing is written over them
  Derived* derived() const { return other_ ? other_->derived() : derived_.get(); }  ///< null: it is not frozen

 private:
  size_t bytes_;
  void* data_ = nullptr;
  std::shared_ptr<void> owner_;  ///< of memory that did not come from `allocate`
  std::shared_ptr<Buffer> other_;
  std::unique_ptr<Derived> derived_;
};

}  // namespace tinyops
