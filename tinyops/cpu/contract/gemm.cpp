// Products of matrices, at the speed of the machine's multiply-adds.
//
//            columns of b:  c0 c1 c2 ... c7            a task is one panel of rows and a block of columns. The panel
//              r ▲            read where they stand      is packed, so that the inner loop reads it straight on; b is
//                │                                       read where it stands: an element of b is used in all lanes at
//   packed     ┌───┬────────────────────────┐            once, so it can be fetched from anywhere, through a pointer a
//   panel of a │ p │ sums: 3 packets x 8    │            column and a table of offsets along r. That makes a sliding
//   [r][rows]  │ p │ stay in registers for  │            window, a transpose and a matrix the same code. Neighbours in
//   r ──►      │ p │ a thousand r           │            memory, as in the row of an image, need one pointer for all,
//              └───┴────────────────────────┘            and there may be more of them: 2 packets x 14.
//
// Where the next r of a column is far away, and several panels would go that way, b is packed, too, for all tasks.
// Panels are not: what another core has just written takes longer to read than to pack again.
//
//   for each thousand of r:   pack b, if so  ──►  all tasks, which pack their panels, and add to what is in the output
//
// Each output is summed in one order, whatever the number of threads: along r in blocks of about a thousand, and the
// blocks' sums one after the other.
#include "tinyops/cpu/contract/gemm.h"

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "tinyops/cpu/contract/micro_kernel.h"
#include "tinyops/cpu/contract/packing.h"
#include "tinyops/cpu/parallel.h"
#include "tinyops/cpu/scratch.h"

namespace tinyops::cpu {
namespace {

constexpr int kMaxPackets = 3;
constexpr int kWhole = kRegisters >= 32 ? 4 : kMaxPackets;  // so many packets, and no more, are one panel
constexpr int64_t kNear = 6;                        // fewer neighbours than this are too few sums
constexpr int64_t kStrip = 64;                      // columns whose results wait together to be stored
constexpr int64_t kBlockR = 1024 / kSmaller;        // a panel is then at most 192 KiB, for the second-level cache
constexpr int64_t kPackR = 64, kPackColumns = 512;  // what is packed by one task
constexpr int64_t kFarApart = 16;                   // elements: more than a cache line from one r to the next
constexpr int64_t kManyColumns = 256;
constexpr int64_t kEnoughTasks = 24;

/// Values of r from `first` to before `last`.
struct Range {
  int64_t first = 0, last = 0;
  int64_t size() const { return last - first; }
};

/// The row side: cut into panels of up to three packets of rows, which are as equal as can be, and as many for each of
/// `workers`.
template <class T>
class RowPanels {
 public:
  explicit RowPanels(const Product& p, int64_t workers = 1)
      : p_(p), rows_(numel(p.rows)), r_(numel(p.reduced)), batches_(numel(p.batch)),
        packets_((rows_ + lanes - 1) / lanes),
        panels_(packets_ == kWhole ? 1 : (packets_ + kMaxPackets - 1) / kMaxPackets), reduced_(size_t(r_)) {
    if (panels_ > 1) panels_ = std::min(packets_, (panels_ + workers - 1) / workers * workers);
    offsets(p.reduced, p.a.reduced, 0, r_, reduced_.data());
    if (p.packed_rows) use(p.packed_rows, {0, r_});
  }

  int64_t panels() const { return panels_; }
  int64_t packets(int64_t panel) const { return first_packet(panel + 1) - first_packet(panel); }
  int64_t first_row(int64_t panel) const { return first_packet(panel) * lanes; }

  /// Packs all panels of all batches over this range of r, for all tasks to read.
  void share(Range range) {
    use(std::make_shared<Buffer>(size_t(batches_ * packets_ * lanes * range.size()) * sizeof(T)), range);
    T* const to = static_cast<T*>(shared_->data());
    const int64_t pieces = (range.size() + kPackR - 1) / kPackR;
    parallel(batches_ * panels_ * pieces, batches_ * rows_ * range.size() / 8, [&] {
      return [&](int64_t piece) {
        const int64_t panel = piece / pieces % panels_, batch = piece / pieces / panels_;
        const int64_t r = range.first + piece % pieces * kPackR;
        pack_panel(batch, panel, {r, std::min(r + kPackR, range.last)}, to + place(batch, panel, r));
      };
    });
  }
  bool is_shared(Range range) const { return shared_ && range_.first <= range.first && range.last <= range_.last; }
  const BufferRef& shared() const { return shared_; }

  /// The packed elements from range.first on: those that tasks share, or packed now into `own`.
  const T* panel(int64_t batch, int64_t panel, Range range, T* own) const {
    if (is_shared(range)) return static_cast<const T*>(shared_->data()) + place(batch, panel, range.first);
    pack_panel(batch, panel, range, own);
    return own;
  }

 private:
  static constexpr int lanes = Packets<T>::lanes;

  int64_t first_packet(int64_t panel) const { return panel * packets_ / panels_; }
  void use(BufferRef buffer, Range range) { shared_ = std::move(buffer), range_ = range; }
  int64_t place(int64_t batch, int64_t panel, int64_t r) const {
    return ((batch * packets_ + first_packet(panel)) * range_.size() + packets(panel) * (r - range_.first)) * lanes;
  }
  void pack_panel(int64_t batch, int64_t panel, Range range, T* to) const {
    with_count<kWhole>(packets(panel), [&]<int packets>() {
      constexpr int64_t width = packets * lanes;
      const int64_t first = first_row(panel), rows = std::min(width, rows_ - first);
      int64_t row_offset[width];
      offsets(p_.rows, p_.a.free, first, rows, row_offset);
      pack<width>(at_batch<T>(p_, p_.a, batch), row_offset, rows, &reduced_[size_t(range.first)], range.size(), to,
                  end<T>(p_, p_.a, p_.rows));
    });
  }

  const Product& p_;
  int64_t rows_, r_, batches_, packets_, panels_;
  std::vector<int64_t> reduced_;
  BufferRef shared_;
  Range range_;
};

template <class T, class Out>
class Multiplication {
 public:
  explicit Multiplication(const Product& p)
      : p_(p), rows_(p, p.packed_rows || numel(p.columns) >= kManyColumns ? 1 : threads()),
        columns_(numel(p.columns)), r_(numel(p.reduced)), batches_(numel(p.batch)),
        b_reduced_(size_t(r_)) {
    offsets(p.reduced, p.b.reduced, 0, r_, b_reduced_.data());
    r_blocks_ = is_one_block(r_) ? 1 : (r_ + kBlockR - 1) / kBlockR;
    longest_block_ = (r_ + r_blocks_ - 1) / r_blocks_;
    const int64_t r_stride = p.reduced.empty() ? 1 : std::abs(p.b.reduced.back());
    pack_columns_ = r_stride > kFarApart && r_ >= kFarApart && rows_.panels() > 1;
    // A strip is whole rows of an image, if they are short: then its neighbouring columns stay together.
    const bool image = !pack_columns_ && !p.columns.empty() && p.b.free.back() == 1;
    const int64_t row = image ? p.columns.back() : 1;
    strip_ = row >= kNear && row < kStrip ? kStrip / row * row : kStrip;
    const int64_t tasks = rows_.panels() * batches_, strips = (columns_ + strip_ - 1) / strip_;
    // What a panel costs to pack is little beside what many columns do with it.
    const int64_t few = (2 * threads() + tasks - 1) / tasks, most = std::max(few, columns_ / kManyColumns);
    blocks_ = std::clamp<int64_t>((kEnoughTasks + tasks - 1) / tasks, 1, std::min(most, strips));
    strips_per_block_ = (strips + blocks_ - 1) / blocks_;
    blocks_ = (strips + strips_per_block_ - 1) / strips_per_block_;
  }

  void run() {
    const double steps = double(batches_) * double(numel(p_.rows)) * double(columns_) * double(r_) / 16;
    auto all_tasks = [&](auto&& each) {
      parallel(batches_ * rows_.panels() * blocks_, steps < double(kWorthThreads) ? 0 : kWorthThreads, [&] {
        return [&](int64_t task) {
          const int64_t panel = task / blocks_ % rows_.panels(), batch = task / blocks_ / rows_.panels();
          with_count<kWhole>(rows_.packets(panel), [&]<int packets>() {
            each([&](Range range) { run_task<packets>(batch, panel, task % blocks_, range); });
          });
        };
      });
    };
    auto range = [&](int64_t k) { return Range{k * r_ / r_blocks_, (k + 1) * r_ / r_blocks_}; };
    if (!pack_columns_)  // nothing to wait for
      return all_tasks([&](auto&& run_task) {
        for (int64_t k = 0; k < r_blocks_; ++k) run_task(range(k));
      });
    for (int64_t k = 0; k < r_blocks_; ++k) {
      pack_all_columns(range(k));
      all_tasks([&](auto&& run_task) { run_task(range(k)); });
    }
  }

 private:
  static constexpr int lanes = Packets<T>::lanes;

  /// A cache line more than there is: blocks whole pages apart would all meet in the same few lines of the cache.
  int64_t column_block_size() const { return longest_block_ * kColumns + 64 / int64_t(sizeof(T)); }

  /// packed[batch][block of kColumns][r][column], over a range of r.
  void pack_all_columns(Range range) {
    column_blocks_ = (columns_ + kColumns - 1) / kColumns;
    if (!packed_columns_)
      packed_columns_ = std::make_shared<Buffer>(size_t(batches_ * column_blocks_ * column_block_size()) * sizeof(T));
    // A piece is wide, and few values of r: it reads along the rows of a matrix.
    const int64_t strips = (columns_ + kPackColumns - 1) / kPackColumns, pieces = (range.size() + kPackR - 1) / kPackR;
    T* const packed = static_cast<T*>(packed_columns_->data());
    parallel(batches_ * strips * pieces, batches_ * columns_ * range.size() / 8, [&] {
      return [&](int64_t piece) {
        const int64_t r = piece % pieces * kPackR, n = std::min(kPackR, range.size() - r);
        const int64_t first = piece / pieces % strips * kPackColumns, batch = piece / pieces / strips;
        const int64_t count = std::min(kPackColumns, columns_ - first);
        int64_t b_column[kPackColumns];
        offsets(p_.columns, p_.b.free, first, count, b_column);
        const T* b = at_batch<T>(p_, p_.b, batch);
        const int64_t* r_offset = &b_reduced_[size_t(range.first + r)];
        const int64_t whole = consecutive(b_column, count) ? count / kColumns * kColumns : 0;
        T* const to = packed + (batch * column_blocks_ + first / kColumns) * column_block_size() + r * kColumns;
        for (int64_t i = 0; i < n; ++i)
          for (int64_t j = 0; j < whole; j += kColumns)
            std::memcpy(to + j / kColumns * column_block_size() + i * kColumns, b + b_column[j] + r_offset[i],
                        kColumns * sizeof(T));
        for (int64_t j = whole; j < count; j += kColumns)
          pack<kColumns>(b, b_column + j, std::min<int64_t>(kColumns, count - j), r_offset, n,
                         to + j / kColumns * column_block_size(), end<T>(p_, p_.b, p_.columns));
      };
    });
    if (packed_reduced_.empty())
      for (int64_t r = 0; r < longest_block_; ++r) packed_reduced_.push_back(r * kColumns);
  }

  template <int packets>
  void run_task(int64_t batch, int64_t panel_number, int64_t block, Range range) {
    const auto far_kernel = panel_number == 0 ? micro_kernel<T, packets, max_far(packets), Columns::Fresh>
                                              : micro_kernel<T, packets, max_far(packets), Columns::Far>;
    constexpr int64_t width = packets * lanes;
    const int64_t first_row = rows_.first_row(panel_number), rows = std::min(width, numel(p_.rows) - first_row);
    const int64_t first_column = block * strips_per_block_ * strip_;
    const int64_t columns = std::min(strips_per_block_ * strip_, columns_ - first_column);

    int64_t out_row[width], b_column[kStrip], out_column[kStrip];
    Range reach[kStrip];
    offsets(p_.rows, p_.out_rows, first_row, rows, out_row);
    const T* b = pack_columns_ ? static_cast<const T*>(packed_columns_->data()) : at_batch<T>(p_, p_.b, batch);
    const int64_t* r_offset = pack_columns_ ? packed_reduced_.data() : &b_reduced_[size_t(range.first)];
    Out* out = at_batch(p_, static_cast<Out*>(p_.out) + p_.out_offset, p_.out_batch, batch);

    // Where a column's rows lie in a row in the result, too, the sums go there at once; else they wait for their strip.
    const bool direct = std::is_same_v<T, Out> && rows == width && consecutive(out_row, rows);
    const bool add = range.first > 0;
    thread_local Scratch scratch;
    thread_local const Scratch::End end{scratch};
    T* const sums = reinterpret_cast<T*>(scratch.take(size_t(width * (kStrip + kColumns + range.size())) * sizeof(T)));
    const T* const panel = rows_.panel(batch, panel_number, range, sums + width * (kStrip + kColumns));
    for (int64_t start = 0; start < columns; start += strip_) {
      const int64_t count = std::min(strip_, columns - start);
      find_columns(batch, first_column + start, count, b_column);
      find_reach(first_column + start, count, range, reach);
      offsets(p_.columns, p_.out_columns, first_column + start, count, out_column);
      for (int64_t j = 0; j < count;) {
        const ColumnRun run = next_run<packets>(b_column, j, count);
        // Past the last column, the last once more: of its sums only one set is stored.
        const T* column[max_far(packets)];
        const T* next[max_far(packets)];
        T* to[max_near(packets)];
        Range met = p_.window.taps == 1 ? range : Range{range.last, range.first};
        for (int64_t c = 0; c < (run.near ? run.size : max_far(packets)); ++c) {
          const int64_t at = j + std::min(c, run.size - 1);
          if (!run.near || c == 0) column[c] = b + b_column[at];
          if (!run.near) next[c] = b + b_column[std::min(at + run.size, count - 1)];
          to[c] = sums + (j + c) * width;
          if constexpr (std::is_same_v<T, Out>)
            if (direct && c < run.size) to[c] = out + out_row[0] + out_column[at];
          if (p_.window.taps > 1) met = {std::min(met.first, reach[at].first), std::max(met.last, reach[at].last)};
        }
        if (!direct)
          for (int64_t i = 0; i < rows; ++i) __builtin_prefetch(out + out_row[i] + out_column[j], 1);
        const int64_t skip = met.first - range.first, n = std::max<int64_t>(0, met.size());
        const auto call = [&](auto kernel) {
          kernel(n, panel + skip * width, column, next, r_offset + skip, to, add && direct);
        };
        if (!run.near) call(far_kernel);
        else
          with_count<max_near(packets)>(run.size, [&]<int c>() { call(micro_kernel<T, packets, c, Columns::Near>); });
        j += run.size;
      }
      if (!direct) store_strip(sums, width, out, out_row, rows, out_column, count, add);
    }
  }

  /// Some columns from `first` on that are multiplied at once. Neighbours in memory, if there are enough, are cut into
  /// as few runs as can be, which are as equal as can be.
  struct ColumnRun {
    int64_t size;
    bool near;
  };
  template <int packets>
  static ColumnRun next_run(const int64_t* b_column, int64_t first, int64_t end) {
    int64_t run = 1;
    while (first + run < end && b_column[first + run] == b_column[first] + run) ++run;
    if (run < kNear) return {std::min<int64_t>(max_far(packets), end - first), false};
    const int64_t groups = (run + max_near(packets) - 1) / max_near(packets);
    return {run / groups, true};
  }

  void find_columns(int64_t batch, int64_t first, int64_t count, int64_t* to) const {
    if (!pack_columns_) return offsets(p_.columns, p_.b.free, first, count, to);
    for (int64_t j = 0; j < count; ++j)
      to[j] = (batch * column_blocks_ + (first + j) / kColumns) * column_block_size() + (first + j) % kColumns;
  }

  /// The values of r, within a range, at which a column's window is inside its image.
  void find_reach(int64_t first, int64_t count, Range range, Range* to) const {
    const Window& w = p_.window;
    if (w.taps == 1) return;
    int64_t position[kStrip];
    offsets(p_.columns, w.coef, first, count, position);
    for (int64_t j = 0; j < count; ++j) {
      // Inside: before <= tap * step < after.
      const int64_t before = -(position[j] + w.offset), after = before + w.size;
      auto tap = [&](int64_t x) { return std::clamp<int64_t>(x <= 0 ? 0 : (x + w.step - 1) / w.step, 0, w.taps); };
      const int64_t a_tap = r_ / w.taps;
      to[j] = {std::clamp(tap(before) * a_tap, range.first, range.last),
               std::clamp(tap(after) * a_tap, range.first, range.last)};
    }
  }

  const Product& p_;
  RowPanels<T> rows_;
  int64_t columns_, r_, batches_, r_blocks_, longest_block_, strip_, blocks_, strips_per_block_, column_blocks_ = 0;
  bool pack_columns_ = false;
  std::vector<int64_t> b_reduced_, packed_reduced_;
  BufferRef packed_columns_;
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

bool is_one_block(int64_t r) { return r <= kBlockR + kBlockR / 2; }

BufferRef pack_rows(const Product& product, bool wide) {
  auto packed = [&]<class T>(T) {
    RowPanels<T> rows(product);
    rows.share({0, numel(product.reduced)});
    return rows.shared();
  };
  return wide ? packed(double{}) : packed(float{});
}

void multiply(const Product& product, bool wide) {
  with_types(product, wide, [&]<class T, class Out>(T, Out) { Multiplication<T, Out>(product).run(); });
}

}  // namespace tinyops::cpu
