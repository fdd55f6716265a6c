// LSTM, GRU and RNN: one layer over a sequence, in one direction or in both. What a kernel knows is run by one (see
// functional.h). The others, and all whose gradient is asked for, are run step by step, both directions at once: a step
// takes what the forward direction reads at its time and the reverse one at the same distance from the end.
//
//   x (T, B, I) ── product with W, for all steps ── (T, D, B, gates * H) ── step 0 ── step 1 .. ── Y (T, D, B, H)
//                                                                             └── h (D, B, H), product with R
#include <algorithm>
#include <array>

#include "teeny/mlops/common.h"
#include "teeny/onnx/ops.h"

namespace teeny::onnx {

namespace {

// ---- Activations ---------------------------------------------------------------------------------------------------

struct Activation {
  std::string name;
  double alpha = 0, beta = 0;
  bool operator==(const Activation&) const = default;

  Tensor operator()(const Tensor& x) const {
    if (name == "Sigmoid") return x.sigmoid();
    if (name == "Tanh") return x.tanh();
    if (name == "Relu") return x.relu();
    if (name == "Affine") return x * alpha + beta;
    if (name == "LeakyRelu") return x.leaky_relu(alpha);
    if (name == "ThresholdedRelu") return where(x >= alpha, x, 0);
    if (name == "ScaledTanh") return (x * beta).tanh() * alpha;
    if (name == "HardSigmoid") return (x * alpha + beta).clamp(0, 1);
    if (name == "Elu") return x.elu(alpha);
    if (name == "Softsign") return x.softsign();
    if (name == "Softplus") return x.softplus();
    unsupported("the activation \"", name, '"');
  }
};

/// What the activations that have an alpha or a beta have, unless the node says it.
struct Default {
  const char* name;
  std::optional<double> alpha, beta;
};
constexpr std::array kDefaults{Default{"Affine", 1, 0},           Default{"LeakyRelu", 0.01, {}},
                               Default{"ThresholdedRelu", 1, {}}, Default{"ScaledTanh", 1, 1},
                               Default{"HardSigmoid", 0.2, 0.5},  Default{"Elu", 1, {}}};

/// Of each direction in turn. The node's lists of alphas and betas have a value for each activation that takes one.
std::vector<Activation> activations(const Call& call, int directions, const std::vector<std::string>& usual) {
  std::vector<std::string> names = call.texts("activations");
  if (names.empty())
    for (int d = 0; d < directions; ++d) names.insert(names.end(), usual.begin(), usual.end());
  if (names.size() != usual.size() * size_t(directions))
    fail(names.size(), " activations, not ", usual.size(), " for each direction");
  const auto values = [&](const char* name) {
    const Attribute* a = call.node.find(name, Attribute::Kind::Floats);
    return a ? a->floats : std::vector<float>();
  };
  const std::vector<float> alphas = values("activation_alpha"), betas = values("activation_beta");
  size_t alpha = 0, beta = 0;
  const auto next = [](const std::vector<float>& given, size_t& at, const std::optional<double>& otherwise) {
    if (!otherwise) return 0.;
    return at < given.size() ? double(given[at++]) : *otherwise;
  };
  std::vector<Activation> result;
  for (const std::string& name : names) {
    const auto found = std::ranges::find_if(kDefaults, [&](const Default& d) { return d.name == name; });
    const Default other = found == kDefaults.end() ? Default{} : *found;
    result.push_back({name, next(alphas, alpha, other.alpha), next(betas, beta, other.beta)});
  }
  return result;
}

// ---- A layer -------------------------------------------------------------------------------------------------------

using State = std::vector<Tensor>;  // h (D, B, H), and of LSTM c

/// A node with its inputs as a step takes them. What belongs to a direction lies along axis 0, D. Gates are in teeny's
/// order: i f g o of LSTM, r z n of GRU.
struct Layer {
  int64_t directions;
  bool reverse;                   ///< of one direction
  Tensor projected;               ///< W x + b of all steps: (T, D, B, gates * H); see `walks_back` for their order
  Tensor weight;                  ///< R, and below it what is added to the product: (D, H + 1, gates * H)
  std::vector<Tensor> peepholes;  ///< to i, o and f: (D, 1, H); or none
  Tensor lengths;                 ///< of the sequences (B); undefined: all have all steps
  State first;
  bool starts_at_zero = true;
  std::vector<Activation> activations;  ///< those of a direction after those of the other
  std::optional<double> clip;
  bool coupled, linear_first;                  ///< input_forget, linear_before_reset
  std::optional<tinyops::RecurrentCell> cell;  ///< of the kernel that runs all steps; none: they are run one by one

  /// Whether the kernel itself begins with the last step, where it must. Else steps are put in the order in which they
  /// are run.
  bool walks_back() const { return cell && !lengths.defined(); }
  /// The k-th activation of x (D, B, H).
  Tensor act(size_t k, const Tensor& x) const {
    const Activation& other = activations[directions == 1 ? k : k + activations.size() / 2];
    return activations[k] == other ? activations[k](x) : Tensor::stack({activations[k](x[0]), other(x[1])});
  }
  /// The same of what has been summed up for it.
  Tensor act_of_sum(size_t k, const Tensor& x) const { return act(k, clip ? x.clamp(-*clip, *clip) : x); }
  /// h times some columns of R: (D, B, columns).
  Tensor product(const Tensor& h, int64_t begin, int64_t end) const {
    const Tensor columns = weight[{slice(), slice(0, -1), slice(begin, end)}];
    return contract(h.unsqueeze(2), columns.transpose(1, 2).unsqueeze(1), 1);
  }
  Tensor product(const Tensor& h) const { return product(h, 0, weight.size(-1)); }
};

State lstm_step(const Layer& layer, const Tensor& projected, const State& before) {
  const Tensor &h = before[0], &c = before[1];
  // The sum in a buffer of its own leaves one kernel for the rest.
  const auto gates = (projected + layer.product(h)).contiguous().chunk(4, -1);
  const auto gate = [&](size_t k, size_t peephole, const Tensor& cell) {
    return layer.act_of_sum(0, layer.peepholes.empty() ? gates[k] : gates[k] + layer.peepholes[peephole] * cell);
  };
  const Tensor i = gate(0, 0, c), f = layer.coupled ? 1 - i : gate(1, 2, c);
  const Tensor next = f * c + i * layer.act_of_sum(1, gates[2]);
  return {gate(3, 1, next) * layer.act(2, next), next};
}

State gru_step(const Layer& layer, const Tensor& projected, const State& before) {
  const Tensor& h = before[0];
  const int64_t hidden = h.size(-1);
  const auto of_x = projected.chunk(3, -1);
  Tensor r, z, n;
  if (layer.linear_first) {
    const auto of_h = (layer.product(h) + layer.weight[{slice(), slice(-1, {})}]).chunk(3, -1);
    r = layer.act_of_sum(0, of_x[0] + of_h[0]), z = layer.act_of_sum(0, of_x[1] + of_h[1]);
    n = of_x[2] + r * of_h[2];
  } else {
    const auto of_h = layer.product(h, 0, 2 * hidden).chunk(2, -1);
    r = layer.act_of_sum(0, of_x[0] + of_h[0]), z = layer.act_of_sum(0, of_x[1] + of_h[1]);
    n = of_x[2] + layer.product((r * h).contiguous(), 2 * hidden, 3 * hidden);
  }
  return {(1 - z) * layer.act_of_sum(1, n) + z * h};
}

State rnn_step(const Layer& layer, const Tensor& projected, const State& before) {
  return {layer.act_of_sum(0, projected + layer.product(before[0]))};
}

struct Kind {
  State (*step)(const Layer&, const Tensor& projected, const State& before);
  tinyops::RecurrentCell cell;           ///< with these activations
  std::vector<int> gates;                ///< where ONNX has each of teeny's
  std::vector<std::string> activations;  ///< of a direction, unless the node names others
};

/// Whether all sequences are known to have all steps.
bool all_have(const Call& call, int k, int64_t steps) {
  if (!call.inputs[size_t(k)].known) return false;
  const std::vector<int64_t> lengths = call.integers(k);
  for (int64_t length : lengths)
    if (length < 0 || length > steps) fail("a sequence of ", length, " steps; X has ", steps);
  return std::ranges::count(lengths, steps) == std::ssize(lengths);
}

/// Steps (T, B, ..) from each sequence's last to its first, and what is behind it as it was.
Tensor reversed(const Tensor& x, const Tensor& lengths) {
  if (!lengths.defined()) return x.flip(0);
  const Tensor t = Tensor::arange(x.size(0)).unsqueeze(-1);
  Tensor from = where(t < lengths, lengths - 1 - t, t);
  while (from.rank() < x.rank()) from = from.unsqueeze(-1);
  return x.gather(0, from.expand(x.shape()));
}

/// x (T, B, I) in the order in which each direction runs: (T, D, B, I), or for all (T, 1, B, I). And outputs back in
/// their own.
Tensor in_order(const Layer& layer, const Tensor& x) {
  if (layer.walks_back()) return x.unsqueeze(1);
  if (layer.directions == 2) return Tensor::stack({x, reversed(x, layer.lengths)}, 1);
  return (layer.reverse ? reversed(x, layer.lengths) : x).unsqueeze(1);
}
Tensor in_own_order(const Layer& layer, const Tensor& y) {
  if (layer.walks_back()) return y;
  if (layer.directions == 2) return Tensor::stack({y[{slice(), 0}], reversed(y[{slice(), 1}], layer.lengths)}, 1);
  return layer.reverse ? reversed(y.squeeze(1), layer.lengths).unsqueeze(1) : y;
}

/// The cell that a kernel knows and the layer consists of, if there is one and nobody asks for its gradient.
std::optional<tinyops::RecurrentCell> cell_of(const Layer& layer, const Kind& kind, std::vector<Tensor> inputs) {
  using Cell = tinyops::RecurrentCell;
  const auto acts = [&](const std::vector<std::string>& names) {
    for (size_t k = 0; k < layer.activations.size(); ++k)
      if (layer.activations[k].name != names[k % names.size()]) return false;
    return true;
  };
  const bool relu = kind.cell == Cell::Tanh && acts({"Relu"});
  if (layer.clip || layer.coupled || !layer.peepholes.empty() || (!relu && !acts(kind.activations))) return {};
  if (kind.cell == Cell::Gru && !layer.linear_first) return {};  // it multiplies r * h instead
  inputs.insert(inputs.end(), layer.first.begin(), layer.first.end());
  if (!is_one_kernel(kind.cell, layer.first[0].size(-1), inputs)) return {};
  return relu ? Cell::Relu : kind.cell;
}

Layer layer_of(const Call& call, const Kind& kind) {
  Layer layer;
  const std::string direction = call.text("direction", "forward");
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional")
    fail("direction \"", direction, "\" must be forward, reverse or bidirectional");
  layer.directions = direction == "bidirectional" ? 2 : 1, layer.reverse = direction == "reverse";
  layer.activations = activations(call, layer.directions, kind.activations);
  if (call.has("clip")) layer.clip = call.real("clip", 0);
  layer.coupled = call.flag("input_forget");
  layer.linear_first = kind.cell == tinyops::RecurrentCell::Gru && call.flag("linear_before_reset");

  if (call.x().rank() != 3 || call.x(1).rank() != 3 || call.x(2).rank() != 3)
    fail("X of ", call.x().shape(), ", W of ", call.x(1).shape(), " and R of ", call.x(2).shape(),
         " must have three axes each");
  const bool batch_first = call.flag("layout");
  const Tensor x = batch_first ? call.x().transpose(0, 1) : call.x();
  const int64_t steps = x.size(0), batch = x.size(1), hidden = call.x(2).size(2);
  const int64_t gates = std::ssize(kind.gates), rows = gates * hidden;
  const auto has = [&](int k, const char* name, const Shape& shape) {
    if (call.has(k) && call.x(k).shape() != shape) fail(name, " of ", call.x(k).shape(), "; ", shape, " wanted");
    return call.has(k);
  };
  has(1, "W", {layer.directions, rows, x.size(2)}), has(2, "R", {layer.directions, rows, hidden});
  if (steps == 0 || hidden == 0 || call.integer("hidden_size", hidden) != hidden)
    fail("X of ", x.shape(), ", R of ", call.x(2).shape(), ", hidden_size ", call.integer("hidden_size", hidden));
  if (has(4, "sequence_lens", {batch}) && !all_have(call, 4, steps)) layer.lengths = call.x(4).cast(DType::Int64);

  const bool has_bias = has(3, "B", {layer.directions, 2 * rows});
  const std::vector<Tensor> weights = call.prepared({1, 2, 3}, [&] {
    const auto ordered = [&](const Tensor& x) {  // gates along axis 1
      const std::vector<Tensor> parts = x.chunk(gates, 1);
      std::vector<Tensor> all;
      for (int g : kind.gates) all.push_back(parts[size_t(g)]);
      return gates == 1 ? x : Tensor::cat(all, 1);
    };
    const Tensor r = ordered(call.x(2)).transpose(1, 2);
    Tensor of_x, of_h = Tensor::zeros({layer.directions, rows}, x.dtype());
    if (has_bias) {
      const auto parts = call.x(3).chunk(2, 1);  // of W, of R
      of_x = ordered(parts[0]), of_h = ordered(parts[1]);
      if (!layer.linear_first) of_x = of_x + of_h, of_h = of_h.zeros_like();
      else {  // that of the last gate is added before r is applied
        const auto of_gates = of_h.split({rows - hidden, hidden}, 1);
        of_x = of_x + of_gates[0].pad({0, 0}, {0, hidden}), of_h = of_gates[1].pad({0, rows - hidden}, {0, 0});
      }
    }
    std::vector<Tensor> all{ordered(call.x(1)).contiguous(), Tensor::cat({r, of_h.unsqueeze(1)}, 1).contiguous()};
    if (has_bias) all.push_back(of_x.unsqueeze(1).contiguous());
    return all;
  });
  layer.weight = weights[1];
  for (int k = 5; k < 5 + states_of(kind.cell); ++k) {
    const Shape shape{layer.directions, batch, hidden}, given{batch, layer.directions, hidden};
    if (!has(k, "an initial state", batch_first ? given : shape)) {
      layer.first.push_back(Tensor::zeros(shape, x.dtype()));
      continue;
    }
    layer.starts_at_zero = false;
    layer.first.push_back(batch_first ? call.x(k).transpose(0, 1) : call.x(k));
  }
  if (has(7, "P", {layer.directions, 3 * hidden})) layer.peepholes = call.x(7).unsqueeze(1).chunk(3, -1);

  std::vector<Tensor> inputs = weights;
  inputs.push_back(x);
  layer.cell = cell_of(layer, kind, inputs);
  // (T, D, B, 1, I) and (1, D, 1, rows, I)
  layer.projected = contract(in_order(layer, x).unsqueeze(3), weights[0].unsqueeze(1).unsqueeze(0), 1);
  if (has_bias) layer.projected = layer.projected + weights[2];
  layer.projected = layer.projected.contiguous();
  return layer;
}

// ---- In one kernel, or step by step --------------------------------------------------------------------------------

/// All outputs (T, D, B, H), and the last state.
using Run = std::pair<Tensor, State>;

Run in_one_kernel(const Layer& layer) {
  const Shape state = layer.first[0].shape();
  const int64_t hidden = state[2], forward = !layer.walks_back() ? state[0] : layer.reverse ? 0 : 1;
  const Tensor zeros = Tensor::zeros({state[0], state[1], states_of(*layer.cell) * hidden}, layer.first[0].dtype());
  const Tensor first = layer.starts_at_zero ? zeros : Tensor::cat(layer.first, -1);
  const Tensor all = recurrent_states(*layer.cell, forward, layer.projected, layer.weight, first);
  Tensor last = all[layer.walks_back() && layer.reverse ? 0 : -1];
  if (layer.walks_back() && layer.directions == 2) last = Tensor::cat({last[slice(0, 1)], all[0][slice(1)]});
  if (layer.lengths.defined()) {
    const Tensor at = (layer.lengths - 1).maximum(0).reshape({1, 1, -1, 1}).expand(all[slice(0, 1)].shape());
    last = where((layer.lengths > 0).unsqueeze(-1), all.gather(0, at).squeeze(0), first);
  }
  return {all[{ellipsis, slice(0, hidden)}], last.split(hidden, -1)};
}

Run in_steps(const Layer& layer, const Kind& kind) {
  // Outputs are put together a few at a time: a step's kernel writes its output there as well where both are scheduled
  // together, and a long history is scheduled in parts.
  constexpr size_t kTogether = 32;
  std::vector<Tensor> outputs, parts;
  State state = layer.first;
  const int64_t steps = layer.projected.size(0);
  for (int64_t s = 0; s < steps; ++s) {
    State next = kind.step(layer, layer.projected[s], state);
    for (size_t k = 0; k < next.size(); ++k) {
      if (layer.lengths.defined()) next[k] = where((layer.lengths > s).unsqueeze(-1), next[k], state[k]);
      next[k] = next[k].contiguous();  // else each step would compute those before it again
    }
    outputs.push_back(next[0]);
    state = std::move(next);
    if (outputs.size() < kTogether && s + 1 < steps) continue;
    parts.push_back(Tensor::stack(outputs).contiguous());
    outputs.clear();
  }
  return {Tensor::cat(parts), state};
}

Outputs recurrent(Call& call, const Kind& kind) {
  const Layer layer = layer_of(call, kind);
  auto [y, last] = layer.cell ? in_one_kernel(layer) : in_steps(layer, kind);
  if (layer.lengths.defined()) {
    const Tensor t = Tensor::arange(y.size(0)).reshape({-1, 1, 1, 1});
    y = where(layer.lengths.unsqueeze(-1) > t, y, 0);
  }
  y = in_own_order(layer, y);
  const bool batch_first = call.flag("layout");
  Outputs result(batch_first ? y.permute({2, 0, 1, 3}) : y);
  for (const Tensor& state : last) result.push_back(batch_first ? state.transpose(0, 1) : state);
  return result;
}

}  // namespace

void add_recurrent(Ops& ops) {
  const auto add = [&](const char* name, Kind kind) {
    ops[name] = [kind](Call& call) { return recurrent(call, kind); };
  };
  using Cell = tinyops::RecurrentCell;
  add("LSTM", {lstm_step, Cell::Lstm, {0, 2, 3, 1}, {"Sigmoid", "Tanh", "Tanh"}});  // i o f c
  add("GRU", {gru_step, Cell::Gru, {1, 0, 2}, {"Sigmoid", "Tanh"}});                // z r h
  add("RNN", {rnn_step, Cell::Tanh, {0}, {"Tanh"}});
}

}  // namespace teeny::onnx
