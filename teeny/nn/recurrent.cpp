#include "teeny/nn/recurrent.h"

#include "teeny/nn/init.h"

namespace teeny::nn {

LSTMCell::LSTMCell(int64_t in, int64_t hidden, LayerOptions layer) {
  init::check_sizes("LSTMCell", {in, hidden});
  weight_ih = init::fan_in_uniform({4 * hidden, in}, hidden);
  weight_hh = init::fan_in_uniform({4 * hidden, hidden}, hidden);
  if (!layer.bias) return;
  bias_ih = init::fan_in_uniform({4 * hidden}, hidden);
  bias_hh = init::fan_in_uniform({4 * hidden}, hidden);
}

LSTMCell::State LSTMCell::operator()(const Tensor& x, const State& before) const {
  const int64_t in = weight_ih.size(1), hidden = weight_hh.size(1);
  if (x.rank() < 1 || x.rank() > 2 || x.size(-1) != in)
    fail("LSTMCell: x of ", x.shape(), "; (N, ", in, ") or (", in, ",) wanted");
  Shape shape = x.shape();
  shape[x.rank() - 1] = hidden;
  const Tensor zeros = Tensor::zeros(shape, x.dtype());
  const Tensor h = before.h.defined() ? before.h : zeros, c = before.c.defined() ? before.c : zeros;
  if (h.shape() != shape || c.shape() != shape)
    fail("LSTMCell: a state of ", h.shape(), " and ", c.shape(), " for x of ", x.shape(), "; ", shape, " wanted");

  const auto gates = (x.linear(weight_ih, bias_ih) + h.linear(weight_hh, bias_hh)).chunk(4, -1);
  const Tensor i = gates[0].sigmoid(), f = gates[1].sigmoid(), g = gates[2].tanh(), o = gates[3].sigmoid();
  const Tensor cell = f * c + i * g;
  return {o * cell.tanh(), cell};
}

}  // namespace teeny::nn
