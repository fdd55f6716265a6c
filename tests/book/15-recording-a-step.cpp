// The program of notes/15-recording-a-step.md: a step that is recorded gives the losses of one that is not; which temporaries of a
// step share memory; a program file, and what the verifier says of two.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>

#include "teeny/debug/trace.h"
#include "teeny/jit/blocks.h"
#include "teeny/program/format.h"
#include "teeny/program/touched.h"
#include "teeny/schedule/schedule.h"
#include "teeny/teeny.h"

using namespace teeny;

struct Model {
  nn::Linear in{4, 8}, out{8, 3};
  nn::Dropout drop{0.5};
  Tensor operator()(const Tensor& x) const { return out(drop(in(x).relu())); }
  TEENY_STATE(in, out, drop)
};

double train(bool recorded) {
  Tensor::manual_seed(1);
  const Training mode;
  Model model;
  optim::Adam adam(nn::parameters(model), {.lr = 1e-2});
  data::DataLoader loader(Tensor::randn({80, 4}), Tensor::randint(0, 3, {80}), {.batch_size = 8});
  double total = 0;
  if (recorded) {
#include "step"
    if (step.replays() != 8) std::exit(1);
  } else {
    for (auto [x, y] : loader) {
      adam.zero_grad();
      const Tensor loss = model(x).cross_entropy(y).backward();
      adam.step();
      total += loss.item();
    }
  }
  return total;
}

/// The kernels of two layers of a Transformer; which buffers only they know, and where those would lie.
void temporaries() {
  const NoGrad inference;
  const nn::TransformerEncoderLayer a(64, 4, {.feedforward = 256}), b = a;
  for (const Tensor& p : nn::parameters(a)) Tensor(p).realize();
  const Tensor x = Tensor::randn({4, 64, 64}).realize();
  std::vector<Step> steps;
  std::vector<Tensor> kept;
  {
    Execution watched;
    watched.on_step = [&](const Step& step) { steps.push_back({step.kernel, {}}); };
    const ExecutionScope watch(watched);
    kept.push_back(b(a(x)).realize());
  }
  struct Life {
    int first, last, uses;
    tinyops::BufferRef buffer;
  };
  std::map<const tinyops::Buffer*, size_t> number;
  std::vector<Life> lives;
  for (int k = 0; k < int(steps.size()); ++k)
    tinyops::for_each_operand(steps[size_t(k)].kernel, [&](const tinyops::Operand& operand, bool) {
      const auto [at, fresh] = number.try_emplace(operand.buffer.get(), lives.size());
      if (fresh) lives.push_back({k, k, 0, operand.buffer});
      lives[at->second].last = k, ++lives[at->second].uses;
    });
  std::vector<Temporary> found;
  size_t bytes = 0;
  std::cout << "== figure lives\n";
  for (const Life& life : lives)
    if (life.buffer.use_count() == life.uses + 1) {  // the kernels and this list, nobody else
      found.push_back({life.buffer->bytes(), life.first, life.last});
      bytes += life.buffer->bytes();
    }
  const std::vector<size_t> block = share_blocks(found);
  std::vector<size_t> size(found.size());
  for (size_t t = 0; t < found.size(); ++t) {
    size[block[t]] = std::max(size[block[t]], found[t].bytes);
    std::cout << found[t].bytes << " " << found[t].first << " " << found[t].last << " " << block[t] << "\n";
  }
  size_t together = 0, blocks = 0;
  for (size_t n : size) together += n, blocks += n > 0;
  std::cout << "== blocks\n" << steps.size() << " kernels\n" << found.size() << " temporaries\n" << bytes / 1024 << " KiB\n"
            << blocks << " blocks\n" << together / 1024 << " KiB\n";
}

/// The view of input 1 of the first kernel: what the verifier knows of it.
void print_bounds(program::Contents& contents) {
  auto& kernel = std::get<tinyops::RowKernel>(contents.calls[0].kernels[0]);
  const tinyops::View& view = kernel.inputs[1].operand.view;
  const tinyops::Guard& guard = view.guards[0];
  const auto free = interval(view.address, index_box(kernel.shape)), reached = *program::addresses(view, kernel.shape);
  std::cout << view.address.offset << ' ' << free.low << ' ' << free.high << ' ' << guard.size << ' ' << reached.low << ' '
            << reached.high << ' ' << contents.calls[0].slots[0].elements << "\n";
}

/// The file of the page, and one whose view is wrong.
void program_file() {
  std::cout << "== figure saved\n";
#include "saved"
  std::cout << "== figure file\n";
  std::ifstream file("build/change.teeny", std::ios::binary);
  for (auto byte = std::istreambuf_iterator<char>(file); byte != std::istreambuf_iterator<char>(); ++byte)
    std::cout << int(uint8_t(*byte)) << ' ';
  std::cout << "\n== figure inside\n";
  program::Contents wrong = program::read("build/change.teeny");
  print_bounds(wrong);
  tinyops::View& view = std::get<tinyops::RowKernel>(wrong.calls[0].kernels[0]).inputs[1].operand.view;
  view.address.offset = view.guards[0].position.offset = 1, view.guards[0].size = 5;
  print_bounds(wrong);
  program::write("build/wrong.teeny", wrong);
  std::cout << "== refused\n";
  try {
    Program::load("build/wrong.teeny");
  } catch (const Error& error) {
    std::cout << error.what() << "\n";
  }
}

int main() {
  if (train(true) != train(false)) return 1;
  temporaries();
  program_file();
}
