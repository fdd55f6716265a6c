#pragma once
// GPT-2 (Radford et al., "Language models are unsupervised multitask learners", 2019), with the names and shapes of the
// published weights. It reads a token at a time: what attention looks back at, the keys and values of earlier tokens,
// is kept.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "examples/weights.h"
#include "teeny/teeny.h"

namespace examples {

using teeny::ellipsis;
using teeny::slice;
using teeny::Tensor;
namespace nn = teeny::nn;

/// As nn::Linear, with the weight stored (in, out), as it was published.
struct Conv1D {
  Tensor weight, bias;
  Conv1D(int64_t in, int64_t out) : weight(Tensor::normal({in, out}, 0, 0.02)), bias(Tensor::zeros({out})) {}
  Tensor operator()(const Tensor& x) const { return x.matmul(weight) + bias; }
  TEENY_STATE(weight, bias)
};

/// What attention looks at of each token: keys (heads, size, time), in which tokens lie side by side, so that the
/// products with them are fast, and values (heads, time, size). Of all layers, there is one more axis in front.
struct KeysValues {
  Tensor keys, values;
};

struct Gpt2Attention {
  int64_t heads;
  Conv1D c_attn, c_proj;
  Gpt2Attention(int64_t width, int64_t heads) : heads(heads), c_attn(width, 3 * width), c_proj(width, width) {}

  /// x (time, width) looks at itself, and at those tokens of `past` for which `seen` is true. What later tokens will
  /// look at is added to `now`.
  Tensor operator()(const Tensor& x, const KeysValues& past, const Tensor& seen, std::vector<KeysValues>& now) const {
    constexpr double kInf = std::numeric_limits<double>::infinity();
    const int64_t time = x.size(0), room = past.keys.size(-1);
    const Tensor parts = c_attn(x).reshape({time, 3, heads, -1}).permute({1, 2, 0, 3});
    const Tensor queries = parts[0] / std::sqrt(double(parts.size(-1))), keys = parts[1].transpose(), values = parts[2];
    now.push_back({keys, values});
    const Tensor before = where(seen, queries.matmul(past.keys), -kInf);
    const Tensor here = where(Tensor::tri(time, time), queries.matmul(keys), -kInf);  // no token looks ahead
    const Tensor weights = Tensor::cat({before, here}, -1).softmax();
    const Tensor found =
        weights[{ellipsis, slice(0, room)}].matmul(past.values) + weights[{ellipsis, slice(room)}].matmul(values);
    return c_proj(found.transpose(0, 1).reshape(x.shape()));
  }
  TEENY_STATE(c_attn, c_proj)
};

struct Gpt2Mlp {
  Conv1D c_fc, c_proj;
  explicit Gpt2Mlp(int64_t width) : c_fc(width, 4 * width), c_proj(4 * width, width) {}
  Tensor operator()(const Tensor& x) const { return c_proj(c_fc(x).gelu()); }
  TEENY_STATE(c_fc, c_proj)
};

struct Gpt2Block {
  nn::LayerNorm ln_1, ln_2;
  Gpt2Attention attn;
  Gpt2Mlp mlp;
  Gpt2Block(int64_t width, int64_t heads) : ln_1(width), ln_2(width), attn(width, heads), mlp(width) {}
  TEENY_STATE(ln_1, attn, ln_2, mlp)
};

struct Gpt2Config {  ///< of the smallest one, which has 124 million parameters
  int64_t vocabulary = 50257, positions = 1024, width = 768, layers = 12, heads = 12;
};

struct Gpt2 {
  Gpt2Config config;
  nn::Embedding wte, wpe;  ///< vectors of tokens, and of positions
  std::vector<Gpt2Block> h;
  nn::LayerNorm ln_f;

  explicit Gpt2(const Gpt2Config& c) : config(c), wte(c.vocabulary, c.width), wpe(c.positions, c.width), ln_f(c.width) {
    for (int64_t i = 0; i < c.layers; ++i) h.emplace_back(c.width, c.heads);
  }

  /// Of no tokens, with room for some.
  KeysValues cache(int64_t room) const {
    const int64_t size = config.width / config.heads;
    return {Tensor::zeros({config.layers, config.heads, size, room}).contiguous(),
            Tensor::zeros({config.layers, config.heads, room, size}).contiguous()};
  }

  /// `tokens` (time), int64, come behind the first `position` () of those in `past`. Returns their vectors
  /// (time, width), and what belongs into `past` behind those.
  std::pair<Tensor, KeysValues> operator()(const Tensor& tokens, const Tensor& position, const KeysValues& past) const {
    const Tensor seen = Tensor::arange(past.keys.size(-1)) < position;
    Tensor x = wte(tokens) + wpe(position + Tensor::arange(tokens.size(0)));
    std::vector<KeysValues> now;
    for (size_t i = 0; i < h.size(); ++i) {
      x = x + h[i].attn(h[i].ln_1(x), {past.keys[int64_t(i)], past.values[int64_t(i)]}, seen, now);
      x = x + h[i].mlp(h[i].ln_2(x));
    }
    std::vector<Tensor> keys, values;
    for (const KeysValues& layer : now) keys.push_back(layer.keys), values.push_back(layer.values);
    return {ln_f(x), {Tensor::stack(keys), Tensor::stack(values)}};
  }

  /// The logits (.., vocabulary) of the token that comes after each vector (.., width), which is compared with the
  /// vectors that tokens begin as.
  Tensor next(const Tensor& x) const { return x.linear(wte.weight); }

  TEENY_STATE(wte, wpe, h, ln_f)
};

/// The network of a file. Its tensors say how large it is, but for the heads: one for 64 elements of the width, if
/// `heads` does not say otherwise.
inline Gpt2 load_gpt2(const std::string& path, std::optional<int64_t> heads = {}) {
  nn::StateDict weights;
  std::map<std::string, Tensor> by_name;
  Tensor head;
  for (const auto& [name, tensor] : read_weights(path)) {
    const std::string short_name = name.starts_with("transformer.") ? name.substr(12) : name;
    if (short_name == "lm_head.weight") head = tensor;
    else if (!name.ends_with(".attn.bias") && !name.ends_with(".attn.masked_bias")) {  // what no token sees: no weights
      weights.emplace_back(short_name, tensor);
      by_name[short_name] = tensor;
    }
  }
  const auto table = [&](const std::string& name) {
    const auto found = by_name.find(name);
    if (found == by_name.end() || found->second.rank() != 2 || found->second.numel() == 0)
      teeny::fail(path, ": no weights of GPT-2, which have a table ", name);
    return found->second;
  };
  const Tensor wte = table("wte.weight"), wpe = table("wpe.weight");
  if (head.defined() && (head.shape() != wte.shape() || !(head == wte).all().item<bool>()))
    teeny::fail(path, ": lm_head.weight is not wte.weight, as in GPT-2");
  Gpt2Config config{wte.size(0), wpe.size(0), wte.size(1), 0, heads.value_or(std::max<int64_t>(1, wte.size(1) / 64))};
  while (by_name.count(teeny::text("h.", config.layers, ".ln_1.weight"))) ++config.layers;
  if (config.width % config.heads != 0)
    teeny::fail(path, ": ", config.heads, " heads cannot share a width of ", config.width);
  Gpt2 model(config);
  assign_weights(nn::state_dict(model), weights, path);
  return model;
}

/// A text that a network reads on and on.
class Gpt2Reader {
 public:
  /// With room for `room` tokens to begin with.
  explicit Gpt2Reader(const Gpt2& model, int64_t room = 128)
      : model_(model),
        cache_(model.cache(std::min(room, model.config.positions))),
        step_([this](const auto&... inputs) { return call(inputs...); }) {}

  Gpt2Reader(const Gpt2Reader&) = delete;

  /// Reads tokens, and returns the logits (vocabulary) of the next one. When there are more than the network has
  /// positions, it goes back to their last half and reads that as if the text began there.
  Tensor read(std::span<const int64_t> tokens) {
    const teeny::NoGrad guard;
    const int64_t positions = model_.config.positions;
    std::vector<int64_t> text(tokens.begin(), tokens.end());
    if (tokens_kept() + int64_t(text.size()) > positions) {
      text.insert(text.begin(), text_.begin(), text_.end());
      text.erase(text.begin(), text.end() - std::max<int64_t>(1, positions / 2));
      text_.clear();
    }
    const int64_t begin = tokens_kept(), end = begin + int64_t(text.size());
    make_room(end);
    const Tensor index = Tensor::from(text), position = Tensor::from(std::vector{begin}, {});
    const auto [logits, keys, values] = text.size() == 1 ? step_(index, position, cache_.keys, cache_.values)
                                                         : call(index, position, cache_.keys, cache_.values);
    cache_.keys.set({ellipsis, slice(begin, end)}, keys);
    cache_.values.set({ellipsis, slice(begin, end), slice()}, values);
    text_.insert(text_.end(), text.begin(), text.end());
    return logits.realize();
  }

  /// Begins another text.
  void forget() { text_.clear(); }
  int64_t tokens_kept() const { return int64_t(text_.size()); }
  /// Of the step for a single token, which is recorded; see Jit.
  int64_t replays() const { return step_.replays(); }
  const std::string& why() const { return step_.why(); }

 private:
  using Result = std::array<Tensor, 3>;  ///< logits, keys, values
  Result call(const Tensor& tokens, const Tensor& position, const Tensor& keys, const Tensor& values) const {
    const auto [x, now] = model_(tokens, position, {keys, values});
    return {model_.next(x[-1]), now.keys, now.values};
  }

  /// Doubles the room, until `count` tokens find it: all of it is looked at, and so there is not much more than needed.
  /// Of each size the step is recorded anew.
  void make_room(int64_t count) {
    const int64_t before = cache_.keys.size(-1);
    int64_t room = before;
    while (room < count) room = std::min(2 * room, model_.config.positions);
    if (room == before) return;
    const auto [keys, values] = std::exchange(cache_, model_.cache(room));
    cache_.keys.set({ellipsis, slice(0, before)}, keys);
    cache_.values.set({ellipsis, slice(0, before), slice()}, values);
  }

  const Gpt2& model_;
  std::vector<int64_t> text_;  ///< the tokens in the cache
  KeysValues cache_;
  teeny::Jit<std::function<Result(const Tensor&, const Tensor&, const Tensor&, const Tensor&)>> step_;
};

}  // namespace examples
