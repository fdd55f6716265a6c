// Recurrent layers: one node a layer, of one direction or both.
#include "teeny/functional/functional.h"
#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

namespace {

/// What nn/recurrent.cpp traces of a layer: x, lengths, h and c; then of each direction weight_ih, weight_hh, bias_ih
/// and bias_hh.
enum : int { kX, kLengths, kH, kC, kWeights, kEach = 4 };

/// Blocks of rows, one a gate, in ONNX's order.
Tensor reordered(const Tensor& x, const std::vector<int>& order) {
  const std::vector<Tensor> gates = x.chunk(int64_t(order.size()));
  std::vector<Tensor> result;
  for (int gate : order) result.push_back(gates[size_t(gate)]);
  return Tensor::cat(result);
}

Names recurrent(SavedCall& call) {
  const std::string& op = call.op();
  // teeny: LSTM i f g o, GRU r z n; ONNX: i o f c, z r h.
  const std::vector<int> order = op == "LSTM"  ? std::vector<int>{0, 3, 1, 2}
                                 : op == "GRU" ? std::vector<int>{1, 0, 2}
                                               : std::vector<int>{0};
  const int directions = (call.count() - kWeights) / kEach;
  const DType type = call.dtype();
  const auto weight = [&](int k) {
    if (!call.is_known(k)) call.refuse("a weight is computed, and would have to be put in ONNX's order while it runs");
    return reordered(call.constant(k), order).cast(type);
  };
  std::vector<Tensor> w, r, b;
  for (int d = 0; d < directions; ++d) {
    const int first = kWeights + d * kEach;
    w.push_back(weight(first)), r.push_back(weight(first + 1));
    if (call.has(first + 2)) b.push_back(Tensor::cat({weight(first + 2), weight(first + 3)}));
  }
  std::vector<Name> inputs{call.x(kX), call.constant(Tensor::stack(w), "W"), call.constant(Tensor::stack(r), "R"),
                           b.empty() ? Name() : call.constant(Tensor::stack(b), "B")};
  inputs.push_back(call.has(kLengths) ? call.x(kLengths, DType::Int32) : Name());
  inputs.push_back(call.has(kH) ? call.x(kH, type) : Name());
  if (op == "LSTM") inputs.push_back(call.has(kC) ? call.x(kC, type) : Name());

  NodeAttributes attributes{{"hidden_size", call.integer("hidden")}};
  if (directions == 2) attributes.emplace_back("direction", "bidirectional");
  if (op == "GRU") attributes.emplace_back("linear_before_reset", 1);
  if (call.flag("relu")) attributes.emplace_back("activations", std::vector<std::string>(size_t(directions), "Relu"));
  Names made = call.nodes(op, inputs, attributes, op == "LSTM" ? 3 : 2);
  if (!call.wants(0)) return made;
  // (T, D, N, H) to (T, N, D * H)
  if (directions == 1) {
    made[0] = call.squeeze(made[0], {1});
  } else {
    const Ints to = call.result_shape(), half{to[0], to[1], Int(directions), call.integer("hidden")};
    made[0] = call.reshape(call.transpose(made[0], {0, 2, 1, 3}), half, to);
  }
  return made;
}

}  // namespace

void add_save_recurrent(SaveOps& ops) {
  ops["LSTM"] = ops["GRU"] = ops["RNN"] = recurrent;
  ops["recurrent_states"] = [](SavedCall& call) -> Names {
    call.refuse("it is a layer that was read from a file of ONNX: that file has it");
  };
}

}  // namespace teeny::onnx
