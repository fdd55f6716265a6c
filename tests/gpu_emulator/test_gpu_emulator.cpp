// Whether the GPU played by the host can be trusted: kernels with planted mistakes, each of which must be caught, and
// correct ones that must not be.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <numeric>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include "tinyops/cuda/runtime/cuda.h"

namespace tinyops::cuda {
namespace {

/// Values in the device's memory.
template <class T>
class Memory {
 public:
  explicit Memory(const std::vector<T>& values) : buffer_(values.size() * sizeof(T)), count_(values.size()) {
    write(buffer_.data(), values.data(), values.size() * sizeof(T));
  }
  explicit Memory(size_t count) : buffer_(count * sizeof(T)), count_(count) { buffer_.data(); }
  operator T*() const { return static_cast<T*>(buffer_.data()); }
  std::vector<T> values() const {
    std::vector<T> result(count_);
    read(result.data(), buffer_.data(), count_ * sizeof(T));
    return result;
  }

 private:
  mutable Buffer buffer_;
  size_t count_;
};

std::vector<float> counting(size_t count) {
  std::vector<float> result(count);
  std::iota(result.begin(), result.end(), 0.f);
  return result;
}

/// What the launch throws; empty where it does not.
template <class... P, class... A>
std::string complaint(void (*kernel)(P...), const Grid& grid, const A&... arguments) {
  try {
    launch("planted", kernel, grid, arguments...);
  } catch (const tinyops::Error& e) {
    return e.what();
  }
  return "";
}
bool says(const std::string& complaint, const std::string& what) { return complaint.find(what) != std::string::npos; }

// ---- Accesses -------------------------------------------------------------------------------------------------------

__global__ void read_at(Global<const float> from, Global<float> to, int64_t at) { to[0] = from[at]; }
__global__ void write_at(Global<float> to, int64_t at) { to[at] = 1; }
__global__ void read_four(Global<const float> from, Global<float> to, int64_t at) {
  to[0] = vector_at<float4>(from, at).w;
}
__global__ void read_through(const float* from, Global<float> to) { to[0] = Global<const float>(from)[0]; }

TEST_CASE("gpu_emulator: an access outside its buffer, or misaligned, is an error") {
  const Memory<float> x(counting(8)), neighbour(counting(8)), y(size_t(1));
  CHECK(complaint(read_at, {1, 1}, x, y, 7) == "");
  CHECK(y.values()[0] == 7);
  CHECK(complaint(read_at, {1, 1}, x, y, 8) ==
        "cuda: planted: thread 0,0,0 of block 0,0,0 touches byte 32 of a buffer of 32");
  CHECK(says(complaint(read_at, {1, 1}, x, y, -1), "touches byte -4 of a buffer of 32"));
  for (int64_t far = 4; far < int64_t(1) << 40; far *= 3)
    CHECK(says(complaint(read_at, {1, 1}, x, y, 8 + far), "touches"));
  CHECK(says(complaint(write_at, {1, 1}, y, 1), "touches byte 4 of a buffer of 4"));
  CHECK(complaint(read_four, {1, 1}, x, y, 4) == "");
  CHECK(says(complaint(read_four, {1, 1}, x, y, 2), "16 bytes at byte 8 of a buffer: misaligned"));
  CHECK(says(complaint(read_four, {1, 1}, x, y, 6), "touches"));
  const float host = 3;
  CHECK(says(complaint(read_through, {1, 1}, &host, y), "memory that is not the device's"));
  CHECK(complaint(read_at, {1, 1}, x, y, 3) == "");  // after an error the device goes on
}

__global__ void copy_twelve(Global<const std::array<float, 3>> from, Global<std::array<float, 3>> to) {
  to[threadIdx.x] = from[threadIdx.x];
}
TEST_CASE("gpu_emulator: a struct is aligned to its largest member, not to its size") {
  const Memory<float> x(counting(6)), y(size_t(6));
  using Three = std::array<float, 3>;
  CHECK(complaint(copy_twelve, {1, 2}, as<const Three>(Global<float>(x)), as<Three>(Global<float>(y))) == "");
  CHECK(y.values() == x.values());
}

__global__ void nothing_written(Global<float>) {}
TEST_CASE("gpu_emulator: memory that was never written is NaN") {
  const Memory<float> y(size_t(3));
  CHECK(complaint(nothing_written, {1, 1}, y) == "");
  for (const float v : y.values()) CHECK(v != v);
}

__global__ void dynamic(Global<float> to, int at) {
  float* const row = static_cast<float*>(dynamic_shared());
  to[0] = row[0];
  row[at] = 1;
}
TEST_CASE("gpu_emulator: dynamic shared memory starts as NaNs and has an end") {
  const Memory<float> y(size_t(1));
  CHECK(complaint(dynamic, {2, 1, 12}, y, 2) == "");
  CHECK(y.values()[0] != y.values()[0]);
  CHECK(says(complaint(dynamic, {1, 1, 12}, y, 3), "wrote beyond its 12 bytes of dynamic shared memory"));
  CHECK(complaint(dynamic, {1, 1, 60 * 1024}, y, 60 * 256 - 1) == "");
  CHECK(says(complaint(dynamic, {1, 1, 200 * 1024}, y, 0), "invalid argument"));
  CHECK(says(complaint(dynamic, {1, 1025, 4}, y, 0), "invalid argument"));
  CHECK(says(complaint(dynamic, {0, 1, 4}, y, 0), "invalid argument"));
}

__global__ void beyond_a_row(Global<float> to, int at) {
  __shared__ float row[8];
  row[at + int(threadIdx.x)] = 1;
  to[0] = row[0];
}
TEST_CASE("gpu_emulator: an index outside a static array ends the program") {  // by the compiler's -fsanitize=bounds
  const Memory<float> y(size_t(1));
  const auto ends_well = [&](int at) {
    const pid_t child = fork();
    if (child == 0) {
      if (!std::freopen("/dev/null", "w", stderr)) _exit(0);
      _exit(complaint(beyond_a_row, {1, 4}, y, at) == "" ? 0 : 3);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  };
  CHECK(ends_well(4));
  CHECK_FALSE(ends_well(5));
  CHECK_FALSE(ends_well(-1));
}

#ifdef __clang__
__global__ void leaves_a_number(Global<float> to) {
  __shared__ float place[2];
  to[0] = place[1];
  place[1] = 5;
}
TEST_CASE("gpu_emulator: static shared memory starts as NaNs in every block") {
  const Memory<float> y(size_t(1));
  CHECK(complaint(leaves_a_number, {4, 1}, y) == "");
  CHECK(y.values()[0] != y.values()[0]);
}
#endif

// ---- Barriers -------------------------------------------------------------------------------------------------------

/// Each thread reads what the one `by` places further left there.
template <bool is_right>
__global__ void shift(Global<const float> from, Global<float> to, int by) {
  __shared__ float row[64];
  row[threadIdx.x] = 0;
  __syncthreads();
  row[threadIdx.x] = from[threadIdx.x];
  if (is_right) __syncthreads();
  to[blockIdx.x * blockDim.x + threadIdx.x] = row[(threadIdx.x + unsigned(by)) % 64];
}

/// How many of 24 blocks are right.
int blocks_that_shift(void (*kernel)(Global<const float>, Global<float>, int), int by) {
  const Memory<float> x(counting(64)), y(size_t(24 * 64));
  launch("shift", kernel, {24, 64}, x, y, by);
  const std::vector<float> got = y.values();
  int right = 0;
  for (size_t block = 0; block < 24; ++block) {
    bool same = true;
    for (size_t t = 0; t < 64; ++t) same &= got[64 * block + t] == float((t + size_t(by)) % 64);
    right += same;
  }
  return right;
}
TEST_CASE("gpu_emulator: a missing barrier gives wrong values in some of the orders") {
  for (const int by : {1, 2, 32, 63}) {
    CHECK(blocks_that_shift(shift<true>, by) == 24);
    CHECK(blocks_that_shift(shift<false>, by) < 24);
  }
}

/// The sum of 64 values, twice, through one pair of shared values: the second must wait until the first was read.
template <bool is_right>
__global__ void two_sums(Global<const float> from, Global<float> to) {
  __shared__ float partial[2];
  for (int round = 0; round < 2; ++round) {
    float sum = from[threadIdx.x] * float(round + 1);
    for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(0xffffffff, sum, by);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    __syncthreads();
    to[(blockIdx.x * 2 + unsigned(round)) * 64 + threadIdx.x] = partial[0] + partial[1];
    if (is_right) __syncthreads();
  }
}
TEST_CASE("gpu_emulator: a warp that runs ahead shows a missing barrier before shared memory is used again") {
  const Memory<float> x(counting(64)), y(size_t(24 * 128));
  const auto wrong = [&](auto* kernel) {
    launch("two sums", kernel, {24, 64}, x, y);
    const std::vector<float> got = y.values();
    int result = 0;
    for (size_t i = 0; i < got.size(); ++i) result += got[i] != (i / 64 % 2 ? 4032 : 2016);
    return result;
  };
  CHECK(wrong(two_sums<true>) == 0);
  CHECK(wrong(two_sums<false>) > 0);
}

/// A block that needs what another one wrote.
__global__ void block_after_block(Global<float> to) {
  to[blockIdx.x] = blockIdx.x == 0 ? 1 : to[blockIdx.x - 1] + 1;
}
TEST_CASE("gpu_emulator: blocks come in several orders") {
  int right = 0;
  for (int i = 0; i < 12; ++i) {
    const Memory<float> y(size_t(5));
    launch("blocks", block_after_block, {5, 1}, y);
    right += y.values() == std::vector<float>{1, 2, 3, 4, 5};
  }
  CHECK(0 < right);
  CHECK(right < 12);
}

__global__ void barrier_for_some(int threads) {
  if (int(threadIdx.x) < threads) __syncthreads();
}
__global__ void barrier_for_a_lane(int which) {
  if (int(threadIdx.x) == which) __syncthreads();
  else __shfl_sync(~0u, 1, 0);
  __syncthreads();
}
__global__ void shuffle_for_some(int lanes) {
  if (int(threadIdx.x) < lanes) __shfl_xor_sync(0xffffffff, 1.f, 1);
  else __syncthreads();
}
__global__ void shuffle_after_return() {
  if (threadIdx.x == 7) return;
  __shfl_xor_sync(0xffffffff, 1.f, 1);
}
__global__ void shuffle_without_oneself() { __shfl_sync(0x7fffffff, 1.f, 0); }
__global__ void two_kinds_of_shuffle() {
  if (threadIdx.x < 5) __shfl_sync(0xffffffff, 1.f, 0);
  else __shfl_sync(0xffffffff, 1., 0);
}
__global__ void odd_width() { __shfl_sync(0xffffffff, 1.f, 0, 12); }

TEST_CASE("gpu_emulator: waiting for threads that do not come is an error") {
  CHECK(complaint(barrier_for_some, {3, 96}, 96) == "");
  CHECK(complaint(barrier_for_some, {3, 96}, 0) == "");
  CHECK(says(complaint(barrier_for_some, {3, 96}, 95), "1 threads of a block returned while 95 wait at a barrier"));
  CHECK(says(complaint(barrier_for_some, {1, 96}, 32), "64 threads of a block returned while 32 wait at a barrier"));
  CHECK(says(complaint(barrier_for_a_lane, {1, 32}, 3), "waits for lanes that never reach its shuffle"));
  CHECK(complaint(barrier_for_a_lane, {1, 32}, 99) == "");
  CHECK(says(complaint(shuffle_for_some, {1, 64}, 20), "waits for lanes that never reach its shuffle"));
  CHECK(complaint(shuffle_for_some, {1, 20}, 20) == "");  // lanes that do not exist are not waited for
  CHECK(says(complaint(shuffle_after_return, {1, 32}), "waits at a shuffle for a lane that has returned"));
  CHECK(says(complaint(shuffle_without_oneself, {1, 32}), "thread 31,0,0 of block 0,0,0 is not in the mask"));
  CHECK(says(complaint(two_kinds_of_shuffle, {1, 32}), "another kind of shuffle"));
  CHECK(says(complaint(odd_width, {1, 32}), "a power of two"));
  CHECK(complaint(barrier_for_some, {3, 96}, 96) == "");
}

__global__ void vote(Global<int> to) {
  const int odd = threadIdx.x % 2;
  const int counted = __syncthreads_count(odd), any = __syncthreads_or(threadIdx.x == 70), all = __syncthreads_and(odd);
  to[threadIdx.x] = 1000 * counted + 10 * any + all;
}
TEST_CASE("gpu_emulator: barriers that count") {
  const Memory<int> y(size_t(96));
  launch("vote", vote, {1, 96}, y);
  CHECK(y.values() == std::vector<int>(96, 48010));
}

// ---- Shuffles -------------------------------------------------------------------------------------------------------

enum class Kind { From, Xor, Down, Up };
template <Kind kind, class T>
__global__ void shuffled(Global<T> to, int by, int width) {
  const T mine = T(100 + threadIdx.x);
  to[threadIdx.x] = kind == Kind::From  ? __shfl_sync(0xffffffff, mine, by, width)
                    : kind == Kind::Xor ? __shfl_xor_sync(0xffffffff, mine, by, width)
                    : kind == Kind::Down ? __shfl_down_sync(0xffffffff, mine, unsigned(by), width)
                                         : __shfl_up_sync(0xffffffff, mine, unsigned(by), width);
}
/// The lane that is read, in the words of the manual.
int source(Kind kind, int lane, int by, int width) {
  const int first = lane / width * width, last = first + width - 1;
  switch (kind) {
    case Kind::From: return first + ((by % width) + width) % width;
    case Kind::Xor: return (lane ^ by) > last ? lane : lane ^ by;
    case Kind::Down: return lane + by > last ? lane : lane + by;
    default: return lane - by < first ? lane : lane - by;
  }
}
template <Kind kind, class T>
void check_shuffles() {
  const Memory<T> y(size_t(64));
  for (const int width : {1, 2, 4, 8, 16, 32})
    for (const int by : {0, 1, 2, 3, 5, 8, 16, 31, -1}) {
      if (by < 0 && kind != Kind::From) continue;
      launch("shuffled", shuffled<kind, T>, {1, 64}, y, by, width);
      const std::vector<T> got = y.values();
      for (int t = 0; t < 64; ++t)
        CHECK_MESSAGE(got[size_t(t)] == T(100 + t / 32 * 32 + source(kind, t % 32, by, width)),
                      tinyops::text(int(kind), ", thread ", t, ", by ", by, ", width ", width));
    }
}
TEST_CASE("gpu_emulator: shuffles of all kinds and widths") {
  check_shuffles<Kind::From, int>();
  check_shuffles<Kind::Xor, float>();
  check_shuffles<Kind::Down, double>();
  check_shuffles<Kind::Up, int64_t>();
}

/// The halves of a warp go different ways, and shuffle a different number of times.
__global__ void halves(Global<int> to) {
  const bool low = threadIdx.x % 32 < 16;
  const unsigned mask = low ? 0x0000ffff : 0xffff0000;
  int value = int(threadIdx.x);
  for (int by = low ? 1 : 8; by > 0 && by < 16; by = low ? 2 * by : 0)
    value = std::max(value, __shfl_xor_sync(mask, value, by));
  __syncwarp();
  const unsigned odd = __ballot_sync(0xffffffff, value % 2), none = __ballot_sync(mask, 0);
  to[threadIdx.x] = value + (odd == 0xaaaaffff ? 1000 : 0) + (none ? 5000 : 0) +
                    (__any_sync(mask, low) == low && __all_sync(mask, !low) == !low ? 100 : 0);
}
TEST_CASE("gpu_emulator: parts of a warp meet by themselves, and votes") {
  const Memory<int> y(size_t(32));
  launch("halves", halves, {1, 32}, y);
  const std::vector<int> got = y.values();
  for (int t = 0; t < 32; ++t) CHECK(got[size_t(t)] == 1100 + (t < 16 ? 15 : t | 8));
}

// ---- The rest -------------------------------------------------------------------------------------------------------

__global__ void add_up(Global<int> sum, Global<unsigned> most, Global<int> first) {
  atomicAdd(&sum[0], int(threadIdx.x));
  atomicMax(&most[0], threadIdx.x);
  atomicMin(&most[1], threadIdx.x + 3);
  if (atomicCAS(&first[0], -1, int(threadIdx.x)) == -1) atomicAdd(&first[1], 1);
}
TEST_CASE("gpu_emulator: atomics") {
  const Memory<int> sum(std::vector<int>{0}), first(std::vector<int>{-1, 0});
  const Memory<unsigned> most(std::vector<unsigned>{0, 99});
  launch("add up", add_up, {3, 40}, sum, most, first);
  CHECK(sum.values()[0] == 3 * 780);
  CHECK(most.values() == std::vector<unsigned>{39, 3});
  CHECK(first.values()[1] == 1);
}

__global__ void where_am_i(Global<int> to) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned at = block * blockDim.x * blockDim.y * blockDim.z + thread;
  __syncthreads();
  to[at] = int(at);
}
TEST_CASE("gpu_emulator: grids and blocks of three axes") {
  const Memory<int> y(size_t(2 * 3 * 4 * 5 * 3 * 7));
  launch("where", where_am_i, {dim3(2, 3, 4), dim3(5, 3, 7)}, y);
  const std::vector<int> got = y.values();
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == int(i));
}

__global__ void add_one(Global<float> x, float what) { x[threadIdx.x] += what; }
TEST_CASE("gpu_emulator: a graph keeps its arguments until it is given others") {
  const Memory<float> x(std::vector<float>{0}), y(std::vector<float>{0});
  launch("add", add_one, {1, 1}, x, 0.f);  // makes the kernel known
  Global<float> to(x);
  float what = 1;
  std::array<void*, 2> arguments{&to, &what};
  const cudaKernelNodeParams parameters{reinterpret_cast<void*>(add_one), 1, 1, 0, arguments.data(), nullptr};
  cudaGraph_t graph;
  cudaGraphNode_t first, second;
  cudaGraphExec_t ready;
  check(cudaGraphCreate(&graph, 0), "creating");
  check(cudaGraphAddKernelNode(&first, graph, nullptr, 0, &parameters), "adding");
  what = 10;
  check(cudaGraphAddKernelNode(&second, graph, &first, 1, &parameters), "adding");
  check(cudaGraphInstantiate(&ready, graph), "making");
  check(cudaGraphDestroy(graph), "destroying");
  what = 1000;
  check(cudaGraphLaunch(ready, stream()), "launching");
  CHECK(x.values()[0] == 11);
  to = Global<float>(y);
  check(cudaGraphExecKernelNodeSetParams(ready, second, &parameters), "telling");
  check(cudaGraphLaunch(ready, stream()), "launching");
  CHECK(x.values()[0] == 12);
  CHECK(y.values()[0] == 1000);
  check(cudaGraphExecDestroy(ready), "destroying");
}

TEST_CASE("gpu_emulator: threads of the host start kernels one after the other") {
  std::vector<std::string> complaints(4);
  std::vector<int> right(4, 0);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < complaints.size(); ++i)
    threads.emplace_back([&, i] {
      const Memory<float> x(counting(64)), y(size_t(64));
      for (int round = 0; round < 20; ++round) {
        if (complaint(shift<true>, {1, 64}, x, y, int(i)) == "" && y.values()[3] == float(3 + i)) ++right[i];
        complaints[i] = complaint(read_at, {1, 1}, x, y, 64 + int64_t(i));
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < complaints.size(); ++i) {
    CHECK(right[i] == 20);
    CHECK(says(complaints[i], "touches byte " + std::to_string(256 + 4 * i) + " of a buffer of 256"));
  }
}

// ---- Sectors --------------------------------------------------------------------------------------------------------

template <class V>
__global__ void strided(Global<const float> from, Global<float> to, int stride) {
  const V v = vector_at<V>(from, int64_t(threadIdx.x) * stride);
  if (std::bit_cast<std::array<float, sizeof(V) / 4>>(v)[0] < 0) to[0] = 1;
}
__global__ void one_for_all(Global<const float> from, Global<float> to) {
  if (from[5] < 0) to[0] = 1;
}
__global__ void in_a_loop(Global<const float> from, Global<float> to) {
  float sum = 0;
  for (unsigned i = threadIdx.x; i < 256; i += 64) sum += from[i];
  to[threadIdx.x] = sum;
}
template <class... A>
gpu_emulator::Traffic traffic_of(A&&... arguments) {
  gpu_emulator::traffic = {.counting = true};
  launch("counted", arguments...);
  return std::exchange(gpu_emulator::traffic, {});
}
TEST_CASE("gpu_emulator: the sectors that a warp touches") {
  const Memory<float> x(counting(1024)), y(size_t(64));
  const auto sectors = [&](auto* kernel, int stride) {
    const gpu_emulator::Traffic t = traffic_of(kernel, Grid{1, 32}, x, y, stride);
    CHECK(t.requests == 1);
    return t.sectors;
  };
  CHECK(sectors(strided<float>, 1) == 4);
  CHECK(sectors(strided<float>, 2) == 8);
  CHECK(sectors(strided<float>, 32) == 32);
  CHECK(sectors(strided<float>, 0) == 1);
  CHECK(sectors(strided<float4>, 4) == 16);
  CHECK(traffic_of(strided<float4>, Grid{1, 32}, x, y, 4).bytes == 512);
  CHECK(traffic_of(one_for_all, Grid{1, 32}, x, y).sectors == 1);
  CHECK(traffic_of(one_for_all, Grid{3, 64}, x, y).sectors == 6);
  const gpu_emulator::Traffic loop = traffic_of(in_a_loop, Grid{1, 64}, x, y);
  CHECK(loop.requests == 2 * (4 + 1));
  CHECK(loop.sectors == 4 * 2 * (4 + 1));
  CHECK(loop.bytes == 4 * 256 + 4 * 64);
}

// ---- Banks of shared memory -----------------------------------------------------------------------------------------

template <class T, int width>
__global__ void columns_of_a_tile(Global<T> to, int column) {
  __shared__ Shared<T[32][width]> tile;
  const unsigned lane = threadIdx.x;
  tile[lane][column] = T(lane);
  __syncwarp();
  to[lane] = tile[31 - lane][column];
}
template <class T>
__global__ void all_read_one(Global<T> to) {
  __shared__ Shared<T[32]> row;
  row[threadIdx.x] = T(threadIdx.x);
  __syncwarp();
  to[threadIdx.x] = row[7];
}
__global__ void shared_before_it_is_written(Global<float> to) {
  __shared__ Shared<float[32]> row;
  to[blockIdx.x] = row[3];
  row[3] = 1;
}
template <class T, int width>
int64_t turns_of_a_column() {
  const Memory<T> y(size_t(32));
  const gpu_emulator::Traffic t = traffic_of(columns_of_a_tile<T, width>, Grid{1, 32}, y, 2);
  CHECK(t.shared_requests == 2);
  CHECK(t.shared_bytes == 2 * 32 * int64_t(sizeof(T)));
  CHECK(y.values()[5] == T(26));
  return t.shared_turns;
}
TEST_CASE("gpu_emulator: the turns that the banks of shared memory take") {
  CHECK(turns_of_a_column<float, 32>() == 2 * 32);
  CHECK(turns_of_a_column<float, 33>() == 2);
  CHECK(turns_of_a_column<float, 34>() == 2 * 2);
  CHECK(turns_of_a_column<float, 36>() == 2 * 4);
  CHECK(turns_of_a_column<double, 33>() == 2 * 2);  // 64 words, two of each bank
  CHECK(turns_of_a_column<uint16_t, 33>() <= 2 * 2);
  const Memory<float> y(size_t(32));
  CHECK(traffic_of(all_read_one<float>, Grid{1, 32}, y).shared_turns == 2);  // one word for all
  CHECK(y.values() == std::vector<float>(32, 7.f));
}
TEST_CASE("gpu_emulator: a Shared array starts as NaNs in every block and has an end") {
  const Memory<float> y(size_t(32)), two(size_t(2));
  CHECK(complaint(shared_before_it_is_written, {2, 1}, two) == "");
  for (const float v : two.values()) CHECK(v != v);
  CHECK(says(complaint(columns_of_a_tile<float, 33>, {1, 32}, y, 33), "touches element 33 of 33 in shared memory"));
  CHECK(says(complaint(columns_of_a_tile<float, 33>, {1, 33}, y, 0), "touches element 32 of 32 in shared memory"));
  CHECK(complaint(columns_of_a_tile<float, 33>, {1, 32}, y, 32) == "");
}

}  // namespace
}  // namespace tinyops::cuda
