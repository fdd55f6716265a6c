// The program of notes/18-many-values-become-one.md: sectors as the emulated GPU counts them, sums in many orders, and the
// sections of a softmax.
#include <algorithm>
#include <iomanip>
#include <numeric>
#include <random>
#include <set>

#include "tests/book/emulated.h"

namespace tinyops::cuda {

using teeny::Tensor;

Tensor floats(const Shape& shape) { return Tensor::rand(shape).realize(); }

template <class F>
int64_t sectors_of(F&& f) {
  return traffic_of([&] { Tensor(f()).realize(); }).sectors;
}

// ---- Sums in other orders -------------------------------------------------------------------------------------------

void print_orders() {
  const Tensor x = floats({1024, 1024});
  const std::vector<float> values = x.to_vector<float>();
  std::vector<float> totals;
  for (size_t i = 0; i < values.size(); i += 1024)
    totals.push_back(std::accumulate(values.begin() + int64_t(i), values.begin() + int64_t(i) + 1024, 0.f));
  std::set<float> results;
  std::mt19937 random(1);
  for (int order = 0; order < 1000; ++order) {
    std::shuffle(totals.begin(), totals.end(), random);
    results.insert(std::accumulate(totals.begin(), totals.end(), 0.f));
  }
  std::cout << "== orders\n" << std::fixed << std::setprecision(4);
  std::cout << results.size() << " different results, from " << *results.begin() << " to " << *results.rbegin() << "\n";
  std::cout << "== stages\n" << std::setprecision(2);
  std::cout << std::accumulate(values.begin(), values.end(), 0.f) << " one after the other\n"
            << x.sum().item() << " in two stages\n"
            << "in float64 is " << std::accumulate(values.begin(), values.end(), 0.) << "\n" << std::defaultfloat;
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
            << "| (32, 2048) | " << softmax_of({32, 2048}, 1) << " |\n"
            << "| (16, 4096) | " << softmax_of({16, 4096}, 1) << " |\n"
            << "| (8, 8192) | " << softmax_of({8, 8192}, 1) << " |\n"
            << "| (4, 16384) | " << softmax_of({4, 16384}, 1) << ": more than the emulated chip can keep |\n"
            << "| (96, 1024), softmax over the columns | " << softmax_of({96, 1024}, 0)
            << ": nothing is kept, the matrix is read three times |\n"
            << "| (2, 32768): several kernels, of long rows in parts | " << softmax_of({2, 32768}, 1) << " |\n"
            << "| (2, 65536) | " << softmax_of({2, 65536}, 1) << " |\n";
  std::cout << "== layer norm\n"
            << matrices_of(x, (x - x.mean({1}, true)) * (x.var({1}, 0, true) + 1e-5).rsqrt()) << " as well\n";

  const Tensor row = floats({65536});
  std::cout << "== scan\n"
            << "(65536) took " << sectors_of([&] { return row.cumsum(0); }) << " sectors, and " << 2 * 65536 / 8
            << " are the least\n";
}
