// Losses of class labels: x (N, C, ...), labels (N, ...), and a weight for each class or none.
#include "teeny/onnx/ops.h"

namespace teeny::onnx {

namespace {

Tensor loss(const Call& call, const Tensor& log_probabilities) {
  CrossEntropyOptions options;
  const std::string reduction = call.text("reduction", "mean");
  if (reduction == "none") options.reduction = Reduction::None;
  else if (reduction == "sum") options.reduction = Reduction::Sum;
  else if (reduction != "mean") fail("the reduction is \"", reduction, "\", and must be none, mean or sum");
  if (call.has("ignore_index")) options.ignore_index = call.integer("ignore_index", 0);
  if (log_probabilities.rank() < 2) fail("x of ", log_probabilities.shape(), " must be (N, C, ...)");
  return log_probabilities.nll_loss(call.x(1), call.has(2) ? call.x(2) : Tensor(), options);
}

}  // namespace

void add_losses(Ops& ops) {
  ops["NegativeLogLikelihoodLoss"] = [](Call& call) { return loss(call, call.x()); };
  ops["SoftmaxCrossEntropyLoss"] = [](Call& call) -> Outputs {
    const Tensor log_probabilities = call.x().log_softmax(1);
    return {loss(call, log_probabilities), log_probabilities};
  };
}

}  // namespace teeny::onnx
