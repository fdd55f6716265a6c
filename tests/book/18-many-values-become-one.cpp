// The program of notes/18-many-values-become-one.md: sectors as the emulated GPU counts them, shuffles, sums in many
// orders, and the sections of a softmax.
#include <algorithm>
#include <iomanip>
#include <map>
#include <numeric>
#include <random>

#include "tests/book/emulated.h"

namespace tinyops::cuda {

using teeny::Tensor;

Tensor floats(const Shape& shape) { return Tensor::rand(shape).realize(); }

template <class F>
int64_t sectors_of(F&& f) {
  return traffic_of([&] { Tensor(f()).realize(); }).sectors;
}

// ---- Shuffles -------------------------------------------------------------------------------------------------------

/// Each lane's total after 0, 1, 2 and 3 steps. Lane i brings 2^i, so that a total's bits are the lanes that are in it.
__global__ void shuffles(Global<float> totals) {
  float total = float(1 << threadIdx.x);
  totals[threadIdx.x] = total;
  for (int bit = 4, step = 1; bit > 0; bit /= 2, ++step) {
    total += __shfl_xor_sync(0xff, total, bit);
    totals[step * 8 + threadIdx.x] = total;
  }
}
void print_shuffles() {
  const Floats totals(4 * 8);
  launch("shuffles", shuffles, Grid{1, 8}, totals);
  std::cout << "== figure shuffles\n";
  for (const float total : totals.values()) std::cout << int(total) << " ";
}

// ---- Sums in other orders -------------------------------------------------------------------------------------------

void print_orders() {
  const Tensor x = floats({1024, 1024});
  const std::vector<float> values = x.to_vector<float>();
  std::vector<float> totals;
  for (size_t i = 0; i < values.size(); i += 1024)
    totals.push_back(std::accumulate(values.begin() + int64_t(i), values.begin() + int64_t(i) + 1024, 0.f));
  std::map<float, int> results;
  std::mt19937 random(1);
  for (int order = 0; order < 1000; ++order) {
    std::shuffle(totals.begin(), totals.end(), random);
    ++results[std::accumulate(totals.begin(), totals.end(), 0.f)];
  }
  std::cout << "== orders\n" << std::fixed << std::setprecision(4);
  std::cout << results.size() << " different results, from " << results.begin()->first << " to "
            << results.rbegin()->first << "\n== figure orders\n";
  for (const auto& [sum, count] : results) std::cout << sum << " " << count << "\n";
  std::cout << std::defaultfloat;
}

// ---- Rows that are read again ---------------------------------------------------------------------------------------

std::string matrices_of(const Tensor& x, const Tensor& y) {
  const double sectors = double(sectors_of([&] { return y; }));
  std::ostringstream result;
  result << std::fixed << std::setprecision(1) << sectors / (double(x.numel()) / 8);
  return result.str();
}
std::string softmax_of(const Shape& shape, int axis) {
  const Tensor x = floats(shape);
  return matrices_of(x, x.softmax(axis));
}

}  // namespace tinyops::cuda

int main() {
  using namespace tinyops;
  using namespace tinyops::cuda;
  Tensor::manual_seed(1);
  const Tensor x = floats({96, 1024});
  std::cout << "== sums\n"
            << "| `x.sum(1)` | " << sectors_of([&] { return x.sum(1); }) << " |\n"
            << "| `x.sum(0)` | " << sectors_of([&] { return x.sum(0); }) << " |\n"
            << "| `x.sum()` | " << sectors_of([&] { return x.sum(); }) << " |\n";
  print_orders();

  std::cout << "== sections\n";
  print_sections(row_kernels_of([&] { return x.softmax(1); }).back());

  std::cout << "== softmax\n";
  std::cout << "| (96, 1024) | " << softmax_of({96, 1024}, 1) << ": once in, once out |\n"
            << "| (4, 16384) | " << softmax_of({4, 16384}, 1)
            << ": a row is 64 KiB, and a block of the emulated chip has less |\n"
            << "| (96, 1024), softmax over the columns | " << softmax_of({96, 1024}, 0)
            << ": nothing is kept, the matrix is read three times |\n"
            << "| (2, 65536): several kernels, of long rows in parts | " << softmax_of({2, 65536}, 1) << " |\n";
  const Tensor row = floats({65536});
  std::cout << "== scan\n"
            << "(65536) took " << sectors_of([&] { return row.cumsum(0); }) << " sectors, and " << 2 * 65536 / 8
            << " are the least\n";
  print_shuffles();
}
