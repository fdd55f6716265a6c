#pragma once
// Windows that slide over images: a depthwise convolution, whose windows meet a filter of each channel, and a pooling,
// which takes the largest of each window.
//
//   out[batch, row, column] = sum over r of weights[batch, row, r] * image[batch, column, r]
//                             or max over r of image[batch, column, r]
//
// The columns are places of windows, and r counts what a window has. A view's axes are one of these each, or of size 1.
#include <optional>
#include <vector>

#include "tinyops/device.h"

namespace tinyops::cpu {

struct StencilAxes {
  std::vector<int> batch, rows, columns, reduced;
};

/// Along one axis of an image: output o meets position step * o + t through the tap at t. The positions from `begin` to
/// before `end` are pixels, all others padding.
struct Slide {
  int64_t outputs = 1, step = 1, begin = 0, end = 1;
  int64_t last_tap = 0;
  int64_t pixel_stride = 0, out_stride = 0;  ///< in memory, from one position and from one output to the next
};

/// What is known of such a kernel before its data. Of what is reduced, taps move along a window, and all else counts
/// planes: the channels of a group, or slices of a volume. Columns that are no pixels of one image count images.
/// Places are those in the operands' memory.
struct Stencil {
  /// Taps of a window, one below the other.
  struct TapColumn {
    static constexpr int most = 7;
    int64_t y, x;  ///< of the first one
    int taps;
    int64_t weight[most];  ///< the places of their weights in a filter
  };
  struct Plane {
    int64_t pixels, weights;
    std::vector<int64_t> positions = {};  ///< what it adds to those that guards look at
  };
  struct Image {
    int64_t pixels, out;
    std::vector<int64_t> positions = {};
  };
  struct Filter {
    int64_t weights, out;
  };
  struct Batch {
    int64_t weights, pixels, out;  ///< pixels: of the position that the first output meets through a tap at 0
  };
  /// Results are replaced by what an operation makes of them and a scalar: a constant, or an element of an operand.
  struct Step {
    BinaryOp op;
    bool scalar_first;
    double constant = 0;
    bool in_memory = false;
    std::vector<int64_t> batches = {}, filters = {};  ///< its place there is the sum of what these say
  };
  bool is_max = false, wide = false;
  Slide y, x;
  std::vector<TapColumn> columns;
  std::vector<Plane> planes;
  std::vector<Image> images;
  std::vector<Filter> filters;
  std::vector<Batch> batches;
  std::vector<Guard> guards;  ///< along planes and images: where one says no there is padding
  std::vector<Step> steps;
  StencilAxes axes;  ///< leading columns that no window and no padding is along have joined the batch
};

/// A kernel of few rows as a stencil, if it is one, of float32, or float64 if `wide`. Only the image has guards.
/// Without `weights` it is a maximum, and padding is -infinity.
std::optional<Stencil> find_stencil(StencilAxes axes, const View* weights, View image, const View& out, bool wide);

/// Whether results can go through an operation in registers, with a constant, or with an element of an operand of the
/// same dtype; then it is the stencil's next step.
bool add_step(Stencil& stencil, BinaryOp op, bool scalar_first, double constant);
bool add_step(Stencil& stencil, BinaryOp op, bool scalar_first, const View& operand);

struct StencilMemory {
  const void *weights, *pixels;
  void* out;
  std::vector<const void*> scalars;  ///< of the steps with operands
};

void run_stencil(const Stencil& stencil, const StencilMemory& memory);

}  // namespace tinyops::cpu
