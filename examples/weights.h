#pragma once
// The weights of somebody else's network.
#include <string>

#include "teeny/nn/nn.h"

namespace examples {

/// The tensors of a file by name: .safetensors, or PyTorch's .pt, .pth and .bin. Floats of other sizes become float32.
/// Of a training's checkpoint those that lie under "state_dict", "model" and the like, and "module", without that.
teeny::nn::StateDict read_weights(const std::string& path);

/// Assigns to each tensor of `model` the one of that name in `weights`, which were read from `path`. Throws, naming the
/// file and the tensor, unless they fit exactly; then nothing has changed.
void assign_weights(const teeny::nn::StateDict& model, const teeny::nn::StateDict& weights, const std::string& path);

}  // namespace examples
