#pragma once
// What the two halves of fusing share: fuse.cpp decides which nodes become one kernel, memory.cpp in whose memory each
// kernel's results are stored.
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "teeny/schedule/lower.h"
#include "teeny/schedule/schedule.h"

namespace teeny {

/// What the scheduler knows of a node.
struct NodeInfo {
  std::shared_ptr<Node> node;
  std::vector<LazyBuffer> replaced;  ///< the sources, where a copy has to be read in place of one; else empty
  int uses = 0;              ///< how often nodes of this schedule read it
  int references = 0;        ///< how often they and their replaced sources hold it
  bool target = false;
  bool root = false;
  bool needed_later = false;  ///< by an owner outside this schedule
  bool stored = false;       ///< a root that another group reads
  int ops = 1, inputs = 1, cost = 0;  ///< what computing it in place brings into a kernel, down to the next roots
  int group = -1;            ///< of a root
  int last_reader = -1;      ///< the last group that reads its buffer
  tinyops::BufferRef buffer;
  std::vector<size_t> stored_parts;  ///< of an Assemble: those that the kernels which compute them write

  bool is_leaf() const { return root || node->realized() || has_no_memory(node->op); }
  std::span<const LazyBuffer> sources() const { return replaced.empty() ? node->sources : replaced; }
};

/// What a root reads, through which view of the root's own shape: a root or leaf; or the guards behind which a node
/// that is computed in place is 0, though f(0) is not.
struct FusedInput {
  const Node* node;
  View view;
  bool operator==(const FusedInput&) const = default;
};

/// A kernel in the making: a row kernel of several roots, a contraction and roots that go on with it, or one root of
/// another special kind.
struct PlannedKernel {
  FusionGroup group;
  bool open = false;  ///< whether more roots may join
  int ops = 0;
  std::vector<FusedInput> inputs;  ///< what the program loads: nothing of its own group but a contraction's sum
};

/// The place of each node in a list. A hash table with linear probing: small, because every operation on the graph of a
/// small model pays for it.
class NodeTable {
 public:
  /// -1 for a node that is not there.
  int find(const Node* node) const {
    for (size_t s = first_slot(node);; ++s) {
      const Slot& slot = slots_[s & (slots_.size() - 1)];
      if (slot.node == node || !slot.node) return slot.place;
    }
  }
  void add(const Node* node, int place) {
    if (2 * ++size_ > slots_.size()) {
      const std::vector<Slot> before = std::exchange(slots_, std::vector<Slot>(4 * slots_.size()));
      for (const Slot& slot : before)
        if (slot.node) insert(slot);
    }
    insert({node, place});
  }

 private:
  struct Slot {
    const Node* node = nullptr;
    int place = -1;
  };
  size_t first_slot(const Node* node) const {
    return size_t(reinterpret_cast<uintptr_t>(node) * 0x9e3779b97f4a7c15 >> 32);
  }
  void insert(const Slot& slot) {
    size_t s = first_slot(slot.node);
    while (slots_[s & (slots_.size() - 1)].node) ++s;
    slots_[s & (slots_.size() - 1)] = slot;
  }

  std::vector<Slot> slots_ = std::vector<Slot>(16);  ///< as many as a power of two
  size_t size_ = 0;
};

struct Plan : ScheduledNodes {
  std::vector<NodeInfo> nodes;         ///< each after its sources
  NodeTable places;                    ///< of the nodes in that list
  std::vector<PlannedKernel> kernels;  ///< each after those it reads from

  NodeInfo& info(const Node& node) { return nodes[size_t(places.find(&node))]; }
  const NodeInfo& info(const Node& node) const { return nodes[size_t(places.find(&node))]; }

  /// What is computed in place has no buffer.
  tinyops::BufferRef buffer_of(const Node& node) const override {
    return node.realized() ? node.buffer : info(node).buffer;
  }
  /// A part of an Assemble, which becomes a node while its kernel is written, is in no list.
  std::span<const LazyBuffer> sources_of(const Node& node) const override {
    const int place = places.find(&node);
    return place < 0 ? node.sources : nodes[size_t(place)].sources();
  }

  /// Everything computed in place under `source`, down to the roots and leaves; `reads` lists these, and the guards on
  /// the way. What cannot be computed in place because two views do not merge is made a root.
  void walk(const LazyBuffer& source, const View& view, std::vector<FusedInput>& reads);
  std::vector<FusedInput> reads_of(const Node& node);
};

/// The second half: a plan of kernels becomes kernels with buffers.
std::vector<Step> assign_buffers(Plan& plan);

}  // namespace teeny
