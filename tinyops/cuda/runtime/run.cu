// The two functions of device.h that run kernels. They alone know all of them: a program that needs one kernel links
// without this file.
#include "tinyops/cuda/runtime/graph.h"

namespace tinyops {

void run(const Kernel& kernel) {
  const std::lock_guard lock(cuda::launching());
  std::visit([](const auto& k) { cuda::run_kernel(k); }, kernel);
}

void run_again(std::span<const Kernel* const> kernels, const PlanCache& plan_cache) {
  using namespace cuda;
  const std::lock_guard lock(launching());
  Graph& graph = plan_cache.get<Graph>(kernels);
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

}  // namespace tinyops
