#include <cmath>

#include "tests/course/tensors.h"

EXERCISE("21") {
  using namespace course;
  using teeny::DType, teeny::Tensor;
  same("log_softmax of 1, 2, 3", Tensor::of<double>({1, 2, 3}).log_softmax(),
       {-2.4076059644, -1.4076059644, -0.4076059644}, 1e-9);
  same("log_softmax of 1000, 1001, -1000: e^1000 is beyond all floats, e^-2000 is 0",
       Tensor::of<float>({1000, 1001, -1000}).log_softmax(), {-1.3132617, -0.3132617, -2001.3132617}, 1e-5);

  const int64_t rows = pick(2, 3), columns = pick(2, 4);
  const Tensor x = numbers({rows, columns});
  const std::vector<double> at = x.to_vector<double>();
  for (const int axis : {0, 1}) {
    std::vector<double> want;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < (axis == 0 ? rows : columns); ++k)
          sum += std::exp(at[size_t(axis == 0 ? k * columns + j : i * columns + k)]);
        want.push_back(at[size_t(i * columns + j)] - std::log(sum));
      }
    same(text("log_softmax of ", x.shape(), " along axis ", axis), x.log_softmax(axis), want, 1e-9);
  }
  const double far = std::log1p(std::exp(-1.0));
  same("log_softmax of two rows, one 2000 above the other",
       Tensor::of<double>({1000, 1001, -1000, -1001}).reshape({2, 2}).log_softmax(1), {-1 - far, -far, -far, -1 - far},
       1e-9);

  const Tensor half = Tensor::zeros({70000}, DType::Float16).log_softmax();
  expect(half.dtype() == DType::Float16, text("log_softmax of float16 is ", half.dtype()));
  same("log_softmax of 70000 zeros (float16): their sum of e^x is beyond 65504", half,
       std::vector<double>(70000, -std::log(70000.0)), 1e-3);
  expect(Tensor::of<int64_t>({1, 2}).log_softmax().dtype() == DType::Float32, "log_softmax of integers is not float32");
}
