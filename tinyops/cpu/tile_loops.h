#pragma once
// Loops over the elements of a tile, which the compiler turns into packets.
#include "tinyops/cpu/tile.h"

namespace tinyops::cpu {

/// out[i] = f(x[i], ...): a loop that becomes packets, where f is not a call. `simd` asserts that no element reads
/// another's result, which holds also when `out` is one of the arguments.
template <class Out, class... In, class F>
void each(int64_t n, void* out, F f, In... in) {
  Out* to = static_cast<Out*>(out);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) to[i] = Out(f(in[i]...));
}
template <class T>
const InTile<T>* in(const void* values) {
  return static_cast<const InTile<T>*>(values);
}

}  // namespace tinyops::cpu
