// Options at the ends of int64: each either is an error or gives the right values. Sums and products of such integers
// overflow, which the sanitizers find.
#include <doctest/doctest.h>

#include "teeny/nn/layers.h"
#include "teeny/nn/recurrent.h"
#include "tests/check.h"
#include "tests/check_refused.h"

namespace teeny::test {
namespace {

constexpr int64_t kMax = INT64_MAX, kMin = INT64_MIN, kHuge = int64_t(1) << 62;
using Values = std::vector<int64_t>;

Tensor three() { return Tensor::of<int64_t>({7, 8, 9}); }
Values values_of(const Tensor& x) { return x.to_vector<int64_t>(); }

}  // namespace

TEST_CASE("int64 limits: options that have a meaning") {
  const Tensor x = three(), square = Tensor::of<int64_t>({{1, 2}, {3, 4}});
  CHECK(values_of(x[{slice({}, {}, kMax)}]) == Values{7});
  CHECK(values_of(x[{slice({}, {}, kMin)}]) == Values{9});
  CHECK(values_of(x[{slice(kMin, kMax)}]) == Values{7, 8, 9});
  CHECK(values_of(x[{slice(kMax, kMin, -1)}]) == Values{9, 8, 7});
  CHECK(values_of(x.unfold(0, 1, 1, kMax)) == Values{7, 8, 9});
  CHECK(values_of(x.unfold(0, 2, kMax)) == Values{7, 8});
  CHECK(values_of(x.roll(kMax)) == Values{9, 7, 8});
  CHECK(values_of(x.roll(kMin)) == Values{9, 7, 8});
  CHECK(values_of(x.split(kMax)[0]) == Values{7, 8, 9});
  CHECK(x.chunk(kMax).size() == 3);
  CHECK(values_of(square.tril(kMax)) == Values{1, 2, 3, 4});
  CHECK(values_of(square.tril(kMin)) == Values{0, 0, 0, 0});
  CHECK(values_of(square.triu(kMax)) == Values{0, 0, 0, 0});
  CHECK(values_of(square.triu(kMin)) == Values{1, 2, 3, 4});
  CHECK(square.diagonal(0, 1, kMin).numel() == 0);
  CHECK(square.diagonal(0, 1, kMax).numel() == 0);
  CHECK(values_of(Tensor::arange(kMax - 2, kMax)) == Values{kMax - 2, kMax - 1});
  CHECK(values_of(Tensor::arange(kMin, kMax, kHuge)) == Values{kMin, -kHuge, 0, kHuge});
  CHECK(values_of(Tensor::arange(kMax, kMin, kMin)) == Values{kMax, -1});
  CHECK(values_of(Tensor::randint(kMin, kMin + 1, {2})) == Values{kMin, kMin});
  CHECK(values_of(Tensor::randint(kMax - 1, kMax, {1})) == Values{kMax - 1});
  // One window takes no step, and one tap has no gap, however wide.
  const int64_t wide = INT32_MAX;
  const Tensor image = Tensor::of({1, 2, 3}).reshape({1, 1, 3}).requires_grad_(), one = Tensor::ones({1, 1, 1});
  Tensor sum = image.conv1d(Tensor::ones({1, 1, 3}), {}, {.stride = wide}).backward();
  CHECK(sum.item() == 6);
  CHECK(image.conv1d(one, {}, {.dilation = wide}).sum().backward().item() == 6);
  CHECK(image.max_pool1d(1, {.stride = wide, .dilation = wide}).backward().item() == 1);
  CHECK(image.grad().to_vector() == std::vector<float>{3, 2, 2});
}

TEST_CASE("int64 limits: options that are errors") {
  const Tensor x = three(), virtual_image = Tensor::zeros({1, 1, int64_t(1) << 40});
  const Tensor large = Tensor::zeros({1, 1, 1 << 30});
  const Tensor image = Tensor::zeros({1, 3, 4}), weight = Tensor::zeros({2, 3, 2});
  check_refused({
      {"index: a slice with step 0", [&] { (void)x[{slice({}, {}, 0)}]; }},
      {"unfold: a window of 2 taps, 9223372036854775807 apart, is longer", [&] { (void)x.unfold(0, 2, 1, kMax); }},
      {"unfold: a window of 9223372036854775807 taps, 9223372036854775807 apart",
       [&] { (void)x.unfold(0, kMax, kMax, kMax); }},
      {"conv1d: 3 channels of (1, 3, 4) in 4611686018427387904 groups do not fit",
       [&] { (void)image.conv1d(weight, {}, {.groups = kHuge}); }},
      {"conv_transpose1d: 3 channels of (1, 3, 4) in 4611686018427387904 groups do not fit",
       [&] { (void)image.conv_transpose1d(weight.transpose(0, 1), {}, {.groups = kHuge}); }},
      {"conv1d: dilation (9223372036854775807,) is more than 31 bits can count",
       [&] { (void)virtual_image.conv1d(virtual_image, {}, {.dilation = kMax}); }},
      {"conv1d: a kernel of (1, 1, 1099511627776), dilation (2147483647,), is larger than",
       [&] { (void)virtual_image.conv1d(virtual_image, {}, {.dilation = INT32_MAX}); }},
      {"conv_transpose1d: an image of (1, 1, 1073741824), a weight of (1, 1, 1073741824), stride (2147483647,)",
       [&] { (void)large.conv_transpose1d(large, {}, {.stride = INT32_MAX, .dilation = INT32_MAX}); }},
      {"max_pool1d: window (9223372036854775807,) is more than 31 bits", [&] { (void)image.max_pool1d(kMax); }},
      {"LSTMCell: a size of 4611686018427387904", [] { nn::LSTMCell(1, kHuge); }},
      {"Linear: a size of 9223372036854775807", [] { nn::Linear(kMax, kMax); }},
      {"Conv2d: kernel (4611686018427387904,) is more than 31 bits can count", [] { nn::Conv2d(1, 1, kHuge); }},
      {"Embedding: a size of 9223372036854775807", [] { nn::Embedding(kMax, 1); }},
      {"randint: [-9223372036854775808, 9223372036854775807) has more integers than 53 random bits can tell",
       [] { (void)Tensor::randint(kMin, kMax, {3}); }},
      {"arange: 1.84467e+19 elements are too many", [] { (void)Tensor::arange(kMin, kMax); }},
      {"arange: 1.84467e+19 elements are too many", [] { (void)Tensor::arange(kMax, kMin, -1); }},
      {"linspace: (9223372036854775807,) is too large", [] { (void)Tensor::linspace(0, 1, kMax); }},
      {"tri: (9223372036854775807, 2) is too large: its bytes are more than 63 bits can count",
       [] { (void)Tensor::tri(kMax, 2); }},
      {"eye: (9223372036854775807, 9223372036854775807) is too large", [] { (void)Tensor::eye(kMax); }},
      {"randperm: (9223372036854775807,) is too large", [] { (void)Tensor::randperm(kMax); }},
      {"repeat: (9223372036854775807, 3) is too large", [&] { (void)x.repeat({kMax}); }},
      {"repeat: (4611686018427387904, 1) is too large",
       [&] {
         (void)x.repeat({kHuge, kHuge});
       }},
      {"pad: (9223372036854775807,) and (9223372036854775807,): no axis has that many",
       [&] { (void)x.pad({kMax}, {kMax}); }},
      {"pad: (-9223372036854775808,) and (0,): no axis has that many", [&] { (void)x.pad({kMin}, {0}); }},
      {"pad: (0,) and (9223372036854775807,): no axis has that many",
       [&] { (void)x.pad({0}, {kMax}, PadMode::Replicate); }},
      {"pad: a view that reaches 67108864 * 1125899906842624 elements from where it begins is beyond 63 bits",
       [] {
         (void)Tensor::arange(int64_t(1) << 52)
             .reshape({1 << 26, 1 << 26})
             .shrink({0, 0}, {2, 1})
             .pad({int64_t(1) << 50, 0}, {0, 0});
       }},
      {"unflatten: axis 0 of (3,) does not split into (4611686018427387904, 4)",
       [&] {
         (void)x.unflatten(0, {kHuge, 4});
       }},
      {"reshape: (3,) to (4611686018427387904, 4): too large",
       [&] {
         (void)x.reshape({kHuge, 4});
       }},
      {"one_hot: 9223372036854775807 classes are more than 31 bits can count", [&] { (void)x.one_hot(kMax); }},
      {"topk: 9223372036854775807 of the 3", [&] { (void)x.topk(kMax); }},
      {"cumsum: axis -9223372036854775808 is outside", [&] { (void)x.cumsum(kMin); }},
      {"index: -9223372036854775808 is outside", [&] { (void)x[kMin]; }},
  });
}

}  // namespace teeny::test
