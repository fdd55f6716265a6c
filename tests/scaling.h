#pragma once
// A model of data-parallel training: messages are played one by one, and each rank is a clock. Equal clocks give the
// formulas beside the functions, which is checked in test_scaling.cpp; late ranks give what no formula has.
#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <numbers>
#include <random>
#include <vector>

namespace teeny::scaling {

/// What carries messages: its latency in seconds, and bytes a second, to and fro at the same time.
struct Link {
  double latency, rate;
  double seconds(double bytes) const { return latency + bytes / rate; }
};

using Clocks = std::vector<double>;  ///< what time it is on each rank, in seconds
inline double last(const Clocks& clocks) { return *std::max_element(clocks.begin(), clocks.end()); }

/// Rounds of messages: in each, a rank has sent its own when it goes on, and has that of `from(rank)`.
template <class From>
void play(Clocks& clocks, int rounds, double seconds, const From& from) {
  Clocks before;
  for (int round = 0; round < rounds; ++round) {
    before = clocks;
    for (int rank = 0; rank < int(clocks.size()); ++rank)
      clocks[size_t(rank)] = std::max(before[size_t(rank)], before[size_t(from(rank))]) + seconds;
  }
}

/// In rings of so many ranks, `stride` apart: rank r + stride hears r, and the first the last. `rounds` of n - 1 are a
/// reduce_scatter or an all_gather of n times the message, both are an all_reduce:
///
///   2 (n - 1) (latency + bytes / n / rate)            Patarasuk and Yuan, "Bandwidth optimal all-reduce", 2009
inline void ring(Clocks& clocks, int rounds, double bytes, Link link, int size, int stride = 1) {
  play(clocks, rounds, link.seconds(bytes / size),
       [=](int rank) { return rank / stride % size == 0 ? rank + (size - 1) * stride : rank - stride; });
}

/// Between pairs of ranks: half of the bytes to one that is half of the ranks away, a quarter to one at a quarter, and
/// back. For powers of two:
///
///   2 log2(n) latency + 2 (n - 1) / n bytes / rate    Thakur, Rabenseifner and Gropp, "Optimization of collective
///                                                     communication operations in MPICH", 2005
/// A pair of trees takes as long, but for bytes / n / rate: Sanders, Speck and Träff, "Two-tree algorithms", 2009.
inline void halving(Clocks& clocks, double bytes, Link link, int size, int stride = 1) {
  const auto exchange = [&](int away) {
    play(clocks, 1, link.seconds(bytes * away / size),
         [=](int rank) { return rank ^ away * stride; });  // both powers of two
  };
  for (int away = size / 2; away > 0; away /= 2) exchange(away);
  for (int away = 1; away < size; away *= 2) exchange(away);
}

/// Ranks in boxes of so many, with faster links inside: a reduce_scatter in each box, an all_reduce of each part over
/// the boxes, an all_gather in each box.
struct Boxes {
  int size;
  Link inside, between;
  double seconds(int ranks, double bytes) const;
  void play(Clocks& clocks, double bytes) const;
};
inline double ring_seconds(int n, double bytes, Link link) { return 2 * (n - 1) * link.seconds(bytes / n); }
inline double halving_seconds(int n, double bytes, Link link) {
  return 2 * std::ceil(std::log2(n)) * link.latency + 2 * (n - 1) * bytes / n / link.rate;
}
inline double Boxes::seconds(int n, double bytes) const {
  const int boxes = std::max(1, n / size);
  return ring_seconds(std::min(n, size), bytes, inside) +
         std::min(ring_seconds(boxes, bytes / size, between), halving_seconds(boxes, bytes / size, between));
}
inline void Boxes::play(Clocks& clocks, double bytes) const {
  const int n = int(clocks.size()), in = std::min(n, size), boxes = n / in;
  const double part = bytes / in;
  ring(clocks, in - 1, bytes, inside, in);
  if (ring_seconds(boxes, part, between) < halving_seconds(boxes, part, between))
    ring(clocks, 2 * (boxes - 1), part, between, boxes, in);
  else halving(clocks, part, between, boxes, in);
  ring(clocks, in - 1, bytes, inside, in);
}

/// GPUs as they were in 2024: bytes a second and GPU, to others in a box of eight and out of it. No measurement.
inline constexpr Boxes kBoxes{8, {2e-6, 350e9}, {8e-6, 50e9}};

/// The work of a step on one rank, in seconds, and its gradients: so many of equal size become ready one after the
/// other.
struct Work {
  double forward, backward, bytes;
  int gradients;
};
using AllReduce = std::function<void(Clocks&, double bytes)>;

/// A network of 1.3e9 parameters in 16 bits: 6 operations a parameter and token, of which a rank does 400e12 a second.
inline Work language_model(double tokens) {
  const double seconds = 6 * 1.3e9 * tokens / 400e12;
  return {seconds / 3, seconds * 2 / 3, 2.6e9, 24};
}

/// When a step is over on the last rank. `slow` says of each rank how many times as long its work takes. A gradient
/// starts on its way when all ranks have it and the one before has arrived; or, one by one, when all work is done.
inline double step(const Work& work, const Clocks& slow, const AllReduce& all_reduce, bool overlapped = true) {
  Clocks clocks(slow.size(), 0);
  for (int k = 1; k <= work.gradients; ++k) {
    const double ready = work.forward + work.backward * (overlapped ? double(k) / work.gradients : 1);
    for (size_t rank = 0; rank < slow.size(); ++rank) clocks[rank] = std::max(clocks[rank], ready * slow[rank]);
    all_reduce(clocks, work.bytes / work.gradients);
  }
  return last(clocks);
}
/// The same as a formula: `slowest` of the ranks makes all wait, and an all_reduce of one gradient takes `seconds`.
inline double step_seconds(const Work& work, double slowest, double seconds) {
  double end = 0;
  for (int k = 1; k <= work.gradients; ++k)
    end = std::max(end, slowest * (work.forward + work.backward * k / work.gradients)) + seconds;
  return end;
}

/// Ranks whose work takes 1 + sigma g as long, g normal (Box and Muller 1958: the same in every library). The slowest
/// of n is at 1 + sigma sqrt(2 ln n) at most, on average.
inline Clocks jitter(int ranks, double sigma, std::mt19937_64& random) {
  const auto uniform = [&] { return (double(random() >> 11) + 0.5) * 0x1p-53; };
  Clocks slow(static_cast<size_t>(ranks));
  for (double& s : slow)
    s = 1 + sigma * std::sqrt(-2 * std::log(uniform())) * std::cos(2 * std::numbers::pi * uniform());
  return slow;
}

}  // namespace teeny::scaling
