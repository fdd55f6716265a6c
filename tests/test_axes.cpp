// Every function along an axis where the meaning of "along an axis" ends: axes counted from the end or outside, tensors
// without axes, empty axes, sixteen axes, sizes that no memory holds. Where PyTorch has an answer, it is the same;
// where it refuses, or where there is no answer, the Error begins with the name of the function.
#include <doctest/doctest.h>

#include <limits>

#include "teeny/functional/functions.h"
#include "tests/check.h"

namespace teeny::test {
namespace {

enum class Result { Same, Reduced, Other };  ///< of x's shape, without the axis, or of another shape

/// A function of a tensor along an axis. `point`, `empty`: whether it takes a tensor without axes, and an axis of size
/// 0. `axes`: how many more than x has the result, or the kernel behind it, has.
struct AlongAxis {
  std::string name;  ///< which begins its Errors
  Tensor (*run)(const Tensor& x, int64_t axis);
  Result result;
  bool point = true, empty = true;
  int axes = 0;
};
#define ALONG(...)                                                    \
  [](const teeny::Tensor& x, int64_t axis) -> teeny::Tensor {         \
    (void)axis;                                                       \
    return __VA_ARGS__;                                               \
  }

Tensor zeros_like_index(const Tensor& x) { return Tensor::zeros(x.shape(), DType::Int64); }
int64_t size_along(const Tensor& x, int64_t axis, const char* op) { return x.shape()[x.axis_index(axis, op)]; }
/// An index for index_add along the axis, of zeros.
Tensor axis_zeros(const Tensor& x, int64_t axis, const char* op) {
  return Tensor::zeros({x.rank() > 0 ? size_along(x, axis, op) : 1}, DType::Int64);
}
/// x twice along the axis, if there is one, and x is small.
Tensor twice(const Tensor& x, int64_t axis) {
  return axis >= -x.rank() && axis < x.rank() && x.numel() < 100 ? Tensor::cat({x, x}, axis) : x;
}
/// An axis that is not `axis`.
int64_t another(const Tensor& x, int64_t axis) { return axis == 0 || axis == -x.rank() ? x.rank() - 1 : 0; }

const std::vector<AlongAxis>& functions() {
  constexpr auto kSame = Result::Same, kReduced = Result::Reduced, kOther = Result::Other;
  static const std::vector<AlongAxis> all = {
      {"flip", ALONG(x.flip(axis)), kSame},
      {"squeeze", ALONG(x.squeeze(axis)), kSame},
      {"transpose", ALONG(x.transpose(axis, another(x, axis))), kOther},
      {"movedim", ALONG(x.movedim(axis, 0)), kOther},
      {"movedim", ALONG(x.movedim(-1, axis)), kOther},
      {"flatten", ALONG(x.flatten(axis, -1)), kOther},
      {"flatten", ALONG(x.flatten(0, axis)), kOther},
      {"unflatten", ALONG(x.unflatten(axis, {1, -1})), kOther, false, true, 1},
      {"repeat_interleave", ALONG(x.repeat_interleave(2, axis)), kOther, false, true, 1},
      {"roll", ALONG(x.roll(1, axis)), kSame, false},
      {"diagonal", ALONG(x.diagonal(axis, another(x, axis))), kOther, false},
      {"cat", ALONG(Tensor::cat({x, x}, axis)), kOther, false},
      {"split", ALONG(x.split(2, axis).front()), kOther, false},
      {"split", ALONG(x.split(Dims{size_along(x, axis, "split")}, axis)[0]), kSame, false},
      {"chunk", ALONG(x.chunk(1, axis)[0]), kSame, false},
      {"unbind", ALONG(size_along(x, axis, "unbind") == 0 ? x.sum(axis) : x.unbind(axis)[0]), kReduced, false},
      {"unfold", ALONG(x.unfold(axis, 1, 1)), kOther, true, false, 1},
      {"unfold", ALONG(x.unfold(axis, 0, 1)), kOther, true, true, 1},

      {"sum", ALONG(x.sum(axis)), kReduced},
      {"prod", ALONG(x.prod(axis)), kReduced},
      {"max", ALONG(x.max(axis)), kReduced, true, false},
      {"min", ALONG(x.min(axis)), kReduced, true, false},
      {"mean", ALONG(x.mean(axis)), kReduced},
      {"var", ALONG(x.var(axis, 0)), kReduced},
      {"std", ALONG(x.std(axis, 0)), kReduced},
      {"var_mean", ALONG(var_mean(x, axis, 0).first), kReduced},
      {"std_mean", ALONG(std_mean(x, axis, 0).second), kReduced},
      {"any", ALONG(x.any(axis)), kReduced},
      {"all", ALONG(x.all(axis)), kReduced},
      {"argmax", ALONG(x.argmax(axis)), kReduced, true, false},
      {"argmin", ALONG(x.argmin(axis)), kReduced, true, false},
      {"logsumexp", ALONG(x.logsumexp(axis)), kReduced},
      {"norm", ALONG(x.norm(2, axis)), kReduced},
      {"norm", ALONG(x.norm(0, axis)), kReduced},
      {"norm", ALONG(x.norm(3, axis)), kReduced},
      {"norm", ALONG(x.norm(INFINITY, axis)), kReduced, true, false},
      {"normalize", ALONG(x.normalize(2, axis)), kSame},
      {"cosine_similarity", ALONG(x.cosine_similarity(x + 1, axis)), kReduced},
      {"median", ALONG(x.median(axis).values), kReduced, true, false},
      {"quantile", ALONG(x.quantile(0.3, axis)), kReduced, true, false},

      {"softmax", ALONG(x.softmax(axis)), kSame},
      {"log_softmax", ALONG(x.log_softmax(axis)), kSame},
      {"softmin", ALONG(softmin(x, axis)), kSame},
      {"gumbel_softmax", ALONG(gumbel_softmax(x, 1, false, axis).ceil()), kSame},
      {"gumbel_softmax", ALONG(gumbel_softmax(x, 1, true, axis).ceil().maximum(1)), kSame, true, false},
      {"glu", ALONG(twice(x, axis).glu(axis)), kOther, false},

      {"cumsum", ALONG(x.cumsum(axis)), kSame},
      {"cumprod", ALONG(x.cumprod(axis)), kSame},
      {"cummax", ALONG(x.cummax(axis).values), kSame},
      {"cummin", ALONG(x.cummin(axis).indices), kSame},
      {"logcumsumexp", ALONG(x.logcumsumexp(axis)), kSame},
      {"sort", ALONG(x.sort(axis).values), kSame},
      {"argsort", ALONG(x.argsort(axis, true)), kSame},
      {"topk", ALONG(x.topk(1, axis).values), kOther, true, false},
      {"topk", ALONG(x.topk(x.numel() == 1 ? 1 : 0, axis).values), kOther},

      {"gather", ALONG(x.gather(axis, zeros_like_index(x))), kSame},
      {"scatter", ALONG(x.scatter(axis, zeros_like_index(x), 5)), kSame, true, true, 1},
      {"scatter_add", ALONG(x.scatter_add(axis, zeros_like_index(x), x)), kSame, true, true, 1},
      {"scatter_reduce", ALONG(x.scatter_reduce(axis, zeros_like_index(x), x, ScatterReduce::Amax)), kSame, true, true, 1},
      {"index_select", ALONG(x.index_select(axis, Tensor::of<int64_t>({0}))), kOther, true, false},
      {"index_add", ALONG(x.index_add(axis, axis_zeros(x, axis, "index_add"), x)), kSame, true, true, 1},
      {"index_reduce",
       ALONG(x.index_reduce(axis, axis_zeros(x, axis, "index_reduce"), x, ScatterReduce::Mean)), kSame, true, true, 1},
  };
  return all;
}

/// Different numbers, neither sorted nor all above 0.
Tensor numbers(const Shape& shape) {
  return ((Tensor::arange(numel(shape)) * 7 % 25).cast(DType::Float32) / 4 - 1).reshape(shape);
}

/// What `run` throws: an Error whose message begins with the name, or "" if it throws nothing.
std::string refusal(const AlongAxis& f, const Tensor& x, int64_t axis, bool realized = true) {
  try {
    const Tensor out = f.run(x, axis);
    if (realized) out.realize();
    return "";
  } catch (const Error& error) {
    const std::string said = error.what();
    CHECK_MESSAGE(said.starts_with(f.name + ": "),
                  f.name << " of " << text(x.shape()) << " along " << axis << " says: " << said);
    return said;
  } catch (const std::exception& error) {
    FAIL_CHECK(f.name << " of " << text(x.shape()) << " along " << axis << " throws: " << error.what());
    return error.what();
  }
}

Shape without(const Shape& shape, int axis) {
  Shape result = shape;
  result.erase(axis);
  return result;
}

}  // namespace

TEST_CASE("axes: counted from the end, and outside") {
  const Tensor x = numbers({2, 3, 4});
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max(), kLeast = std::numeric_limits<int64_t>::min();
  for (const AlongAxis& f : functions()) {
    for (int64_t axis = 0; axis < 3; ++axis) {
      Tensor::manual_seed(1);
      const Tensor forwards = f.run(x, axis);
      Tensor::manual_seed(1);
      CHECK_MESSAGE(difference(f.run(x, axis - 3), forwards) == "", f.name << " along " << axis);
      if (f.result == Result::Same) CHECK_MESSAGE(forwards.shape() == x.shape(), f.name);
      if (f.result == Result::Reduced) CHECK_MESSAGE(forwards.shape() == without(x.shape(), int(axis)), f.name);
    }
    for (const int64_t axis : {int64_t(3), int64_t(-4), kMost, kLeast}) {
      const std::string said = refusal(f, x, axis);
      CHECK_MESSAGE(said.find(text("axis ", axis, " is outside -3 <= axis < 3 of (")) != said.npos,
                    f.name << ": " << said);
    }
  }
}

TEST_CASE("axes: of tensors that have none") {
  for (const AlongAxis& f : functions()) {
    Tensor x = Tensor(-0.75).requires_grad_();
    for (const int64_t axis : {0, -1}) {
      if (!f.point) {
        CHECK_MESSAGE(refusal(f, x, axis) != "", f.name << " along " << axis);
        continue;
      }
      const Tensor out = f.run(x, axis);
      if (f.result != Result::Other) CHECK_MESSAGE(out.shape() == Shape{}, f.name);
      CHECK_MESSAGE(difference(out.flatten(), f.run(x.reshape({1}), axis).flatten()) == "", f.name);
      if (!out.requires_grad()) continue;
      out.sum().backward();
      CHECK_MESSAGE(x.grad().shape() == Shape{}, f.name);
    }
    for (const int64_t axis : {1, -2}) CHECK_MESSAGE(refusal(f, x, axis) != "", f.name << " along " << axis);
  }
}

TEST_CASE("axes: empty, and of tensors that are empty elsewhere") {
  for (const AlongAxis& f : functions())
    for (const auto& [shape, axis, along_empty] :
         {std::tuple{Shape{2, 0}, 1, true}, {Shape{0, 3}, 0, true}, {Shape{2, 0}, 0, false}, {Shape{0, 3}, 1, false},
          {Shape{2, 0, 3}, -2, true}, {Shape{2, 0, 3}, 2, false}}) {
      Tensor x = Tensor::zeros(shape).requires_grad_();
      const std::string said = refusal(f, x, axis), what = text(f.name, " of ", shape, " along ", axis, ": ", said);
      CHECK_MESSAGE((said != "") == ((along_empty || f.name == "quantile") && !f.empty), what);
      if (said != "") continue;
      const Tensor out = f.run(x, axis);
      if (f.result == Result::Same) CHECK_MESSAGE(out.shape() == shape, what);
      if (f.result == Result::Reduced) CHECK_MESSAGE(out.shape() == without(shape, x.axis_index(axis, "test")), what);
      if (!out.requires_grad()) continue;
      out.sum().backward();
      CHECK_MESSAGE(x.grad().shape() == shape, what);
    }
}

TEST_CASE("axes: sixteen") {
  Shape shape = Dims::filled(16, 1);
  shape[3] = 5, shape[7] = 2, shape[15] = 3;
  const Tensor x = numbers(shape), flat = x.reshape({5, 2, 3});
  for (const AlongAxis& f : functions())
    for (const auto& [axis, of_flat] : {std::pair{3, 0}, {7, 1}, {15, 2}}) {
      const std::string said = refusal(f, x, axis);
      if (f.axes > 0) {
        CHECK_MESSAGE(
            (said == "" || said.find(text("needs 17 axes for ", shape, ", and a tensor has at most 16")) != said.npos),
            f.name << ": " << said);
        continue;
      }
      CHECK_MESSAGE(said == "", said);
      if (f.result == Result::Other || said != "") continue;
      Tensor::manual_seed(1);
      const Tensor out = f.run(x, axis);
      Tensor::manual_seed(1);
      CHECK_MESSAGE(difference(out.flatten(), f.run(flat, of_flat).flatten()) == "", f.name << " along " << axis);
    }
}

/// Nothing is computed: the shape is right, or it is refused.
TEST_CASE("axes: longer than any memory") {
  constexpr int64_t k58 = int64_t(1) << 58;
  for (const Shape& shape : {Shape{k58, 3}, Shape{3, k58}, Shape{k58 * 3}, Shape{k58, 0}, Shape{0, k58}})
    for (int axis = 0; axis < shape.size(); ++axis)
      for (const AlongAxis& f : functions()) {
        const Tensor x = Tensor::zeros(Dims::filled(shape.size(), 1)).expand(shape);
        if (refusal(f, x, axis, false) != "") continue;
        const Tensor out = f.run(x, axis);
        for (const int64_t size : out.shape()) CHECK_MESSAGE(size >= 0, f.name << " of " << text(shape));
        if (f.result == Result::Same) CHECK_MESSAGE(out.shape() == shape, f.name);
        if (f.result == Result::Reduced) CHECK_MESSAGE(out.shape() == without(shape, axis), f.name);
      }
}

}  // namespace teeny::test
