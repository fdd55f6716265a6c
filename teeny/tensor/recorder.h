#pragma once
// What a Jit is told while it records: the places where tensors are made, read and changed call the
// `context.recorder` of their thread, which is null the rest of the time.
#include <memory>

#include "teeny/tensor/tensor.h"

namespace teeny {

/// What the handles of one tensor share, as a recording knows it: it must not keep it alive. `data` may hold other
/// values after an assignment.
struct Variable {
  std::weak_ptr<LazyBuffer> data;
  std::weak_ptr<const bool> requires_grad;
  std::weak_ptr<int64_t> version = {};  ///< of one that is assigned to
};

class Recorder {
 public:
  virtual ~Recorder() = default;
  virtual void on_create(const std::shared_ptr<LazyBuffer>& data) = 0;  ///< a new tensor
  virtual void on_read(const std::shared_ptr<LazyBuffer>& data, const std::shared_ptr<const bool>& requires_grad) = 0;
  /// It is about to hold other values; `version` counts how often that was so.
  virtual void on_assign(const std::shared_ptr<LazyBuffer>& data, const std::shared_ptr<int64_t>& version) = 0;
  /// The handle is read or copied; `data` is its tensor's, null where it is undefined.
  virtual void on_handle(const Tensor& handle, const std::shared_ptr<LazyBuffer>& data) = 0;
  virtual void on_set_grad(const Tensor& x, const Tensor& grad) = 0;    ///< x.grad is about to be `grad`
};

}  // namespace teeny
