#pragma once
// For this room alone: many tensors as one, so that they travel together.
#include <span>
#include <vector>

#include "teeny/tensor/tensor.h"

namespace teeny::dist {

/// How many elements all have together.
int64_t numel(std::span<const Tensor> xs);
/// Of the elements of all, which have one dtype, one after the other, those from `begin` on, `size` of them; behind the
/// last one come zeros.
Tensor flatten(std::span<const Tensor> xs, int64_t begin, int64_t size);
inline Tensor flatten(std::span<const Tensor> xs) { return flatten(xs, 0, numel(xs)); }
/// The tensors that `flatten` was made of, in the shapes of `like`, as views.
std::vector<Tensor> unflatten(const Tensor& flat, std::span<const Tensor> like);

}  // namespace teeny::dist
