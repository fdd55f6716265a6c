// The figures of notes/08-adjoints-of-movement.md: the matrices of movements, and of their gradients, column by column.
#include <functional>
#include <iostream>

#include "teeny/teeny.h"

using namespace teeny;

/// `NAME ADJOINT rows columns`, and a line for each row of the matrix; then the same for the gradient's.
void print(const char* name, const char* adjoint, const Shape& shape,
           const std::function<Tensor(const Tensor&)>& move) {
  const int64_t n = numel(shape), m = move(Tensor::zeros(shape)).numel();
  std::vector<Tensor> columns, adjoint_columns;
  for (int64_t i = 0; i < n; ++i)
    columns.push_back(move((Tensor::arange(n) == i).cast(DType::Float32).reshape(shape)).flatten());
  for (int64_t i = 0; i < m; ++i) {
    const Tensor x = Tensor::zeros(shape).requires_grad_(true), y = move(x);
    adjoint_columns.push_back(
        gradient(y, {x}, (Tensor::arange(m) == i).cast(DType::Float32).reshape(y.shape()))[0].flatten());
  }
  for (const auto& [title, all] : {std::pair(name, columns), std::pair(adjoint, adjoint_columns)}) {
    const Tensor matrix = Tensor::stack(all, 1).contiguous();
    std::cout << title << "\n";
    for (int64_t i = 0; i < matrix.size(0); ++i) {
      for (float value : matrix[{i}].to_vector<float>()) std::cout << value << " ";
      std::cout << "\n";
    }
  }
}

int main() {
  std::cout << "== figure matrices\n";
  print("expand", "sum", {2, 1}, [](const Tensor& x) { return x.expand({2, 3}); });
  print("pad", "shrink", {3}, [](const Tensor& x) { return x.pad({1}, {2}); });
  print("flip", "flip", {4}, [](const Tensor& x) { return x.flip(0); });
  print("permute", "permute back", {2, 3}, [](const Tensor& x) { return x.permute({1, 0}); });
  print("unfold", "fold", {4}, [](const Tensor& x) { return x.unfold(0, 2, 1); });
  print("gather", "scatter_add", {3}, [](const Tensor& x) { return x.gather(0, Tensor::of<int64_t>({0, 2, 2, 1})); });
  std::cout << "== figure fold\n";
  print("unfold", "fold", {5}, [](const Tensor& x) { return x.unfold(0, 3, 1); });
}
