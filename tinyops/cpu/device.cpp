// The entry of the backend: which kind of kernel is it? When `run` returns, the work is done.
#include <new>

#include "tinyops/cpu/contract/contract.h"
#include "tinyops/cpu/index/index.h"
#include "tinyops/cpu/row/row.h"
#include "tinyops/device.h"
#include "tinyops/ranks.h"

namespace tinyops {

void cpu::run_kernel(const CollectiveKernel& k) { ranks::run(k, k.in.buffer->data(), k.out.buffer->data()); }

void run(const Kernel& kernel) {
  std::visit([](const auto& k) { cpu::run_kernel(k); }, kernel);
}

void run_again(std::span<const Kernel* const> kernels, const PlanCache&) {
  for (const Kernel* kernel : kernels) try {
      run(*kernel);
    } catch (const std::bad_alloc&) { run(*kernel); }  // half a replayed call would be worse than one that waits
}

}  // namespace tinyops
