// Runs a stencil: of each image, where its rows are and what follows on the results; then tile by tile in registers.
//
//   outputs   ┌───────┬───────┬───┐
//             │ tile  │       │   │  up to 7 rows
//             ├───────┼───────┼───┤
//             │       │       │   │  of the last tile, some rows and lanes may not be stored
//             └───────┴───────┴───┘
//              a packet
#include "tinyops/cpu/stencil/stencil.h"

#include <algorithm>

#include "tinyops/cpu/parallel.h"
#include "tinyops/cpu/scratch.h"
#include "tinyops/cpu/stencil/window_kernel.h"

namespace tinyops::cpu {
namespace {

constexpr int kMostRows = 7;          // of results in registers; sizes of images are often multiples
constexpr int64_t kEnoughTasks = 16;  // fewer images are cut into tiles
constexpr double kStepsPerRow = 8;    // what a row of results costs beside its taps, in multiply-adds of packets

/// How many rows of results, of those that are left, make the next tile.
int64_t rows_of_tile(int64_t left) { return left <= 2 ? left : left <= 4 || left == 8 ? 4 : kMostRows; }

template <class T, class Op>
class Sliding {
 public:
  Sliding(const Stencil& s, const StencilMemory& memory)
      : s_(s), weights_(static_cast<const T*>(memory.weights)), pixels_(static_cast<const T*>(memory.pixels)),
        out_(static_cast<T*>(memory.out)), scalars_(memory.scalars) {
    while (tiles_.back() < s.y.outputs) tiles_.push_back(tiles_.back() + rows_of_tile(s.y.outputs - tiles_.back()));
    for (int64_t x = 0; x < s.x.outputs; x += lanes)
      for (const Stencil::TapColumn& column : s.columns)
        met_.push_back({x * s.x.step + column.x - s.x.begin, width(), lanes});
  }

  /// A task is an image, or, if there are few, a tile.
  void run() const {
    const int64_t images = int64_t(s_.images.size()), all = int64_t(s_.batches.size()) * images;
    const int64_t tiles = int64_t(tiles_.size()) - 1, parts = all < kEnoughTasks && !copies() ? tiles : 1;
    parallel(all * parts, work(), [&] {
      return [&, room = Room(*this)](int64_t task) mutable {
        const int64_t image = task / parts, first = task % parts;
        compute(image / images, image % images, first, parts > 1 ? first + 1 : tiles, room);
      };
    });
  }

 private:
  using P = Packets<T>;
  static constexpr int lanes = P::lanes;

  /// What a thread knows of the image it is at.
  struct Room {
    T *padding, *copy;  ///< a row, and, if its pixels are apart, an image
    std::vector<const T*> rows;
    std::vector<typename WindowTile<T>::Plane> planes;
    std::vector<Following<T>> following;

    explicit Room(const Sliding& sliding)
        : rows(sliding.s_.planes.size() * size_t(sliding.rows_met(sliding.tiles_.back()))) {
      thread_local Scratch scratch;
      thread_local const Scratch::End end{scratch};
      const int64_t row = sliding.width(), image = sliding.copies() ? sliding.size() : 0;
      padding = reinterpret_cast<T*>(scratch.take(size_t(row + image * int64_t(sliding.s_.planes.size())) * sizeof(T)));
      std::fill_n(padding, row, Op::padding);
      copy = padding + row;
      for (const Stencil::Step& step : sliding.s_.steps)
        following.push_back({step.op, step.scalar_first, T(step.constant)});
    }
  };

  bool copies() const { return s_.x.pixel_stride != 1; }
  int64_t width() const { return s_.x.end - s_.x.begin; }
  int64_t size() const { return (s_.y.end - s_.y.begin) * width(); }
  /// How many rows of the image windows meet from some rows of outputs.
  int64_t rows_met(int64_t outputs) const { return (outputs - 1) * s_.y.step + s_.y.last_tap + 1; }

  /// Simple steps, for parallel.h.
  int64_t work() const {
    double taps = 0;
    for (const Stencil::TapColumn& column : s_.columns) taps += column.taps;
    const double rows = double(s_.batches.size() * s_.images.size() * s_.filters.size()) * double(s_.y.outputs);
    const double packets = rows * double((s_.x.outputs + lanes - 1) / lanes);
    const double steps = packets * (taps * double(s_.planes.size()) + kStepsPerRow);
    return steps < double(kWorthThreads) ? 0 : kWorthThreads;
  }

  bool is_inside(const Stencil::Image& image, const Stencil::Plane& plane) const {
    for (size_t i = 0; i < s_.guards.size(); ++i) {
      const int64_t position = s_.guards[i].position.offset + image.positions[i] + plane.positions[i];
      if (position < 0 || position >= s_.guards[i].size) return false;
    }
    return true;
  }

  /// Some tiles of an image's outputs.
  void compute(int64_t batch, int64_t image, int64_t first, int64_t last, Room& room) const {
    const Stencil::Batch& places = s_.batches[size_t(batch)];
    const int64_t from = tiles_[size_t(first)];
    find_rows(places, s_.images[size_t(image)], from * s_.y.step, rows_met(tiles_[size_t(last)] - from), room);
    for (size_t i = 0; i < s_.filters.size(); ++i) {
      find_scalars(batch, int64_t(i), room.following);
      const Stencil::Filter& filter = s_.filters[i];
      WindowTile<T> tile{room.planes, 0, filter.weights, nullptr, room.following};
      for (int64_t t = first; t < last; ++t) {
        const int64_t y = tiles_[size_t(t)], rows = tiles_[size_t(t + 1)] - y, left = s_.y.outputs - y;
        tile.first_row = (y - from) * s_.y.step;
        T* const out = out_ + places.out + s_.images[size_t(image)].out + filter.out + y * s_.y.out_stride;
        if (rows == 1) compute_rows<1>(tile, left, out);
        else if (rows == 2) compute_rows<2>(tile, left, out);
        else if (rows == 4) compute_rows<4>(tile, left, out);
        else compute_rows<kMostRows>(tile, left, out);
      }
    }
  }

  /// Where rows of the image are, from a position on, in each plane that is not all padding.
  void find_rows(const Stencil::Batch& batch, const Stencil::Image& image, int64_t from, int64_t count,
                 Room& room) const {
    room.planes.clear();
    const T** row = room.rows.data();
    T* copy = room.copy;
    for (const Stencil::Plane& plane : s_.planes) {
      if (!is_inside(image, plane)) continue;
      room.planes.push_back({row, weights_ + batch.weights + plane.weights});
      const T* first = pixels_ + batch.pixels + image.pixels + plane.pixels + s_.x.begin * s_.x.pixel_stride;
      int64_t stride = s_.y.pixel_stride;
      if (copies()) {
        copy_image(first + s_.y.begin * stride, copy);
        stride = width(), first = copy - s_.y.begin * stride, copy += size();
      }
      const T* const* const end = row + count;
      const int64_t begin = std::clamp<int64_t>(s_.y.begin - from, 0, count);
      const int64_t pixels = std::clamp<int64_t>(s_.y.end - from, begin, count) - begin;
      row = std::fill_n(row, begin, room.padding);
      first += (from + begin) * stride;
      for (int64_t i = 0; i < pixels; ++i, first += stride) *row++ = first;
      while (row < end) *row++ = room.padding;
    }
  }
  void copy_image(const T* from, T* to) const {
    for (int64_t y = s_.y.begin; y < s_.y.end; ++y, from += s_.y.pixel_stride)
      for (int64_t x = 0; x < width(); ++x) *to++ = from[x * s_.x.pixel_stride];
  }

  /// What follows on the results of a filter in a batch.
  void find_scalars(int64_t batch, int64_t filter, std::vector<Following<T>>& to) const {
    auto from = scalars_.begin();
    for (size_t i = 0; i < to.size(); ++i)
      if (const Stencil::Step& step = s_.steps[i]; step.in_memory)
        to[i].scalar = static_cast<const T*>(*from++)[step.batches[size_t(batch)] + step.filters[size_t(filter)]];
  }

  /// The first rows of a tile, if not so many are left, a packet at a time.
  template <int rows>
  void compute_rows(WindowTile<T> tile, int64_t left, T* out) const {
    tile.pixels = met_.data();
    for (int64_t x = 0; x < s_.x.outputs; x += lanes) {
      const int64_t n = std::min<int64_t>(lanes, s_.x.outputs - x);
      WindowKernel<T, Op, rows>::run(s_, tile, [&](int row, const auto& results) {
        if (row < left) store(results, n, out + row * s_.y.out_stride + x * s_.x.out_stride);
      });
      tile.pixels += s_.columns.size();
    }
  }
  void store(const typename P::Type& results, int64_t n, T* to) const {
    if (s_.x.out_stride == 1) return P::store(to, results, n);
    T all[lanes];
    P::store(all, results);
    for (int64_t i = 0; i < n; ++i) to[i * s_.x.out_stride] = all[i];
  }

  const Stencil& s_;
  const T *weights_, *pixels_;
  T* out_;
  std::span<const void* const> scalars_;
  std::vector<int64_t> tiles_{0};  // each has the rows of outputs from here to the next
  std::vector<MetPixels> met_;     // by each packet of a row of outputs, through each column of taps
};

}  // namespace

void run_stencil(const Stencil& stencil, const StencilMemory& memory) {
  const auto run = [&]<class T>(T) {
    if (stencil.is_max) Sliding<T, Largest<T>>(stencil, memory).run();
    else Sliding<T, AddProducts<T>>(stencil, memory).run();
  };
  if (stencil.wide) run(double{});
  else run(float{});
}

}  // namespace tinyops::cpu
