#pragma once
// Layers that are applied to a sequence one step after the other: cells, which take one step, and layers of them, which
// take a sequence. All parameters start uniform in ±1/sqrt(hidden), as in PyTorch.
#include "teeny/nn/layers.h"

namespace teeny::nn {

/// The parameters of a cell whose product has `gates` blocks of `hidden` columns.
struct RecurrentCell {
  Tensor weight_ih, weight_hh;  ///< (gates * hidden, in) and (gates * hidden, hidden or projection)
  Tensor bias_ih, bias_hh;      ///< (gates * hidden), or undefined
  Tensor weight_hr;             ///< of an LSTM with a projection: (projection, hidden)
  TEENY_STATE(weight_ih, weight_hh, bias_ih, bias_hh, weight_hr)
  /// W_ih x + b_ih + b_hh
  Tensor project(const Tensor& x) const { return x.linear(weight_ih, bias_ih.defined() ? bias_ih + bias_hh : bias_ih); }

 protected:
  RecurrentCell(const char* name, int64_t gates, int64_t in, int64_t hidden, LayerOptions layer,
                int64_t projection = 0);
};

/// What a cell hands on from step to step, as a list: its output, and what else there is.
using RecurrentState = std::vector<Tensor>;

/// One step of a long short-term memory. Hochreiter, Schmidhuber: "Long short-term memory", 1997; the forget gate is
/// Gers et al., 2000. With x (N, in), h and c (N, hidden):
///
///   i, f, g, o = the four quarters of  W_ih x + b_ih + W_hh h + b_hh      (N, 4 * hidden)
///   c = sigmoid(f) * c + sigmoid(i) * tanh(g)                             the cell's state
///   h = sigmoid(o) * tanh(c)                                              the output
struct LSTMCell : RecurrentCell {
  struct State {
    Tensor h, c;  ///< undefined: zeros
  };
  LSTMCell(int64_t in, int64_t hidden, LayerOptions layer = {}) : RecurrentCell("LSTMCell", 4, in, hidden, layer) {}
  LSTMCell(int64_t in, int64_t hidden, std::same_as<bool> auto bias) : LSTMCell(in, hidden, LayerOptions{bias}) {}
  /// With a projection W_hr the output is W_hr h, which the next step and the next layer read: Sak, Senior, Beaufays,
  /// "Long short-term memory based recurrent neural network architectures", 2014. W_hh is as narrow.
  LSTMCell(int64_t in, int64_t hidden, int64_t projection, LayerOptions layer)
      : RecurrentCell("LSTMCell", 4, in, hidden, layer, projection) {}
  /// The state after x, from the one before it. Without a batch, x (in) and h, c (hidden).
  State operator()(const Tensor& x, const State& before = {}) const;

  // For LSTM: its name, and a step from the sum of W_ih x and the biases that can be added before the product with h.
  static constexpr const char* kName = "LSTM";
  static RecurrentState list(const State& state) { return {state.h, state.c}; }
  static State state(const RecurrentState& list) { return {list[0], list[1]}; }
  RecurrentState step(const Tensor& projected, const RecurrentState& before) const;
};

/// One step of a gated recurrent unit. Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014,
/// with the reset gate behind the product, as in PyTorch:
///
///   r = sigmoid(W_ir x + b_ir + W_hr h + b_hr),  z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
///   n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
///   h = (1 - z) * n + z * h
struct GRUCell : RecurrentCell {
  using State = Tensor;
  GRUCell(int64_t in, int64_t hidden, LayerOptions layer = {}) : RecurrentCell("GRUCell", 3, in, hidden, layer) {}
  GRUCell(int64_t in, int64_t hidden, std::same_as<bool> auto bias) : GRUCell(in, hidden, LayerOptions{bias}) {}
  Tensor operator()(const Tensor& x, const Tensor& h = {}) const;  ///< the new h; an undefined one is zeros

  Tensor project(const Tensor& x) const { return x.linear(weight_ih, bias_ih); }  ///< W_ih x + b_ih
  static constexpr const char* kName = "GRU";
  static RecurrentState list(const State& h) { return {h}; }
  static State state(const RecurrentState& list) { return list[0]; }
  RecurrentState step(const Tensor& projected, const RecurrentState& before) const;
};

/// h = tanh(W_ih x + b_ih + W_hh h + b_hh), or with relu. Elman, "Finding structure in time", 1990.
struct RNNCell : RecurrentCell {
  using State = Tensor;
  RNNCell(int64_t in, int64_t hidden, LayerOptions layer = {}, bool relu = false)
      : RecurrentCell("RNNCell", 1, in, hidden, layer), relu(relu) {}
  RNNCell(int64_t in, int64_t hidden, std::same_as<bool> auto bias, bool relu = false)
      : RNNCell(in, hidden, LayerOptions{bias}, relu) {}
  Tensor operator()(const Tensor& x, const Tensor& h = {}) const;  ///< the new h; an undefined one is zeros

  bool relu;

  static constexpr const char* kName = "RNN";
  static RecurrentState list(const State& h) { return {h}; }
  static State state(const RecurrentState& list) { return list[0]; }
  RecurrentState step(const Tensor& projected, const RecurrentState& before) const;
};

struct RecurrentOptions {
  int64_t layers = 1;
  bool bias = true;
  bool batch_first = false;  ///< x and y are (N, T, ..) instead of (T, N, ..); the states are not
  double dropout = 0;        ///< between two layers, while training
  bool bidirectional = false;
  bool relu = false;       ///< of RNN: relu instead of tanh
  int64_t projection = 0;  ///< of LSTM: the size of its output (PyTorch: proj_size); 0: that of its state
};

/// Layers of a cell over a sequence x (T, N, in), or (T, in) without a batch; each layer reads what the one below it
/// gave. With D = 2 directions, the second one reads each sequence from its end, and the outputs of the two lie side by
/// side. Names in a state dictionary are PyTorch's: weight_ih_l0, bias_hh_l1_reverse. All steps of W_ih x are one
/// product; then a step is a product with W_hh and one kernel. Where no gradient is asked for, W_hh is small and all
/// sequences are as long, all steps are one kernel.
///
/// `lengths` (N), int64, are for sequences that end before T: behind its end y is 0, and the state is that of its last
/// step. PyTorch packs such sequences. They are read, and an Error where they are not in [1, T], except inside a Jit's
/// call.
template <class Cell>
struct Recurrent {
  using State = typename Cell::State;
  struct Output {
    Tensor y;     ///< (T, N, D * hidden), or D * projection: of the last layer
    State state;  ///< after the last step, (layers * D, N, hidden): of an LSTM h and c, of the others h
  };
  Recurrent(int64_t in, int64_t hidden, const RecurrentOptions& options = {});
  Output operator()(const Tensor& x, const State& before = {}, const Tensor& lengths = {}) const;  ///< undefined: zeros

  RecurrentOptions options;
  int64_t in, hidden;
  std::vector<Cell> cells;  ///< D of each layer
  StateDict teeny_state() const;
};
using LSTM = Recurrent<LSTMCell>;
using GRU = Recurrent<GRUCell>;
using RNN = Recurrent<RNNCell>;

}  // namespace teeny::nn
