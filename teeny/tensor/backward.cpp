// The walk back: from a number to everything it was computed from.
//
//   forward    a ──► Mul ──► c ──► Sum ──► loss
//              b ──►                        │
//   backward   a.grad ◄── Mul ◄── Sum ◄── 1
#include <cxxabi.h>

#include <cstdlib>
#include <typeinfo>
#include <unordered_map>
#include <unordered_set>

#include "teeny/tensor/function.h"

namespace teeny {

std::string Function::name() const {
  std::unique_ptr<char, void (*)(void*)> readable(abi::__cxa_demangle(typeid(*this).name(), nullptr, nullptr, nullptr),
                                                  std::free);
  const std::string whole = readable ? readable.get() : typeid(*this).name();
  return whole.substr(whole.rfind(':') + 1);  // npos + 1 is 0: a name without a namespace
}

Grads Function::backward(const Tensor&, const Tensor&) { fail(name(), " has no gradient"); }

namespace {

using Access = detail::TensorAccess;
using GradOf = std::unordered_map<const void*, Tensor>;

/// Everything `y` was computed from that leads to a gradient, each after the tensors it was computed from.
std::vector<Tensor> history(const Tensor& y) {
  struct Visit {
    Tensor tensor;
    size_t next = 0;
  };
  std::vector<Tensor> order;
  std::unordered_map<const void*, bool> seen{{Access::id(y), true}};
  std::vector<Visit> stack{{y}};
  while (!stack.empty()) {
    Visit& top = stack.back();
    const std::shared_ptr<Function>& rule = Access::rule(top.tensor);
    if (rule && top.next < rule->inputs.size()) {
      const Tensor& input = rule->inputs[top.next++];
      if (input.requires_grad() && !std::exchange(seen[Access::id(input)], true)) stack.push_back({input});
      continue;
    }
    order.push_back(top.tensor);
    stack.pop_back();
  }
  return order;
}

void check_unchanged(const Function& rule) {
  for (size_t i = 0; i < rule.inputs.size(); ++i)
    if (Access::version(rule.inputs[i]) != rule.versions[i])
      fail("backward: a tensor of ", rule.inputs[i].shape(), " was assigned to after ", rule.name(),
           " had used it, and its old values are needed; assign after backward()");
}

/// d(y)/d(x) for every x in `order`, which ends with y. Those of tensors with a rule are handed on and forgotten unless
/// they are `wanted`.
GradOf walk_back(std::span<const Tensor> order, const GradOf& wanted) {
  GradOf grads;
  std::unordered_set<const void*> chosen_from;  // by a `where`, and what that was computed from, up to a product
  const Tensor& y = order.back();
  grads[Access::id(y)] = y.ones_like();
  // [exercise 19
  for (size_t i = order.size(); i-- > 0;) {
    const Tensor& x = order[i];
    const auto found = grads.find(Access::id(x));
    if (!Access::rule(x) || found == grads.end()) continue;
    check_unchanged(*Access::rule(x));
    const Tensor grad = found->second;
    if (!wanted.contains(Access::id(x))) grads.erase(found);

    Grads parts = Access::rule(x)->backward(grad, x);
    const auto* elementwise = dynamic_cast<const Elementwise*>(Access::rule(x).get());
    const bool behind = chosen_from.contains(Access::id(x));
    const std::vector<Tensor>& inputs = Access::rule(x)->inputs;
    if (parts.size() != inputs.size())
      fail(Access::rule(x)->name(), ": backward gave ", parts.size(), " gradients for ", inputs.size(), " inputs");
    for (size_t k = 0; k < inputs.size(); ++k) {
      if (!inputs[k].requires_grad() || !parts[k].defined()) continue;
      if (parts[k].shape() != inputs[k].shape())
        fail(Access::rule(x)->name(), ": backward gave a gradient of ", parts[k].shape(), " for an input of ",
             inputs[k].shape());
      if (behind && elementwise && !parts[k].same(grad)) parts[k] = where(grad == 0, 0, parts[k]);
      if (behind ? elementwise || inputs.size() == 1 : elementwise && elementwise->chooses)
        chosen_from.insert(Access::id(inputs[k]));
      Tensor& sum = grads[Access::id(inputs[k])];
      sum = sum.defined() ? sum + parts[k] : parts[k];
    }
  }
  // exercise 19]
  return grads;
}

void check_start(const Tensor& y, const char* op) {
  if (numel(y.lazy(op).shape()) != 1)
    fail(op, ": starts from one element, not from ", y.shape(), "; sum() it, or give its gradient");
  if (!y.requires_grad() && !GradMode::enabled())
    fail(op, ": no gradients are recorded here: a NoGrad is alive; compute the loss, and call this, outside of it");
  if (!y.requires_grad())
    fail(op,
         ": nothing here requires a gradient, or an earlier backward() has dropped the graph (keep_graph keeps it)");
}

}  // namespace

Tensor& Tensor::backward(bool keep_graph) & {
  check_start(*this, "backward");
  std::vector<Tensor> order = history(*this);
  const GradMode mode(keep_graph);
  GradOf grads = walk_back(order, {});
  for (const Tensor& x : order)  // before anything changes: a sum may find no memory
    if (const auto grad = grads.find(Access::id(x)); grad != grads.end() && x.grad().defined())
      grad->second = x.grad() + grad->second;
  for (Tensor& x : order) {
    if (const auto grad = grads.find(Access::id(x)); grad != grads.end()) x.set_grad(grad->second);
    if (!keep_graph) Access::drop_graph(x);
  }
  return *this;
}

std::vector<Tensor> gradient(const Tensor& y, std::span<const Tensor> xs) {
  check_start(y, "gradient");
  GradOf wanted;
  for (const Tensor& x : xs) x.lazy("gradient"), wanted[Access::id(x)] = {};
  const GradOf grads = walk_back(history(y), wanted);
  std::vector<Tensor> result;
  for (const Tensor& x : xs) {
    const auto grad = grads.find(Access::id(x));
    result.push_back(grad == grads.end() ? x.zeros_like() : grad->second);
  }
  return result;
}

}  // namespace teeny
