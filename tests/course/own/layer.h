#pragma once
// Exercise 37: a layer with parameters, in a program that includes teeny and changes nothing in it. See
// notes/exercises/37-own_layer.md.
#include <cmath>

#include "teeny/teeny.h"

namespace own {
using namespace teeny;

/// A trained nn::Linear that learns something new, with few parameters. Hu et al., "LoRA: low-rank adaptation of large
/// language models", 2021:
///
///   y = base(x) + alpha / rank * (x A^T) B^T        x (.., in), y (.., out)
///
/// `base` is frozen; A begins with random values, and B with zeros.
struct LowRankLinear {
  nn::Linear base;
  Tensor a, b;  ///< A (rank, in) and B (out, rank)
  double scale = 1;

  // [exercise 37
  LowRankLinear(const nn::Linear& trained, int64_t rank, double alpha) : base(trained), scale(alpha / double(rank)) {
    base.weight.requires_grad_(false);
    if (base.bias.defined()) base.bias.requires_grad_(false);
    const int64_t out = base.weight.size(0), in = base.weight.size(1);
    a = Tensor::kaiming_uniform({rank, in}, std::sqrt(5)).requires_grad_();
    b = Tensor::zeros({out, rank}).requires_grad_();
  }

  Tensor operator()(const Tensor& x) const { return base(x) + x.linear(a).linear(b) * scale; }

  TEENY_STATE(base, a, b)
  // exercise 37]
};

}  // namespace own
