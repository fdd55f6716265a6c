// Layers that are cut into parts compute what the whole ones do, forward and backward.
#include "helpers.h"
#include "tests/temporary_directory.h"

using namespace teeny;
using namespace of_ranks;

namespace {

constexpr int64_t kIn = 6, kHidden = 24, kOut = 5;  // 24: equal parts for one to four ranks

template <class Up, class Down>
struct Mlp {
  Up up;
  Down down;
  Tensor operator()(const Tensor& x) const { return down(up(x).gelu()); }
  TEENY_STATE(up, down)
};
using Whole = Mlp<nn::Linear, nn::Linear>;
using Cut = Mlp<dist::ColumnLinear, dist::RowLinear>;

/// Both draw from the same place in the stream.
template <class Model>
Model new_mlp(bool bias = true) {
  Tensor::manual_seed(5);
  const nn::LayerOptions options{.bias = bias};
  return {{kIn, kHidden, options}, {kHidden, kOut, options}};
}
Tensor input() { return (Tensor::arange(7 * kIn).cast(DType::Float32) * 0.7).sin().reshape({7, kIn}).detach(); }
Tensor wanted() { return (Tensor::arange(7 * kOut).cast(DType::Float32) * 0.9).cos().reshape({7, kOut}); }

/// Attention with the heads spread over the ranks.
template <class Column, class Row>
struct Attention {
  Column q, k, v;
  Row out;
  int64_t heads;
  Tensor operator()(const Tensor& x) const {  // (batch, time, width)
    const auto split = [&](const Tensor& y) { return y.reshape({x.size(0), x.size(1), heads, -1}).transpose(1, 2); };
    const Tensor seen = split(q(x)).scaled_dot_product_attention(split(k(x)), split(v(x)), {.causal = true});
    return out(seen.transpose(1, 2).flatten(2));
  }
  TEENY_STATE(q, k, v, out)
};
template <class Column, class Row>
Attention<Column, Row> new_attention(int64_t heads) {
  Tensor::manual_seed(6);
  return {{24, 24}, {24, 24}, {24, 24}, {24, 24}, heads};
}

void check_same(const Tensor& got, const Tensor& want) {
  REQUIRE(got.shape() == want.shape());
  CHECK(distance({&got, 1}, {&want, 1}) < 1e-5);
}
/// Values and gradients of the cut model's parameters are parts of those of the whole one's.
void check_parts(const nn::StateDict& cut, const nn::StateDict& whole,
                 const std::vector<std::pair<std::string, int>>& axes) {
  REQUIRE(cut.size() == axes.size());
  for (const auto& [name, axis] : axes) {
    CAPTURE(name);
    const Tensor part = nn::find(cut, name), all = nn::find(whole, name);
    const auto mine = [&, axis = axis](const Tensor& x) { return axis < 0 ? x : dist::shard(x.detach(), axis); };
    check_same(part, mine(all));
    check_same(part.grad(), mine(all.grad()));
  }
}

}  // namespace

TEST_CASE("layers: a perceptron that is cut into columns and rows") {
  const Training mode;
  for (const bool bias : {true, false}) {
    const Whole whole = new_mlp<Whole>(bias);
    const Cut cut = new_mlp<Cut>(bias);
    Tensor x = input().requires_grad_(), y = input().requires_grad_();
    const Tensor want = (whole(x) - wanted()).square().mean().backward();
    const Tensor got = (cut(y) - wanted()).square().mean().backward();
    check_same(got, want);
    check_same(y.grad(), x.grad());
    const std::vector<std::pair<std::string, int>> axes{
        {"up.weight", 0}, {"up.bias", 0}, {"down.weight", 1}, {"down.bias", -1}};
    check_parts(nn::state_dict(cut), nn::state_dict(whole),
                bias ? axes : std::vector<std::pair<std::string, int>>{axes[0], axes[2]});
    CHECK(same_on_all(hash(std::vector<Tensor>{y.grad(), got})));
  }
}

TEST_CASE("layers: attention whose heads are spread over the ranks") {
  const Training mode;
  const auto whole = new_attention<nn::Linear, nn::Linear>(12);
  const auto cut = new_attention<dist::ColumnLinear, dist::RowLinear>(12 / dist::world());
  Tensor x =
      (Tensor::arange(2 * 5 * 24).cast(DType::Float32) * 0.3).sin().reshape({2, 5, 24}).detach().requires_grad_();
  Tensor y = x.detach().requires_grad_();
  const Tensor want = whole(x).square().mean().backward(), got = cut(y).square().mean().backward();
  check_same(got, want);
  check_same(y.grad(), x.grad());
  check_parts(nn::state_dict(cut), nn::state_dict(whole),
              {{"q.weight", 0},
               {"q.bias", 0},
               {"k.weight", 0},
               {"k.bias", 0},
               {"v.weight", 0},
               {"v.bias", 0},
               {"out.weight", 1},
               {"out.bias", -1}});
}

TEST_CASE("layers: gradients of a cut model are clipped by the norm of the whole one") {
  const Training mode;
  const Whole whole = new_mlp<Whole>();
  const Cut cut = new_mlp<Cut>();
  (whole(input()) - wanted()).square().mean().backward();
  (cut(input()) - wanted()).square().mean().backward();
  const Tensor want = optim::clip_grad_norm(nn::parameters(whole), 0.1);
  const Tensor got = dist::clip_grad_norm(std::vector<Tensor>{cut.down.bias},
                                          std::vector<Tensor>{cut.up.weight, cut.up.bias, cut.down.weight}, 0.1);
  check_same(got, want);
  CHECK(got.dtype() == DType::Float32);
  CHECK(want.item() > 0.2);
  check_parts(nn::state_dict(cut), nn::state_dict(whole),
              {{"up.weight", 0}, {"up.bias", 0}, {"down.weight", 1}, {"down.bias", -1}});
  CHECK(error_of([&] { (void)dist::clip_grad_norm({}, nn::parameters(cut), -1); }) ==
        "clip_grad_norm: max_norm -1 is negative");
}

TEST_CASE("layers: the parts of a whole checkpoint, and a whole one of the parts") {
  const SharedDirectory directory;
  Tensor::manual_seed(8);
  Whole whole{{kIn, kHidden}, {kHidden, kOut}};
  Cut cut = new_mlp<Cut>();
  dist::load_parts(nn::state_dict(cut), nn::state_dict(whole));
  check_same(cut(input()), whole(input()));

  Whole again = new_mlp<Whole>();
  dist::gather_parts(nn::state_dict(again), nn::state_dict(cut));
  for (size_t i = 0; i < 4; ++i) CHECK(nn::parameters(again)[i].to_vector() == nn::parameters(whole)[i].to_vector());
  if (dist::rank() == 0) io::save_safetensors(directory / "whole", nn::state_dict(again));
  dist::barrier();
  Cut loaded = new_mlp<Cut>();
  dist::load_parts(nn::state_dict(loaded), io::load_safetensors(directory / "whole").tensors);
  CHECK(hash(nn::parameters(loaded)) == hash(nn::parameters(cut)));

  // What does not fit changes nothing.
  const Mlp<nn::Linear, nn::Linear> other{{kIn, kHidden}, {kHidden, kOut + 1}};
  const int64_t before = hash(nn::parameters(cut));
  CHECK(error_of([&] {
          dist::load_parts(nn::state_dict(cut), nn::state_dict(other));
        }).starts_with("load_state_dict: 2 problems\n  down.weight: shape (5, "));
  CHECK(error_of([&] { dist::load_parts(nn::state_dict(cut), nn::state_dict(new_mlp<Whole>(false))); }) ==
        text("load_state_dict: 2 problems\n  missing: up.bias (", kHidden / dist::world(),
             ",) float32\n  missing: down.bias (5,) float32"));
  CHECK(hash(nn::parameters(cut)) == before);
}

TEST_CASE("layers: sizes that have no equal parts") {
  if (dist::world() == 1) return;
  const int64_t n = dist::world();
  CHECK(error_of([&] { dist::ColumnLinear(4, n + 1); }) ==
        text("ColumnLinear: ", n + 1, " outputs have no ", n, " equal parts"));
  CHECK(error_of([&] { dist::RowLinear(2 * n + 1, 4); }) ==
        text("RowLinear: ", 2 * n + 1, " inputs have no ", n, " equal parts"));
  const dist::Group one = dist::Group().split(dist::rank());
  CHECK(dist::ColumnLinear(4, n + 1, {}, one).weight.shape() == Shape{n + 1, 4});
}
