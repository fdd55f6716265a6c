// The program of notes/16-a-first-kernel.md: which thread has which element, and what the emulator says of planted
// mistakes.
#include "tests/book/emulated.h"

namespace tinyops::cuda {

// ---- Who has which element ------------------------------------------------------------------------------------------

__global__ void who(Global<float> block, Global<float> warp, Global<float> lane, Global<float> without, int64_t n) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) block[i] = float(blockIdx.x), warp[i] = float(threadIdx.x / 32), lane[i] = float(threadIdx.x % 32);
  else atomicAdd(&without[0], 1.f);
}

/// Runs of elements that one warp has: block, warp, its first element, how many.
void print_grid() {
  constexpr int64_t n = 1000;
  const Floats block(n), warp(n), lane(n), without(1);
  launch("who", who, Grid{unsigned(blocks_for(n, 256)), 256}, block, warp, lane, without, n);
  const std::vector<float> b = block.values(), w = warp.values(), l = lane.values();
  std::cout << "== figure grid\n" << n << " " << without.values()[0] << "\n";
  for (size_t i = 0, next; i < size_t(n); i = next) {
    for (next = i; next < size_t(n) && b[next] == b[i] && w[next] == w[i]; ++next)
      expect(l[next] == float(next - i), "lanes have neighbours");
    std::cout << b[i] << " " << w[i] << " " << i << " " << next - i << "\n";
  }
}

// ---- Mistakes -------------------------------------------------------------------------------------------------------

__global__ void no_end(Global<const float> x, Global<float> y, int64_t) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  y[i] = 2 * x[i];
}
__global__ void misaligned(Global<const float> x, Global<float> y, int64_t) {
  y[threadIdx.x] = vector_at<float4>(x, 4 * int64_t(threadIdx.x) + 1).x;
}
__global__ void early_return(Global<const float>, Global<float>, int64_t) {
  if (threadIdx.x >= 200) return;
  __syncthreads();
}
__global__ void missing_lanes(Global<const float> x, Global<float> y, int64_t) {
  if (threadIdx.x >= 20) return;
  y[threadIdx.x] = __shfl_xor_sync(0xffffffff, x[threadIdx.x], 1);
}

void print_mistake(const char* mistake, decltype(no_end)* kernel, unsigned threads) {
  constexpr int64_t n = 1000;
  const Floats x(n), y(n);
  try {
    launch("twice", kernel, Grid{unsigned(blocks_for(n, threads)), threads}, x, y, n);
    synchronize();
    std::cout << "no error: ";
  } catch (const std::exception& e) {
    const std::string what = e.what();
    std::cout << "| " << mistake << " | `" << what << "` |\n";
  }
}

// ---- A missing barrier ----------------------------------------------------------------------------------------------

template <bool with_barrier>
__global__ void reverse(Global<const float> x, Global<float> y) {
#define y if (with_barrier) __syncthreads(); y  // before the page's store
#include "reverse"
#undef y
}

/// How many of 4096 elements are wrong, launch by launch: each of the three orders of threads, and the first one again.
template <bool with_barrier>
std::string wrong_of_reverse() {
  std::string result;
  std::vector<float> values(4096);
  for (size_t i = 0; i < values.size(); ++i) values[i] = float(i + 1);
  for (int launches = 0; launches < 4; ++launches) {
    const Floats x(values), y(4096);
    launch("reverse", reverse<with_barrier>, Grid{16, 256}, x, y);
    const std::vector<float> got = y.values();
    int wrong = 0;
    for (size_t i = 0; i < got.size(); ++i) wrong += got[i] != values[i / 256 * 256 + 255 - i % 256];
    result += text(launches ? ", " : "", wrong);
  }
  return result;
}

}  // namespace tinyops::cuda

int main() {
  using namespace tinyops::cuda;
  std::cout << "== mistakes\n";
  print_mistake("no `if (i < n)`", no_end, 256);
  print_mistake("four floats at once, from the second element on", misaligned, 32);
  print_mistake("some threads return before `__syncthreads()`", early_return, 256);
  print_mistake("20 of 32 lanes come to a shuffle that names all", missing_lanes, 32);

  std::cout << "== barrier\n" << "wrong with the barrier: " << wrong_of_reverse<true>() << "\n";
  std::cout << "wrong without it: " << wrong_of_reverse<false>() << "\n";

  using teeny::Tensor;
  const Tensor x = Tensor::rand({64, 1024}).realize();
  std::cout << "== gelu\n";
  print_sections(row_kernels_of([&] { return x.gelu(); }).back());
  print_grid();
}
