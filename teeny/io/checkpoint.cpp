#include "teeny/io/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace teeny::io {

namespace {

/// Two entries beside the tensors, int64 so that all 64 bits of seeds and counters survive.
Tensor random_entry() {
  const auto [seed, counter] = Tensor::random_state();
  return Tensor::of<int64_t>({int64_t(seed), int64_t(counter)});
}
Tensor position_entry(const data::Position& at) { return Tensor::of<int64_t>({int64_t(at.seed), at.epoch, at.index}); }

/// Throws where `saved` knows a setting of ours and has another value for it, or has one that ours lack: of the same
/// optimiser or loader, which is what stands before the first point.
void check_settings(const std::string& path, const Metadata& ours, const Metadata& saved) {
  std::string differences;
  const auto owner = [](const std::string& key) { return key.substr(0, key.find('.') + 1); };
  for (const auto& [key, value] : saved) {
    const auto mine = ours.find(key), near = ours.lower_bound(owner(key));
    if (mine != ours.end() && mine->second == value) continue;
    if (mine == ours.end() && (near == ours.end() || !near->first.starts_with(owner(key)))) continue;
    differences +=
        text("\n  ", key, ": ", value, " in the file, ", mine == ours.end() ? "nothing" : mine->second, " here");
  }
  if (!differences.empty()) fail("load_checkpoint: ", path, " is of a training with other settings:", differences);
}

/// The name in front of the optimiser's tensors; empty where it has none.
std::string optimizer_of(const nn::StateDict& state) {
  for (const auto& [name, tensor] : state)
    if (const std::string owner = name.substr(0, name.find('.')); owner.size() < name.size() && owner != "model")
      return owner;
  return "";
}

/// Throws where a checkpoint, which has a position, is of an optimiser of another name: of its tensors all are missing
/// or unexpected then.
void check_optimizer(const std::string& path, const nn::StateDict& ours, const nn::StateDict& file) {
  const auto is_position = [](const auto& entry) { return entry.first == "position"; };
  const std::string mine = optimizer_of(ours), saved = optimizer_of(file);
  if (mine == saved || mine.empty() || saved.empty() || std::ranges::none_of(file, is_position)) return;
  fail("load_checkpoint: ", path, " is of a training with ", saved, ", and this optimiser is ", mine, "; go on with ",
       saved, ", or load the model alone with under(file, \"model\")");
}

/// Throws where the optimiser could not go on: its rates are numbers and not negative, and its steps can be counted
/// further.
void check_values(const std::string& path, const nn::StateDict& file) {
  constexpr double kMostSteps = 0x1p53;  // from there on a float64, in which the corrections are computed, skips some
  for (const auto& [name, tensor] : file) {
    if (name.starts_with("model.") || tensor.dtype() == DType::Bool) continue;
    const bool steps = name.ends_with(".step");
    if (!steps && !name.ends_with(".lr")) continue;
    for (double value : tensor.to_vector<double>())
      if (!std::isfinite(value) || value < 0 || (steps && value >= kMostSteps))
        fail("load_checkpoint: ", path, ": ", name, " is ", value, "; it is 0 or more",
             steps ? ", and less than 2^53" : "");
  }
}

}  // namespace

Metadata training_settings(std::string_view name, const optim::Optimizer& optimizer, const data::DataLoader* loader,
                           const Metadata& run) {
  Metadata settings;
  for (const auto& [option, value] : optimizer.hyperparameters()) {
    char digits[32];  // as many as the value needs, in every locale
    settings[text(name, '.', option)].assign(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  }
  if (loader)
    for (const auto& [option, value] : loader->settings()) settings["loader." + option] = value;
  for (const auto& [option, value] : run) settings["run." + option] = value;
  return settings;
}

void save_checkpoint(const std::string& path, nn::StateDict state, const data::Position& position,
                     const Metadata& settings) {
  position.check("save_checkpoint");
  state.emplace_back("random", random_entry());
  state.emplace_back("position", position_entry(position));
  save_safetensors(path, state, settings);
}

data::Position load_checkpoint(const std::string& path, nn::StateDict state, const Metadata& settings,
                               data::DataLoader* loader) {
  const Safetensors file = load_safetensors(path, {.map = false});  // the first step writes to all of it
  const size_t count = state.size();
  state.emplace_back("random", random_entry());
  state.emplace_back("position", position_entry({}));
  check_optimizer(path, state, file.tensors);
  check_left_out(state, file);
  nn::check_state_dict(state, file.tensors);
  check_settings(path, settings, file.metadata);
  check_values(path, file.tensors);
  const auto random = file["random"].to_vector<int64_t>(), at = file["position"].to_vector<int64_t>();
  const data::Position position{uint64_t(at[0]), at[1], at[2]};
  if (loader) loader->check_position(position);
  else position.check("load_checkpoint");

  nn::StateDict tensors = file.tensors;
  std::erase_if(tensors, [](const auto& entry) { return entry.first == "random" || entry.first == "position"; });
  state.resize(count);
  nn::load_state_dict(state, tensors);
  Tensor::set_random_state(uint64_t(random[0]), uint64_t(random[1]));
  if (loader) loader->set_position(position);
  return position;
}

}  // namespace teeny::io
