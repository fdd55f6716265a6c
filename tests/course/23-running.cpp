#include <cmath>
#include <optional>

#include "teeny/nn/norms.h"
#include "tests/course/tensors.h"

namespace {

using namespace teeny;

/// Three batches through a BatchNorm with this momentum, beside loops; then one evaluation.
void three_batches(const std::string& name, std::optional<double> momentum) {
  using course::same, course::expect, course::pick, course::uniform;
  const int64_t channels = pick(2, 3);
  const size_t c_end = size_t(channels);
  nn::BatchNorm norm(channels, {.momentum = momentum});
  const Tensor mean_held = norm.running_mean, var_held = norm.running_var, count_held = norm.num_batches_tracked;
  std::vector<double> mean(c_end, 0), var(c_end, 1);
  for (int batch = 1; batch <= 3; ++batch) {
    const int64_t samples = pick(2, 4), pixels = pick(1, 3), n = samples * pixels;  // of each channel
    std::vector<float> x;
    for (int64_t i = 0; i < samples * channels * pixels; ++i) x.push_back(float(uniform(-2, 4)));
    {
      const Training guard;
      const Tensor all = Tensor::from(x, {samples, channels, pixels}).requires_grad_();
      const int64_t kernels = context.kernels;
      const Tensor y = norm(all);
      expect(context.kernels == kernels, text(name,
                                              ": the call ran kernels by itself; a value is computed when it is asked "
                                              "for, and item() in a layer would stop each step to wait for it"));
      y.realize();
    }
    const double m = momentum.value_or(1.0 / batch);
    for (size_t c = 0; c < c_end; ++c) {
      double sum = 0, squares = 0;
      const auto each = [&](auto f) {
        for (int64_t i = 0; i < samples; ++i)
          for (int64_t p = 0; p < pixels; ++p) f(double(x[(size_t(i) * c_end + c) * size_t(pixels) + size_t(p)]));
      };
      each([&](double value) { sum += value; });
      const double of_batch = sum / double(n);
      each([&](double value) { squares += (value - of_batch) * (value - of_batch); });
      mean[c] = (1 - m) * mean[c] + m * of_batch;
      var[c] = (1 - m) * var[c] + m * squares / double(n - 1);
    }
    const std::string after = text(" after batch ", batch);
    same(name + ", running_mean" + after, norm.running_mean, mean, 1e-5);
    same(name + ", running_var" + after, norm.running_var, var, 1e-5);
    same(name + ", num_batches_tracked" + after, norm.num_batches_tracked, {double(batch)});
  }
  const auto holds = [&](const char* what, const Tensor& held, const Tensor& now) {
    expect(held.to_vector<double>() == now.to_vector<double>(),
           text(name, ": another tensor was put in the place of ", what,
                "; who held it before the training, as a checkpoint does, still sees the old values"));
    expect(!now.requires_grad(), text(name, ": ", what, " requires a gradient"));
  };
  holds("running_mean", mean_held, norm.running_mean);
  holds("running_var", var_held, norm.running_var);
  holds("num_batches_tracked", count_held, norm.num_batches_tracked);

  std::vector<double> x, want;
  for (size_t i = 0; i < 2 * c_end; ++i) {
    x.push_back(float(uniform(-2, 4)));
    want.push_back((x.back() - mean[i % c_end]) / std::sqrt(var[i % c_end] + 1e-5));
  }
  same(name + ": two samples in evaluation, after three batches",
       norm(Tensor::from(x, {2, channels}).cast(DType::Float32)), want, 1e-4);
  same(name + ", num_batches_tracked after an evaluation", norm.num_batches_tracked, {3});
}

}  // namespace

EXERCISE("23") {
  three_batches("momentum 0.1", 0.1);
  three_batches("momentum 0.75", 0.75);
  three_batches("momentum unset", std::nullopt);
  three_batches("momentum 0", 0);
}
