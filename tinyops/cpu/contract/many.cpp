// Many products of next to nothing: a channel's filter over an image of 4 x 4, a thousand matrices of 3 x 3. No axis of
// one of them would fill a packet, so a packet is one element of as many products as it has lanes.
//
//   product 0   x x x x x      packed   0 1 2 3 ..   element 0 of all      sums[row][column] += a[row][r] *
//   b[column][r],
//           1   x x x x x  ──►          0 1 2 3 ..   element 1             each of the three a packet
//           2   x x x x x               0 1 2 3 ..   element 2
//
// Windows see an element many times; it is packed once.
#include "tinyops/cpu/contract/many.h"

#include <algorithm>
#include <vector>

#include "tinyops/cpu/contract/packing.h"
#include "tinyops/cpu/parallel.h"
#include "tinyops/cpu/scratch.h"

namespace tinyops::cpu {
namespace {

constexpr int kBlock = 4;                           // rows, and columns, whose sums are in registers
constexpr int64_t kMostPlaces = 16384 / kSmaller;   // of a factor at a time, if its outermost summed axis can be cut so
constexpr double kMove = 4;                         // of an element in or out, in multiply-adds
constexpr int64_t kSmallProduct = 4096 / kSmaller;  // multiply-adds: less than it costs to prepare one

/// Which elements of a factor one product reads, each of them once, and where the one at (free, r) is packed: padding
/// behind all others.
struct Footprint {
  static constexpr int kPadding = -1;
  static constexpr int64_t kSparse =
      32;  // places in memory for each element: up to so many, a table is faster than a search
  std::vector<int64_t> elements;
  std::vector<int> place;

  Footprint(const Factor& factor, const Shape& free, const Shape& reduced) {
    const std::vector<int64_t> all = sums(free, factor.free, reduced, factor.reduced);
    place.resize(all.size());
    for (const Padding& padding : factor.padding) {
      const auto position = sums(free, padding.free, reduced, padding.reduced);
      for (size_t i = 0; i < all.size(); ++i)
        if (padding.offset + position[i] < 0 || padding.offset + position[i] >= padding.size) place[i] = kPadding;
    }
    const auto [low, high] = std::ranges::minmax(all);
    const bool dense = high - low <= kSparse * int64_t(all.size());
    std::vector<int> at(dense ? size_t(high - low + 1) : 0);  // of an element, from the first one, where it is packed
    for (size_t i = 0; i < all.size(); ++i)
      if (place[i] == kPadding) continue;
      else if (!dense) elements.push_back(all[i]);
      else at[size_t(all[i] - low)] = 1;
    for (size_t i = 0; i < at.size(); ++i)
      if (at[i]) at[i] = int(size()), elements.push_back(int64_t(i) + low);
    if (!dense)
      std::ranges::sort(elements), elements.erase(std::unique(elements.begin(), elements.end()), elements.end());
    for (size_t i = 0; i < all.size(); ++i)
      place[i] = place[i] == kPadding ? int(size())
                 : dense              ? at[size_t(all[i] - low)]
                                      : int(std::ranges::lower_bound(elements, all[i]) - elements.begin());
  }
  int64_t size() const { return int64_t(elements.size()); }

 private:
  static std::vector<int64_t> sums(const Shape& free, const Dims& free_strides, const Shape& reduced,
                                   const Dims& strides) {
    Shape sizes = free;
    Dims all = free_strides;
    for (int a = 0; a < reduced.size(); ++a) sizes.push_back(reduced[a]), all.push_back(strides[a]);
    std::vector<int64_t> result(size_t(numel(sizes)));
    offsets(sizes, all, 0, numel(sizes), result.data());
    return result;
  }
};

template <class T>
class Many {
 public:
  explicit Many(const Product& p)
      : p_(p),
        rows_(numel(p.rows)),
        columns_(numel(p.columns)),
        batches_(numel(p.batch)),
        part_(part_of(p)),
        r_(numel(part_)),
        a_(p.a, p.rows, part_),
        b_(p.b, p.columns, part_),
        out_(size_t(rows_ * columns_)) {
    Shape sums = p.rows;
    Dims strides = p.out_rows;
    for (int a = 0; a < p.columns.size(); ++a) sums.push_back(p.columns[a]), strides.push_back(p.out_columns[a]);
    offsets(sums, strides, 0, rows_ * columns_, out_.data());
  }

  void run() {
    const double multiply_adds = double(rows_ * columns_) * double(numel(p_.reduced));
    const double moved = double(a_.size() + b_.size() + rows_ * columns_);
    const double steps = double(batches_) * (multiply_adds + kMove * moved) / lanes;
    parallel((batches_ + lanes - 1) / lanes, steps < double(kWorthThreads) ? 0 : kWorthThreads, [&] {
      return [&](int64_t group) { multiply(group * lanes, std::min<int64_t>(lanes, batches_ - group * lanes)); };
    });
  }

 private:
  using P = Packets<T>;
  static constexpr int lanes = P::lanes;

  /// The summed axes of one step; the outermost is cut so that what is packed stays in a near cache.
  static Shape part_of(const Product& p) {
    Shape part = p.reduced;
    if (part.empty()) return part;
    const int64_t most =
        std::max<int64_t>(1, kMostPlaces / std::max(numel(p.rows), numel(p.columns)) / (numel(part) / part[0]));
    while (part[0] > most || p.reduced[0] % part[0]) --part[0];
    return part;
  }

  void multiply(int64_t first, int64_t count) {
    int64_t a_batch[lanes], b_batch[lanes], out_batch[lanes];
    offsets(p_.batch, p_.a.batch, first, count, a_batch);
    offsets(p_.batch, p_.b.batch, first, count, b_batch);
    offsets(p_.batch, p_.out_batch, first, count, out_batch);
    thread_local Scratch scratch;
    T* const a =
        reinterpret_cast<T*>(scratch.take(size_t((a_.size() + b_.size() + 2 + rows_ * columns_) * lanes) * sizeof(T)));
    T *const b = a + (a_.size() + 1) * lanes, *const sums = b + (b_.size() + 1) * lanes;
    std::fill_n(b - lanes, lanes, T(0)), std::fill_n(sums - lanes, lanes, T(0));  // padding
    std::fill_n(sums, rows_ * columns_ * lanes, T(0));
    const int64_t steps = p_.reduced.empty() ? 1 : p_.reduced[0] / part_[0];
    for (int64_t step = 0; step < steps; ++step) {
      pack_step(p_.a, a_, step, a_batch, count, a, end<T>(p_, p_.a, p_.rows));
      pack_step(p_.b, b_, step, b_batch, count, b, end<T>(p_, p_.b, p_.columns));
      for (int64_t i = 0; i < rows_; i += kBlock)
        with_count<kBlock>(std::min<int64_t>(kBlock, rows_ - i), [&]<int rows>() {
          for (int64_t j = 0; j < columns_; j += kBlock)
            with_count<kBlock>(std::min<int64_t>(kBlock, columns_ - j), [&]<int columns>() {
              add_block<rows, columns>(a, &a_.place[size_t(i * r_)], b, &b_.place[size_t(j * r_)],
                                       sums + (i * columns_ + j) * lanes);
            });
        });
    }
    with_out<T>(p_, [&](auto* out) {
      store_strip(sums, lanes, out + p_.out_offset, out_batch, count, out_.data(), rows_ * columns_, false);
    });
  }

  void pack_step(const Factor& factor, const Footprint& footprint, int64_t step, const int64_t* batch, int64_t count,
                 T* to, const T* end) const {
    const int64_t begin = factor.offset + (part_.empty() ? 0 : step * part_[0] * factor.reduced[0]);
    pack<lanes>(static_cast<const T*>(factor.memory) + begin, batch, count, footprint.elements.data(), footprint.size(),
                to, end);
  }

  template <int rows, int columns>
  void add_block(const T* a, const int* a_place, const T* b, const int* b_place, T* sums) const {
    typename P::Type sum[rows][columns];
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) sum[i][j] = P::load(sums + (i * columns_ + j) * lanes);
    for (int64_t r = 0; r < r_; ++r) {
      typename P::Type x[rows];
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) x[i] = P::load(a + a_place[i * r_ + r] * lanes);
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) {
        const auto y = P::load(b + b_place[j * r_ + r] * lanes);
#pragma GCC unroll 4
        for (int i = 0; i < rows; ++i) sum[i][j] = pmadd(x[i], y, sum[i][j]);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) P::store(sums + (i * columns_ + j) * lanes, sum[i][j]);
  }

  const Product& p_;
  int64_t rows_, columns_, batches_;
  Shape part_;
  int64_t r_;
  Footprint a_, b_;
  std::vector<int64_t> out_;  // where a product's sums go, row by row
};

}  // namespace

bool fills_packets(int64_t batches, bool wide) {
  return 2 * batches >= (wide ? Packets<double>::lanes : Packets<float>::lanes);
}
bool is_small(double multiply_adds) { return multiply_adds <= kSmallProduct; }
bool is_cut(int64_t places) { return places > kMostPlaces; }

/// Rows and columns change places where this puts the sums into the order in which the result lies in memory.
static Product in_order_of_result(Product p) {
  const auto runs = [](const Dims& strides) { return !strides.empty() && strides.back() == 1; };
  if (runs(p.out_columns) || !runs(p.out_rows)) return p;
  std::swap(p.a, p.b), std::swap(p.rows, p.columns), std::swap(p.out_rows, p.out_columns);
  return p;
}

void multiply_many(const Product& given, bool wide) {
  const Product product = in_order_of_result(given);
  wide ? Many<double>(product).run() : Many<float>(product).run();
}

}  // namespace tinyops::cpu
