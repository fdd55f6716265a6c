// BACKEND=reference: the reference as the device of a binary. Memory is the host's.
#include <cstdlib>
#include <cstring>

#include "tinyops/device.h"

namespace tinyops {

std::string device_name() { return "reference (plain loops)"; }
void* allocate(size_t bytes) { return std::malloc(bytes); }
void deallocate(void* memory, size_t) { std::free(memory); }
void write(void* to, const void* host, size_t bytes) { std::memcpy(to, host, bytes); }
void read(void* host, const void* from, size_t bytes) { std::memcpy(host, from, bytes); }
void run(const Kernel& kernel) { reference::run(kernel); }
void run_again(std::span<const Kernel* const> kernels, const PlanCache&) {
  for (const Kernel* kernel : kernels) run(*kernel);
}
void synchronize() {}
const bool kHostMemory = true;

}  // namespace tinyops
