// Indexing by data at the sizes where a kernel changes its way, beside the reference.
#include <doctest/doctest.h>

#include <random>

#include "tests/check_refused.h"
#include "tests/judged.h"

namespace teeny::test {
namespace {

const std::vector<DType> kIndexDTypes{DType::UInt8, DType::Int32, DType::Int64};

class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed) {}
  int64_t below(int64_t n) { return int64_t(random_() % uint64_t(n)); }
  Tensor indices(const Shape& shape, int64_t below_, DType dtype = DType::Int64) {
    std::vector<int64_t> values(size_t(numel(shape)));
    for (int64_t& v : values) v = below(below_);
    return Tensor::from(values, shape).cast(dtype).realize();
  }
  /// Numbers that every dtype holds, and whose sums are exact.
  Tensor numbers(const Shape& shape, DType dtype = DType::Float32) {
    return (indices(shape, 5) - (dtype == DType::UInt8 || dtype == DType::Bool ? 0 : 2)).cast(dtype).realize();
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace

TEST_CASE("indexing: rows of an embedding, of all widths") {
  Draw draw(1);
  for (const DType dtype : kDTypes)
    for (const int64_t width : {1, 2, 3, 4, 5, 8, 12, 16, 31, 64}) {
      const Tensor table = draw.numbers({7, width}, dtype);
      for (const DType index_dtype : kIndexDTypes) {
        const Tensor index = draw.indices({3, 5}, 7, index_dtype);
        CHECK_MESSAGE(misjudged([&] { return table.embedding(index); }, true) == "", text(dtype, width, index_dtype));
      }
      if (width > 4) {  // rows that begin anywhere, and go to anywhere
        const Tensor index = draw.indices({7}, 7), part = table[{slice(), slice(1, width - 1)}];
        CHECK_MESSAGE(misjudged([&] { return part.index_select(0, index); }, true) == "", text(dtype, width));
        CHECK_MESSAGE(misjudged([&] { return Tensor::cat({part.index_select(0, index), part}, 1); }, true) == "", text(dtype, width));
      }
    }
}

TEST_CASE("indexing: gather along every axis of every kind of view") {
  Draw draw(2);
  const Tensor x = draw.numbers({5, 6, 7}), scalar = draw.numbers({1});
  for (const Tensor& view : {x, x.permute({2, 0, 1}), x.flip({0, 2}), x.pad({1, 0, 2}, {2, 1, 0}), x.expand({5, 6, 7}),
                             x[{slice({}, {}, 2)}], x.sum(1, true).expand({5, 9, 7}), x.reshape({1, 15, 14})})
    for (int axis = 0; axis < 3; ++axis) {
      Shape shape = view.shape();
      for (const int64_t count : {1, 4, 33}) {
        shape[axis] = count;
        const Tensor index = draw.indices(shape, view.shape()[axis]);
        CHECK_MESSAGE(misjudged([&] { return view.gather(axis, index); }, true) == "", text(view.shape(), axis, count));
        const Tensor padded = index.pad({1, 0, 1}, {0, 1, 0})[{slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])}];
        CHECK_MESSAGE(misjudged([&] { return view.gather(axis, padded); }, true) == "", text(view.shape(), axis, count));
      }
    }
  CHECK(misjudged([&] { return scalar.gather(0, draw.indices({3000}, 1)); }, true) == "");
  CHECK(misjudged([&] { return Tensor::zeros({0, 4}).index_select(1, Tensor::of<int64_t>({1, 2})); }, true) == "");
}

TEST_CASE("indexing: an index outside is named where the user stands") {
  const Tensor table = Tensor::ones({3, 8}).realize();
  check_refused({
      {"embedding: index 3 at position (1, 0) is outside 0 <= index < 3", [&] { table.embedding(Tensor::of<int64_t>({2, 3})).realize(); }},
      {"embedding: index -1 at position (0, 0) is outside 0 <= index < 3", [&] { table.embedding(Tensor::of<int64_t>({-1, 2})).realize(); }},
  });
  CHECK(table.embedding(Tensor::of<int64_t>({2, 2})).sum().item() == 16);  // and all goes on
}

}  // namespace teeny::test
