// Some of the ranks: groups by colour, and a model that is cut within pairs and trained across them.
#include "helpers.h"
#include "tests/temporary_directory.h"

using namespace teeny;
using namespace of_ranks;

TEST_CASE("groups: ranks with the same colour, in their order") {
  const int rank = dist::rank(), world = dist::world();
  const dist::Group odd_even = dist::Group().split(rank % 2), alone = dist::Group().split(rank);
  CHECK(odd_even.rank() == rank / 2);
  CHECK(odd_even.world() == (world + 1 - rank % 2) / 2);
  CHECK(alone.rank() == 0);
  CHECK(alone.world() == 1);
  double sum = 0;
  for (int other = rank % 2; other < world; other += 2) sum += other;
  CHECK(dist::all_reduce(Tensor(double(rank)), odd_even).item() == sum);
  CHECK(dist::all_reduce(Tensor(double(rank)), alone).item() == rank);
  // A group of a group.
  const dist::Group again = odd_even.split(odd_even.rank() / 2);
  CHECK(again.world() <= 2);
  CHECK(dist::all_gather(Tensor::of({double(rank)}), again).size(0) == again.world());
  // Collectives of several groups, looked at in another order than they were made.
  const Tensor first = dist::all_reduce(Tensor(1.0)), second = dist::all_reduce(Tensor(2.0), odd_even),
               third = dist::all_reduce(Tensor(3.0));
  CHECK(third.item() == 3 * world);
  CHECK(second.item() == 2 * odd_even.world());
  CHECK(first.item() == world);
}

TEST_CASE("groups: collectives made before a split come before it") {
  const Tensor sum = dist::all_reduce(Tensor(1.0));
  const dist::Group group = dist::Group().split(0);
  CHECK(group.world() == dist::world());
  CHECK(sum.item() == dist::world());
}

TEST_CASE("groups: a colour below 0") {
  CHECK(error_of([] { (void)dist::Group().split(-1); }) == "Group::split: a colour of -1; 0 or more");
  CHECK(dist::all_reduce(Tensor(1.0)).item() == dist::world());
}

namespace {

template <class Up, class Down>
struct Mlp {
  nn::LayerNorm norm;
  Up up;
  Down down;
  Tensor operator()(const Tensor& x) const { return x + down(up(norm(x)).gelu()); }
  TEENY_STATE(norm, up, down)
};
using Whole = Mlp<nn::Linear, nn::Linear>;
using Cut = Mlp<dist::ColumnLinear, dist::RowLinear>;

Tensor batch(int step) {
  return (Tensor::arange(8 * 6).cast(DType::Float32) * (0.7 + 0.01 * step))
      .sin()
      .reshape({8, 6})
      .contiguous()
      .realize();
}
Tensor wanted(const Tensor& x) { return (x * 3).cos(); }

}  // namespace

TEST_CASE("groups: four ranks as two by two, tensor and data parallel") {
  if (dist::world() != 4) return;
  const Training mode;
  const int rank = dist::rank();
  const dist::Group model = dist::Group().split(rank / 2), data = dist::Group().split(rank % 2);
  for (const bool jit : {false, true})
    for (const bool sharded : {false, true}) {
      CAPTURE(jit);
      CAPTURE(sharded);
      Tensor::manual_seed(5);
      Whole whole{nn::LayerNorm(6), {6, 10}, {10, 6}};
      Tensor::manual_seed(5);
      Cut cut{nn::LayerNorm(6), {6, 10, {}, model}, {10, 6, {}, model}};
      const std::vector<Tensor> all = nn::parameters(whole), mine = nn::parameters(cut);
      const std::vector<Tensor> same{cut.norm.weight, cut.norm.bias, cut.down.bias},
          parts{cut.up.weight, cut.up.bias, cut.down.weight};
      optim::Adam adam(all, {.lr = 1e-2}), mine_adam(mine, {.lr = 1e-2});
      dist::Sharded<optim::Adam> sharded_adam(mine, {.lr = 1e-2}, data);
      const auto body = [&](const Tensor& x, const Tensor& y) {
        for (const Tensor& p : mine) Tensor(p).zero_grad();
        const Tensor loss = (cut(x) - y).square().mean().backward();
        if (sharded) sharded_adam.step();
        else {
          dist::average_gradients(mine, {.bucket = 100, .among = data});  // several buckets
          (void)dist::clip_grad_norm(same, parts, 0.5, model);
          mine_adam.step();
        }
        return dist::all_reduce(loss.detach(), data) / data.world();
      };
      Jit recorded(body);
      for (int i = 0; i < 6; ++i) {
        const Tensor x = batch(i);
        adam.zero_grad();
        const Tensor want = (whole(x) - wanted(x)).square().mean().backward();
        if (!sharded) optim::clip_grad_norm(all, 0.5);
        adam.step();
        const Tensor part = dist::shard(x, 0, data).contiguous().realize();
        const ExecutionScope execution({.overlap = i % 2 == 0});
        const double got = (jit ? recorded(part, wanted(part).realize()) : body(part, wanted(part))).item();
        CHECK(got == doctest::Approx(want.item()).epsilon(1e-5));
      }
      if (jit) CHECK(recorded.replays() == 4);
      Whole gathered{nn::LayerNorm(6), {6, 10}, {10, 6}};
      dist::gather_parts(nn::state_dict(gathered), nn::state_dict(cut), model);
      CHECK(distance(nn::parameters(gathered), all) < 1e-5);
      CHECK(same_on_all(hash(nn::parameters(gathered))));
    }
}
