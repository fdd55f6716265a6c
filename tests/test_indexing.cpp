// Indexing by data at the sizes where a kernel changes its way, beside the reference.
#include <doctest/doctest.h>

#include <random>

#include "tests/check_refused.h"
#include "tests/check_reference.h"

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
  Tensor values(const Shape& shape, DType dtype = DType::Float32) {
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
      const Tensor table = draw.values({7, width}, dtype);
      for (const DType index_dtype : kIndexDTypes) {
        const Tensor index = draw.indices({3, 5}, 7, index_dtype);
        CHECK_MESSAGE(mismatch([&] { return table.embedding(index); }, true) == "", text(dtype, width, index_dtype));
      }
      if (width > 4) {  // rows that begin anywhere, and go to anywhere
        const Tensor index = draw.indices({7}, 7), part = table[{slice(), slice(1, width - 1)}];
        CHECK_MESSAGE(mismatch([&] { return part.index_select(0, index); }, true) == "", text(dtype, width));
        CHECK_MESSAGE(mismatch([&] { return Tensor::cat({part.index_select(0, index), part}, 1); }, true) == "",
                      text(dtype, width));
      }
    }
}

TEST_CASE("indexing: gather along every axis of every kind of view") {
  Draw draw(2);
  const Tensor x = draw.values({5, 6, 7}), scalar = draw.values({1});
  for (const Tensor& view : {x, x.permute({2, 0, 1}), x.flip({0, 2}), x.pad({1, 0, 2}, {2, 1, 0}), x.expand({5, 6, 7}),
                             x[{slice({}, {}, 2)}], x.sum(1, true).expand({5, 9, 7}), x.reshape({1, 15, 14})})
    for (int axis = 0; axis < 3; ++axis) {
      Shape shape = view.shape();
      for (const int64_t count : {1, 4, 33}) {
        shape[axis] = count;
        const Tensor index = draw.indices(shape, view.shape()[axis]);
        CHECK_MESSAGE(mismatch([&] { return view.gather(axis, index); }, true) == "", text(view.shape(), axis, count));
        const Tensor padded =
            index.pad({1, 0, 1}, {0, 1, 0})[{slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])}];
        CHECK_MESSAGE(mismatch([&] { return view.gather(axis, padded); }, true) == "", text(view.shape(), axis, count));
      }
    }
  CHECK(mismatch([&] { return scalar.gather(0, draw.indices({3000}, 1)); }, true) == "");
  CHECK(mismatch([&] { return Tensor::zeros({0, 4}).index_select(1, Tensor::of<int64_t>({1, 2})); }, true) == "");
}

TEST_CASE("indexing: an index outside is named where the user stands") {
  const Tensor table = Tensor::ones({3, 8}).realize();
  check_refused({
      {"embedding: index 3 at position (1,) is outside 0 <= index < 3",
       [&] { table.embedding(Tensor::of<int64_t>({2, 3})).realize(); }},
      {"embedding: index -1 at position (0,) is outside 0 <= index < 3",
       [&] { table.embedding(Tensor::of<int64_t>({-1, 2})).realize(); }},
  });
  CHECK(table.embedding(Tensor::of<int64_t>({2, 2})).sum().item() == 16);  // and all goes on
}


TEST_CASE("indexing: the gradient of an embedding, of all widths and lengths") {
  Draw draw(3);
  for (const int64_t rows : {1, 2, 7, 40})
    for (const int64_t count : {1, 3, 4, 31, 33, 100, 300})
      for (const int64_t width : {1, 5, 32}) {
        const Tensor index = draw.indices({count}, rows), source = draw.values({count, width});
        CHECK_MESSAGE(mismatch([&] {
          const Tensor table = Tensor::zeros({rows, width}).requires_grad_();
          (table.embedding(index) * source).sum().backward();
          return table.grad();
        }, true) == "", text(rows, ' ', count, ' ', width));
      }
}

TEST_CASE("indexing: scatter_add along every axis, of all dtypes") {
  Draw draw(4);
  for (const DType dtype :
       {DType::UInt8, DType::Int32, DType::Int64, DType::Float16, DType::BFloat16, DType::Float32, DType::Float64})
    for (int axis = 0; axis < 3; ++axis)
      for (const int64_t count : {1, 3, 9, 50, 90}) {
        Shape shape{3, 4, 5};
        const Tensor x = draw.values(shape, dtype);
        shape[axis] = count;
        const Tensor index = draw.indices(shape, x.size(axis)), source = draw.values(shape, dtype);
        CHECK_MESSAGE(mismatch([&] { return x.scatter_add(axis, index, source); }, true) == "",
                      text(dtype, axis, ' ', count));
        const Tensor padded =
            source.pad({0, 1, 1}, {2, 0, 1})[{slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])}];
        CHECK_MESSAGE(mismatch([&] { return x.scatter_add(axis, index.flip({0, 2}), padded); }, true) == "",
                      text(dtype, axis, ' ', count));
        const Tensor part = index[{slice(0, 3), slice(0, 2), slice(0, 4)}];
        CHECK_MESSAGE(mismatch([&] { return x.scatter(axis, part, 7); }, true) == "",
                      text(dtype, axis, ' ', count));
      }
}

TEST_CASE("indexing: 16-bit sums round at every step, in order") {
  Draw draw(5);
  for (const DType dtype : {DType::Float16, DType::BFloat16})
    for (const int64_t count : {20, 3000}) {
      const Tensor index = draw.indices({count}, 3), source = (draw.values({count}) + 0.3).cast(dtype).realize();
      CHECK_MESSAGE(mismatch([&] { return Tensor::zeros({3}, dtype).scatter_add(0, index, source); }, true) == "",
                    text(dtype, count));
    }
}

TEST_CASE("indexing: scatters that several threads share, and of nothing into much") {
  const Tensor nothing =
      Tensor::zeros({1 << 17, 2}).scatter_add(0, Tensor::zeros({0, 2}, DType::Int64), Tensor::zeros({0, 2}));
  CHECK(nothing.sum().item() == 0);
  // Rows with an index each, into a result larger than a thread's part of it.
  for (const DType dtype : {DType::Float32, DType::BFloat16, DType::Int32})
    for (const int64_t width : {1, 5, 96, 3000}) {
      const int64_t count = 200000 / width + 1;
      const Tensor index = (Tensor::arange(count / 2) * 37 % (count / 3)).reshape({-1, 1}).expand({count / 2, width});
      const Tensor source = (Tensor::arange(numel(index.shape())) % 7 - 2).reshape(index.shape()).cast(dtype);
      const auto rows = [&] { return Tensor::zeros({count, width}, dtype).scatter_add(0, index, source); };
      CHECK_MESSAGE(mismatch(rows, true) == "", text(dtype, ' ', width));
    }
  // Along each axis: the threads share columns, rows, or the result itself.
  for (const Shape& shape : std::initializer_list<Shape>{{700, 96}, {3, 50000}, {90000}})
    for (int axis = 0; axis < shape.size(); ++axis) {
      const Tensor source = (Tensor::arange(numel(shape)) % 7 + 1).reshape(shape);
      const Tensor index = (Tensor::arange(numel(shape)) * 31 % shape[axis]).reshape(shape);
      const Tensor sums = Tensor::zeros(shape, DType::Int64).scatter_add(axis, index, source);
      const std::vector<int64_t> got = sums.to_vector<int64_t>(), from = source.to_vector<int64_t>(),
                                 at = index.to_vector<int64_t>();
      std::vector<int64_t> want(got.size());
      const int64_t step = row_major(shape)[axis];
      for (int64_t i = 0; i < numel(shape); ++i)
        want[size_t(i + (at[size_t(i)] - i / step % shape[axis]) * step)] += from[size_t(i)];
      CHECK(got == want);
      CHECK(Tensor::zeros(shape).scatter_add(axis, index, source.cast(DType::Float32)).to_vector<int64_t>() == want);
      const auto narrow = [&] {
        return Tensor::zeros(shape, DType::BFloat16).scatter_add(axis, index, source.cast(DType::BFloat16));
      };
      CHECK_MESSAGE(mismatch(narrow, true) == "", text(shape, axis));
      CHECK(sums.gather(axis, index).to_vector<int64_t>()[1] ==
            want[size_t(1 + (at[1] - 1 / step % shape[axis]) * step)]);
    }
}

TEST_CASE("indexing: an index outside of a scatter is named as well") {
  for (const int64_t count : {2, 300}) {
    const Tensor source = Tensor::ones({count, 2}).realize(), good = Tensor::zeros({count}, DType::Int64).realize();
    for (const int64_t wrong : {-1, 3}) {
      const Tensor index = where(Tensor::arange(count) == count - 1, wrong, good).cast(DType::Int64).realize();
      const std::string message = text("index ", wrong, " at position (", count - 1, ",) is outside 0 <= index < 3");
      check_refused({{message, [&] { Tensor::zeros({3, 2}).index_add(0, index, source).realize(); }}});
    }
    CHECK(Tensor::zeros({3, 2}).index_add(0, good, source).sum().item() == double(2 * count));  // and all goes on
  }
}

namespace {

/// Views over fresh buffers, and kernels of them: more than a Tensor can express.
struct Kernels {
  std::mt19937_64 random;
  int64_t below(int64_t n) { return int64_t(random() % uint64_t(n)); }

  /// A view of `shape` over memory of its own, whose axes lie in any order, backwards, repeated and with steps.
  View view(const Shape& shape, int64_t& elements, bool may_repeat) {
    Dims order = range(0, shape.size());
    std::shuffle(order.begin(), order.end(), random);
    View result{shape, {Dims::filled(shape.size(), 0), 0}, {}};
    int64_t step = 1 + below(2);
    for (const int64_t axis : order) {
      const int a = int(axis);
      if (may_repeat && below(4) == 0) continue;
      const bool backwards = below(4) == 0;
      result.address.coef[a] = backwards ? -step : step;
      if (backwards) result.address.offset += step * (shape[a] - 1);
      step *= shape[a];
    }
    elements = std::max<int64_t>(1, step + below(3));
    return result;
  }
  tinyops::Operand operand(DType dtype, const View& view, const std::vector<int64_t>& elements) {
    const std::vector<std::byte> bytes = Tensor::from(elements).cast(dtype).to_bytes();
    tinyops::Operand result{std::make_shared<tinyops::Buffer>(bytes.size()), dtype, view};
    tinyops::write(result.buffer->data(), bytes.data(), bytes.size());
    return result;
  }
  std::vector<int64_t> values(int64_t count, int64_t low, int64_t high) {
    std::vector<int64_t> result(static_cast<size_t>(count));
    for (int64_t& x : result) x = low + below(high - low);
    return result;
  }
};

std::vector<std::byte> bytes_of(const tinyops::Operand& operand) {
  std::vector<std::byte> bytes(operand.buffer->bytes());
  tinyops::read(bytes.data(), operand.buffer->data(), bytes.size());
  return bytes;
}

}  // namespace

TEST_CASE("indexing: scatters of all operations into all kinds of views") {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    Kernels k{std::mt19937_64(seed)};
    Shape shape;
    for (int64_t rank = k.below(4); rank > 0; --rank) shape.push_back(1 + k.below(k.below(3) ? 5 : 40));
    Shape picked = shape;
    picked.push_back(1 + k.below(7));
    int64_t elements;
    const DType dtype = kDTypes[k.below(8)], index_dtype = kIndexDTypes[size_t(k.below(3))];
    const View source = k.view(shape, elements, true);
    tinyops::ScatterKernel scatter;
    scatter.op = ReduceOp(k.below(tinyops::kCount<ReduceOp>));
    scatter.source = k.operand(dtype, source, k.values(elements, is_float(dtype) ? -1 : 0, 3));
    const View index = k.view(shape, elements, true);
    scatter.index = k.operand(index_dtype, index, k.values(elements, 0, picked.back()));
    View out = k.view(picked, elements, true);
    if (k.below(4) == 0)  // elements that overlap, from several places
      for (int64_t& step : out.address.coef) step = std::abs(step) / 2, out.address.offset = 0;
    scatter.out = k.operand(dtype, out, k.values(elements, 0, 9));
    tinyops::run(scatter);
    const std::vector<std::byte> got = bytes_of(scatter.out);
    tinyops::reference::check(scatter);
    CHECK_MESSAGE(got == bytes_of(scatter.out),
                  text("seed ", seed, ": ", dtype, ' ', scatter.op, " of ", shape, " into ", out));
  }
}

TEST_CASE("indexing: gathers of rows into rows that begin anywhere") {
  Kernels k{std::mt19937_64(1)};
  for (const DType dtype : {DType::UInt8, DType::Float16, DType::Float32})
    for (const int64_t pitch : {16, 17, 18, 20, 24})  // from one row of `out` to the next
      for (const int64_t offset : {0, 1, 2, 4, 8}) {
        const Shape shape{6, 16};
        tinyops::GatherKernel gather;
        gather.table = k.operand(dtype, {{6, 16, 9}, {{0, 1, 16}, 0}, {}}, k.values(9 * 16, 0, 99));
        gather.index = k.operand(DType::Int64, {shape, {{1, 0}, 0}, {}}, k.values(6, 0, 9));
        gather.out = k.operand(dtype, {shape, {{pitch, 1}, offset}, {}}, k.values(6 * pitch + offset, 0, 9));
        tinyops::run(gather);
        const std::vector<std::byte> got = bytes_of(gather.out);
        tinyops::reference::check(gather);
        CHECK_MESSAGE(got == bytes_of(gather.out), text(dtype, ' ', pitch, ' ', offset));
      }
}

TEST_CASE("indexing: all of a tensor is overwritten with what it is computed from") {
  const Tensor x = Tensor::arange(4).cast(DType::Float32).realize();
  const Tensor y = x.relu() + 1;
  Tensor z = -y;
  z.set({}, y);
  CHECK(z.to_bytes() == (x + 1).to_bytes());
}

}  // namespace teeny::test
