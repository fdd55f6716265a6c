#pragma once
// A dataset in batches, shuffled anew for every epoch. While the network works on one batch, a thread prepares the
// next.
//
//   data::DataLoader loader(train, {.batch_size = 128, .shuffle = true});
//   for (int epoch = 0; epoch < 5; ++epoch)
//     for (auto [x, y] : loader) ...            x (128, 1, 28, 28) float32, y (128) int64
//
// Everything random follows from the seed, the epoch and the sample: the same values in every run, wherever it
// resumes, and on however many ranks: each takes its part of the batches that one process would have.
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "teeny/data/datasets.h"

namespace teeny::data {

struct Batch {
  Tensor x;  ///< (B, C, H, W), float32; of two plain tensors, the first's samples
  Tensor y;  ///< (B), int64; of two plain tensors, the second's
};

/// Changes one image in place; `shape` is (C, H, W). It runs on the loader's thread, so it may not touch Tensors.
using Transform = std::function<void(std::span<float> image, const Shape& shape, std::mt19937_64& random)>;

struct LoaderOptions {
  int64_t batch_size = 1;  ///< of all ranks together, a multiple of `ranks`
  bool shuffle = false;
  uint64_t seed = 0;
  bool drop_last = false;  ///< leaves out a last batch that is not full
  /// Of each batch, cut into `ranks` equal parts that follow one another, this loader gives number `rank`. A last batch
  /// is cut short to what has equal parts: up to `ranks - 1` samples are left out of the epoch.
  int rank = 0, ranks = 1;
  /// Images of uint8 are divided by 255, then transformed, then normalised: (x - mean) / std, where either has one
  /// value, or one a channel.
  std::vector<float> mean = {0}, std = {1};
  Transform transform = {};
};

/// Where a loader stands: `index` samples of the epoch have been handed out, to all ranks together. So it is the same
/// on every rank, and fits any number of them.
struct Position {
  uint64_t seed = 0;
  int64_t epoch = 0, index = 0;
  bool operator==(const Position&) const = default;
  /// Throws, in the name of `caller`, unless 0 <= epoch < 2^62 and 0 <= index.
  void check(const char* caller) const;
};

class DataLoader {
 public:
  /// Copies the dataset's elements to the host once. Images are (N, ...) of uint8 or float32.
  explicit DataLoader(const Dataset& dataset, const LoaderOptions& options = {});
  /// Any two tensors (N, ...), token ids and regression targets alike: their elements are handed out as they are, so
  /// `mean`, `std` and `transform` are refused.
  DataLoader(const Tensor& x, const Tensor& y, const LoaderOptions& options);
  DataLoader(DataLoader&&) noexcept;
  DataLoader& operator=(DataLoader&&) noexcept;
  ~DataLoader();

  int64_t size() const;  ///< batches an epoch

  int64_t batches_done() const;  ///< of the epoch in which `position` lies
  /// Inside a loop: behind the batch in hand. At the end of an epoch: the start of the next.
  Position position() const;
  /// The next loop starts there, with the same batches as if it had come there itself. A loop that is running goes on
  /// with its own batches, and `position()` stays where it was set. Throws where the dataset has no such sample.
  void set_position(const Position& position);
  void check_position(const Position& position) const;  ///< throws what `set_position` would, and changes nothing

  /// What else its batches follow from, as text: "samples", "batch_size", "shuffle", .., and "elements", a checksum of
  /// the dataset. Of the transform nothing is known.
  std::map<std::string, std::string> settings() const;

  class Iterator;
  /// Starts an epoch: each loop is one, also after a loop that was left early. What a transform throws is thrown here
  /// or by `++`; then another `++` prepares the same batch again.
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }

 private:
  struct State;
  State& state() const;
  std::shared_ptr<State> state_;  ///< null after a move
};

/// Owns the thread: leaving a loop, however, waits for the batch in preparation and drops it.
class DataLoader::Iterator {
 public:
  Iterator(Iterator&&) noexcept;
  ~Iterator();
  const Batch& operator*() const { return batch_; }
  const Batch* operator->() const { return &batch_; }
  Iterator& operator++();
  bool operator==(std::default_sentinel_t) const { return !batch_.x.defined(); }

 private:
  friend class DataLoader;
  struct Epoch;
  explicit Iterator(std::unique_ptr<Epoch> epoch);
  std::unique_ptr<Epoch> epoch_;
  Batch batch_;  ///< undefined tensors behind the last one
};

}  // namespace teeny::data
