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
// Panels are not: what another core has just written takes longer to read than to pack again. Rows that are neighbours
// in memory, as the pixels of an image, are read where they stand, if there are few r.
//
//   for each thousand of r:   pack b, if so  ──►  all tasks, which pack their panels, and add to what is in the output
//   with the last of them:    what follows the sums, strip by strip of some columns, or in registers
//
// Each output is summed in one order, whatever the number of threads: along r in blocks of about a thousand, and the
// blocks' sums one after the other.
#include "tinyops/cpu/contract/gemm.h"

#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "tinyops/cpu/contract/epilogue.h"
#include "tinyops/cpu/contract/finish.h"
#include "tinyops/cpu/contract/micro_kernel.h"
#include "tinyops/cpu/contract/micro_kernel_in_place.h"
#include "tinyops/cpu/contract/packing.h"
#include "tinyops/cpu/contract/row_panels.h"
#include "tinyops/cpu/parallel.h"
#include "tinyops/cpu/scratch.h"

namespace tinyops::cpu {
namespace {

constexpr int64_t kNear = 6;                  // fewer neighbours than this are too few sums
constexpr int64_t kBlockR = 1024 / kSmaller;  // a panel is then at most 192 KiB, for the second-level cache
constexpr int64_t kPackColumns = 512;         // that are packed by one task
constexpr int64_t kFarApart = 16;             // elements: more than a cache line from one r to the next
constexpr int64_t kManyColumns = 256;
constexpr int64_t kEnoughTasks = 24;
constexpr int64_t kTasksPerThread = 8;        // where a task needs no preparation

/// Of neighbours so many are multiplied at once: each number is a micro-kernel of its own, and a single packet of rows
/// gains little by more. Runs that are cut have half as many or more.
constexpr int most_near(int packets) { return std::min(20, max_near(packets)); }
constexpr int least_near(int packets) { return std::min(int(kNear), (most_near(packets) + 1) / 2); }

template <class T>
class Multiplication {
 public:
  explicit Multiplication(const Product& p)
      : p_(p), usual_(UsualEpilogue<T>::of(p)), columns_(numel(p.columns)), r_(numel(p.reduced)),
        batches_(numel(p.batch)),
        rows_(p, p.packed_rows ? 1 : threads(), !p.packed_rows && p.window.taps == 1),
        b_reduced_(places_of_r(p, p.b)) {
    r_blocks_ = is_one_block(r_) ? 1 : (r_ + kBlockR - 1) / kBlockR;
    longest_block_ = (r_ + r_blocks_ - 1) / r_blocks_;
    rows_ready_ = p.packed_rows || rows_.in_place();
    const int64_t r_stride = p.reduced.empty() ? 1 : std::abs(p.b.reduced.back());
    pack_columns_ = !rows_ready_ && r_stride > kFarApart && r_ >= kFarApart && rows_.panels() > 1;
    // A strip is whole rows of an image, if they are short: then its neighbouring columns stay together.
    const bool image = !pack_columns_ && !p.columns.empty() && p.b.free.back() == 1;
    const int64_t row = image ? p.columns.back() : 1;
    strip_ = row >= kNear && row < kStrip ? kStrip / row * row : even_strip();
    if (p.epilogue && !usual_) program_.emplace(p);
    plan_tasks();
  }

  void run() {
    const double steps = double(batches_) * double(numel(p_.rows)) * double(columns_) * double(r_) / 16;
    auto all_tasks = [&](int64_t first_block, int64_t last_block) {
      parallel(batches_ * groups_ * blocks_, steps < double(kWorthThreads) ? 0 : kWorthThreads, [&] {
        return [&](int64_t task) {
          // Neighbouring tasks, which one thread does, have the same columns, or the same rows.
          const int64_t batch = task / (groups_ * blocks_);
          const int64_t group = share_columns_ ? task % groups_ : task / blocks_ % groups_;
          const int64_t block = share_columns_ ? task / groups_ % blocks_ : task % blocks_;
          for (int64_t k = first_block; k < last_block; ++k) run_task(batch, group, block, range(k));
        };
      });
    };
    if (!pack_columns_) return all_tasks(0, r_blocks_);  // nothing to wait for
    for (int64_t k = 0; k < r_blocks_; ++k) pack_all_columns(range(k)), all_tasks(k, k + 1);
  }

 private:
  static constexpr int lanes = Packets<T>::lanes;

  Range range(int64_t k) const { return {k * r_ / r_blocks_, (k + 1) * r_ / r_blocks_}; }

  /// Strips that are as equal as can be.
  int64_t even_strip() const {
    const int64_t strips = (columns_ + kStrip - 1) / kStrip;
    return (columns_ + strips * kColumns - 1) / (strips * kColumns) * kColumns;
  }

  /// Cuts panels into groups, and strips into blocks: a task is one of each.
  void plan_tasks() {
    const int64_t panels = rows_.panels(), strips = (columns_ + strip_ - 1) / strip_;
    const bool wide = columns_ >= numel(p_.rows);
    if (rows_.in_place() || (rows_ready_ && wide)) {
      const int64_t tasks = threads() == 1 ? 1 : (kTasksPerThread * threads() + batches_ - 1) / batches_;
      share_columns_ = wide;  // threads share the longer side
      if (wide) {
        blocks_ = even_parts(strips, tasks);
        groups_ = even_parts(panels, (tasks + blocks_ - 1) / blocks_);
      } else {  // a group is several panels, so that what they read of b is read once
        groups_ = panels < 3 * tasks ? std::min(panels, threads()) : tasks;
        blocks_ = even_parts(strips, (tasks + groups_ - 1) / groups_);
      }
    } else {  // what a panel costs to pack is little beside what many columns do with it
      groups_ = panels;
      const int64_t tasks = panels * batches_, few = (2 * threads() + tasks - 1) / tasks;
      const int64_t most = std::max(few, columns_ / kManyColumns);
      blocks_ = std::clamp<int64_t>((kEnoughTasks + tasks - 1) / tasks, 1, std::min(most, strips));
    }
  }

  /// About so many parts of `count` things; of few things each is one: two would not be as much work as three.
  static int64_t even_parts(int64_t count, int64_t parts) {
    return parts > 1 && count < 4 * parts ? count : std::min(count, parts);
  }

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

  /// Some columns of b, which all panels of a task multiply.
  struct ColumnStrip {
    int64_t first, count;
    const T* b;
    const int64_t* r_offset;
    int64_t column[kStripRoom], out_column[kStripRoom];
    Range reach[kStrip];
    typename UsualEpilogue<T>::Columns finish;
  };

  void run_task(int64_t batch, int64_t group, int64_t block, Range range) {
    const int64_t first_panel = group * rows_.panels() / groups_, last_panel = (group + 1) * rows_.panels() / groups_;
    const int64_t strips = (columns_ + strip_ - 1) / strip_;
    const int64_t begin = block * strips / blocks_ * strip_;
    const int64_t end = std::min((block + 1) * strips / blocks_ * strip_, columns_);

    thread_local Scratch scratch;  // sums and what becomes of them, and a packed panel
    thread_local const Scratch::End scratch_end{scratch};
    const int64_t widest = rows_.widest();
    const int64_t tiles = program_ ? program_->bytes(widest) / int64_t(sizeof(T)) : 2 * kStripRoom * widest;
    const int64_t packed = rows_ready_ ? 0 : widest * range.size();
    T* const sums = reinterpret_cast<T*>(scratch.take(size_t(tiles + packed) * sizeof(T)));
    const T* panel = rows_.panel(batch, first_panel, range, sums + tiles);
    ColumnStrip strip;
    for (int64_t first = begin; first < end; first += strip_) {
      find_strip(batch, first, std::min(strip_, end - first), range, strip);
      for (int64_t p = first_panel; p < last_panel; ++p) {
        if (rows_ready_) panel = rows_.panel(batch, p, range, nullptr);
        with_count<kWhole>(rows_.packets(p), [&]<int packets>() {
          run_strip<packets>(batch, p, panel, strip, range, p == first_panel, sums);
        });
      }
    }
  }

  void find_strip(int64_t batch, int64_t first, int64_t count, Range range, ColumnStrip& strip) const {
    strip.first = first, strip.count = count;
    if (p_.out) column_offsets(p_, p_.out_columns, first, count, strip.out_column);
    if (usual_ && range.last == r_) usual_->find_columns(batch, first, count, strip.finish);
    find_reach(first, count, range, strip.reach);
    strip.b = pack_columns_ ? static_cast<const T*>(packed_columns_->data()) : at_batch<T>(p_, p_.b, batch);
    strip.r_offset = pack_columns_ ? packed_reduced_.data() : &b_reduced_[size_t(range.first)];
    if (!pack_columns_) return column_offsets(p_, p_.b.free, first, count, strip.column);
    for (int64_t j = 0; j < count; ++j) {
      const int64_t place = batch * column_blocks_ * kColumns + first + j;
      strip.column[j] = place / kColumns * column_block_size() + place % kColumns;
    }
  }

  /// The products of a panel and a strip of columns, and what follows them.
  template <int packets>
  void run_strip(int64_t batch, int64_t panel_number, const T* panel, const ColumnStrip& strip, Range range, bool fresh,
                 T* sums) const {
    constexpr int64_t width = packets * lanes;
    const Strip place{batch, rows_.spans(panel_number), width, strip.first, strip.count};
    const LaneOffsets<T> row(p_, p_.out_rows, place);

    // Where a column's rows lie in a row in the result, too, the sums go there at once; else they wait for their strip.
    const bool add = range.first > 0, finish = p_.epilogue && range.last == r_;
    const int64_t first = p_.out ? p_.out_offset + batch_offset(p_, p_.out_batch, batch) : 0;
    const bool direct =
        p_.out && !is_rounded<T>(p_) && !finish && place.is_full() && consecutive(row.at, width);
    T* const to = direct ? static_cast<T*>(p_.out) + first + row.at[0] : nullptr;
    if (rows_.in_place()) {
      if (run_in_place<packets>(place, panel_number, strip, to, sums)) return;
    } else {
      const auto prefetch = [&](int64_t column) {
        with_out<T>(p_, [&](auto* out) {
          for (const Span& s : place.rows)
            for (int64_t i = s.lane; i < s.lane + s.rows; ++i) __builtin_prefetch(out + first + row.at[i] + column, 1);
        });
      };
      run_packed<packets>(panel, strip, range, fresh, to, sums, p_.out && !direct, prefetch);
    }
    if (!direct && p_.out)
      with_out<T>(p_, [&](auto* out) { store_spans(place, sums, out + first, row.at, strip.out_column, add); });
    if (!finish) return;
    if (usual_) usual_->template run<packets>(place, strip.finish, sums);
    else program_->run(place, reinterpret_cast<char*>(sums));
  }

  /// Into `out`, from its first row on, or the sums.
  template <int packets>
  void run_packed(const T* panel, const ColumnStrip& strip, Range range, bool fresh, T* out, T* sums, bool ahead,
                  auto&& prefetch) const {
    for (int64_t j = 0; j < strip.count;) {
      const ColumnRun run = next_run<packets>(strip.column, j, strip.count);
      // Past the last column, the last once more: of its sums only one set is stored.
      const T* column[max_far(packets)];
      const T* next[max_far(packets)];
      T* to[most_near(packets)];
      Range met = p_.window.taps == 1 ? range : Range{range.last, range.first};
      for (int64_t c = 0; c < (run.near ? run.size : max_far(packets)); ++c) {
        const int64_t at = j + std::min(c, run.size - 1);
        if (!run.near || c == 0) column[c] = strip.b + strip.column[at];
        if (!run.near) next[c] = strip.b + strip.column[std::min(at + run.size, strip.count - 1)];
        to[c] = out && c < run.size ? out + strip.out_column[at] : sums + (j + c) * packets * lanes;
        if (p_.window.taps > 1)
          met = {std::min(met.first, strip.reach[at].first), std::max(met.last, strip.reach[at].last)};
      }
      if (ahead) prefetch(strip.out_column[j]);
      const int64_t skip = met.first - range.first, n = std::max<int64_t>(0, met.size());
      const auto call = [&](auto kernel) {
        kernel(n, panel + skip * packets * lanes, column, next, strip.r_offset + skip, to, range.first > 0 && out);
      };
      if (run.near)
        with_count<most_near(packets), least_near(packets)>(
            run.size, [&]<int c>() { call(micro_kernel<T, packets, c, Columns::Near>); });
      else if (fresh) call(micro_kernel<T, packets, max_far(packets), Columns::Fresh>);
      else call(micro_kernel<T, packets, max_far(packets), Columns::Far>);
      j += run.size;
    }
  }

  /// The same where the rows stand, which are never so many terms that they are added up block by block. Returns
  /// whether the usual epilogue is done, too: in registers, where the rows are neighbours in all that it needs.
  template <int packets>
  bool run_in_place(const Strip& place, int64_t panel, const ColumnStrip& strip, T* out, T* sums) const {
    constexpr int columns = max_far(packets);
    typename UsualEpilogue<T>::Rows rows{};
    if (usual_ && !p_.out) usual_->find_rows(place, rows);  // otherwise sums are asked for, too
    const int64_t* const out_column = rows.consecutive ? strip.finish.out : strip.out_column;
    if (rows.consecutive) out = rows.out;
    const T* row[packets];
    rows_.find_in_place(place.batch, panel, row);
    for (int64_t j = 0; j < strip.count; j += columns) {
      const T* column[columns];
      const T* added[columns];
      T* to[columns];
      for (int c = 0; c < columns; ++c) {
        column[c] = strip.b + strip.column[j + c];
        to[c] = out ? out + out_column[j + c] : sums + (j + c) * packets * lanes;
        if (rows.added) added[c] = rows.added + strip.finish.added[j + c];
      }
      const auto multiply = [&](auto&& finish) {
        micro_kernel_in_place<T, packets, columns>(r_, row, rows_.reduced(), column, strip.r_offset, to, finish);
      };
      if (rows.consecutive) multiply(usual_->finish(strip.finish, rows, j, added));
      else multiply([](auto&&) {});
    }
    return rows.consecutive;
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
    const int64_t groups = (run + most_near(packets) - 1) / most_near(packets);
    return {run / groups, true};
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
  std::optional<UsualEpilogue<T>> usual_;  // one of the two, if anything follows the sums
  std::optional<Epilogue<T>> program_;
  int64_t columns_, r_, batches_;
  RowPanels<T> rows_;
  bool rows_ready_ = false;  // for all tasks: in place, or packed already
  bool pack_columns_ = false, share_columns_ = false;
  int64_t r_blocks_, longest_block_, strip_, groups_ = 1, blocks_ = 1, column_blocks_ = 0;
  std::vector<int64_t> b_reduced_, packed_reduced_;
  BufferRef packed_columns_;
};

}  // namespace

void offsets(const Shape& sizes, const Dims& strides, int64_t first, int64_t count, int64_t* to) {
  if (sizes.size() <= 1) {
    const int64_t stride = sizes.empty() ? 0 : strides[0];
    for (int64_t i = 0; i < count; ++i) to[i] = (first + i) * stride;
    return;
  }
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

std::vector<int64_t> places_of_r(const Product& p, const Factor& factor) {
  if (!factor.places.empty()) return factor.places;
  std::vector<int64_t> places(size_t(numel(p.reduced)));
  offsets(p.reduced, factor.reduced, 0, numel(p.reduced), places.data());
  return places;
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
  wide ? Multiplication<double>(product).run() : Multiplication<float>(product).run();
}

}  // namespace tinyops::cpu
