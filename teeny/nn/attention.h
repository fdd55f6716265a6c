#pragma once
// Attention: every position of a sequence looks at all others.
#include "teeny/nn/layers.h"

namespace teeny::nn {

/// Vaswani et al., "Attention is all you need", 2017. Queries (N, L, width), keys and values (N, S, width), the batch
/// first; the width is cut into `heads` of d = width / heads each:
///
///   q, k, v = x W_q^T + b_q, ...          in_proj_weight (3 * width, width) holds W_q, W_k and W_v, stacked
///   head    = softmax(q k^T / sqrt(d)) v  (N, heads, L, d), see Tensor::scaled_dot_product_attention
///   out     = heads side by side, through out_proj: (N, L, width)
///
/// Causal: position i attends to the positions up to i. A mask broadcasts to (N, heads, L, S) and is that of
/// scaled_dot_product_attention, true where a query may attend: PyTorch's layer, unlike its function, means the
/// opposite. Attention weights are never dropped. in_proj_weight starts as Glorot's uniform distribution, the biases as
/// zeros, as in PyTorch.
struct MultiHeadAttention {
  MultiHeadAttention(int64_t width, int64_t heads, LayerOptions layer = {});
  Tensor operator()(const Tensor& query, const Tensor& key, const Tensor& value,
                    const AttentionOptions& options = {}) const;
  Tensor operator()(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& mask) const;

  int64_t heads;
  Tensor in_proj_weight, in_proj_bias;
  Linear out_proj;
  TEENY_STATE(in_proj_weight, in_proj_bias, out_proj)

 private:
  struct Projected {
    Tensor query, key, value;
  };
  Projected project(const Tensor& query, const Tensor& key, const Tensor& value) const;
  Tensor merge(const Tensor& heads) const;
};

}  // namespace teeny::nn
