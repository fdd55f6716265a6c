// Gradients of tensors of many elements, and of results between the leaves and the loss: both are a loss of one element
// again.
#include "teeny/tensor/function.h"

namespace teeny {
namespace {

/// The number whose gradient by `y` is `grad`.
Tensor weighted_sum(const Tensor& y, const Tensor& grad, const char* op) {
  if (grad.lazy(op).shape() != y.lazy(op).shape())
    fail(op, ": a gradient of ", grad.shape(), " for a tensor of ", y.shape(), "; both have one shape");
  if (!is_float(grad.dtype())) fail(op, ": a gradient is floats, not ", grad.dtype());
  return (y * grad.detach().cast(y.dtype())).sum();
}

/// Hands the gradient on, and lets the result keep it.
struct RetainGrad : Elementwise {
  Grads backward(const Tensor& grad, const Tensor& out) override {
    Tensor result = out;
    result.set_grad(result.grad().defined() ? result.grad() + grad : grad);
    return {grad};
  }
};

}  // namespace

Tensor& Tensor::backward(const Tensor& grad, bool keep_graph) & {
  weighted_sum(*this, grad, "backward").backward(keep_graph);
  return *this;
}

std::vector<Tensor> gradient(const Tensor& y, std::span<const Tensor> xs, const Tensor& grad) {
  return gradient(weighted_sum(y, grad, "gradient"), xs);
}

//   rule ──► x        becomes        rule ──► x as it was ──► RetainGrad ──► x
void Tensor::retain_grad() {
  if (lazy("retain_grad"); !requires_grad()) fail("retain_grad: this tensor of ", shape(), " requires no gradient");
  const std::shared_ptr<Function> rule = detail::TensorAccess::rule(*this);
  if (!rule || dynamic_cast<const RetainGrad*>(rule.get())) return;
  Tensor before = detach();
  const std::vector<int64_t> versions = rule->versions;
  detail::TensorAccess::set_rule(before, rule);
  rule->versions = versions;
  const auto retain = std::make_shared<RetainGrad>();
  retain->inputs = {before};
  detail::TensorAccess::set_rule(*this, retain);
}

}  // namespace teeny
