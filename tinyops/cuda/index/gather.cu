// Gather: a copy whose source is chosen by data.
//
//   table 0 [ . . . . ]      index  2 0 2          a thread for each element of the output; where a whole row shares an
//         1 [ . . . . ]                            index and is contiguous, for each 16 bytes of it: the element is just
//         2 [ . . . . ] ───► out [ row 2 | row 0 | row 2 ]                                       wider then, and fewer
//
// Nothing is computed, so an element is its bytes, whatever its dtype. Limited by memory: rows far apart cost full
// sectors of 32 bytes each, which an embedding's rows fill.
#include "tinyops/cuda/index/index.h"

namespace tinyops::cuda {
namespace {

constexpr int kThreads = 256;

/// How the operands move along the axes of `out`.
struct GatherWalk {
  Axes axes;
  Strides table, index, out, position;
  int64_t elements;  ///< of `out`
  int64_t pick;      ///< from one element of the picked axis to the next, in the table
  int64_t size;      ///< of the picked axis
};
static_assert(sizeof(GatherWalk) < 1024);

template <class Word>
__global__ void gather(const __grid_constant__ GatherWalk walk, Global<const Word> table, Global<const uint8_t> index,
                       DType index_dtype, Global<Word> out, Global<DeviceError> device_errors, int name) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= walk.elements) return;
  const auto at = addresses(walk.axes, i, walk.table, walk.index, walk.out);
  const int64_t picked = read_index(index, index_dtype, at[1]);
  if (is_inside(picked, walk.size)) out[at[2]] = table[at[0] + picked * walk.pick];
  else report_error(device_errors, name, picked, walk.size, walk.position.address(walk.axes, i));
}

/// Of how many elements a word can be made, so that `word` divides whole rows and all steps between them.
int64_t elements_in_word(const MergedAxes& merged, const GatherKernel& k, int64_t itemsize) {
  if (merged.shape.empty() || merged.coefs[0].back() != 1 || merged.coefs[1].back() != 0 || merged.coefs[2].back() != 1)
    return 1;
  for (int64_t count = 16 / itemsize; count > 1; count /= 2) {
    bool fits = merged.shape.back() % count == 0 && k.table.view.address.coef.back() % count == 0 &&
                k.table.view.address.offset % count == 0 && k.out.view.address.offset % count == 0;
    for (int a = 0; a + 1 < merged.shape.size(); ++a)
      fits = fits && merged.coefs[0][a] % count == 0 && merged.coefs[2][a] % count == 0;
    if (fits) return count;
  }
  return 1;
}

template <class Word>
void start(const GatherKernel& k, const GatherWalk& walk) {
  launch(k.origin.op, gather<Word>, grid_for(walk.elements, kThreads), walk, memory_of<const Word>(k.table),
         memory_of<const uint8_t>(k.index), k.index.dtype, memory_of<Word>(k.out), device_errors(),
         number_of_origin(k.origin, k.out.view.shape));
}

void gather_rows(const GatherKernel& k) {
  const Affine position = position_of(k.index.view);
  MergedAxes merged =
      merge_axes(k.out.view.shape, {&k.table.view.address, &k.index.view.address, &k.out.view.address, &position});

  const int64_t itemsize = tinyops::itemsize(k.out.dtype), word = elements_in_word(merged, k, itemsize);
  if (word > 1) {  // addresses in words
    merged.shape[-1] /= word;
    for (int f : {0, 2})
      for (int a = 0; a + 1 < merged.shape.size(); ++a) merged.coefs[size_t(f)][a] /= word;
  }
  const GatherWalk walk{merged.axes(),
                        merged.strides(0, k.table.view.address.offset / word),
                        merged.strides(1, k.index.view.address.offset),
                        merged.strides(2, k.out.view.address.offset / word),
                        merged.strides(3),
                        numel(merged.shape),
                        k.table.view.address.coef.back() / word,
                        k.table.view.shape.back()};
  switch (itemsize * word) {
    case 1: return start<uint8_t>(k, walk);
    case 2: return start<uint16_t>(k, walk);
    case 4: return start<uint32_t>(k, walk);
    case 8: return start<uint64_t>(k, walk);
    default: return start<uint4>(k, walk);
  }
}

}  // namespace

void run_kernel(const GatherKernel& k) {
  check_index_dtype(k.index.dtype, k.origin.op);
  if (k.out.view.numel() == 0) return;
  gather_rows({without_guards(k.table), without_guards(k.index), k.out, k.origin});
  if (!is_recording()) throw_device_error();  // at the user's line; in a replay it comes with the next read
}

}  // namespace tinyops::cuda
