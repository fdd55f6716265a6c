// Golden lines: names and calls that a program from PyTorch brings along. See test_golden.cpp.
#include <cmath>

#include "tests/golden.h"

namespace teeny::test {

static std::vector<Tensor> backwards(const std::vector<Tensor>& parts) { return {parts.rbegin(), parts.rend()}; }

std::vector<GoldenLine> golden_pytorch_calls() {
  return {
      {"of_column", FN(Tensor::of({{1}, {2}}))},
      {"of_one", FN(Tensor::of({{5}}))},
      {"of_deep", FN(Tensor::of<int64_t>({{{1, 2}, {3, 4}}}))},
      {"of_none", FN(Tensor::of({{}, {}}))},
      {"index_tensor", FN(x[y])},
      {"index_slice", FN(x[slice(1)])},
      {"index_ellipsis", FN(x[ellipsis])},
      {"index_new", FN(x[none])},
      {"index_size", FN(x[{slice(), size_t(2)}])},
      {"not", FN(~x)},
      {"logical_not", FN(!x)},
      {"floor_divide_3", FN(floor_divide(x, 3))},
      {"fmod_2", FN(x.fmod(2))},
      {"where_ints", FN(where(x, 1, 0))},
      {"where_floats", FN(where(x, 0.5, -1.))},
      {"where_bool_int", FN(where(x, true, 2))},

      {"nan_to_num", FN(x.nan_to_num())},
      {"nan_to_num_given", FN(x.nan_to_num(1, 2, -3))},
      {"atan2", FN(x.atan2(y))},
      {"logaddexp", FN(x.logaddexp(y))},
      {"isclose", FN(x.isclose(y))},
      {"isclose_nan", FN(x.isclose(y, 1e-5, 1e-8, true))},
      {"isclose_wide", FN(x.isclose(y, 0.5, 0.25))},
      {"allclose", FN(Tensor(x.allclose(x + 1e-7)))},
      {"allclose_not", FN(Tensor(x.allclose(x + 1e-3)))},
      {"glu", FN(x.glu())},
      {"glu_axis", FN(x.glu(0))},
      {"clone", FN(x.clone())},
      {"bernoulli", FN(x.bernoulli())},

      {"movedim", FN(x.movedim(0, 2))},
      {"movedim_back", FN(x.movedim(-1, 0))},
      {"unbind", FN(Tensor::stack(backwards(x.unbind(1))))},
      {"expand_as", FN(x.expand_as(y))},
      {"repeat_interleave", FN(x.repeat_interleave(2))},
      {"repeat_interleave_axis", FN(x.repeat_interleave(3, 0))},
      {"repeat_interleave_none", FN(x.repeat_interleave(0, -1))},
      {"index_add", FN(x.index_add(1, y, z))},
      {"outer", FN(x.outer(y))},

      {"norm", FN(x.norm())},
      {"norm_0", FN(x.norm(0, 1))},
      {"norm_1", FN(x.norm(1, 1))},
      {"norm_2", FN(x.norm(2, 1))},
      {"norm_3", FN(x.norm(3, 1))},
      {"norm_half", FN(x.norm(0.5, 1))},
      {"norm_minus_1", FN(x.norm(-1, 1))},
      {"norm_inf", FN(x.norm(INFINITY, 1))},
      {"norm_minus_inf", FN(x.norm(-INFINITY, 1))},
      {"norm_keep", FN(x.norm(2, {0, 2}, true))},
      {"normalize", FN(x.normalize())},
      {"normalize_1", FN(x.normalize(1, 0))},
      {"cosine_similarity", FN(x.cosine_similarity(y))},
      {"cosine_similarity_last", FN(x.cosine_similarity(y, -1))},
      {"adaptive_avg_pool2d", FN(x.adaptive_avg_pool2d({2, 3}))},
      {"adaptive_avg_pool2d_larger", FN(x.adaptive_avg_pool2d({5, 4}))},
      {"adaptive_avg_pool2d_one", FN(x.adaptive_avg_pool2d(1))},
      {"huber_loss", FN(x.huber_loss(y))},
      {"huber_loss_delta", FN(x.huber_loss(y, 0.5))},
      {"huber_loss_none", FN(x.huber_loss(y, 2, Reduction::None))},

      {"sum_last", FN(x.sum(-1))},
      {"mean_0", FN(x.mean(0))},
      {"prod_0", FN(x.prod(0))},
      {"max_0", FN(x.max(0))},
      {"argmax_0", FN(x.argmax(0))},
      {"argmin_last", FN(x.argmin(-1))},
      {"any_0", FN(x.any(0))},
      {"logsumexp_0", FN(x.logsumexp(0))},
      {"squeeze_last", FN(x.squeeze(-1))},
      {"squeeze_axes", FN(x.squeeze({0, 1}))},
      {"t", FN(x.t())},
  };
}

}  // namespace teeny::test
