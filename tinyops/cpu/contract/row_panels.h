#pragma once
// The rows of a product as the inner loop reads them: panels of a few packets, packed or where they stand.
//
//   packed     [panel][r][row]: from anywhere, for one task, for all of them, or for ever
//   in place   a packet is up to so many neighbours in memory. The last of a line are read together with those before
//              or behind them, whose sums are left out:
//
//              a line of an image     x x x x x x x          packets of 4    x x x x | . x x x
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "tinyops/cpu/contract/micro_kernel.h"
#include "tinyops/cpu/contract/packing.h"
#include "tinyops/cpu/contract/strip.h"
#include "tinyops/cpu/parallel.h"

namespace tinyops::cpu {

inline constexpr int kMaxPackets = 3;
inline constexpr int kWhole = kRegisters >= 32 ? 4 : kMaxPackets;  // so many packets, and no more, are one panel
inline constexpr int64_t kPackR = 64;                              // values of r that are packed by one task

/// Values of r from `first` to before `last`.
struct Range {
  int64_t first = 0, last = 0;
  int64_t size() const { return last - first; }
};

/// Panels of up to three packets, which are as equal as can be, and as many for each of `workers`. They are in place if
/// they may be, and all packets can be read.
template <class T>
class RowPanels {
 public:
  explicit RowPanels(const Product& p, int64_t workers = 1, bool in_place = false)
      : p_(p),
        rows_(numel(p.rows)),
        r_(numel(p.reduced)),
        batches_(numel(p.batch)),
        packets_((rows_ + lanes - 1) / lanes),
        reduced_(places_of_r(p, p.a)) {
    if (in_place) find_packets();
    if (!in_place_.empty()) packets_ = int64_t(in_place_.size());
    panels_ = packets_ == kWhole ? 1 : (packets_ + kMaxPackets - 1) / kMaxPackets;
    if (panels_ > 1) panels_ = std::min(packets_, (panels_ + workers - 1) / workers * workers);
    if (p.packed_rows) use(p.packed_rows, {0, r_});
  }

  int64_t panels() const { return panels_; }
  int64_t widest() const { return (packets_ + panels_ - 1) / panels_ * lanes; }
  int64_t packets(int64_t panel) const { return first_packet(panel + 1) - first_packet(panel); }

  /// The rows of a panel.
  RowSpans spans(int64_t panel) const {
    if (in_place_.empty()) {
      const int64_t first = first_packet(panel) * lanes;
      return {1, {{{0, first, std::min(packets(panel) * lanes, rows_ - first)}}}};
    }
    RowSpans spans{0, {}};
    for (int64_t p = 0; p < packets(panel); ++p) {
      Span span = in_place_[size_t(first_packet(panel) + p)];
      Span& last = spans.span[size_t(std::max(spans.count - 1, 0))];
      span.lane += p * lanes;
      const bool goes_on = last.lane + last.rows == span.lane && last.first_row + last.rows == span.first_row;
      if (spans.count && goes_on) last.rows += span.rows;
      else spans.span[size_t(spans.count++)] = span;
    }
    return spans;
  }

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
    if (in_place()) return nullptr;
    if (is_shared(range)) return static_cast<const T*>(shared_->data()) + place(batch, panel, range.first);
    pack_panel(batch, panel, range, own);
    return own;
  }

  bool in_place() const { return !in_place_.empty(); }
  /// Where the packets of a panel stand, and how far from there their elements along r.
  void find_in_place(int64_t batch, int64_t panel, const T** row) const {
    const T* const a = at_batch<T>(p_, p_.a, batch);
    for (int64_t p = 0; p < packets(panel); ++p) {
      const Span& span = in_place_[size_t(first_packet(panel) + p)];
      int64_t at;
      offsets(p_.rows, p_.a.free, span.first_row, 1, &at);
      row[p] = a + at - span.lane;
    }
  }
  const int64_t* reduced() const { return reduced_.data(); }

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
      const int64_t first = first_packet(panel) * lanes, rows = std::min(width, rows_ - first);
      int64_t row_offset[width];
      offsets(p_.rows, p_.a.free, first, rows, row_offset);
      pack<width>(at_batch<T>(p_, p_.a, batch), row_offset, rows, &reduced_[size_t(range.first)], range.size(), to,
                  end<T>(p_, p_.a, p_.rows));
    });
  }

  /// Of packets in place, each as a Span within itself. What is read too much must be between the first row and the
  /// last.
  void find_packets() {
    const Dims& stride = p_.a.free;
    if (r_ > kFewTerms || stride.empty() || stride.back() != 1) return;
    if (std::ranges::any_of(stride, [](int64_t s) { return s < 0; })) return;
    const int64_t line = p_.rows.back();
    int64_t last;
    offsets(p_.rows, stride, rows_ - 1, 1, &last);
    for (int64_t row = 0; row < rows_; row += in_place_.back().rows) {
      int64_t at;
      offsets(p_.rows, stride, row, 1, &at);
      const int64_t count = std::min<int64_t>(lanes, line - row % line);
      const int64_t before = at + lanes - 1 <= last ? 0 : lanes - count;
      if (at < before) return in_place_.clear();
      in_place_.push_back({before, row, count});
    }
    // Short lines leave lanes empty; packing is better then.
    if (4 * rows_ < 3 * int64_t(in_place_.size()) * lanes) in_place_.clear();
  }

  const Product& p_;
  int64_t rows_, r_, batches_, packets_, panels_ = 0;
  std::vector<int64_t> reduced_;
  std::vector<Span> in_place_;
  BufferRef shared_;
  Range range_;
};

}  // namespace tinyops::cpu
