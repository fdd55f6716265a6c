// Attention.
#include <cmath>
#include <limits>

#include "teeny/functional/functional.h"

namespace teeny {

// softmax(q k^T / sqrt(width)) v: a query looks at the keys, and gets the values of those it finds. Vaswani et al.
// 2017.
namespace {
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr const char* kName = "scaled_dot_product_attention";

void check_options(const AttentionOptions& options) {
  if (!(options.dropout >= 0 && options.dropout <= 1)) fail(kName, ": dropout ", options.dropout, " is outside [0, 1]");
}

/// Every head of keys or values as often as there are queries for it: (.., heads, length, width).
Tensor for_each_query(const Tensor& x, const Tensor& query, const char* what) {
  if (query.rank() < 3 || x.rank() < 3 || x.size(-3) == 0 || query.size(-3) % x.size(-3))
    fail(kName, ": enable_gqa: the heads of queries ", query.shape(), " are not a multiple of those of ", what, ' ',
         x.shape());
  return x.repeat_interleave(query.size(-3) / x.size(-3), -3);
}

/// q k^T / sqrt(width), the three checked; in to_accumulate_dtype, as all that follows: before the division a score of
/// float16 may be beyond 65504.
Tensor attention_scores(const Tensor& query, const Tensor& key, const Tensor& value, const AttentionOptions& options) {
  check_options(options);
  for (const Tensor& x : {query, key, value}) x.lazy(kName);
  if (query.rank() < 2 || key.rank() < 2 || query.size(-1) != key.size(-1))
    fail(kName, ": queries ", query.shape(), " do not fit keys ", key.shape());
  if (value.rank() < 2 || key.size(-2) != value.size(-2))
    fail(kName, ": keys ", key.shape(), " do not fit values ", value.shape());
  numel({query.numel(), key.size(-2)}, kName);
  const Tensor keys = to_accumulate_dtype(options.enable_gqa ? for_each_query(key, query, "keys") : key);
  return to_accumulate_dtype(query).matmul(keys.transpose()) *
         options.scale.value_or(1 / std::sqrt(double(std::max<int64_t>(query.size(-1), 1))));
}
Tensor attended(const Tensor& chances, const Tensor& value, const Tensor& query, const Tensor& key,
                const AttentionOptions& options) {
  const DType common = promote(promote(query.dtype(), key.dtype()), value.dtype());
  const Tensor kept = options.dropout == 0 ? chances : chances.dropout(options.dropout);
  const Tensor values = to_accumulate_dtype(options.enable_gqa ? for_each_query(value, query, "values") : value);
  return kept.matmul(values).cast(is_float(common) ? common : DType::Float32);
}
}  // namespace

Tensor Tensor::scaled_dot_product_attention(const Tensor& key, const Tensor& value,
                                            const AttentionOptions& options) const {
  // [exercise 22
  Tensor score = attention_scores(*this, key, value, options);
  if (options.causal) score = where(tri(size(-2), key.size(-2)), score, -kInf);
  return attended(score.softmax(), value, *this, key, options);
  // exercise 22]
}

/// A query that may look at no key gets zeros, as in PyTorch; its scores are set to 0 so that no NaN comes about.
Tensor Tensor::scaled_dot_product_attention(const Tensor& key, const Tensor& value, const Tensor& mask,
                                            const AttentionOptions& options) const {
  if (options.causal) fail(kName, ": causal beside a mask; let the mask say it: mask & Tensor::tri(queries, keys)");
  const Tensor score = attention_scores(*this, key, value, options);
  const bool chooses = mask.lazy(kName).dtype() == DType::Bool;
  if (!chooses && !is_float(mask.dtype())) fail(kName, ": the mask is ", mask.dtype(), " and must be bool or floats");
  if (broadcast(mask.shape(), score.shape(), kName) != score.shape())
    fail(kName, ": a mask of ", mask.shape(), " is larger than the scores ", score.shape());
  const Tensor masked = chooses ? where(mask, score, -kInf) : score + mask.cast(score.dtype());
  const Tensor blind = (masked == -kInf).all(-1, true);
  return attended(where(blind, 0, where(blind, 0, masked).softmax()), value, *this, key, options);
}

}  // namespace teeny
