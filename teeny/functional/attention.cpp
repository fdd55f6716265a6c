// Attention.
#include <cmath>
#include <limits>

#include "teeny/mlops/common.h"

namespace teeny {

// softmax(q k^T / sqrt(width)) v: a query looks at the keys, and gets the values of those it finds. Vaswani et al.
// 2017.
namespace {
constexpr double kInf = std::numeric_limits<double>::infinity();
/// q k^T / sqrt(width), the three checked; in to_accumulate_dtype, as all that follows: before the division a score of
/// float16 may be beyond 65504.
Tensor attention_scores(const Tensor& query, const Tensor& key, const Tensor& value) {
  if (query.rank() < 2 || key.rank() < 2 || query.size(-1) != key.size(-1))
    fail("scaled_dot_product_attention: queries ", query.shape(), " do not fit keys ", key.shape());
  if (value.rank() < 2 || key.size(-2) != value.size(-2))
    fail("scaled_dot_product_attention: keys ", key.shape(), " do not fit values ", value.shape());
  return to_accumulate_dtype(query).matmul(to_accumulate_dtype(key).transpose()) *
         (1 / std::sqrt(double(query.size(-1))));
}
Tensor attended(const Tensor& chances, const Tensor& value, const Tensor& query, const Tensor& key) {
  const DType common = promote(promote(query.dtype(), key.dtype()), value.dtype());
  return chances.matmul(to_accumulate_dtype(value)).cast(is_float(common) ? common : DType::Float32);
}
}  // namespace

Tensor Tensor::scaled_dot_product_attention(const Tensor& key, const Tensor& value,
                                            const AttentionOptions& options) const {
  Tensor score = attention_scores(*this, key, value);
  if (options.causal) score = where(tri(size(-2), key.size(-2)), score, -kInf);
  return attended(score.softmax(), value, *this, key);
}

/// A query that may look at no key gets zeros, as in PyTorch; its scores are set to 0 so that no NaN comes about.
Tensor Tensor::scaled_dot_product_attention(const Tensor& key, const Tensor& value, const Tensor& mask) const {
  const Tensor score = attention_scores(*this, key, value);
  const bool chooses = mask.dtype() == DType::Bool;
  if (!chooses && !is_float(mask.dtype()))
    fail("scaled_dot_product_attention: the mask is ", mask.dtype(), " and must be bool or floats");
  if (broadcast(mask.shape(), score.shape(), "scaled_dot_product_attention") != score.shape())
    fail("scaled_dot_product_attention: a mask of ", mask.shape(), " is larger than the scores ", score.shape());
  const Tensor masked = chooses ? where(mask, score, -kInf) : score + mask.cast(score.dtype());
  const Tensor blind = (masked == -kInf).all(-1, true);
  return attended(where(blind, 0, where(blind, 0, masked).softmax()), value, *this, key);
}

}  // namespace teeny
