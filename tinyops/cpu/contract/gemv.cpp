// Products with one to seven rows: a matrix times a vector, one filter a channel. b is used once and not packed; its
// lanes run along whatever is contiguous in it.
//
//   along columns   b  x x x x x x x x    r           sums of 16 columns stay in a register; each r adds
//                      x x x x x x x x    ▼           its run of columns times one element of a
//                      └ packet ┘
//   along r         b  x x x x  x x x x  r ──►        16 r at a time meet the same 16 of a, packed before;
//                      └ packet ┘                     the lanes of a column's sum are added up at the end
//
// Where a run is no multiple of the packet, its last packet goes over elements again that were counted already.
#include "tinyops/cpu/contract/gemv.h"

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "tinyops/cpu/contract/packing.h"
#include "tinyops/cpu/parallel.h"

namespace tinyops::cpu {
namespace {

constexpr int kColumns = 4;              // at a time, along r
constexpr int64_t kLongRun = 512;        // columns that are a task's share, so that there is one for each thread
constexpr int64_t kAhead = 512;          // elements that are prefetched before they are needed, along r
constexpr int64_t kPieceWork = 1 << 16;  // multiply-adds of a task

/// Packets of columns that are summed at a time: of each r as long a piece of memory as registers allow.
constexpr int packets_of(int rows) { return rows <= 2 ? 8 : 4; }

/// to[i][start[p] + lane] = sum over n values of r of b[r][start[p] + lane] * few[r][i].
template <class T, int rows, int packets>
void along_columns(int64_t n, const T* b, const int64_t* r_offset, const int64_t* start, const T* few, T* const* to) {
  using P = Packets<T>;
  typename P::Type sum[rows][packets];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int p = 0; p < packets; ++p) sum[i][p] = P::fill(0);
  for (int64_t r = 0; r < n; ++r, few += rows) {
    const T* const from = b + r_offset[r];
#pragma GCC unroll 8
    for (int p = 0; p < packets; ++p) {
      const auto x = P::load(from + start[p]);
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) sum[i][p] = pmadd(P::fill(few[i]), x, sum[i][p]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int p = 0; p < packets; ++p) P::store(to[i] + start[p], sum[i][p]);
}

template <class T>
class Gemv {
 public:
  explicit Gemv(const Product& p)
      : p_(p), rows_(numel(p.rows)), columns_(numel(p.columns)), r_(numel(p.reduced)),
        batches_(numel(p.batch)), a_row_(size_t(rows_)), out_row_(size_t(rows_)) {
    offsets(p.rows, p.a.free, 0, rows_, a_row_.data());
    offsets(p.rows, p.out_rows, 0, rows_, out_row_.data());
  }

  void run() {
    with_count<kFewRows - 1>(rows_, [&]<int rows>() {
      if (has_runs(p_.columns, p_.b.free, sizeof(T) == 8)) run_along_columns<rows>();
      else run_along_r<rows>();
    });
  }

 private:
  static constexpr int lanes = Packets<T>::lanes;

  const T* a(int64_t batch) const { return at_batch<T>(p_, p_.a, batch); }
  const T* b(int64_t batch) const { return at_batch<T>(p_, p_.b, batch); }

  /// f(batch, first, last) for pieces of `count` things, `least` or more in each. A thing is `work` multiply-adds.
  template <class F>
  void in_pieces(int64_t count, int64_t work, int64_t least, F&& f) {
    const int64_t each = std::max<int64_t>(least, kPieceWork / std::max<int64_t>(work, 1));
    const int64_t pieces = (count + each - 1) / each;
    // A packet of b is used once, and waits for memory: it takes as long as two multiply-adds of gemm.h.
    const double steps = double(batches_) * double(count) * double(work) / 8;
    parallel(batches_ * pieces, steps < double(kWorthThreads) ? 0 : kWorthThreads, [&] {
      return [&](int64_t piece) {
        const int64_t first = piece % pieces * each;
        f(piece / pieces, first, std::min(first + each, count));
      };
    });
  }

  template <int rows>
  void run_along_columns() {
    // A run is an image's row, or a part of a long row, of at least a packet.
    constexpr int kPackets = packets_of(rows);
    constexpr int64_t block = kPackets * lanes;
    const int inner = p_.columns.size() - 1;
    const int64_t length = p_.columns[inner], blocks = (length + block - 1) / block;
    const int64_t parts = std::max<int64_t>(1, length / kLongRun);
    const Shape outer(p_.columns.begin(), p_.columns.end() - 1);
    const int64_t stride = p_.out_columns[inner];
    const bool direct = !is_rounded<T>(p_) && stride == 1;
    std::vector<int64_t> a_r(static_cast<size_t>(r_)), b_r(static_cast<size_t>(r_));
    offsets(p_.reduced, p_.a.reduced, 0, r_, a_r.data());
    offsets(p_.reduced, p_.b.reduced, 0, r_, b_r.data());

    in_pieces(numel(outer) * parts, length / parts * r_, 1, [&](int64_t batch, int64_t first, int64_t last) {
      std::vector<T> few(size_t(r_ * rows));
      const T* const from = a(batch);
      for (int64_t r = 0; r < r_; ++r)
        for (int i = 0; i < rows; ++i) few[size_t(r * rows + i)] = from[a_row_[size_t(i)] + a_r[size_t(r)]];
      const T* const columns_of_b = b(batch);
      const int64_t out_of_batch = p_.out_offset + batch_offset(p_, p_.out_batch, batch);
      for (int64_t run = first; run < last; ++run) {
        int64_t b_run, out_run;
        offsets(outer, {p_.b.free.begin(), p_.b.free.end() - 1}, run / parts, 1, &b_run);
        offsets(outer, {p_.out_columns.begin(), p_.out_columns.end() - 1}, run / parts, 1, &out_run);
        const int64_t end = std::min(length, (run % parts + 1) * blocks / parts * block);
        for (int64_t at = run % parts * blocks / parts * block; at < end; at += block) {
          const int64_t packets = std::min<int64_t>(kPackets, (end - at + lanes - 1) / lanes);
          int64_t start[kPackets];
          for (int64_t p = 0; p < packets; ++p) start[p] = std::min(p * lanes, end - lanes - at);
          const int64_t result = out_of_batch + out_run + at * stride;
          T waiting[rows][(kPackets + 1) * lanes];  // start[0] may be negative
          T* to[rows];
          for (int i = 0; i < rows; ++i) {
            to[i] = waiting[i] + lanes;
            if (direct) to[i] = static_cast<T*>(p_.out) + result + out_row_[size_t(i)];
          }
          with_count<kPackets>(packets, [&]<int count>() {
            along_columns<T, rows, count>(r_, columns_of_b + b_run + at, b_r.data(), start, few.data(), to);
          });
          if (direct) continue;
          with_out<T>(p_, [&]<class Out>(Out* out) {
            for (int i = 0; i < rows; ++i)
              for (int64_t c = 0; c < std::min(end - at, block); ++c)
                out[result + out_row_[size_t(i)] + c * stride] = Out(to[i][c]);
          });
        }
      }
    });
  }

  template <int rows>
  void run_along_r() {
    const int inner = p_.reduced.size() - 1;
    const int64_t length = p_.reduced[inner], packets = (length + lanes - 1) / lanes;
    const Shape outer(p_.reduced.begin(), p_.reduced.end() - 1);
    const int64_t runs = numel(outer);
    std::vector<int64_t> a_run(static_cast<size_t>(runs)), b_run(static_cast<size_t>(runs));
    offsets(outer, {p_.a.reduced.begin(), p_.a.reduced.end() - 1}, 0, runs, a_run.data());
    offsets(outer, {p_.b.reduced.begin(), p_.b.reduced.end() - 1}, 0, runs, b_run.data());
    // The last packet of a run counts only those lanes that no other counted.
    std::array<T, lanes> is_new;
    std::memset(is_new.data(), 0, sizeof(is_new));
    const int64_t left = length - (packets - 1) * lanes;
    std::memset(is_new.data() + lanes - left, 0xff, size_t(left) * sizeof(T));

    // A single row that is contiguous is read where it stands.
    const bool in_place = rows == 1 && runs == 1 && p_.a.reduced[inner] == 1;
    in_pieces(columns_, r_, (in_place ? 4 : 16) * kColumns, [&](int64_t batch, int64_t first, int64_t last) {
      const T* const from = a(batch);
      std::vector<T> packed(in_place ? 0 : size_t(runs * packets * lanes * rows));  // [run][packet][row][lane]
      T* to = packed.data();
      for (const int64_t run : in_place ? std::vector<int64_t>() : a_run)
        for (int64_t packet = 0; packet < packets; ++packet)
          for (int i = 0; i < rows; ++i, to += lanes) {
            const bool is_last = packet + 1 == packets;
            const int64_t start = is_last ? length - lanes : packet * lanes;
            for (int64_t lane = is_last ? lanes - left : 0; lane < lanes; ++lane)
              to[lane] = from[a_row_[size_t(i)] + run + (start + lane) * p_.a.reduced[inner]];
          }
      const T* const few = in_place ? from + a_row_[0] + a_run[0] : packed.data();
      std::vector<int64_t> b_column(size_t(last - first)), out_column(size_t(last - first));
      offsets(p_.columns, p_.b.free, first, last - first, b_column.data());
      offsets(p_.columns, p_.out_columns, first, last - first, out_column.data());
      const T* const columns_of_b = b(batch);
      const int64_t out_of_batch = p_.out_offset + batch_offset(p_, p_.out_batch, batch);
      for (int64_t c = 0; c < last - first; c += kColumns) {
        const int64_t n = std::min<int64_t>(kColumns, last - first - c);
        const T* column[kColumns];
        for (int64_t j = 0; j < n; ++j) column[j] = columns_of_b + b_column[size_t(c + j)];
        T sums[kColumns][rows];
        if (n == kColumns) along_r<rows, kColumns>(column, b_run, few, in_place, is_new.data(), sums);
        else  // the last few one by one
          for (int64_t j = 0; j < n; ++j)
            along_r<rows, 1>(column + j, b_run, few, in_place, is_new.data(), sums + j);
        with_out<T>(p_, [&]<class Out>(Out* out) {
          for (int64_t j = 0; j < n; ++j)
            for (int i = 0; i < rows; ++i)
              out[out_of_batch + out_row_[size_t(i)] + out_column[size_t(c + j)]] = Out(sums[j][i]);
        });
      }
    });
  }

  template <int rows, int columns>
  void along_r(const T* const* column, const std::vector<int64_t>& runs, const T* few, bool in_place, const T* is_new,
               T (*sums)[rows]) const {
    using P = Packets<T>;
    const int64_t length = p_.reduced.back();
    const auto mask = P::load(is_new);
    typename P::Type sum[rows][columns];
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < columns; ++j) sum[i][j] = P::fill(0);
    for (const int64_t run : runs) {
      int64_t x = 0;
      for (; x + lanes < length; x += lanes, few += rows * lanes)
#pragma GCC unroll 8
        for (int j = 0; j < columns; ++j) {
          __builtin_prefetch(column[j] + run + x + kAhead);
          const auto b = P::load(column[j] + run + x);
#pragma GCC unroll 8
          for (int i = 0; i < rows; ++i) sum[i][j] = pmadd(P::load(few + i * lanes), b, sum[i][j]);
        }
      typename P::Type a[rows];
      if (in_place) a[0] = pand(mask, P::load(few - x + length - lanes));
      else
        for (int i = 0; i < rows; ++i) a[i] = P::load(few + i * lanes);
#pragma GCC unroll 8
      for (int j = 0; j < columns; ++j) {
        const auto b = pand(mask, P::load(column[j] + run + length - lanes));
#pragma GCC unroll 8
        for (int i = 0; i < rows; ++i) sum[i][j] = pmadd(a[i], b, sum[i][j]);
      }
      few += rows * lanes;
    }
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < columns; ++j) sums[j][i] = predux(sum[i][j]);
  }

  const Product& p_;
  int64_t rows_, columns_, r_, batches_;
  std::vector<int64_t> a_row_, out_row_;
};

}  // namespace

bool has_runs(const Shape& sizes, const Dims& strides, bool wide) {
  return !sizes.empty() && strides.back() == 1 &&
         sizes.back() >= (wide ? Packets<double>::lanes : Packets<float>::lanes);
}

void gemv(const Product& product, bool wide) {
  wide ? Gemv<double>(product).run() : Gemv<float>(product).run();
}

}  // namespace tinyops::cpu
