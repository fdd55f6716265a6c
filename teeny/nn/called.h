#pragma once
// How nn::summary hears of the layers that a model calls: each of them runs inside called().
#include "teeny/nn/state.h"

namespace teeny::nn::detail {

/// Told of every call of a layer: before with its input, behind it with its name, its state and its output.
class CallObserver {
 public:
  virtual void enter(const Tensor& x) = 0;
  virtual void leave(const char* name, const StateDict& state, const Tensor& y) = 0;

 protected:
  ~CallObserver() = default;
};
/// Of this thread; null but while a summary is made.
inline thread_local CallObserver* call_observer = nullptr;

/// The tensor among the results of a layer whose shape says most.
inline const Tensor& main_output(const Tensor& y) { return y; }
const Tensor& main_output(const auto& results) {
  if constexpr (requires { results.y; }) return results.y;
  else return results.h;
}

/// run(), which computes what `layer` makes of x.
template <class Layer, class Run>
auto called(const char* name, const Layer& layer, const Tensor& x, Run run) {
  if (!call_observer) return run();
  call_observer->enter(x);
  auto y = run();
  StateDict state;
  collect("", layer, state);
  call_observer->leave(name, state, main_output(y));
  return y;
}

}  // namespace teeny::nn::detail
