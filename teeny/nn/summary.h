#pragma once
// A table of a model's layers in the order in which an input passes them:
//
//   nn::summary(model, Tensor::zeros({1, 1, 28, 28}));
//
//   layer               output            parameters  multiply-adds
//   c1    Conv2d        (1, 8, 24, 24)           208        115,200
//         MaxPool2d     (1, 8, 12, 12)             0              0
//   head  Linear        (1, 10)               11,530         11,520
//   total                                     11,738        126,720
#include <iostream>
#include <set>

#include "teeny/nn/called.h"

namespace teeny::nn {

namespace detail {

/// Hears of the layers that are called, and counts their products.
class Summary final : public CallObserver {
 public:
  explicit Summary(StateDict state);
  void enter(const Tensor& x) override;
  void leave(const char* name, const StateDict& state, const Tensor& y) override;
  void finish(const Tensor& y);  ///< of the whole model

  /// As a table, or, where that is wider than `width` columns, a few lines for each layer. 0: as wide as it is.
  std::string to_string(int width) const;

 private:
  struct Row {
    std::string name, type, output;
    int64_t parameters = 0, multiply_adds = 0;
  };
  int64_t take_multiply_adds(const Tensor& x);
  int64_t take_parameters(const StateDict& state);

  StateDict state_;  ///< of the model, with the names that the rows have
  std::vector<Row> rows_;
  std::vector<int64_t> inside_ = {
      0};  ///< multiply-adds of the calls that have not ended, from the outermost: the model's own
  std::set<const void*> counted_;  ///< tensors, and nodes of the graph
  std::vector<Tensor> kept_;       ///< so that no address is used again
};

/// The columns of the terminal that standard output is; 0 if it is none.
int terminal_width();

}  // namespace detail

/// The table that `summary` prints, for a terminal `width` columns wide (0: any width).
template <class Model, class... Inputs>
std::string summary_text(int width, Model&& model, const Inputs&... inputs) {
  const NoGrad no_grad;
  const Training evaluating(false);
  StateDict state;
  if constexpr (holds_state<std::decay_t<Model>>()) state = state_dict(model);  // a lambda has none
  detail::Summary table(std::move(state));
  struct Watching {
    detail::CallObserver* before;
    ~Watching() { detail::call_observer = before; }
  } watching{std::exchange(detail::call_observer, &table)};
  table.finish(detail::main_output(model(inputs...)));
  return table.to_string(width);
}

/// Prints the layers of nn:: that model(inputs...) calls, in that order: their name in the state dictionary, type,
/// shape of the output, parameters and multiply-adds (of products and convolutions; the batch counts). Of layers inside
/// a layer each thing is counted once, for the innermost; products and parameters that belong to no layer are a row of
/// their own. The model is called as for evaluation, and nothing is computed unless it reads a value: a large model
/// costs no more than a small one.
template <class Model, class... Inputs>
void summary(Model&& model, const Inputs&... inputs) {
  std::cout << summary_text(detail::terminal_width(), model, inputs...) << std::flush;
}

}  // namespace teeny::nn
