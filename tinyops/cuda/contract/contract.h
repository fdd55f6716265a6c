#pragma once
// A contraction as the product of matrices that its kernels multiply: each of the four indices below stands for several
// axes of a view, and an element's address splits into a part for each of them.
//
//   sum[batch, m, n] = sum over k of a[batch, m, k] * b[batch, n, k]
//
//   shape of a convolution   ( N  CO  OH  OW | C  KH  KW )
//   w moves along                  *           *   *   *       only a, kept:    CO        m
//   x moves along              *       *   *   *   *   *       only b, kept:    N OH OW   n
//                                                              summed:          C KH KW   k
//   both, or neither, kept: a batch of products
#include <optional>

#include "tinyops/cuda/row/program.h"

namespace tinyops::cuda {

// ---- Values ---------------------------------------------------------------------------------------------------------

/// What a sum of Ts is kept in: unsigned where it may wrap around.
template <class T>
using Sum =
    std::conditional_t<!std::is_integral_v<T>, Compute<T>, std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>>;

template <class T>
TINYOPS_HD void multiply_add(Sum<T>& sum, Sum<T> a, Sum<T> b) {
  if constexpr (std::is_same_v<T, bool>) sum |= a & b;
  else sum += a * b;
}

/// Calls `f(axis, index along it)` for the axes [first, last), of which element `i` is meant: its number in row-major
/// order.
template <class Int, class F>
__device__ __forceinline__ void for_axes(const Divider* sizes, int first, int last, Int i, F&& f) {
  for (int axis = last - 1; axis >= first; --axis) {
    const Int left = axis > first ? sizes[axis].quotient(i) : 0;
    f(axis, i - left * Int(sizes[axis].divisor()));
    i = left;
  }
}

// ---- One thread, or a few, for a sum --------------------------------------------------------------------------------

/// The most guards of an operand that a kernel checks; one with more is copied first.
inline constexpr int kMostGuards = 3;

struct DirectOperand {
  Strides address;
  int guards = 0;
  Form<kMaxRank> guard[kMostGuards];
};
/// Any contraction: `axes` are those of its sums and, after them, the summed ones.
struct DirectProduct {
  int64_t sums = 1, k = 1;
  int kept = 0;
  Axes axes;
  DirectOperand a, b;
  Strides out;
  int lanes = 1;  ///< neighbouring threads that share a sum: a power of two up to 32
  int parts = 1;  ///< k is cut into so many, and part p of the sums is stored p * part_stride further on, as Sum<T>
  int64_t k_per_part = 1, part_stride = 0;
};

/// The places of the operands' memory, and of the sums' or of their parts'.
struct Places {
  const char* a;
  const char* b;
  char* out;
};
void multiply_directly(const DirectProduct& product, DType dtype, const Places& places);

// ---- Tiles ----------------------------------------------------------------------------------------------------------

inline constexpr int kTileAxes = 6;    ///< of each of the four indices
/// An operand's address and its guards' positions, each affine in the index.
inline constexpr int kLines = 1 + kMostGuards;

/// An index that stands for several axes.
struct Index {
  int count = 1, axes = 0;
  Divider sizes[kTileAxes];
};

/// How a tile of an operand comes into shared memory.
enum class Read : int {
  RunsOfK,   ///< four neighbours along k at once
  RunsOfX,   ///< four neighbours along the operand's free index, m or n, at once
  AlongK,    ///< one by one, neighbouring threads along k
  AlongX     ///< one by one, neighbouring threads along m or n
};

struct TileOperand {
  Read read = Read::AlongX;
  int guards = 0;
  int64_t offset = 0, batch[kTileAxes] = {};
  /// Line 0 is the address, line 1 + g guard g's position.
  int free[kLines][kTileAxes] = {}, reduced[kLines][kTileAxes] = {};
  int guard_batch[kLines][kTileAxes] = {}, guard_offset[kLines] = {}, guard_size[kLines] = {};  ///< of line 0: nothing
};

/// How the sums, or what goes with them, lie in memory.
struct TileView {
  int64_t offset = 0, batch[kTileAxes] = {}, m[kTileAxes] = {}, n[kTileAxes] = {};
  /// Four neighbours along n are neighbours there; a whole word, as padding would be compared, too.
  int64_t runs_of_n = false;
};

struct TileProduct {
  Index batch, m, n, k;
  TileOperand a, b;
  TileView out;
  int parts = 1;           ///< as in DirectProduct
  int k_per_part = 1;
  int64_t part_stride = 0;
};

/// What a tile's kernel makes of its sums, before it stores anything: see contract_epilogue.h. No codes: it stores the
/// sums.
struct Epilogue {
  static constexpr int kMostCodes = 32, kMostConstants = 16, kMostOperands = 6;
  static constexpr uint8_t kSum = 255;  ///< a Load of the sum; else its operand, like a Store's, counts `operands`
  /// A block has shared memory for so much: a table of addresses for each operand, and a slot takes as much as four
  /// tables.
  static constexpr int kRoom = 10;

  struct Operand {
    Global<char> memory;
    int64_t as_sums = false;  ///< whether it is of the dtype of a and b; else of float32
    TileView view;
  };
  int codes = 0, operands = 0;
  BytecodeOp code[kMostCodes];
  uint32_t constants[kMostConstants] = {};
  Operand operand[kMostOperands];
};
static_assert(sizeof(TileProduct) + sizeof(Epilogue) < 4000 && sizeof(DirectProduct) < 4000,
              "a kernel has 4 KB of parameters");

/// Rows (m) by columns (n): of a tile, or how many there are from a tile's first one on.
struct TileShape {
  int rows, columns;
};
/// The tiles there are.
inline constexpr TileShape kTileShapes[] = {{128, 128}, {32, 128}, {64, 64}};
/// The one that every dtype has; the others are for float32, and for tensor cores.
inline constexpr int kSmallTile = 2;
inline constexpr int kTileDepth = 16;  ///< parts of k are multiples of it

struct Tiling {
  TileProduct product;
  int shape;
  bool swapped;  ///< what the kernel calls a is b
  std::vector<TileView> beside;  ///< as in Contraction
  Epilogue epilogue;
};

void multiply_tiles(const Tiling& tiling, DType dtype, const Places& places);

/// Whether products of this dtype are made by tensor cores, by the second of these.
bool on_tensor_cores(DType dtype);
void multiply_on_tensor_cores(const Tiling& tiling, DType dtype, const Places& places);

// ---- Which of the two, and how --------------------------------------------------------------------------------------

/// A contraction with a place for its sums: a view of the kept axes.
struct Contraction {
  Shape shape;
  int reduced;
  Operand a, b;
  View out;
  DType dtype;  ///< of a, b and the sums
  std::vector<View> beside;  ///< what else is read or written with every sum; without guards

  int kept() const { return shape.size() - reduced; }
};

/// How it is multiplied: by tiles or, without a tiling, directly. This does not depend on where the buffers are.
struct ProductPlan {
  std::optional<Tiling> tiling;
  DirectProduct direct;

  /// In several parts only if it may be cut; these lie one after the other, each in row-major order of the kept axes.
  ProductPlan(const Contraction& contraction, bool may_cut);
  int64_t parts() const { return tiling ? tiling->product.parts : direct.parts; }
};

/// Input `number` of an epilogue, or output ~number.
inline const Operand& operand_of(const RowKernel& epilogue, int number) {
  return number < 0 ? epilogue.outputs[size_t(~number)].operand : epilogue.inputs[size_t(number)].operand;
}
/// The program of an epilogue for a tile's kernel, and which inputs and outputs (see above) its operands are.
struct EpilogueProgram {
  Epilogue epilogue;
  std::vector<int> operands;
};
/// Nothing where such a kernel cannot run it.
std::optional<EpilogueProgram> epilogue_of(const RowKernel& epilogue, DType dtype);

/// Leaves the sums in `out`, or their parts there, as Sum<T>.
void multiply(const Contraction& contraction, const ProductPlan& plan, char* out);

}  // namespace tinyops::cuda
