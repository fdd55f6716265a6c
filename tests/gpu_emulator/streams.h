#pragma once
// For the emulator alone: what is done in the order of a stream.
#include <functional>
#include <string>

#include "tests/gpu_emulator/cuda_runtime.h"

namespace gpu_emulator {

/// Does `work` when all that the stream was given before is done. At once, and what it returns, where a stream is the
/// order of the calls; else the call returns, and an error shows when somebody waits.
cudaError_t in_order(cudaStream_t stream, std::function<cudaError_t()> work);

/// Why the last launch of this thread failed; on a GPU a launch fails later, and less clearly.
std::string& last_error();

}  // namespace gpu_emulator
