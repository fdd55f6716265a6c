// Sorting by a network (Batcher's bitonic sort, 1968): comparisons whose places are fixed beforehand, half as many side
// by side as there are elements. Sorted runs of 1, 2, 4, .. merge to runs of twice the length; a merge begins with the
// second run mirrored, and goes on at half the distance until that is 1:
//
//   0  ─┬────── ─┬── ─┬─     a merge of two runs of four: 4 comparisons at a time, and only ever upwards, so that what lies
//   1  ─┼┬───── ─┼┬─ ─┴─     beyond the end of a row counts as larger than all, is never moved, and need not exist
//   2  ─┼┼┬──── ─┴┼─ ─┬─
//   3  ─┼┼┼┬─── ──┴─ ─┴─     row    [ tile ........ | tile ........ | tile .. ]
//   4  ─┼┼┼┴─── ─┬── ─┬─            sorted each in shared memory, several short rows in one block; then merges of tiles:
//   5  ─┼┼┴──── ─┼┬─ ─┴─            steps over distances of a tile and more go through memory, a launch each, and the
//   6  ─┼┴───── ─┴┼─ ─┬─            rest of a merge through shared memory again
//   7  ─┴────── ──┴─ ─┴─
//
// What is sorted are an element's key, an unsigned integer of the same order, and its place: with the place to decide
// between equal keys no two elements are equal, and the result is the one of a stable sort. Rows that fit a tile are
// limited by the comparisons, log(n)^2 / 2 of them an element; longer ones by the passes through memory.
#include "tinyops/common/sort_key.h"
#include "tinyops/cuda/index/index.h"

namespace tinyops::cuda {
namespace {

#ifdef TINYOPS_ON_HOST
constexpr int kTile = 64;  // so that small tests meet long rows
#else
constexpr int kTile = 2048;
#endif
constexpr int kThreads = kTile / 2;  ///< each compares two
constexpr int kMakers = 256;         ///< threads of the blocks that are not about tiles

/// A key of 32 bits above a place of 32, compared at once; and, for wider elements and longer rows, 64 of each.
using Narrow = uint64_t;
struct alignas(16) Wide {
  uint64_t key, place;
};
__device__ inline bool is_less(Narrow a, Narrow b) { return a < b; }
__device__ inline bool is_less(const Wide& a, const Wide& b) {
  return a.key != b.key ? a.key < b.key : a.place < b.place;
}
__device__ inline int64_t place_of(Narrow e) { return int64_t(e & UINT32_MAX); }
__device__ inline int64_t place_of(const Wide& e) { return int64_t(e.place); }

/// elements: (rows, n), contiguous.
template <class T, class Element>
__global__ void make_elements(const __grid_constant__ RowAddresses rows, int64_t count,
                              const __grid_constant__ Divider n, bool descending, Global<const T> in,
                              Global<Element> elements) {
  int64_t place = int64_t(blockIdx.x) * kMakers + threadIdx.x;
  if (place >= count) return;
  const int64_t i = place, row = n.divide(place);
  const Compute<T> x(in[rows.begin(row) + place * rows.along]);
  if constexpr (std::is_same_v<Element, Narrow>) {
    const uint32_t key = sort_key<uint32_t>(x);
    elements[i] = Narrow(descending ? ~key : key) << 32 | Narrow(place);
  } else {
    const uint64_t key = sort_key<uint64_t>(x);
    elements[i] = Wide{descending ? ~key : key, uint64_t(place)};
  }
}

/// The two places that comparison number `i` is about, in a step over `distance` of a merge to runs of `2 * distance`
/// elements (the mirrored first step), or in a later one.
struct Places {
  int64_t low, high;
};
__device__ inline Places compared(int64_t i, int64_t distance, bool mirrored) {
  const int64_t within = i & (distance - 1), run = (i - within) * 2;
  return {run + within, mirrored ? run + 2 * distance - 1 - within : run + within + distance};
}

/// What a block works on: `span` elements of a row, a power of two and at most a tile, several times.
struct Spans {
  int64_t span;    ///< elements
  int64_t n;       ///< of a row
  Divider in_row;  ///< spans of a row
  int64_t count;   ///< spans of all rows
};

/// Sorts every span; or, where they are what a merge has come down to, ends the merge. The places go to `out`, if that
/// is not null, else the elements back where they were.
template <class Element>
__global__ void __launch_bounds__(kThreads, 1)
    sort_spans(const __grid_constant__ Spans spans, bool ends_merge, Global<Element> elements,
               const __grid_constant__ RowAddresses rows, Global<int64_t> out) {
  __shared__ Element tile[kTile];
  const int span = int(spans.span);

  // The span that element t of the tile lies in: its row, where it begins there, and how many elements it has.
  struct Place {
    int64_t row, begin;
    int count;
  };
  const auto span_of = [&](int t) -> Place {
    int64_t number = int64_t(blockIdx.x) * (kTile / span) + t / span;
    if (number >= spans.count) return {0, 0, 0};
    const int64_t row = spans.in_row.divide(number), begin = number * span;
    return {row, begin, spans.n - begin < span ? int(spans.n - begin) : span};
  };

  for (int t = threadIdx.x; t < kTile; t += kThreads)
    if (const Place at = span_of(t); t % span < at.count) tile[t] = elements[at.row * spans.n + at.begin + t % span];
  __syncthreads();

  // Comparison i of the span at `first`.
  const int first = int(threadIdx.x) * 2 / span * span, i = int(threadIdx.x) - first / 2;
  const int count = span_of(first).count;
  const auto step = [&](int distance, bool mirrored) {
    const Places p = compared(i, distance, mirrored);
    if (p.high < count) {
      const Element low = tile[first + p.low], high = tile[first + p.high];
      if (is_less(high, low)) tile[first + p.low] = high, tile[first + p.high] = low;
    }
    __syncthreads();
  };
  for (int run = ends_merge ? span : 1; run < span; run *= 2) {
    step(run, true);
    for (int distance = run / 2; distance > 0; distance /= 2) step(distance, false);
  }
  if (ends_merge)
    for (int distance = span / 2; distance > 0; distance /= 2) step(distance, false);

  for (int t = threadIdx.x; t < kTile; t += kThreads)
    if (const Place at = span_of(t); t % span < at.count) {
      const int64_t place = at.begin + t % span;
      if (out) out[rows.begin(at.row) + place * rows.along] = place_of(tile[t]);
      else elements[at.row * spans.n + place] = tile[t];
    }
}

/// One step of a merge over `distance`, in rows of n elements and 2^log_pairs comparisons.
template <class Element>
__global__ void merge_step(int64_t rows, int64_t n, int log_pairs, int64_t distance, bool mirrored,
                           Global<Element> elements) {
  const int64_t i = int64_t(blockIdx.x) * kMakers + threadIdx.x, row = i >> log_pairs;
  const Places p = compared(i - (row << log_pairs), distance, mirrored);
  if (row >= rows || p.high >= n) return;
  const Element low = elements[row * n + p.low], high = elements[row * n + p.high];
  if (is_less(high, low)) elements[row * n + p.low] = high, elements[row * n + p.high] = low;
}

template <class T, class Element>
void sort(const SortKernel& k, const Operand& in) {
  const int64_t n = in.view.shape.back(), count = in.view.numel(), rows = count / n;
  const RowAddresses from = row_addresses(in.view), to = row_addresses(k.out.view);
  Scratch scratch(size_t(count) * sizeof(Element));
  Element* const elements = scratch.as<Element>();
  int64_t* const out = memory_of<int64_t>(k.out);

  launch("sort", make_elements<T, Element>, grid_for(count, kMakers), from, count, Divider(n, count), k.descending,
         memory_of<const T>(in), elements);

  int log_pairs = 0;  // whole: the row's length as a power of two
  while (int64_t(2) << log_pairs < n) ++log_pairs;
  const int64_t whole = int64_t(2) << log_pairs;
  const int span = int(std::min<int64_t>(whole, kTile));
  const int64_t spans_of_row = blocks_for(n, span), all_spans = rows * spans_of_row;
  const Spans spans{span, n, Divider(spans_of_row, all_spans), all_spans};
  const auto in_tiles = [&](bool ends_merge, bool last) {
    launch("sort", sort_spans<Element>, Grid{unsigned(blocks_for(all_spans, kTile / span)), kThreads}, spans,
           ends_merge, elements, to, last ? out : nullptr);
  };
  in_tiles(false, whole == span);
  for (int64_t run = span; run < whole; run *= 2) {
    for (int64_t distance = run; distance >= span; distance /= 2)
      launch("sort", merge_step<Element>, grid_for(rows << log_pairs, kMakers), rows, n, log_pairs, distance,
             distance == run, elements);
    in_tiles(true, 2 * run == whole);
  }
}

}  // namespace

void run_kernel(const SortKernel& k) {
  if (k.in.view.numel() == 0) return;
  const Operand in = without_guards(k.in);
  with_type(in.dtype, [&]<class T>(T) {
    if (sizeof(T) == 8 || k.in.view.shape.back() > int64_t(UINT32_MAX)) sort<T, Wide>(k, in);
    else if constexpr (sizeof(T) < 8) sort<T, Narrow>(k, in);
  });
}

}  // namespace tinyops::cuda
