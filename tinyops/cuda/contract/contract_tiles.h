#pragma once
// The contraction by tiles in shared memory: a block makes rows x columns sums, `depth` of k at a time.
//
//                      columns of b                 k ──►
//   shared:   b[k]  ┌──────────────┐        ┌────┬────┬────┬────┐
//      a[k]         │              │        │ t0 │ t1 │ t2 │ .. │   while tile i is multiplied, tile i + 1 is on its way
//     ┌──┐          │  each thread │        └────┴────┴────┴────┘   from memory into registers; then it goes to the other
//     │  │ rows     │  has some, in│          ▲         ▲           half of shared memory, and one barrier lets everyone on
//     │  │          │  registers   │       multiplied  loaded
//     └──┘          └──────────────┘
//
// The address of an element is the sum of a part for its row (or column) and a part for its k, and so is its position
// in every padded axis. The parts of the rows are looked up once, those of a tile of k while the tile before is loaded,
// by one warp after the other; so a window over an image, a transpose and a plain matrix are all the same to this
// kernel. It only depends on whether four neighbours can be read at once, and along what neighbouring threads read.
//
// How the sums are spread over threads, and multiplied, is up to a Block: of contract_tiles.cu or contract_tensor.cu.
//
//   struct Block {
//     static constexpr int rows, columns, depth, threads, blocks;  // blocks: that a processor should have room for
//     using Factor;                                                // what an element of an operand, a T, is in shared memory
//     static Factor factor(T x);
//     static constexpr bool k_neighbours;                          // whether neighbours there are those along k, or along x
//     static constexpr int pad;                                    // unused elements after each run of them, against conflicts
//     void multiply(const Shared<rows>& a, const Shared<columns>& b);
//     static constexpr int run, runs;                              // a thread has `runs` times `run` neighbours of a row
//     static int2 place(int i);                                    // row and column where its i-th run begins
//     void get(int i, sums);                                       // and that run; i is known when this is compiled
//   };
#include "tinyops/cuda/contract/contract_epilogue.h"

namespace tinyops::cuda {

/// One operand's tile in shared memory.
template <class Block, int width>
using SharedTile = std::conditional_t<Block::k_neighbours, typename Block::Factor[width][Block::depth + Block::pad],
                                      typename Block::Factor[Block::depth][width + Block::pad]>;

/// Brings an operand's tiles: `width` of its free index, x, by `depth` of k.
template <class T, class Block, int width>
struct Loader {
  static constexpr int depth = Block::depth, threads = Block::threads;
  using Factor = typename Block::Factor;
  using Shared = SharedTile<Block, width>;
  static constexpr int each = width * depth / threads;  ///< elements a thread brings
  static_assert(threads % width == 0 || width % threads == 0);
  static_assert(each % 4 == 0 && each <= 32 && threads >= width && threads % depth == 0);

  /// Where elements lie along the free index, and along k for this tile of it and the next. Line 0: addresses.
  struct Tables {
    int free[kLines][width];
    int reduced[2][kLines][depth];
  };

  T elements[each];  ///< on their way from memory to shared memory

  static __device__ Factor& at(Shared& tile, int x, int k) {
    if constexpr (Block::k_neighbours) return tile[x][k];
    else return tile[k][x];
  }

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
    // A bit an element.
    unsigned valid = along_x && ks < each ? (ks > 0 ? (1u << ks) - 1 : 0) : ks > 0 ? 0xffffffff : 0;
    for (int line = 1; line <= operand.guards; ++line) {
      const unsigned size = unsigned(operand.guard_size[line]);
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
    for (int i = 0; i < each; ++i) at(to, x_of<along_x>(i), k_of<along_x>(i)) = Block::factor(elements[i]);
  }

  /// The first of the i-th four of this thread: four neighbours along x, or along k.
  template <bool along_x>
  static __device__ int2 four(int i) {
    const int number = int(threadIdx.x) + i * threads;
    constexpr int x_fours = width / 4, k_fours = depth / 4;
    if constexpr (!along_x) return {number / k_fours, number % k_fours * 4};
    else if constexpr (!Block::k_neighbours) return {number % x_fours * 4, number / x_fours};
    else return {number / 8 % x_fours * 4, number % 8 + number / (8 * x_fours) * 8};  // eight k go to different banks
  }
  template <bool along_x>
  __device__ void read_fours(Global<const T> from, const Tables& tables, int slot, int left) {
    if constexpr (sizeof(T) <= 4) {
#pragma unroll
      for (int i = 0; i < each / 4; ++i) {
        const int2 at = four<along_x>(i);
        Pack<T, 4> found{};
        if (at.y < left) found = vector_at<Pack<T, 4>>(from, tables.free[0][at.x] + tables.reduced[slot][0][at.y]);
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
        const int2 first = four<along_x>(i);
        Pack<Factor, 4> run;
#pragma unroll
        for (int j = 0; j < 4; ++j) run.v[j] = Block::factor(elements[4 * i + j]);
        if constexpr (along_x != Block::k_neighbours)
          reinterpret_cast<Pack<Factor, 4>&>(at(to, first.x, first.y)) = run;
        else
#pragma unroll
          for (int j = 0; j < 4; ++j) at(to, first.x + (along_x ? j : 0), first.y + (along_x ? 0 : j)) = run.v[j];
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
__device__ inline void follow(const Index& index, const int (&coef)[kLines][kTileAxes], int i, int (&lines)[kLines]) {
  for_axes(index.sizes, 0, index.axes, i, [&](int axis, int along) {
#pragma unroll
    for (int line = 0; line < kLines; ++line) lines[line] += along * coef[line][axis];
  });
}

/// The entry of a free index: beyond the last it is the first's, whose sums are not stored.
template <class Tables>
__device__ void note_free(Tables& tables, const TileOperand& operand, const Index& index, const Index& batches,
                          int batch, int first, int i) {
  int lines[kLines];
#pragma unroll
  for (int line = 0; line < kLines; ++line) lines[line] = operand.guard_offset[line];
  follow(batches, operand.guard_batch, batch, lines);
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
__device__ inline int64_t address(const Index& index, const int64_t (&coef)[kTileAxes], int i) {
  int64_t result = 0;
  for_axes(index.sizes, 0, index.axes, i, [&](int axis, int along) { result += along * coef[axis]; });
  return result;
}

/// Which sums of the product a block makes. Blocks that run at the same time share rows and columns: they go down eight
/// tiles of rows before the next tile of columns.
struct TilePlace {
  int row, column, part, batch;

  template <class Block>
  static __device__ TilePlace of(const TileProduct& p) {
    const unsigned down = unsigned(p.m.count + Block::rows - 1) / Block::rows;
    const unsigned across = unsigned(p.n.count + Block::columns - 1) / Block::columns;
    const unsigned tile = blockIdx.x % (down * across), rest = blockIdx.x / (down * across);
    const unsigned group = tile / (8 * across), in_group = tile % (8 * across);
    const unsigned height = down - 8 * group < 8 ? down - 8 * group : 8;
    return {int((8 * group + in_group % height) * Block::rows), int(in_group / height * Block::columns),
            int(rest % unsigned(p.parts)), int(rest / unsigned(p.parts))};
  }
};

/// The addresses of a block's rows and columns in a view. A row beyond the last has none, and needs none.
template <class Tables>
__device__ void note_addresses(Tables& tables, const TileView& view, int64_t more, const TileProduct& p,
                               const TilePlace& place, const TileShape& left) {
  const int64_t base = view.offset + address(p.batch, view.batch, place.batch) + more;
  for (int i = int(threadIdx.x); i < Tables::row_count && i < left.rows; i += int(blockDim.x))
    tables.rows[i] = base + address(p.m, view.m, place.row + i);
  for (int i = int(threadIdx.x); i < Tables::column_count && i < left.columns; i += int(blockDim.x))
    tables.columns[i] = address(p.n, view.n, place.column + i);
}

template <class T, class Block>
__global__ __launch_bounds__(Block::threads, Block::blocks) void tiles(
    Global<const T> a, Global<const T> b, Global<T> out, const __grid_constant__ TileProduct p,
    const __grid_constant__ Epilogue epilogue) {
  using LoadA = Loader<T, Block, Block::rows>;
  using LoadB = Loader<T, Block, Block::columns>;
  struct Tiles {
    typename LoadA::Shared a[2];
    typename LoadB::Shared b[2];
    struct {
      typename LoadA::Tables a;
      typename LoadB::Tables b;
    } tables;
  };
  union alignas(16) Memory {
    Tiles tiles;
    AfterTile<Block> epilogue;  // when all tiles are multiplied
  };
  __shared__ Memory memory;
  Tiles& shared = memory.tiles;
  auto& tables = shared.tables;

  const int t = int(threadIdx.x), warp = t / 32, lane = t % 32;
  const TilePlace place = TilePlace::of<Block>(p);
  const int first = place.part * p.k_per_part;
  const int last = p.k.count - first < p.k_per_part ? p.k.count : first + p.k_per_part;
  a += p.a.offset + address(p.batch, p.a.batch, place.batch);
  b += p.b.offset + address(p.batch, p.b.batch, place.batch);

  const auto note_ks = [&](int slot, int k) {  // by one warp: half of it for each operand
    if (lane < Block::depth) note_reduced(tables.a, p.a, p.k, slot, k, lane);
    else if (lane < 2 * Block::depth) note_reduced(tables.b, p.b, p.k, slot, k, lane - Block::depth);
  };
  for (int i = t; i < Block::rows; i += Block::threads)
    note_free(tables.a, p.a, p.m, p.batch, place.batch, place.row, i);
  for (int i = t; i < Block::columns; i += Block::threads)
    note_free(tables.b, p.b, p.n, p.batch, place.batch, place.column, i);
  if (warp < 2) note_ks(warp, first + warp * Block::depth);
  __syncthreads();

  Block block;
  LoadA load_a;
  LoadB load_b;
  // Each turn loads the tile at `k` and multiplies the one before; the first has none before, the last none to load.
  for (int k = first, slot = 0; k < last + Block::depth; k += Block::depth, slot ^= 1) {
    const bool more = k < last;
    if (more) {
      load_a.load(a, p.a, tables.a, slot, last - k), load_b.load(b, p.b, tables.b, slot, last - k);
      if (k > first && warp == (k / Block::depth) % (Block::threads / 32)) note_ks(slot ^ 1, k + Block::depth);
      __syncwarp();  // tensor cores need all lanes of a warp together
    }
    if (k > first) block.multiply(shared.a[slot ^ 1], shared.b[slot ^ 1]);
    if (more) load_a.store(p.a, shared.a[slot]), load_b.store(p.b, shared.b[slot]);
    __syncthreads();
  }

  AfterTile<Block>& after = memory.epilogue;
  const TileShape left{p.m.count - place.row, p.n.count - place.column};
  if constexpr (std::is_same_v<Sum<T>, float>)
    if (epilogue.codes > 0) {
      for (int o = 0; o < epilogue.operands; ++o)
        note_addresses(after.tables[o], epilogue.operand[o].view, 0, p, place, left);
      __syncthreads();
      Finisher<T, Block> finisher{epilogue, after, left, {}};
#pragma unroll 1
      for (int eight = 0; eight < Block::runs / finisher.runs; ++eight) finisher.run(block, eight);
      return;
    }
  note_addresses(after.tables[0], p.out, place.part * p.part_stride, p, place, left);
  __syncthreads();
#pragma unroll
  for (int i = 0; i < Block::runs; ++i) {
    const int2 at = Block::place(i);
    if (at.x >= left.rows) continue;
    Sum<T> sums[Block::run];
    block.get(i, sums);
    const int64_t row = after.tables[0].rows[at.x], *const columns = after.tables[0].columns + at.y;
    if (p.parts > 1) store_run(as<Sum<T>>(out) + row, sums, columns, left.columns - at.y, p.out.runs_of_n);
    else store_run(out + row, sums, columns, left.columns - at.y, p.out.runs_of_n);
  }
}

template <class T, class Block>
void multiply(const Tiling& tiling, const Places& places) {
  const TileProduct& p = tiling.product;
  const int64_t blocks =
      blocks_for(p.m.count, Block::rows) * blocks_for(p.n.count, Block::columns) * p.batch.count * p.parts;
  launch("contract", tiles<T, Block>, Grid{unsigned(blocks), Block::threads}, reinterpret_cast<const T*>(places.a),
         reinterpret_cast<const T*>(places.b), reinterpret_cast<T*>(places.out), p, tiling.epilogue);
}

}  // namespace tinyops::cuda
