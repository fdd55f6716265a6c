#pragma once
// Attention: every position of a sequence looks at all others.
#include <functional>

#include "teeny/nn/layers.h"
#include "teeny/nn/norms.h"

namespace teeny::nn {

struct MultiHeadAttentionOptions {
  bool bias = true;
  double dropout = 0;                        ///< of the attention weights, unless a call names another; while training
  std::optional<int64_t> key_heads = {};  ///< of keys and values: as many as of queries unless given
};
/// Vaswani et al., "Attention is all you need", 2017. Queries (N, L, width), keys and values (N, S, width), the batch
/// first; the width is cut into `heads` of d = width / heads each:
///
///   q, k, v = x W_q^T + b_q, ...          in_proj_weight (3 * width, width) holds W_q, W_k and W_v, stacked
///   head    = softmax(q k^T / sqrt(d)) v  (N, heads, L, d), see Tensor::scaled_dot_product_attention
///   out     = heads side by side, through out_proj: (N, L, width)
///
/// Causal: position i attends to the positions up to i. A mask broadcasts to (N, heads, L, S) and is that of
/// scaled_dot_product_attention, true where a query may attend: PyTorch's layer, unlike its function, means the
/// opposite. in_proj_weight starts as Glorot's uniform distribution, the biases as zeros, as in PyTorch.
///
/// With fewer heads of keys and values, K of them, in_proj_weight is ((heads + 2 K) * d, width), and a head of keys
/// serves heads / K neighbours among the queries; PyTorch has no such layer.
struct MultiHeadAttention {
  MultiHeadAttention(int64_t width, int64_t heads, MultiHeadAttentionOptions options = {});
  MultiHeadAttention(int64_t width, int64_t heads, std::same_as<bool> auto bias)
      : MultiHeadAttention(width, heads, MultiHeadAttentionOptions{.bias = bias}) {}
  Tensor operator()(const Tensor& query, const Tensor& key, const Tensor& value,
                    const AttentionOptions& options = {}) const;
  Tensor operator()(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& mask) const;

  int64_t heads;
  MultiHeadAttentionOptions options;
  Tensor in_proj_weight, in_proj_bias;
  Linear out_proj;
  TEENY_STATE(in_proj_weight, in_proj_bias, out_proj)

 private:
  struct Projected {
    Tensor query, key, value;
  };
  Projected project(const Tensor& query, const Tensor& key, const Tensor& value) const;
  AttentionOptions completed(AttentionOptions call) const;
  Tensor merge(const Tensor& heads) const;
};

struct TransformerEncoderOptions {
  int64_t feedforward = 2048;  ///< the width between the two layers
  double dropout = 0.1;
  std::function<Tensor(const Tensor&)> activation = &Tensor::relu;  ///< PyTorch's "gelu" is &Tensor::gelu_erf
  double eps = 1e-5;                                                ///< of the two norms
  bool norm_first = false;
  bool bias = true;
};
/// Attention of x (N, L, width) to itself and two linear layers, each with a norm and a way around. Vaswani et al.,
/// 2017; the norm first: Xiong et al., "On layer normalization in the transformer architecture", 2020.
///
///   x = norm1(x + attention(x)),   x = norm2(x + linear2(activation(linear1(x))))
///   x = x + attention(norm1(x)),   x = x + linear2(activation(linear1(norm2(x))))     with norm_first
///
/// Dropout takes attention weights, and follows the attention, the activation and linear2. Masks are those of
/// MultiHeadAttention. Names and initial values are PyTorch's, whose batch comes first only with batch_first.
struct TransformerEncoderLayer {
  TransformerEncoderLayer(int64_t width, int64_t heads, TransformerEncoderOptions options = {});
  Tensor operator()(const Tensor& x, const AttentionOptions& attention = {}) const;
  Tensor operator()(const Tensor& x, const Tensor& mask) const;

  TransformerEncoderOptions options;
  MultiHeadAttention self_attn;
  Linear linear1, linear2;
  LayerNorm norm1, norm2;
  TEENY_STATE(self_attn, linear1, linear2, norm1, norm2)

 private:
  template <class Attention>
  Tensor run(const Tensor& x, const Attention& attention) const;
};

}  // namespace teeny::nn
