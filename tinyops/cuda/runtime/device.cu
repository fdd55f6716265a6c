// The device: which GPU, its memory, and copies between it and the host.
//
//   host memory ──memcpy──► pinned buffer ──copies' stream──► device buffer ──kernels' stream──► where it belongs
//
// A copy up goes through a ring of buffers. The long way, over the bus, is on a stream of its own and overlaps with the
// kernels that are still running; only the last, short hop waits for its turn among them, so that memory that was given
// back, and is still read by a kernel, is not overwritten early.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <optional>

#include "tinyops/base/caching_allocator.h"
#include "tinyops/base/environment.h"
#include "tinyops/cuda/runtime/cuda.h"
#include "tinyops/ranks.h"

namespace tinyops {
namespace cuda {
namespace {

/// The exit status of a program that finds no GPU: EX_UNAVAILABLE of sysexits.h.
constexpr int kNoDevice = 69;

/// How many GPUs the machine has, without asking CUDA, which would then not hear of a choice; 0: unknown.
int gpus_of_machine() {
  int count = 0;
  std::error_code ignored;
  for (const auto& file : std::filesystem::directory_iterator("/dev", ignored)) {
    const std::string name = file.path().filename();  // nvidia0, but not nvidiactl
    count += name.starts_with("nvidia") && name.find_first_not_of("0123456789", 6) == std::string::npos;
  }
  return count;
}

/// One of many processes has one GPU of its machine, and CUDA shows it no other: so nothing has to know of several.
void choose_gpu() {
  const std::optional<std::string> visible = environment::visible_gpus();
  if (environment::launched().processes == 1 || visible == "") return;
  const std::string gpu = gpu_of_rank(ranks::local(), visible.value_or(""), gpus_of_machine());
  if (!gpu.empty()) setenv("CUDA_VISIBLE_DEVICES", gpu.c_str(), 1);
}

Chip find_chip() {
  choose_gpu();
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    std::fprintf(stderr, "teeny: built with BACKEND=cuda, and there is no GPU that it could use: %s\n",
                 error == cudaSuccess ? "none found" : cudaGetErrorString(error));
    std::exit(kNoDevice);
  }
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0), "looking at the GPU");
  int architecture = 10 * properties.major + properties.minor;
#ifdef __CUDA_ARCH_LIST__  // what was compiled for a newer GPU does not run here, and it may be able to do more
  int compiled = 0;
  for (const int one : {__CUDA_ARCH_LIST__})
    if (one / 10 <= architecture) compiled = std::max(compiled, one / 10);
  architecture = compiled;
#endif
  return {properties.name, properties.multiProcessorCount, properties.sharedMemPerBlockOptin, architecture};
}

void* device_allocate(size_t bytes) {
  chip();
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error == cudaSuccess) return memory;
  if (error != cudaErrorMemoryAllocation) check(error, "reserving memory");  // what a kernel did wrong before
  cudaGetLastError();  // no memory is an answer, not a broken device: the next call starts clean
  finish_recording();  // without a graph kernels share more of their temporary memory
  return nullptr;
}
void device_release(void* memory) { cudaFree(memory); }  // waits for the kernels that use it

// ---- Copies ---------------------------------------------------------------------------------------------------------

struct StagingBuffer {
  static constexpr size_t kBytes = size_t(1) << 20;
  void* host = nullptr;
  void* device = nullptr;
  cudaEvent_t arrived = nullptr, free = nullptr;
};

class StagingRing {
 public:
  StagingRing() : stream_(new_stream()) {
    for (StagingBuffer& buffer : buffers_) {
      check(cudaMallocHost(&buffer.host, StagingBuffer::kBytes), "reserving pinned memory");
      check(cudaMalloc(&buffer.device, StagingBuffer::kBytes), "reserving memory for copies");
      buffer.arrived = new_event(), buffer.free = new_event();
    }
    check(cudaMallocHost(&readback_, StagingBuffer::kBytes), "reserving pinned memory");
    came_back_ = new_event();
  }

  void write(void* to, const void* host, size_t bytes) {
    const std::lock_guard lock(writing_);
    for (size_t done = 0; done < bytes; done += StagingBuffer::kBytes) {
      StagingBuffer& buffer = buffers_[next_++ % buffers_.size()];
      const size_t part = std::min(bytes - done, StagingBuffer::kBytes);
      if (cudaEventQuery(buffer.free) != cudaSuccess) wait_for_collectives();
      check(cudaEventSynchronize(buffer.free), "waiting for a page");
      std::memcpy(buffer.host, static_cast<const char*>(host) + done, part);
      check(cudaMemcpyAsync(buffer.device, buffer.host, part, cudaMemcpyHostToDevice, stream_),
            "copying to the device");
      check(cudaEventRecord(buffer.arrived, stream_), "copying to the device");
      check(cudaStreamWaitEvent(stream(), buffer.arrived), "copying to the device");
      check(cudaMemcpyAsync(static_cast<char*>(to) + done, buffer.device, part, cudaMemcpyDeviceToDevice, stream()),
            "copying to the device");
      check(cudaEventRecord(buffer.free, stream()), "copying to the device");
    }
  }

  void read(void* host, const void* from, size_t bytes) {
    const std::lock_guard lock(reading_);
    for (size_t done = 0; done < bytes; done += StagingBuffer::kBytes) {
      const size_t part = std::min(bytes - done, StagingBuffer::kBytes);
      check(cudaMemcpyAsync(readback_, static_cast<const char*>(from) + done, part, cudaMemcpyDeviceToHost, stream()),
            "copying to the host");
      check(cudaEventRecord(came_back_, stream()), "copying to the host");
      check(cudaEventSynchronize(came_back_), "copying to the host");
      std::memcpy(static_cast<char*>(host) + done, readback_, part);
    }
  }

 private:
  cudaStream_t stream_;
  std::mutex writing_, reading_;  // who waits for a loss does not keep a loader from sending the next batch
  std::array<StagingBuffer, 16> buffers_;  // so many copies may be under way, however small
  size_t next_ = 0;
  void* readback_ = nullptr;
  cudaEvent_t came_back_ = nullptr;
};
StagingRing& staging() {
  static auto* all = new StagingRing;
  return *all;
}

// ---- Errors that kernels find ---------------------------------------------------------------------------------------

/// Whose index a kernel looks up, and the shape in which it does.
struct IndexUse {
  IndexOrigin origin;
  Shape shape;
};
std::vector<IndexUse>& index_uses() {
  static auto* all = new std::vector<IndexUse>;  // never destroyed: a kernel may run after main has returned
  return *all;
}
bool may_have_failed = false;  ///< a kernel that can was launched since the last look

}  // namespace

const Chip& chip() {
  static const Chip found = find_chip();
  return found;
}

std::string gpu_of_rank(int local, const std::string& visible, int gpus, bool shared) {
  std::vector<std::string> all;
  for (size_t begin = 0; begin < visible.size();) {
    const size_t end = std::min(visible.find(',', begin), visible.size());
    all.push_back(visible.substr(begin, end - begin)), begin = end + 1;
  }
  if (all.empty())
    for (int i = 0; i < gpus; ++i) all.push_back(std::to_string(i));
  if (all.empty()) return shared ? "" : std::to_string(local);
  if (!shared && size_t(local) >= all.size())
    fail("rank ", ranks::rank(), " is number ", local + 1, " of its machine, where CUDA sees ", all.size(),
         all.size() == 1 ? " GPU" : " GPUs", "; NCCL needs one for each rank");
  return all[size_t(local) % all.size()];
}

cudaStream_t new_stream() {
  chip();
  cudaStream_t result;
  check(cudaStreamCreateWithFlags(&result, cudaStreamNonBlocking), "creating a stream");
  return result;
}

cudaEvent_t new_event() {
  cudaEvent_t result;
  check(cudaEventCreateWithFlags(&result, cudaEventDisableTiming), "creating an event");
  return result;
}

cudaStream_t stream() {
  static const cudaStream_t kernels = new_stream();
  return kernels;
}

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) fail("cuda: ", what, ": ", cudaGetErrorString(error));
}

DeviceError* device_errors() {
  static DeviceError* const place = [] {
    void* memory = nullptr;
    check(cudaMalloc(&memory, sizeof(DeviceError)), "reserving memory");
    check(cudaMemsetAsync(memory, 0, sizeof(DeviceError), stream()), "clearing memory");
    return static_cast<DeviceError*>(memory);
  }();
  may_have_failed = true;
  return place;
}

std::recursive_mutex& launching() {
  static std::recursive_mutex mutex;
  return mutex;
}

int number_of_origin(const IndexOrigin& origin, const Shape& shape) {
  std::vector<IndexUse>& uses = index_uses();
  for (size_t i = 0; i < uses.size(); ++i)
    if (uses[i].origin == origin && uses[i].shape == shape) return int(i) + 1;
  uses.push_back({origin, shape});
  return int(uses.size());
}

void throw_device_error() {
  const std::lock_guard lock(launching());
  if (!may_have_failed) return;
  wait_for_collectives();
  DeviceError found;
  DeviceError* const place = device_errors();
  may_have_failed = false;
  staging().read(&found, place, sizeof(found));
  if (found.kernel == 0) return;
  check(cudaMemsetAsync(place, 0, sizeof(DeviceError), stream()), "clearing memory");
  const auto& [origin, shape] = index_uses()[size_t(found.kernel) - 1];
  fail_outside(origin, found.index, unravel(found.position, shape), shape, found.size);
}

}  // namespace cuda

// ---- The functions of device.h --------------------------------------------------------------------------------------

std::string device_name() {
  const cuda::Chip& chip = cuda::chip();
  return text("cuda (", chip.name, ", ", chip.processors, " multiprocessors, sm_", chip.architecture, ')');
}

// Each block just as large as asked for: an access beyond it shows.
#if defined(TINYOPS_ON_HOST) || defined(TEENY_CHECKED)
void* allocate(size_t bytes) { return cuda::device_allocate(bytes); }
void deallocate(void* memory, size_t) { cuda::device_release(memory); }
#else
/// Never destroyed: buffers held by static objects come back after main has returned.
static CachingAllocator& caching_allocator() {
  static auto* all = new CachingAllocator(cuda::device_allocate, cuda::device_release, 256, SIZE_MAX);
  return *all;
}
/// Requests are served in the order of the stream: memory that a kernel still reads may be handed out again, since
/// whatever uses it next runs after that kernel.
void* allocate(size_t bytes) { return bytes > PTRDIFF_MAX ? nullptr : caching_allocator().take(bytes); }
void deallocate(void* memory, size_t bytes) { if (memory) caching_allocator().give_back(memory, bytes); }
#endif

// A copy runs after the kernels before it: those that are only recorded are started first.
void write(void* to, const void* host, size_t bytes) {
  cuda::finish_recording();
  if (bytes) cuda::staging().write(to, host, bytes);
}
void read(void* host, const void* from, size_t bytes) {
  cuda::finish_recording();
  cuda::wait_for_collectives();
  if (bytes) cuda::staging().read(host, from, bytes);
  cuda::throw_device_error();
}
void synchronize() {
  cuda::finish_recording();
  cuda::wait_for_collectives();
  cuda::check(cudaStreamSynchronize(cuda::stream()), "waiting for the kernels");
  cuda::throw_device_error();
}
const bool kHostMemory = false;

}  // namespace tinyops
