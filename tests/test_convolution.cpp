// Convolutions and their gradients beside their definition: which pixel meets which output through which tap.
#include <doctest/doctest.h>

#include <random>

#include "teeny/teeny.h"
#include "tests/check.h"

namespace teeny::test {
namespace {

/// A convolution over three axes, of which the first ones may have one element.
struct Geometry {
  int64_t batch, in, out, groups;
  std::array<int64_t, 3> image, kernel, stride, padding, dilation, outputs;
};

/// Draws one that has outputs.
Geometry draw_geometry(std::mt19937_64& random, int axes) {
  const auto one_of = [&](std::initializer_list<int64_t> choices) {
    return choices.begin()[random() % choices.size()];
  };
  for (;;) {
    const int64_t groups = one_of({1, 1, 2, 3});
    Geometry g{
        one_of({1, 2, 5}), groups * one_of({1, 2, 3}), groups * one_of({1, 2, 4}), groups, {}, {}, {}, {}, {}, {}};
    bool fits = true;
    for (size_t a = 0; a < 3; ++a) {
      const bool used = int(a) >= 3 - axes;
      g.image[a] = used ? one_of({1, 1, 2, 3, 4, 5, 7}) : 1, g.kernel[a] = used ? one_of({1, 2, 3, 4, 5}) : 1;
      g.stride[a] = used ? one_of({1, 1, 2, 3, 5}) : 1, g.dilation[a] = used ? one_of({1, 1, 2, 3, 4}) : 1;
      g.padding[a] = used ? one_of({0, 0, 1, 2, 3, 5}) : 0;
      const int64_t room = g.image[a] + 2 * g.padding[a] - (g.kernel[a] - 1) * g.dilation[a] - 1;
      g.outputs[a] = room / g.stride[a] + 1;
      fits &= room >= 0;
    }
    if (fits) return g;
  }
}

/// f(x, w, y) for the places in memory of every pixel, tap and output that meet.
template <class F>
void for_each_meeting(const Geometry& g, F&& f) {
  const int64_t in = g.in / g.groups, out = g.out / g.groups;
  const auto place = [](int64_t first, const std::array<int64_t, 3>& at, const std::array<int64_t, 3>& size) {
    return size_t(((first * size[0] + at[0]) * size[1] + at[1]) * size[2] + at[2]);
  };
  std::array<int64_t, 3> o, k, i;
  const auto along = [&](auto&& self, size_t a, auto&& then) -> void {
    if (a == 3) return then();
    for (o[a] = 0; o[a] < g.outputs[a]; ++o[a])
      for (k[a] = 0; k[a] < g.kernel[a]; ++k[a]) {
        i[a] = o[a] * g.stride[a] + k[a] * g.dilation[a] - g.padding[a];
        if (i[a] >= 0 && i[a] < g.image[a]) self(self, a + 1, then);
      }
  };
  along(along, 0, [&] {
    for (int64_t n = 0; n < g.batch; ++n)
      for (int64_t co = 0; co < g.out; ++co)
        for (int64_t c = 0; c < in; ++c)
          f(place(n * g.in + co / out * in + c, i, g.image), place(co * in + c, k, g.kernel),
            place(n * g.out + co, o, g.outputs));
  });
}

/// Compares convolution, transposed convolution, the gradients of both and one of a gradient with sums over the
/// meetings. The values are small integers, so that sums are exact, and rounded once where `dtype` has 16 bits.
void check_geometry(const Geometry& g, int axes, std::mt19937_64& random, DType dtype, int label) {
  const auto values = [&](int64_t first, int64_t second, const std::array<int64_t, 3>& sizes) {
    Shape shape{first, second};
    for (size_t a = size_t(3 - axes); a < 3; ++a) shape.push_back(sizes[a]);
    std::vector<float> drawn(size_t(numel(shape)));
    for (float& v : drawn) v = float(int(random() % 7) - 3);
    return std::pair{drawn, Tensor::from(drawn, shape).cast(dtype).realize()};
  };
  auto [x, image] = values(g.batch, g.in, g.image);
  auto [w, weight] = values(g.out, g.in / g.groups, g.kernel);
  auto [y, other] = values(g.batch, g.out, g.outputs);
  ConvOptions options{.stride = {}, .padding = {}, .dilation = {}, .groups = g.groups};
  ConvTransposeOptions adjoint{.stride = {}, .padding = {}, .output_padding = {}, .dilation = {}, .groups = g.groups};
  std::string what = text(label, ": ", dtype, ' ', image.shape(), " with ", weight.shape(), ", ", g.groups, " groups");
  for (size_t a = size_t(3 - axes); a < 3; ++a) {
    options.stride.list.push_back(g.stride[a]), options.padding.list.push_back(g.padding[a]);
    options.dilation.list.push_back(g.dilation[a]);
    const int64_t rest = g.image[a] + 2 * g.padding[a] - (g.kernel[a] - 1) * g.dilation[a] - 1;
    adjoint.output_padding.list.push_back(rest % g.stride[a]);
    what += text("; stride ", g.stride[a], ", padding ", g.padding[a], ", dilation ", g.dilation[a]);
  }
  adjoint.stride = options.stride, adjoint.padding = options.padding, adjoint.dilation = options.dilation;

  std::vector<float> out(y.size()), dx(x.size()), dw(w.size());
  for_each_meeting(
      g, [&](size_t i, size_t k, size_t o) { out[o] += x[i] * w[k], dx[i] += y[o] * w[k], dw[k] += y[o] * x[i]; });
  const auto convolve = [&](const Tensor& image, const Tensor& weight) {
    return axes == 1   ? image.conv1d(weight, {}, options)
           : axes == 2 ? image.conv2d(weight, {}, options)
                       : image.conv3d(weight, {}, options);
  };
  const auto transpose = [&](const Tensor& image, const Tensor& weight) {
    return axes == 1   ? image.conv_transpose1d(weight, {}, adjoint)
           : axes == 2 ? image.conv_transpose2d(weight, {}, adjoint)
                       : image.conv_transpose3d(weight, {}, adjoint);
  };
  image.requires_grad_(), weight.requires_grad_();
  const auto check = [&](const Tensor& got, const std::vector<float>& exact, const char* which) {
    const Tensor expected = Tensor::from(exact, got.shape()).cast(dtype);
    CHECK_MESSAGE(got.to_vector() == expected.to_vector(), which << ' ' << what);
  };
  const Tensor forward = convolve(image, weight);
  check(forward, out, "forward");
  const auto gradients = gradient((forward * other).sum(), {image, weight});
  check(gradients[0], dx, "dx"), check(gradients[1], dw, "dw");
  check(gradient((gradients[0] * image.detach()).sum(), {weight})[0], dw, "dw of dx");

  other.requires_grad_();
  const Tensor back = transpose(other, weight);
  check(back, dx, "transposed");
  const auto of_transposed = gradient((back * image).sum(), {other, weight});
  check(of_transposed[0], out, "transposed dx"), check(of_transposed[1], dw, "transposed dw");
}

}  // namespace

TEST_CASE("convolution: every geometry is what its definition says, and so are both gradients and the transposed one") {
  std::mt19937_64 random(1);
  for (int round = 0; round < 300; ++round) {
    const int axes = 1 + round % 3;
    check_geometry(draw_geometry(random, axes), axes, random, DType::Float32, round);
  }
}

TEST_CASE("convolution: where most taps meet nothing, the adjoint adds products, and is what the definition says") {
  const auto square = [](int axes, int64_t batch, int64_t in, int64_t out, int64_t groups, int64_t image,
                         int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
    Geometry g{batch, in, out, groups, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}, {1, 1, 1}};
    for (size_t a = size_t(3 - axes); a < 3; ++a) {
      g.image[a] = image, g.kernel[a] = kernel, g.stride[a] = stride, g.padding[a] = padding, g.dilation[a] = dilation;
      g.outputs[a] = (image + 2 * padding - (kernel - 1) * dilation - 1) / stride + 1;
    }
    return std::pair{g, axes};
  };
  const std::pair<Geometry, int> geometries[] = {
      square(2, 2, 3, 64, 1, 12, 5, 1, 0, 2),   // windows that a wide kernel makes few
      square(2, 2, 2, 96, 1, 11, 3, 2, 1, 3),   // a stride across a dilation
      square(1, 3, 4, 130, 2, 40, 5, 3, 2, 2),  // in groups
      square(3, 1, 2, 64, 1, 9, 3, 1, 0, 2),    // along three axes
      square(2, 2, 3, 64, 1, 42, 4, 6, 1, 4),   // a long stride, and elements at the end that no window reaches
      square(2, 2, 6, 6, 6, 13, 2, 3, 0, 1),    // windows side by side, depthwise
      square(2, 2, 6, 6, 2, 13, 2, 3, 1, 2),    // and with gaps between their taps
      square(2, 3, 4, 4, 4, 9, 1, 2, 0, 3),     // windows of one tap
      square(2, 2, 3, 4, 1, 30, 3, 6, 2, 4),    // strides and dilations that pass over the same pixels
  };
  std::mt19937_64 random(2);
  int label = 0;
  for (const auto& [geometry, axes] : geometries)
    for (DType dtype : {DType::Float32, DType::Float64, DType::Float16, DType::BFloat16})
      check_geometry(geometry, axes, random, dtype, label++);
}

}  // namespace teeny::test
