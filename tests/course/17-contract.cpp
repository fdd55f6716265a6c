#include "teeny/mlops/common.h"
#include "tests/course/tensors.h"

EXERCISE("17") {
  using namespace course;
  using teeny::Shape, teeny::Tensor;
  const auto matmul = [](const Tensors& x) { return x[0].matmul(x[1]); };
  gradients("the gradient of matmul, (2, 3) x (3, 4)", matmul, {numbers({2, 3}), numbers({3, 4})});
  gradients("the gradient of matmul, (3,) x (3, 2)", matmul, {numbers({3}), numbers({3, 2})});
  gradients("the gradient of matmul, (2, 3) x (3,)", matmul, {numbers({2, 3}), numbers({3})});
  gradients("the gradient of matmul, (2, 2, 3) x (2, 3, 2)", matmul, {numbers({2, 2, 3}), numbers({2, 3, 2})});
  gradients("the gradient of matmul, (2, 2, 3) x (3, 2), one matrix for a batch of two", matmul,
            {numbers({2, 2, 3}), numbers({3, 2})});

  const auto of_last = [](int reduced) {
    return [=](const Tensors& x) { return teeny::contract(x[0], x[1], reduced); };
  };
  gradients("the gradient of (3, 4) * (3, 1), summed over the last axis", of_last(1),
            {numbers({3, 4}), numbers({3, 1})});
  gradients("the gradient of (1, 4) * (3, 1), summed over the last axis", of_last(1),
            {numbers({1, 4}), numbers({3, 1})});
  for (int i = 0; i < 5; ++i) {
    Shape a, b;
    for (int64_t rank = pick(1, 4); rank > 0; --rank) {
      const int64_t size = pick(1, 3), who = pick(0, 3);
      a.push_back(who == 1 ? 1 : size), b.push_back(who == 2 ? 1 : size);
    }
    const int reduced = int(pick(1, a.size()));
    gradients(text("the gradient of ", a, " * ", b, ", summed over the last ", reduced), of_last(reduced),
              {numbers(a), numbers(b)});
  }
}
