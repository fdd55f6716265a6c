#pragma once
// What happens while a Jit records: every place of the tensor room that a recording must hear of asks `recorder()`, which
// is null the rest of the time.
#include <memory>

#include "teeny/tensor.h"

namespace teeny {

/// A variable is what a tensor's handles share: it holds a LazyBuffer now, and may hold another after an `assign`.
using Variable = std::weak_ptr<LazyBuffer>;

class Recorder {
 public:
  virtual ~Recorder() = default;
  virtual void seen(const std::shared_ptr<LazyBuffer>& variable) = 0;       ///< its numbers are asked for
  virtual void assigned(const std::shared_ptr<LazyBuffer>& variable) = 0;   ///< it is about to hold other numbers
  virtual void graded(const Tensor& x, const Tensor& grad) = 0;             ///< x.grad is about to be `grad`
};

/// Of this thread.
Recorder*& recorder();

}  // namespace teeny
