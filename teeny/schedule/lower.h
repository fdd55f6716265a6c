#pragma once
// The last step of scheduling: a group of nodes becomes one tinyops::Kernel.
#include <span>
#include <vector>

#include "teeny/graph/lazy.h"
#include "tinyops/device.h"

namespace teeny {

/// Nodes that one kernel computes, in an order in which each only reads those before it: a row kernel; or, when the
/// first of them is a contraction, that one and what its sums go through, element by element.
///
/// `space` is the shape they share, without axes of size 1. Its axes in `inner` are reduced by the group's reductions;
/// a node of shape `space` has a value for each element, one of the shape that is left has a value for each row.
struct FusionGroup {
  Shape space;
  Dims inner;
  std::vector<const Node*> members;
};

/// `shape` without its axes of size 1.
Shape squeezed(const Shape& shape);
/// The shape of the group's rows.
Shape row_shape(const FusionGroup& group);
/// A view of the rows' shape, seen from the whole space: it does not move along the inner axes.
View broadcast_rows(const View& rows, const FusionGroup& group);

/// Where a result goes: `node` is a member, `buffer` holds its dtype, `view` has the squeezed shape of the member.
struct Destination {
  const Node* node;
  tinyops::BufferRef buffer;
  View view;
};

/// What a scheduler has decided about the nodes outside a kernel.
class ScheduledNodes {
 public:
  /// The buffer that holds the node's elements, or null when they are computed where they are read.
  virtual tinyops::BufferRef buffer_of(const Node& node) const = 0;
  /// What the node reads, each through a single view: its sources, or copies of them.
  virtual std::span<const LazyBuffer> sources_of(const Node& node) const = 0;

 protected:
  ~ScheduledNodes() = default;
};

/// The group's program, with every node that has no buffer of its own computed in place.
tinyops::Kernel lower(const FusionGroup& group, std::span<const Destination> destinations, const ScheduledNodes& nodes);

/// The kernel of a node::Special, into `out`. Its sources have buffers.
tinyops::Kernel lower_special(const Node& node, const tinyops::BufferRef& out, const ScheduledNodes& nodes);

/// A buffer for the node's elements. Nothing is reserved before a kernel runs.
tinyops::BufferRef new_buffer(const Node& node);
/// The shape that a node's kernel walks, without axes of size 1: a reduction walks its source.
Shape iteration_shape(const Node& node);
/// The axes of that shape over which a reduction reduces.
Dims inner_axes(const Node& node);

/// Whether the node's elements are 16-bit floats that its operation computes in float32. A kernel that reads them where
/// it computes them rounds them first, as memory would: what comes out does not depend on what was stored on the way.
bool rounds(const Node& node);

/// Whether f(0, ..) = 0 for the element-wise `op`: only then does a padded input give a padded result.
bool keeps_zero(const NodeOp& op);

}  // namespace teeny
