// Golden lines: assigning to a part of a tensor, scatter, and bitcasts. See test_golden.cpp.
#include "tests/golden.h"

namespace teeny::test {

namespace {
/// x after x[index] = value, with the history of both.
Tensor put(const Tensor& x, std::initializer_list<Index> index, const Tensor& value) {
  Tensor copy = x.contiguous();
  copy.set(index, value);
  return copy;
}
}  // namespace

std::vector<GoldenLine> golden_setitem() {
  return {
      {"scatter", FN(x.scatter(0, y, z))},
      {"scatter_last", FN(x.scatter(-1, y, z))},
      {"scatter_number", FN(x.scatter(1, y, 7))},
      {"set_row", FN(put(x, {1}, y))},
      {"set_column", FN(put(x, {slice(), -1}, y))},
      {"set_number", FN(put(x, {slice(1, 3), 2}, Tensor::full({}, 5)))},
      {"set_broadcast", FN(put(x, {slice(0, 2)}, y))},
      {"set_step", FN(put(x, {ellipsis, slice({}, {}, 2)}, y))},
      {"set_reverse", FN(put(x, {slice(2, {}, -1)}, y))},
      {"set_all", FN(put(x, {slice()}, y))},
      {"set_none", FN(put(x, {slice(3, 1)}, y))},
      {"set_new_axis", FN(put(x, {none, 1}, y))},
      {"set_shifted", FN(put(x, {slice(1)}, x[{slice({}, -1)}] * 2))},
      {"set_doubled", FN(put(x, {slice(1, 3)}, x[{slice(1, 3)}] * 2))},
      {"set_twice", FN(put(put(x, {0}, y), {slice(), 0}, y))},
      {"set_rows", FN(put(x, {y}, z))},
      {"set_points", FN(put(x, {y, z}, w))},
      {"set_rows_part", FN(put(x, {slice(1), y}, z))},
      {"set_mask", FN(put(x, {y}, Tensor::full({}, 9)))},
      {"bitcast_f16", FN(x.bitcast(DType::Float16))},
      {"bitcast_bf16", FN(x.bitcast(DType::BFloat16))},
      {"bitcast_f32", FN(x.bitcast(DType::Float32))},
      {"bitcast_f64", FN(x.bitcast(DType::Float64))},
      {"bitcast_i32", FN(x.bitcast(DType::Int32))},
      {"bitcast_i64", FN(x.bitcast(DType::Int64))},
      {"bitcast_u8", FN(x.bitcast(DType::UInt8))},
  };
}

}  // namespace teeny::test
