// How fast teeny is: one line for each workload, `name  milliseconds ms  rate unit`, the median of repeats after a
// warm-up, and peak memory last. PyTorch, JAX, tinygrad and onnxruntime have programs with the same names for the same
// work, in the same order; compare ratios of runs from the same minute, never times of two days: compare.py runs all in
// turns, row by row. A GPU has larger workloads, and is waited for before the clock is read; one that is played by the
// CPU has tiny ones, which only show that they run.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "examples/common.h"
#include "examples/gpt2.h"
#include "examples/resnet.h"
#include "teeny/teeny.h"
#include "tests/bench/peak.h"
#include "tinyops/device.h"

using namespace teeny;

/// Runs workloads, prints their times and keeps them.
class Bench {
 public:
  const Peak::Device device;

  Bench(const Peak& peak, const std::string& only, double seconds, bool asked)
      : device(peak.device), seconds_(seconds), asked_(asked) {
    std::istringstream parts(only);
    for (std::string part; std::getline(parts, part, ',');) only_.push_back(part);
  }

  /// Whether ONLY is empty or has a part of this name.
  bool selects(const std::string& name) const {
    return only_.empty() || std::ranges::any_of(only_, [&](const auto& part) { return name.find(part) != name.npos; });
  }

  /// Times `work`, which must compute something anew at each call. `amount` counts what one call does, in `unit` x s.
  template <class Work>
  void operator()(const std::string& name, Work&& work, double amount = 0, const char* unit = "") {
    if (!selects(name)) return;
    const bool once = device == Peak::Device::Emulated;
    const auto run = [&](int calls) {
      for (int i = 0; i < calls; ++i) work();
      tinyops::synchronize();
    };
    const auto median_of = [&](double seconds) {
      std::vector<double> times;
      for (const auto start = Clock::now(); once ? times.empty() : times.size() < 3 || since(start) < seconds;) {
        // What takes microseconds is timed by the millisecond: the clock has its price too.
        const int calls = times.empty() || times.back() > 1e-3 ? 1 : int(1e-3 / times.back()) + 1;
        const auto begin = Clock::now();
        run(calls);
        times.push_back(since(begin) / calls);
      }
      std::ranges::nth_element(times, times.begin() + times.size() / 2);
      return times[times.size() / 2];
    };
    run(once ? 2 : 5);  // a Jit records the second call
    if (asked_) return answer(name, amount, unit, median_of);
    const double median = median_of(seconds_);
    std::printf("%-34s %10.4f ms", name.c_str(), 1e3 * median);
    if (amount > 0) std::printf("  %.4g %s", amount / median, unit);
    std::printf("\n");
    std::fflush(stdout);
    json_ << (json_.view().empty() ? "" : ",\n") << "    \"" << name << "\": {\"ms\": " << 1e3 * median;
    if (amount > 0) json_ << ", \"rate\": " << amount / median << ", \"unit\": \"" << unit << '"';
    json_ << '}';
  }

  /// The last line: the most that tensors held, and that the process had, in MiB.
  void finish(const Peak& peak, const std::string& json_file) {
    rusage process{};
    getrusage(RUSAGE_SELF, &process);
    const double tensors = double(tinyops::memory_use().peak) / (1 << 20), resident = double(process.ru_maxrss) / 1024;
    std::printf("peak memory: tensors %.1f MiB, process %.1f MiB\n", tensors, resident);
    if (json_file.empty()) return;
    std::ofstream file(json_file);
    file << "{\n  \"device\": \"" << (device == Peak::Device::Cpu ? "cpu" : "gpu") << "\", \"device_name\": \""
         << tinyops::device_name() << "\",\n  \"peak_gflops\": " << peak.gflops
         << ", \"peak_gb_second\": " << peak.gb_second << ",\n"
         << "  \"peak_mib\": " << (device == Peak::Device::Cpu ? resident : tensors) << ",\n  \"workloads\": {\n"
         << json_.str() << "\n  }\n}\n";
    if (!file.flush()) fail(json_file, ": cannot be written");
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

  /// The row is ready; each line `time SECONDS` is answered by the median of so long, until `next`.
  template <class Median>
  static void answer(const std::string& name, double amount, const char* unit, Median&& median_of) {
    std::printf("row %s %.17g %s\n", name.c_str(), amount, unit);
    std::fflush(stdout);
    double seconds = 0;
    for (std::string word; std::cin >> word && word == "time" && std::cin >> seconds;) {
      std::printf("ms %.17g\n", 1e3 * median_of(seconds));
      std::fflush(stdout);
    }
  }

  std::vector<std::string> only_;
  double seconds_;
  bool asked_;
  std::ostringstream json_;
};

static Tensor values(const Shape& shape) { return Tensor::randn(shape).realize(); }

/// How large the workloads are.
struct Workloads {
  std::vector<int64_t> products, halves;  ///< square products of float32, and of bfloat16
  int64_t big, rows, columns, side, batch;
};
static Workloads sizes_for(Peak::Device device) {
  switch (device) {
    case Peak::Device::Cpu: return {{64, 256, 512, 1024, 2048}, {}, 1 << 24, 4096, 1024, 4096, 128};
    case Peak::Device::Gpu:
      return {{64, 256, 512, 1024, 2048, 4096, 8192}, {1024, 2048, 4096, 8192}, 1 << 26, 32768, 1024, 4096, 128};
    default: return {{64}, {64}, 1 << 10, 4, 1024, 64, 1};
  }
}

// ---- Single operations. Rates count the least that must be done: multiplications and additions, or bytes moved ------

static void products(Bench& bench, const Workloads& sizes) {
  const auto product = [&](const std::string& name, int64_t m, int64_t k, int64_t n, DType dtype = DType::Float32) {
    if (!bench.selects(name)) return;
    const Tensor x = values({m, k}).cast(dtype).realize(), y = values({k, n}).cast(dtype).realize();
    bench(
        name, [&] { x.matmul(y).realize(); }, 2e-9 * double(m * k * n), "GFLOP/s");
  };
  for (int64_t n : sizes.products) product("matmul_" + std::to_string(n), n, n, n);
  for (int64_t n : sizes.halves) product("matmul_bf16_" + std::to_string(n), n, n, n, DType::BFloat16);
  product("matmul_128x784x512", sizes.batch, 784, 512);
}

static void elementwise_and_reductions(Bench& bench, const Workloads& sizes) {
  const auto unary = [&](const std::string& name, const Shape& shape, double bytes_an_element, auto f) {
    if (!bench.selects(name)) return;
    const Tensor x = values(shape);
    bench(
        name, [&] { f(x).realize(); }, 1e-9 * bytes_an_element * double(x.numel()), "GB/s");
  };
  const Shape big{sizes.big}, rows{sizes.rows, sizes.columns};
  if (bench.selects("add_big")) {
    const Tensor y = values(big);
    unary("add_big", big, 12, [&](const Tensor& x) { return x + y; });
  }
  unary("gelu_chain_big", big, 8,
        [](const Tensor& x) { return 0.5 * x * (1 + (0.7978845608 * (x + 0.044715 * x * x * x)).tanh()); });
  unary("sum_big", big, 4, [](const Tensor& x) { return x.sum(); });
  unary("softmax_rows_1024", rows, 8, [](const Tensor& x) { return x.softmax(-1); });
  unary("layernorm_rows_1024", rows, 8, [](const Tensor& x) { return x.layernorm(); });
  unary("sum_cols", rows, 4, [](const Tensor& x) { return x.sum(0); });
  unary("transpose_4096", {sizes.side, sizes.side}, 8, [](const Tensor& x) { return x.t().contiguous(); });
  if (bench.selects("tiny_add_16")) {
    const Tensor x = values({16});
    bench("tiny_add_16", [&] { (x + x).realize(); });
    Jit replayed([](const Tensor& x) { return x + x; });
    bench("tiny_add_16_replayed", [&] { replayed(x); });
  }
}

static void convolutions(Bench& bench, int64_t batch) {
  struct Row {
    const char* name;
    Shape x, w;
    ConvOptions options = {};
    bool backward = false;
  };
  const auto gflop = [](const Row& row, const Tensor& out) {  // padding multiplies nothing
    double work = 2e-9 * double(out.size(0) * out.size(1) * row.w[1]);
    const int64_t stride = row.options.stride.list[0], padding = row.options.padding.list[0];  // of both axes
    for (int axis = 2; axis < 4; ++axis) {
      int64_t met = 0;
      for (int64_t window = 0; window < out.size(axis); ++window)
        for (int64_t tap = 0; tap < row.w[axis]; ++tap) {
          const int64_t at = window * stride - padding + tap;
          met += at >= 0 && at < row.x[axis];
        }
      work *= double(met);
    }
    return row.backward ? 3 * work : work;
  };
  const bool small = bench.device == Peak::Device::Emulated;  // then rows of a batch alone
  const std::initializer_list<Row> rows = {
      {"conv_128x32x24_k5_fwd", {batch, 32, 24, 24}, {32, 32, 5, 5}},
      {"conv_128x32x24_k5_fwdbwd", {batch, 32, 24, 24}, {32, 32, 5, 5}, {}, true},
      {"conv_8x64x56_k3", {8, 64, 56, 56}, {64, 64, 3, 3}, {.padding = 1}},
      {"conv_8x64x56_k1", {8, 64, 56, 56}, {256, 64, 1, 1}},
      {"conv_8x3x224_k7s2", {8, 3, 224, 224}, {64, 3, 7, 7}, {.stride = 2, .padding = 3}},
      {"depthwise_8x96x56_k3", {8, 96, 56, 56}, {96, 1, 3, 3}, {.padding = 1, .groups = 96}},
      {"depthwise_2x960x4_k3", {2, 960, 4, 4}, {960, 1, 3, 3}, {.padding = 1, .groups = 960}},
      {"depthwise_4x240x14_k5", {4, 240, 14, 14}, {240, 1, 5, 5}, {.padding = 2, .groups = 240}},
      {"depthwise_8x96x56_k3_fwdbwd", {8, 96, 56, 56}, {96, 1, 3, 3}, {.padding = 1, .groups = 96}, true},
      {"conv_64x512x1_k3", {64, 512, 1, 1}, {512, 512, 3, 3}, {.padding = 1}},
      {"conv_16x64x7_k7_fwdbwd", {16, 64, 7, 7}, {64, 64, 7, 7}, {}, true},
  };
  for (const Row& row : rows) {
    if (!bench.selects(row.name) || (small && row.x[0] != batch)) continue;
    Tensor x = values(row.x), w = values(row.w);
    const Tensor out = x.conv2d(w, {}, row.options);
    if (!row.backward) {
      bench(
          row.name, [&] { x.conv2d(w, {}, row.options).realize(); }, gflop(row, out), "GFLOP/s");
      continue;
    }
    x.requires_grad_(), w.requires_grad_();
    const Tensor ones = Tensor::ones(out.shape()).contiguous().realize();  // the output's gradient, in memory
    const auto both_ways = [&] {
      const Tensor y = x.conv2d(w, {}, row.options);
      const auto grads = gradient((y * ones).sum(), {x, w});
      realize(std::vector<Tensor>{y, grads[0], grads[1]});
    };
    bench(row.name, both_ways, gflop(row, out), "GFLOP/s");
  }
  const auto transposed = [&](const std::string& name, const Shape& image, const Shape& kernel) {
    if (small || !bench.selects(name)) return;
    const Tensor x = values(image), w = values(kernel);
    bench(
        name, [&] { x.conv_transpose2d(w).realize(); },
        2e-9 * double(x.numel()) * double(w.numel()) / double(kernel[0]), "GFLOP/s");
  };
  transposed("conv_transpose_64x100x1_k4", {64, 100, 1, 1}, {100, 512, 4, 4});
  transposed("conv_transpose_64x64x4_k4", {64, 64, 4, 4}, {64, 64, 4, 4});
}

/// What has no large inner loop, or whose order depends on the data.
static void other_operations(Bench& bench) {
  if (bench.device == Peak::Device::Emulated) return;
  const auto operation = [&](const std::string& name, std::vector<Tensor> x, auto f, double amount = 0,
                             const char* unit = "") {
    if (!bench.selects(name)) return;
    realize(x);
    bench(
        name, [&] { f(x).realize(); }, amount, unit);
  };
  const Shape heads{4, 8, 1024, 64};
  operation(
      "attention_4x8x1024x64", {Tensor::randn(heads), Tensor::randn(heads), Tensor::randn(heads)},
      [](const auto& x) { return x[0].scaled_dot_product_attention(x[1], x[2], {.causal = true}); },
      2e-9 * 4 * 8 * 1024 * 1024 * 64, "GFLOP/s");  // two products, of which a half is not needed
  const int64_t million = 1000000;
  operation("sort_1e6", {Tensor::randn({million})}, [](const auto& x) { return x[0].sort().values; });
  operation(
      "cumsum_1e6", {Tensor::randn({million})}, [](const auto& x) { return x[0].cumsum(0); }, 8e-3, "GB/s");
  operation("scatter_1e6", {Tensor::zeros({million}).contiguous(), Tensor::randint(0, million, {million}), Tensor::randn({million})},
            [](const auto& x) { return x[0].scatter_add(0, x[1], x[2]); });
  operation(
      "embedding_8192x256", {Tensor::randn({50257, 256}), Tensor::randint(0, 50257, {8192})},
      [](const auto& x) { return x[0].embedding(x[1]); }, 8e-9 * 8192 * 256, "GB/s");
  if (bench.selects("lstm_1000")) {
    const NoGrad guard;
    const nn::LSTM lstm(40, 64);
    Jit infer([&](const Tensor& x) { return lstm(x).y; });
    const Tensor x = values({1000, 1, 40});
    bench("lstm_1000", [&] { infer(x); });
  }
}

// ---- Networks -------------------------------------------------------------------------------------------------------

struct Mlp {
  nn::Linear a{784, 512}, b{512, 512}, c{512, 10};
  Tensor operator()(const Tensor& x) { return c(b(a(x.flatten(1)).relu()).relu()); }
  TEENY_STATE(a, b, c)
};

struct TinyConv {  // teenygrad's mnist.py
  nn::Conv2d c1{1, 8, 3, {}, {.bias = false}}, c2{8, 16, 3, {}, {.bias = false}};
  nn::Linear head{400, 10, {.bias = false}};
  Tensor operator()(const Tensor& x) { return head(c2(c1(x).relu().max_pool2d()).relu().max_pool2d().flatten(1)); }
  TEENY_STATE(c1, c2, head)
};

struct Beautiful {  // tinygrad's beautiful_mnist.py
  nn::Conv2d c1{1, 32, 5}, c2{32, 32, 5}, c3{32, 64, 3}, c4{64, 64, 3};
  nn::BatchNorm2d b1{32}, b2{64};
  nn::Linear head{576, 10};
  Tensor operator()(Tensor x) {
    x = b1(c2(c1(x).relu()).relu()).max_pool2d();
    x = b2(c4(c3(x).relu()).relu()).max_pool2d();
    return head(x.flatten(1));
  }
  TEENY_STATE(c1, c2, c3, c4, b1, b2, head)
};

struct Block {
  static constexpr int64_t kWidth = 128, kHeads = 4;
  nn::LayerNorm norm1{kWidth}, norm2{kWidth};
  nn::Linear qkv{kWidth, 3 * kWidth}, out{kWidth, kWidth}, up{kWidth, 4 * kWidth}, down{4 * kWidth, kWidth};
  Tensor operator()(const Tensor& x) const {
    const int64_t batch = x.size(0), time = x.size(1);
    const Tensor parts = qkv(norm1(x)).reshape({batch, time, 3, kHeads, -1}).permute({2, 0, 3, 1, 4});
    const Tensor mixed = parts[0].scaled_dot_product_attention(parts[1], parts[2], {.causal = true});
    const Tensor y = x + out(mixed.transpose(1, 2).reshape(x.shape()));
    return y + down(up(norm2(y)).gelu());
  }
  TEENY_STATE(norm1, norm2, qkv, out, up, down)
};

struct Gpt {
  nn::Embedding symbols{65, Block::kWidth}, places{64, Block::kWidth};
  std::vector<Block> blocks = std::vector<Block>(4);
  nn::LayerNorm norm{Block::kWidth};
  nn::Linear head{Block::kWidth, 65, {.bias = false}};
  Tensor operator()(const Tensor& index) {
    Tensor x = symbols(index) + places.weight;
    for (Block& block : blocks) x = block(x);
    return head(norm(x)).reshape({-1, 65});
  }
  TEENY_STATE(symbols, places, blocks, norm, head)
};

template <class Model>
static void network(Bench& bench, const std::string& name, const Tensor& x, const Tensor& y) {
  if (!bench.selects(name + "_train") && !bench.selects(name + "_infer")) return;
  Model model;
  optim::Adam adam(nn::parameters(model), {.lr = 1e-3});
  const Training training;  // for `infer` too, as in the peers: batch norm does the same work everywhere
  Jit train([&](const Tensor& x, const Tensor& y) {
    adam.zero_grad();
    const Tensor loss = model(x).cross_entropy(y).backward();
    adam.step();
    return loss;
  });
  bench(name + "_train", [&] { train(x, y); });
  const NoGrad guard;
  Jit infer([&](const Tensor& x) { return model(x); });
  bench(name + "_infer", [&] { infer(x); });
}

/// A DCGAN of 16 x 16 images: layers whose images are as small as their kernels.
struct Generator {
  nn::ConvTranspose2d c1{100, 512, 4, {}, {.bias = false}},
      c2{512, 256, 4, {.stride = 2, .padding = 1}, {.bias = false}};
  nn::ConvTranspose2d c3{256, 1, 4, {.stride = 2, .padding = 1}};
  nn::BatchNorm2d b1{512}, b2{256};
  Tensor operator()(const Tensor& z) { return c3(b2(c2(b1(c1(z)).relu())).relu()).tanh(); }
  TEENY_STATE(c1, c2, c3, b1, b2)
};
struct Discriminator {
  nn::Conv2d c1{1, 256, 4, {.stride = 2, .padding = 1}}, c2{256, 512, 4, {.stride = 2, .padding = 1}, {.bias = false}},
      c3{512, 1, 4};
  nn::BatchNorm2d b{512};
  Tensor operator()(const Tensor& x) { return c3(b(c2(c1(x).leaky_relu(0.2))).leaky_relu(0.2)).flatten(); }
  TEENY_STATE(c1, c2, c3, b)
};

static void dcgan(Bench& bench) {
  const std::string name = "dcgan_b64_train";
  if (!bench.selects(name)) return;
  Generator generator;
  Discriminator discriminator;
  optim::Adam adam_g(nn::parameters(generator), {.lr = 2e-4}), adam_d(nn::parameters(discriminator), {.lr = 2e-4});
  const Tensor noise = values({64, 100, 1, 1}), real = values({64, 1, 16, 16});
  const Tensor zeros = Tensor::zeros({64}), ones = Tensor::ones({64});
  const Training training;
  Jit step([&](const Tensor& noise, const Tensor& real) {
    const Tensor fake = generator(noise);
    adam_d.zero_grad();
    Tensor told = discriminator(real).binary_cross_entropy_with_logits(ones) +
                  discriminator(fake.detach()).binary_cross_entropy_with_logits(zeros);
    told.backward();
    adam_d.step();
    adam_g.zero_grad();
    const Tensor fooled = discriminator(fake).binary_cross_entropy_with_logits(ones).backward();
    adam_g.step();
    return told.detach() + fooled.detach();
  });
  bench(name, [&] { step(noise, real); });
}

/// The examples' networks in the sizes that were published, with random weights: a token of a text, one picture.
static void published(Bench& bench) {
  const NoGrad guard;
  const auto realize_all = [](const auto& model) {
    std::vector<Tensor> tensors;
    for (const auto& [name, tensor] : nn::state_dict(model)) tensors.push_back(tensor);
    realize(tensors);
  };
  if (bench.selects("gpt2_token") || bench.selects("gpt2_prompt_512")) {
    const examples::Gpt2 model(examples::Gpt2Config{});
    realize_all(model);
    double weights = -double(model.wpe.weight.numel());  // all but the table of positions are read for a token
    for (const auto& [name, x] : nn::state_dict(model)) weights += double(x.numel());
    examples::Gpt2Reader reader(model);
    const std::vector<int64_t> text(512, 11);
    const auto token_behind = [&](const std::string& name, size_t before, int64_t most) {
      if (!bench.selects(name)) return;
      reader.forget(), reader.read({text.data(), before});
      const auto token = [&] {
        if (reader.tokens_kept() == most) reader.forget(), reader.read({text.data(), before});
        reader.read({text.data(), 1});
      };
      bench(name, token, 4e-9 * weights, "GB/s");
    };
    token_behind("gpt2_token", 64, 128);
    token_behind("gpt2_token_512", 512, 640);
    const double head = double(model.wte.weight.numel());  // only the last token has logits
    bench(
        "gpt2_prompt_512", [&] { reader.forget(), reader.read(text); }, 2e-9 * 512 * (weights - head), "GFLOP/s");
  }
  const auto resnet = [&](const std::string& name, const examples::ResNetConfig& config, double gflop) {
    if (!bench.selects(name)) return;
    examples::ResNet model(config);
    realize_all(model);
    Jit infer([&](const Tensor& x) { return model(x); });
    const Tensor x = values({1, 3, 224, 224});
    bench(
        name, [&] { infer(x); }, gflop, "GFLOP/s");
  };
  resnet("resnet18_infer", {}, 3.63);
  resnet("resnet50_infer", {.blocks = {3, 4, 6, 3}, .bottleneck = true}, 8.18);
}

/// Networks of others: each folder has a model.onnx and its inputs, input_0.npy and so on. peers/onnx_models.py makes it.
static void onnx_files(Bench& bench, const std::string& folder) {
  if (folder.empty()) return;
  if (!std::filesystem::is_directory(folder)) fail("--onnx ", folder, ": there is no such folder");
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (std::filesystem::exists(entry.path() / "model.onnx")) paths.push_back(entry.path());
  std::ranges::sort(paths);
  const NoGrad guard;
  for (const auto& path : paths) {
    const std::string name = "onnx_" + path.filename().string();
    if (!bench.selects(name)) continue;
    onnx::Model model(path / "model.onnx");
    std::vector<Tensor> inputs;
    for (int i = 0;; ++i) {
      const auto file = path / ("input_" + std::to_string(i) + ".npy");
      if (!std::filesystem::exists(file)) break;
      inputs.push_back(io::load_npy(file).contiguous().realize());
    }
    bench(name, [&] { realize(model(inputs)); });
  }
}

static void networks(Bench& bench, int64_t batch) {
  const auto classes = [](int64_t count, int64_t size) { return Tensor::randint(0, count, {size}).realize(); };
  network<Mlp>(bench, "mlp_b128", values({batch, 1, 28, 28}), classes(10, batch));
  network<TinyConv>(bench, "tinyconv_b128", values({batch, 1, 28, 28}), classes(10, batch));
  if (bench.device == Peak::Device::Emulated) return;
  network<Beautiful>(bench, "beautiful_b512", values({512, 1, 28, 28}), classes(10, 512));
  dcgan(bench);
  network<Gpt>(bench, "gpt_b32", classes(65, 32 * 64).reshape({32, 64}), classes(65, 32 * 64));
  published(bench);
}

int main(int argc, char** argv) {
  std::string only, json, onnx;
  double seconds = 2;
  bool asked = false;
  return examples::run(
      argc, argv, "Measures teeny on single operations and small networks.",
      {{"--only", &only, "names, or parts of names, with commas: conv,train"},
       {"--seconds", &seconds, "how long each workload is repeated"},
       {"--json", &json, "write the milliseconds to this file, too"},
       {"--onnx", &onnx, "a folder of folders with a model.onnx and input_0.npy, .. each"},
       {"--asked", &asked, "time a row when a line on stdin says `time SECONDS`, go on at `next`: for compare.py"}},
      [&] {
        const Peak peak = measure_peak(std::min(seconds, 0.5));
        if (asked) std::printf("device %s ", peak.device == Peak::Device::Cpu ? "cpu" : "gpu");
        std::printf("%s, at most %.0f GFLOP/s and %.1f GB/s\n", tinyops::device_name().c_str(), peak.gflops,
                    peak.gb_second);
        if (peak.device == Peak::Device::Emulated)
          std::puts("The kernels are emulated: tiny workloads, and times that mean nothing.");
        const Workloads sizes = sizes_for(peak.device);
        Bench bench(peak, only, seconds, asked);
        products(bench, sizes);
        elementwise_and_reductions(bench, sizes);
        convolutions(bench, sizes.batch);
        other_operations(bench);
        networks(bench, sizes.batch);
        onnx_files(bench, onnx);
        bench.finish(peak, json);
      });
}
