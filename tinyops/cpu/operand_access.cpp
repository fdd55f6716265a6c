// Moving a tile's elements from memory and back. Nothing is computed here, so only the size of an element matters.
#include "tinyops/cpu/operand_access.h"

#include <cstring>
#include <numeric>

#include "tinyops/cpu/packets.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace tinyops::cpu {
namespace {

/// `f` with the unsigned integer that moves an element of `itemsize` bytes.
template <class F>
decltype(auto) with_bits(int64_t itemsize, F&& f) {
  switch (itemsize) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    default: return f(uint64_t{});
  }
}

/// to[i] = from[i * stride]
template <class T>
void copy_strided(T* to, const T* from, int64_t stride, int64_t n) {
  if (stride == 1) std::memcpy(to, from, size_t(n) * sizeof(T));
  else if (stride == 0) std::fill_n(to, n, *from);
  else if (stride == 2)  // a stride the compiler knows becomes shuffles: every pooling window has it
    for (int64_t i = 0; i < n; ++i) to[i] = from[2 * i];
  else
    for (int64_t i = 0; i < n; ++i) to[i] = from[i * stride];
}

/// A run of n elements.
void check(const OperandAccess& access, int64_t first, int64_t stride, int64_t n) {
  if (n > 0) check_inside(first, first + stride * (n - 1), access.elements);
}

#ifdef __SSE2__
template <class Packet>
void stream_packet(float* to, const Packet& packet) {
  if constexpr (sizeof(Packet) == 64) _mm512_stream_ps(to, packet);
  else if constexpr (sizeof(Packet) == 32) _mm256_stream_ps(to, packet);
  else _mm_stream_ps(to, packet);
}
#endif

/// Without the cache where there is such an instruction: whole aligned cache lines; the ends as usual.
template <class T>
void stream_run(T* to, const T* from, int64_t n) {
#ifdef __SSE2__
  constexpr size_t line = 64;
  char* out = reinterpret_cast<char*>(to);
  const char* in = reinterpret_cast<const char*>(from);
  size_t left = size_t(n) * sizeof(T);
  const size_t head = std::min(left, (line - reinterpret_cast<uintptr_t>(out) % line) % line);
  if (head) std::memcpy(out, in, head);
  out += head, in += head, left -= head;
  using P = Packets<float>;
  for (; left >= line; out += line, in += line, left -= line)
    for (size_t i = 0; i < line; i += sizeof(P::Type))
      stream_packet(reinterpret_cast<float*>(out + i), P::load(reinterpret_cast<const float*>(in + i)));
  if (left) std::memcpy(out, in, left);
#else
  std::memcpy(to, from, size_t(n) * sizeof(T));
#endif
}

/// A box of rows x columns whose rows are what is contiguous in memory, the other way than in the tile. For elements of
/// a float's size, square blocks of packets are turned in registers.
///
///   memory  a0 a1 a2 ..  b0 b1 b2 ..      tile  a0 b0 c0 ..
///           (column a)   (column b)             a1 b1 c1 ..
template <class T>
void gather_turned(T* tile, const T* from, int64_t rows, int64_t columns, int64_t column_stride) {
  int64_t done = 0;
  if constexpr (sizeof(T) == 4) {
    constexpr int lanes = Packets<float>::lanes;
    if (columns % lanes == 0)
      for (; done + lanes <= rows; done += lanes)
        for (int64_t c = 0; c < columns; c += lanes) {
          for (int i = 0; i < lanes; ++i)  // the block below, perhaps of the next box: a prefetch cannot fault
            __builtin_prefetch(from + (c + lanes + i) * column_stride + done);
          transpose_block(reinterpret_cast<float*>(tile + done * columns + c), columns,
                          reinterpret_cast<const float*>(from + c * column_stride + done), column_stride);
        }
  }
  for (int64_t c = 0; c < columns; ++c)
    for (int64_t r = done; r < rows; ++r) tile[r * columns + c] = from[c * column_stride + r];
}

/// n elements of a block, from its element `first` on.
template <class T>
void gather_block(T* to, const T* from, const Block& block, int64_t first, int64_t n) {
  const int32_t* offset = block.offset.data() + first;
  if (block.keep.empty()) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) to[i] = from[offset[i]];
    return;
  }
  const int32_t* keep = block.keep.data() + first;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) to[i] = T(from[offset[i]] & T(keep[i]));
}

}  // namespace

Block::Block(const AffineForm* forms, int count, const Shape& lanes) {
  const int rank = lanes.size();
  if (numel(lanes) == 0 || lanes[rank - 1] >= (count == 1 ? kShort : kShortGuarded)) return;
  const Dims& stride = forms[0].lane;
  const auto guarded = [&](int a) {
    return std::any_of(forms + 1, forms + count, [&](const AffineForm& guard) { return guard.lane[a] != 0; });
  };
  offset = {0};
  int64_t reach = 0;
  for (int a = rank - 1; a >= 0 && row < kMost / 2; --a) {
    const int64_t times = std::min(lanes[a], kMost / row);
    reach += std::abs(stride[a]) * (times - 1);
    if (reach > INT32_MAX || (times < lanes[a] && guarded(a))) break;
    for (int64_t i = row; i < row * times; ++i) offset.push_back(offset[size_t(i - row)] + int32_t(stride[a]));
    if (times < lanes[a]) {
      rows = times;
      break;
    }
    row *= times, ++axes;
  }
  if (row * rows <= lanes[rank - 1] || !find_guards(forms, count, lanes)) *this = {};
}

/// Whether a guard says the same of a whole block: its position there is a multiple of what it moves by from block to
/// block, and the elements do not reach the next multiple.
static bool sees_whole_blocks(const AffineForm& guard, const Shape& lanes, int first_axis) {
  int64_t reach = 0, unit = std::gcd(guard.offset, guard.size);
  for (int64_t step : guard.fixed) unit = std::gcd(unit, step);
  for (int a = 0; a < lanes.size(); ++a)
    if (a < first_axis) unit = std::gcd(unit, guard.lane[a]);
    else if (guard.lane[a] < 0) return false;
    else reach += guard.lane[a] * (lanes[a] - 1);
  return reach < unit;
}

/// Which elements exist; or says no, where blocks differ or none of theirs exists.
bool Block::find_guards(const AffineForm* forms, int count, const Shape& lanes) {
  const int first_axis = lanes.size() - axes;
  for (int f = 1; f < count; ++f) {
    const AffineForm& guard = forms[f];
    const auto moves = [](int64_t step) { return step != 0; };
    const bool inside = std::any_of(guard.lane.begin() + first_axis, guard.lane.end(), moves);
    if (!inside || sees_whole_blocks(guard, lanes, first_axis)) {
      outside.push_back(f);
      continue;
    }
    if (std::any_of(guard.lane.begin(), guard.lane.begin() + first_axis, moves) || std::ranges::any_of(guard.fixed, moves)) return false;
    keep.resize(offset.size(), -1);
    for (size_t i = 0; i < keep.size(); ++i) {
      int64_t position = guard.offset, rest = int64_t(i) % row;
      for (int a = lanes.size() - 1; a >= first_axis; rest /= lanes[a--]) position += guard.lane[a] * (rest % lanes[a]);
      if (position < 0 || position >= guard.size) keep[i] = 0;
    }
  }
  const auto some = std::ranges::find(keep, -1);
  if (keep.empty()) return true;
  if (some == keep.end()) return false;
  const int32_t existing = offset[size_t(some - keep.begin())];
  for (size_t i = 0; i < keep.size(); ++i)
    if (!keep[i]) offset[i] = existing;
  return true;
}

/// Whether the elements follow each other in memory as they do in the tile, over all lane axes.
static bool is_dense(const OperandAccess& access, const TileRegion& region) {
  int64_t step = 1;
  for (int a = region.lanes.size() - 1; a >= 0; step *= region.lanes[a--])
    if (access.forms[0].lane[a] != step) return false;
  return true;
}

char* in_place(const OperandAccess& access, const int64_t* at, const TileRegion& region, int64_t itemsize) {
  const int last = region.lanes.size() - 1;
  if (access.count != 1 || access.forms[0].lane[last] != 1) return nullptr;
  const bool one_run = region.start[last] + region.n <= region.lanes[last];
  if (!one_run && !is_dense(access, region)) return nullptr;
  check(access, at[0], 1, region.n);
  return access.memory + at[0] * itemsize;
}

void gather(const OperandAccess& access, const int64_t* at, const TileRegion& region, int64_t itemsize, void* tile) {
  with_bits(itemsize, [&]<class T>(T) {
    T* to = static_cast<T*>(tile);
    const T* memory = reinterpret_cast<const T*>(access.memory);
    const Dims& step = access.forms[0].lane;
    const bool whole_box = region.lanes.size() == 2 && region.n == region.lanes[0] * region.lanes[1];
    if (whole_box && access.count == 1 && step[0] == 1 && step[1] != 1 && step[1] != 0) {
      check(access, at[0], step[1], region.lanes[1]);
      check(access, at[0] + region.lanes[0] - 1, step[1], region.lanes[1]);
      return gather_turned(to, memory + at[0], region.lanes[0], region.lanes[1], step[1]);
    }
    const int64_t stride = step[region.lanes.size() - 1];
    if (access.block && access.block->axes > 0)
      return for_each_block(*access.block, access, at, region,
                            [&](int64_t done, int64_t length, int64_t first, int64_t address, bool present) {
        if (present) gather_block(to + done, memory + address, *access.block, first, length);
        else std::fill_n(to + done, length, T(0));
      });
    if (access.count == 1)
      return for_each_run(access, at, region, [&](int64_t done, int64_t length, int64_t, int64_t, int64_t address) {
        check(access, address, stride, length);
        copy_strided(to + done, memory + address, stride, length);
      });
    for_each_run(access, at, region, [&](int64_t done, int64_t length, int64_t low, int64_t high, int64_t address) {
      if (low > 0) std::fill_n(to + done, low, T(0));
      if (high > low) {
        check(access, address + low * stride, stride, high - low);
        copy_strided(to + done + low, memory + address + low * stride, stride, high - low);
      }
      if (high < length) std::fill_n(to + done + high, length - high, T(0));
    });
  });
}

void scatter(const OperandAccess& access, const int64_t* at, const TileRegion& region, int64_t itemsize,
             const void* tile, bool stream) {
  with_bits(itemsize, [&]<class T>(T) {
    const T* from = static_cast<const T*>(tile);
    T* memory = reinterpret_cast<T*>(access.memory);
    const int64_t stride = access.forms[0].lane[region.lanes.size() - 1];
    if (T* to = reinterpret_cast<T*>(in_place(access, at, region, itemsize))) {
      if (stream) stream_run(to, from, region.n);
      else std::memcpy(to, from, size_t(region.n) * sizeof(T));
      return;
    }
    if (access.block && access.block->axes > 0)
      return for_each_block(*access.block, access, at, region,
                            [&](int64_t done, int64_t length, int64_t first, int64_t address, bool) {
        const int32_t* offset = access.block->offset.data() + first;
        const T* part = from + done;
        T* into = memory + address;
        for (int64_t i = 0; i < length; ++i) into[offset[i]] = part[i];
      });
    for_each_run(access, at, region, [&](int64_t done, int64_t length, int64_t, int64_t, int64_t address) {
      check(access, address, stride, length);
      T* to = memory + address;
      if (stride == 1 && stream) stream_run(to, from + done, length);
      else if (stride == 1) std::memcpy(to, from + done, size_t(length) * sizeof(T));
      else
        for (int64_t i = 0; i < length; ++i) to[i * stride] = from[done + i];
    });
  });
}

void finish_streaming() {
#ifdef __SSE2__
  _mm_sfence();
#endif
}

}  // namespace tinyops::cpu
