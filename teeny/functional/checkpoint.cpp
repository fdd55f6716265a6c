// Memory for time: a part of a network whose intermediate values are computed again in the backward pass. Chen et al.,
// "Training deep nets with sublinear memory cost", 2016.
//
//   forward    x ──► f ──► y        what f computes on the way is not kept
//   backward   x ──► f ──► its rules ──► gradients        once the gradient of y is there
#include <algorithm>
#include <unordered_set>

#include "teeny/functional/functions.h"
#include "teeny/tensor/function.h"
#include "teeny/tensor/modes.h"

namespace teeny {
namespace {

using Access = detail::TensorAccess;

/// The tensors that require a gradient, have no history and are part of one of `ys`.
std::vector<Tensor> leaves(std::span<const Tensor> ys) {
  std::vector<Tensor> result, stack(ys.begin(), ys.end());
  std::unordered_set<const void*> seen;
  while (!stack.empty()) {
    const Tensor x = std::move(stack.back());
    stack.pop_back();
    if (!x.requires_grad() || !seen.insert(Access::id(x)).second) continue;
    if (const auto& rule = Access::rule(x)) stack.insert(stack.end(), rule->inputs.begin(), rule->inputs.end());
    else result.push_back(x);
  }
  return result;
}

/// The values of x in a node of its own, which is computed after `earlier`: as soon as a scheduler sees x itself, it
/// may compute what reads it beside what has read it before. Where nothing reads x later, its memory is taken over.
Tensor after(const Tensor& x, const Tensor& earlier) {
  if (x.rank() == 0) return after(x.reshape({1}), earlier).reshape({});
  const Dims none = Dims::filled(x.rank(), 0);
  const LazyBuffer nothing = earlier.reshape({-1}).shrink({0}, {0}).reshape(none).cast(x.dtype()).lazy();
  return Tensor(overwrite(x.lazy(), nothing, View::contiguous(x.shape()).shrink(none, none)));
}

/// A tensor with the values of x where a walk back ends. Joined to x afterwards, its gradients can be differentiated.
Tensor cut(const Tensor& x) { return x.detach().requires_grad_(x.requires_grad()); }
struct Join : Function {
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad}; }
};
void join(Tensor& part, const Tensor& x) {
  if (!GradMode::enabled() || !x.requires_grad()) return;
  const auto rule = std::make_shared<Join>();
  rule->inputs = {x};
  Access::set_rule(part, rule);
}

/// A number of which each input has a given gradient.
struct Given : Function {
  Grads grads;
  Grads backward(const Tensor&, const Tensor&) override { return grads; }
};

/// What the function is called with again is as it was then. Its random values are the same ones, and what it assigned
/// it does not assign twice.
class SecondRun {
 public:
  SecondRun(RandomStream random, bool training)
      : training_(training), random_(std::exchange(context.random(), random)), pending_(context.pending.size()) {}
  ~SecondRun() {
    context.random() = random_;
    while (context.pending.size() > pending_) context.pending.back().take_back(), context.pending.pop_back();
  }

 private:
  const GradMode grad_{true};
  const Training training_;
  const RandomStream random_;
  const size_t pending_;
};

/// The call as a whole. Its result is a number that only the rules of the function's results read; these leave their
/// gradients here. The inputs are the function's, and then the leaves that it captured.
struct Checkpoint : Function {
  Checkpointed f;
  size_t arguments;
  RandomStream random;
  bool training;
  Grads grads;

  Grads backward(const Tensor&, const Tensor&) override {
    Grads given = std::exchange(grads, Grads(grads.size())), ends;
    const Tensor& first = *std::ranges::find_if(given, &Tensor::defined);
    for (size_t i = 0; i < arguments; ++i) {
      const NoGrad guard;
      ends.push_back(after(inputs[i], first).requires_grad_(inputs[i].requires_grad()));
    }
    const std::vector<Tensor> ys = [&] {
      const SecondRun run(random, training);
      return f(ends);
    }();
    ends.insert(ends.end(), inputs.begin() + ptrdiff_t(arguments), inputs.end());
    const auto rule = std::make_shared<Given>();
    for (size_t k = 0; k < std::min(ys.size(), given.size()); ++k) {
      if (!given[k].defined()) continue;
      if (ys[k].shape() != given[k].shape() || !ys[k].requires_grad())
        fail("checkpoint: the function gave ", given[k].shape(), " and gives ", ys[k].shape(),
             " when it is called again; it must do the same each time");
      rule->inputs.push_back(ys[k]);
      rule->grads.push_back(cut(given[k]));
    }
    Tensor start = Tensor::zeros({});
    Access::set_rule(start, rule);
    const Grads result = gradient(start, ends);
    for (size_t i = 0; i < arguments; ++i) join(ends[i], inputs[i]);
    std::erase_if(given, [](const Tensor& g) { return !g.defined(); });
    for (size_t k = 0; k < given.size(); ++k) join(rule->grads[k], given[k]);
    return result;
  }
};

/// Of one result of the function.
struct CheckpointResult : Function {
  size_t number;
  Grads backward(const Tensor& grad, const Tensor&) override {
    static_cast<Checkpoint&>(*Access::rule(inputs[0])).grads[number] = grad;
    return {inputs[0].zeros_like()};
  }
};

}  // namespace

std::vector<Tensor> checkpoint(const Checkpointed& f, std::span<const Tensor> xs) {
  for (const Tensor& x : xs) x.lazy("checkpoint");
  if (!GradMode::enabled() || context.tracing) return f(xs);
  const auto rule = std::make_shared<Checkpoint>();
  rule->f = f, rule->arguments = xs.size(), rule->random = context.random(), rule->training = context.training;
  std::vector<Tensor> ends;
  for (const Tensor& x : xs) ends.push_back(cut(x));
  std::vector<Tensor> results = f(ends);
  rule->inputs.assign(xs.begin(), xs.end());
  for (const Tensor& leaf : leaves(results))
    if (std::ranges::none_of(ends, [&](const Tensor& end) { return end.same(leaf); })) rule->inputs.push_back(leaf);
  rule->grads.resize(results.size());
  Tensor call = Tensor::zeros({});
  Access::set_rule(call, rule);
  for (size_t k = 0; k < results.size(); ++k) {
    const bool has_history = results[k].requires_grad();
    results[k] = results[k].detach();
    if (!has_history) continue;
    const auto result = std::make_shared<CheckpointResult>();
    result->number = k, result->inputs = {call};
    Access::set_rule(results[k], result);
  }
  return results;
}

}  // namespace teeny
