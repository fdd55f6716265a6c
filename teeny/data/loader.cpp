#include "teeny/data/loader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <exception>
#include <numeric>
#include <optional>
#include <system_error>
#include <thread>

#include "tinyops/base/hash.h"
#include "tinyops/device.h"

namespace teeny::data {

namespace {

/// SplitMix64's last step (Steele, Lea, Flood 2014): neighbouring integers become unrelated seeds.
uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
  x = (x ^ x >> 27) * 0x94D049BB133111EB;
  return x ^ x >> 31;
}
uint64_t epoch_seed(const Position& at) { return mix(mix(at.seed) ^ uint64_t(at.epoch)); }

/// The samples in the order of one epoch, by Fisher and Yates; std::shuffle may differ from library to library.
std::vector<int64_t> order_of(const Position& at, int64_t samples, bool shuffle) {
  // [exercise 25
  std::vector<int64_t> order(static_cast<size_t>(samples));
  std::iota(order.begin(), order.end(), 0);
  if (!shuffle) return order;
  std::mt19937_64 random(epoch_seed(at));
  for (size_t left = order.size(); left > 1; --left) std::swap(order[left - 1], order[random() % left]);
  return order;
  // exercise 25]
}

/// A tensor (N, ...) on the host, sample after sample.
struct Samples {
  Shape shape;  ///< of one
  DType dtype = DType::UInt8;
  std::vector<std::byte> bytes;

  Samples() = default;
  explicit Samples(const Tensor& x)
      : shape(x.shape().begin() + 1, x.shape().end()), dtype(x.dtype()), bytes(x.to_bytes()) {}
  size_t bytes_each() const { return size_t(numel(shape) * itemsize(dtype)); }
  std::span<const std::byte> operator[](int64_t sample) const {
    return std::span(bytes).subspan(size_t(sample) * bytes_each(), bytes_each());
  }
};

/// `count` samples one after the other. They are put together on the host and sent to fresh memory of the device: on a
/// GPU they travel while it computes. A buffer may pass from thread to thread; a Tensor that is not realized may not.
struct Prepared {
  int64_t count = 0;
  std::vector<float> images;  ///< of a Dataset, else `x`
  std::vector<std::byte> x, y;
  tinyops::BufferRef x_sent, y_sent;
};

tinyops::BufferRef send(std::span<const std::byte> elements) {
  auto buffer = std::make_shared<tinyops::Buffer>(elements.size());
  if (!elements.empty()) tinyops::write(buffer->data(), elements.data(), elements.size());
  return buffer;
}

void check_channels(const char* what, const std::vector<float>& values, int64_t channels) {
  for (float value : values)
    if (!std::isfinite(value)) fail("DataLoader: a ", what, " of ", value, "; finite values wanted");
  if (values.size() != 1 && int64_t(values.size()) != channels)
    fail("DataLoader: ", values.size(), " values of ", what, "; one, or one for each of ", channels, " channels");
}

}  // namespace

/// What a loader and its loops share. The thread reads; only `position` and `resumed` change, and it looks at neither.
struct DataLoader::State {
  LoaderOptions options;
  bool images = false;  ///< x becomes float32 and is normalised; else it stays as it is
  Samples x, y;
  int64_t samples = 0;
  Position position;
  int64_t placed = 0;  ///< how often `set_position` was called: loops that began before no longer move `position`
  std::optional<uint64_t> checksum = {};  ///< of all elements, when it has been asked for
  bool resumed = true;  ///< whether the next loop goes on at `position`, or starts an epoch of its own

  /// How many samples the batch at `index` has on all ranks; 0 at the end of the epoch.
  int64_t batch_at(int64_t index) const {
    const int64_t left = std::min(options.batch_size, samples - index);
    return options.drop_last && left < options.batch_size ? 0 : left - left % options.ranks;
  }
  void move_to(Position to) {
    if (batch_at(to.index) == 0) to = {to.seed, to.epoch + 1, 0};
    position = to;
  }
  void read(int64_t sample, std::span<float> to) const;
  void normalise(std::span<float> image) const;
  void hold(const Tensor& all_x, const Tensor& all_y, const LoaderOptions& chosen);
};

void DataLoader::State::read(int64_t sample, std::span<float> to) const {
  const std::span<const std::byte> from = x[sample];
  if (x.dtype == DType::Float32) std::copy(from.begin(), from.end(), std::as_writable_bytes(to).begin());
  else std::transform(from.begin(), from.end(), to.begin(), [](std::byte pixel) { return float(pixel) / 255.0f; });
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

void DataLoader::State::hold(const Tensor& all_x, const Tensor& all_y, const LoaderOptions& chosen) {
  options = chosen, samples = all_x.size(0), position.seed = chosen.seed;
  const auto& [batch, rank, ranks] = std::tie(options.batch_size, options.rank, options.ranks);
  if (batch < 1) fail("DataLoader: a batch of ", batch, " samples; 1 is the least");
  if (rank < 0 || rank >= ranks) fail("DataLoader: rank ", rank, " of ", ranks, "; 0 <= rank < ranks wanted");
  if (batch % ranks != 0)
    fail("DataLoader: a batch of ", batch, " samples has no ", ranks,
         " equal parts; batch_size is that of all ranks together");
  if (batch_at(0) == 0)
    fail("DataLoader: ", samples, " samples do not make one batch of ", batch,
         samples < ranks ? text("; at least ", ranks, " wanted, one for each rank")
                         : "; drop_last = false keeps a smaller one");
  x = Samples(all_x), y = Samples(all_y);
}

/// One walk over the dataset. A thread prepares one batch, sends it to the device and ends; joining it hands the batch,
/// or what was thrown, over to the caller. So no two threads ever look at the same thing, and there is nothing to lock.
///
///   caller   take 0 | train on 0              | take 1 | train on 1              | ...
///   thread          | prepare 1 | send 1 |             | prepare 2 | send 2 |
struct DataLoader::Iterator::Epoch {
  std::shared_ptr<State> state;
  Position at;     ///< of the batch in preparation
  int64_t placed;  ///< State::placed when this walk began
  std::vector<int64_t> order;
  std::thread thread;
  Prepared batch;
  std::exception_ptr error;

  explicit Epoch(std::shared_ptr<State> shared)
      : state(std::move(shared)),
        at(state->position),
        placed(state->placed),
        order(order_of(at, state->samples, state->options.shuffle)) {}
  ~Epoch() {
    if (thread.joinable()) thread.join();
  }

  void prepare() {
    batch.x.clear(), batch.y.clear();  // their memory stays
    batch.count = state->batch_at(at.index) / state->options.ranks;
    const int64_t first = at.index + state->options.rank * batch.count;
    const std::span samples = std::span(order).subspan(size_t(first), size_t(batch.count));
    for (int64_t sample : samples) {
      const auto x = state->x[sample], y = state->y[sample];
      batch.y.insert(batch.y.end(), y.begin(), y.end());
      if (!state->images) batch.x.insert(batch.x.end(), x.begin(), x.end());
    }
    if (state->images) prepare_images(samples);
    batch.x_sent = send(state->images ? std::as_bytes(std::span(batch.images)) : std::span<const std::byte>(batch.x));
    batch.y_sent = send(batch.y);
  }

  void prepare_images(std::span<const int64_t> samples) {
    const size_t pixels = size_t(numel(state->x.shape));
    batch.images.resize(samples.size() * pixels);
    for (size_t i = 0; i < samples.size(); ++i) {
      const std::span image = std::span(batch.images).subspan(i * pixels, pixels);
      state->read(samples[i], image);
      if (state->options.transform) {
        const uint64_t seed = mix(epoch_seed(at) ^ uint64_t(samples[i]));
        std::mt19937_64 random(seed);
        Tensor::set_random_state(seed, 0);  // of this thread: what tensors draw follows from the sample, too
        state->options.transform(image, state->x.shape, random);
      }
      state->normalise(image);
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

  /// Puts the batch in preparation in the place of `taken`, or nothing at the end of the epoch. What preparing it has
  /// thrown is thrown here: then `taken` stays, and the next call tries the same batch again.
  void take(Batch& taken) {
    if (!thread.joinable() && state->batch_at(at.index) > 0) start();
    if (thread.joinable()) thread.join();
    if (error) std::rethrow_exception(std::exchange(error, nullptr));
    taken = {};  // its memory is free for the batch that is prepared next
    if (state->batch_at(at.index) == 0) return;
    const auto tensor = [&](tinyops::BufferRef& sent, DType dtype, Shape shape) {
      shape.insert(0, batch.count);
      return Tensor(LazyBuffer::source(std::move(sent), dtype, shape));
    };
    taken = {tensor(batch.x_sent, state->images ? DType::Float32 : state->x.dtype, state->x.shape),
             tensor(batch.y_sent, state->y.dtype, state->y.shape)};
    at.index += batch.count * state->options.ranks;
    if (placed == state->placed) state->move_to(at);
    if (state->batch_at(at.index) > 0) start();
  }
};

DataLoader::DataLoader(const Dataset& dataset, const LoaderOptions& options) : state_(std::make_shared<State>()) {
  const Tensor &images = dataset.images, &labels = dataset.labels;
  images.lazy("DataLoader"), labels.lazy("DataLoader");
  if (images.rank() < 1 || labels.rank() != 1 || images.size(0) != labels.size(0))
    fail("DataLoader: images ", images.shape(), " and labels ", labels.shape(), "; (N, ...) and (N,) wanted");
  if (images.dtype() != DType::UInt8 && images.dtype() != DType::Float32)
    fail("DataLoader: images of ", images.dtype(), "; uint8 or float32 wanted");
  if (is_float(labels.dtype())) fail("DataLoader: labels of ", labels.dtype(), "; integers wanted");

  const int64_t channels = images.rank() == 1 ? 1 : images.size(1);
  check_channels("mean", options.mean, channels);
  check_channels("std", options.std, channels);
  for (float std : options.std)
    if (std == 0) fail("DataLoader: a std of 0 would divide by 0");
  state_->images = true;
  state_->hold(images, labels.cast(DType::Int64), options);
}

DataLoader::DataLoader(const Tensor& x, const Tensor& y, const LoaderOptions& options)
    : state_(std::make_shared<State>()) {
  x.lazy("DataLoader"), y.lazy("DataLoader");
  if (x.rank() < 1 || y.rank() < 1 || x.size(0) != y.size(0))
    fail("DataLoader: ", x.shape(), " and ", y.shape(),
         " do not have equally many samples; (N, ...) and (N, ...) wanted");
  const LoaderOptions plain;
  if (options.mean != plain.mean || options.std != plain.std || options.transform)
    fail("DataLoader: mean, std and transform are for the images of a Dataset");
  state_->hold(x, y, options);
}

DataLoader::DataLoader(DataLoader&&) noexcept = default;
DataLoader& DataLoader::operator=(DataLoader&&) noexcept = default;
DataLoader::~DataLoader() = default;

void Position::check(const char* caller) const {
  if (epoch < 0 || epoch >= int64_t(1) << 62) fail(caller, ": epoch ", epoch, "; 0 <= epoch < 2^62");
  if (index < 0) fail(caller, ": sample ", index, " of epoch ", epoch, "; 0 <= sample");
}

DataLoader::State& DataLoader::state() const {
  if (!state_) fail("DataLoader: it was moved from, and has no samples");
  return *state_;
}

int64_t DataLoader::size() const {
  const int64_t full = state().samples / state().options.batch_size;
  return full + (state().batch_at(full * state().options.batch_size) > 0);
}

Position DataLoader::position() const { return state().position; }

int64_t DataLoader::batches_done() const {
  const int64_t batch = state().options.batch_size, index = state().position.index;
  return index / batch + (index % batch != 0);
}

void DataLoader::check_position(const Position& position) const {
  position.check("set_position");
  if (position.index > state().samples)
    fail("set_position: sample ", position.index, " of epoch ", position.epoch, " in a dataset of ", state().samples);
}

void DataLoader::set_position(const Position& position) {
  check_position(position);
  state().move_to(position);
  state().resumed = true;
  ++state().placed;
}

std::map<std::string, std::string> DataLoader::settings() const {
  State& s = state();
  if (!s.checksum) s.checksum = tinyops::xxh64(s.x.bytes, tinyops::xxh64(s.y.bytes));
  const auto list = [](const std::vector<float>& values) {
    std::string out;
    for (float value : values) {
      char digits[32];  // as many as the value needs, in every locale
      out.append(out.empty() ? "" : " ").append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
    }
    return out;
  };
  const auto word = [](bool on) { return on ? "true" : "false"; };
  return {{"samples", std::to_string(s.samples)},
          {"elements", text(s.x.shape, ' ', s.x.dtype, ' ', *s.checksum)},
          {"batch_size", std::to_string(s.options.batch_size)},
          {"shuffle", word(s.options.shuffle)},
          {"drop_last", word(s.options.drop_last)},
          {"mean", list(s.options.mean)},
          {"std", list(s.options.std)}};
}

DataLoader::Iterator DataLoader::begin() {
  State& state = this->state();
  if (!std::exchange(state.resumed, false) && state.position.index > 0)
    state.position = {state.position.seed, state.position.epoch + 1, 0};
  auto epoch = std::make_unique<Iterator::Epoch>(state_);
  epoch->start();
  return Iterator(std::move(epoch));
}

DataLoader::Iterator::Iterator(std::unique_ptr<Epoch> epoch) : epoch_(std::move(epoch)) { ++*this; }
DataLoader::Iterator::Iterator(Iterator&& other) noexcept
    : epoch_(std::move(other.epoch_)), batch_(std::exchange(other.batch_, {})) {}
DataLoader::Iterator::~Iterator() = default;

DataLoader::Iterator& DataLoader::Iterator::operator++() {
  if (!epoch_) fail("DataLoader: ++ of an iterator that was moved from");
  epoch_->take(batch_);
  return *this;
}

}  // namespace teeny::data
