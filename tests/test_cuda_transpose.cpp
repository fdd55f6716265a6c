// Copies that turn memory, of the sizes at which a GPU's tiles of 32 x 32 begin and end.
#include <doctest/doctest.h>

#include <numeric>

#include "teeny/schedule/schedule.h"
#include "teeny/tensor/tensor.h"

namespace teeny::test {
namespace {

/// 0, 1, 2, .. in this shape and dtype; wrapped around where they do not fit.
Tensor counted(const Shape& shape, DType dtype) {
  std::vector<int64_t> values(size_t(numel(shape)));
  std::iota(values.begin(), values.end(), 0);
  if (dtype == DType::Float16) for (int64_t& v : values) v %= 2048;
  if (dtype == DType::BFloat16) for (int64_t& v : values) v %= 256;
  return Tensor::from(values, shape).cast(dtype).realize();
}

/// `f` on this binary's device and on the reference.
template <class F>
void same_as_reference(F&& f, const std::string& what) {
  const std::vector<std::byte> got = f().contiguous().to_bytes();
  const ExecutionScope reference({.fuse = false, .run = tinyops::reference::check});
  const std::vector<std::byte> expected = f().contiguous().to_bytes();
  CHECK_MESSAGE(got == expected, what);
}

}  // namespace

TEST_CASE("transpose: matrices around the size of a tile, of all dtypes") {
  for (const DType dtype : {DType::Float32, DType::Float64, DType::Float16, DType::BFloat16, DType::Int32, DType::Int64,
                            DType::UInt8, DType::Bool})
    for (const auto& [rows, columns] :
         {std::pair<int64_t, int64_t>{8, 8}, {7, 40}, {40, 7}, {31, 33}, {32, 32}, {33, 31}, {64, 100}, {130, 65}}) {
      const Tensor x = counted({rows, columns}, dtype);
      same_as_reference([&] { return x.transpose(0, 1); }, text(dtype, rows, " x ", columns));
    }
}

TEST_CASE("transpose: batches, flips, slices and repeated elements") {
  const Tensor x = counted({3, 17, 5, 42}, DType::Float32);
  for (const Dims& axes : {Dims{0, 3, 2, 1}, Dims{3, 2, 1, 0}, Dims{1, 3, 0, 2}, Dims{2, 0, 3, 1}, Dims{3, 0, 1, 2},
                           Dims{0, 2, 3, 1}}) {
    same_as_reference([&] { return x.permute(axes); }, text("axes ", axes));
    same_as_reference([&] { return x.permute(axes).flip({1, 3}); }, text("flipped axes ", axes));
    same_as_reference([&] { return x.flip({3}).permute(axes); }, text("axes of a flip ", axes));
    same_as_reference([&] { return x.shrink({1, 2, 0, 3}, {3, 17, 4, 42}).permute(axes); },
                      text("axes of a slice ", axes));
  }
  const Tensor row = counted({40, 1, 20}, DType::Float32);
  same_as_reference([&] { return row.expand({40, 9, 20}).permute({1, 2, 0}); }, "repeated");
  same_as_reference([&] { return row.expand({40, 9, 20}).permute({2, 0, 1}); }, "repeated along the fast axis");
  same_as_reference([&] { return counted({0, 40}, DType::Float32).transpose(0, 1); }, "nothing");
}

TEST_CASE("transpose: into a slice of something larger") {
  const Tensor x = counted({50, 70}, DType::Float32), y = counted({70, 30}, DType::Float32);
  same_as_reference([&] { return Tensor::cat({x.transpose(0, 1), y, x.transpose(0, 1)}, 1); }, "beside each other");
  same_as_reference([&] {
    Tensor z = Tensor::zeros({70, 90}).contiguous().realize();
    z.set({slice({}, {}, -1), slice(70, 20, -1)}, x.transpose(0, 1));
    return z;
  }, "backwards");
}

}  // namespace teeny::test
