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
// differentiated again. The rules of the spine stand in mlops/, those that a first reading can leave out in
// functional/.
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
  virtual std::string name() const;

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

/// A rule where each element of the result depends on the elements in its place alone, by a slope that may be infinite.
/// Behind a `where` (`chooses`) the walk back lets nothing flow through what was not chosen: 0 times infinity is NaN.
struct Elementwise : Function {
  bool chooses = false;
};

namespace detail {
/// What a rule and the walk back reach of a tensor, and a program does not.
struct TensorAccess {
  static const std::shared_ptr<Function>& rule(const Tensor& x);  ///< what made x; null for a leaf
  static void set_rule(Tensor& x, std::shared_ptr<Function> rule);
  static int64_t version(const Tensor& x);                           ///< counts assignments
  static void drop_graph(const Tensor& x);                           ///< forgets the rule
  static void replace(const Tensor& x, LazyBuffer data) noexcept;    ///< an assignment of values that are there already
  static const Tensor* grad(const Tensor& x);                        ///< the handle that x.grad() copies
  static std::weak_ptr<const char> watch(const Tensor& x);           ///< expires with this handle
  static const void* id(const Tensor& x) { return x.state_.get(); }  ///< equal for handles of one tensor
};
}  // namespace detail

/// Runs `rule.forward` on the inputs and, where one of them requires a gradient, keeps the rule for `backward`; while a
/// call is traced (traced.h), always.
template <class Rule, class... Inputs>
Tensor apply(Rule rule, const Inputs&... inputs) {
  if (!(inputs.defined() && ...)) (inputs.lazy(rule.name().c_str()), ...);
  Tensor out(rule.forward(inputs.lazy()...));
  if (context.tracing || (context.grad && is_float(out.dtype()) && (inputs.requires_grad() || ...))) {
    rule.inputs = {inputs...};
    detail::TensorAccess::set_rule(out, std::make_shared<Rule>(std::move(rule)));
  }
  return out;
}

/// What `x += y` and `x.set(..)` do with their result: x holds it from now on, for every handle; where a gradient is
/// recorded, this handle alone becomes the result, whose history goes on. Throws, naming `op`, where it does not fit
/// into x.
Tensor& assign_or_rebind(Tensor& x, const Tensor& value, const char* op);

}  // namespace teeny
