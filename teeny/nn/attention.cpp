#include "teeny/nn/attention.h"

#include "teeny/functional/functional.h"
#include "teeny/nn/init.h"

namespace teeny::nn {

namespace {
double checked(const char* layer, double p) {
  if (!(p >= 0 && p <= 1)) fail(layer, ": a dropout probability of ", p, "; 0 <= p <= 1");
  return p;
}
}  // namespace

MultiHeadAttention::MultiHeadAttention(int64_t width, int64_t heads, MultiHeadAttentionOptions options)
    : heads(heads), options(options), out_proj(width, width, {.bias = options.bias}) {
  if (heads < 1 || width < 1 || width % heads)
    fail("MultiHeadAttention: a width of ", width, " does not divide into ", heads, " heads");
  const int64_t shared = options.key_heads.value_or(heads);
  if (shared < 1 || heads % shared)
    fail("MultiHeadAttention: ", heads, " heads of queries are no multiple of ", shared, " of keys");
  checked("MultiHeadAttention", options.dropout);
  const int64_t rows = width + 2 * shared * (width / heads);
  check_shape({rows, width}, "MultiHeadAttention");
  in_proj_weight = Tensor::glorot_uniform({rows, width}).requires_grad_();
  if (!options.bias) return;
  in_proj_bias = Tensor::zeros({rows}).requires_grad_();
  init::constant_(out_proj.bias, 0);
}

/// Each (N, L, width) as (N, heads, L, d), after its part of in_proj. Where all three are one tensor, one product gives
/// them.
MultiHeadAttention::Projected MultiHeadAttention::project(const Tensor& query, const Tensor& key,
                                                          const Tensor& value) const {
  const int64_t width = out_proj.weight.size(1);
  for (const Tensor* x : {&query, &key, &value})
    if (x->lazy("MultiHeadAttention").shape().size() != 3 || x->size(2) != width || x->size(0) != query.size(0))
      fail("MultiHeadAttention: ", query.shape(), ", ", key.shape(), " and ", value.shape(), " must be (N, L, ", width,
           ") and twice (N, S, ", width, ")");
  if (key.shape() != value.shape())
    fail("MultiHeadAttention: keys ", key.shape(), " and values ", value.shape(), " differ");

  const auto split = [d = width / heads](const Tensor& x) { return x.unflatten(-1, {-1, d}).transpose(1, 2); };
  const int64_t rows = (in_proj_weight.size(0) - width) / 2;
  const Dims parts = {width, rows, rows};
  if (query.same(key) && query.same(value)) {
    const auto qkv = query.linear(in_proj_weight, in_proj_bias).split(parts, -1);
    return {split(qkv[0]), split(qkv[1]), split(qkv[2])};
  }
  const auto weights = in_proj_weight.split(parts, 0);
  const auto biases = in_proj_bias.defined() ? in_proj_bias.split(parts, 0) : std::vector<Tensor>(3);
  return {split(query.linear(weights[0], biases[0])), split(key.linear(weights[1], biases[1])),
          split(value.linear(weights[2], biases[2]))};
}

Tensor MultiHeadAttention::merge(const Tensor& heads) const { return out_proj(heads.transpose(1, 2).flatten(2)); }

AttentionOptions MultiHeadAttention::completed(AttentionOptions call) const {
  if (call.dropout == 0) call.dropout = options.dropout;
  call.enable_gqa |= options.key_heads.has_value();
  return call;
}

Tensor MultiHeadAttention::operator()(const Tensor& query, const Tensor& key, const Tensor& value,
                                      const AttentionOptions& attention) const {
  return detail::called("MultiHeadAttention", *this, query, [&] {
    const Projected p = project(query, key, value);
    return merge(p.query.scaled_dot_product_attention(p.key, p.value, completed(attention)));
  });
}
Tensor MultiHeadAttention::operator()(const Tensor& query, const Tensor& key, const Tensor& value,
                                      const Tensor& mask) const {
  mask.lazy("MultiHeadAttention");
  return detail::called("MultiHeadAttention", *this, query, [&] {
    const Projected p = project(query, key, value);
    return merge(p.query.scaled_dot_product_attention(p.key, p.value, mask, completed({})));
  });
}

TransformerEncoderLayer::TransformerEncoderLayer(int64_t width, int64_t heads, TransformerEncoderOptions options)
    : options(options),
      self_attn(width, heads, {.bias = options.bias, .dropout = checked("TransformerEncoderLayer", options.dropout)}),
      linear1(width, options.feedforward, {.bias = options.bias}),
      linear2(options.feedforward, width, {.bias = options.bias}),
      norm1(width, {.eps = options.eps, .bias = options.bias}),
      norm2(width, {.eps = options.eps, .bias = options.bias}) {
  if (!options.activation) fail("TransformerEncoderLayer: no activation");
}

template <class Attention>
Tensor TransformerEncoderLayer::run(const Tensor& x, const Attention& attention) const {
  x.lazy("TransformerEncoderLayer");
  const auto attend = [&](const Tensor& x) { return self_attn(x, x, x, attention).dropout(options.dropout); };
  const auto feed = [&](const Tensor& x) {
    return linear2(options.activation(linear1(x)).dropout(options.dropout)).dropout(options.dropout);
  };
  if (options.norm_first) {
    const Tensor y = x + attend(norm1(x));
    return y + feed(norm2(y));
  }
  const Tensor y = norm1(x + attend(x));
  return norm2(y + feed(y));
}
Tensor TransformerEncoderLayer::operator()(const Tensor& x, const AttentionOptions& attention) const {
  return run(x, attention);
}
Tensor TransformerEncoderLayer::operator()(const Tensor& x, const Tensor& mask) const {
  return mask.lazy("TransformerEncoderLayer"), run(x, mask);
}

}  // namespace teeny::nn
