// The program of notes/17-what-a-warp-asks-of-memory.md: the sectors and banks that kernels touch, as the emulated GPU
// counts them.
#include <iomanip>
#include <set>

#include "tests/book/emulated.h"

namespace tinyops::cuda {

using gpu_emulator::Traffic;
using teeny::Tensor;

Tensor floats(const Shape& shape) { return Tensor::rand(shape).realize(); }

/// The sectors in which rows of `count` elements lie, `step` apart, the first `row` behind the one before, from `first`
/// on.
int64_t sectors_of(int64_t rows, int64_t row, int64_t first, int64_t step, int64_t count) {
  std::set<int64_t> sectors;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < count; ++i) sectors.insert((r * row + first + i * step) / 8);
  return int64_t(sectors.size());
}

// ---- Accesses of one warp -------------------------------------------------------------------------------------------

__global__ void one_warp(Global<const float> x, Global<float> where, int64_t step, int64_t first) {
  const int64_t i = first + threadIdx.x * step;
  if (x[i] >= 0) where[threadIdx.x] = float(i);
}
/// What a warp reads, the sectors of that, and where they lie.
void print_sectors(const char* what, int64_t step, int64_t first) {
  const Floats x(8192), where(32);
  const Traffic t = traffic_of([&] { launch("one_warp", one_warp, Grid{1, 32}, x, where, step, first); });
  std::cout << what << "\t" << t.sectors - 4 << "\t";  // without those of `where`
  for (const float i : where.values()) std::cout << int(i) << " ";
  std::cout << "\n";
}

/// A column of a tile: its turns, and the banks of the tile's words.
template <int width>
__global__ void column(Global<float> y) {
  __shared__ Shared<float[32][width]> tile;
  tile[threadIdx.x][0] = y[threadIdx.x];
}
template <int width>
void print_banks() {
  const Floats y(32);
  const Traffic t = traffic_of([&] { launch("column", column<width>, Grid{1, 32}, y); });
  std::cout << width << " " << t.shared_turns << "\n";
}

// ---- One read a thread ----------------------------------------------------------------------------------------------

template <class V>
__global__ void read(Global<const float> x, Global<float> y, int64_t step, int64_t first) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const V v = vector_at<V>(x, first + i * step);
  if (reinterpret_cast<const float&>(v) < 0) y[0] = 1;
}
__global__ void read_four(Global<const float> x, Global<float> y) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  float sum = 0;
  for (int k = 0; k < 4; ++k) sum += x[4 * i + k];
  if (sum < 0) y[0] = 1;
}
template <class... P, class... A>
std::string reads(void (*kernel)(P...), unsigned threads, A... arguments) {
  static const Floats x(32 * 16384, 1), y(1);
  const Traffic t = traffic_of([&] { launch("read", kernel, Grid{threads / 256, 256}, x, y, arguments...); });
  return text(t.requests, " | ", t.sectors / t.requests, " | ", 100. * double(t.bytes) / double(32 * t.sectors), " %");
}

// ---- Turning --------------------------------------------------------------------------------------------------------

__global__ void turn_straight(Global<const float> from, Global<float> to, int64_t n) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n * n) to[i % n * n + i / n] = from[i];
}

void print_turns() {
  std::cout << "== turns\n";
  const Floats x(65536), y(65536);
  const Traffic straight = traffic_of([&] { launch("turn", turn_straight, grid_for(65536, 256), x, y, int64_t(256)); });
  std::cout << "| straight, reads along rows | " << straight.requests << " | " << straight.sectors << " |\n";
  const auto turned = [](int64_t n) {
    const Tensor m = floats({n, n});
    return traffic_of([&] { m.transpose(0, 1).contiguous().realize(); });
  };
  const Traffic whole = turned(256), other = turned(250);
  expect(whole.sectors == 2 * 65536 / 8, "every sector once");
  std::cout << "| through tiles | " << whole.requests << " | " << whole.sectors << ", the least there is |\n"
            << "| through tiles, 250 x 250: rows begin inside a sector | " << other.requests << " | " << other.sectors
            << ", and " << 2 * ((250 * 250 + 7) / 8) << " would be the least |\n";
}

}  // namespace tinyops::cuda

int main() {
  using namespace tinyops::cuda;
  Tensor::manual_seed(1);
  std::cout << "== reads\n"
            << "| `x[i]` | " << reads(read<float>, 16384, 1, 0) << " |\n"
            << "| `x[i + 1]` | " << reads(read<float>, 16384, 1, 1) << " |\n"
            << "| `x[2 * i]` | " << reads(read<float>, 16384, 2, 0) << " |\n"
            << "| `x[8 * i]` | " << reads(read<float>, 16384, 8, 0) << " |\n"
            << "| thread i has 4i to 4i + 3, one by one | " << reads(read_four, 4096)
            << " at each, all of it after four |\n"
            << "| thread i has 4i to 4i + 3, as one `float4` | " << reads(read<float4>, 4096, 4, 0) << " |\n";

  std::cout << "== shapes\n";
  const Tensor x = floats({256, 256}), y = floats({256, 256}), wide = floats({256, 257}), wider = floats({256, 512});
  const auto row = [](const char* what, const Traffic& t, int64_t least) {
    std::cout << "| " << what << " | " << t.sectors << " | " << least << " |\n";
  };
  const auto traffic = [](auto f) { return traffic_of([&] { f().realize(); }); };
  const int64_t matrix = sectors_of(256, 256, 0, 1, 256);
  row("`x + y`", traffic([&] { return x + y; }), 3 * matrix);
  row("`x + y`, y without its first column of 257", traffic([&] { return x + wide.shrink({0, 1}, {256, 257}); }),
      2 * matrix + sectors_of(256, 257, 1, 1, 256));
  row("`2 * x`, x every second column of 512", traffic([&] {
        return 2 * wider[{teeny::slice(), teeny::slice({}, {}, 2)}];
      }),
      matrix + sectors_of(256, 512, 0, 2, 256));
  const Tensor images = floats({4, 16, 24, 24});
  row("max pooling, 2 x 2, of (4, 16, 24, 24)", traffic([&] { return images.max_pool2d(); }),
      images.numel() / 8 * 5 / 4);

  print_turns();

  std::cout << "== gather\n";
  for (const int64_t width : {1, 8, 64}) {
    const Tensor table = floats({500, width}), index = Tensor::randint(0, 500, {200}).realize();
    const Traffic t = traffic([&] { return table.embedding(index); });
    std::cout << "| " << width << " | " << t.sectors << " | " << 200 * (2 * width * 4 + 8) / 32 << " |\n";
  }

  const Tensor image = floats({1, 16, 24, 24}), filters = floats({32, 16, 5, 5});
  const Tensor windows = image.unfold(2, 5, 1).unfold(3, 5, 1);
  const Traffic copy = traffic([&] { return windows.contiguous(); });
  std::cout << "== windows\n"
            << windows.numel() << " floats, " << windows.numel() / image.numel() << " times the image\n"
            << copy.sectors << " sectors where the image has " << image.numel() / 8 << "\n";
  const Traffic conv = traffic([&] { return images.conv2d(filters); });
  std::cout << std::fixed << std::setprecision(2) << "requested " << double(conv.bytes) / 1e6
            << " MB and touched sectors of " << double(conv.sectors) * 32 / 1e6 << " MB, "
            << double(conv.sectors) * 32 / double(conv.bytes) << " times as much\n";

  std::cout << "== figure sectors\n";
  print_sectors("x[i]", 1, 0);
  print_sectors("x[i + 1]", 1, 1);
  print_sectors("x[2 * i]", 2, 0);
  print_sectors("x[8 * i]", 8, 0);
  print_sectors("x[256 * i]", 256, 0);
  std::cout << "== figure banks\n";
  print_banks<32>();
  print_banks<33>();
}
