// The program of notes/06-from-a-graph-to-kernels.md: what a softmax costs node by node, what a kernel may hold, and
// its figures.
#include <algorithm>
#include <cmath>

#include "teeny/debug/trace.h"
#include "teeny/schedule/schedule.h"
#include "tests/book/graph.h"

using namespace teeny;

/// `kernel bytes label` of each.
debug::Counters print_kernels(std::span<const Step> steps) {
  debug::Counters all;
  for (const Step& step : steps) {
    const debug::Counters work = debug::work(step.kernel);
    std::cout << "kernel\t" << work.bytes << "\t" << debug::label(step.kernel) << "\n";
    all += work;
  }
  return all;
}

void softmax() {
  const char* const words[] = {"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"};
  const Tensor x = Tensor::ones({4096, 1024}).contiguous().realize(), y = x.softmax(1);
  const std::vector<LazyBuffer> target{y.lazy()};
  std::cout << "== figure unfused\n";
  print_graph({{"y", y.lazy()}});
  const debug::Counters work = print_kernels(schedule_unfused(target));
  std::cout << "== figure fused\n";
  const std::vector<Step> fused = schedule_fused(target);
  print_kernels(fused);
  std::cout << debug::listing(fused[0].kernel);
  const double walks = double(work.bytes) / (4. * double(x.numel()));
  std::cout << "== unfused\n" << words[work.kernels] << " nodes\n" << words[std::lround(walks)] << " times\n";
}

/// The kernel that updates a parameter in the second step: its inputs by name, and its program. The two that are
/// neither the parameter, its gradient nor a scalar are the moments, in Adam's order.
void adam() {
  Tensor p = Tensor::ones({256, 128}).contiguous();
  p.requires_grad_(true).realize();
  optim::Adam optimizer({p});
  std::string printed;
  for (int step = 0; step < 2; ++step) {
    Tensor gradient = Tensor::rand({256, 128}).realize();
    const tinyops::Buffer *of_p = p.lazy().node()->buffer.get(), *of_gradient = gradient.lazy().node()->buffer.get();
    p.set_grad(std::exchange(gradient, Tensor()));
    const ExecutionScope watched({.on_step = [&](const Step& done) {
      const char* const moments[] = {"m", "v"};
      const char* const scalars[] = {"step size", "scale"};
      std::map<const tinyops::Buffer*, std::string> names;
      size_t moment = 0, scalar = 0;
      printed.clear();
      tinyops::for_each_operand(done.kernel, [&](const tinyops::Operand& x, bool written) {
        const tinyops::Buffer* buffer = x.buffer.get();
        if (written) {
          printed += "writes\t" + (names.contains(buffer) ? names[buffer] : "a new buffer") + "\n";
          return;
        }
        names[buffer] = buffer == of_p          ? "p"
                        : buffer == of_gradient ? "g"
                        : buffer->bytes() <= 8  ? scalars[scalar++]
                                                : moments[moment++];
        printed += "reads\t" + names[buffer] + "\t" + text(buffer->bytes()) + "\n";
      });
      printed += debug::listing(done.kernel);
    }});
    optimizer.step();
    p.realize();
  }
  std::cout << "== figure adam\n" << printed;
}

int main() {
  softmax();
  std::cout << "== limits\n" << tinyops::kMaxInstructions << " instructions, " << tinyops::kMaxInputs << " inputs and "
            << tinyops::kMaxOutputs << " outputs\n";
  std::cout << "== row\n" << tinyops::kMaxRow << "\n";
  adam();
}
