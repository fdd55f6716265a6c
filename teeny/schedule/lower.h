#pragma once
// The last step of scheduling: a group of nodes becomes one tinyops::Kernel.
#include <functional>
#include <vector>

#include "teeny/graph/lazy.h"
#include "tinyops/device.h"

namespace teeny {

/// Nodes that one kernel computes, in an order in which each only reads those before it: a row kernel; or, when the first
/// of them is a contraction, that one and what its sums go through, element by element.
///
/// `space` is the shape they share, without axes of size 1. Its axes in `inner` are reduced by the group's reductions;
/// a node of shape `space` has a value for each element, one of the shape that is left has a value for each row.
struct FusionGroup {
  Shape space;
  Dims inner;
  std::vector<const Node*> members;

  bool is_contraction() const { return std::holds_alternative<node::Contract>(members[0]->op); }
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

/// The buffer of a node outside the group, or null when the node is computed where it is read.
using BufferOf = std::function<tinyops::BufferRef(const Node&)>;

/// The group's program, with every node that has no buffer of its own computed in place.
tinyops::Kernel lower(const FusionGroup& group, std::span<const Destination> destinations, const BufferOf& buffer_of);

/// Gather, Scatter, Scan, Sort and Random, into `out`. Their sources have buffers and single views.
tinyops::Kernel lower_special(const Node& node, const tinyops::BufferRef& out, const BufferOf& buffer_of);

/// Whether f(0, ..) = 0 for the element-wise `op`: only then does a padded input give a padded result.
bool keeps_zero(const NodeOp& op);

}  // namespace teeny
