#include "teeny/dist/checkpoint.h"

#include "teeny/dist/collectives.h"

namespace teeny::dist::detail {

data::Position load_on_first(const nn::StateDict& state, const std::function<data::Position()>& load) {
  data::Position at;
  if (rank() == 0) at = load();
  if (world() == 1) return at;
  broadcast(state);
  const auto [seed, counter] = Tensor::random_state();
  const Tensor where = Tensor::of<int64_t>({int64_t(at.seed), at.epoch, at.index, int64_t(seed), int64_t(counter)});
  broadcast({{"where", where}});
  const auto told = where.to_vector<int64_t>();
  Tensor::set_random_state(uint64_t(told[3]), uint64_t(told[4]));
  return {uint64_t(told[0]), told[1], told[2]};
}

}  // namespace teeny::dist::detail
