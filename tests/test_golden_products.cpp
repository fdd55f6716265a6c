// Golden lines: products, convolution, pooling, attention. See test_golden.cpp.
#include "tests/golden.h"

namespace teeny::test {

std::vector<GoldenLine> golden_products() {
  return {
      {"matmul", FN(x.matmul(y))},
      {"matmul_transposed", FN(x.t().matmul(y.t()))},
      {"matmul_self", FN(x.matmul(x))},
      {"matmul_chain", FN(x.matmul(y).relu().matmul(y.t()) + x)},
      {"dot", FN(x.dot(y))},
      {"linear", FN(x.linear(y, z))},

      {"conv2d", FN(x.conv2d(y, z))},
      {"conv2d_stride", FN(x.conv2d(y, z, {.stride = 2}))},
      {"conv2d_strides", FN(x.conv2d(y, z, {.stride = {2, 3}}))},
      {"conv2d_padding", FN(x.conv2d(y, z, {.padding = 1}))},
      {"conv2d_paddings", FN(x.conv2d(y, z, {.padding = {2, 1}}))},
      {"conv2d_dilation", FN(x.conv2d(y, z, {.dilation = 2}))},
      {"conv2d_dilations", FN(x.conv2d(y, z, {.dilation = {1, 3}}))},
      {"conv2d_groups", FN(x.conv2d(y, z, {.groups = 2}))},
      {"conv2d_depthwise", FN(x.conv2d(y, z, {.padding = 1, .groups = 3}))},
      {"conv2d_multiplier", FN(x.conv2d(y, z, {.padding = 1, .groups = 3}))},
      {"conv2d_stride_padding", FN(x.conv2d(y, z, {.stride = 2, .padding = 1}))},
      {"conv2d_everything", FN(x.conv2d(y, z, {.stride = {2, 1}, .padding = {1, 2}, .dilation = {2, 1}, .groups = 2}))},
      {"conv1d", FN(x.conv2d(y, z))},
      {"conv1d_options", FN(x.conv2d(y, z, {.stride = 2, .padding = 3, .dilation = 2}))},
      {"conv3d", FN(x.conv2d(y, z))},
      {"conv3d_options", FN(x.conv2d(y, z, {.stride = 2, .padding = 1, .dilation = {1, 1, 2}, .groups = 2}))},
      {"conv2d_chain", FN(x.conv2d(y, {}, {.padding = 1}).relu().conv2d(y, {}, {.stride = 2}))},

      {"max_pool2d", FN(x.max_pool2d())},
      {"max_pool2d_windows", FN(x.max_pool2d({3, 2}))},
      {"max_pool2d_overlap", FN(x.max_pool2d(3, {.stride = 1}))},
      {"max_pool2d_gaps", FN(x.max_pool2d(2, {.stride = 3}))},
      {"max_pool2d_padding", FN(x.max_pool2d(3, {.stride = 2, .padding = 1}))},
      {"max_pool2d_dilation", FN(x.max_pool2d(2, {.stride = 1, .dilation = 2}))},
      {"max_pool2d_everything",
       FN(x.max_pool2d({3, 2}, {.stride = Sizes{1, 2}, .padding = {1, 0}, .dilation = {2, 1}}))},
      {"avg_pool2d", FN(x.avg_pool2d())},
      {"avg_pool2d_windows", FN(x.avg_pool2d({3, 2}))},
      {"avg_pool2d_overlap", FN(x.avg_pool2d(3, {.stride = 1}))},
      {"avg_pool2d_gaps", FN(x.avg_pool2d(2, {.stride = 3}))},
      {"avg_pool2d_padding", FN(x.avg_pool2d({3, 2}, {.stride = Sizes{2, 1}, .padding = 1}))},

      {"attention", FN(x.scaled_dot_product_attention(y, z))},
      {"attention_causal", FN(x.scaled_dot_product_attention(y, z, true))},
  };
}

}  // namespace teeny::test
