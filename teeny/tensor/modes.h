#pragma once
// Whether gradients are recorded, and whether a model trains: two modes of a thread.
#include <utility>

#include "teeny/graph/context.h"

namespace teeny {

/// While one of these lives, the mode is as it says; then it is again what it was.
///
///   NoGrad guard;            no history is kept: evaluation, and the insides of optimisers
///   Training guard(true);    dropout drops, batch norm uses the batch's statistics
class GradMode {
 public:
  explicit GradMode(bool on) : before_(std::exchange(context.grad, on)) {}
  ~GradMode() { context.grad = before_; }
  GradMode(const GradMode&) = delete;
  static bool enabled() { return context.grad; }

 private:
  bool before_;
};
struct NoGrad : GradMode {
  NoGrad() : GradMode(false) {}
};
class Training {
 public:
  explicit Training(bool on = true) : before_(std::exchange(context.training, on)) {}
  ~Training() { context.training = before_; }
  Training(const Training&) = delete;
  static bool enabled() { return context.training; }

 private:
  bool before_;
};

}  // namespace teeny
