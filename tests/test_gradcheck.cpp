// Every rule against central finite differences, in float64: its gradient, and the gradient of its gradient. No value
// here comes from anywhere but the definition of the derivative.
#include <doctest/doctest.h>

#include <functional>
#include <random>

#include "teeny/functional/functions.h"
#include "teeny/nn/norms.h"
#include "tests/check.h"

namespace teeny::test {
namespace {

/// The inputs are spread evenly over (low, high) in shuffled order: no two are equal, and none sits on a kink, so that
/// `max` and `relu` are smooth where they are asked.
struct Rule {
  std::string name;
  Expression run;
  std::vector<Shape> shapes;
  double low = -2, high = 2;
  size_t zero_every = 0;  ///< how far the zeros among the values are apart, if there are any
};

using Tensors = std::vector<Tensor>;
using Loss = std::function<Tensor(const Tensors&)>;

Tensor leaf(const std::vector<double>& values, const Shape& shape) {
  return Tensor::from(values, shape).requires_grad_();
}

Tensors inputs_of(const Rule& rule) {
  std::mt19937 random(7);
  Tensors inputs;
  for (const Shape& shape : rule.shapes) {
    std::vector<double> values(numel(shape));
    for (size_t i = 0; i < values.size(); ++i) {
      const double place = (i + 0.31 + 0.17 * inputs.size()) / values.size();
      values[i] = rule.low + place * (rule.high - rule.low);
    }
    std::shuffle(values.begin(), values.end(), random);
    if (rule.zero_every)
      for (size_t i = rule.zero_every / 2; i < values.size(); i += rule.zero_every) values[i] = 0;
    inputs.push_back(leaf(values, shape));
  }
  return inputs;
}

Tensor put(Tensor x, std::initializer_list<Index> index, const Tensor& value) { return x.set(index, value); }

/// sum(x * v) for a fixed v without symmetry: all derivatives of x are seen in it, and in different amounts.
Tensor weighted_sum(const Tensor& x) {
  std::vector<double> v(x.numel());
  for (size_t i = 0; i < v.size(); ++i) v[i] = std::cos(3.0 * double(i) + 1);
  return (x * Tensor::from(v, x.shape())).sum();
}

std::string attempt(const Loss& loss, const Tensors& xs) {
  try {
    return testing::gradcheck(loss, xs).message;
  } catch (const std::exception& error) { return text("threw: ", error.what()); }
}

void check(const std::vector<Rule>& rules) {
  for (const Rule& rule : rules) {
    const Loss loss = [&](const Tensors& xs) {
      const auto input = [&](size_t i) { return i < xs.size() ? xs[i] : Tensor(); };
      return weighted_sum(rule.run(input(0), input(1), input(2), input(3)));
    };
    const Loss gradients = [&](const Tensors& xs) {
      Tensor sum = Tensor::zeros({}, DType::Float64);
      for (const Tensor& grad : gradient(loss(xs), xs)) sum += weighted_sum(grad);
      return sum;
    };
    const Tensors inputs = inputs_of(rule);
    std::string wrong = attempt(loss, inputs);
    if (!wrong.empty()) FAIL_CHECK(rule.name << ": " << wrong);
    wrong = attempt(gradients, inputs);
    if (!wrong.empty()) FAIL_CHECK(rule.name << ", second derivative: " << wrong);
  }
}

Tensor ints(std::initializer_list<int64_t> values) { return Tensor::from(std::vector<int64_t>(values)); }

}  // namespace

TEST_CASE("gradcheck: elementwise") {
  check({
      {"neg", FN(-x), {{3, 4}}},
      {"reciprocal", FN(x.reciprocal()), {{3, 4}}, 0.5, 2},
      {"square", FN(x.square()), {{3, 4}}},
      {"sqrt", FN(x.sqrt()), {{3, 4}}, 0.5, 2},
      {"rsqrt", FN(x.rsqrt()), {{3, 4}}, 0.5, 2},
      {"abs", FN(x.abs()), {{3, 4}}},
      {"sign", FN(x.sign() * x), {{4}}},
      {"floor", FN(x.floor() * x), {{4}}},
      {"round", FN(x.round() * x), {{4}}},
      {"exp", FN(x.exp()), {{3, 4}}},
      {"exp2", FN(x.exp2()), {{3, 4}}},
      {"log", FN(x.log()), {{3, 4}}, 0.5, 2},
      {"log2", FN(x.log2()), {{3, 4}}, 0.5, 2},
      {"log1p", FN(x.log1p()), {{3, 4}}, -0.5, 2},
      {"sin", FN(x.sin()), {{3, 4}}},
      {"cos", FN(x.cos()), {{3, 4}}},
      {"tan", FN(x.tan()), {{3, 4}}, -1, 1},
      {"sinh", FN(x.sinh()), {{3, 4}}},
      {"cosh", FN(x.cosh()), {{3, 4}}},
      {"tanh", FN(x.tanh()), {{3, 4}}},
      {"erf", FN(x.erf()), {{3, 4}}},
      {"sigmoid", FN(x.sigmoid()), {{3, 4}}},
      {"logsigmoid", FN(x.logsigmoid()), {{3, 4}}},
      {"relu", FN(x.relu()), {{3, 4}}},
      {"relu6", FN(x.relu6()), {{3, 4}}, -3, 9},
      {"silu", FN(x.silu()), {{3, 4}}},
      {"mish", FN(x.mish()), {{3, 4}}},
      {"gelu", FN(x.gelu()), {{3, 4}}},
      {"gelu_erf", FN(x.gelu_erf()), {{3, 4}}},
      {"quick_gelu", FN(x.quick_gelu()), {{3, 4}}},
      {"hardswish", FN(x.hardswish()), {{3, 4}}, -5, 5},
      {"hardsigmoid", FN(x.hardsigmoid()), {{3, 4}}, -5, 5},
      {"softsign", FN(x.softsign()), {{3, 4}}},
      {"selu", FN(x.selu()), {{3, 4}}},
      {"leaky_relu", FN(x.leaky_relu(0.2)), {{3, 4}}},
      {"elu", FN(x.elu(0.7)), {{3, 4}}},
      {"celu", FN(x.celu(0.7)), {{3, 4}}},
      {"softplus", FN(x.softplus(3)), {{3, 4}}},
      {"hardtanh", FN(x.hardtanh()), {{3, 4}}},
      {"clamp", FN(x.clamp(-1, 0.5)), {{3, 4}}},
      {"add", FN(x + y), {{3, 4}, {4}}},
      {"sub", FN(x - y), {{3, 1}, {4}}},
      {"mul", FN(x * y), {{3, 4}, {3, 1}}},
      {"div", FN(x / y), {{3, 4}, {4}}, 0.5, 2},
      {"remainder", FN(x % y), {{3, 4}, {4}}, 0.5, 2},
      {"fmod", FN(x.fmod(y)), {{3, 4}, {4}}, 0.5, 2},
      {"pow", FN(x.pow(y)), {{3, 4}, {4}}, 0.5, 2},
      {"pow(3)", FN(x.pow(3)), {{3, 4}}},
      {"pow(-0.5)", FN(x.pow(-0.5)), {{3, 4}}, 0.5, 2},
      {"maximum", FN(x.maximum(y)), {{3, 4}, {4}}},
      {"minimum", FN(x.minimum(y)), {{3, 4}, {4}}},
      {"lerp", FN(x.lerp(y, 0.3)), {{3, 4}, {4}}},
      {"where", FN(where(x > 0, x * y, y)), {{3, 4}, {4}}},
      {"where_number", FN(where(x > y, x, 0.5)), {{3, 4}, {4}}},
      {"masked_fill", FN(x.masked_fill(y > 0, 3)), {{3, 4}, {4}}},
      {"chain", FN((x * y + x / z).exp().sin() * y), {{3}, {2, 1}, {3}}, 0.5, 1},
  });
}

TEST_CASE("gradcheck: movement") {
  check({
      {"reshape", FN(x.reshape({3, 4}).square()), {{2, 6}}},
      {"permute", FN(x.permute({2, 0, 1}).square()), {{2, 3, 2}}},
      {"expand", FN(x.expand({2, 3, 4}).square()), {{3, 1}}},
      {"repeat", FN(x.repeat({2, 3}).square()), {{2, 2}}},
      {"flip", FN(x.flip({0, 1}).square()), {{2, 3}}},
      {"pad", FN(x.pad({1, 0}, {0, 2}).square()), {{2, 3}}},
      {"pad_value", FN(x.pad({1, 0}, {0, 2}, 3).square()), {{2, 3}}},
      {"pad_exp", FN(x.pad({1, 0}, {0, 2}).exp()), {{2, 3}}},
      {"pad_negative", FN(x.pad({-1, 1}, {1, -1}).exp()), {{3, 3}}},
      {"shrink", FN(x.shrink({1, 0}, {3, 2}).square()), {{3, 3}}},
      {"slice_step", FN(x[{slice({}, {}, -2), none, 1}].square()), {{5, 2}}},
      {"unfold", FN(x.unfold(1, 3, 1).square()), {{2, 5}}},
      {"unfold_step", FN(x.unfold(0, 2, 2).square()), {{5, 2}}},
      {"unfold_gaps", FN(x.unfold(0, 2, 3).square()), {{8}}},
      {"unfold_dilated", FN(x.unfold(0, 3, 1, 2).square()), {{7}}},
      {"unfold_everything", FN(x.unfold(0, 3, 2, 2).square()), {{10}}},
      {"unfold_twice", FN(x.unfold(0, 2, 1).unfold(1, 2, 2).square()), {{4, 5}}},
      {"diagonal", FN(x.diagonal(0, 2).square()), {{3, 2, 3}}},
      {"roll", FN(x.roll(2, 1).square()), {{2, 3}}},
      {"contiguous", FN(x.t().contiguous().square()), {{2, 3}}},
      {"tril", FN(x.tril().square()), {{3, 3}}},
      {"cat", FN(Tensor::cat({x, y.square(), x}, 1).square()), {{2, 2}, {2, 1}}},
      {"stack", FN(Tensor::stack({x, y}, 1).square()), {{2, 2}, {2, 2}}},
      {"split", FN(x.split(2)[1].square()), {{5, 2}}},
      {"gather", FN(x.gather(0, Tensor::of<int64_t>({{0, 3}, {0, 1}})).square()), {{4, 2}}},
      {"scatter_add",
       FN(x.scatter_add(0, Tensor::of<int64_t>({{0, 3}, {0, 1}}), y.square()).square()),
       {{4, 2}, {2, 2}}},
      {"index_select", FN(x.index_select(1, ints({2, 0, 2})).square()), {{2, 3}}},
      {"embedding", FN(x.embedding(ints({3, 0, 3})).square()), {{4, 2}}},
  });
}

TEST_CASE("gradcheck: in order") {
  check({
      {"cumsum", FN(x.cumsum(1).square()), {{2, 4}}},
      {"cumprod", FN(x.cumprod(0)), {{4, 2}}},
      {"cumprod_zero", FN(x.cumprod(0)), {{6}}, -2, 2, 6},
      {"cumprod_zeros", FN(x.cumprod(0)), {{5, 2}}, -2, 2, 3},
      {"cumprod_all_zero", FN(x.cumprod(1)), {{1, 4}}, -2, 2, 1},
      {"cummax", FN(x.cummax(1).values.square()), {{3, 5}}},
      {"cummin", FN(x.cummin(0).values.square()), {{5, 2}}},
      {"sort", FN(x.sort(1, true).values.square() * Tensor::arange(4)), {{2, 4}}},
      {"topk", FN(x.topk(2, 0).values.square()), {{4, 2}}},
      {"atan", FN(x.atan()), {{3, 4}}},
      {"asin", FN(x.asin()), {{3, 4}}, -0.9, 0.9},
      {"acos", FN(x.acos()), {{3, 4}}, -0.9, 0.9},
      {"scatter", FN(x.square().scatter(0, Tensor::of<int64_t>({{0, 3}, {0, 1}}), y.square())), {{4, 2}, {2, 2}}},
      {"set", FN(put(x.square(), {slice({}, {}, 2), 1}, y.square()).square()), {{3, 2}, {2}}},
      {"set_mask", FN(put(x.square(), {x.detach() > 0}, y).square()), {{3, 2}, {}}},
  });
}

TEST_CASE("gradcheck: hyperbolic, weights, borders, grids") {
  check({
      {"asinh", FN(x.asinh()), {{3, 4}}},
      {"acosh", FN(x.acosh()), {{3, 4}}, 1.2, 4},
      {"atanh", FN(x.atanh()), {{3, 4}}, -0.8, 0.8},
      {"trunc", FN(x.trunc() * x), {{4}}},
      {"ceil", FN(x.ceil() * x), {{4}}},
      {"lerp_weights", FN(x.lerp(y, z)), {{3, 4}, {4}, {3, 1}}},
      {"clamp_low", FN(x.clamp(-0.5)), {{3, 4}}},
      {"pad_reflect", FN(x.pad({1, 0}, {0, 2}, PadMode::Reflect).square()), {{2, 3}}},
      {"pad_replicate", FN(x.pad({1, 0}, {-1, 2}, PadMode::Replicate).square()), {{3, 3}}},
      {"pad_circular", FN(x.pad({2, -1}, {0, 2}, PadMode::Circular).square()), {{2, 3}}},
      {"meshgrid", FN(Tensor::stack(Tensor::meshgrid({x, y}, "xy")).square()), {{3}, {2}}},
      {"roll_axes", FN(x.roll({1, 2}, {0, 1}).square()), {{2, 3}}},
      {"roll_flat", FN(x.roll(2).square()), {{2, 3}}},
      {"split_sizes", FN(x.split({1, 3}, 1)[1].square()), {{2, 4}}},
      {"diagonal_offset", FN(x.diagonal(0, 1, 1).square()), {{3, 4}}},
      {"triu", FN(x.triu(1).square()), {{3, 3}}},
      {"flatten", FN(x.unflatten(1, {2, -1}).flatten(0, 1).square()), {{2, 4}}},
  });
}

TEST_CASE("gradcheck: indexing by tensors") {
  check({
      {"one", FN(x[{slice(), ints({2, 0, -1})}].square()), {{2, 3}}},
      {"neighbours", FN(x[{ints({0, 1, 0}), ints({2, -1, 2})}].square()), {{2, 3}}},
      {"apart", FN(x[{ints({0, 1}), slice(), ints({2, 2}).unsqueeze(-1)}].square()), {{2, 2, 3}}},
      {"number", FN(x[{Tensor(-1), slice({}, {}, -1), none}].square()), {{2, 3}}},
  });
}

TEST_CASE("gradcheck: reductions") {
  check({
      {"sum", FN(x.sum(1).square()), {{3, 4}}},
      {"mean", FN(x.mean({0, 2}).square()), {{2, 2, 3}}},
      {"prod", FN(x.prod(1)), {{3, 3}}},
      {"prod_all", FN(x.prod()), {{5}}},
      {"prod_axes", FN(x.prod({0, 2})), {{2, 2, 3}}},
      {"prod_zero", FN(x.prod()), {{5}}, -2, 2, 5},
      {"prod_zeros", FN(x.prod(0)), {{5, 2}}, -2, 2, 3},
      {"prod_all_zero", FN(x.prod()), {{3}}, -2, 2, 1},
      {"max", FN(x.max(1).square()), {{3, 4}}},
      {"max_axes", FN(x.max({0, 2}, true).square()), {{2, 2, 3}}},
      {"min", FN(x.min().square()), {{3, 4}}},
      {"var", FN(x.var(1)), {{3, 4}}},
      {"std", FN(x.std(0, 0)), {{3, 4}}},
      {"softmax", FN(x.softmax()), {{3, 4}}},
      {"softmax_axis", FN(x.softmax(1)), {{2, 3, 2}}},
      {"log_softmax", FN(x.log_softmax(0)), {{3, 4}}},
      {"logsumexp", FN(x.logsumexp(1)), {{3, 4}}},
      {"layernorm", FN(x.layernorm()), {{3, 4}}},
      {"layernorm_axes", FN(x.layernorm(2, 0.1)), {{2, 2, 3}}},
  });
}

TEST_CASE("gradcheck: products") {
  check({
      {"matmul", FN(x.matmul(y)), {{3, 4}, {4, 2}}},
      {"matmul_vectors", FN(x.matmul(y)), {{4}, {4}}},
      {"matmul_vector", FN(x.matmul(y)), {{2, 3}, {3}}},
      {"matmul_batches", FN(x.matmul(y)), {{2, 2, 3}, {2, 3, 2}}},
      {"matmul_broadcast", FN(x.matmul(y)), {{2, 1, 2, 3}, {2, 3, 1}}},
      {"matmul_views", FN(x.t().matmul(y.flip(0)).exp()), {{3, 2}, {3, 2}}, -1, 1},
      {"linear", FN(x.linear(y, z)), {{2, 3}, {2, 3}, {2}}},
      {"attention", FN(x.scaled_dot_product_attention(y, z)), {{2, 3}, {3, 3}, {3, 2}}},
      {"attention_causal", FN(x.scaled_dot_product_attention(y, z, {.causal = true})), {{3, 2}, {3, 2}, {3, 2}}},
      {"attention_mask", FN(x.scaled_dot_product_attention(y, z, Tensor::tri(2, 3))), {{2, 3}, {3, 3}, {3, 2}}},
      {"attention_mask_blind",
       FN(x.scaled_dot_product_attention(y, z, Tensor::tri(2, 3, -1))),
       {{2, 3}, {3, 3}, {3, 2}}},
      {"attention_added", FN(x.scaled_dot_product_attention(y, z, w)), {{2, 3}, {3, 3}, {3, 2}, {3}}},
      {"einsum_trace", FN(Tensor::einsum("ii", {x}).square()), {{3, 3}}},
      {"einsum_diagonal", FN(Tensor::einsum("iji->ij", {x}).square()), {{2, 3, 2}}},
      {"einsum_three", FN(Tensor::einsum("ik,jkl,il->ij", {x, y, z})), {{2, 2}, {3, 2, 2}, {2, 2}}},
      {"einsum_lone", FN(Tensor::einsum("ij,kl->ki", {x, y})), {{2, 3}, {2, 2}}},
      {"einsum_repeated", FN(Tensor::einsum("ij,jk->ik", {x, y})), {{2, 3}, {1, 2}}},
      {"einsum_dots", FN(Tensor::einsum("...ij,...jk", {x, y})), {{2, 1, 2, 2}, {3, 2, 1}}},
  });
}

TEST_CASE("gradcheck: pooling and interpolation") {
  check({
      {"max_pool2d", FN(x.max_pool2d(2).square()), {{1, 1, 4, 4}}},
      {"max_pool2d_overlap", FN(x.max_pool2d(2, {.stride = 1, .padding = 1}).square()), {{1, 1, 3, 3}}},
      {"max_pool2d_dilation", FN(x.max_pool2d(2, {.stride = 1, .dilation = 2}).square()), {{1, 1, 4, 3}}},
      {"avg_pool2d", FN(x.avg_pool2d(2).square()), {{1, 1, 4, 4}}},
      {"avg_pool2d_overlap", FN(x.avg_pool2d(3, {.stride = 2, .padding = 1}).square()), {{1, 1, 4, 3}}},
      {"max_pool2d_ceil", FN(x.max_pool2d(3, {.stride = 2, .padding = 1, .ceil_mode = true}).square()), {{1, 4, 4}}},
      {"max_pool1d", FN(x.max_pool1d(3, {.stride = 2, .ceil_mode = true}).square()), {{2, 6}}},
      {"max_pool3d", FN(x.max_pool3d({1, 2, 2}, {.stride = 1}).square()), {{1, 2, 2, 3}}},
      {"avg_pool2d_ceil", FN(x.avg_pool2d(3, {.stride = 2, .padding = 1, .ceil_mode = true}).square()), {{1, 4, 4}}},
      {"avg_pool2d_uncounted",
       FN(x.avg_pool2d(3, {.stride = 2, .padding = 1, .ceil_mode = true, .count_include_pad = false}).square()),
       {{1, 4, 4}}},
      {"avg_pool1d", FN(x.avg_pool1d(3, {.stride = 2, .ceil_mode = true}).square()), {{2, 6}}},
      {"avg_pool3d", FN(x.avg_pool3d({1, 2, 2}, {.stride = 1}).square()), {{1, 2, 2, 3}}},
      {"interpolate_nearest", FN(x.interpolate({5, 2}).square()), {{1, 1, 3, 3}}},
      {"interpolate_linear", FN(x.interpolate(5, {.mode = Interpolation::Linear}).square()), {{1, 2, 3}}},
      {"interpolate_bilinear",
       FN(x.interpolate({5, 2}, {.mode = Interpolation::Linear, .align_corners = true}).square()),
       {{1, 1, 3, 3}}},
      {"interpolate_trilinear",
       FN(x.interpolate({1, 3, 3}, {.mode = Interpolation::Linear}).square()),
       {{1, 1, 2, 2, 2}}},
      {"interpolate_cubic", FN(x.interpolate({5, 2}, {.mode = Interpolation::Cubic}).square()), {{1, 1, 3, 3}}},
  });
}

TEST_CASE("gradcheck: convolutions") {
  check({
      {"conv2d", FN(x.conv2d(y, z)), {{1, 2, 3, 3}, {2, 2, 2, 2}, {2}}},
      {"one_by_one", FN(x.conv2d(y, z)), {{2, 2, 2, 1}, {2, 2, 1, 1}, {2}}},
      {"stride", FN(x.conv2d(y, z, {.stride = 2})), {{1, 1, 5, 4}, {2, 1, 2, 3}, {2}}},
      {"stride_beyond_kernel", FN(x.conv2d(y, {}, {.stride = 3})), {{1, 1, 6, 5}, {1, 1, 2, 2}}},
      {"padding", FN(x.conv2d(y, z, {.padding = 1})), {{1, 1, 3, 2}, {2, 1, 3, 3}, {2}}},
      {"padding_beyond_kernel", FN(x.conv2d(y, {}, {.padding = {2, 1}})), {{1, 1, 2, 3}, {1, 1, 2, 1}}},
      {"dilation", FN(x.conv2d(y, {}, {.dilation = {2, 1}})), {{1, 1, 5, 3}, {1, 1, 3, 2}}},
      {"groups", FN(x.conv2d(y, z, {.groups = 2})), {{1, 4, 2, 3}, {2, 2, 2, 2}, {2}}},
      {"depthwise", FN(x.conv2d(y, {}, {.padding = 1, .groups = 2})), {{1, 2, 3, 2}, {2, 1, 2, 2}}},
      {"everything",
       FN(x.conv2d(y, z, {.stride = {2, 1}, .padding = {1, 2}, .dilation = {1, 2}, .groups = 2})),
       {{1, 2, 4, 3}, {2, 1, 3, 2}, {2}}},
      {"asymmetric",
       FN(x.conv2d(y, {}, {.stride = 3, .padding = {1, 0}, .dilation = 2, .padding_end = Sizes{0, 3}})),
       {{1, 1, 7, 4}, {2, 1, 2, 3}}},
      {"conv1d", FN(x.conv1d(y, {}, {.stride = 2, .padding = 1})), {{2, 2, 5}, {1, 2, 3}}},
      {"conv3d", FN(x.conv3d(y)), {{1, 1, 2, 3, 2}, {1, 1, 2, 2, 1}}},
      {"transpose", FN(x.conv_transpose2d(y, z)), {{1, 2, 2, 3}, {2, 2, 2, 2}, {2}}},
      {"transpose_everything",
       FN(x.conv_transpose2d(y, z, {.stride = 2, .padding = {1, 0}, .output_padding = 1, .groups = 2})),
       {{1, 4, 2, 2}, {4, 1, 3, 2}, {2}}},
      {"transpose_dilation",
       FN(x.conv_transpose2d(y, {}, {.stride = {2, 1}, .output_padding = {1, 2}, .dilation = {2, 3}})),
       {{1, 1, 2, 2}, {1, 2, 2, 2}}},
      {"transpose1d", FN(x.conv_transpose1d(y, {}, {.stride = 2, .padding = 1})), {{2, 2, 3}, {2, 1, 3}}},
      {"transpose3d", FN(x.conv_transpose3d(y)), {{1, 1, 2, 1, 2}, {1, 1, 1, 2, 2}}},
  });
}

TEST_CASE("gradcheck: layers") {
  check({
      {"groupnorm", FN(nn::GroupNorm(2, 4, {.affine = false})(x)), {{2, 4, 2}}},
      {"instancenorm", FN(nn::InstanceNorm1d(2)(x)), {{2, 2, 3}}},
      {"rmsnorm", FN(nn::RMSNorm(4, {.affine = false})(x)), {{2, 4}}},
      {"rmsnorm_axes", FN(nn::RMSNorm(Shape{2, 2}, {.eps = 0.1, .affine = false})(x)), {{2, 2, 2}}},
  });
}

TEST_CASE("gradcheck: names from PyTorch") {
  check({
      {"atan2", FN(x.atan2(y)), {{4, 3}, {4, 3}}},
      {"logaddexp", FN(x.logaddexp(y)), {{3, 4}, {4}}},
      {"nan_to_num", FN(x.nan_to_num().square()), {{4}}},
      {"glu", FN(x.glu()), {{2, 4}}},
      {"clone", FN(x.clone().square()), {{3}}},
      {"outer", FN(x.outer(y)), {{2}, {3}}},
      {"norm", FN(x.norm()), {{3, 2}}},
      {"norm_3", FN(x.norm(3, 1)), {{3, 2}}},
      {"norm_half", FN(x.norm(0.5, 1)), {{3, 2}}, 0.5, 2},
      {"norm_inf", FN(x.norm(INFINITY, 0)), {{3, 2}}},
      {"normalize", FN(x.normalize()), {{3, 2}}, 0.5, 2},
      {"cosine_similarity", FN(x.cosine_similarity(y)), {{2, 3}, {2, 3}}, 0.5, 2},
      {"movedim", FN(x.movedim(0, 2).square()), {{2, 3, 2}}},
      {"unbind", FN(x.unbind(1)[1].square()), {{2, 3}}},
      {"repeat_interleave", FN(x.repeat_interleave(2, 1).square()), {{2, 3}}},
      {"index_add", FN(x.index_add(0, ints({1, 0, 1}), y).square()), {{2, 3}, {3, 3}}},
      {"adaptive_avg_pool2d", FN(x.adaptive_avg_pool2d({2, 3}).square()), {{1, 5, 4}}},
      {"huber_loss", FN(x.huber_loss(y, 0.5)), {{3, 2}, {3, 2}}},
  });
}

TEST_CASE("gradcheck: masks, sending with a reduction, order, images") {
  check({
      {"masked_select", FN(x.masked_select(x > 0).square()), {{3, 4}}},
      {"mask", FN(x[{slice(), x[0] > 0}].square()), {{2, 4}}},
      {"diag_embed", FN(x.diag_embed(1).square()), {{2, 3}}},
      {"scatter_prod", FN(x.scatter_reduce(0, ints({2, 0, 2, 2}), y, ScatterReduce::Prod)), {{4}, {4}}},
      {"scatter_prod_zero", FN(x.scatter_reduce(0, ints({2, 0, 2, 2}), y, ScatterReduce::Prod)), {{3}, {4}}, -2, 2, 4},
      {"scatter_prod_alone", FN(x.scatter_reduce(0, ints({2, 0, 2, 2}), y, ScatterReduce::Prod, false)), {{4}, {4}}},
      {"scatter_mean", FN(x.scatter_reduce(0, ints({2, 0, 2, 2}), y, ScatterReduce::Mean).square()), {{4}, {4}}},
      {"scatter_sum_alone",
       FN(x.scatter_reduce(0, ints({2, 0, 2, 2}), y, ScatterReduce::Sum, false).square()),
       {{4}, {4}}},
      {"scatter_amax", FN(x.scatter_reduce(0, ints({2, 0, 2, 2}), y, ScatterReduce::Amax).square()), {{4}, {4}}},
      {"scatter_amin_alone",
       FN(x.scatter_reduce(0, ints({2, 0, 2, 2}), y, ScatterReduce::Amin, false).square()),
       {{4}, {4}}},
      {"index_mean", FN(x.index_reduce(1, ints({1, 0, 1}), y, ScatterReduce::Mean).square()), {{2, 3}, {2, 3}}},
      {"logcumsumexp", FN(x.logcumsumexp(1)), {{2, 5}}},
      {"median", FN(x.median().square()), {{7}}},
      {"median_axis", FN(x.median(0).values.square()), {{4, 2}}},
      {"quantile", FN(x.quantile(0.3, 1).square()), {{2, 5}}},
      {"var_mean", FN(var_mean(x, 1).first * var_mean(x, 1).second), {{2, 4}}},
      {"max_pool2d_values", FN(max_pool2d_with_indices(x).values.square()), {{1, 4, 4}}},
      {"max_unpool2d", FN(max_unpool2d(x.square(), max_pool2d_with_indices(y).indices)), {{1, 2, 2}, {1, 4, 4}}},
      {"max_pool2d_ends", FN(x.max_pool2d(2, {.padding_end = 1}).square()), {{1, 3, 3}}},
      {"avg_pool2d_ends", FN(x.avg_pool2d(2, {.padding_end = 1, .count_include_pad = false}).square()), {{1, 3, 3}}},
      {"pixel_shuffle", FN(pixel_shuffle(x, 2).square()), {{4, 2, 1}}},
      {"copysign", FN(copysign(x, y).exp()), {{5}, {5}}},
      {"pixel_unshuffle", FN(pixel_unshuffle(x, 2).square()), {{1, 4, 2}}},
      {"unfold_image", FN(unfold(x, 2, {.padding = 1, .stride = 2}).square()), {{2, 4, 3}}},
      {"fold", FN(fold(x, {3, 3}, 2).square()), {{4, 4}}},
      {"grid_sample", FN(grid_sample(x, y)), {{1, 2, 3, 4}, {1, 3, 2, 2}}, -1.4, 1.4},
      {"grid_sample_border",
       FN(grid_sample(x, y, {.padding = GridPadding::Border})),
       {{1, 1, 3, 4}, {1, 3, 2, 2}},
       -1.4,
       1.4},
      {"grid_sample_reflection",
       FN(grid_sample(x, y, {.padding = GridPadding::Reflection, .align_corners = true})),
       {{1, 1, 3, 4}, {1, 3, 2, 2}},
       -1.7,
       1.7},
      {"grid_sample_cubic",
       FN(grid_sample(x, y, {.mode = Interpolation::Cubic, .padding = GridPadding::Border})),
       {{1, 1, 3, 4}, {1, 2, 2, 2}},
       -1.4,
       1.4},
      {"attention_groups",
       FN(x.scaled_dot_product_attention(y, z, {.causal = true, .enable_gqa = true})),
       {{4, 2, 3}, {2, 2, 3}, {2, 2, 2}}},
      {"conv2d_same", FN(x.conv2d(y, {}, {.padding = "same", .dilation = 2})), {{1, 1, 3, 4}, {2, 1, 2, 2}}},
  });
}

TEST_CASE("gradcheck: losses") {
  check({
      {"batchnorm", FN(x.batchnorm(y, z, w, y.exp())), {{2, 3, 2}, {3}, {3}, {3}}},
      {"cross_entropy", FN(x.cross_entropy(ints({2, 0, 1}))), {{3, 4}}},
      {"cross_entropy_smooth",
       FN(x.cross_entropy(ints({2, 0, 1}), {.label_smoothing = 0.2, .ignore_index = 0})),
       {{3, 4}}},
      {"cross_entropy_weight",
       FN(x.cross_entropy(ints({2, 0, 1}), y, {.label_smoothing = 0.2, .ignore_index = 0})),
       {{3, 4}, {4}},
       0.1,
       2},
      {"cross_entropy_none", FN(x.cross_entropy(ints({2, 0, 1}), {.reduction = Reduction::None})), {{3, 4}}},
      {"cross_entropy_chances", FN(x.cross_entropy(y)), {{2, 3}, {2, 3}}, 0.1, 0.9},
      {"cross_entropy_chances_weight", FN(x.cross_entropy(y, z)), {{2, 3}, {2, 3}, {3}}, 0.1, 0.9},
      {"nll_loss", FN(x.log_softmax().nll_loss(ints({2, 0, 1}))), {{3, 4}}},
      {"binary_cross_entropy", FN(x.binary_cross_entropy(y)), {{3, 2}, {3, 2}}, 0.1, 0.9},
      {"binary_cross_entropy_weight", FN(x.binary_cross_entropy(y, z)), {{3, 2}, {3, 2}, {2}}, 0.1, 0.9},
      {"binary_cross_entropy_with_logits", FN(x.binary_cross_entropy_with_logits(y)), {{3, 2}, {3, 2}}, 0.1, 0.9},
      {"binary_cross_entropy_with_logits_weights",
       FN(x.binary_cross_entropy_with_logits(y, z, w)),
       {{3, 2}, {3, 2}, {2}, {3, 1}},
       0.1,
       0.9},
      {"mse_loss", FN(x.mse_loss(y)), {{3, 2}, {3, 2}}},
      {"l1_loss", FN(x.l1_loss(y)), {{3, 2}, {3, 2}}},
      {"smooth_l1_loss", FN(x.smooth_l1_loss(y)), {{3, 2}, {3, 2}}},
      {"smooth_l1_loss_none", FN(x.smooth_l1_loss(y, 0.5, Reduction::None)), {{3, 2}, {3, 2}}},
      {"kl_div", FN(x.kl_div(y)), {{3, 2}, {3, 2}}, 0.1, 0.9},
      {"kl_div_log", FN(x.kl_div(y, true, Reduction::BatchMean)), {{3, 2}, {3, 2}}},
  });
}

}  // namespace teeny::test
