// The figures and the table of notes/10-formulas.md.
#include <cmath>
#include <iomanip>
#include <iostream>

#include "teeny/teeny.h"

using namespace teeny;

/// A row of the table: a formula as it stands on paper, and the method that computes it.
void row(const char* formula, const char* of, const Tensor& paper, const char* method, const Tensor& right) {
  const double value = paper.item();
  std::cout << "| " << formula << " | " << of << " | " << (std::isnan(value) ? NAN : value + 0.0) << " | `" << method
            << "` | " << right.item() << " |\n";
}

void table() {
  const Tensor wide = Tensor::of({0, 100}), x = Tensor::of({200});
  const Tensor close = Tensor::of({10000, 10001, 10002}), half = Tensor::of({300, 400}).cast(DType::Float16);
  std::cout << std::setprecision(3);
  row("e^x / sum of e^x, the second", "0, 100", (wide.exp() / wide.exp().sum())[1], "softmax", wide.softmax()[1]);
  row("log(1 + e^x)", "200", (1 + x.exp()).log(), "softplus", x.softplus());
  row("-log(1 - sigmoid(x))", "200 with target 0", -(1 - x.sigmoid()).log(), "binary_cross_entropy_with_logits",
      x.binary_cross_entropy_with_logits(x.zeros_like()));
  row("mean of x^2 - (mean of x)^2", "10000, 10001, 10002", close.square().mean() - close.mean().square(), "var({}, 0)",
      close.var({}, 0));
  row("sqrt(sum of x^2)", "300, 400", half.square().sum().sqrt(), "norm", half.norm());
}

/// -log p of the first of two classes whose scores are 0 and x, in three ways.
void losses() {
  for (int i = 0; i <= 140; ++i) {
    const Tensor scores = Tensor::of({0, i});
    const Tensor naive = -(scores.exp() / scores.exp().sum()).log(), shifted = -scores.softmax().log();
    std::cout << i << ' ' << naive[0].item() << ' ' << shifted[0].item() << ' ' << -scores.log_softmax()[0].item()
              << '\n';
  }
}

/// The weights of attention, which the identity as values lets through: without a mask, and causal.
void attention() {
  Tensor::manual_seed(3);
  const Tensor queries = Tensor::randn({5, 8}), keys = Tensor::randn({5, 8});
  for (bool causal : {false, true}) {
    for (double weight :
         queries.scaled_dot_product_attention(keys, Tensor::eye(5), {.causal = causal}).to_vector<double>())
      std::cout << weight << ' ';
    std::cout << '\n';
  }
}

int main() {
  std::cout << "== table\n";
  table();
  std::cout << std::setprecision(6) << "== figure softmax\n";
  losses();
  std::cout << "== figure attention\n";
  attention();
}
