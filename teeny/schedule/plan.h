#pragma once
// What the two halves of scheduling share: schedule.cpp says which nodes become one kernel, buffers.cpp whose memory each
// kernel's results go to.
#include <memory>
#include <vector>

#include "teeny/schedule/lower.h"
#include "teeny/schedule/schedule.h"

namespace teeny {

inline bool is_contraction(const NodeOp& op) { return std::holds_alternative<node::Contract>(op); }
inline bool has_no_memory(const NodeOp& op) {
  return std::holds_alternative<node::Constant>(op) || std::holds_alternative<node::Iota>(op);
}

/// What the scheduler knows of a node.
struct NodeInfo {
  std::shared_ptr<Node> node;
  int uses = 0;           ///< by nodes of this schedule
  bool target = false;
  bool root = false;
  bool kept = false;      ///< somebody will look at its numbers later
  bool stored = false;    ///< a root that another group reads
  int ops = 1, inputs = 1, cost = 0;  ///< what computing it in place brings into a kernel, down to the next roots
  int group = -1;         ///< of a root
  int last_reader = -1;   ///< the last group that reads its buffer
  tinyops::BufferRef buffer;

  bool is_leaf() const { return root || node->realized() || has_no_memory(node->op); }
};

/// What a root reads, through which view of the root's own shape: a root or leaf; or the guards behind which a node that is
/// computed in place is 0, though f(0) is not.
struct FusedInput {
  const Node* node;
  View view;
  bool operator==(const FusedInput&) const = default;
};

/// A kernel in the making: a row kernel of several roots, a contraction and roots that go on with it, or one root of another
/// special kind.
struct PlannedKernel {
  FusionGroup group;
  bool open = false;  ///< whether more roots may join
  int ops = 0;
  std::vector<FusedInput> inputs;  ///< what the program loads: nothing of its own group but a contraction's sum
};

struct Plan {
  std::vector<NodeInfo> nodes;       ///< each after its sources; a node's `order` is its place here
  std::vector<PlannedKernel> kernels;  ///< each after those it reads from

  Plan() = default;
  Plan(const Plan&) = delete;
  ~Plan() {
    for (NodeInfo& i : nodes) i.node->order = -1;
  }
  NodeInfo& info(const Node& node) { return nodes[size_t(node.order)]; }

  /// Everything computed in place under `source`, down to the roots and leaves; `reads` lists these, and the guards on the
  /// way. What cannot be computed in place because two views do not merge is made a root.
  void walk(const LazyBuffer& source, const View& view, std::vector<FusedInput>& reads);
  std::vector<FusedInput> reads_of(const Node& node);
};

/// The second half: a plan of kernels becomes kernels with buffers.
std::vector<Step> with_buffers(Plan& plan);

}  // namespace teeny
