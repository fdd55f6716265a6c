// Which nodes become one kernel. The rules, in the order in which they are applied:
//
//  1. A node that is read through several views, or a constant that is read by a kernel that addresses memory itself,
//     is copied first.                                                                      replace_sources()
//  2. These are roots, each computed once, by one kernel: targets, reductions, the special kinds and what they read,
//     copies; what is read more than once and expensive to recompute; and whatever would make a program too long.
//     Everything else is computed where it is read.                                         mark_roots()
//  3. What cannot be computed where it is read, because two views do not merge, is a root too.
//                                                                                           mark_unmergeable()
//  4. A root joins the kernel of its newest input, or one that reads the same data, when it walks the same elements and
//     everything else it reads is ready by then; otherwise it starts a kernel. A contraction always starts one, and
//     only element-wise work on its sums joins it. Scalars that depend on nothing else come first.
//                                                                                           group_roots()
//
// Rules 5 to 7, about the memory for the results, are in memory.cpp.
#include "teeny/schedule/schedule.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>

#include "teeny/schedule/plan.h"

namespace teeny {

namespace {

/// Computing this again costs more than reading it from memory; and computing this for every element of a long row
/// costs more than once for the row.
constexpr int kExpensiveToRecompute = 8, kExpensiveToRepeat = 3;
/// What one root may bring into a kernel: half of the limit, the rest is for roots that join it.
constexpr int kMaxOpsOfRoot = tinyops::kMaxInstructions / 2;
constexpr int kMaxInputsOfRoot = tinyops::kMaxInputs / 2;

int cost(const NodeOp& op) {
  return std::visit(
      []<class Op>(const Op& o) {
        if constexpr (std::is_enum_v<Op>) return tinyops::cost(o);
        else return 1;
      },
      op);
}

bool is_elementwise(const NodeOp& op) {
  return std::holds_alternative<UnaryOp>(op) || std::holds_alternative<BinaryOp>(op) ||
         std::holds_alternative<TernaryOp>(op);
}
/// A constant that needs no input: it is the same everywhere.
bool is_constant(const LazyBuffer& x) {
  return std::holds_alternative<node::Constant>(x.node()->op) && x.views().view().guards.empty();
}
/// Whether a view shows some element of `node` more than once.
bool repeats(const View& view, const Node& node) { return view.numel() > numel(node.shape()); }

class Scheduler {
 public:
  explicit Scheduler(Plan& plan) : plan_(plan), nodes_(plan.nodes), kernels_(plan.kernels) {
    nodes_.reserve(8);  // the graph of a small expression without a second allocation
  }

  void run(std::span<const LazyBuffer> targets) {
    for (const LazyBuffer& target : targets)
      if (!target.node()->realized() && !has_no_memory(target.node()->op)) {
        collect(target.node());
        info(*target.node()).target = true;
      }
    copies_.clear();
    find_needed_later();
    mark_roots();
    mark_unmergeable();
    group_roots();
  }

 private:
  NodeInfo& info(const Node& node) { return plan_.info(node); }

  // ---- 1. The nodes, each after its sources

  void collect(const std::shared_ptr<Node>& target) {
    if (is_known(*target)) return;
    struct Visit {
      std::shared_ptr<Node> node;
      size_t next = 0;
      std::vector<LazyBuffer> replaced = {};
      std::span<const LazyBuffer> sources() const { return replaced.empty() ? node->sources : replaced; }
    };
    std::vector<Visit> stack{{target}};
    while (!stack.empty()) {
      Visit& top = stack.back();
      if (top.next == 0) top.replaced = replace_sources(*top.node);
      const std::span<const LazyBuffer> sources = top.sources();
      if (top.next < sources.size()) {
        const std::shared_ptr<Node>& source = sources[top.next++].node();
        if (!is_known(*source)) stack.push_back({source});
        continue;
      }
      if (!is_known(*top.node)) add(top.node, std::move(top.replaced));
      stack.pop_back();
    }
  }

  bool is_known(const Node& node) const { return plan_.places.find(&node) >= 0; }

  void add(const std::shared_ptr<Node>& node, std::vector<LazyBuffer> replaced) {
    for (const LazyBuffer& source : node->sources) ++info(*source.node()).references;
    for (const LazyBuffer& source : replaced) ++info(*source.node()).references;
    plan_.places.add(node.get(), int(nodes_.size()));
    NodeInfo& i = nodes_.emplace_back();
    i.node = node;
    i.replaced = std::move(replaced);
    for (const LazyBuffer& source : i.sources()) ++info(*source.node()).uses;
  }

  /// The sources that the schedule reads in place of the node's own; empty where these can be read as they are.
  std::vector<LazyBuffer> replace_sources(const Node& node) {
    const bool special = is_special(node.op);
    const auto unreadable = [&](const LazyBuffer& source) {
      return !source.views().is_single() || (special && has_no_memory(source.node()->op));
    };
    if (std::ranges::none_of(node.sources, unreadable)) return {};
    std::vector<LazyBuffer> result = node.sources;
    for (LazyBuffer& source : result) {
      while (!source.views().is_single())
        source = LazyBuffer(copy(source.node(), source.views().views()[0]),
                            ShapeTracker(source.views().views().subspan(1)));
      if (special && has_no_memory(source.node()->op))
        source = LazyBuffer(copy(source.node(), View::contiguous(source.node()->shape())), source.views());
    }
    return result;
  }

  /// The node's elements as `view` shows them, in memory: copied once for all who read them.
  std::shared_ptr<Node> copy(const std::shared_ptr<Node>& node, const View& view) {
    auto& copies = copies_[node.get()];
    for (const auto& [known, result] : copies)
      if (known == view) return result;
    const LazyBuffer result = LazyBuffer(node, ShapeTracker(view)).contiguous();
    copies.emplace_back(view, result.node());
    return result.node();
  }

  /// A node with more owners than there are references in this schedule is read again after it has run: by a tensor, or
  /// by a node that stays unrealized. Nothing is written over what is frozen.
  void find_needed_later() {
    for (NodeInfo& i : nodes_) {
      const bool is_frozen = i.node->realized() && i.node->buffer->derived();
      i.needed_later = i.target || is_frozen || i.node.use_count() - 1 > i.references;
    }
  }

  // ---- 2. Roots

  void mark_roots() {
    for (NodeInfo& i : nodes_) {
      const Node& node = *i.node;
      if (i.is_leaf()) continue;
      if (std::holds_alternative<node::Assemble>(node.op)) {
        for (const LazyBuffer& part : i.sources())
          if (follows_contraction(part)) info(*part.node()).root = true;
        i.root = true;
        continue;
      }
      if (is_special(node.op)) {
        for (const LazyBuffer& source : i.sources())
          if (!source.node()->realized()) info(*source.node()).root = true;
        i.root = true;
        continue;
      }
      for (const LazyBuffer& source : i.sources()) {
        NodeInfo& from = info(*source.node());
        if (from.is_leaf()) continue;
        const bool repeated = repeats(source.views().view(), *from.node);
        if (repeated && from.cost >= kExpensiveToRepeat) from.root = true;
        // A contraction computes what follows on it while its sums are near: not where a reduction would do it again.
        const bool beside_others = !is_elementwise(node.op) && from.uses + from.needed_later > 1;
        if ((repeated || beside_others) && follows_contraction(LazyBuffer(source.node()))) from.root = true;
      }
      while (!fits(i)) largest_source(i).root = true;
      const bool shared = i.uses + i.needed_later > 1;
      i.root = i.target || !is_elementwise(node.op) || (shared && i.cost >= kExpensiveToRecompute);
    }
  }

  /// Whether this is elementwise work on a contraction's sums: as its epilogue it writes its part of the whole itself.
  bool follows_contraction(const LazyBuffer& x) {
    const NodeInfo& i = info(*x.node());
    if (i.is_leaf() || !x.views().is_contiguous() || !is_elementwise(i.node->op)) return false;
    return std::ranges::any_of(i.sources(), [&](const LazyBuffer& source) {
      return (is_contraction(source.node()->op) && source.shape() == x.shape()) || follows_contraction(source);
    });
  }

  /// Adds up what the node brings into a kernel; false when it is too much.
  bool fits(NodeInfo& i) {
    i.ops = rounds(*i.node) ? 2 : 1;
    i.inputs = 0;
    i.cost = cost(i.node->op);
    for (const LazyBuffer& source : i.sources()) {
      const NodeInfo& from = info(*source.node());
      i.ops += from.is_leaf() ? 1 : from.ops;
      i.inputs += is_constant(source) ? 0 : from.is_leaf() ? 1 : from.inputs;
      i.cost += from.is_leaf() ? 0 : from.cost;
    }
    return i.ops <= kMaxOpsOfRoot && i.inputs <= kMaxInputsOfRoot;
  }

  NodeInfo& largest_source(const NodeInfo& i) {
    NodeInfo* largest = nullptr;
    for (const LazyBuffer& source : i.sources()) {
      NodeInfo& from = info(*source.node());
      if (!from.is_leaf() && (!largest || from.ops + 4 * from.inputs > largest->ops + 4 * largest->inputs))
        largest = &from;
    }
    return *largest;
  }

  // ---- 3. Views that do not merge. From the last root to the first, because a root found on the way comes earlier.

  void mark_unmergeable() {
    std::vector<FusedInput> ignored;
    for (size_t k = nodes_.size(); k-- > 0;)
      if (nodes_[k].root && !nodes_[k].node->realized())
        for (const LazyBuffer& source : nodes_[k].sources()) {
          ignored.clear();
          plan_.walk(source, source.views().view(), ignored);
        }
  }

  // ---- 4. Kernels

  /// Scalars that depend on nothing else come first: a step size must not keep the update of a parameter from joining
  /// the kernel that computes its gradient.
  void group_roots() {
    const auto is_ready = [&](const FusedInput& read) {
      const Node& node = *read.node;
      return has_no_memory(node.op) || (numel(node.shape()) == 1 && (node.realized() || info(node).group >= 0));
    };
    for (const bool scalars_only : {true, false})
      for (NodeInfo& i : nodes_) {
        if (!i.root || i.node->realized() || i.group >= 0) continue;
        if (scalars_only && !(is_elementwise(i.node->op) && numel(i.node->shape()) == 1)) continue;
        const std::vector<FusedInput> reads = plan_.reads_of(*i.node);
        if (scalars_only && !std::ranges::all_of(reads, is_ready)) continue;
        i.group = choose_group(i, reads);
        record_reads(i, reads);
      }
  }

  int choose_group(NodeInfo& i, std::span<const FusedInput> reads) {
    const Node& node = *i.node;
    if (is_contraction(node.op)) {
      kernels_.push_back({{squeezed(node.shape()), {}, {&node}}, true, 0, {{&node, View::contiguous(node.shape())}}});
    } else if (is_elementwise(node.op) || std::holds_alternative<node::Reduce>(node.op) ||
               std::holds_alternative<node::Copy>(node.op)) {
      for (const int candidate : candidates(reads))
        if (join(kernels_[size_t(candidate)], candidate, i, reads)) return candidate;
      kernels_.push_back({{iteration_shape(node), inner_axes(node), {&node}}, true, 0, {}});
    } else {
      kernels_.push_back({{{}, {}, {&node}}, false, 0, {}});
    }
    return int(kernels_.size()) - 1;
  }

  /// Groups a root may join: the newest it reads from (its other inputs are ready before that one is), and later ones
  /// that read the same data in full.
  std::vector<int> candidates(std::span<const FusedInput> reads) {
    // [exercise 10
    int newest = -1;
    for (const FusedInput& read : reads) newest = std::max(newest, info(*read.node).group);
    std::vector<int> result;
    if (newest >= 0) result.push_back(newest);
    for (const FusedInput& read : reads) {
      const int reader = info(*read.node).last_reader;
      if (reader > newest && numel(read.node->shape()) > 1 && !repeats(read.view, *read.node)) result.push_back(reader);
    }
    return result;
    // exercise 10]
  }

  /// Adds the root to the kernel if it walks the same elements (or rows) and reads what the kernel computes only in
  /// step.
  bool join(PlannedKernel& plan, int number, const NodeInfo& i, std::span<const FusedInput> reads) {
    if (!plan.open) return false;
    FusionGroup& group = plan.group;
    const Node& node = *i.node;
    const Shape space = iteration_shape(node);
    const Dims inner = inner_axes(node);
    const Shape rows = row_shape(group);
    const bool per_element = space == group.space;
    if (!per_element && !(inner.empty() && space == rows)) return false;
    if (!inner.empty() && !group.inner.empty() && inner != group.inner) return false;
    const auto computed_here = [&](const FusedInput& read) { return info(*read.node).group == number; };
    if (is_contraction(group.members[0]->op) && (!inner.empty() || std::ranges::none_of(reads, computed_here)))
      return false;

    std::vector<FusedInput> inputs = plan.inputs;
    for (const FusedInput& read : reads) {
      if (!computed_here(read)) {
        add_input(inputs, read);
        continue;
      }
      const View view = *read.view.reshape(space);
      const Shape made = squeezed(read.node->shape());
      const bool in_step = view.is_contiguous() && made == space;
      if (in_step) continue;
      // A value of the row, read by each of its elements: the row is walked once more.
      const bool of_row = per_element && made == rows && view == broadcast_rows(View::contiguous(rows), group);
      if (!of_row || row_length(group) > tinyops::kMaxRow) return false;
    }
    if (plan.ops + instructions(i, reads) > tinyops::kMaxInstructions || int(inputs.size()) > tinyops::kMaxInputs ||
        int(group.members.size()) >= tinyops::kMaxOutputs)
      return false;
    if (group.inner.empty()) group.inner = inner;
    group.members.push_back(&node);
    return true;
  }

  static int64_t row_length(const FusionGroup& group) {
    int64_t length = 1;
    for (int64_t a : group.inner) length *= group.space[int(a)];
    return length;
  }

  /// A constant needs no input, unless guards make it 0 somewhere.
  static void add_input(std::vector<FusedInput>& inputs, const FusedInput& read) {
    const bool loaded = !std::holds_alternative<node::Constant>(read.node->op) || !read.view.guards.empty();
    if (loaded && !std::ranges::count(inputs, read)) inputs.push_back(read);
  }

  /// Guards take a load, a zero and a choice between it and the value.
  int instructions(const NodeInfo& i, std::span<const FusedInput> reads) {
    return i.ops +
           3 * int(std::ranges::count_if(reads, [&](const FusedInput& read) { return !info(*read.node).is_leaf(); }));
  }

  void record_reads(const NodeInfo& i, std::span<const FusedInput> reads) {
    PlannedKernel& plan = kernels_[size_t(i.group)];
    plan.ops += instructions(i, reads);
    for (const FusedInput& read : reads) {
      NodeInfo& from = info(*read.node);
      if (from.group == i.group) continue;
      add_input(plan.inputs, read);
      if (!from.is_leaf()) continue;
      from.stored = true;
      from.last_reader = std::max(from.last_reader, i.group);
    }
  }

  Plan& plan_;
  std::vector<NodeInfo>& nodes_;
  std::vector<PlannedKernel>& kernels_;
  std::unordered_map<const Node*, std::vector<std::pair<View, std::shared_ptr<Node>>>> copies_;
};

}  // namespace

/// The depth is bounded by kMaxOpsOfRoot.
void Plan::walk(const LazyBuffer& source, const View& view, std::vector<FusedInput>& reads) {
  const Node& node = *source.node();
  if (!info(node).is_leaf()) {
    const std::span<const LazyBuffer> sources = sources_of(node);
    std::array<std::optional<View>, 3> views;  // where a source is not seen as the node is
    for (size_t s = 0; s < sources.size(); ++s) {
      if (sources[s].views().is_contiguous()) continue;
      views[s] = compose(view, sources[s].views().view());
      if (!views[s]) {
        info(node).root = true;
        break;
      }
    }
    if (!info(node).root) {
      if (!view.guards.empty() && !keeps_zero(node.op)) reads.push_back({&node, view});
      for (size_t s = 0; s < sources.size(); ++s) walk(sources[s], views[s] ? *views[s] : view, reads);
      return;
    }
  }
  reads.push_back({&node, view});
}

std::vector<FusedInput> Plan::reads_of(const Node& node) {
  std::vector<FusedInput> reads;
  for (const LazyBuffer& source : sources_of(node)) walk(source, source.views().view(), reads);
  return reads;
}

std::vector<Step> schedule_fused(std::span<const LazyBuffer> targets) {
  Plan plan;
  Scheduler(plan).run(targets);
  return assign_buffers(plan);
}

}  // namespace teeny
