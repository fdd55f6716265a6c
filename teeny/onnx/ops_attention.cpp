// What language models are made of: attention, rotary positions, and recurrences that stand in for attention.
#include <cmath>

#include "teeny/onnx/ops.h"

namespace teeny::onnx {

namespace {

/// (batch, length, heads * width) as (batch, heads, length, width); what has four axes as it is.
Tensor split_heads(const Tensor& x, int64_t heads) {
  if (x.rank() == 4) return x;
  if (x.rank() != 3 || heads < 1 || x.size(2) % heads)
    fail("a tensor of ", x.shape(), " does not divide into ", heads, " heads: (batch, length, heads * width)");
  return x.unflatten(2, {heads, x.size(2) / heads}).transpose(1, 2);
}
/// And back.
Tensor join_heads(const Tensor& x) { return x.transpose(1, 2).flatten(2); }

/// Heads of queries (batch, heads, length, width) in groups that share a head of keys and values, each group an axis of
/// its own: (batch, shared, group, length, width).
Tensor grouped(const Tensor& x, int64_t shared) {
  if (shared < 1 || x.size(1) % shared)
    fail(x.size(1), " heads of queries are no multiple of ", shared, " heads of keys and values");
  return x.unflatten(1, {shared, x.size(1) / shared});
}

/// left (.., heads, a, b) x right (.., shared, b, c).
Tensor product(const Tensor& left, const Tensor& right) {
  if (left.size(1) == right.size(1)) return left.matmul(right);
  return grouped(left, right.size(1)).matmul(right.unsqueeze(2)).flatten(1, 2);
}

/// softmax, but zeros of a row that is -inf everywhere, if there may be one.
Tensor softmax_or_zeros(const Tensor& x, bool may_be_blind) {
  if (x.numel() == 0 || !may_be_blind) return x.softmax(-1);
  const Tensor largest = x.detach().max(-1, true), e = (x - where(largest == -INFINITY, 0, largest)).exp();
  const Tensor sum = e.sum(-1, true);
  return e / where(sum == 0, 1, sum);
}

Tensor both(const Tensor& x, const Tensor& y) { return x.defined() ? x & y : y; }

/// Which keys a query may look at, as bools that broadcast to (batch, heads, queries, keys); undefined: all of them. A
/// query i stands at the position `offset` + i among the keys, where `offset` counts the keys before the first one.
Tensor visible(const Call& call, int64_t queries, int64_t keys, int64_t past) {
  const int64_t left = call.integer("left_window_size", -1), right = call.integer("right_window_size", -1);
  const bool causal = call.flag("is_causal");
  if (left < -1 || right < -1) fail("windows of ", left, " and ", right, "; sizes, or -1 for no bound");
  const Tensor key = Tensor::arange(keys);
  Tensor position = Tensor::arange(queries).unsqueeze(-1) + past, result;
  if (call.has(6)) {  // how many keys of each sample are no padding
    const Tensor count = call.x(6).reshape({-1, 1, 1, 1});
    position = position + (count - queries), result = key < count;
  }
  if (causal) result = both(result, key <= position);
  if (left >= 0) result = both(result, key >= position - left);
  if (right >= 0) result = both(result, key <= position + right);
  return result;
}

/// The scores of what a query may not look at become -inf. A mask that is shorter than the keys hides the others.
Tensor masked(const Tensor& scores, Tensor allowed, const Call& call) {
  Tensor result = scores;
  if (call.has(3)) {
    const Tensor& mask = call.x(3);
    if (mask.rank() == 0 || mask.size(-1) > scores.size(-1))
      fail("a mask of ", mask.shape(), " does not fit scores of ", scores.shape());
    Dims none = Dims::filled(mask.rank(), 0), missing = none;
    missing[mask.rank() - 1] = scores.size(-1) - mask.size(-1);
    if (mask.dtype() == DType::Bool) allowed = both(allowed, mask.pad(none, missing, false));
    else result = result + mask.cast(scores.dtype()).pad(none, missing, -INFINITY);
  }
  result = allowed.defined() ? where(allowed, result, -INFINITY) : result;
  if (result.shape() != scores.shape())
    fail("a mask of ", call.has(3) ? call.x(3).shape() : Shape(), " is larger than the scores ", scores.shape());
  return result;
}

/// softmax(cap(scale q k^T) + mask) v. Vaswani et al., "Attention is all you need", 2017.
Outputs attention(Call& call) {
  const bool packed = call.x().rank() == 3;
  const Tensor q = split_heads(call.x(0), call.integer("q_num_heads", 0));
  Tensor k = split_heads(call.x(1), call.integer("kv_num_heads", 0));
  Tensor v = split_heads(call.x(2), call.integer("kv_num_heads", 0));
  if (call.has(4) != call.has(5)) fail("past_key and past_value come together");
  if (call.has(4) && call.has(6)) fail("nonpad_kv_seqlen is for keys that are whole, and there is a past_key");
  const int64_t past = call.has(4) ? call.x(4).size(2) : 0;
  if (call.has(4)) k = Tensor::cat({call.x(4), k}, 2), v = Tensor::cat({call.x(5), v}, 2);
  if (q.size(3) != k.size(3) || k.size(1) != v.size(1) || k.size(2) != v.size(2))
    fail("queries ", q.shape(), ", keys ", k.shape(), " and values ", v.shape(), " do not fit together");

  const double scale = call.real("scale", 1 / std::sqrt(double(std::max<int64_t>(q.size(3), 1))));
  const double cap = call.real("softcap", 0);
  const Tensor raw = product(to_accumulate_dtype(q), to_accumulate_dtype(k).transpose()) * scale;
  const Tensor capped = cap > 0 ? (raw / cap).tanh() * cap : raw;
  const Tensor biased = masked(capped, visible(call, q.size(2), k.size(2), past), call);
  const bool doubles = call.type("softmax_precision", Type::Float32) == Type::Float64;
  // A query that a mask, a window or padding can hide from all keys; what is causal alone always sees the first one.
  const bool may_be_blind = call.has(3) || call.has(6) || call.has("left_window_size") || call.has("right_window_size");
  const Tensor logits = doubles ? biased.cast(DType::Float64) : biased;
  const Tensor weights = softmax_or_zeros(logits, may_be_blind).cast(raw.dtype());
  const Tensor y = product(weights, to_accumulate_dtype(v)).cast(q.dtype());

  const int64_t shown = call.integer("qk_matmul_output_mode", 0);
  if (shown < 0 || shown > 3) fail("qk_matmul_output_mode is ", shown, ", and must be from 0 to 3");
  const Tensor scores[] = {raw, capped, biased, weights};
  return {packed ? join_heads(y) : y, k, v, scores[shown].cast(q.dtype())};
}

/// Each pair of elements turned by an angle that grows with the position. The pairs are neighbours, or element i of the
/// first half and of the second. Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021.
Tensor rotary_embedding(const Call& call) {
  const Tensor& given = call.x();
  const Tensor x = split_heads(given, call.integer("num_heads", 0));
  const int64_t named = call.integer("rotary_embedding_dim", 0), width = named == 0 ? x.size(3) : named;
  if (width < 0 || width > x.size(3) || width % 2)
    fail(width, " of ", x.size(3), " elements are to be turned in pairs");
  const auto table = [&](int k) {  // (batch, 1, length, width / 2)
    const Tensor& t = call.x(k);
    if (t.rank() != (call.has(3) ? 2 : 3) || t.size(-1) != width / 2)
      fail("a table of ", t.shape(), " does not fit ", width / 2, " pairs");
    return (call.has(3) ? t.embedding(call.x(3)) : t).unsqueeze(1);
  };
  const Tensor cos = table(1), sin = table(2);
  const Tensor turned = x[{ellipsis, slice(0, width)}], rest = x[{ellipsis, slice(width)}];
  const bool neighbours = call.flag("interleaved");
  const Tensor pairs =
      neighbours ? turned.unflatten(3, {width / 2, 2}) : turned.unflatten(3, {2, width / 2}).transpose();
  const Tensor a = pairs[{ellipsis, 0}], b = pairs[{ellipsis, 1}];
  const Tensor parts[] = {cos * a - sin * b, sin * a + cos * b};
  const Tensor y = neighbours ? Tensor::stack(parts, -1).flatten(3) : Tensor::cat(parts, -1);
  const Tensor whole = width == x.size(3) ? y : Tensor::cat({y, rest}, -1);
  return given.rank() == 3 ? join_heads(whole) : whole;
}

/// A state S (batch, heads, key width, value width) that forgets, is corrected, takes up k v^T and is read by q, token
/// after token:
///
///   S <- exp(decay) S      v <- beta (v - S^T k)      S <- S + k v^T      y = scale S^T q
///
/// Katharopoulos et al., "Transformers are RNNs", 2020; Yang et al., "Gated delta networks", 2024.
Outputs linear_attention(Call& call) {
  const int64_t heads = call.integer("q_num_heads", 0), shared = call.integer("kv_num_heads", 0);
  const std::string rule = call.text("update_rule", "gated_delta");
  const bool gated = rule.starts_with("gated"), delta = rule.ends_with("delta");
  if (!gated && !delta && rule != "linear") fail("the update rule \"", rule, "\"; linear, gated, delta or gated_delta");
  for (int k = 0; k < 3; ++k)
    if (call.x(k).rank() != 3) fail("input ", k, " of ", call.x(k).shape(), " must be (batch, length, heads * width)");
  const auto input = [&](int k, int64_t n) { return split_heads(to_accumulate_dtype(call.x(k)), n); };
  const Tensor q = grouped(input(0, heads), shared), key = input(1, shared), value = input(2, shared);
  const int64_t length = q.size(3), width = q.size(4);
  const Tensor decay = gated ? input(4, shared).exp() : Tensor();                         // (.., width or 1)
  const Tensor beta = delta ? input(5, call.x(5).size(-1) == 1 ? 1 : shared) : Tensor();  // (.., 1)
  const double scale = call.real("scale", 0) == 0 ? 1 / std::sqrt(double(width)) : call.real("scale", 0);
  Tensor state = call.has(3) ? to_accumulate_dtype(call.x(3))
                             : Tensor::zeros({q.size(0), shared, width, value.size(3)}, q.dtype());
  const Shape state_shape = state.shape();
  std::vector<Tensor> outputs;
  for (int64_t t = 0; t < length; ++t) {
    const auto row = [t](const Tensor& x) { return x[{ellipsis, slice(t, t + 1), slice()}]; };  // (.., 1, width)
    if (gated) state = state * row(decay).transpose();
    const Tensor k = row(key), v = delta ? row(beta) * (row(value) - k.matmul(state)) : row(value);
    state = state + k.transpose() * v;
    outputs.push_back(row(q).squeeze(3).matmul(state));  // (batch, shared, group, value width)
  }
  if (state.shape() != state_shape) fail("a state of ", state_shape, " does not fit keys ", key.shape());
  const Tensor y = length == 0 ? Tensor::zeros({q.size(0), 0, heads * value.size(3)}, q.dtype())
                               : Tensor::stack(outputs, 1).flatten(2) * scale;
  return {y.cast(call.x().dtype()), state.cast(call.has(3) ? call.x(3).dtype() : call.x().dtype())};
}

/// A convolution along the last axis of each channel by itself that sees no later element; its state is the end of what
/// it has seen.
Outputs causal_convolution(Call& call) {
  const Tensor &x = call.x(), &weight = call.x(1);
  if (x.rank() != 3 || weight.rank() != 3 || weight.size(1) != 1)
    fail("x of ", x.shape(), " and a weight of ", weight.shape(), "; (batch, channels, length), (channels, 1, taps)");
  const int64_t before = weight.size(2) - 1;
  const Tensor past = call.has(3) ? call.x(3) : Tensor::zeros({x.size(0), x.size(1), before}, x.dtype());
  if (past.rank() != 3 || past.size(2) != before) fail("a state of ", past.shape(), " for ", before + 1, " taps");
  const Tensor seen = Tensor::cat({past, x}, 2);
  const Tensor y = seen.conv1d(weight, call.has(2) ? call.x(2) : Tensor(), {.groups = x.size(1)});
  const std::string activation = call.text("activation", "none");
  if (activation != "none" && activation != "silu" && activation != "swish")
    unsupported("the activation \"", activation, '"');
  return {activation == "none" ? y : y.silu(), seen[{ellipsis, slice(x.size(2))}]};
}

}  // namespace

void add_attention(Ops& ops) {
  ops["Attention"] = attention;
  ops["RotaryEmbedding"] = rotary_embedding;
  ops["LinearAttention"] = linear_attention;
  ops["CausalConvWithState"] = causal_convolution;
}

}  // namespace teeny::onnx
