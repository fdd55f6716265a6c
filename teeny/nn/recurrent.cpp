#include "teeny/nn/recurrent.h"

#include <algorithm>

#include "teeny/functional/functional.h"
#include "teeny/nn/init.h"
#include "teeny/tensor/recorder.h"
#include "teeny/tensor/traced.h"

namespace teeny::nn {

// ---- Cells ---------------------------------------------------------------------------------------------------------

RecurrentCell::RecurrentCell(const char* name, int64_t gates, int64_t in, int64_t hidden, LayerOptions layer,
                             int64_t projection) {
  init::check_sizes(name, {in, hidden, projection});
  weight_ih = init::fan_in_uniform(name, {gates * hidden, in}, hidden);
  weight_hh = init::fan_in_uniform(name, {gates * hidden, projection > 0 ? projection : hidden}, hidden);
  if (projection > 0) weight_hr = init::fan_in_uniform(name, {projection, hidden}, hidden);
  if (!layer.bias) return;
  bias_ih = init::fan_in_uniform(name, {gates * hidden}, hidden);
  bias_hh = init::fan_in_uniform(name, {gates * hidden}, hidden);
}

namespace {

/// The tensors of `state`, zeros where they are undefined. Throws, naming `op`, where they do not have the shape (..,
/// hidden), or (.., projection) the output.
template <class Cell>
RecurrentState with_zeros(const char* op, const Cell& cell, const Tensor& x, Shape shape, const RecurrentState& state) {
  RecurrentState result;
  for (const Tensor& part : state) {
    const bool is_output = result.empty() || !cell.weight_hr.defined();
    shape[shape.size() - 1] = (is_output ? cell.weight_hh : cell.weight_hr).size(1);
    result.push_back(part.defined() ? part : Tensor::zeros(shape, x.dtype()));
    if (result.back().shape() != shape)
      fail(op, ": a state of ", part.shape(), " for x of ", x.shape(), "; ", shape, " wanted");
  }
  return result;
}

template <class Cell>
typename Cell::State one_step(const char* op, const Cell& cell, const Tensor& x, const typename Cell::State& before) {
  const int64_t in = cell.weight_ih.size(1);
  if (x.lazy(op).shape().empty() || x.rank() > 2 || x.size(-1) != in)
    fail(op, ": x of ", x.shape(), "; (N, ", in, ") or (", in, ",) wanted");
  const RecurrentState state = with_zeros(op, cell, x, x.shape(), Cell::list(before));
  return detail::called(op, cell, x, [&] { return Cell::state(cell.step(cell.project(x), state)); });
}

}  // namespace

LSTMCell::State LSTMCell::operator()(const Tensor& x, const State& before) const {
  return one_step("LSTMCell", *this, x, before);
}
RecurrentState LSTMCell::step(const Tensor& projected, const RecurrentState& before) const {
  // The sum in a buffer of its own leaves one kernel for the rest.
  const auto gates = (projected + before[0].linear(weight_hh)).contiguous().chunk(4, -1);
  const Tensor i = gates[0].sigmoid(), f = gates[1].sigmoid(), g = gates[2].tanh(), o = gates[3].sigmoid();
  const Tensor c = f * before[1] + i * g, h = o * c.tanh();
  return {weight_hr.defined() ? h.linear(weight_hr) : h, c};
}

Tensor GRUCell::operator()(const Tensor& x, const Tensor& h) const { return one_step("GRUCell", *this, x, h); }
RecurrentState GRUCell::step(const Tensor& projected, const RecurrentState& before) const {
  const auto of_x = projected.chunk(3, -1), of_h = before[0].linear(weight_hh, bias_hh).chunk(3, -1);
  const Tensor r = (of_x[0] + of_h[0]).sigmoid(), z = (of_x[1] + of_h[1]).sigmoid();
  const Tensor n = (of_x[2] + r * of_h[2]).tanh();
  return {(1 - z) * n + z * before[0]};
}

Tensor RNNCell::operator()(const Tensor& x, const Tensor& h) const { return one_step("RNNCell", *this, x, h); }
RecurrentState RNNCell::step(const Tensor& projected, const RecurrentState& before) const {
  const Tensor sum = projected + before[0].linear(weight_hh);
  return {relu ? sum.relu() : sum.tanh()};
}

// ---- Layers --------------------------------------------------------------------------------------------------------

template <class Cell>
Recurrent<Cell>::Recurrent(int64_t in, int64_t hidden, const RecurrentOptions& options)
    : options(options), in(in), hidden(hidden) {
  constexpr bool is_rnn = std::same_as<Cell, RNNCell>, is_lstm = std::same_as<Cell, LSTMCell>;
  const char* name = Cell::kName;
  init::check_sizes(name, {in, hidden});
  if (hidden == 0) fail(name, ": a hidden size of 0; 1 is the least");
  if (options.layers < 1) fail(name, ": ", options.layers, " layers; 1 is the least");
  if (!(options.dropout >= 0 && options.dropout <= 1))
    fail(name, ": a dropout probability of ", options.dropout, "; 0 <= p <= 1");
  if (options.relu && !is_rnn) fail(name, ": relu is an option of RNN alone");
  if (options.projection != 0 && !is_lstm) fail(name, ": projection is an option of LSTM alone");
  if (options.projection < 0 || options.projection >= hidden)
    fail(name, ": a projection of ", options.projection, "; 0 <= projection < ", hidden, ", the hidden size");
  const int64_t directions = options.bidirectional ? 2 : 1;
  for (int64_t cell = 0; cell < options.layers * directions; ++cell) {
    const int64_t output = options.projection > 0 ? options.projection : hidden;
    const int64_t size = cell < directions ? in : output * directions;
    if constexpr (is_rnn) cells.emplace_back(size, hidden, LayerOptions{options.bias}, options.relu);
    else if constexpr (is_lstm) cells.emplace_back(size, hidden, options.projection, LayerOptions{options.bias});
    else cells.emplace_back(size, hidden, LayerOptions{options.bias});
  }
}

template <class Cell>
StateDict Recurrent<Cell>::teeny_state() const {
  StateDict state;
  const size_t directions = options.bidirectional ? 2 : 1;
  for (size_t i = 0; i < cells.size(); ++i)
    for (const auto& [name, tensor] : state_dict(cells[i]))
      state.emplace_back(text(name, "_l", i / directions, i % directions ? "_reverse" : ""), tensor);
  return state;
}

namespace {

void check_lengths(const char* name, const Tensor& x, const Tensor& lengths) {
  const int64_t steps = x.size(0), batch = x.size(1);
  if (lengths.shape() != Shape{batch} || !is_int(lengths.dtype()))
    fail(name, ": lengths ", lengths.shape(), " of ", lengths.dtype(), "; one integer for each of ", batch,
         " sequences wanted");
  if (context.recorder || context.tracing) return;  // nothing may be read there
  for (int64_t length : lengths.to_vector<int64_t>())
    if (length < 1 || length > steps) fail(name, ": a length of ", length, "; 1 <= length <= ", steps, " steps of x");
}

/// A cell over x (T, N, in), forwards or from the end. Returns all outputs (T, N, hidden) and the last state.
template <class Cell>
std::pair<Tensor, RecurrentState> all_steps(const Cell& cell, const Tensor& x, RecurrentState state,
                                            const Tensor& lengths, bool reverse) {
  const int64_t steps = x.size(0);
  const Tensor projected = cell.project(x).contiguous();
  std::vector<Tensor> y(static_cast<size_t>(steps));
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t t = reverse ? steps - 1 - i : i;
    RecurrentState next = cell.step(projected[t], state);
    for (size_t s = 0; s < state.size(); ++s) {
      if (lengths.defined()) next[s] = where((lengths > t).unsqueeze(-1), next[s], state[s]);
      next[s] = next[s].contiguous();  // else each step would compute the parts of the steps before it again
    }
    y[size_t(t)] = next[0];
    state = std::move(next);
  }
  const Tensor all = Tensor::stack(y);
  if (!lengths.defined()) return {all, state};
  return {where((lengths > Tensor::arange(steps).unsqueeze(-1)).unsqueeze(-1), all, 0), state};
}

bool uses_relu(const RNNCell& cell) { return cell.relu; }
bool uses_relu(const RecurrentCell&) { return false; }

/// What a trace keeps of a layer: x, the lengths, an h and a c, and the weights of each direction. States of zeros are
/// not among them: they are what there is without any.
template <class Cell>
std::vector<Tensor> operands(std::span<const Cell> cells, const Tensor& x, const RecurrentState& first, bool zeros,
                             const Tensor& lengths) {
  std::vector<Tensor> result{x, lengths};
  for (size_t s = 0; s < 2; ++s) result.push_back(zeros || s >= first.size() ? Tensor() : first[s]);
  for (const Cell& cell : cells)
    for (const Tensor& weight : {cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh}) result.push_back(weight);
  return result;
}

tinyops::RecurrentCell kind_of(const LSTMCell&) { return tinyops::RecurrentCell::Lstm; }
tinyops::RecurrentCell kind_of(const GRUCell&) { return tinyops::RecurrentCell::Gru; }
tinyops::RecurrentCell kind_of(const RNNCell& cell) {
  return cell.relu ? tinyops::RecurrentCell::Relu : tinyops::RecurrentCell::Tanh;
}

/// `one_layer` as one kernel, where there is one for it and nobody asks for a gradient. Empty where not.
template <class Cell>
std::vector<Tensor> one_kernel(std::span<const Cell> cells, const Tensor& x, const RecurrentState& first,
                               const Tensor& lengths) {
  const tinyops::RecurrentCell kind = kind_of(cells[0]);
  const int64_t hidden = cells[0].weight_hh.size(1), steps = x.size(0), batch = x.size(1);
  std::vector<Tensor> inputs = first;
  inputs.push_back(x);
  for (const Cell& cell : cells)
    for (const Tensor& w : {cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh})
      if (w.defined()) inputs.push_back(w);
  if (lengths.defined() || cells[0].weight_hr.defined() || !is_one_kernel(kind, hidden, inputs)) return {};

  std::vector<Tensor> projected, weights;
  for (const Cell& cell : cells) {
    const bool in_step = kind == tinyops::RecurrentCell::Gru && cell.bias_hh.defined();  // else it is in `project`
    const Tensor bias = in_step ? cell.bias_hh : Tensor::zeros({cell.weight_hh.size(0)}, x.dtype());
    projected.push_back(cell.project(x));
    weights.push_back(Tensor::cat({cell.weight_hh.t(), bias.unsqueeze(0)}));
  }
  const Tensor all =  // (T, D, N, states * hidden); the second direction ends at the first step
      recurrent_states(kind, 1, Tensor::stack(projected, 1), Tensor::stack(weights), Tensor::cat(first, -1));
  std::vector<Tensor> ends{all[-1][slice(0, 1)]};
  if (cells.size() == 2) ends.push_back(all[0][slice(1)]);
  const Tensor y = all[{ellipsis, slice(0, hidden)}].transpose(1, 2);
  std::vector<Tensor> result{y.reshape({steps, batch, int64_t(cells.size()) * hidden})};
  for (const Tensor& part : Tensor::cat(ends).split(hidden, -1)) result.push_back(part);
  return result;
}

/// A layer: a cell for each direction, whose states lie one after the other in `first` (D, N, hidden), an h and what
/// else there is. Returns all outputs (T, N, D * hidden), and the last states as the first ones. `zeros`: they are.
template <class Cell>
std::vector<Tensor> one_layer(std::span<const Cell> cells, const Tensor& x, const RecurrentState& first, bool zeros,
                              const Tensor& lengths) {
  if (!cells[0].weight_hr.defined())
    TEENY_TRACED_AS(Cell::kName, one_layer(cells, x, first, zeros, lengths), operands(cells, x, first, zeros, lengths),
                    {{"hidden", cells[0].weight_hh.size(1)}, {"relu", uses_relu(cells[0])}});
  if (auto result = one_kernel(cells, x, first, lengths); !result.empty()) return result;
  std::vector<Tensor> outputs;
  std::vector<std::vector<Tensor>> last(first.size());  // of each part of the state, cell after cell
  for (size_t cell = 0; cell < cells.size(); ++cell) {
    RecurrentState state;
    for (const Tensor& part : first) state.push_back(part[int64_t(cell)]);
    const auto [output, end] = all_steps(cells[cell], x, state, lengths, cell > 0);
    outputs.push_back(output);
    for (size_t s = 0; s < end.size(); ++s) last[s].push_back(end[s]);
  }
  std::vector<Tensor> result{cells.size() == 1 ? outputs[0] : Tensor::cat(outputs, -1)};
  for (const std::vector<Tensor>& part : last) result.push_back(Tensor::stack(part));
  return result;
}

}  // namespace

template <class Cell>
typename Recurrent<Cell>::Output Recurrent<Cell>::operator()(const Tensor& x, const State& before,
                                                             const Tensor& lengths) const {
  const char* name = Cell::kName;
  const bool batched = x.lazy(name).shape().size() == 3, batch_first = options.batch_first && batched;
  if (x.rank() < 2 || x.rank() > 3 || x.size(-1) != in)
    fail(name, ": x of ", x.shape(), "; (", batch_first ? "N, T, " : "T, N, ", in, ") or (T, ", in, ") wanted");
  if (x.size(batch_first ? 1 : 0) == 0) fail(name, ": x of ", x.shape(), " has no steps");
  if (lengths.defined() && !batched) fail(name, ": lengths for x of ", x.shape(), ", which has no batch");

  const Tensor sequence = batch_first ? x.transpose(0, 1) : batched ? x : x.unsqueeze(1);
  if (lengths.defined()) check_lengths(name, sequence, lengths);
  Shape shape = {int64_t(cells.size()), sequence.size(1), hidden};
  if (!batched) shape = {int64_t(cells.size()), hidden};
  RecurrentState first = with_zeros(name, cells[0], x, shape, Cell::list(before));
  if (!batched)
    for (Tensor& part : first) part = part.unsqueeze(1);

  return detail::called(name, *this, x, [&] {
    const size_t directions = options.bidirectional ? 2 : 1;
    Tensor y = sequence;
    std::vector<std::vector<Tensor>> last(first.size());  // of each part of the state, layer after layer
    const RecurrentState given = Cell::list(before);
    const bool zeros = std::ranges::none_of(given, [](const Tensor& part) { return part.defined(); });
    for (size_t layer = 0; layer < cells.size(); layer += directions) {
      if (layer > 0) y = y.dropout(options.dropout);
      RecurrentState state;
      for (const Tensor& part : first) state.push_back(part[slice(int64_t(layer), int64_t(layer + directions))]);
      const auto results = one_layer(std::span(cells).subspan(layer, directions), y, state, zeros, lengths);
      y = results[0];
      for (size_t s = 0; s < last.size(); ++s) last[s].push_back(results[s + 1]);
    }
    RecurrentState state;
    for (const std::vector<Tensor>& part : last) {
      const Tensor all = Tensor::cat(part);
      state.push_back(batched ? all : all.squeeze(1));
    }
    if (batch_first) y = y.transpose(0, 1);
    return Output{batched ? y : y.squeeze(1), Cell::state(state)};
  });
}

template struct Recurrent<LSTMCell>;
template struct Recurrent<GRUCell>;
template struct Recurrent<RNNCell>;

}  // namespace teeny::nn
