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
// The address of an element is the sum of a part for its row (or column) and a part for its k, and so is its position in
// every padded axis. The parts of the rows are looked up once, those of a tile of k while the tile before is loaded, by one
// warp after the other; so a window over an image, a transpose and a plain matrix are all the same to this kernel. It only
// asks whether four neighbours can be read at once, and along what neighbouring threads read.
//
// How the sums are spread over threads, and multiplied, is a Block's affair: of contract_tiles.cu or contract_tensor.cu.
//
//   struct Block {
//     static constexpr int rows, columns, depth, threads, blocks;  // blocks: that a processor should have room for
//     using Number;                                                // what an element of an operand, a T, is in shared memory
//     static Number number(T x);
//     static constexpr bool k_neighbours;                          // whether neighbours there are those along k, or along x
//     static constexpr int pad;                                    // unused numbers after each run of them, against conflicts
//     static constexpr int run;                                    // neighbouring columns that a thread has
//     void multiply(const Shared<rows>& a, const Shared<columns>& b);
//     void visit(f);                                               // f(row, column, sums) for each run of this thread
//   };
#include "tinyops/cuda/contract.h"

namespace tinyops::cuda {

/// Neighbours in memory, read or written at once.
template <class T, int n>
struct alignas(n * sizeof(T) < 16 ? n * sizeof(T) : 16) Run {
  T v[n];
};

/// One operand's tile in shared memory.
template <class Block, int width>
using SharedTile = std::conditional_t<Block::k_neighbours, typename Block::Number[width][Block::depth + Block::pad],
                                      typename Block::Number[Block::depth][width + Block::pad]>;

/// Brings an operand's tiles: `width` of its free index, x, by `depth` of k.
template <class T, class Block, int width>
struct Loader {
  static constexpr int depth = Block::depth, threads = Block::threads;
  using Number = typename Block::Number;
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

  static __device__ Number& at(Shared& tile, int x, int k) {
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
    for (int i = 0; i < each; ++i) at(to, x_of<along_x>(i), k_of<along_x>(i)) = Block::number(elements[i]);
  }

  /// The first of the i-th four of this thread: four neighbours along x, or along k.
  template <bool along_x>
  static __device__ int2 four(int i) {
    const int number = int(threadIdx.x) + i * threads;
    constexpr int x_fours = width / 4, k_fours = depth / 4;
    if constexpr (!along_x) return {number / k_fours, number % k_fours * 4};
    else if constexpr (!Block::k_neighbours) return {number % x_fours * 4, number / x_fours};
    else return {number / 8 % x_fours * 4, number % 8 + number / (8 * x_fours) * 8};  // eight k: they go to different banks
  }
  template <bool along_x>
  __device__ void read_fours(Global<const T> from, const Tables& tables, int slot, int left) {
    if constexpr (sizeof(T) <= 4) {
#pragma unroll
      for (int i = 0; i < each / 4; ++i) {
        const int2 at = four<along_x>(i);
        Run<T, 4> found{};
        if (at.y < left) found = vector_at<Run<T, 4>>(from, tables.free[0][at.x] + tables.reduced[slot][0][at.y]);
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
        Run<Number, 4> run;
#pragma unroll
        for (int j = 0; j < 4; ++j) run.v[j] = Block::number(elements[4 * i + j]);
        if constexpr (along_x != Block::k_neighbours) reinterpret_cast<Run<Number, 4>&>(at(to, first.x, first.y)) = run;
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
__device__ inline int64_t address(const Index& index, const int64_t (&coef)[kTileAxes], int i) {
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

  template <class Block>
  static __device__ Place of(const TileProduct& p) {
    const unsigned down = unsigned(p.m.count + Block::rows - 1) / Block::rows;
    const unsigned across = unsigned(p.n.count + Block::columns - 1) / Block::columns;
    const unsigned tile = blockIdx.x % (down * across), rest = blockIdx.x / (down * across);
    const unsigned group = tile / (8 * across), in_group = tile % (8 * across);
    const unsigned height = down - 8 * group < 8 ? down - 8 * group : 8;
    return {int((8 * group + in_group % height) * Block::rows), int(in_group / height * Block::columns),
            int(rest % unsigned(p.parts)), int(rest / unsigned(p.parts))};
  }
};

/// Some neighbouring sums of a row: the j-th goes to out[columns[j]], for j < left.
template <class To, class T, int n>
__device__ void store_run(Global<To> out, const T (&sums)[n], const int64_t* columns, int left, bool are_neighbours) {
  if (sizeof(To) <= 4 && are_neighbours) {
    Run<To, n> run;
#pragma unroll
    for (int j = 0; j < n; ++j) run.v[j] = To(sums[j]);
    if (left > 0) vector_at<Run<To, n>>(out, columns[0]) = run;
  } else {
#pragma unroll
    for (int j = 0; j < n; ++j)
      if (j < left) out[columns[j]] = To(sums[j]);
  }
}

template <class T, class Block>
__global__ __launch_bounds__(Block::threads, Block::blocks) void tiles(
    Global<const T> a, Global<const T> b, Global<T> out, const __grid_constant__ TileProduct p) {
  using LoadA = Loader<T, Block, Block::rows>;
  using LoadB = Loader<T, Block, Block::columns>;
  struct alignas(16) Memory {
    typename LoadA::Shared a[2];
    typename LoadB::Shared b[2];
    union {
      struct {
        typename LoadA::Tables a;
        typename LoadB::Tables b;
      } tables;
      struct {
        int64_t rows[Block::rows], columns[Block::columns];  // in the output, when the tables of k are done
      } to;
    };
  };
  __shared__ Memory shared;
  auto& tables = shared.tables;

  const int t = int(threadIdx.x), warp = t / 32, lane = t % 32;
  const Place place = Place::of<Block>(p);
  const int first = place.part * p.k_per_part;
  const int last = p.k.count - first < p.k_per_part ? p.k.count : first + p.k_per_part;
  a += p.a.offset + address(p.batch, p.a.batch, place.batch);
  b += p.b.offset + address(p.batch, p.b.batch, place.batch);

  const auto note_ks = [&](int slot, int k) {  // by one warp: half of it for each operand
    if (lane < Block::depth) note_reduced(tables.a, p.a, p.k, slot, k, lane);
    else if (lane < 2 * Block::depth) note_reduced(tables.b, p.b, p.k, slot, k, lane - Block::depth);
  };
  for (int i = t; i < Block::rows; i += Block::threads) note_free(tables.a, p.a, p.m, p.batch, place.batch, place.row, i);
  for (int i = t; i < Block::columns; i += Block::threads) note_free(tables.b, p.b, p.n, p.batch, place.batch, place.column, i);
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
    }
    if (k > first) block.multiply(shared.a[slot ^ 1], shared.b[slot ^ 1]);
    if (more) load_a.store(p.a, shared.a[slot]), load_b.store(p.b, shared.b[slot]);
    __syncthreads();
  }

  // A row beyond the last has no address; nobody asks for it.
  const int rows_left = p.m.count - place.row, columns_left = p.n.count - place.column;
  const int64_t base = p.out_offset + address(p.batch, p.out_batch, place.batch) + place.part * p.part_stride;
  for (int i = t; i < Block::rows && i < rows_left; i += Block::threads)
    shared.to.rows[i] = base + address(p.m, p.out_m, place.row + i);
  for (int i = t; i < Block::columns && i < columns_left; i += Block::threads)
    shared.to.columns[i] = address(p.n, p.out_n, place.column + i);
  __syncthreads();
  block.visit([&](int row, int column, const Sum<T> (&sums)[Block::run]) {
    if (row >= rows_left) return;
    const int64_t* const columns = shared.to.columns + column;
    if (p.parts > 1) store_run(as<Sum<T>>(out) + shared.to.rows[row], sums, columns, columns_left - column, p.runs_of_n);
    else store_run(out + shared.to.rows[row], sums, columns, columns_left - column, p.runs_of_n);
  });
}

template <class T, class Block>
void multiply(const TileProduct& p, const Places& places) {
  const int64_t blocks = blocks_for(p.m.count, Block::rows) * blocks_for(p.n.count, Block::columns) * p.batch.count * p.parts;
  launch("contract", tiles<T, Block>, Grid{unsigned(blocks), Block::threads}, reinterpret_cast<const T*>(places.a),
         reinterpret_cast<const T*>(places.b), reinterpret_cast<T*>(places.out), p);
}

}  // namespace tinyops::cuda
