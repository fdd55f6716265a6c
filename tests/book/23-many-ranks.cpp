// The program of notes/23-many-ranks.md: in which order the kernels and collectives of a step run.
#include <iostream>
#include <map>

#include "teeny/debug/trace.h"
#include "teeny/graph/collective.h"
#include "teeny/schedule/schedule.h"
#include "teeny/teeny.h"

using namespace teeny;
using tinyops::CollectiveKernel;

/// The steps of a training step of three layers, whose gradients are summed a layer at a time, the last one's first: a
/// line for each, with the layer. This program is one rank, for which average_gradients does nothing, so it makes the
/// nodes itself.
void overlap() {
  const nn::Linear layers[] = {{8, 8}, {8, 8}, {8, 8}};
  std::map<const tinyops::Buffer*, int> layer_of;  // of the parameters, and of the sums
  for (int k = 0; k < 3; ++k)
    for (const Tensor& p : nn::parameters(layers[k])) {
      Tensor(p).realize();
      layer_of[p.lazy().node()->buffer.get()] = k;
    }
  Tensor y = Tensor::randn({16, 8}).realize();
  for (const nn::Linear& layer : layers) y = layer(y).tanh();
  y.square().sum().backward();
  const NoGrad guard;
  for (int k = 2; k >= 0; --k) {
    const Tensor &w = layers[k].weight, &b = layers[k].bias, grads = Tensor::cat({w.grad().flatten(), b.grad()}, 0);
    const auto sums = Tensor(collective({}, grads.lazy(), grads.shape())).split({w.numel(), b.numel()}, 0);
    Tensor(w).assign(w - 0.1 * sums[0].view(w.shape()));
    Tensor(b).assign(b - 0.1 * sums[1]);
  }
  int started = 3, finished = 3;
  const ExecutionScope watch({.on_step = [&](const Step& step) {
    if (const auto* k = std::get_if<CollectiveKernel>(&step.kernel)) {
      if (k->phase == CollectiveKernel::Phase::Start) std::cout << "start " << --started << "\n";
      else std::cout << "finish " << --finished << "\n";
      return;
    }
    int updated = -1;
    tinyops::for_each_operand(step.kernel, [&](const tinyops::Operand& x, bool written) {
      if (const auto p = layer_of.find(x.buffer.get()); written && p != layer_of.end()) updated = p->second;
    });
    const bool forward = debug::label(step.kernel).find("Tanh") != std::string::npos;
    if (updated >= 0) std::cout << "update " << updated << "\n";
    else std::cout << (forward ? "forward 0" : text("backward ", started - 1)) << "\n";
  }});
  realize(std::span<const Tensor>());  // what was assigned
}

int main() {
  std::cout << "== figure overlap\n";
  overlap();
}
