// programs NAME: one graph of the fusion explorer, computed in one go behind a line `== run` on stderr. fusion.py runs
// each with GRAPH=, DEBUG=3 and PROFILE=, with and without FUSE=0, and shows the body of the function beside the
// kernels.
#include <cstdio>
#include <map>
#include <string>

#include "teeny/debug/trace.h"
#include "teeny/schedule/draw.h"
#include "teeny/teeny.h"

using namespace teeny;

/// Elements in memory, so that no kernel makes them.
static Tensor input(const Shape& shape, float scale = 1) {
  std::vector<float> values(size_t(numel(shape)));
  for (size_t i = 0; i < values.size(); ++i) values[i] = scale * (float(i * 7 % 19) / 9 - 1);
  return Tensor::from(values, shape);
}

static void fill(const std::vector<Tensor>& parameters) {
  for (Tensor p : parameters) p.assign(input(p.shape(), 0.1f));
}

static void start() { std::fputs("== run\n", stderr); }

static void gelu() {
  const Tensor x = input({64, 1024});
  start();
  x.gelu().realize();
}

static void softmax() {
  const Tensor x = input({64, 1000});
  start();
  x.softmax().realize();
}

static void layer_norm() {
  nn::LayerNorm norm(512);
  const Tensor x = input({64, 512});
  fill(nn::parameters(norm));
  start();
  norm(x).realize();
}

static void conv_block() {
  nn::Conv2d conv(16, 32, 3, {.padding = 1});
  const Tensor x = input({8, 16, 32, 32});
  fill(nn::parameters(conv));
  start();
  conv(x).relu().max_pool2d().realize();
}

static void attention() {
  const Tensor q = input({4, 64, 32}), k = input({4, 64, 32}), v = input({4, 64, 32});
  start();
  q.scaled_dot_product_attention(k, v, {.causal = true}).realize();
}

static void adam_step() {
  Tensor w = input({256, 784}).requires_grad_();
  optim::Adam adam({w}, {.lr = 1e-3});
  w.set_grad(input({256, 784}));
  start();
  adam.step();
  w.realize();
}

static void training_step() {
  nn::Conv2d c1(1, 16, 5), c2(16, 32, 5);
  nn::Linear head(512, 10);
  std::vector<Tensor> parameters;
  for (const auto& part : {nn::parameters(c1), nn::parameters(c2), nn::parameters(head)})
    parameters.insert(parameters.end(), part.begin(), part.end());
  fill(parameters);
  optim::Adam adam(parameters);
  Tensor x = input({128, 1, 28, 28});
  const Tensor y = Tensor::from(std::vector<int64_t>(128, 7));
  start();
  x = c1(x).relu().max_pool2d();
  x = c2(x).relu().max_pool2d();
  const Tensor loss = head(x.flatten(1)).cross_entropy(y).backward();
  adam.step();
  loss.realize();
}

int main(int argc, char** argv) try {
  const std::map<std::string, void (*)()> programs = {
      {"gelu", gelu},           {"softmax", softmax},     {"layer_norm", layer_norm},      {"conv_block", conv_block},
      {"attention", attention}, {"adam_step", adam_step}, {"training_step", training_step}};
  if (argc != 2 || !programs.contains(argv[1])) fail("programs NAME: see notes/widgets/programs.cpp");
  programs.at(argv[1])();
  end_traces();
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
