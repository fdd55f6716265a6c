#pragma once
// For this room alone: many tensors as one, so that they travel together.
#include <span>
#include <vector>

#include "teeny/tensor/tensor.h"

namespace teeny::dist {

/// The elements of all, which have one dtype, one after the other, and zeros up to a multiple of so many.
Tensor flatten(std::span<const Tensor> xs, int64_t multiple = 1);
/// The tensors that `flatten` was made of, in the shapes of `like`, as views.
std::vector<Tensor> unflatten(const Tensor& flat, std::span<const Tensor> like);

}  // namespace teeny::dist
