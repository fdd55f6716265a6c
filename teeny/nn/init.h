#pragma once
// Initial values. As torch.nn.init: each of these gives a tensor new values, in its own dtype, and returns it.
//
//   nn::init::kaiming_normal_(layer.weight, {.fan = nn::init::Fan::Out});
//   nn::init::constant_(layer.bias, 0);
#include <initializer_list>

#include "teeny/tensor/tensor.h"

namespace teeny::nn::init {

Tensor& constant_(Tensor& x, double value);
Tensor& uniform_(Tensor& x, double low = 0, double high = 1);
Tensor& normal_(Tensor& x, double mean = 0, double std = 1);
/// Normal, given that it is inside [low, high].
Tensor& trunc_normal_(Tensor& x, double mean = 0, double std = 1, double low = -2, double high = 2);

/// The activation that follows the weights: `gain` is the factor that makes up for what it takes from a signal's
/// standard deviation.
enum class Nonlinearity { Linear, Tanh, Relu, LeakyRelu, Selu };
double gain(Nonlinearity nonlinearity, double slope = 0.01);  ///< `slope` is leaky_relu's

/// Weights (out, in, ...) of variance 2 / (fan_in + fan_out), times gain^2. Glorot & Bengio, "Understanding the
/// difficulty of training deep feedforward neural networks", 2010.
Tensor& xavier_uniform_(Tensor& x, double gain = 1);
Tensor& xavier_normal_(Tensor& x, double gain = 1);

/// Whose variance stays the same: the signal's in the forward pass, or the gradient's in the backward pass.
enum class Fan { In, Out };
struct KaimingOptions {
  double slope = 0;  ///< of the leaky_relu that follows
  Fan fan = Fan::In;
  Nonlinearity nonlinearity = Nonlinearity::LeakyRelu;
};
/// Weights (out, in, ...) of variance gain^2 / fan. He et al., "Delving deep into rectifiers", 2015.
Tensor& kaiming_uniform_(Tensor& x, const KaimingOptions& options = {});
Tensor& kaiming_normal_(Tensor& x, const KaimingOptions& options = {});

// ---- For layers

/// A parameter that starts uniform in ±1/sqrt(fan_in): each output is a sum of `fan_in` products, so that the
/// output's variance does not grow with fan_in. `layer` is for errors.
Tensor fan_in_uniform(const char* layer, const Shape& shape, int64_t fan_in);
/// Throws when one of the sizes is negative or beyond any memory, naming the layer.
void check_sizes(const char* layer, std::initializer_list<int64_t> sizes);

}  // namespace teeny::nn::init
