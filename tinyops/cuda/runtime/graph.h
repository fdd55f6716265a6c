#pragma once
// Starting kernels: one by one, or, for a list that comes again, all of them at once as a CUDA graph.
//
//   first time     run the host's side of every kernel; each launch is recorded              ──► a graph, made of the
//   records then           the same again, and each launch is compared with its record: where an       ──► the graph, a
//   little changed
//                  argument differs (another input, a result's fresh buffer, the random
//                  counter) that node of the graph is updated
//
// A launch costs the GPU about 4 us, a node of a graph about 1 us.
#include <unordered_map>

#include "tinyops/cuda/runtime/cuda.h"

namespace tinyops::cuda {

/// A launch that was recorded: with copies of its arguments.
struct RecordedLaunch {
  const char* name;
  const void* kernel;
  Grid grid;
  std::vector<std::vector<std::byte>> arguments;
  std::vector<void*> pointers;  ///< to them

  explicit RecordedLaunch(const Launch& from) : name(from.name), kernel(from.kernel), grid(from.grid) {
    for (size_t i = 0; i < from.arguments.size(); ++i) {
      const auto* bytes = static_cast<const std::byte*>(from.arguments[i]);
      pointers.push_back(arguments.emplace_back(bytes, bytes + from.sizes[i]).data());
    }
  }
  RecordedLaunch(RecordedLaunch&&) = default;
  RecordedLaunch& operator=(RecordedLaunch&&) = default;
  bool same_shape(const Launch& other) const {
    const auto same = [](const dim3& a, const dim3& b) { return a.x == b.x && a.y == b.y && a.z == b.z; };
    return kernel == other.kernel && same(grid.blocks, other.grid.blocks) && same(grid.threads, other.grid.threads) &&
           grid.shared == other.grid.shared;
  }
  bool same_arguments(const Launch& other) const {
    for (size_t i = 0; i < arguments.size(); ++i)
      if (std::memcmp(arguments[i].data(), other.arguments[i], arguments[i].size())) return false;
    return true;
  }
  cudaKernelNodeParams parameters() {
    return {const_cast<void*>(kernel), grid.blocks, grid.threads, unsigned(grid.shared), pointers.data(), nullptr};
  }
};

/// Memory for the temporary values of kernels that run one after the other, the same at every replay: one takes it
/// where another has left it.
class ScratchBuffers {
 public:
  BufferRef take(size_t bytes) {
    for (const BufferRef& buffer : all_)
      if (buffer.use_count() == 1 && buffer->bytes() == bytes) return buffer;
    return all_.emplace_back(std::make_shared<Buffer>(bytes));
  }
  void clear() { all_.clear(); }

 private:
  std::vector<BufferRef> all_;
};

/// The launches of kernels that come again, and the graph made of them.
class Graph {
 public:
  explicit Graph(std::shared_ptr<ScratchBuffers> scratch = std::make_shared<ScratchBuffers>())
      : scratch_(std::move(scratch)) {}
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() { forget(); }

  void begin() { at_ = 0; }
  void record(const Launch& launch) {
    if (at_ < launches_.size() && launches_[at_].same_shape(launch)) {
      if (!launches_[at_].same_arguments(launch)) launches_[at_] = RecordedLaunch(launch), changed_.push_back(at_);
    } else {  // another kernel than last time: from here on everything is new, and so is the graph
      launches_.erase(launches_.begin() + int64_t(at_), launches_.end());
      launches_.emplace_back(launch);
      is_new_ = true;
    }
    ++at_;
  }
  void run() {
    if (at_ < launches_.size()) launches_.erase(launches_.begin() + int64_t(at_), launches_.end()), is_new_ = true;
    if (launches_.empty()) return;
    if (is_new_) build();
    else
      for (size_t i : changed_) update(i);
    changed_.clear();
    check(cudaGraphLaunch(ready_, stream()), "launching a graph");
  }
  BufferRef scratch(size_t bytes) { return scratch_->take(bytes); }
  /// What was recorded so far, launch by launch; the graph is made anew next time.
  void run_plainly() {
    launches_.erase(launches_.begin() + int64_t(at_), launches_.end());
    for (RecordedLaunch& launch : launches_) start(launch.name, launch.kernel, launch.grid, launch.pointers.data());
    forget();
  }
  void forget() {
    destroy();
    launches_.clear(), changed_.clear(), scratch_->clear();
    is_new_ = true;
  }
  static void start(const char* name, const void* kernel, const Grid& grid, void** arguments) {
    allow_shared(kernel, grid.shared);
    check(cudaLaunchKernel(kernel, grid.blocks, grid.threads, arguments, grid.shared, stream()), name);
  }

 private:
  /// Beyond 48 KiB, fixed and dynamic together, a kernel must be allowed its dynamic shared memory, once.
  static void allow_shared(const void* kernel, size_t bytes) {
    static std::unordered_map<const void*, size_t> allowed;
    if (bytes <= 32 * 1024) return;
    if (size_t& most = allowed[kernel]; most < bytes) {
      check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)),
            "asking for shared memory");
      most = bytes;
    }
  }
  void build() {
    destroy();
    check(cudaGraphCreate(&graph_, 0), "making a graph");
    for (RecordedLaunch& launch : launches_) {  // a chain: each kernel after the one before it
      allow_shared(launch.kernel, launch.grid.shared);
      const cudaKernelNodeParams p = launch.parameters();
      cudaGraphNode_t node;
      check(cudaGraphAddKernelNode(&node, graph_, nodes_.empty() ? nullptr : &nodes_.back(), !nodes_.empty(), &p),
            launch.name);
      nodes_.push_back(node);
    }
    check(cudaGraphInstantiate(&ready_, graph_), "making a graph");
    is_new_ = false;
  }
  void destroy() {
    if (ready_) cudaGraphExecDestroy(ready_);
    if (graph_) cudaGraphDestroy(graph_);
    ready_ = nullptr, graph_ = nullptr;
    nodes_.clear();
  }
  void update(size_t i) {
    const cudaKernelNodeParams p = launches_[i].parameters();
    check(cudaGraphExecKernelNodeSetParams(ready_, nodes_[i], &p), launches_[i].name);
  }

  std::vector<RecordedLaunch> launches_;
  size_t at_ = 0;
  std::vector<size_t> changed_;
  bool is_new_ = true;
  cudaGraph_t graph_ = nullptr;  ///< kept: its nodes name those of `ready_`
  std::vector<cudaGraphNode_t> nodes_;
  cudaGraphExec_t ready_ = nullptr;
  std::shared_ptr<ScratchBuffers> scratch_;
};

/// From now on launches of this thread go into `graph`.
void begin_recording(Graph& graph);
/// False where they have been started meanwhile, by finish_recording.
bool end_recording();

}  // namespace tinyops::cuda
