#pragma once
#include <cstdlib>
#include <cstring>

#include "tinyops/base/error.h"

namespace tinyops::cpu {

/// Memory of a thread that is kept from one kernel to the next: `thread_local Scratch scratch; thread_local
/// Scratch::End end{scratch};` A Scratch itself is not destroyed: the destructor of a static object, which comes later,
/// may still run a kernel.
class Scratch {
 public:
  struct End {
    Scratch& scratch;
    ~End() {
      std::free(scratch.memory_);
      scratch.memory_ = nullptr, scratch.bytes_ = 0;
    }
  };
  char* take(size_t bytes) {
    if (bytes > bytes_) {
      std::free(memory_);
      bytes_ = (bytes + 4095) / 4096 * 4096;
      memory_ = static_cast<char*>(std::aligned_alloc(64, bytes_));
      if (!memory_) bytes_ = 0, fail("out of memory: ", bytes, " bytes of scratch");
      std::memset(memory_, 0, bytes_);  // what stands in the padding of a tile is computed with
    }
    return memory_;
  }

 private:
  char* memory_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace tinyops::cpu
