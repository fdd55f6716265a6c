// The program of notes/20-streams-and-graphs.md: what a graph notes when a training step is replayed. It has a copy of
// graph.cu of its own, which prints that.
#include <functional>

#include "tests/book/emulated.h"

#define private public  // what Graph has noted
#include "tinyops/cuda/runtime/graph.h"
#undef private
#define end_recording end_noted
#include "tinyops/cuda/runtime/graph.cu"
#undef end_recording

/// All batches and losses stay, so that no address comes again by chance.
struct Batch {
  teeny::Tensor x = teeny::Tensor::rand({16, 64}).realize(), y = teeny::Tensor::randint(0, 10, {16}).realize();
};
static std::vector<Batch> batches;

namespace tinyops::cuda {

bool holds(const RecordedLaunch& launch, const teeny::Tensor& x) {
  const void* const address = x.lazy().node()->buffer->data();
  return std::ranges::any_of(launch.arguments, [&](const std::vector<std::byte>& bytes) {
    return memmem(bytes.data(), bytes.size(), &address, sizeof(address)) != nullptr;
  });
}

/// Called by run_again when all launches of a step are recorded, and before they are started. Prints what is done with
/// each node: it stays (-), or it is updated, since another x or y is read, for the random counter (c), or for memory
/// that is new at each replay (n): the loss, and the gradients.
bool end_recording() {
  const Graph& graph = *recording;
  std::cout << (graph.is_new_ ? "new" : "again");
  for (size_t i = 0; i < graph.launches_.size(); ++i) {
    const RecordedLaunch& l = graph.launches_[i];
    const auto of_batch = [&](teeny::Tensor Batch::*part) {
      return std::ranges::any_of(batches, [&](const Batch& b) { return holds(l, b.*part); });
    };
    const bool stays = graph.is_new_ || std::ranges::find(graph.changed_, i) == graph.changed_.end();
    const std::string name = l.name;
    const bool x = of_batch(&Batch::x), y = of_batch(&Batch::y);
    std::cout << " " << (stays ? '-' : name == "random" ? 'c' : x ? 'x' : y ? 'y' : 'n');
  }
  std::cout << "\n";
  return end_noted();
}

}  // namespace tinyops::cuda

int main() {
  using namespace teeny;
  Tensor::manual_seed(1);
  const Training mode;
  const nn::Linear in(64, 32), out(32, 10);
  const nn::Dropout drop(0.5);
  optim::SGD sgd({in.weight, in.bias, out.weight, out.bias}, {.lr = 0.1});
  Jit step([&](const Tensor& x, const Tensor& y) {
    sgd.zero_grad();
    const Tensor loss = out(drop(in(x).relu())).cross_entropy(y).backward();
    sgd.step();
    return loss;
  });
  batches.resize(5);
  std::vector<Tensor> losses;
  std::cout << "== figure graph\n";
  for (const Batch& batch : batches) losses.push_back(step(batch.x, batch.y));
}
