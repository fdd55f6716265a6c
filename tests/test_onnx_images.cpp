// Windows, images of another size and places in them, where ONNX's own cases do not look. Numbers without a formula are
// onnxruntime's.
#include <doctest/doctest.h>

#include <cmath>

#include "teeny/functional/functions.h"
#include "tests/onnx_single.h"

using namespace teeny;
using namespace onnx_single;
using onnx_file::attribute;
using test::difference;
using Floats = std::vector<float>;

namespace {

Tensor row(const Floats& values) { return Tensor::from(values, {1, 1, int64_t(values.size())}); }
Floats run_row(const std::string& op, const std::vector<Input>& inputs, const std::string& attributes,
               int64_t opset = 22) {
  return run(op, inputs, attributes, opset).to_vector();
}

}  // namespace

TEST_CASE("onnx images: what a transposed convolution cuts off or adds") {
  const Tensor x = row({1, 2, 3, 4, 5}), w = row({1, 10, 100, 1000});
  const std::string two = attribute("strides", Ints{2});
  const auto y = [&](const std::string& more) { return run_row("ConvTranspose", {{x}, in_file(w)}, two + more); };
  const Floats all{1, 10, 102, 1020, 203, 2030, 304, 3040, 405, 4050, 500, 5000};
  const auto from = [&](int begin, int end) { return Floats(all.begin() + begin, all.begin() + end); };
  CHECK(y("") == all);
  CHECK(y(attribute("auto_pad", "SAME_UPPER")) == from(1, 11));
  CHECK(y(attribute("pads", Ints{1, 2})) == from(1, 10));
  CHECK(y(attribute("output_shape", Ints{9})) == from(2, 11));
  CHECK(y(attribute("output_shape", Ints{9}) + attribute("auto_pad", "SAME_UPPER")) == from(1, 10));
  Floats longer = all;
  longer.push_back(0);
  CHECK(y(attribute("output_shape", Ints{13})) == longer);
  CHECK(y(attribute("auto_pad", "VALID") + attribute("output_padding", Ints{1})) == longer);
  CHECK(contains(error("ConvTranspose", {{x}, in_file(w)}, two + attribute("output_shape", Ints{0})),
                 "output_shape (0,)"));
}

TEST_CASE("conv_transpose: a padding for the end, and its gradients") {
  const Tensor x = Tensor::randn({2, 3, 4}).requires_grad_(), w = Tensor::randn({3, 2, 3}).requires_grad_();
  const Tensor y = x.conv_transpose1d(w, {}, {.stride = 2, .padding = 1, .padding_end = 2});
  const Tensor whole = x.conv_transpose1d(w, {}, {.stride = 2});
  const Tensor part = whole[{slice(), slice(), slice(1, -2)}], g = Tensor::randn(part.shape());
  CHECK(difference(y, part) == "");
  const std::vector<Tensor> got = gradient(y, {x, w}, g), want = gradient(part, {x, w}, g);
  for (size_t k = 0; k < 2; ++k) CHECK(difference(got[k], want[k]) == "");
  CHECK(error_of([&] { (void)x.conv_transpose1d(w, {}, {.padding_end = -1}); }) ==
        "conv_transpose1d: padding_end (-1,) must be at least 0");
}

TEST_CASE("onnx images: pools whose pads are more than half a window, dilated averages") {
  const Tensor x = row({1, 2, 3, 4, 5, 6, 7});
  const std::string three = attribute("kernel_shape", Ints{3}), counted = attribute("count_include_pad", int64_t(1));
  const std::string wide = three + attribute("strides", Ints{2}) + attribute("pads", Ints{2, 2});
  CHECK(run_row("MaxPool", {{x}}, wide) == Floats{1, 3, 5, 7, 7});
  Single both("MaxPool", {{x.neg()}}, wide, 12, 2);
  CHECK(both()[1].to_vector<int64_t>() == Ints{0, 0, 2, 4, 6});
  CHECK(run_row("AveragePool", {{x}}, wide) == Floats{1, 2, 4, 6, 7});
  CHECK(run_row("AveragePool", {{x}}, wide + counted) == Floats{1.f / 3, 2, 4, 6, 7.f / 3});
  const std::string dilated = attribute("kernel_shape", Ints{2}) + attribute("dilations", Ints{3});
  CHECK(run_row("AveragePool", {{x}}, dilated) == Floats{2.5, 3.5, 4.5, 5.5});
  CHECK(run_row("AveragePool", {{x}}, dilated + attribute("pads", Ints{1, 1})) == Floats{3, 2.5, 3.5, 4.5, 5.5, 5});
  CHECK(run_row("AveragePool", {{x}}, dilated + attribute("pads", Ints{1, 1}) + counted) ==
        Floats{1.5, 2.5, 3.5, 4.5, 5.5, 2.5});
  CHECK(run_row("MaxPool", {{x}},
                three + attribute("strides", Ints{3}) + attribute("auto_pad", "VALID") +
                    attribute("ceil_mode", int64_t(1))) == Floats{3, 6, 7});
  CHECK(contains(error("MaxPool", {{x}}, wide + attribute("dilations", Ints{0})), "dilations (0,) must be at least 1"));
  CHECK(contains(error("MaxPool", {{x}}, three + attribute("pads", Ints{3, 0})), "larger than either pad"));
  CHECK(contains(error("MaxPool", {{x}}, ""), "kernel_shape is missing"));
}

TEST_CASE("onnx images: positions of maxima, by rows and by columns, and back") {
  const Tensor x = Tensor::randn({2, 3, 5, 7}).realize();
  const std::string two = attribute("kernel_shape", Ints{2, 2}) + attribute("strides", Ints{2, 2});
  NoGrad guard;
  Single rows("MaxPool", {{x}}, two, 12, 2);
  Single columns("MaxPool", {{x}}, two + attribute("storage_order", int64_t(1)), 12, 2);
  const std::vector<Tensor> pooled = rows();
  const Tensor index = pooled[1], of_columns = columns()[1], in_image = of_columns % 35;
  CHECK(difference(x.flatten().gather(0, index.flatten()), pooled[0].flatten()) == "");
  CHECK(difference(floor_divide(of_columns, 35) * 35 + in_image % 5 * 7 + floor_divide(in_image, 5), index) == "");
  // An image of another size than the smallest: places are counted in it, or, as in ONNX's own case, in the smallest.
  const Input size = in_file(ints({2, 3, 5, 7}), kInt64);
  const Tensor back = run("MaxUnpool", {{pooled[0]}, {index, kInt64}, size}, two, 11);
  const Tensor none = Tensor::zeros({x.numel()});
  CHECK(difference(back, none.scatter(0, index.flatten(), pooled[0].flatten()).reshape(x.shape())) == "");
  const Tensor small = Tensor::of({{{{5, 6}, {7, 8}}}}), at = ints({5, 7, 13, 15}).reshape({1, 1, 2, 2});
  const Tensor five = run("MaxUnpool", {{small}, {at, kInt64}, in_file(ints({1, 1, 5, 5}), kInt64)}, two, 11);
  CHECK(five.to_vector() == Floats{0, 0, 0, 0, 0, 0, 5, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7, 0, 8, 0, 0, 0, 0, 0, 0});
}

TEST_CASE("onnx images: short axes and long ones are resized alike, by views, matrices and gathers") {
  const auto resized = [](const Tensor& x, const Ints& size, const std::string& attributes) {
    return run("Resize", {{x}, {}, {}, in_file(ints(size), kInt64)}, attributes);
  };
  const Tensor x = Tensor::randn({1, 2, 7, 300}).realize();
  const std::string linear = attribute("mode", "linear"), cubic = attribute("mode", "cubic");
  const auto places = [](const char* mode) { return attribute("coordinate_transformation_mode", mode); };
  const std::string floor = attribute("nearest_mode", "floor") + places("asymmetric");
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{14, 900}, {7, 150}, {5, 100}, {21, 299}}) {
    CAPTURE(height);
    CAPTURE(width);
    const Ints size{1, 2, height, width};
    const auto check = [&, to = Sizes{height, width}](const std::string& attributes,
                                                      const InterpolateOptions& options) {
      // Places are rounded to float32 on the way.
      CHECK(testing::allclose(resized(x, size, attributes), x.interpolate(to, options), 2e-4).message == "");
    };
    check(floor, {});
    check(linear, {.mode = Interpolation::Linear});
    check(cubic, {.mode = Interpolation::Cubic});
    check(linear + places("align_corners"), {.mode = Interpolation::Linear, .align_corners = true});
  }
  // Integers lose their fraction.
  const Tensor whole = ints({0, 9}).cast(DType::Int32).reshape({1, 1, 2});
  CHECK(run("Resize", {{whole, 6}, {}, {}, in_file(ints({1, 1, 4}), kInt64)}, linear).to_vector<int64_t>() ==
        Ints{0, 2, 6, 9});
  // A gradient flows, to each element as much as it weighs.
  const Tensor w = Tensor::randn({1, 1, 6}).requires_grad_();
  Single larger("Resize", {{w}, {}, {}, in_file(ints({1, 1, 12}), kInt64)}, linear);
  CHECK(difference(gradient(larger()[0].sum(), {w})[0], Tensor::full({1, 1, 6}, 2.0)) == "");
  const auto wrong = [&](const Tensor& scales, const std::string& attributes) {
    return error("Resize", {{x}, {}, in_file(scales)}, attributes);
  };
  CHECK(contains(wrong(Tensor::of({1, 1, 2}), ""), "3 scales for 4 axes"));
  CHECK(contains(wrong(Tensor::of({1, 1, 2, 1e30f}), ""), "axis 3 of (1, 2, 7, 300)"));
  CHECK(contains(wrong(Tensor::of({1, 1, 2, NAN}), ""), "axis 3 of (1, 2, 7, 300)"));
  CHECK(contains(wrong(Tensor::of({1, 1, 2, 2}), attribute("mode", "sharp")), "the mode \"sharp\""));
  CHECK(contains(wrong(Tensor::of({2, 2}), attribute("axes", Ints{2, -2})), "axis 2 twice"));
}

TEST_CASE("onnx images: regions of an image") {
  const Tensor x = Tensor::arange(64).cast(DType::Float32).reshape({1, 1, 8, 8});  // a mean is that of the middle
  const Tensor boxes = Tensor::of({{1, 1, 5, 5}, {2, 1, 6, 7}}), image = ints({0, 0});
  const auto bins = [](int64_t count) {
    return attribute("output_height", count) + attribute("output_width", count) +
           attribute("coordinate_transformation_mode", "output_half_pixel");
  };
  for (int64_t ratio : {0, 1, 2}) {
    CAPTURE(ratio);
    const Tensor y = run("RoiAlign", {{x}, {boxes}, {image, kInt64}}, bins(2) + attribute("sampling_ratio", ratio));
    CHECK(y[0].to_vector() == Floats{18, 20, 34, 36});
    CHECK(y[1].to_vector() == Floats{23, 25, 47, 49});
  }
  CHECK(contains(error("RoiAlign", {{x}, {boxes}, {ints({0, 1}), kInt64}}, bins(2)), "index"));
  CHECK(contains(error("RoiAlign", {{x}, {boxes * 1e9}, {image, kInt64}}, bins(2)), "more than"));
  CHECK(contains(error("RoiAlign", {{x}, {boxes}, {image, kInt64}}, bins(int64_t(1) << 40)), "bins"));
  const Tensor numbered = Tensor::of({{0, 1, 1, 4, 4}, {0, 6, 6, 90, 90}});
  CHECK(run("MaxRoiPool", {{x}, {numbered}}, attribute("pooled_shape", Ints{2, 2}), 7).to_vector() ==
        Floats{18, 20, 34, 36, 63, 0, 0, 0});
}
