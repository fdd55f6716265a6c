#pragma once
// Recurrent layers: the kernel that runs all steps of them, and their cells, what a step makes of an element of the
// state.
//
// With x, an element of what the layer's input gives each gate, and s, one of what h gives it:
//
//   Tanh, Relu   h = tanh(x + s), max(x + s, 0)                      Elman, Finding structure in time, 1990
//   Gru          r, z = sigmoid(x + s)       n = tanh(x + r * s)     Cho et al., Learning phrase representations using
//                h = (1 - z) * n + z * h                             RNN encoder-decoder, 2014, as cuDNN has it
//   Lstm         i, f, o = sigmoid(x + s)    g = tanh(x + s)         Hochreiter, Schmidhuber, Long short-term memory,
//                c = f * c + i * g           h = o * tanh(c)         1997, with the gate f of Gers et al., 2000
//
// Gates lie in the order r z n, and i f g o.
#include <array>
#include <string_view>

#include "tinyops/base/scalar_ops.h"
#include "tinyops/base/shape.h"

namespace tinyops {

enum class RecurrentCell { Tanh, Relu, Gru, Lstm };

/// What a GPU's shared memory holds twice: a state has at most so many elements.
inline constexpr int64_t kMaxHidden = 512;

TINYOPS_HD constexpr int gates_of(RecurrentCell cell) {
  return cell == RecurrentCell::Lstm ? 4 : cell == RecurrentCell::Gru ? 3 : 1;
}
TINYOPS_HD constexpr int states_of(RecurrentCell cell) { return cell == RecurrentCell::Lstm ? 2 : 1; }

/// An element of the state, h and c, after a step, from those of `x` and `s` for each gate.
template <class T>
TINYOPS_HD void step_cell(RecurrentCell cell, const T* x, const T* s, T& h, T& c) {
  const auto sigmoid = [](T v) { return apply(UnaryOp::Sigmoid, v); };
  const auto tanh = [](T v) { return apply(UnaryOp::Tanh, v); };
  switch (cell) {
    case RecurrentCell::Tanh: h = tanh(x[0] + s[0]); break;
    case RecurrentCell::Relu: h = apply(BinaryOp::Max, x[0] + s[0], T(0)); break;
    case RecurrentCell::Gru: {
      const T r = sigmoid(x[0] + s[0]), z = sigmoid(x[1] + s[1]), n = tanh(x[2] + r * s[2]);
      h = (1 - z) * n + z * h;
      break;
    }
    case RecurrentCell::Lstm:
      c = sigmoid(x[1] + s[1]) * c + sigmoid(x[0] + s[0]) * tanh(x[2] + s[2]);
      h = sigmoid(x[3] + s[3]) * tanh(c);
  }
}

/// All steps of D layers side by side: out[t] is the state after the step that reads in[t], `first` the one before all
/// steps. A state is h and, of an LSTM, behind it c. All operands are contiguous, of float32 or float64.
struct RecurrentKernel {
  RecurrentCell cell = RecurrentCell::Tanh;
  int64_t forward = 0;  ///< so many layers, the first ones, walk from in[0] to in[T - 1], and the others back
  Operand in = {};      ///< (T, D, B, gates * H): the product with the layer's input
  Operand weight = {};  ///< (D, H + 1, gates * H): of the product with h and a 1
  Operand first = {};   ///< (D, B, states * H)
  Operand out = {};     ///< (T, D, B, states * H)
  static constexpr std::string_view kind = "Recurrent";
  static constexpr std::array reads{&RecurrentKernel::in, &RecurrentKernel::weight, &RecurrentKernel::first};

  int64_t hidden() const { return weight.view.shape[1] - 1; }
};

}  // namespace tinyops
