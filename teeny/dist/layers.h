#pragma once
// A linear layer, cut in two ways. One of each makes a perceptron, or an attention, with a single all_reduce on the way
// forward and a single one back. Shoeybi et al., "Megatron-LM", 2019.
//
//   x ──► ColumnLinear: W[mine, :] ──► gelu ──► RowLinear: W[:, mine] ──► all_reduce ──► y
//
// Each rank draws the whole weight and keeps its part, so that the layers together are the one that a single rank would
// have: as long as all draw from the same stream (Tensor::manual_seed). A model of such layers is a replica, as one
// rank's is: its input is the same on all of its ranks, and gradients are averaged with the ranks of other replicas.
// Among all ranks broadcast and average_gradients would mix different parts, which nobody would notice:
//
//   const dist::Group model = dist::Group().split(dist::rank() / 2), replicas = dist::Group().split(dist::rank() % 2);
//   dist::broadcast(nn::state_dict(net), replicas);               whose layers are made with `model`
//   dist::average_gradients(adam.parameters(), {.among = replicas});
#include <span>

#include "teeny/dist/collectives.h"

namespace teeny::dist {

/// y[mine] = x W[mine, :]^T + b[mine]. x (.., in), the same on all ranks, weight (out / ranks, in): (.., out / ranks).
struct ColumnLinear {
  ColumnLinear(int64_t in, int64_t out, nn::LayerOptions layer = {}, const Group& among = {});
  Tensor operator()(const Tensor& x) const;

  Group among;
  Tensor weight, bias;
  TEENY_STATE(weight, bias)
};

/// y = sum over the ranks of x[mine] W[:, mine]^T, + b. x (.., in / ranks), weight (out, in / ranks): (.., out), and
/// it and the bias are the same on all ranks.
struct RowLinear {
  RowLinear(int64_t in, int64_t out, nn::LayerOptions layer = {}, const Group& among = {});
  Tensor operator()(const Tensor& x) const;

  Group among;
  Tensor weight, bias;
  TEENY_STATE(weight, bias)
};

/// Between the state of a model of parts and that of the whole model, with the same names: where two shapes differ
/// along one axis, the ranks have parts along it. To save, all ranks gather, and one writes:
///
///   dist::gather_parts(nn::state_dict(whole), nn::state_dict(model));
///   dist::load_parts(nn::state_dict(model), io::load_safetensors("whole.safetensors"));
void gather_parts(const nn::StateDict& into, const nn::StateDict& parts, const Group& among = {});
void load_parts(const nn::StateDict& into, const nn::StateDict& whole, const Group& among = {});

}  // namespace teeny::dist
