// Programs that no scheduler wrote: files of real ones with their numbers, names and lists changed and exchanged. One
// is refused, or it may run: then it reads and writes inside of its own memory alone, which a build with SAN= sees.
// MUTATIONS=n says how many of each program are tried; SEED=n, which.
#include <doctest/doctest.h>

#include <chrono>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "mutate.h"
#include "teeny/jit/jit.h"
#include "teeny/program/format.h"
#include "teeny/program/program.h"
#include "teeny/teeny.h"
#include "temporary_directory.h"

using namespace teeny;
using nlohmann::json;

namespace {

using Random = std::mt19937_64;
using Tensors = std::vector<Tensor>;

// ---- Programs

Tensor values(const Shape& shape) {
  return ((Tensor::arange(numel(shape)) * 5 % 23).cast(DType::Float32) / 23 - 0.4).reshape(shape).realize();
}
Tensor indices(const Shape& shape, int64_t below) {
  return ((Tensor::arange(numel(shape)) * 3 + 1) % below).reshape(shape).realize();
}

/// The file of what a Jit records of `f`.
template <class F, class... Inputs>
std::string recorded(F&& f, const Inputs&... inputs) {
  const TemporaryDirectory directory;
  Jit jit(f);
  for (int i = 0; i < 3; ++i) jit(inputs...);
  CHECK_MESSAGE(jit.why() == "", jit.why());
  jit.save(directory / "net.teeny");
  return contents(directory / "net.teeny");
}

/// Windows with padding, steps and dilation, plain, transposed, depthwise, and pooled.
std::string convolutions() {
  nn::Conv2d first(1, 4, 3, {.stride = 2, .padding = 1}), deep(4, 4, 3, {.padding = 2, .dilation = 2, .groups = 4});
  nn::Linear head(4 * 3 * 3, 5);
  const NoGrad guard;
  return recorded(
      [&](Tensor x) {
        const Tensor h = deep(first(x).relu()).max_pool2d(3, {.stride = 2, .padding = 1});
        return std::vector{head(h.flatten(1)).log_softmax(-1), h.flip({2}).pad({0, 0, 1, 0}, {0, 0, 1, 2}).sum(0)};
      },
      values({2, 1, 11, 11}));
}

/// Attention over tokens, with a table, products in a batch, softmax, and parts put side by side.
std::string attention() {
  nn::Embedding table(9, 8);
  nn::Linear qkv(8, 24);
  const NoGrad guard;
  return recorded(
      [&](Tensor tokens) {
        const Tensor x = table(tokens), all = qkv(x.layernorm());
        const Tensor q = all.shrink({0, 0, 0}, {2, 5, 8}), k = all.shrink({0, 0, 8}, {2, 5, 16}),
                     v = all.shrink({0, 0, 16}, {2, 5, 24});
        const Tensor y = q.matmul(k.permute({0, 2, 1})).softmax(-1).matmul(v);
        return std::vector{Tensor::cat({x, y}, -1), y.argsort(-1), x.cumsum(1)};
      },
      indices({2, 5}, 9));
}

/// A training step: the gradient of a table is scattered, words are drawn, and Adam writes in place.
std::string training() {
  nn::Embedding table(7, 4);
  nn::Linear head(4, 3);
  std::vector<Tensor> all = nn::parameters(table);
  for (const Tensor& p : nn::parameters(head)) all.push_back(p);
  optim::Adam optimizer(all);
  return recorded(
      [&](Tensor tokens, Tensor classes) {
        optimizer.zero_grad();
        const Tensor loss = head(table(tokens).dropout(0.3)).cross_entropy(classes).backward();
        optimizer.step();
        return loss;
      },
      indices({6}, 7), indices({6}, 3));
}

std::string recurrent() {
  nn::LSTM lstm(3, 4);
  const NoGrad guard;
  return recorded([&](Tensor x) { return lstm(x).y; }, values({5, 2, 3}));
}

/// All dtypes, bits, comparisons, a place that is written to, and a sum over parts.
std::string mixed() {
  const NoGrad guard;
  return recorded(
      [&](Tensor x, Tensor i) {
        const Tensor half = x.cast(DType::Float16), wide = x.cast(DType::Float64), mask = x < 0.1;
        Tensor y = where(mask, x, x.cast(DType::BFloat16).cast(DType::Float32)) + 1;
        y.set({Slice(1, 3)},
              half.matmul(half.permute({1, 0})).cast(DType::Float32).sum(1, true).shrink({1, 0}, {3, 1}));
        return std::vector{y,    wide.exp().max(0), (i & 3) << 1, i.cast(DType::UInt8) ^ 5, x.bitcast(DType::Int32),
                           mask, wide.softmax(0)};
      },
      values({4, 6}), indices({4, 6}, 100));
}

// ---- Changes

/// The program in a file's header, as JSON; and the file with another one.
json program_in(const std::string& file) {
  uint64_t length;
  std::memcpy(&length, file.data(), 8);
  return json::parse(json::parse(file.substr(8, length)).at("__metadata__").at("teeny.program").get<std::string>());
}
std::string with_text(const std::string& file, const std::string& program) {
  uint64_t length;
  std::memcpy(&length, file.data(), 8);
  json header = json::parse(file.substr(8, length));
  header["__metadata__"] = {{"teeny.program", program}};  // and no checksums
  std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  text.resize((text.size() + 63) / 64 * 64, ' ');
  const uint64_t size = text.size();
  std::string result(8, '\0');
  std::memcpy(result.data(), &size, 8);
  return result + text + file.substr(8 + length);
}

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  json operator()(const json& program) {
    json changed = program;
    for (size_t n = 1 + below(2) * below(3); n > 0; --n) change(changed);
    return changed;
  }

 private:
  struct Place {
    json* value;
    std::string key;  ///< of the object that it is in, perhaps by way of lists
    json* list;       ///< the list that it is in
    size_t index;
  };

  size_t below(size_t n) { return size_t(random_() % n); }

  static void collect(json& value, const std::string& key, json* list, size_t index, std::vector<Place>& to) {
    to.push_back({&value, key, list, index});
    if (value.is_object())
      for (auto& [name, entry] : value.items()) collect(entry, name, nullptr, 0, to);
    if (value.is_array())
      for (size_t i = 0; i < value.size(); ++i) collect(value[i], key, &value, i, to);
  }

  void change(json& program) {
    std::vector<Place> places, of_views;
    for (auto& kernel : program["calls"]) collect(kernel, "", nullptr, 0, places);
    for (const Place& p : places)
      if (p.key == "coef" || p.key == "offset" || p.key == "guards" || p.key == "size" || p.key == "position")
        of_views.push_back(p);
    const std::vector<Place>& from = below(2) && !of_views.empty() ? of_views : places;
    const Place place = from[below(from.size())];
    json& value = *place.value;
    std::vector<json*> alike;  // entries of this name elsewhere
    for (const Place& other : places)
      if (other.key == place.key && other.value->type() == value.type()) alike.push_back(other.value);
    const size_t what = below(8);
    if (place.list && what == 0) place.list->erase(place.index);
    else if (place.list && what == 1)
      place.list->insert(place.list->begin() + int64_t(below(place.list->size() + 1)), json(value));
    else if (place.list && what == 2) std::swap(value, (*place.list)[below(place.list->size())]);
    else if (what == 3 && value.is_object() && !value.empty()) {
      auto entry = value.begin();
      std::advance(entry, below(value.size()));
      value.erase(entry);
    } else if (value.is_number_integer() && what > 3) value = number(value.get<int64_t>());
    else if (value.is_boolean()) value = !value.get<bool>();
    else {
      const json other = *alike[below(alike.size())];
      value = other;
    }
  }

  int64_t number(int64_t x) {
    constexpr int64_t kLow = std::numeric_limits<int64_t>::min(), kHigh = std::numeric_limits<int64_t>::max();
    const int64_t some[] = {0,    1,    -1, 2, 3, 7, 16, 1 << 20, int64_t(1) << 31, int64_t(1) << 40, int64_t(1) << 62,
                            kLow, kHigh};
    switch (below(5)) {
      case 0: return some[below(std::size(some))];
      case 1: return int64_t(uint64_t(x) * 2);
      case 2: return int64_t(0 - uint64_t(x));
      default: return int64_t(uint64_t(x) + below(7) - 3);
    }
  }

  Random random_;
};

// ---- What becomes of them

/// Elements that are computed, and bytes that a call needs.
double work_of(const program::Contents& contents) {
  double work = 0;
  for (const program::Call& call : contents.calls) {
    for (const tinyops::Kernel& kernel : call.kernels)
      std::visit(
          [&](const auto& k) {
            if constexpr (requires { k.epilogue; }) work += double(numel(k.shape)) * 4;
            else if constexpr (requires { k.program; }) work += double(numel(k.shape)) * double(k.program.size());
            else work += double(numel(k.out.view.shape));
          },
          kernel);
    for (const program::Slot& slot : call.slots) work += double(slot.elements);
  }
  return work;
}

/// Values of any kind, but bools that are 0 or 1, and indices that are often inside.
Array random_input(const Port& port, Random& random) {
  std::vector<double> room(size_t(numel(port.shape)) + 1);
  tinyops::with_type(port.dtype, [&]<class T>(T) {
    T* const x = reinterpret_cast<T*>(room.data());
    for (int64_t i = 0; i < numel(port.shape); ++i)
      if constexpr (std::is_same_v<T, bool>) x[i] = random() % 2;
      else if constexpr (std::is_integral_v<T>) x[i] = random() % 50 ? T(random() % 3) : T(random());
      else x[i] = T(float(random() % 100) / 25 - 2);
  });
  return Array::of(port.dtype, port.shape, room.data());
}

struct Outcomes {
  size_t refused = 0, accepted = 0, ran = 0, threw = 0;
  double slowest = 0, slowest_look = 0;
  std::string slowest_call;
  std::map<std::string, size_t> rules;

  void attempt(const std::string& bytes, Random& random) {
    const auto begin = std::chrono::steady_clock::now();
    const auto seconds = [&] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    const std::span<const std::byte> all = std::as_bytes(std::span(bytes));
    try {
      const program::Contents read = program::read(all, "mutant");
      program::verify("mutant", read);
      slowest_look = std::max(slowest_look, seconds());
      ++accepted;
      if (work_of(read) > 1 << 22) return;  // honest, and long
      Program program = Program::from_bytes(all, "mutant");
      for (const Signature& signature : program.signatures()) {
        std::vector<Array> inputs;
        for (const Port& port : signature.inputs) inputs.push_back(random_input(port, random));
        ++ran;
        try {
          for (const Array& out : program(inputs)) {
            std::vector<std::byte> host(size_t(numel(out.shape) * itemsize(out.dtype)));
            out.read(host.data());
          }
        } catch (const Error&) { ++threw; }
      }
    } catch (const Error& error) {
      if (++refused == 1) MESSAGE(std::string(error.what()));
      slowest_look = std::max(slowest_look, seconds());
      if (std::string_view(error.what()).find("mutant") == std::string_view::npos) FAIL_CHECK(error.what());
    }
    slowest = std::max(slowest, seconds());
  }
};

}  // namespace

TEST_CASE("program: a changed program is refused, or runs in its own memory") {
  const uint64_t seed = tinyops::environment::whole_number("SEED", 1);
  size_t number = 0;
  Outcomes all;
  tinyops::reset_peak();
  for (const auto& make : {convolutions, attention, training, recurrent, mixed}) {
    const std::string file = make();
    const json program = program_in(file);
    Random random(seed + number);
    Mutator mutate(1000 * seed + number++);
    all.attempt(with_text(file, program.dump()), random);
    CHECK(all.refused == 0);
    REQUIRE(all.threw == 0);
    const size_t before = all.accepted;
    for (uint64_t i = 0; i < test::mutations() * 3 / 4; ++i)
      all.attempt(with_text(file, mutate(program).dump()), random);
    test::attempt_changes(program.dump(), test::mutations() / 4,
                          [&](const std::string& text) { all.attempt(with_text(file, text), random); });
    CHECK(all.accepted > before);
    MESSAGE(number, ": ", all.refused, " refused, ", all.accepted, " accepted, ", all.ran, " calls, ", all.threw,
            " of which threw; slowest ", all.slowest, " s, to read and verify ", all.slowest_look, " s; peak ",
            tinyops::memory_use().peak >> 20, " MiB");
    all.refused = all.threw = 0;
  }
}
