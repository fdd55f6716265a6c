// Running sums, products and extremes along an axis. Three ways to keep the machine busy:
//
//   side by side      x x x x  ┐ many rows whose elements lie side by side in memory: a tile of rows at once,
//   (lanes)           x x x x  │ one total a lane, step by step along the axis
//                     x x x x  ▼
//
//   row by row        x x x x x x x x ──►          rows enough for all threads: each takes whole rows
//
//   in pieces         x x x x | x x x x | x x x x  few long rows: first the total of every piece, on all threads; from
//                     total0    total1    total2   these, one after the other, what each piece starts from; then the
//                     0 ──────► t0 ─────► t0+t1    pieces, again on all threads
//
// An element of a piece is `start op total`, the total of the piece alone so far, added up in the same order both
// times: so the last element of a piece is exactly what the next piece starts from, and running sums of positive values
// never step down at a border.
//
// The way depends on the shape alone, so that any number of threads makes the same bits.
#include <cstddef>
#include <cstring>
#include <utility>

#include "tinyops/cpu/index/index.h"
#include "tinyops/cpu/parallel.h"
#include "tinyops/cpu/axis_cursor.h"

namespace tinyops::cpu {
namespace {

constexpr int64_t kPiece = 16 * kTile;     ///< of a row, where rows are cut
constexpr int64_t kManyRows = 64;          ///< enough for the threads without cutting
constexpr int64_t kShortRow = 32;

/// Room for a total of whatever type.
struct Total {
  alignas(8) std::byte bytes[8];
};

/// total = total op values[i], then values[i] = start op total; both as wide as TileReduction's.
using RunningTotal = void (*)(int64_t n, const Total& start, Total& total, void* values);

template <class T, ReduceOp op>
void running_total(int64_t n, const Total& start, Total& total, void* values) {
  constexpr bool wide = std::is_floating_point_v<T> && op != ReduceOp::Max && op != ReduceOp::Min;
  using W = std::conditional_t<wide, double, T>;
  W before, sum;
  std::memcpy(&before, start.bytes, sizeof(W));
  std::memcpy(&sum, total.bytes, sizeof(W));
  T* x = static_cast<T*>(values);
  for (int64_t i = 0; i < n; ++i) {
    sum = apply<W>(step(op), sum, W(x[i]));
    x[i] = T(apply<W>(step(op), before, sum));
  }
  std::memcpy(total.bytes, &sum, sizeof(W));
}

RunningTotal find_running_total(ReduceOp op, DType dtype) {
  return with_compute(dtype, [&]<class T>(T) -> RunningTotal {
    return with_op(op, [](auto op) -> RunningTotal { return running_total<T, decltype(op)::value>; });
  });
}

class Scan {
 public:
  explicit Scan(const ScanKernel& k)
      : k_(k), shape_(k.in.view.shape), axis_(shape_.size() - 1), n_(shape_.back()), elements_(numel(shape_)),
        running_total_(find_running_total(k.op, k.out.dtype)), reduction_(tile_reduction(k.op, k.out.dtype)) {}

  void run() {
    if (elements_ == 0) return;
    if (const int lanes = lane_axis(); lanes >= 0) return side_by_side(lanes);
    const int64_t rows = elements_ / n_;
    in_pieces(rows, rows >= kManyRows ? n_ : kPiece);
  }

 private:
  /// The axis whose elements lie closest together, if that is not the scanned one or the rows are hardly rows.
  int lane_axis() const {
    int best = -1;
    for (int a = 0; a < axis_; ++a)
      if (shape_[a] >= kStep && (best < 0 || stride(a) < stride(best))) best = a;
    return best >= 0 && (stride(best) < stride(axis_) || n_ < kShortRow) ? best : -1;
  }
  int64_t stride(int a) const { return k_.out.view.address.coef[a]; }

  void side_by_side(int lanes) {
    const int64_t width = shape_[lanes], tiles = (width + kTile - 1) / kTile, rows = elements_ / n_ / width;
    const AxisCursor in(k_.in, {lanes}), out(k_.out, {lanes});
    parallel(rows * tiles, 2 * elements_, [&] {
      return [&, in = in, out = out](int64_t piece) mutable {
        alignas(64) double values[kTile];  // room for elements of whatever type
        alignas(64) Total totals[kTile];
        Dims index = row_index(shape_, piece / tiles, axis_, lanes);
        index[lanes] = piece % tiles * kTile;
        const int64_t count = std::min(kTile, width - index[lanes]), whole = whole_steps(count);
        reduction_.reset(whole, totals);
        for (index[axis_] = 0; index[axis_] < n_; ++index[axis_]) {
          in.go_to(index), out.go_to(index);
          in.read(count, values);
          reduction_.rows(1, whole, totals, values);
          reduction_.finish(whole, values, totals);
          out.write(count, values);
        }
      };
    });
  }

  void in_pieces(int64_t rows, int64_t length) {
    const int64_t pieces = (n_ + length - 1) / length;
    const AxisCursor in(k_.in, {axis_}), out(k_.out, {axis_});
    std::vector<Total> starts(size_t(rows * pieces), nothing());  // at first the totals of the pieces
    const auto scan_all = [&](bool write) {
      parallel(rows * pieces, (write ? 4 : 2) * elements_, [&] {
        return [&, in = in, out = out](int64_t p) mutable {
          const int64_t begin = p % pieces * length, end = std::min(n_, begin + length);
          const Dims row = row_index(shape_, p / pieces, axis_);
          const Total total = scan(in, write ? &out : nullptr, row, begin, end, starts[size_t(p)]);
          if (!write) starts[size_t(p)] = total;
        };
      });
    };
    if (pieces > 1) scan_all(false);
    for (int64_t row = 0; row < rows; ++row) {
      Total start = nothing();
      for (int64_t p = row * pieces; p < (row + 1) * pieces; ++p) {
        Total next = start;
        reduction_.combine(1, &next, &starts[size_t(p)]);
        starts[size_t(p)] = std::exchange(start, next);
      }
    }
    scan_all(true);
  }

  /// The total of no elements.
  Total nothing() const {
    Total total;
    reduction_.reset(1, &total);
    return total;
  }

  /// Elements [begin, end) of a row, written if there is somewhere to; `start` is the total of those before. Returns
  /// the total of these alone.
  Total scan(AxisCursor& in, AxisCursor* out, Dims index, int64_t begin, int64_t end, const Total& start) const {
    alignas(64) double values[kTile];
    Total total = nothing();
    for (index[axis_] = begin; index[axis_] < end; index[axis_] += kTile) {
      const int64_t count = std::min(kTile, end - index[axis_]);
      in.go_to(index), in.read(count, values);
      running_total_(count, start, total, values);
      if (out) out->go_to(index), out->write(count, values);
    }
    return total;
  }

  const ScanKernel& k_;
  const Shape& shape_;
  int axis_;
  int64_t n_, elements_;
  RunningTotal running_total_;
  const TileReduction& reduction_;
};

}  // namespace

void run_kernel(const ScanKernel& k) { Scan(k).run(); }

}  // namespace tinyops::cpu
