// Copies that turn memory: what is contiguous along axis y comes out contiguous along axis x.
//
//        from, y ──►                       tile in shared memory                  to, x ──►
//   x   ┌────────────┬───              ┌──────────────────────┬─┐            y   ┌────────────┬───
//   │   │ 0 1 2 .. 31│ a warp reads    │ row 0:  0  1  2 .. 31│.│ a warp reads   │ 0  0' 0".. │ and writes 32
//   ▼   │ 0'1'2'     │ 32 neighbours ─►│ row 1:  0' 1' 2'     │.│ a column ──►   │ 1  1' 1"   │ neighbours
//       │ 0"         │ and stores      │ row 2:  0"           │.│            ▼   │ 2          │
//       └────────────┴───              └──────────────────────┴─┘                └────────────┴───
//
// A block is 32 x 8 threads and takes a tile of 32 x 32 elements, each thread four of them. Either way 32 lanes touch
// 32 neighbours of global memory: no sector is fetched for a few of its bytes, and memory is the limit.
//
// The tile's rows are 33 elements apart. Shared memory has 32 banks, word i in bank i % 32, and answers one word of
// each at a time: 32 apart, the 32 elements of a column would all be in one bank, one after the other. The column that
// is never used moves each row on by one bank. (Elements of 1, 2 and 8 bytes: 32 rows of 33 meet no bank twice either,
// 8 bytes going as two halves of a warp.)
#include "tinyops/cuda/row/row_plan.h"

namespace tinyops::cuda {
namespace {

constexpr int kTile = 32, kThreadRows = 8;

/// The two axes that trade places, and the others, along which there is a matrix each.
struct Turn {
  int64_t sizes_x = 0, sizes_y = 0;
  int64_t from_x = 0, from_y = 0, to_x = 0, to_y = 0;  ///< strides; from_y and to_x are 1 or -1
  Divider tiles_x, tiles_y;                            ///< how many tiles cover a matrix
  Axes others;
  Strides from, to;                                    ///< along the others
};
static_assert(sizeof(Turn) + 2 * 24 < 4096, "kernels take 4 KB of arguments");

template <class T>
__global__ void __launch_bounds__(kTile * kThreadRows)
turn(Global<const T> from, Global<T> to, const __grid_constant__ Turn t) {
  int64_t matrix = blockIdx.x;
  const int64_t tile_number_y = t.tiles_x.divide(matrix);  // what is left is the tile's number along x ...
  const int64_t first_x = matrix * kTile;
  matrix = tile_number_y;
  const int64_t other = t.tiles_y.divide(matrix);
  const int64_t first_y = matrix * kTile;
  const auto [from_matrix, to_matrix] = addresses(t.others, other, t.from, t.to);
  const int lane = int(threadIdx.x), row = int(threadIdx.y);

  // [exercise 32
  __shared__ Shared<T[kTile][kTile + 1]> tile;
  for (int r = row; r < kTile; r += kThreadRows)
    if (const int64_t x = first_x + r, y = first_y + lane; x < t.sizes_x && y < t.sizes_y)
      tile[r][lane] = from[from_matrix + x * t.from_x + y * t.from_y];
  __syncthreads();
  for (int r = row; r < kTile; r += kThreadRows)
    if (const int64_t x = first_x + lane, y = first_y + r; x < t.sizes_x && y < t.sizes_y)
      to[to_matrix + x * t.to_x + y * t.to_y] = tile[lane][r];
  // exercise 32]
}

bool is_copy(const RowKernel& k) {
  if (k.program.size() != 1 || k.inputs.size() != 1 || k.outputs.size() != 1) return false;
  const Input& input = k.inputs[0];
  return input.kind == Input::Kind::Memory && input.operand.view.guards.empty() &&
         input.operand.dtype == k.outputs[0].operand.dtype && !(k.inner > 0 && k.program[0].per_row);
}

bool is_unit(int64_t stride) { return stride == 1 || stride == -1; }

/// A side this short leaves most of a tile empty: a plain copy does as well.
constexpr int64_t kShortest = 8;

template <class T>
void launch_turn(const RowKernel& k, const Turn& t, int64_t tiles) {
  const auto* from = memory_of<const T>(k.inputs[0].operand);
  auto* to = memory_of<T>(k.outputs[0].operand);
  launch("transpose", turn<T>, Grid{unsigned(tiles), dim3(kTile, kThreadRows)}, from, to, t);
}

}  // namespace

bool run_transpose(const RowKernel& k) {
  if (!is_copy(k) || numel(k.shape) == 0) return false;
  const View &from = k.inputs[0].operand.view, &to = k.outputs[0].operand.view;
  MergedAxes axes = merge_axes(k.shape, {&from.address, &to.address});
  const Dims &from_strides = axes.coefs[0], &to_strides = axes.coefs[1];
  int x = -1, y = -1;
  for (int a = 0; a < axes.shape.size(); ++a) {
    if (is_unit(to_strides[a])) x = a;
    if (is_unit(from_strides[a]) && (y < 0 || axes.shape[a] > axes.shape[y])) y = a;
  }
  if (x < 0 || y < 0 || is_unit(from_strides[x]) || axes.shape[x] < kShortest || axes.shape[y] < kShortest)
    return false;

  Turn t;
  t.sizes_x = axes.shape[x], t.from_x = from_strides[x], t.to_x = to_strides[x];
  t.sizes_y = axes.shape[y], t.from_y = from_strides[y], t.to_y = to_strides[y];
  for (const int axis : {std::max(x, y), std::min(x, y)}) {
    axes.shape.erase(axis);
    for (Dims& coef : axes.coefs) coef.erase(axis);
  }
  const int64_t tiles_x = blocks_for(t.sizes_x, kTile), tiles_y = blocks_for(t.sizes_y, kTile);
  const int64_t tiles = tiles_x * tiles_y * numel(axes.shape);
  if (tiles > INT32_MAX) return false;
  t.tiles_x = Divider(tiles_x, tiles), t.tiles_y = Divider(tiles_y, tiles);
  t.others = axes.axes(), t.from = axes.strides(0, from.address.offset), t.to = axes.strides(1, to.address.offset);
  switch (itemsize(k.outputs[0].operand.dtype)) {
    case 1: launch_turn<uint8_t>(k, t, tiles); break;
    case 2: launch_turn<uint16_t>(k, t, tiles); break;
    case 4: launch_turn<uint32_t>(k, t, tiles); break;
    default: launch_turn<uint64_t>(k, t, tiles);
  }
  return true;
}

}  // namespace tinyops::cuda
