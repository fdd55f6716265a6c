// The two functions of device.h that run kernels. They alone know all of them: a program that needs one kernel links
// without this file.
#include <algorithm>
#include <deque>

#include "tinyops/cuda/runtime/graph.h"

namespace tinyops {
namespace cuda {
namespace {

/// A list of kernels as graphs: one for each stretch between two collectives, which the host and other ranks have a
/// part in.
struct Stretches {
  explicit Stretches(std::span<const Kernel* const>) {}
  Graph& at(size_t i) {
    while (i >= graphs.size()) graphs.emplace_back(scratch);
    return graphs[i];
  }
  std::shared_ptr<ScratchBuffers> scratch = std::make_shared<ScratchBuffers>();
  std::deque<Graph> graphs;
};

bool is_collective(const Kernel* kernel) { return std::holds_alternative<CollectiveKernel>(*kernel); }

void run_as_graph(std::span<const Kernel* const> kernels, Graph& graph) {
  graph.begin();
  begin_recording(graph);
  try {
    for (const Kernel* kernel : kernels) run(*kernel);
  } catch (...) {
    finish_recording();  // what comes before the one that failed
    throw;
  }
  if (end_recording()) graph.run();
}

}  // namespace
}  // namespace cuda

void run(const Kernel& kernel) {
  const std::lock_guard lock(cuda::launching());
  std::visit([](const auto& k) { cuda::run_kernel(k); }, kernel);
}

void run_again(std::span<const Kernel* const> kernels, const PlanCache& plan_cache) {
  using namespace cuda;
  const std::lock_guard lock(launching());
  Stretches& stretches = plan_cache.get<Stretches>(kernels);
  size_t stretch = 0;
  for (auto k = kernels.begin(); k != kernels.end();) {
    const auto collective = std::find_if(k, kernels.end(), is_collective);
    if (collective != k) run_as_graph({k, collective}, stretches.at(stretch++));
    k = std::find_if_not(collective, kernels.end(), is_collective);
    for (auto c = collective; c != k; ++c) run(**c);
  }
}

}  // namespace tinyops
