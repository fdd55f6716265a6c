// Running sums, products and extremes along an axis.
//
//   along the rows       x x x x x x x x ──►    a block a row (a warp, if the row is short), a chunk of it at a time: each
//   (scan_rows)          before | warp | warp   warp takes some groups of 32 neighbours, and scans them by shuffles
//
//   across the rows      x x x x  ┐             where the rows lie side by side in memory: a block takes 32 rows, a lane
//   (scan_columns)       x x x x  │             each, and a warp some steps of the way down
//                        x x x x  ▼
//
//   in parts             [ part | part | part ]      few long rows: first the total of every part, by as many blocks;
//                         total0 total1 total2       from these what each part starts from, one after the other; then
//                         0 ───► t0 ───► t0+t1       the parts
//
// An element is `start op (before op own)`: the totals of the parts, of the chunk's warps and of the warp's groups so
// far, and each of them is exactly what the last element before it came to. So running sums of positive values never
// step down at a border, whatever is rounded. Sums grow as trees, which keeps their error small.
//
// Limited by memory, read once and written once; in parts, read twice. Which way is taken depends on the views alone,
// so that every GPU makes the same bits.
#include "tinyops/cuda/index/index.h"

namespace tinyops::cuda {
namespace {

#ifdef TINYOPS_ON_HOST  // so that small tests meet all ways
constexpr int kWarps = 2, kEach = 2;
constexpr int64_t kEnoughBlocks = 4, kShortRow = 40;
#else
constexpr int kWarps = 8, kEach = 4;
constexpr int64_t kEnoughBlocks = 256, kShortRow = 512;
#endif
constexpr int kThreads = 32 * kWarps;
constexpr int64_t kChunk = kThreads * kEach;       ///< elements of a row that a block scans at a time
constexpr int64_t kColumnChunk = kWarps * kEach;   ///< the same, of each of 32 rows
constexpr int64_t kPart = 4 * kChunk, kMostParts = 1024;

struct ScanWalk {
  RowAddresses in, out;
  int64_t rows, n;  ///< n elements a row
  int64_t part;     ///< of which these many are scanned at a time
  Divider parts;    ///< parts of a row
  int64_t warps;    ///< that share a row: all of a block, or one
};
static_assert(sizeof(ScanWalk) < 1024);

/// Every lane's total of the lanes up to its own. Doubling, the upper half of each run takes in the last of the lower
/// half: so no lane's total of positive values is below that of the lane before it.
template <ReduceOp op, class C>
__device__ C scan_of_warp(C x) {
  // [exercise 34
  const int lane = threadIdx.x % 32;
  for (int half = 1; half < 32; half *= 2) {
    const C lower = C(__shfl_sync(0xffffffff, x, (lane & ~(2 * half - 1)) + half - 1));
    if (lane & half) x = combine<op>(lower, x);
  }
  return x;
  // exercise 34]
}

/// What comes before a warp in its chunk, from the totals of the chunk's warps; and `before` moves on to the next
/// chunk.
template <ReduceOp op, class C>
__device__ C before_warp(const C* totals, int stride, int warp, int warps, C& before) {
  C result = before;
  for (int w = 0; w < warps; ++w) {
    if (w == warp) result = before;
    before = combine<op>(before, totals[w * stride]);
  }
  return result;
}

/// Warps (row, part, warp of it). `starts` and `totals`: (rows, parts), or null; without `out` only totals are made.
template <class T, ReduceOp op, class C = Compute<T>>
__global__ void scan_rows(const __grid_constant__ ScanWalk walk, Global<const T> in, Global<T> out,
                          Global<const C> starts, Global<C> totals) {
  __shared__ C warp_totals[2][kWarps];
  const int lane = threadIdx.x % 32, warps = int(walk.warps), warp = threadIdx.x / 32 % warps;
  const int first = threadIdx.x / 32 - warp;  // in the block, of those that share the row
  const int64_t number = (int64_t(blockIdx.x) * kWarps + first) / warps;
  int64_t part = number;
  const int64_t row = walk.parts.divide(part);
  if (row >= walk.rows) return;
  const int64_t end = (part + 1) * walk.part < walk.n ? (part + 1) * walk.part : walk.n;
  const int64_t from = walk.in.begin(row), to = walk.out.begin(row);
  const C start = starts ? starts[number] : identity<C>(op);
  C before = identity<C>(op);
  int turn = 0;  // two rows of totals: a fast warp may be a chunk ahead of those that still read
  for (int64_t chunk = part * walk.part; chunk < end; chunk += warps * 32 * kEach, turn ^= 1) {
    const int64_t mine = chunk + warp * 32 * kEach + lane;
    C sums[kEach];
#pragma unroll
    for (int j = 0; j < kEach; ++j)
      sums[j] = mine + 32 * j < end ? C(in[from + (mine + 32 * j) * walk.in.along]) : identity<C>(op);
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      sums[j] = scan_of_warp<op>(sums[j]);
      if (j > 0) sums[j] = combine<op>(C(__shfl_sync(0xffffffff, sums[j - 1], 31)), sums[j]);
    }
    if (lane == 31) warp_totals[turn][first + warp] = sums[kEach - 1];
    if (warps > 1) __syncthreads();
    else __syncwarp();
    const C earlier = before_warp<op>(warp_totals[turn] + first, 1, warp, warps, before);
    if (!out) continue;
#pragma unroll
    for (int j = 0; j < kEach; ++j)
      if (mine + 32 * j < end)
        out[to + (mine + 32 * j) * walk.out.along] = T(combine<op>(start, combine<op>(earlier, sums[j])));
  }
  if (totals && warp == 0 && lane == 0) totals[number] = before;
}

/// Block (32 rows, part): a lane a row, a warp kEach steps. The rest as above.
template <class T, ReduceOp op, class C = Compute<T>>
__global__ void scan_columns(const __grid_constant__ ScanWalk walk, Global<const T> in, Global<T> out,
                             Global<const C> starts, Global<C> totals) {
  __shared__ C warp_totals[2][kWarps][32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t part = blockIdx.x;
  const int64_t row = walk.parts.divide(part) * 32 + lane, parts = walk.parts.divisor();
  const bool exists = row < walk.rows;
  const int64_t end = (part + 1) * walk.part < walk.n ? (part + 1) * walk.part : walk.n;
  const int64_t from = walk.in.begin(row), to = walk.out.begin(row);
  const C start = starts && exists ? starts[row * parts + part] : identity<C>(op);
  C before = identity<C>(op);
  int turn = 0;
  for (int64_t chunk = part * walk.part; chunk < end; chunk += kColumnChunk, turn ^= 1) {
    const int64_t mine = chunk + warp * kEach;
    C sums[kEach];
#pragma unroll
    for (int j = 0; j < kEach; ++j)
      sums[j] = exists && mine + j < end ? C(in[from + (mine + j) * walk.in.along]) : identity<C>(op);
#pragma unroll
    for (int j = 1; j < kEach; ++j) sums[j] = combine<op>(sums[j - 1], sums[j]);
    warp_totals[turn][warp][lane] = sums[kEach - 1];
    __syncthreads();
    const C earlier = before_warp<op>(&warp_totals[turn][0][lane], 32, warp, kWarps, before);
    if (!out || !exists) continue;
#pragma unroll
    for (int j = 0; j < kEach; ++j)
      if (mine + j < end) out[to + (mine + j) * walk.out.along] = T(combine<op>(start, combine<op>(earlier, sums[j])));
  }
  if (totals && exists && warp == 0) totals[row * parts + part] = before;
}

/// totals: (rows, parts), made what each part starts from. A thread a row, one part after the other: see above.
template <class C, ReduceOp op>
__global__ void scan_totals(int64_t rows, int64_t parts, Global<C> totals) {
  const int64_t row = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (row >= rows) return;
  C before = identity<C>(op);
  for (int64_t p = row * parts; p < (row + 1) * parts; ++p) {
    const C total = totals[p];
    totals[p] = before;
    before = combine<op>(before, total);
  }
}

/// Whether neighbouring rows lie closer together than neighbours in a row, and there are enough for a warp.
bool side_by_side(const View& view) {
  int closest = -1;
  for (int a = 0; a + 1 < view.rank(); ++a)
    if (view.shape[a] > 1) closest = a;
  return closest >= 0 && view.shape[closest] >= 16 &&
         std::abs(view.address.coef[closest]) < std::abs(view.address.coef.back());
}

template <class T, ReduceOp op>
void scan(const ScanKernel& k, const Operand& in) {
  using C = Compute<T>;
  const int64_t n = in.view.shape.back(), rows = in.view.numel() / n;
  const bool columns = side_by_side(k.out.view);
  const int64_t warps = n <= kShortRow ? 1 : kWarps, blocks = blocks_for(rows, columns ? 32 : kWarps / warps);
  int64_t part = n;
  if (blocks < kEnoughBlocks && n > 2 * kPart)
    part = std::max(kPart, blocks_for(blocks_for(n, kMostParts), kChunk) * kChunk);
  const int64_t parts = blocks_for(n, part);
  const ScanWalk walk{row_addresses(in.view), row_addresses(k.out.view), rows, n, part,
                      Divider(parts, (rows + kWarps) * parts), warps};
  const Grid grid{unsigned(blocks * parts), kThreads};
  const auto kernel = columns ? scan_columns<T, op> : scan_rows<T, op>;
  const T* const from = memory_of<const T>(in);
  T* const to = memory_of<T>(k.out);
  if (parts == 1) return launch("scan", kernel, grid, walk, from, to, nullptr, nullptr);
  Scratch totals(size_t(rows * parts) * sizeof(C));
  launch("scan", kernel, grid, walk, from, nullptr, nullptr, totals.as<C>());
  launch("scan", scan_totals<C, op>, grid_for(rows, kThreads), rows, parts, totals.as<C>());
  launch("scan", kernel, grid, walk, from, to, totals.as<C>(), nullptr);
}

}  // namespace

void run_kernel(const ScanKernel& k) {
  if (k.in.view.numel() == 0) return;
  const Operand in = without_guards(k.in);
  with_type(in.dtype, [&]<class T>(T) { with_op(k.op, [&](auto op) { scan<T, decltype(op)::value>(k, in); }); });
}

}  // namespace tinyops::cuda
