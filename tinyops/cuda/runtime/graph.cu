// Starting a kernel, or recording its launch.
#include "tinyops/cuda/runtime/graph.h"

namespace tinyops::cuda {
namespace {

/// Where launches are recorded, instead of started. Of this thread: a loader's may need memory meanwhile.
thread_local Graph* recording = nullptr;

}  // namespace

void launch(const Launch& what) {
  if (recording) recording->record(what);
  else Graph::start(what.name, what.kernel, what.grid, what.arguments.data());
}

void begin_recording(Graph& graph) { recording = &graph; }
bool end_recording() { return std::exchange(recording, nullptr); }
bool is_recording() { return recording; }

void finish_recording() {
  if (Graph* const graph = std::exchange(recording, nullptr)) graph->run_plainly();
}

BufferRef scratch_of_recording(size_t bytes) { return recording ? recording->scratch(bytes) : nullptr; }

}  // namespace tinyops::cuda
