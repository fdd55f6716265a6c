#pragma once
// Layers that are applied to a sequence one step after the other.
#include "teeny/nn/layers.h"

namespace teeny::nn {

/// One step of a long short-term memory. Hochreiter, Schmidhuber: "Long short-term memory", 1997; the forget gate is
/// Gers et al., 2000. With x (N, in), h and c (N, hidden):
///
///   i, f, g, o = the four quarters of  W_ih x + b_ih + W_hh h + b_hh      (N, 4 * hidden)
///   c = sigmoid(f) * c + sigmoid(i) * tanh(g)                             the cell's state
///   h = sigmoid(o) * tanh(c)                                              the output
///
/// All parameters start uniform in ±1/sqrt(hidden), as in PyTorch.
struct LSTMCell {
  struct State {
    Tensor h, c;  ///< undefined: zeros
  };
  LSTMCell(int64_t in, int64_t hidden, LayerOptions layer = {});
  /// The state after x, from the one before it. Without a batch, x (in) and h, c (hidden).
  State operator()(const Tensor& x, const State& before = {}) const;

  Tensor weight_ih, weight_hh;  ///< (4 * hidden, in) and (4 * hidden, hidden)
  Tensor bias_ih, bias_hh;      ///< (4 * hidden)
  TEENY_STATE(weight_ih, weight_hh, bias_ih, bias_hh)
};

}  // namespace teeny::nn
