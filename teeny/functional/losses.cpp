// Losses: how far a prediction is from what was wanted, as a formula each. The terms first, one a sample or one an
// element; `reduced` then reduces them to one value, or not.
#include "teeny/functional/functional.h"

namespace teeny {

namespace {

Tensor reduced(const Tensor& terms, Reduction reduction) {
  switch (reduction) {
    case Reduction::None: return terms;
    case Reduction::Mean: return terms.mean();
    case Reduction::Sum: return terms.sum();
    case Reduction::BatchMean: return terms.sum() / double(terms.rank() ? terms.shape()[0] : 1);
  }
  fail("unknown reduction ", int(reduction));
}

void check_same(const Tensor& x, const Tensor& target, const char* op) {
  if (x.lazy(op).shape() != target.lazy(op).shape())
    fail(op, ": ", x.shape(), " and ", target.shape(), " differ; input and target have one shape");
}

/// `terms` times a weight that broadcasts to them; an undefined weight is 1.
Tensor weighted(const Tensor& terms, const Tensor& weight, const char* op) {
  if (!weight.defined()) return terms;
  if (broadcast(weight.shape(), terms.shape(), op) != terms.shape())
    fail(op, ": a weight of ", weight.shape(), " has more than the ", terms.shape(), " it is for");
  return terms * weight;
}

// ---- Classes -------------------------------------------------------------------------------------------------------
//
// With log-probabilities l, class weights w and smoothing s, a sample of class y among C costs
//
//   -(1 - s) * w[y] * l[y]  -  s / C * sum_c w[c] * l[c]
//
// and Mean divides the sum over the samples by the sum of their w[y]. A sample of probabilities p costs
// -sum_c w[c] * ((1 - s) * p[c] + s / C) * l[c], and Mean divides by the number of samples. These are PyTorch's rules;
// smoothing is from Szegedy et al., "Rethinking the Inception architecture", 2016.

Tensor of_probabilities(const Tensor& log_p, int axis, const Tensor& target, const Tensor& weight,
                        const CrossEntropyOptions& options, const char* op) {
  if (target.rank() < log_p.rank())
    fail(op, ": labels are integers, and this target is ", target.dtype(), "; cast(DType::Int64) it");
  if (target.shape() != log_p.shape())
    fail(op, ": ", log_p.shape(), " and the probabilities ", target.shape(), " differ");
  if (options.ignore_index) fail(op, ": ignore_index ", *options.ignore_index, " needs classes, not probabilities");
  const double smoothing = options.label_smoothing;
  const Tensor wanted = target * (1 - smoothing) + smoothing / double(log_p.size(axis));
  const Tensor terms = log_p * wanted;
  return reduced(-(weight.defined() ? terms * reshape_to_axis(weight, axis, log_p.rank()) : terms).sum(axis),
                 options.reduction);
}

Tensor of_classes(const Tensor& log_p, int axis, const Tensor& target, const Tensor& weight,
                  const CrossEntropyOptions& options, const char* op) {
  Shape samples = log_p.shape();
  samples.erase(axis);
  if (!is_int(target.dtype()))
    fail(op, ": the target is ", target.dtype(), "; classes are integers, probabilities floats");
  if (target.shape() != samples)
    fail(op, ": ", log_p.shape(), " needs a class for each of ", samples, ", not ", target.shape());

  const double smoothing = options.label_smoothing;
  const Tensor counted = options.ignore_index ? target != Scalar(*options.ignore_index) : Tensor();
  const Tensor index = counted.defined() ? where(counted, target, 0) : target;
  Tensor terms = -gathered(log_p, axis, index.unsqueeze(axis), {op, samples}).squeeze(axis);
  Tensor share;  // what a sample counts in the mean; undefined: all the same
  if (weight.defined()) {
    share = gathered(weight, 0, index.flatten(), {op, samples}).reshape(samples);
    terms = terms * share;
  }
  if (smoothing > 0) {
    const Tensor all = weight.defined() ? log_p * reshape_to_axis(weight, axis, log_p.rank()) : log_p;
    terms = terms * (1 - smoothing) - all.mean(axis) * smoothing;
  }
  if (counted.defined()) {
    share = where(counted, share.defined() ? share : Tensor::ones({}, log_p.dtype()), 0);
    terms = where(counted, terms, 0);
  }
  if (!share.defined() || options.reduction != Reduction::Mean) return reduced(terms, options.reduction);
  const DType wide = promote(log_p.dtype(), DType::Float32);  // float16 ends at 65504 samples
  return (terms.cast(wide).sum() / share.cast(wide).sum()).cast(log_p.dtype());
}

Tensor class_loss(const Tensor& log_p, const Tensor& target, const Tensor& weight, const CrossEntropyOptions& options,
                  const char* op) {
  const int axis = log_p.rank() == 1 ? 0 : 1;  // (C) or (N, C, ...)
  const double smoothing = options.label_smoothing;
  target.lazy(op);
  if (!(smoothing >= 0 && smoothing <= 1)) fail(op, ": label_smoothing ", smoothing, " is outside [0, 1]");
  if (weight.defined() && (weight.shape() != Shape{log_p.size(axis)} || weight.dtype() != log_p.dtype()))
    fail(op, ": the weight is ", weight.dtype(), ' ', weight.shape(), " and must be ", log_p.dtype(), ' ',
         Shape{log_p.size(axis)}, ", one number a class");
  return (is_float(target.dtype()) ? of_probabilities : of_classes)(log_p, axis, target, weight, options, op);
}

}  // namespace

Tensor Tensor::cross_entropy(const Tensor& target, const Tensor& weight, const CrossEntropyOptions& options) const {
  if (lazy("cross_entropy").shape().empty())
    fail("cross_entropy: logits of () have no axis of classes; (C), (N, C) or (N, C, ..), as unsqueeze() makes them");
  return class_loss(log_softmax(rank() == 1 ? 0 : 1), target, weight, options, "cross_entropy");
}
Tensor Tensor::cross_entropy(const Tensor& target, const CrossEntropyOptions& options) const {
  return cross_entropy(target, Tensor(), options);
}
Tensor Tensor::nll_loss(const Tensor& target, const Tensor& weight, const CrossEntropyOptions& options) const {
  if (lazy("nll_loss").shape().empty())
    fail(
        "nll_loss: log-probabilities of () have no axis of classes; (C), (N, C) or (N, C, ..), as unsqueeze() makes "
        "them");
  return class_loss(*this, target, weight, options, "nll_loss");
}
Tensor Tensor::nll_loss(const Tensor& target, const CrossEntropyOptions& options) const {
  return nll_loss(target, Tensor(), options);
}

// ---- Yes or no -----------------------------------------------------------------------------------------------------

namespace {
/// PyTorch's floor of -100 under the logarithm keeps a certain but wrong answer finite.
Tensor log_above_floor(const Tensor& p) { return p.log().maximum(-100); }

/// `x`, all of whose elements must be in [0, 1] when it is computed; else that throws `message`.
Tensor in_unit_interval(const Tensor& x, const char* message) {
  return require(x, ((x.detach() >= 0) & (x.detach() <= 1)).all(), message);
}
}  // namespace

/// -(t log p + (1 - t) log(1 - p)). A rule, because under the floor the gradient of its parts is 0: who is certain and
/// wrong would learn nothing. Of the formula as one, without a floor, it is (p - t) / (p (1 - p)).
struct BinaryCrossEntropy : Function {
  LazyBuffer forward(const LazyBuffer& chance, const LazyBuffer& target) {
    const NoGrad guard;
    const Tensor p(chance), t(target);
    return (-(t * log_above_floor(p) + (1 - t) * log_above_floor(1 - p))).lazy();
  }
  Grads backward(const Tensor& grad, const Tensor&) override {
    const auto [p, t] = saved<2>();
    const Tensor spread = p * (1 - p);
    return {grad * (p - t) / where(spread > 1e-12, spread, 1e-12),
            grad * (log_above_floor(1 - p) - log_above_floor(p))};
  }
};
Tensor Tensor::binary_cross_entropy(const Tensor& target, const Tensor& weight, Reduction reduction) const {
  check_same(*this, target, "binary_cross_entropy");
  const DType common = as_float(promote_and_broadcast(*this, target, "binary_cross_entropy").first).dtype();
  const Tensor p = in_unit_interval(to_accumulate_dtype(*this),
                                    "binary_cross_entropy: a probability is NaN, or outside [0, 1]; of logits: "
                                    "binary_cross_entropy_with_logits");
  const Tensor t =
      in_unit_interval(to_accumulate_dtype(target), "binary_cross_entropy: a target is NaN, or outside [0, 1]");
  const Tensor terms = apply(BinaryCrossEntropy{}, p, t).cast(common);
  return reduced(weighted(terms, weight, "binary_cross_entropy"), reduction);
}
Tensor Tensor::binary_cross_entropy(const Tensor& target, Reduction reduction) const {
  return binary_cross_entropy(target, Tensor(), reduction);
}

/// With p = sigmoid(x): -log p = softplus(-x) and -log(1 - p) = softplus(x). Neither loses the tail of the other, and
/// what does not count costs nothing, also where it is infinite.
Tensor Tensor::binary_cross_entropy_with_logits(const Tensor& target, const Tensor& weight, const Tensor& pos_weight,
                                                Reduction reduction) const {
  const char* op = "binary_cross_entropy_with_logits";
  check_same(*this, target, op);
  const DType common = as_float(promote_and_broadcast(*this, target, op).first).dtype();
  const Tensor x = to_accumulate_dtype(*this), wanted = to_accumulate_dtype(target);
  const auto cost = [](const Tensor& share, const Tensor& loss) {
    return where((share == 0) & loss.isinf(), 0, share * loss);
  };
  const Tensor terms = cost(weighted(wanted, pos_weight, op), (-x).softplus()) + cost(1 - wanted, x.softplus());
  return reduced(weighted(terms.cast(common), weight, op), reduction);
}
Tensor Tensor::binary_cross_entropy_with_logits(const Tensor& target, Reduction reduction) const {
  return binary_cross_entropy_with_logits(target, Tensor(), Tensor(), reduction);
}

// ---- Distances -----------------------------------------------------------------------------------------------------

namespace {
/// `terms` of the difference, which is a float's, reduced: unsigned integers would wrap, and of 16 bits a square leaves
/// the range.
template <class F>
Tensor distance(const Tensor& x, const Tensor& target, Reduction reduction, const char* op, F terms) {
  check_same(x, target, op);
  const DType common = as_float(promote_and_broadcast(x, target, op).first).dtype();
  return reduced(terms(to_accumulate_dtype(x) - to_accumulate_dtype(target)).cast(common), reduction);
}
}  // namespace

Tensor Tensor::mse_loss(const Tensor& target, Reduction reduction) const {
  return distance(*this, target, reduction, "mse_loss", [](const Tensor& d) { return d.square(); });
}
Tensor Tensor::l1_loss(const Tensor& target, Reduction reduction) const {
  return distance(*this, target, reduction, "l1_loss", [](const Tensor& d) { return d.abs(); });
}
/// A parabola up to |x - target| = beta, where it meets its tangent of slope 1: with c = min(|d|, beta), both are
/// c / beta (|d| - c / 2). Girshick, "Fast R-CNN", 2015.
Tensor Tensor::smooth_l1_loss(const Tensor& target, double beta, Reduction reduction) const {
  if (!(beta >= 0)) fail("smooth_l1_loss: beta ", beta, " is negative");
  return distance(*this, target, reduction, "smooth_l1_loss", [beta](const Tensor& difference) {
    const Tensor d = difference.abs(), c = d.minimum(beta);
    return beta == 0 ? d : c / beta * (d - c * 0.5);
  });
}
/// Kullback & Leibler, "On information and sufficiency", 1951. t log t is 0 where the target is 0, so that
/// it costs nothing; but 0 * -inf, where this calls impossible what never happens, is NaN, as in PyTorch.
Tensor Tensor::kl_div(const Tensor& target, bool log_target, Reduction reduction) const {
  check_same(*this, target, "kl_div");
  if (log_target) return reduced(target.exp() * (target - *this), reduction);
  return reduced(target * (where(target == 0, 1, target).log() - *this), reduction);
}

/// The same times delta, which may be large. Huber, "Robust estimation of a location parameter", 1964.
Tensor Tensor::huber_loss(const Tensor& target, double delta, Reduction reduction) const {
  if (!(delta > 0)) fail("huber_loss: delta ", delta, " is not above 0");
  return distance(*this, target, reduction, "huber_loss", [delta](const Tensor& difference) {
    const Tensor d = difference.abs(), c = d.minimum(delta);
    return c * (d - c * 0.5);
  });
}

}  // namespace teeny
