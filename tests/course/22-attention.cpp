#include <cmath>

#include "tests/course/tensors.h"

namespace {

/// The same by loops: q (.., L, width), k (.., S, width), v (.., S, width), all with `heads` matrices in front.
std::vector<double> attention(const std::vector<double>& q, const std::vector<double>& k, const std::vector<double>& v,
                              int64_t heads, int64_t queries, int64_t keys, int64_t width, bool causal, double scale) {
  std::vector<double> result;
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t i = 0; i < queries; ++i) {
      std::vector<double> chance;
      double sum = 0;
      for (int64_t j = 0; j < keys; ++j) {
        double score = 0;
        for (int64_t c = 0; c < width; ++c)
          score += q[size_t((h * queries + i) * width + c)] * k[size_t((h * keys + j) * width + c)];
        chance.push_back(causal && j > i ? 0 : std::exp(score * scale));
        sum += chance.back();
      }
      for (int64_t c = 0; c < width; ++c) {
        double mean = 0;
        for (int64_t j = 0; j < keys; ++j) mean += chance[size_t(j)] / sum * v[size_t((h * keys + j) * width + c)];
        result.push_back(mean);
      }
    }
  return result;
}

}  // namespace

EXERCISE("22") {
  using namespace course;
  using teeny::Shape, teeny::Tensor;
  const auto check = [](const std::string& what, const Shape& front, int64_t queries, int64_t keys, int64_t width,
                        bool causal, std::optional<double> scale = {}) {
    const auto with = [&](int64_t length) {
      Shape shape = front;
      shape.push_back(length), shape.push_back(width);
      return numbers(shape);
    };
    const Tensor q = with(queries), k = with(keys), v = with(keys);
    try {
      const Tensor yours = q.scaled_dot_product_attention(k, v, {.causal = causal, .scale = scale});
      same_shape(what, yours, q.shape());
      same(what, yours,
           attention(q.to_vector<double>(), k.to_vector<double>(), v.to_vector<double>(), teeny::numel(front), queries,
                     keys, width, causal, scale.value_or(1 / std::sqrt(double(width)))),
           1e-9);
    } catch (const teeny::Error& e) { expect(false, what + ": " + e.what()); }
  };
  check("every query sees every key, (3, 2)", {}, 3, 3, 2, false);
  check("causal: query i sees keys 0 to i, (3, 2)", {}, 3, 3, 2, true);
  check("causal: 3 queries and 5 keys, query i sees keys 0 to i", {}, 3, 5, 2, true);
  check("causal: 5 queries and 3 keys, query i sees keys 0 to i", {}, 5, 3, 2, true);
  const Tensor far = Tensor::of<double>({-200, -200}).reshape({2, 1}), near = -far;
  same("causal, scores of -40,000: query 0 sees key 0 alone, whose value is 1",
       far.scaled_dot_product_attention(near, Tensor::of<double>({1, 3}).reshape({2, 1}),
                                        {.causal = true, .scale = 1.0}),
       {1, 2}, 1e-12);
  const int64_t length = pick(2, 5), width = pick(1, 4);
  const Shape front = {pick(1, 2), pick(2, 3)};
  check(text("causal, ", front, " heads of ", length, " positions of width ", width), front, length, length, width,
        true);
  check("causal, with a scale of 2 in place of 1 / sqrt(width)", {2}, 3, 3, 2, true, 2);
  check("not causal, with a scale of 2 in place of 1 / sqrt(width)", {2}, 3, 3, 2, false, 2);

  const auto column = [](const std::vector<float>& x) { return Tensor::from(x, {int64_t(x.size()), 1}); };
  same("causal: the first query sees the first value alone, even if the score of the second key is 1000 above",
       column({10, 10}).scaled_dot_product_attention(column({0, 100}), column({1, 2}), {.causal = true}), {1, 2}, 1e-5);
}
