#include "teeny/data/loader.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <numeric>
#include <system_error>
#include <thread>

namespace teeny::data {

namespace {

/// SplitMix64's last step (Steele, Lea, Flood 2014): neighbouring numbers become unrelated seeds.
uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
  x = (x ^ x >> 27) * 0x94D049BB133111EB;
  return x ^ x >> 31;
}
uint64_t epoch_seed(const Position& at) { return mix(mix(at.seed) ^ uint64_t(at.epoch)); }

/// The samples in the order of one epoch, by Fisher and Yates; std::shuffle may differ from library to library.
std::vector<int64_t> order_of(const Position& at, int64_t samples, bool shuffle) {
  std::vector<int64_t> order(static_cast<size_t>(samples));
  std::iota(order.begin(), order.end(), 0);
  if (!shuffle) return order;
  std::mt19937_64 random(epoch_seed(at));
  for (size_t left = order.size(); left > 1; --left) std::swap(order[left - 1], order[random() % left]);
  return order;
}

struct HostBatch {
  std::vector<float> x;
  std::vector<int64_t> y;
};

void check_channels(const char* what, const std::vector<float>& values, int64_t channels) {
  if (values.size() != 1 && int64_t(values.size()) != channels)
    fail("DataLoader: ", values.size(), " numbers of ", what, "; one, or one for each of ", channels, " channels");
}

}  // namespace

/// What a loader and its loops share. The thread reads; only `position` and `resumed` change, and it looks at neither.
struct DataLoader::State {
  LoaderOptions options;
  Shape image;  ///< the shape of one: (C, H, W)
  DType dtype = DType::UInt8;
  std::vector<std::byte> images;
  std::vector<int64_t> labels;
  Position position;
  bool resumed = true;  ///< whether the next loop goes on at `position`, or starts an epoch of its own

  int64_t samples() const { return int64_t(labels.size()); }
  /// How many samples the batch at `index` has; 0 at the end of the epoch.
  int64_t batch_at(int64_t index) const {
    const int64_t left = std::min(options.batch_size, samples() - index);
    return options.drop_last && left < options.batch_size ? 0 : left;
  }
  void move_to(Position to) {
    if (batch_at(to.index) == 0) to = {to.seed, to.epoch + 1, 0};
    position = to;
  }
  void read(int64_t sample, std::span<float> to) const;
  void normalise(std::span<float> image) const;
};

void DataLoader::State::read(int64_t sample, std::span<float> to) const {
  const std::byte* from = images.data() + size_t(sample) * to.size() * size_t(itemsize(dtype));
  if (dtype == DType::Float32) std::memcpy(to.data(), from, to.size_bytes());
  else std::transform(from, from + to.size(), to.begin(), [](std::byte pixel) { return float(pixel) / 255.0f; });
}

void DataLoader::State::normalise(std::span<float> values) const {
  const auto& [mean, std] = std::tie(options.mean, options.std);
  const size_t channels = std::max(mean.size(), std.size()), pixels = values.size() / channels;
  for (size_t c = 0; c < channels; ++c) {
    const float m = mean[mean.size() == 1 ? 0 : c], s = std[std.size() == 1 ? 0 : c];
    if (m == 0 && s == 1) continue;
    for (float& pixel : values.subspan(c * pixels, pixels)) pixel = (pixel - m) / s;
  }
}

/// One walk over the dataset. A thread prepares one batch and ends; joining it hands the batch, or what was thrown,
/// over to the caller. So no two threads ever look at the same thing, and there is nothing to lock.
///
///   caller   take 0 | train on 0       | take 1 | train on 1       | ...
///   thread          | prepare 1 |               | prepare 2 |
struct DataLoader::Iterator::Epoch {
  std::shared_ptr<State> state;
  Position at;  ///< of the batch in preparation
  std::vector<int64_t> order;
  std::thread thread;
  HostBatch batch;
  std::exception_ptr error;

  explicit Epoch(std::shared_ptr<State> shared)
      : state(std::move(shared)), at(state->position), order(order_of(at, state->samples(), state->options.shuffle)) {}
  ~Epoch() {
    if (thread.joinable()) thread.join();
  }

  void prepare() {
    const size_t pixels = size_t(numel(state->image));
    const std::span samples = std::span(order).subspan(size_t(at.index), size_t(state->batch_at(at.index)));
    batch.x.resize(samples.size() * pixels);
    batch.y.clear();
    for (size_t i = 0; i < samples.size(); ++i) {
      const std::span image = std::span(batch.x).subspan(i * pixels, pixels);
      state->read(samples[i], image);
      if (state->options.transform) {
        std::mt19937_64 random(mix(epoch_seed(at) ^ uint64_t(samples[i])));
        state->options.transform(image, state->image, random);
      }
      state->normalise(image);
      batch.y.push_back(state->labels[size_t(samples[i])]);
    }
  }

  void start() {
    try {
      thread = std::thread([this] {
        try {
          prepare();
        } catch (...) { error = std::current_exception(); }
      });
    } catch (const std::system_error& e) { fail("DataLoader: no thread to prepare batches: ", e.what()); }
  }

  /// The batch in preparation; nothing at the end of the epoch.
  Batch take() {
    if (!thread.joinable()) return {};
    thread.join();
    if (error) std::rethrow_exception(std::exchange(error, nullptr));
    const int64_t count = int64_t(batch.y.size());
    Shape shape = state->image;
    shape.insert(0, count);
    Batch result{Tensor::from(batch.x, shape), Tensor::from(batch.y)};
    at.index += count;
    state->move_to(at);
    if (state->batch_at(at.index) > 0) start();
    return result;
  }
};

DataLoader::DataLoader(const Dataset& dataset, const LoaderOptions& options) : state_(std::make_shared<State>()) {
  const Tensor &images = dataset.images, &labels = dataset.labels;
  if (options.batch_size < 1) fail("DataLoader: a batch of ", options.batch_size, " samples");
  if (images.rank() < 1 || labels.rank() != 1 || images.size(0) != labels.size(0))
    fail("DataLoader: images ", images.shape(), " and labels ", labels.shape(), "; (N, ...) and (N,) wanted");
  if (images.dtype() != DType::UInt8 && images.dtype() != DType::Float32)
    fail("DataLoader: images of ", images.dtype(), "; uint8 or float32 wanted");
  if (is_float(labels.dtype())) fail("DataLoader: labels of ", labels.dtype(), "; integers wanted");

  State& state = *state_;
  state.options = options;
  state.image = Shape(images.shape().begin() + 1, images.shape().end());
  const int64_t channels = state.image.empty() ? 1 : state.image[0];
  check_channels("mean", options.mean, channels);
  check_channels("std", options.std, channels);
  state.dtype = images.dtype();
  state.images = images.to_bytes();
  state.labels = labels.to_vector<int64_t>();
  state.position.seed = options.seed;
  if (size() == 0) fail("DataLoader: ", state.samples(), " samples do not make one batch of ", options.batch_size);
}

DataLoader::DataLoader(DataLoader&&) noexcept = default;
DataLoader& DataLoader::operator=(DataLoader&&) noexcept = default;
DataLoader::~DataLoader() = default;

int64_t DataLoader::size() const {
  const int64_t batch = state_->options.batch_size, samples = state_->samples();
  return state_->options.drop_last || samples % batch == 0 ? samples / batch : samples / batch + 1;
}

Position DataLoader::position() const { return state_->position; }

void DataLoader::set_position(const Position& position) {
  if (position.epoch < 0 || position.index < 0 || position.index > state_->samples())
    fail("DataLoader: no position ", position.index, " of epoch ", position.epoch, " in ", state_->samples(),
         " samples");
  state_->move_to(position);
  state_->resumed = true;
}

DataLoader::Iterator DataLoader::begin() {
  State& state = *state_;
  if (!std::exchange(state.resumed, false) && state.position.index > 0)
    state.position = {state.position.seed, state.position.epoch + 1, 0};
  auto epoch = std::make_unique<Iterator::Epoch>(state_);
  epoch->start();
  return Iterator(std::move(epoch));
}

DataLoader::Iterator::Iterator(std::unique_ptr<Epoch> epoch) : epoch_(std::move(epoch)) { ++*this; }
DataLoader::Iterator::Iterator(Iterator&&) noexcept = default;
DataLoader::Iterator::~Iterator() = default;

DataLoader::Iterator& DataLoader::Iterator::operator++() {
  batch_ = {};  // its memory is free for the next one
  batch_ = epoch_->take();
  return *this;
}

}  // namespace teeny::data
