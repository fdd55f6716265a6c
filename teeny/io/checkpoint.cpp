#include "teeny/io/checkpoint.h"

namespace teeny::io {

namespace {

/// Two entries beside the tensors, int64 so that all 64 bits of seeds and counters survive.
Tensor random_entry() {
  const auto [seed, counter] = Tensor::random_state();
  return Tensor::of<int64_t>({int64_t(seed), int64_t(counter)});
}
Tensor position_entry(const data::Position& at) { return Tensor::of<int64_t>({int64_t(at.seed), at.epoch, at.index}); }

}  // namespace

void save_checkpoint(const std::string& path, nn::StateDict state, const data::Position& position) {
  state.emplace_back("random", random_entry());
  state.emplace_back("position", position_entry(position));
  save_safetensors(path, state);
}

data::Position load_checkpoint(const std::string& path, nn::StateDict state) {
  const Tensor random = random_entry(), position = position_entry({});
  state.emplace_back("random", random);
  state.emplace_back("position", position);
  nn::load_state_dict(state, load_safetensors(path).tensors);

  const auto words = random.to_vector<int64_t>(), at = position.to_vector<int64_t>();
  Tensor::set_random_state(uint64_t(words[0]), uint64_t(words[1]));
  return {uint64_t(at[0]), at[1], at[2]};
}

}  // namespace teeny::io
