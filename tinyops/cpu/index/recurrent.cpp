// A recurrent layer. The steps of a sequence wait for each other; its D * B sequences do not. Threads share them, each
// takes a few of one layer's at a time, and what it reads of the weight serves all of these.
//
//   h (rows, H) and a 1 ── * weight (H + 1, gates * H)    some packets of columns at a time: their sums stay in
//                               ▼                         registers while the rows of the weight go by
//   in[t] ────────────────── + sums ── gate | gate | ..
//                                          │              a gate takes whole steps of a tile, so that tile.h's
//                                          ▼              operations do the rest
//                                     out[t] = h | c
#include <utility>

#include "tinyops/base/scalar_ops.h"
#include "tinyops/cpu/index/index.h"
#include "tinyops/cpu/packets.h"
#include "tinyops/cpu/parallel.h"
#include "tinyops/cpu/tile.h"

namespace tinyops::cpu {
namespace {

constexpr int kMostRows = 4;

constexpr int kRegisters = int(EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS);

/// So many packets of `rows` rows are summed in registers, half of these: the others are for what is read. Eight chains
/// of additions hide what one takes.
constexpr int most_packets(int rows) { return std::min(8, kRegisters / 2 / rows); }

template <class T>
T* elements_of(const Operand& operand) {
  return static_cast<T*>(operand.buffer->data()) + operand.view.address.offset;
}

/// The weight in the order in which it is read: the columns of a layer, filled up with zeros, in parts of about as many
/// packets, and of a part first the row that is added, then those of the state.
template <class T>
class PackedWeight {
 public:
  static constexpr int lanes = Packets<T>::lanes;

  PackedWeight(const RecurrentKernel& k, int rows)
      : rows_(k.hidden() + 1),
        packets_((k.weight.view.shape[2] + lanes - 1) / lanes),
        parts_((packets_ + most_packets(rows) - 1) / most_packets(rows)) {
    const int64_t layers = k.weight.view.shape[0], columns = k.weight.view.shape[2];
    elements_ = std::make_shared<Buffer>(size_t(layers * rows_ * packets_ * lanes) * sizeof(T));
    const T* from = elements_of<const T>(k.weight);
    for (int64_t layer = 0; layer < layers; ++layer, from += rows_ * columns)
      for (int64_t p = 0; p < parts_; ++p) {
        T* to = const_cast<T*>(part(layer, p));
        const int64_t first = begin(p) * lanes, end = begin(p + 1) * lanes, all = std::min(end, columns);
        for (int64_t r = 0; r < rows_; ++r) {
          to = std::copy(from + (r + rows_ - 1) % rows_ * columns + first,
                         from + (r + rows_ - 1) % rows_ * columns + all, to);
          to = std::fill_n(to, end - all, T(0));
        }
      }
  }

  int64_t packets() const { return packets_; }
  int64_t parts() const { return parts_; }
  int64_t begin(int64_t part) const { return packets_ * part / parts_; }  ///< in packets
  const T* part(int64_t layer, int64_t part) const {
    return static_cast<const T*>(elements_->data()) + (layer * packets_ + begin(part)) * rows_ * lanes;
  }

 private:
  int64_t rows_, packets_, parts_;
  BufferRef elements_;
};

/// `count` packets of the sums of `rows` states h (rows, h_stride) with a part of the weight.
template <class T, int rows, int count>
void multiply_part(int64_t hidden, const T* h, int64_t h_stride, const T* part, T* to, int64_t stride) {
  using P = Packets<T>;
  typename P::Type sums[rows][count];
  for (int i = 0; i < count; ++i)
    for (int n = 0; n < rows; ++n) sums[n][i] = P::load(part + i * P::lanes);
  for (int64_t r = 0; r < hidden; ++r) {
    part += count * P::lanes;
    for (int i = 0; i < count; ++i) {
      const auto packet = P::load(part + i * P::lanes);
      for (int n = 0; n < rows; ++n) sums[n][i] = pmadd(P::fill(h[n * h_stride + r]), packet, sums[n][i]);
    }
  }
  for (int n = 0; n < rows; ++n)
    for (int i = 0; i < count; ++i) P::store(to + n * stride + i * P::lanes, sums[n][i]);
}

template <class T>
using MultiplyPart = decltype(&multiply_part<T, 1, 1>);

template <class T, int rows>
MultiplyPart<T> multiply_part_of(int64_t count) {
  static constexpr auto all = []<int... i>(std::integer_sequence<int, i...>) {
    return std::array{&multiply_part<T, rows, i + 1>...};
  }
  (std::make_integer_sequence<int, most_packets(rows)>());
  return all[size_t(count - 1)];
}

template <class T>
MultiplyPart<T> multiply_part_of(int rows, int64_t count) {
  if (rows == 1) return multiply_part_of<T, 1>(count);
  if (rows == 2) return multiply_part_of<T, 2>(count);
  return rows == 3 ? multiply_part_of<T, 3>(count) : multiply_part_of<T, 4>(count);
}

/// Some sequences of a layer, one a row.
template <class T>
class Sequences {
 public:
  Sequences(const RecurrentKernel& k, const PackedWeight<T>& weight)
      : k_(k),
        weight_(weight),
        hidden_(k.hidden()),
        wide_(whole_steps(hidden_)),
        sums_stride_(weight.packets() * Packets<T>::lanes),
        sums_(size_t(kMostRows * sums_stride_)),
        gates_(size_t(wide_ * gates_of(k.cell))),
        h_(size_t(kMostRows * wide_)),
        c_(size_t(kMostRows * wide_)) {}

  /// All steps of sequences first .. first + rows - 1 of D * B, which are of one layer.
  void run(int64_t first, int rows) {
    const Shape& in = k_.in.view.shape;
    const int64_t steps = in[0], layer = first / in[2], row = k_.out.view.shape[3];
    for (int n = 0; n < rows; ++n) {
      const T* const state = elements_of<const T>(k_.first) + (first + n) * row;
      std::copy_n(state, hidden_, h(n));
      if (row > hidden_) std::copy_n(state + hidden_, hidden_, c(n));
    }
    for (int64_t s = 0; s < steps; ++s) {
      const int64_t sequence = (layer < k_.forward ? s : steps - 1 - s) * in[1] * in[2] + first;
      multiply(layer, rows, s % 2 == 0);
      for (int n = 0; n < rows; ++n) {
        step(elements_of<const T>(k_.in) + (sequence + n) * in[3], sums_.data() + n * sums_stride_, h(n), c(n));
        T* const out = elements_of<T>(k_.out) + (sequence + n) * row;
        std::copy_n(h(n), hidden_, out);
        if (row > hidden_) std::copy_n(c(n), hidden_, out + hidden_);
      }
    }
  }

 private:
  T* h(int n) { return h_.data() + n * wide_; }
  T* c(int n) { return c_.data() + n * wide_; }
  T* gate(int g) { return gates_.data() + g * wide_; }

  /// From the first part to the last, or back: what was read last is still in the first-level cache.
  void multiply(int64_t layer, int rows, bool ascends) {
    for (int64_t i = 0; i < weight_.parts(); ++i) {
      const int64_t part = ascends ? i : weight_.parts() - 1 - i, begin = weight_.begin(part);
      T* const sums = sums_.data() + begin * Packets<T>::lanes;
      multiply_part_of<T>(rows, weight_.begin(part + 1) - begin)(hidden_, h(0), wide_, weight_.part(layer, part), sums,
                                                                 sums_stride_);
    }
  }

  /// f of a gate, or of several that lie side by side.
  void apply(UnaryOp f, int g, int count = 1) {
    (f == UnaryOp::Tanh ? tanh_ : sigmoid_)(count * wide_, gate(g), gate(g), nullptr, nullptr);
  }

  /// f(j) for all elements of a state.
  template <class F>
  void each(F&& f) {
#pragma omp simd
    for (int64_t j = 0; j < hidden_; ++j) f(j);
  }

  /// A step of one sequence; `s` are its sums.
  void step(const T* x, const T* s, T* h, T* c) {
    const bool apart = k_.cell == RecurrentCell::Gru;  // its last gate's sum waits for another gate
    for (int g = 0; g < gates_of(k_.cell) - apart; ++g, x += hidden_, s += hidden_)
      each([&, to = gate(g)](int64_t j) { to[j] = x[j] + s[j]; });
    const T *const g0 = gate(0), *const g1 = gate(1);
    switch (k_.cell) {
      case RecurrentCell::Tanh: apply(UnaryOp::Tanh, 0); return each([&](int64_t j) { h[j] = g0[j]; });
      case RecurrentCell::Relu: return each([&](int64_t j) { h[j] = g0[j] < 0 ? T(0) : g0[j]; });  // a NaN stays
      case RecurrentCell::Gru: {
        T* const n = gate(2);
        apply(UnaryOp::Sigmoid, 0, 2);
        each([&](int64_t j) { n[j] = x[j] + g0[j] * s[j]; });
        apply(UnaryOp::Tanh, 2);
        return each([&](int64_t j) { h[j] = (1 - g1[j]) * n[j] + g1[j] * h[j]; });
      }
      case RecurrentCell::Lstm: {
        T* const g = gate(2);
        const T* const o = gate(3);
        apply(UnaryOp::Sigmoid, 0, 2), apply(UnaryOp::Tanh, 2), apply(UnaryOp::Sigmoid, 3);
        each([&](int64_t j) { c[j] = g1[j] * c[j] + g0[j] * g[j]; });
        tanh_(wide_, g, c, nullptr, nullptr);
        return each([&](int64_t j) { h[j] = o[j] * g[j]; });
      }
    }
  }

  static TileOp operation(UnaryOp op) { return tile_op({op, dtype_of<T>(), {0, -1, -1}}, dtype_of<T>()); }

  const RecurrentKernel& k_;
  const PackedWeight<T>& weight_;
  const int64_t hidden_, wide_, sums_stride_;
  std::vector<T> sums_, gates_, h_, c_;
  const TileOp sigmoid_ = operation(UnaryOp::Sigmoid), tanh_ = operation(UnaryOp::Tanh);
};

/// Of a weight that stays as it is, what was packed is kept.
template <class T>
std::shared_ptr<const PackedWeight<T>> packed_weight(const RecurrentKernel& k, int rows) {
  const auto pack = [&] { return std::make_shared<PackedWeight<T>>(k, rows); };
  Derived* const kept = k.weight.buffer->derived();
  if (!kept) return pack();
  const View& view = k.weight.view;
  std::vector<int64_t> key{1, int64_t(k.weight.dtype), most_packets(rows), view.address.offset};
  key.insert(key.end(), view.shape.begin(), view.shape.end());
  return kept->get<PackedWeight<T>>(key, pack);
}

template <class T>
void walk(const RecurrentKernel& k) {
  const int64_t layers = k.in.view.shape[1], batch = k.in.view.shape[2];
  const int64_t rows = std::clamp<int64_t>((layers * batch + threads() - 1) / threads(), 1, kMostRows);
  const int64_t parts = (batch + rows - 1) / rows, steps = k.in.view.numel() / 16 * (k.hidden() + 16);
  const auto weight = packed_weight<T>(k, int(rows));
  parallel(layers * parts, steps, [&] {
    return [&, sequences = Sequences<T>(k, *weight)](int64_t piece) mutable {
      const int64_t first = piece % parts * rows;
      sequences.run(piece / parts * batch + first, int(std::min(rows, batch - first)));
    };
  });
}

}  // namespace

void run_kernel(const RecurrentKernel& k) {
  if (k.out.view.numel() == 0) return;
  for (const Operand* operand : {&k.in, &k.weight, &k.first, &k.out})
    operand->buffer->data();  // not by several threads
  if (k.in.dtype == DType::Float64) walk<double>(k);
  else walk<float>(k);
}

}  // namespace tinyops::cpu
