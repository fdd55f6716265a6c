// LSTM, GRU and RNN: one layer over a sequence, in one direction or in both. Both are run at once: a step takes what
// the forward direction reads at its time and the reverse one at the same distance from the end.
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

/// A node with its inputs as a step takes them. What belongs to a direction lies along axis 0, D.
struct Layer {
  int64_t directions;
  bool reverse;                   ///< of one direction
  Tensor projected;               ///< W x + b of all steps in the order in which they are run: (T, D, B, gates * H)
  Tensor weight;                  ///< R (D, H, gates * H): as it lies in memory, rows of a vector's product are runs
  Tensor last_bias;               ///< of GRU, where it is added to the product of its last gate: (D, 1, H)
  std::vector<Tensor> peepholes;  ///< to i, o and f: (D, 1, H); or none
  Tensor running;                 ///< whether a sequence has a step: (T, D, B, 1); undefined: all have all
  State first;
  std::vector<Activation> activations;  ///< those of a direction after those of the other
  std::optional<double> clip;
  bool coupled, linear_first;  ///< input_forget, linear_before_reset

  /// The k-th activation of x (D, B, H).
  Tensor act(size_t k, const Tensor& x) const {
    const Activation& other = activations[directions == 1 ? k : k + activations.size() / 2];
    return activations[k] == other ? activations[k](x) : Tensor::stack({activations[k](x[0]), other(x[1])});
  }
  /// The same of what has been summed up for it.
  Tensor act_of_sum(size_t k, const Tensor& x) const { return act(k, clip ? x.clamp(-*clip, *clip) : x); }
  /// h times weight (D, H, N): (D, B, N).
  static Tensor product(const Tensor& h, const Tensor& weight) {
    return contract(h.unsqueeze(2), weight.transpose(1, 2).unsqueeze(1), 1);
  }
};

State lstm_step(const Layer& layer, const Tensor& projected, const State& before) {
  const Tensor &h = before[0], &c = before[1];
  // The sum in a buffer of its own leaves one kernel for the rest.
  const auto gates = (projected + Layer::product(h, layer.weight)).contiguous().chunk(4, -1);  // i, o, f, cell
  const auto gate = [&](size_t k, const Tensor& cell) {
    return layer.act_of_sum(0, layer.peepholes.empty() ? gates[k] : gates[k] + layer.peepholes[k] * cell);
  };
  const Tensor i = gate(0, c), f = layer.coupled ? 1 - i : gate(2, c);
  const Tensor next = f * c + i * layer.act_of_sum(1, gates[3]);
  return {gate(1, next) * layer.act(2, next), next};
}

State gru_step(const Layer& layer, const Tensor& projected, const State& before) {
  const Tensor& h = before[0];
  const auto of_x = projected.chunk(3, -1);  // z, r, h
  Tensor z, r, n;
  if (layer.linear_first) {
    const auto of_h = Layer::product(h, layer.weight).chunk(3, -1);
    z = layer.act_of_sum(0, of_x[0] + of_h[0]), r = layer.act_of_sum(0, of_x[1] + of_h[1]);
    n = of_x[2] + r * (layer.last_bias.defined() ? of_h[2] + layer.last_bias : of_h[2]);
  } else {
    const int64_t hidden = h.size(-1);
    const auto weights = layer.weight.split({2 * hidden, hidden}, -1);
    const auto of_h = Layer::product(h, weights[0]).chunk(2, -1);
    z = layer.act_of_sum(0, of_x[0] + of_h[0]), r = layer.act_of_sum(0, of_x[1] + of_h[1]);
    n = of_x[2] + Layer::product((r * h).contiguous(), weights[1]);
  }
  return {(1 - z) * layer.act_of_sum(1, n) + z * h};
}

State rnn_step(const Layer& layer, const Tensor& projected, const State& before) {
  return {layer.act_of_sum(0, projected + Layer::product(before[0], layer.weight))};
}

struct Kind {
  State (*step)(const Layer&, const Tensor& projected, const State& before);
  int64_t gates;
  int states;
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

/// x (T, B, I) in the order in which each direction runs: (T, D, B, ..).
Tensor in_order(const Layer& layer, const Tensor& x) {
  if (layer.directions == 2) return Tensor::stack({x, x.flip(0)}, 1);
  return (layer.reverse ? x.flip(0) : x).unsqueeze(1);
}

Layer layer_of(const Call& call, const Kind& kind) {
  Layer layer;
  const std::string direction = call.text("direction", "forward");
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional")
    fail("direction \"", direction, "\" must be forward, reverse or bidirectional");
  layer.directions = direction == "bidirectional" ? 2 : 1, layer.reverse = direction == "reverse";
  layer.activations = activations(call, layer.directions, kind.activations);
  if (call.has("clip")) layer.clip = call.real("clip", 0);
  layer.coupled = call.flag("input_forget"), layer.linear_first = call.flag("linear_before_reset");

  const Tensor &weight = call.x(1), &recurrent = call.x(2);
  if (call.x().rank() != 3 || weight.rank() != 3 || recurrent.rank() != 3)
    fail("X of ", call.x().shape(), ", W of ", weight.shape(), " and R of ", recurrent.shape(),
         " must have three axes each");
  const bool batch_first = call.flag("layout");
  const Tensor x = batch_first ? call.x().transpose(0, 1) : call.x();
  const int64_t steps = x.size(0), batch = x.size(1), hidden = recurrent.size(2), rows = kind.gates * hidden;
  const auto has = [&](int k, const char* name, const Shape& shape) {
    if (call.has(k) && call.x(k).shape() != shape) fail(name, " of ", call.x(k).shape(), "; ", shape, " wanted");
    return call.has(k);
  };
  has(1, "W", {layer.directions, rows, x.size(2)}), has(2, "R", {layer.directions, rows, hidden});
  if (steps == 0 || hidden == 0 || call.integer("hidden_size", hidden) != hidden)
    fail("X of ", x.shape(), ", R of ", recurrent.shape(), ", hidden_size ", call.integer("hidden_size", hidden));
  const bool has_bias = has(3, "B", {layer.directions, 2 * rows});
  const std::vector<Tensor> weights = call.prepared({2, 3}, [&] {
    std::vector<Tensor> all{recurrent.transpose(1, 2).contiguous()};
    if (!has_bias) return all;
    const auto parts = call.x(3).unsqueeze(1).chunk(2, -1);  // of W, of R
    if (!layer.linear_first) return all.push_back(parts[0] + parts[1]), all;
    const auto of_r = parts[1].split({rows - hidden, hidden}, -1);
    all.insert(all.end(), {parts[0] + of_r[0].pad({0, 0, 0}, {0, 0, hidden}), of_r[1]});
    return all;
  });
  layer.weight = weights[0];
  // (T, D, B, 1, I) and (1, D, 1, rows, I)
  layer.projected = contract(in_order(layer, x).unsqueeze(3), weight.unsqueeze(1).unsqueeze(0), 1);
  if (has_bias) layer.projected = layer.projected + weights[1];
  if (has_bias && layer.linear_first) layer.last_bias = weights[2];
  layer.projected = layer.projected.contiguous();
  if (has(4, "sequence_lens", {batch}) && !all_have(call, 4, steps)) {
    const Tensor step = in_order(layer, Tensor::arange(steps).reshape({steps, 1, 1}));
    layer.running = (call.x(4).reshape({batch, 1}) > step).contiguous();
  }
  for (int k = 5; k < 5 + kind.states; ++k) {
    const Shape shape{layer.directions, batch, hidden}, given{batch, layer.directions, hidden};
    if (!has(k, "an initial state", batch_first ? given : shape))
      layer.first.push_back(Tensor::zeros(shape, x.dtype()));
    else layer.first.push_back(batch_first ? call.x(k).transpose(0, 1) : call.x(k));
  }
  if (has(7, "P", {layer.directions, 3 * hidden})) layer.peepholes = call.x(7).unsqueeze(1).chunk(3, -1);
  return layer;
}

/// The outputs of all steps in one tensor. A step's kernel writes its output there as well, if both are scheduled
/// together, and a long history is scheduled in parts: so a few steps at a time are put together first.
Tensor in_memory(std::span<const Tensor> outputs) {
  constexpr size_t kTogether = 32;
  if (outputs.size() <= kTogether) return Tensor::stack(outputs);
  std::vector<Tensor> parts;
  for (size_t k = 0; k < outputs.size(); k += kTogether)
    parts.push_back(Tensor::stack(outputs.subspan(k, std::min(kTogether, outputs.size() - k))).contiguous());
  return Tensor::cat(parts);
}

Outputs recurrent(Call& call, const Kind& kind) {
  const Layer layer = layer_of(call, kind);
  State state = layer.first;
  std::vector<Tensor> outputs;
  for (int64_t s = 0; s < layer.projected.size(0); ++s) {
    State next = kind.step(layer, layer.projected[s], state);
    for (size_t k = 0; k < next.size(); ++k) {
      if (layer.running.defined()) next[k] = where(layer.running[s], next[k], state[k]);
      next[k] = next[k].contiguous();  // else each step would compute those before it again
    }
    outputs.push_back(next[0]);
    state = std::move(next);
  }
  Tensor y = in_memory(outputs);  // (T, D, B, H)
  if (layer.running.defined()) y = where(layer.running, y, 0);
  if (layer.directions == 2) y = Tensor::stack({y[{slice(), 0}], y[{slice(), 1}].flip(0)}, 1);
  else if (layer.reverse) y = y.flip(0);
  const bool batch_first = call.flag("layout");
  Outputs result(batch_first ? y.permute({2, 0, 1, 3}) : y);
  for (const Tensor& last : state) result.push_back(batch_first ? last.transpose(0, 1) : last);
  return result;
}

}  // namespace

void add_recurrent(Ops& ops) {
  const auto add = [&](const char* name, Kind kind) {
    ops[name] = [kind](Call& call) { return recurrent(call, kind); };
  };
  add("LSTM", {lstm_step, 4, 2, {"Sigmoid", "Tanh", "Tanh"}});
  add("GRU", {gru_step, 3, 1, {"Sigmoid", "Tanh"}});
  add("RNN", {rnn_step, 1, 1, {"Tanh"}});
}

}  // namespace teeny::onnx
