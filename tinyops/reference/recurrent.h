#pragma once
// The recurrent layer in plain loops; like the other kernels, but not what a first reading needs.
#include "tinyops/kernel.h"

namespace tinyops::reference {

/// `load` and `store` are those of reference.cpp.
template <class Load, class Store>
void run_recurrent(const RecurrentKernel& k, Load load, Store store) {
  const Shape &in = k.in.view.shape, &out = k.out.view.shape;
  const int64_t hidden = k.hidden(), gates = gates_of(k.cell);
  const auto walk = [&]<class T>(T, int64_t layer, int64_t sequence) {
    std::vector<T> before, after;
    for (int64_t i = 0; i < out[3]; ++i) before.push_back(T(load(k.first, {layer, sequence, i}).real));
    for (int64_t s = 0; s < in[0]; ++s) {
      const int64_t t = layer < k.forward ? s : in[0] - 1 - s;
      after = before;
      for (int64_t j = 0; j < hidden; ++j) {
        T x[4], sums[4], none = 0;
        for (int64_t g = 0; g < gates; ++g) {
          const int64_t column = g * hidden + j;
          double sum = load(k.weight, {layer, hidden, column}).real;
          for (int64_t r = 0; r < hidden; ++r)
            sum += double(before[size_t(r)]) * load(k.weight, {layer, r, column}).real;
          x[g] = T(load(k.in, {t, layer, sequence, column}).real), sums[g] = T(sum);
        }
        step_cell(k.cell, x, sums, after[size_t(j)], out[3] > hidden ? after[size_t(hidden + j)] : none);
      }
      for (int64_t i = 0; i < out[3]; ++i) store(k.out, {t, layer, sequence, i}, {double(after[size_t(i)])});
      before = after;
    }
  };
  for (int64_t layer = 0; layer < in[1]; ++layer)
    for (int64_t sequence = 0; sequence < in[2]; ++sequence)
      if (k.in.dtype == DType::Float64) walk(double{}, layer, sequence);
      else walk(float{}, layer, sequence);
}

}  // namespace tinyops::reference
