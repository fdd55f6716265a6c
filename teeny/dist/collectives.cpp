#include "teeny/dist/collectives.h"

#include <utility>

#include "teeny/dist/flatten.h"
#include "teeny/graph/collective.h"
#include "teeny/schedule/schedule.h"
#include "teeny/tensor/function.h"
#include "tinyops/ranks.h"

namespace teeny::dist {

using tinyops::Collective, tinyops::CollectiveKernel;
namespace ranks = tinyops::ranks;

int rank() { return ranks::rank(); }
int world() { return ranks::world(); }
void barrier() {
  if (world() > 1) all_reduce(Tensor(0)).realize();
}

Group Group::split(int colour) const {
  if (colour < 0) fail("Group::split: a colour of ", colour, "; 0 or more");
  realize(std::span<const Tensor>());  // the collectives from before come first
  Group result;
  result.number_ = ranks::split(number_, colour);
  return result;
}
int Group::rank() const { return ranks::rank(number_); }
int Group::world() const { return ranks::world(number_); }

namespace {

/// `x.shape()` with `parts` times as many elements along axis 0, or divided by so many.
Shape grown(const Shape& shape, int parts) {
  Shape result = shape;
  result[0] *= parts;
  return result;
}
/// The shape of one of a group's parts of x.
Shape part_of(const Tensor& x, int axis, const Group& among, const char* op) {
  Shape shape = x.lazy(op).shape();
  if (axis >= shape.size() || shape[axis] % among.world() != 0)
    fail(op, ": a tensor of ", shape, " has no ", among.world(), " equal parts along axis ", axis);
  shape[axis] /= among.world();
  return shape;
}

/// What nobody has looked at runs before the program ends: of the last loss, say, that rank 0 alone prints. And it is
/// over: the others may need this rank's device until then.
void run_effects() {
  realize(std::span<const Tensor>());
  tinyops::synchronize();
}

CollectiveKernel kernel_of(Collective what, const LazyBuffer& x, const Group& among) {
  [[maybe_unused]] static const bool told = (ranks::at_end(run_effects), true);
  return {.what = what, .op = x.dtype() == DType::Bool ? ReduceOp::Max : ReduceOp::Sum, .group = among.number()};
}

struct AllReduce : Function {
  Group among;
  LazyBuffer forward(const LazyBuffer& x) {
    return collective(kernel_of(Collective::AllReduce, x, among), x, x.shape());
  }
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad}; }
};
struct SumGradients : Function {
  Group among;
  LazyBuffer forward(const LazyBuffer& x) { return x; }
  Grads backward(const Tensor& grad, const Tensor&) override { return {all_reduce(grad, among)}; }
};
struct AllGather : Function {
  Group among;
  LazyBuffer forward(const LazyBuffer& x) {
    return collective(kernel_of(Collective::AllGather, x, among), x, grown(x.shape(), among.world()));
  }
  Grads backward(const Tensor& grad, const Tensor&) override { return {shard(grad, 0, among)}; }
};
struct ReduceScatter : Function {
  Group among;
  Shape shape;
  LazyBuffer forward(const LazyBuffer& x) {
    return collective(kernel_of(Collective::ReduceScatter, x, among), x, shape);
  }
  Grads backward(const Tensor& grad, const Tensor&) override { return {all_gather(grad, among)}; }
};

/// The rule among these ranks.
template <class Rule>
Rule rule_among(const Group& among) {
  Rule rule;
  rule.among = among;
  return rule;
}

}  // namespace

// Of one rank: the elements of x where they are, but in a tensor of its own. Assigning to x leaves it, as among many.
Tensor sum_gradients(const Tensor& x, const Group& among) {
  x.lazy("sum_gradients");
  return apply(rule_among<SumGradients>(among), x);
}

Tensor all_reduce(const Tensor& x, const Group& among) {
  x.lazy("all_reduce");
  return among.world() == 1 ? sum_gradients(x, among) : apply(rule_among<AllReduce>(among), x);
}
Tensor all_gather(const Tensor& x, const Group& among) {
  if (x.lazy("all_gather").shape().empty()) fail("all_gather: a tensor of () has no axis 0; reshape({1}) it");
  return among.world() == 1 ? sum_gradients(x, among) : apply(rule_among<AllGather>(among), x);
}
Tensor reduce_scatter(const Tensor& x, const Group& among) {
  auto rule = rule_among<ReduceScatter>(among);
  rule.shape = part_of(x, 0, among, "reduce_scatter");
  return among.world() == 1 ? sum_gradients(x, among) : apply(std::move(rule), x);
}
Tensor shard(const Tensor& x, int axis, const Group& among) {
  const int rank = x.lazy("shard").shape().size(), from_front = axis < 0 ? axis + rank : axis;
  if (from_front < 0 || from_front >= rank) fail("shard: a tensor of ", x.shape(), " has no axis ", axis);
  const int64_t size = part_of(x, from_front, among, "shard")[from_front];
  Dims begin = Dims::filled(rank, 0), end = x.shape();
  begin[from_front] = among.rank() * size, end[from_front] = begin[from_front] + size;
  return among.world() == 1 ? sum_gradients(x, among) : x.shrink(begin, end);
}

void broadcast(const nn::StateDict& state, const Group& among) {
  for (const auto& [name, x] : state)
    if (!x.defined()) fail("broadcast: ", name, " is undefined");
  if (among.world() == 1) return;
  const NoGrad guard;
  for (const auto& [name, x] : state) {
    const LazyBuffer now = x.lazy();
    Tensor(x).assign(Tensor(collective(kernel_of(Collective::Broadcast, now, among), now, now.shape())));
  }
}

void average_gradients(std::span<const Tensor> params, const AverageOptions& options) {
  const auto& [bucket, among] = options;
  for (size_t i = 0; i < params.size(); ++i)
    if (!params[i].defined()) fail("average_gradients: parameter ", i, " is undefined");
  const NoGrad guard;
  for (const Tensor& p : params)
    if (!p.grad().defined()) Tensor(p).set_grad(p.zeros_like());
  if (among.world() == 1) return;
  std::vector<Tensor> grads;  // of the bucket, the last parameter's first
  int64_t bytes = 0;
  for (size_t i = params.size(); i-- > 0;) {
    const Tensor grad = params[i].grad();
    grads.push_back(grad / among.world());  // before the sum, where it costs nothing, and 16 bits do not overflow
    bytes += grad.numel() * itemsize(grad.dtype());
    if (i > 0 && bytes < bucket && params[i - 1].grad().dtype() == grad.dtype()) continue;
    const std::vector<Tensor> mean = unflatten(all_reduce(flatten(grads), among), grads);
    for (size_t k = 0; k < mean.size(); ++k) Tensor(params[i + mean.size() - 1 - k]).set_grad(mean[k]);
    grads.clear(), bytes = 0;
  }
}

Tensor clip_grad_norm(std::span<const Tensor> whole, std::span<const Tensor> parts, double max_norm,
                      const Group& among) {
  optim::detail::check_max_norm(max_norm);
  const NoGrad guard;
  const Tensor squares = optim::detail::sum_of_powers(whole) + all_reduce(optim::detail::sum_of_powers(parts), among);
  std::vector<Tensor> all(whole.begin(), whole.end());
  all.insert(all.end(), parts.begin(), parts.end());
  return optim::detail::clip_grads_with_norm(all, max_norm, squares.sqrt());
}

}  // namespace teeny::dist
