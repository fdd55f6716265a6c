// Golden lines: running totals and sorting, and writing into a part of a tensor. See test_golden.cpp.
#include "tests/golden.h"

namespace teeny::test {

std::vector<GoldenLine> golden_ordering() {
  return {
      {"cumsum", FN(x.cumsum(0))},
      {"cumsum_last", FN(x.cumsum(-1))},
      {"cumsum_middle", FN(x.cumsum(1))},
      {"cumsum_view", FN(x.t().flip(0).cumsum(1))},
      {"cumsum_padded", FN(x.pad({0, 2}, {0, 1}).cumsum(0))},
      {"cumprod", FN(x.cumprod(0))},
      {"cumprod_last", FN(x.cumprod(-1))},
      {"cumprod_middle", FN(x.cumprod(1))},
      {"cummax", FN(x.cummax(0).values)},
      {"cummax_last", FN(x.cummax(-1).values)},
      {"cummax_middle", FN(x.cummax(1).values)},
      {"cummax_indices", FN(x.cummax(0).indices)},
      {"cummax_indices_last", FN(x.cummax(-1).indices)},
      {"cummax_indices_middle", FN(x.cummax(1).indices)},
      {"cummin", FN(x.cummin(0).values)},
      {"cummin_last", FN(x.cummin(-1).values)},
      {"cummin_middle", FN(x.cummin(1).values)},
      {"cummin_indices", FN(x.cummin(0).indices)},
      {"cummin_indices_last", FN(x.cummin(-1).indices)},
      {"cummin_indices_middle", FN(x.cummin(1).indices)},
      {"sort", FN(x.sort(0).values)},
      {"sort_last", FN(x.sort(-1).values)},
      {"sort_middle", FN(x.sort(1).values)},
      {"sort_indices", FN(x.sort(0).indices)},
      {"sort_indices_last", FN(x.sort(-1).indices)},
      {"sort_indices_middle", FN(x.sort(1).indices)},
      {"sort_down", FN(x.sort(0, true).values)},
      {"sort_down_last", FN(x.sort(-1, true).values)},
      {"sort_down_middle", FN(x.sort(1, true).values)},
      {"sort_down_indices", FN(x.sort(0, true).indices)},
      {"sort_down_indices_last", FN(x.sort(-1, true).indices)},
      {"sort_down_indices_middle", FN(x.sort(1, true).indices)},
      {"sort_view", FN(x.t().flip(0).sort().values)},
      {"argsort", FN(x.argsort())},
      {"argsort_down", FN(x.argsort(0, true))},
      {"topk", FN(x.topk(2).values)},
      {"topk_indices", FN(x.topk(2).indices)},
      {"topk_smallest", FN(x.topk(3, 0, false).values)},
      {"topk_all", FN(x.topk(4).values)},
      {"topk_none", FN(x.topk(0).values)},
  };
}

namespace {
/// x after x[index] = value, with the history of both.
Tensor put(const Tensor& x, std::initializer_list<Index> index, const Tensor& value) {
  Tensor copy = x.contiguous();
  copy.set(index, value);
  return copy;
}
}  // namespace

std::vector<GoldenLine> golden_writing() {
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
