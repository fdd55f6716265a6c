#pragma once
// A training run in one safetensors file, from which it goes on bit for bit: the model, the optimiser with its moments
// and step count, the state of the random stream, and the loader's position.
//
//   io::save_checkpoint("run.safetensors", model, adam, loader.position());
//   ...
//   loader.set_position(io::load_checkpoint("run.safetensors", model, adam));
//   for (int64_t epoch = loader.position().epoch; epoch < epochs; ++epoch)
//     for (auto [x, y] : loader) ...
//
// The names in the file: "model.c1.weight", "adam.step", "adam.m.0", "random", "position".
#include "teeny/data/data.h"
#include "teeny/io/safetensors.h"

namespace teeny::io {

/// `state` is what is saved, or assigned: the tensors of the model and of the optimiser, under their names in the file.
void save_checkpoint(const std::string& path, nn::StateDict state, const data::Position& position);
data::Position load_checkpoint(const std::string& path, nn::StateDict state);

/// "model." and the optimiser's name in front of the names of their tensors.
template <class Model, class Optimizer>
nn::StateDict training_state(const Model& model, const Optimizer& optimizer) {
  nn::StateDict state;
  nn::collect("model", model, state);
  nn::collect(std::string(Optimizer::kName), optimizer, state);
  return state;
}

/// Errors are those of `save_safetensors`.
template <class Model, class Optimizer>
void save_checkpoint(const std::string& path, const Model& model, const Optimizer& optimizer,
                     const data::Position& position = {}) {
  save_checkpoint(path, training_state(model, optimizer), position);
}

/// Returns the loader's position. Throws what `load_safetensors` and `load_state_dict` throw; then nothing has
/// changed.
template <class Model, class Optimizer>
data::Position load_checkpoint(const std::string& path, Model& model, Optimizer& optimizer) {
  return load_checkpoint(path, training_state(model, optimizer));
}

}  // namespace teeny::io
