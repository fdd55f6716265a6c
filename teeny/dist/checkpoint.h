#pragma once
// Going on from a checkpoint whose file is where rank 0 is. Rank 0 saves, so the other machines need not see it:
//
//   if (resume) dist::load_checkpoint("run.safetensors", model, adam, loader);
//   ..
//   if (dist::rank() == 0) io::save_checkpoint("run.safetensors", model, adam, loader);
//
// Then all ranks have the same elements, and the same random stream: where each draws for itself, let it begin again. A
// model in parts is not the same on all: its file has the whole one, of which load_parts takes them (see layers.h).
#include <functional>

#include "teeny/io/io.h"

namespace teeny::dist {

namespace detail {
/// Rank 0 calls `load`, and tells the others the state, the position and the random stream that it has then.
data::Position load_on_first(const nn::StateDict& state, const std::function<data::Position()>& load);
}  // namespace detail

/// Rank 0's io::load_checkpoint, and on the others what it has loaded. `path` and `run` are those of rank 0, whose
/// Error ends all.
template <class Model, class Optimizer>
data::Position load_checkpoint(const std::string& path, Model& model, Optimizer& optimizer,
                               const io::Metadata& run = {}) {
  return detail::load_on_first(io::training_state(model, optimizer),
                               [&] { return io::load_checkpoint(path, model, optimizer, run); });
}
/// And moves the loader to the position.
template <class Model, class Optimizer>
void load_checkpoint(const std::string& path, Model& model, Optimizer& optimizer, data::DataLoader& loader,
                     const io::Metadata& run = {}) {
  loader.set_position(detail::load_on_first(io::training_state(model, optimizer), [&] {
    io::load_checkpoint(path, model, optimizer, loader, run);
    return loader.position();
  }));
}

}  // namespace teeny::dist
