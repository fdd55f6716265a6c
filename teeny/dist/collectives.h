#pragma once
// What ranks compute together, with gradients. The rule of these: what follows an all_reduce or an all_gather is the
// same on all ranks, and so is the gradient that comes back. Where each rank goes on with a loss of its own, and the
// sum of all losses is meant, write sum_gradients(all_reduce(x)).
//
// Every rank makes the same collectives in the same order: never under `if (rank() == 0)`. They are lazy like
// everything else, but run with the next value that anyone asks for, or at the end of the program, looked at or not, in
// the order in which they were made. Until then each keeps its result. What does not fit is an Error on all ranks. They
// are made by one thread.
//
// A group of one rank returns the elements of its argument where they are: a program is the same with and without
// mpirun.
#include <span>

#include "teeny/dist/group.h"
#include "teeny/optim/optim.h"

namespace teeny::dist {

/// Elementwise sum over the ranks' x, for bools whether any is true. The gradient passes through.
[[nodiscard]] Tensor all_reduce(const Tensor& x, const Group& among = {});
/// x, which is the same on all ranks. The gradient is the sum of the ranks'.
[[nodiscard]] Tensor sum_gradients(const Tensor& x, const Group& among = {});
/// (n, ..) on each of w ranks: (w * n, ..), the ranks' x one after the other. The gradient is this rank's part.
[[nodiscard]] Tensor all_gather(const Tensor& x, const Group& among = {});
/// (w * n, ..): (n, ..), this rank's part of the sum over the ranks' x. The gradient is the ranks' one after the other.
[[nodiscard]] Tensor reduce_scatter(const Tensor& x, const Group& among = {});
/// This rank's part of x, one of as many equal parts along the axis as there are ranks. Nothing is sent.
[[nodiscard]] Tensor shard(const Tensor& x, int axis = 0, const Group& among = {});

/// Rank 0's elements for all: all start with the same model.
void broadcast(const nn::StateDict& state, const Group& among = {});

struct AverageOptions {
  int64_t bucket = 25 << 20;  ///< bytes
  Group among = {};
};
/// Makes each gradient the mean of the ranks': of equal parts of a batch, the gradient of the whole. A parameter that
/// has none counts as one of zeros, and has one afterwards. They travel together, those of one dtype in buckets of so
/// many bytes, the last parameter's first, which is ready first. Between several `backward` of one step nothing has to
/// be averaged; call it once, before clipping.
void average_gradients(std::span<const Tensor> params, const AverageOptions& options = {});

/// optim::clip_grad_norm of a model that is cut into parts: of `parts` each of the ranks has other elements, and
/// `whole` is the same on all of them. What average_gradients has left needs none of this: it is the same on all ranks.
Tensor clip_grad_norm(std::span<const Tensor> whole, std::span<const Tensor> parts, double max_norm,
                      const Group& among = {});

}  // namespace teeny::dist
