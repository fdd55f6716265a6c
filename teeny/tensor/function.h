#pragma once
// A rule of differentiation: what an operation computes, and what its gradient is.
//
//   struct Mul : Function {
//     LazyBuffer forward(const LazyBuffer& x, const LazyBuffer& y) { return x.binary(BinaryOp::Mul, y); }
//     Grads backward(const Tensor& grad, const Tensor& out) override {
//       auto [x, y] = saved<2>();
//       return {grad * y, grad * x};
//     }
//   };
//
// `forward` is what runs, on LazyBuffers. `backward` is written in tensor arithmetic, so its result can be
// differentiated again. The rules stand in mlops.cpp, movement.cpp, indexing.cpp, products.cpp and what
// is built on it.
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "teeny/tensor/tensor.h"

namespace teeny {

/// The gradient of each input, in order. An undefined Tensor says: nothing flows to this one.
using Grads = std::vector<Tensor>;

class Function {
 public:
  virtual ~Function() = default;

  /// `grad` is the gradient of the loss by the result `out`, and has its shape; what comes back has the inputs' shapes.
  /// A rule that does not override this has no gradient, and says so.
  virtual Grads backward(const Tensor& grad, const Tensor& out);

  /// The rule's name, for errors and pictures: "Mul".
  std::string name() const;

  /// What `forward` was called with. The rule's own result is not among them: `backward` is handed it, and so no rule
  /// keeps itself alive.
  std::vector<Tensor> inputs;
  std::vector<int64_t> versions;  ///< of the inputs then: whoever was assigned to since is not what `forward` saw

 protected:
  template <size_t N>
  std::array<Tensor, N> saved() const {
    std::array<Tensor, N> result;
    for (size_t i = 0; i < N; ++i) result[i] = inputs[i];
    return result;
  }
};

/// Runs `rule.forward` on the inputs and, where one of them wants a gradient, remembers the rule for the way back.
template <class Rule, class... Inputs>
Tensor apply(Rule rule, const Inputs&... inputs) {
  Tensor out(rule.forward(inputs.lazy()...));
  if (GradMode::enabled() && is_float(out.dtype()) && (inputs.requires_grad() || ...)) {
    rule.inputs = {inputs...};
    out.set_rule(std::make_shared<Rule>(std::move(rule)));
  }
  return out;
}

}  // namespace teeny
