#pragma once
// A training run in one safetensors file, from which it goes on bit for bit: the model, the optimiser with its moments
// and step count, the state of the random stream, and the loader's position.
//
//   if (resume) io::load_checkpoint("run.safetensors", model, adam, loader);
//   for (int64_t epoch = loader.position().epoch; epoch < epochs; ++epoch)
//     for (auto [x, y] : loader) {
//       ...
//       io::save_checkpoint("run.safetensors", model, adam, loader);
//     }
//
// A schedule of the rate counts its own steps, and a ReduceLROnPlateau remembers the best value. They are saved with
// the model, in a struct that refers to both:
//
//   struct Run {
//     Model& model;
//     optim::LRScheduler& rate;
//     TEENY_STATE(model, rate)
//   };
//   Run run{model, rate};
//   if (resume) io::load_checkpoint("run.safetensors", run, adam, loader);
//
// The names in the file: "model.c1.weight", "adam.step", "adam.m.0", "random", "position"; and in its metadata what the
// run was made with, which must be the same where it goes on: "adam.beta1", "loader.batch_size", "loader.samples", ...
#include "teeny/data/data.h"
#include "teeny/io/safetensors.h"
#include "teeny/optim/optim.h"

namespace teeny::io {

/// `state` is what is saved, or assigned: the tensors of the model and of the optimiser, under their names in the file.
/// `settings` become metadata, or are compared with it. Where there is a loader, it is moved to the position.
void save_checkpoint(const std::string& path, nn::StateDict state, const data::Position& position,
                     const Metadata& settings = {});
data::Position load_checkpoint(const std::string& path, nn::StateDict state, const Metadata& settings = {},
                               data::DataLoader* loader = nullptr);

/// "model." and the optimiser's name in front of the names of their tensors.
template <class Model, class Optimizer>
nn::StateDict training_state(const Model& model, const Optimizer& optimizer) {
  nn::StateDict state;
  nn::collect("model", model, state);
  nn::collect(std::string(Optimizer::kName), optimizer, state);
  return state;
}

/// The optimiser's options, the loader's, and those of the program that are to be the same in a run that goes on:
/// "adam.beta1", "loader.samples", "run.batch". The rate is not among them: it belongs to the state.
Metadata training_settings(std::string_view name, const optim::Optimizer& optimizer, const data::DataLoader* loader,
                           const Metadata& run);

/// Errors are those of `save_safetensors`, and of a position that cannot be.
template <class Model, class Optimizer>
void save_checkpoint(const std::string& path, const Model& model, const Optimizer& optimizer,
                     const data::Position& position = {}, const Metadata& run = {}) {
  save_checkpoint(path, training_state(model, optimizer), position,
                  training_settings(Optimizer::kName, optimizer, nullptr, run));
}
template <class Model, class Optimizer>
void save_checkpoint(const std::string& path, const Model& model, const Optimizer& optimizer,
                     const data::DataLoader& loader, const Metadata& run = {}) {
  save_checkpoint(path, training_state(model, optimizer), loader.position(),
                  training_settings(Optimizer::kName, optimizer, &loader, run));
}

/// Returns the position that was saved. Throws what `load_safetensors` and `load_state_dict` throw, and where the run
/// that was saved had another optimiser, other options, another dataset or other batches, or where its rate, step count
/// or position cannot be: then nothing has changed. What the file does not say is not compared.
template <class Model, class Optimizer>
data::Position load_checkpoint(const std::string& path, Model& model, Optimizer& optimizer, const Metadata& run = {}) {
  return load_checkpoint(path, training_state(model, optimizer),
                         training_settings(Optimizer::kName, optimizer, nullptr, run));
}
/// And moves the loader to the position.
template <class Model, class Optimizer>
void load_checkpoint(const std::string& path, Model& model, Optimizer& optimizer, data::DataLoader& loader,
                     const Metadata& run = {}) {
  load_checkpoint(path, training_state(model, optimizer), training_settings(Optimizer::kName, optimizer, &loader, run),
                  &loader);
}

}  // namespace teeny::io
