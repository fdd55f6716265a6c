// The simplest scheduler there is: every node of the graph becomes one kernel, after the nodes that it reads, and gets
// a buffer of its own. fuse.cpp makes fewer kernels of the same graph; what they compute is the same.
//
//   (x + y).relu().sum()      Add  x y -> a       Max  a 0 -> b       Reduce Sum  b -> c
#include <unordered_map>
#include <utility>

#include "teeny/schedule/lower.h"
#include "teeny/schedule/schedule.h"

namespace teeny {
namespace {

class Unfused : public ScheduledNodes {
 public:
  std::vector<Step> steps;

  /// Adds the kernels of `target` and of everything it depends on. No recursion: a graph may be a million nodes deep.
  void add(const std::shared_ptr<Node>& target) {
    struct Visit {
      std::shared_ptr<Node> node;
      size_t next = 0;
    };
    std::vector<Visit> stack{{target}};
    while (!stack.empty()) {
      Visit& top = stack.back();
      if (is_ready(*top.node)) stack.pop_back();
      else if (top.next < top.node->sources.size()) stack.push_back({top.node->sources[top.next++].node()});
      else add_kernel(top.node);
    }
  }

  tinyops::BufferRef buffer_of(const Node& node) const override {
    if (node.realized()) return node.buffer;
    const auto found = buffers_.find(&node);
    return found == buffers_.end() ? nullptr : found->second;
  }
  std::span<const LazyBuffer> sources_of(const Node& node) const override { return node.sources; }

 private:
  bool is_ready(const Node& node) const { return has_no_memory(node.op) || buffer_of(node); }

  /// The kernel of a node whose sources are ready.
  void add_kernel(const std::shared_ptr<Node>& node) {
    std::vector<LazyBuffer> sources;
    for (const LazyBuffer& source : node->sources) sources.push_back(readable(source, is_special(node->op)));
    const Node reading(node->op, node->dtype, node->shape(), std::move(sources));
    const tinyops::BufferRef buffer = new_buffer(reading);
    if (const auto* assemble = std::get_if<node::Assemble>(&reading.op)) {
      for (size_t p = 0; p < reading.sources.size(); ++p) {  // a copy for each part
        const Node part(node::Copy{}, reading.dtype, reading.sources[p].shape(), {reading.sources[p]});
        steps.push_back({lower_to(part, buffer, assemble->places[p]), {}});
      }
    } else if (is_special(reading.op) && !is_contraction(reading.op)) {
      steps.push_back({lower_special(reading, buffer, *this), {}});
    } else {
      steps.push_back({lower_to(reading, buffer, View::contiguous(squeezed(reading.shape()))), {}});
    }
    steps.back().results.push_back({node, buffer});
    buffers_[node.get()] = buffer;
  }

  /// A kernel that computes `node` alone, into what `view` shows of the buffer.
  tinyops::Kernel lower_to(const Node& node, const tinyops::BufferRef& buffer, const View& view) const {
    const Destination destination{&node, buffer, view};
    return lower({iteration_shape(node), inner_axes(node), {&node}}, {&destination, 1}, *this);
  }

  /// `source` as one kernel can read it: through a single view, and from memory where that addresses memory itself.
  LazyBuffer readable(LazyBuffer source, bool from_memory) {
    while (!source.views().is_single()) {
      const std::span<const View> views = source.views().views();
      source = {copy({source.node(), ShapeTracker(views[0])}), ShapeTracker(views.subspan(1))};
    }
    if (from_memory && has_no_memory(source.node()->op)) source = {copy(LazyBuffer(source.node())), source.views()};
    return source;
  }

  std::shared_ptr<Node> copy(const LazyBuffer& x) {
    const std::shared_ptr<Node> node = x.contiguous().node();
    add_kernel(node);
    return node;
  }

  std::unordered_map<const Node*, tinyops::BufferRef> buffers_;
};

}  // namespace

std::vector<Step> schedule_unfused(std::span<const LazyBuffer> targets) {
  Unfused schedule;
  for (const LazyBuffer& target : targets) schedule.add(target.node());
  return std::move(schedule.steps);
}

}  // namespace teeny
