// A long history in parts. Scheduling looks up every node of a graph several times and holds all of its kernels: beyond
// a processor's cache each look-up is an access to memory, and the kernels of a million nodes are a gigabyte.
#include "teeny/schedule/parts.h"

#include <algorithm>
#include <unordered_set>

namespace teeny {
namespace {

constexpr size_t kNodesOfPart = 1 << 12;

bool is_computed(const Node& node) { return !node.realized() && !has_no_memory(node.op); }

}  // namespace

void compute_in_parts(std::span<const LazyBuffer> targets,
                      const std::function<void(std::span<const LazyBuffer>)>& compute) {
  struct Visit {
    const std::shared_ptr<Node>* node;
    size_t next = 0;
  };
  // A walk that ends with the targets; nodes on it are not computed, and so keep their sources.
  std::vector<Visit> stack;
  std::unordered_set<const Node*> finished;
  size_t unchanged = 0;  // so many at the bottom wait for what they waited for at the last part
  for (const LazyBuffer& target : targets) {
    if (target.node()->depth < kLongHistory || !is_computed(*target.node())) continue;
    stack.push_back({&target.node()});
    while (!stack.empty()) {
      Visit& top = stack.back();
      const std::vector<LazyBuffer>& sources = (*top.node)->sources;
      if (top.next < sources.size()) {
        const std::shared_ptr<Node>& source = sources[top.next++].node();
        if (is_computed(*source) && !finished.contains(source.get())) stack.push_back({&source});
        continue;
      }
      finished.insert(top.node->get());
      stack.pop_back();
      unchanged = std::min(unchanged, stack.size() - !stack.empty());
      if (finished.size() < kNodesOfPart || stack.empty()) continue;
      std::vector<LazyBuffer> part;  // what those on the way have walked already: all but the source that they wait for
      for (size_t r = unchanged; r < stack.size(); ++r)
        for (size_t s = 0; s + (r + 1 < stack.size()) < stack[r].next; ++s)
          if (const LazyBuffer& source = (*stack[r].node)->sources[s]; is_computed(*source.node()))
            part.emplace_back(source.node());
      compute(part);
      unchanged = stack.size() - 1;
      finished.clear();
    }
  }
}

}  // namespace teeny
