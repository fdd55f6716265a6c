#include "tests/course/tensors.h"

EXERCISE("15") {
  using namespace course;
  const auto sum = [](const Tensors& x) { return x[0] + x[1]; };
  const auto product = [](const Tensors& x) { return x[0] * x[1]; };
  gradients("the gradient of (3, 1) expanded to (3, 4)",
            [](const Tensors& x) {
              return x[0].expand({3, 4});
            },
            {numbers({3, 1})});
  gradients("the gradient of (2,) added to each row of (3, 2)", sum, {numbers({3, 2}), numbers({2})});
  gradients("the gradient of one element times (2, 3)", product, {numbers({}), numbers({2, 3})});
  gradients("the gradient of a column (3, 1) times a row (1, 2)", product, {numbers({3, 1}), numbers({1, 2})});

  for (int i = 0; i < 5; ++i) {
    teeny::Shape to, from;
    for (int64_t rank = pick(1, 4); rank > 0; --rank)
      to.push_back(pick(1, 3)), from.push_back(pick(0, 1) ? to.back() : 1);
    gradients(text("the gradient of ", from, " expanded to ", to), [&](const Tensors& x) { return x[0].expand(to); },
              {numbers(from)});
  }
}
