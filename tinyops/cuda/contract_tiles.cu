// The contraction by tiles in shared memory: a block makes rows x columns sums, `depth` of k at a time.
//
//                      columns of b                 k ──►
//   shared:   b[k]  ┌──────────────┐        ┌────┬────┬────┬────┐
//      a[k]         │              │        │ t0 │ t1 │ t2 │ .. │   while tile i is multiplied, tile i + 1 is on its way
//     ┌──┐          │  each thread │        └────┴────┴────┴────┘   from memory into registers; then it goes to the other
//     │  │ rows     │  has 8 x 8,  │          ▲         ▲           half of shared memory, and one barrier lets everyone on
//     │  │          │  in registers│       multiplied  loaded
//     └──┘          └──────────────┘
//
// The address of an element is the sum of a part for its row (or column) and a part for its k, and so is its position in
// every padded axis. The parts of the rows are looked up once, those of a tile of k while the tile before is loaded, by one
// warp after the other; so a window over an image, a transpose and a plain matrix are all the same to this kernel. It only
// asks whether four neighbours can be read at once, and along what neighbouring threads read.
//
// With 8 x 8 sums a thread does 64 multiply-adds for every 4 vectors from shared memory, and arithmetic limits it.
#include "tinyops/cuda/contract.h"

namespace tinyops::cuda {
namespace {

/// The sums of a block, and of a thread: these lie in groups of four neighbours along columns (and rows), the groups far
/// apart, so that a warp reads shared memory without conflicts.
template <int rows_, int columns_, int depth_, int thread_rows_, int thread_columns_>
struct Tile {
  static constexpr int rows = rows_, columns = columns_, depth = depth_;
  static constexpr int thread_rows = thread_rows_, thread_columns = thread_columns_;
  static constexpr int threads = rows * columns / (thread_rows * thread_columns);
};

template <class T>
struct alignas(sizeof(T) < 8 ? 4 * sizeof(T) : 16) Four {
  T v[4];
};

/// One operand's tile: `width` of its free index by `depth` of k.
template <class T, int width, int depth, int threads>
struct Loader {
  static constexpr int each = width * depth / threads;  ///< elements a thread brings
  static_assert(threads % width == 0 || width % threads == 0);
  static_assert(each % 4 == 0 && each <= 32 && threads >= width && threads % depth == 0);
  using Shared = Sum<T>[depth][width + 4];

  /// Where elements lie along the free index, and along k for this tile of it and the next. Line 0: addresses.
  struct Tables {
    int free[kLines][width];
    int reduced[2][kLines][depth];
  };

  T elements[each];  ///< on their way from memory to shared memory

  /// Element i of this thread, read one by one.
  template <bool along_x>
  static __device__ int x_of(int i) {
    return along_x ? int(threadIdx.x) % width : int(threadIdx.x) / depth + i * (threads / depth);
  }
  template <bool along_x>
  static __device__ int k_of(int i) {
    return along_x ? int(threadIdx.x) / width * each + i : int(threadIdx.x) % depth;
  }

  /// `left`: how many k there still are, from the tile's first.
  template <bool along_x>
  __device__ void gather(Global<const T> from, const TileOperand& operand, const Tables& tables, int slot, int left) {
    const int ks = left - k_of<along_x>(0);
    unsigned valid = along_x && ks < each ? (ks > 0 ? (1u << ks) - 1 : 0) : ks > 0 ? 0xffffffff : 0;  // a bit an element
    for (int line = 1; line <= operand.guards; ++line) {
      const unsigned size = unsigned(operand.guard_size[line - 1]);
#pragma unroll
      for (int i = 0; i < each; ++i) {
        const int position = tables.free[line][x_of<along_x>(i)] + tables.reduced[slot][line][k_of<along_x>(i)];
        if (unsigned(position) >= size) valid &= ~(1u << i);
      }
    }
#pragma unroll
    for (int i = 0; i < each; ++i) {
      const int at = tables.free[0][x_of<along_x>(i)] + tables.reduced[slot][0][k_of<along_x>(i)];
      elements[i] = valid >> i & 1 ? from[at] : T(0);
    }
  }
  template <bool along_x>
  __device__ void put(Shared& to) const {
#pragma unroll
    for (int i = 0; i < each; ++i) to[k_of<along_x>(i)][x_of<along_x>(i)] = Sum<T>(elements[i]);
  }

  /// The first of the i-th four of this thread: four neighbours along x, or along k.
  template <bool along_x>
  static __device__ int2 four(int i) {
    const int number = int(threadIdx.x) + i * threads;
    constexpr int x_fours = width / 4, k_fours = depth / 4;
    return along_x ? int2{number % x_fours * 4, number / x_fours} : int2{number / k_fours, number % k_fours * 4};
  }
  template <bool along_x>
  __device__ void read_fours(Global<const T> from, const Tables& tables, int slot, int left) {
    if constexpr (sizeof(T) <= 4) {
#pragma unroll
      for (int i = 0; i < each / 4; ++i) {
        const int2 at = four<along_x>(i);
        Four<T> found{};
        if (at.y < left) found = vector_at<Four<T>>(from, tables.free[0][at.x] + tables.reduced[slot][0][at.y]);
#pragma unroll
        for (int j = 0; j < 4; ++j) elements[4 * i + j] = found.v[j];
      }
    }
  }
  template <bool along_x>
  __device__ void put_fours(Shared& to) const {
    if constexpr (sizeof(T) <= 4) {
#pragma unroll
      for (int i = 0; i < each / 4; ++i) {
        const int2 at = four<along_x>(i);
        const T* const v = elements + 4 * i;
        if constexpr (along_x)
          reinterpret_cast<Four<Sum<T>>&>(to[at.y][at.x]) = {Sum<T>(v[0]), Sum<T>(v[1]), Sum<T>(v[2]), Sum<T>(v[3])};
        else
#pragma unroll
          for (int j = 0; j < 4; ++j) to[at.y + j][at.x] = Sum<T>(v[j]);
      }
    }
  }

  __device__ void load(Global<const T> from, const TileOperand& operand, const Tables& tables, int slot, int left) {
    switch (operand.read) {  // the same in all threads
      case Read::RunsOfK: return read_fours<false>(from, tables, slot, left);
      case Read::RunsOfX: return read_fours<true>(from, tables, slot, left);
      case Read::AlongK: return gather<false>(from, operand, tables, slot, left);
      case Read::AlongX: return gather<true>(from, operand, tables, slot, left);
    }
  }
  __device__ void store(const TileOperand& operand, Shared& to) const {
    switch (operand.read) {
      case Read::RunsOfK: return put_fours<false>(to);
      case Read::RunsOfX: return put_fours<true>(to);
      case Read::AlongK: return put<false>(to);
      case Read::AlongX: return put<true>(to);
    }
  }
};

/// What the axes of an index add to each of an operand's lines, for element `i`.
__device__ void follow(const Index& index, const int (&coef)[kLines][kTileAxes], int i, int (&lines)[kLines]) {
  for (int axis = index.axes - 1; axis >= 0; --axis) {
    const int left = axis > 0 ? index.sizes[axis].small_quotient(i) : 0;
    const int along = i - left * int(index.sizes[axis].divisor());
#pragma unroll
    for (int line = 0; line < kLines; ++line) lines[line] += along * coef[line][axis];
    i = left;
  }
}

/// The entry of a free index: beyond the last it is the first's, whose sums nobody stores.
template <class Tables>
__device__ void note_free(Tables& tables, const TileOperand& operand, const Index& index, const Index& batches, int batch,
                          int first, int i) {
  int lines[kLines] = {};
#pragma unroll
  for (int g = 0; g < kMostGuards; ++g) lines[1 + g] = operand.guard_offset[g];
  for (int axis = batches.axes - 1, rest = batch; axis >= 0; --axis) {
    const int left = batches.sizes[axis].small_quotient(rest), along = rest - left * int(batches.sizes[axis].divisor());
#pragma unroll
    for (int g = 0; g < kMostGuards; ++g) lines[1 + g] += along * operand.guard_batch[g][axis];
    rest = left;
  }
  follow(index, operand.free, first + i < index.count ? first + i : 0, lines);
#pragma unroll
  for (int line = 0; line < kLines; ++line) tables.free[line][i] = lines[line];
}

template <class Tables>
__device__ void note_reduced(Tables& tables, const TileOperand& operand, const Index& index, int slot, int k, int i) {
  int lines[kLines] = {};
  follow(index, operand.reduced, k + i < index.count ? k + i : 0, lines);
#pragma unroll
  for (int line = 0; line < kLines; ++line) tables.reduced[slot][line][i] = lines[line];
}

/// A 64-bit address' part for element `i` of an index.
__device__ int64_t address(const Index& index, const int64_t (&coef)[kTileAxes], int i) {
  int64_t result = 0;
  for (int axis = index.axes - 1; axis >= 0; --axis) {
    const int left = index.sizes[axis].small_quotient(i);
    result += int64_t(i - left * int(index.sizes[axis].divisor())) * coef[axis];
    i = left;
  }
  return result;
}

/// Which sums of the product a block makes. Blocks that run at the same time share rows and columns: they go down eight
/// tiles of rows before the next tile of columns.
struct Place {
  int row, column, part, batch;

  template <class Shape>
  static __device__ Place of_block(const TileProduct& p, Shape) {
    const unsigned down = unsigned(p.m.count + Shape::rows - 1) / Shape::rows;
    const unsigned across = unsigned(p.n.count + Shape::columns - 1) / Shape::columns;
    const unsigned tile = blockIdx.x % (down * across), rest = blockIdx.x / (down * across);
    const unsigned group = tile / (8 * across), in_group = tile % (8 * across);
    const unsigned height = down - 8 * group < 8 ? down - 8 * group : 8;
    return {int((8 * group + in_group % height) * Shape::rows), int(in_group / height * Shape::columns),
            int(rest % unsigned(p.parts)), int(rest / unsigned(p.parts))};
  }
};

/// What one thread does with its sums: element (i, j) goes to out[rows[row] + columns[column]].
template <class Shape, class To, class T>
__device__ void store_tile(Global<To> out, const T (&sums)[Shape::thread_rows][Shape::thread_columns], const int64_t* rows,
                           const int64_t* columns, int row, int column, int rows_left, int columns_left, bool runs) {
#pragma unroll
  for (int i = 0; i < Shape::thread_rows; ++i) {
    const int r = row + i / 4 * (4 * Shape::rows / Shape::thread_rows) + i % 4;
    if (r >= rows_left) continue;
#pragma unroll
    for (int j = 0; j < Shape::thread_columns; j += 4) {
      const int c = column + j * (Shape::columns / Shape::thread_columns);
      if (sizeof(To) <= 4 && runs) {
        if (c < columns_left)
          vector_at<Four<To>>(out, rows[r] + columns[c]) = {To(sums[i][j]), To(sums[i][j + 1]), To(sums[i][j + 2]), To(sums[i][j + 3])};
      } else {
#pragma unroll
        for (int l = 0; l < 4; ++l)
          if (c + l < columns_left) out[rows[r] + columns[c + l]] = To(sums[i][j + l]);
      }
    }
  }
}

template <class T, class Shape>
__global__ __launch_bounds__(Shape::threads, 512 / Shape::threads) void tiles(
    Global<const T> a, Global<const T> b, Global<T> out, const __grid_constant__ TileProduct p) {
  using LoadA = Loader<T, Shape::rows, Shape::depth, Shape::threads>;
  using LoadB = Loader<T, Shape::columns, Shape::depth, Shape::threads>;
  struct alignas(16) Memory {
    typename LoadA::Shared a[2];
    typename LoadB::Shared b[2];
    union {
      struct {
        typename LoadA::Tables a;
        typename LoadB::Tables b;
      } tables;
      struct {
        int64_t rows[Shape::rows], columns[Shape::columns];  // in the output, when the tables of k are done
      } to;
    };
  };
  __shared__ Memory shared;
  auto& tables = shared.tables;

  const int t = int(threadIdx.x), warp = t / 32, lane = t % 32;
  const Place place = Place::of_block(p, Shape());
  const int first = place.part * p.k_per_part;
  const int last = p.k.count - first < p.k_per_part ? p.k.count : first + p.k_per_part;
  a += p.a.offset + address(p.batch, p.a.batch, place.batch);
  b += p.b.offset + address(p.batch, p.b.batch, place.batch);

  const auto note_ks = [&](int slot, int k) {  // by one warp: half of it for each operand
    if (lane < Shape::depth) note_reduced(tables.a, p.a, p.k, slot, k, lane);
    else if (lane < 2 * Shape::depth) note_reduced(tables.b, p.b, p.k, slot, k, lane - Shape::depth);
  };
  for (int i = t; i < Shape::rows; i += Shape::threads) note_free(tables.a, p.a, p.m, p.batch, place.batch, place.row, i);
  for (int i = t; i < Shape::columns; i += Shape::threads) note_free(tables.b, p.b, p.n, p.batch, place.batch, place.column, i);
  if (warp < 2) note_ks(warp, first + warp * Shape::depth);
  __syncthreads();

  // A warp's threads: 4 down, 8 across.
  constexpr int warps_across = Shape::columns / Shape::thread_columns / 8;
  const int row = (warp / warps_across * 4 + lane / 8) * 4, column = (warp % warps_across * 8 + lane % 8) * 4;
  Sum<T> sums[Shape::thread_rows][Shape::thread_columns] = {};
  LoadA load_a;
  LoadB load_b;
  // Each turn loads the tile at `k` and multiplies the one before; the first has none before, the last none to load.
  for (int k = first, slot = 0; k < last + Shape::depth; k += Shape::depth, slot ^= 1) {
    const bool more = k < last;
    if (more) {
      load_a.load(a, p.a, tables.a, slot, last - k), load_b.load(b, p.b, tables.b, slot, last - k);
      if (k > first && warp == (k / Shape::depth) % (Shape::threads / 32)) note_ks(slot ^ 1, k + Shape::depth);
    }
    if (k > first) {
#pragma unroll
      for (int d = 0; d < Shape::depth; ++d) {
        Sum<T> x[Shape::thread_rows], y[Shape::thread_columns];
#pragma unroll
        for (int i = 0; i < Shape::thread_rows; i += 4)
          reinterpret_cast<Four<Sum<T>>&>(x[i]) =
              reinterpret_cast<const Four<Sum<T>>&>(shared.a[slot ^ 1][d][row + i * (Shape::rows / Shape::thread_rows)]);
#pragma unroll
        for (int j = 0; j < Shape::thread_columns; j += 4)
          reinterpret_cast<Four<Sum<T>>&>(y[j]) =
              reinterpret_cast<const Four<Sum<T>>&>(shared.b[slot ^ 1][d][column + j * (Shape::columns / Shape::thread_columns)]);
#pragma unroll
        for (int i = 0; i < Shape::thread_rows; ++i)
#pragma unroll
          for (int j = 0; j < Shape::thread_columns; ++j) multiply_add<T>(sums[i][j], x[i], y[j]);
      }
    }
    if (more) load_a.store(p.a, shared.a[slot]), load_b.store(p.b, shared.b[slot]);
    __syncthreads();
  }

  // A row beyond the last has no address; nobody asks for it.
  const int rows_left = p.m.count - place.row, columns_left = p.n.count - place.column;
  const int64_t base = p.out_offset + address(p.batch, p.out_batch, place.batch) + place.part * p.part_stride;
  for (int i = t; i < Shape::rows && i < rows_left; i += Shape::threads)
    shared.to.rows[i] = base + address(p.m, p.out_m, place.row + i);
  for (int i = t; i < Shape::columns && i < columns_left; i += Shape::threads)
    shared.to.columns[i] = address(p.n, p.out_n, place.column + i);
  __syncthreads();
  const auto store = [&](auto to) {
    store_tile<Shape>(to, sums, shared.to.rows, shared.to.columns, row, column, rows_left, columns_left, p.runs_of_n);
  };
  if (p.parts > 1) store(as<Sum<T>>(out));
  else store(out);
}

template <class T, class Shape>
void multiply(const TileProduct& p, const Places& places) {
  const int64_t blocks = blocks_for(p.m.count, Shape::rows) * blocks_for(p.n.count, Shape::columns) * p.batch.count * p.parts;
  launch("contract", tiles<T, Shape>, Grid{unsigned(blocks), Shape::threads}, reinterpret_cast<const T*>(places.a),
         reinterpret_cast<const T*>(places.b), reinterpret_cast<T*>(places.out), p);
}

}  // namespace

void multiply_tiles(const TileProduct& p, int shape, DType dtype, const Places& places) {
  teeny::with_type(dtype, [&]<class T>(T) {
    if constexpr (std::is_same_v<Compute<T>, float>) {
      if (shape == 0) return multiply<T, Tile<128, 128, 8, 8, 8>>(p, places);
      if (shape == 1) return multiply<T, Tile<32, 128, 16, 8, 4>>(p, places);
    }
    multiply<T, Tile<64, 64, 16, sizeof(T) == 8 ? 4 : 8, 4>>(p, places);  // wide numbers need twice the registers
  });
}

}  // namespace tinyops::cuda
