// Products of matrices, at the speed of the machine's multiply-adds.
//
//            columns of b:  c0 c1 c2 ... c7            a task is one panel of rows and a block of columns. The panel
//              r ▲            read where they stand      is packed once, so that the inner loop reads it straight on;
//                │                                       b is never copied: a number of b is used in all lanes at
//   packed     ┌───┬────────────────────────┐            once, so it can be fetched from anywhere, through a pointer a
//   panel of a │ p │ sums: 3 packets x 8    │            column and a table of offsets along r. That makes a sliding
//   [r][rows]  │ p │ stay in registers for  │            window, a transpose and a matrix the same code.
//   r ──►      │ p │ a thousand r           │
//              └───┴────────────────────────┘
//
// Each output is summed in one order, whatever the number of threads: along r in blocks of about a thousand, and the
// blocks' sums one after the other.
#include "tinyops/cpu/gemm.h"

#include <cstring>
#include <memory>
#include <vector>

#include "tinyops/cpu/packets.h"
#include "tinyops/cpu/parallel.h"

namespace tinyops::cpu {
namespace {

using Eigen::internal::padd;
using Eigen::internal::pmadd;

/// Sums that fit the registers beside three packets of a and one number of b: 24 of 32, or 12 of 16.
constexpr int kColumns = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS >= 32 ? 8 : 4;
constexpr int kMaxPackets = 3;
constexpr int64_t kStrip = 64;           // columns whose results wait together to be stored
constexpr int64_t kBlockR = 1024;        // the packed panel is then at most 192 KiB, for the second-level cache
constexpr int64_t kSumBytes = 384 << 10;  // of a task's running sums, where r has several blocks
constexpr int64_t kEnoughTasks = 24;

/// to[column][lane] = or += the products of a packed panel and kColumns columns over n values of r.
template <class T, int packets>
void micro_kernel(int64_t n, const T* panel, const T* const* column, const int64_t* r_offset, T* const* to, bool add) {
  using P = Packets<T>;
  constexpr int width = packets * P::lanes;
  typename P::Type sum[kColumns][packets];
  for (int j = 0; j < kColumns; ++j)
    for (int p = 0; p < packets; ++p) sum[j][p] = P::fill(0);
  const T* c[kColumns];
  for (int j = 0; j < kColumns; ++j) {
    c[j] = column[j];
    for (int p = 0; p < packets; ++p) __builtin_prefetch(to[j] + p * P::lanes, 1);  // it will be there when it is written
  }
  for (int64_t r = 0; r < n; ++r, panel += width) {
    const int64_t at = r_offset[r];
    typename P::Type a[packets];
    for (int p = 0; p < packets; ++p) a[p] = P::load(panel + p * P::lanes);
#pragma GCC unroll 8
    for (int j = 0; j < kColumns; ++j) {
      const auto b = P::fill(c[j][at]);
      for (int p = 0; p < packets; ++p) sum[j][p] = pmadd(a[p], b, sum[j][p]);
    }
  }
  for (int j = 0; j < kColumns; ++j)
    for (int p = 0; p < packets; ++p) {
      T* out = to[j] + p * P::lanes;
      P::store(out, add ? padd(P::load(out), sum[j][p]) : sum[j][p]);
    }
}

/// Whether n offsets are `step` apart.
bool evenly(const int64_t* offset, int64_t n, int64_t step) {
  for (int64_t i = 1; i < n; ++i)
    if (offset[i] != offset[i - 1] + step) return false;
  return true;
}
bool consecutive(const int64_t* offset, int64_t n) { return evenly(offset, n, 1); }

/// Packs `rows` rows of `a`, of which the panel has room for `width`, over n values of r: panel[r][row], 0 in the rest.
template <class T>
void pack_panel(const T* a, const int64_t* row_offset, int64_t rows, int64_t width, const int64_t* r_offset, int64_t n,
                T* panel) {
  constexpr int lanes = Packets<T>::lanes;
  if (consecutive(row_offset, rows)) {
    for (int64_t r = 0; r < n; ++r, panel += width) {
      const T* from = a + row_offset[0] + r_offset[r];
      if (rows == width)
        for (int64_t i = 0; i < width; i += lanes) Packets<T>::store(panel + i, Packets<T>::load(from + i));
      else {
        std::memcpy(panel, from, size_t(rows) * sizeof(T));
        std::fill(panel + rows, panel + width, T(0));
      }
    }
    return;
  }
  for (int64_t r = 0; r < n;) {
    const int64_t step = n - r >= lanes && consecutive(r_offset + r, lanes) ? lanes : 1;
    for (int64_t i = 0; i < width; i += lanes) {
      T* to = panel + r * width + i;
      const int64_t present = std::clamp<int64_t>(rows - i, 0, lanes);
      const int64_t stride = present > 1 ? row_offset[i + 1] - row_offset[i] : 0;
      if (step == lanes && present == lanes && evenly(row_offset + i, lanes, stride)) {
        transpose_block(to, width, a + row_offset[i] + r_offset[r], stride);
        continue;
      }
      for (int64_t s = 0; s < step; ++s, to += width) {
        for (int64_t j = 0; j < present; ++j) to[j] = a[row_offset[i + j] + r_offset[r + s]];
        std::fill(to + present, to + lanes, T(0));
      }
    }
    r += step;
  }
}

/// Stores sums[column][row] of a strip; along whichever of the two memory is contiguous, if it is.
template <class T, class Out>
void store_strip(const T* sums, int64_t width, Out* out, const int64_t* row_offset, int64_t rows,
                 const int64_t* column_offset, int64_t columns) {
  constexpr int lanes = Packets<T>::lanes;
  if (consecutive(row_offset, rows)) {
    for (int64_t j = 0; j < columns; ++j) {
      Out* to = out + row_offset[0] + column_offset[j];
      if constexpr (std::is_same_v<T, Out>) std::memcpy(to, sums + j * width, size_t(rows) * sizeof(T));
      else
        for (int64_t i = 0; i < rows; ++i) to[i] = Out(sums[j * width + i]);
    }
    return;
  }
  for (int64_t j = 0; j < columns;) {
    int64_t run = 1;
    while (j + run < columns && run < lanes && column_offset[j + run] == column_offset[j] + run) ++run;
    for (int64_t i = 0; i < rows; ++i) {
      Out* to = out + row_offset[i] + column_offset[j];
      if constexpr (std::is_same_v<T, Out>) {
        const int64_t stride = i + 1 < rows ? row_offset[i + 1] - row_offset[i] : 0;
        if (run == lanes && i + lanes <= rows && evenly(row_offset + i, lanes, stride)) {
          transpose_block(to, stride, sums + j * width + i, width);
          i += lanes - 1;
          continue;
        }
      }
      for (int64_t s = 0; s < run; ++s) to[s] = Out(sums[(j + s) * width + i]);
    }
    j += run;
  }
}

/// Memory of a thread that is kept from one product to the next.
template <class T>
T* scratch(int64_t elements) {
  thread_local std::unique_ptr<char[]> memory;
  thread_local int64_t bytes = 0;
  const int64_t need = elements * int64_t(sizeof(T)) + 64;
  if (need > bytes) memory.reset(new char[size_t(need)]), bytes = need;
  const uintptr_t start = reinterpret_cast<uintptr_t>(memory.get());
  return reinterpret_cast<T*>((start + 63) / 64 * 64);
}

template <class T, class Out>
class Multiplication {
 public:
  explicit Multiplication(const Product& p)
      : p_(p), rows_(teeny::numel(p.rows)), columns_(teeny::numel(p.columns)), r_(teeny::numel(p.reduced)),
        batches_(teeny::numel(p.batch)), a_reduced_(size_t(r_)), b_reduced_(size_t(r_)) {
    offsets(p.reduced, p.a.reduced, 0, r_, a_reduced_.data());
    offsets(p.reduced, p.b.reduced, 0, r_, b_reduced_.data());
    const int64_t packets = (rows_ + lanes - 1) / lanes;
    panels_ = (packets + kMaxPackets - 1) / kMaxPackets;
    r_blocks_ = r_ <= kBlockR * 3 / 2 ? 1 : (r_ + kBlockR - 1) / kBlockR;
    const int64_t tasks = panels_ * batches_, strips = (columns_ + kStrip - 1) / kStrip;
    blocks_ = std::clamp<int64_t>((kEnoughTasks + tasks - 1) / tasks, 1, strips);
    if (r_blocks_ > 1) {
      const int64_t most = std::max<int64_t>(1, kSumBytes / (kMaxPackets * lanes * kStrip * int64_t(sizeof(T))));
      blocks_ = std::max(blocks_, (strips + most - 1) / most);
    }
    strips_per_block_ = (strips + blocks_ - 1) / blocks_;
    blocks_ = (strips + strips_per_block_ - 1) / strips_per_block_;
  }

  void run() {
    const double steps = double(batches_) * double(rows_) * double(columns_) * double(r_) / 16;
    parallel(batches_ * panels_ * blocks_, steps < double(kWorthThreads) ? 0 : kWorthThreads, [&] {
      return [&](int64_t task) {
        const int64_t panel = task / blocks_ % panels_, packets = (rows_ + lanes - 1) / lanes;
        const int64_t first = panel * packets / panels_, last = (panel + 1) * packets / panels_;
        const int64_t batch = task / blocks_ / panels_, block = task % blocks_;
        switch (last - first) {
          case 1: return run_task<1>(batch, first * lanes, block);
          case 2: return run_task<2>(batch, first * lanes, block);
          default: return run_task<3>(batch, first * lanes, block);
        }
      };
    });
  }

 private:
  static constexpr int lanes = Packets<T>::lanes;

  template <int packets>
  void run_task(int64_t batch, int64_t first_row, int64_t block) {
    constexpr int64_t width = packets * lanes;
    const int64_t rows = std::min(width, rows_ - first_row);
    const int64_t first_column = block * strips_per_block_ * kStrip;
    const int64_t columns = std::min(strips_per_block_ * kStrip, columns_ - first_column);
    const int64_t strips = (columns + kStrip - 1) / kStrip;

    int64_t a_batch, b_batch, out_batch, a_row[width], out_row[width], b_column[kStrip], out_column[kStrip];
    offsets(p_.batch, p_.a.batch, batch, 1, &a_batch);
    offsets(p_.batch, p_.b.batch, batch, 1, &b_batch);
    offsets(p_.batch, p_.out_batch, batch, 1, &out_batch);
    offsets(p_.rows, p_.a.free, first_row, rows, a_row);
    offsets(p_.rows, p_.out_rows, first_row, rows, out_row);
    const T* a = static_cast<const T*>(p_.a.memory) + p_.a.offset + a_batch;
    const T* b = static_cast<const T*>(p_.b.memory) + p_.b.offset + b_batch;
    Out* out = static_cast<Out*>(p_.out) + p_.out_offset + out_batch;

    // Where a column's rows lie in a row in the result, too, the sums go there at once; else they wait for their strip.
    const bool direct = std::is_same_v<T, Out> && rows == width && consecutive(out_row, rows);
    const int64_t most_r = (r_ + r_blocks_ - 1) / r_blocks_;
    T* panel = scratch<T>(width * (most_r + (r_blocks_ > 1 ? strips : 1) * kStrip));
    T* all_sums = panel + width * most_r;
    for (int64_t k = 0; k < r_blocks_; ++k) {
      const int64_t r = k * r_ / r_blocks_, n = (k + 1) * r_ / r_blocks_ - r;
      pack_panel(a, a_row, rows, width, &a_reduced_[size_t(r)], n, panel);
      for (int64_t strip = 0; strip < strips; ++strip) {
        const int64_t start = strip * kStrip, count = std::min(kStrip, columns - start);
        T* sums = all_sums + (r_blocks_ > 1 ? start * width : 0);
        offsets(p_.columns, p_.b.free, first_column + start, count, b_column);
        offsets(p_.columns, p_.out_columns, first_column + start, count, out_column);
        for (int64_t j = 0; j < count; j += kColumns) {
          const T* column[kColumns];  // past the last column, the last once more: of its sums only one set is stored
          T* to[kColumns];
          for (int64_t c = 0; c < kColumns; ++c) {
            const int64_t at = std::min(j + c, count - 1);
            column[c] = b + b_column[at];
            to[c] = sums + (j + c) * width;
            if constexpr (std::is_same_v<T, Out>)
              if (direct) to[c] = out + out_row[0] + out_column[at];
          }
          if (direct && k > 0 && j + kColumns > count)  // nothing may be added twice
            for (int64_t c = count - j; c < kColumns; ++c) to[c] = sums + c * width;
          micro_kernel<T, packets>(n, panel, column, &b_reduced_[size_t(r)], to, k > 0);
        }
        if (!direct && k + 1 == r_blocks_) store_strip(sums, width, out, out_row, rows, out_column, count);
      }
    }
  }

  const Product& p_;
  int64_t rows_, columns_, r_, batches_, panels_, r_blocks_, blocks_, strips_per_block_;
  std::vector<int64_t> a_reduced_, b_reduced_;
};

}  // namespace

void offsets(const Shape& sizes, const Dims& strides, int64_t first, int64_t count, int64_t* to) {
  Dims index = sizes;
  int64_t at = 0;
  for (int a = sizes.size() - 1; a >= 0; --a) {
    index[a] = first % sizes[a], first /= sizes[a];
    at += index[a] * strides[a];
  }
  const int last = sizes.size() - 1;
  for (int64_t done = 0; done < count;) {  // run by run along the last axis
    const int64_t run = last < 0 ? count : std::min(count - done, sizes[last] - index[last]);
    const int64_t stride = last < 0 ? 0 : strides[last];
    for (int64_t i = 0; i < run; ++i) to[done + i] = at + i * stride;
    done += run;
    if (done == count) return;
    at -= index[last] * stride;
    index[last] = 0;
    for (int a = last - 1; a >= 0; --a) {
      at += strides[a];
      if (++index[a] < sizes[a]) break;
      at -= strides[a] * sizes[a];
      index[a] = 0;
    }
  }
}

void multiply(const Product& product, bool wide) {
  if (wide) return Multiplication<double, double>(product).run();
  switch (product.out_dtype) {
    case DType::Float16: return Multiplication<float, teeny::float16>(product).run();
    case DType::BFloat16: return Multiplication<float, teeny::bfloat16>(product).run();
    default: return Multiplication<float, float>(product).run();
  }
}

}  // namespace tinyops::cpu
