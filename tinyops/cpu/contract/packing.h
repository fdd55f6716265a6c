#pragma once
// Elements on their way into a product's inner loop and out of it.
//
//   in:   rows of a, near or far      ──►  panel [r][width]     read straight on, whatever the matrix once was
//   out:  sums [column][width]        ──►  where the view of the result says
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "tinyops/cpu/contract/gemm.h"
#include "tinyops/cpu/packets.h"

namespace tinyops::cpu {

/// Calls `f` with an n from `least` to `most` that the compiler knows.
template <int most, int least = 1, class F>
void with_count(int64_t n, F&& f) {
  if constexpr (most > least)
    if (n < most) return with_count<most - 1, least>(n, f);
  f.template operator()<most>();
}

/// Whether sums of T are rounded when they are stored. Then they are not summed where they will lie.
template <class T>
bool is_rounded(const Product& product) {
  return std::is_same_v<T, float> && itemsize(product.out_dtype) == 2;
}
/// Calls `f` with the output's memory, of the type that sums of T are stored as. What stores them asks for it, and all
/// else is compiled for T alone.
template <class T, class F>
void with_out(const Product& product, F&& f) {
  if (!is_rounded<T>(product)) f(static_cast<T*>(product.out));
  else if (product.out_dtype == DType::Float16) f(static_cast<float16*>(product.out));
  else f(static_cast<bfloat16*>(product.out));
}

/// How many elements before the first one of a batch.
inline int64_t batch_offset(const Product& product, const Dims& strides, int64_t batch) {
  int64_t offset;
  offsets(product.batch, strides, batch, 1, &offset);
  return offset;
}
/// The first element of a batch, in memory whose first batch begins at `memory`.
template <class T>
T* at_batch(const Product& product, T* memory, const Dims& strides, int64_t batch) {
  return memory + batch_offset(product, strides, batch);
}
template <class T>
const T* at_batch(const Product& product, const Factor& factor, int64_t batch) {
  return at_batch(product, static_cast<const T*>(factor.memory) + factor.offset, factor.batch, batch);
}

/// Past the last element of a factor.
template <class T>
const T* end(const Product& p, const Factor& f, const Shape& free) {
  int64_t last = f.offset;
  auto add = [&](const Shape& sizes, const Dims& strides) {
    for (int a = 0; a < sizes.size(); ++a) last += std::max<int64_t>(0, strides[a] * (sizes[a] - 1));
  };
  add(p.batch, f.batch), add(free, f.free);
  if (f.places.empty()) add(p.reduced, f.reduced);
  else last += *std::ranges::max_element(f.places);
  return static_cast<const T*>(f.memory) + last + 1;
}

/// Whether n offsets are `step` apart.
inline bool evenly(const int64_t* offset, int64_t n, int64_t step) {
  for (int64_t i = 1; i < n; ++i)
    if (offset[i] != offset[i - 1] + step) return false;
  return true;
}
inline bool consecutive(const int64_t* offset, int64_t n) { return evenly(offset, n, 1); }

/// Packs rows that lie in a few runs, as the pixels of several image rows do: a packet at a time, whose surplus the
/// next one covers. Nothing is read from `end` on.
///
///   pixels  a b c | d e f g    panel  [a b c . . .]           then  [a b c d e f g . .]
///                                      └ packet of a ┘                     └ packet of d ┘
template <int width, class T>
void pack_runs(const T* from, const int64_t* row_offset, int64_t count, const int64_t* r_offset, int64_t n, T* panel,
               const T* end) {
  constexpr int lanes = Packets<T>::lanes;
  int64_t first[width + 1];  // rows at which a packet starts
  int starts = 0;
  for (int64_t i = 0; i < count; ++i)
    if (i == 0 || row_offset[i] != row_offset[i - 1] + 1 || i == first[starts - 1] + lanes) first[starts++] = i;
  first[starts] = count;
  for (int64_t r = 0; r < n; ++r)
    for (int s = 0; s < starts; ++s) {
      const T* const at = from + row_offset[first[s]] + r_offset[r];
      T* const to = panel + r * width + first[s];
      if (at + lanes <= end && to + lanes <= panel + n * width) Packets<T>::store(to, Packets<T>::load(at));
      else std::memcpy(to, at, size_t(first[s + 1] - first[s]) * sizeof(T));
    }
  for (int64_t r = 0; r < n; ++r) std::fill(panel + r * width + count, panel + (r + 1) * width, T(0));
}

/// Packs rows along which r runs: squares of a packet each way, turned in registers. The last square of a run of r
/// reaches back over what is there already.
template <int width, class T>
void pack_turned(const T* from, const int64_t* row_offset, int64_t count, const int64_t* r_offset, int64_t n,
                 T* panel) {
  using P = Packets<T>;
  constexpr int lanes = P::lanes;
  for (int64_t r = 0; r < n;) {
    int64_t run = 1;
    while (run < lanes && r + run < n && r_offset[r + run] == r_offset[r] + run) ++run;
    const int64_t start = r + run - lanes;
    const bool square = start >= 0 && consecutive(r_offset + start, lanes);
    for (int64_t i = 0; i < width; i += lanes) {
      const int64_t present = std::clamp<int64_t>(count - i, 0, lanes);
      if (square) {
        Eigen::internal::PacketBlock<typename P::Type, lanes> block;
        for (int j = 0; j < lanes; ++j)
          block.packet[j] = j < present ? P::load(from + row_offset[i + j] + r_offset[start]) : P::fill(0);
        ptranspose(block);
        for (int j = 0; j < lanes; ++j) P::store(panel + (start + j) * width + i, block.packet[j]);
        continue;
      }
      for (int64_t s = r; s < r + run; ++s) {
        T* const to = panel + s * width + i;
        for (int64_t j = 0; j < present; ++j) to[j] = from[row_offset[i + j] + r_offset[s]];
        std::fill(to + present, to + lanes, T(0));
      }
    }
    r += run;
  }
}

/// Packs `count` rows, of which a panel has room for `width`, over n values of r: panel[r][row], 0 in the rest.
template <int width, class T>
void pack(const T* from, const int64_t* row_offset, int64_t count, const int64_t* r_offset, int64_t n, T* panel,
          const T* end) {
  if (consecutive(row_offset, count)) {
    from += row_offset[0];
    for (int64_t r = 0; r < n; ++r, panel += width)
      if (count == width) std::memcpy(panel, from + r_offset[r], width * sizeof(T));  // of a size the compiler knows
      else {
        std::memcpy(panel, from + r_offset[r], size_t(count) * sizeof(T));
        std::fill(panel + count, panel + width, T(0));
      }
    return;
  }
  int64_t runs = 1;
  for (int64_t i = 1; i < count; ++i) runs += row_offset[i] != row_offset[i - 1] + 1;
  if (runs * 4 <= count) return pack_runs<width>(from, row_offset, count, r_offset, n, panel, end);
  if constexpr (width % Packets<T>::lanes == 0) return pack_turned<width>(from, row_offset, count, r_offset, n, panel);
  for (int64_t r = 0; r < n; ++r, panel += width) {
    for (int64_t j = 0; j < count; ++j) panel[j] = from[row_offset[j] + r_offset[r]];
    std::fill(panel + count, panel + width, T(0));
  }
}

/// strip[column][row] = or += what a tensor has there, block by block where its columns are contiguous.
template <bool add, class T>
void load_strip(T* strip, int64_t width, const T* from, const int64_t* row_offset, int64_t rows,
                const int64_t* column_offset, int64_t columns) {
  constexpr int lanes = Packets<T>::lanes;
  const auto put = [](T* to, T value) { *to = add ? *to + value : value; };
  if (consecutive(row_offset, rows)) {
    for (int64_t j = 0; j < columns; ++j)
      for (int64_t i = 0; i < rows; ++i) put(strip + j * width + i, from[row_offset[0] + column_offset[j] + i]);
    return;
  }
  for (int64_t j = 0; j < columns;) {
    const bool run = j + lanes <= columns && consecutive(column_offset + j, lanes);
    for (int64_t i = 0; i < rows;) {
      T* const to = strip + j * width + i;
      const T* const block = from + row_offset[i] + column_offset[j];
      const int64_t stride = i + 1 < rows ? row_offset[i + 1] - row_offset[i] : 0;
      if (run && i + lanes <= rows && evenly(row_offset + i, lanes, stride)) {
        T turned[lanes * lanes];
        transpose_block(turned, lanes, block, stride);
        for (int s = 0; s < lanes; ++s)
          for (int l = 0; l < lanes; ++l) put(to + s * width + l, turned[s * lanes + l]);
        i += lanes;
        continue;
      }
      for (int s = 0; s < (run ? lanes : 1); ++s) put(to + s * width, from[row_offset[i] + column_offset[j + s]]);
      ++i;
    }
    j += run ? lanes : 1;
  }
}

/// Stores sums[column][row] of a strip, or adds them; along whichever of the two memory is contiguous, if it is.
template <class T, class Out>
void store_strip(T* sums, int64_t width, Out* out, const int64_t* row_offset, int64_t rows,
                 const int64_t* column_offset, int64_t columns, bool add) {
  constexpr int lanes = Packets<T>::lanes;
  if constexpr (std::is_same_v<T, Out>)
    if (add) load_strip<true>(sums, width, out, row_offset, rows, column_offset, columns);  // then all of it goes back
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
    while (j + run < columns && column_offset[j + run] == column_offset[j] + run) ++run;
    // Blocks of `lanes` columns; the last one reaches back over what is there already.
    const int64_t block = run < lanes ? run : lanes;
    for (int64_t begin = j; begin < j + run; begin += block) {
      const int64_t at = std::min(begin, j + run - block);
      for (int64_t i = 0; i < rows; ++i) {
        Out* to = out + row_offset[i] + column_offset[at];
        if constexpr (std::is_same_v<T, Out>) {
          const int64_t stride = i + 1 < rows ? row_offset[i + 1] - row_offset[i] : 0;
          if (block == lanes && i + lanes <= rows && evenly(row_offset + i, lanes, stride)) {
            transpose_block(to, stride, sums + at * width + i, width);
            i += lanes - 1;
            continue;
          }
        }
        for (int64_t s = 0; s < block; ++s) to[s] = Out(sums[(at + s) * width + i]);
      }
    }
    j += run;
  }
}

}  // namespace tinyops::cpu
