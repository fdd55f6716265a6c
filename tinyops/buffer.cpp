#include <atomic>

#include "tinyops/device.h"

namespace tinyops {
namespace {
std::atomic<size_t> live{0}, peak{0};
}

MemoryUse memory_use() { return {live, peak}; }
void reset_peak() { peak = live.load(); }

void* Buffer::data() {
  if (other_) return other_->data();
  if (data_ || bytes_ == 0) return data_;
  data_ = allocate(bytes_);
  if (!data_) fail("out of memory: ", bytes_, " bytes more than the ", live.load(), " in use");
  const size_t now = live += bytes_;
  for (size_t seen = peak; now > seen && !peak.compare_exchange_weak(seen, now);) {
  }
  return data_;
}

Buffer::~Buffer() {
  if (!data_) return;
  live -= bytes_;
  deallocate(data_, bytes_);
}

}  // namespace tinyops
