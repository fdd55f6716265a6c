// A training step is done or not done, also where one of its kernels throws.
//
//   forward, backward: may meet an index outside, or no memory     │ p, m, v: written in place │ what reads the new p
//   ── throws: all have their old values ──────────────────────────┼── throws: all will have ──┼── the new ones ──►
#include "teeny/schedule/assignments.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <new>
#include <unordered_map>
#include <unordered_set>

namespace teeny {
namespace {

using tinyops::Buffer;
using tinyops::Kernel;

/// While it lives, no pending assignment holds old values that something else holds, too: a scheduler that counts
/// holders then sees the program's alone.
class Lent {
 public:
  Lent() {
    for (PendingAssignment& p : context.pending) {
      if (p.before.use_count() < 2) continue;
      p.lent = p.before;
      p.before = nullptr;
    }
  }
  ~Lent() {
    for (PendingAssignment& p : context.pending)
      if (!p.before) p.before = p.lent.lock();
  }
};

/// What cannot be computed: the results of kernels that have thrown, and all that depends on them.
class Missing {
 public:
  /// A kernel that has thrown, or one that needs its results. Of the latter some results may not need them: kernels
  /// compute what is read together. These can still be computed by another kernel.
  void add(const Step& step, bool thrown) {
    tinyops::for_each_operand(step.kernel, [&](const tinyops::Operand& x, bool written) {
      if (written) buffers_.insert(x.buffer.get());
    });
    for (const Step::Result& result : step.results)
      if (thrown) known_[result.node.get()] = true;
  }
  bool is_needed_by(const Step& step) const {
    bool needed = false;
    if (!buffers_.empty())
      tinyops::for_each_operand(step.kernel,
                                [&](const tinyops::Operand& x, bool) { needed |= buffers_.contains(x.buffer.get()); });
    return needed;
  }
  /// Whether the node, which may be a part of a kernel, depends on them.
  bool contains(const Node* node) {
    struct Visit {
      const Node* node;
      size_t next = 0;
    };
    std::vector<Visit> stack{{node}};
    while (!stack.empty()) {
      Visit& top = stack.back();
      if (top.next == 0 && known_.contains(top.node)) {
        stack.pop_back();
      } else if (top.next < top.node->sources.size()) {
        stack.push_back({top.node->sources[top.next++].node().get()});
      } else {
        known_[top.node] =
            std::ranges::any_of(top.node->sources, [&](const LazyBuffer& x) { return known_[x.node().get()]; });
        stack.pop_back();
      }
    }
    return known_[node];
  }

 private:
  std::unordered_set<const Buffer*> buffers_;
  std::unordered_map<const Node*, bool> known_;
};

/// Only these meet what a program got wrong; another kernel throws for want of memory.
bool checks_an_index(const Kernel& kernel) {
  return std::holds_alternative<tinyops::GatherKernel>(kernel) ||
         std::holds_alternative<tinyops::ScatterKernel>(kernel);
}

/// Takes back the assignments that need it, with their groups.
void take_back_what_needs(Missing& missing) {
  std::unordered_set<int64_t> groups;
  std::vector<bool> failed;
  for (const PendingAssignment& p : context.pending) {
    const auto node = p.now.lock();
    failed.push_back(node && missing.contains(node.get()));
    if (failed.back() && p.group != 0) groups.insert(p.group);
  }
  size_t left = failed.size();
  for (size_t i = failed.size(); i-- > 0;) {
    if (!failed[i] && !groups.contains(context.pending[i].group)) continue;
    context.pending[i].take_back();
    std::rotate(context.pending.begin() + ptrdiff_t(i), context.pending.begin() + ptrdiff_t(i) + 1,
                context.pending.begin() + ptrdiff_t(left--));
  }
  context.pending.erase(context.pending.begin() + ptrdiff_t(left), context.pending.end());
}

}  // namespace

void assign_pending(const std::shared_ptr<LazyBuffer>& variable, LazyBuffer now) {
  context.pending.push_back({variable, now.node(), variable->node(), variable->views(), context.group});
  *variable = std::move(now);
}

void add_assignments(std::vector<LazyBuffer>& targets) {
  const size_t others = targets.size();
  for (const PendingAssignment& p : context.pending)
    if (auto node = p.unrealized()) targets.emplace_back(std::move(node));
  if (targets.size() == others) context.pending.clear();
}

std::vector<Step> schedule_assignments(std::span<const LazyBuffer> targets) {
  const Lent counted_by_others_alone;
  return schedule(targets);
}

LateWrites write_late(std::span<Kernel* const> kernels, std::span<const Buffer* const> old_values) {
  // What kernels that come later touch may not change before them, and what they write may not be read. Collectives
  // stay in their order, as if they all wrote to one buffer.
  struct Touched {
    std::unordered_map<const Buffer*, bool> written = {};
    bool conflicts(Kernel& kernel) const {
      bool found = std::holds_alternative<tinyops::CollectiveKernel>(kernel) && written.contains(nullptr);
      tinyops::for_each_operand(kernel, [&](const tinyops::Operand& x, bool writes) {
        const auto other = written.find(x.buffer.get());
        found |= other != written.end() && (writes || other->second);
      });
      return found;
    }
    void add(Kernel& kernel) {
      if (std::holds_alternative<tinyops::CollectiveKernel>(kernel)) written[nullptr] = true;
      tinyops::for_each_operand(kernel,
                                [&](const tinyops::Operand& x, bool writes) { written[x.buffer.get()] |= writes; });
    }
  };
  const std::unordered_set<const Buffer*> old(old_values.begin(), old_values.end());
  Touched by_writes, by_rest;
  std::vector<size_t> writes, rest;
  LateWrites result;
  for (size_t k = 0; k < kernels.size(); ++k) {
    Kernel& kernel = *kernels[k];
    bool writes_over = false;
    tinyops::for_each_operand(kernel, [&](const tinyops::Operand& x, bool written) {
      writes_over |= written && old.contains(x.buffer.get());
    });
    if (by_rest.conflicts(kernel)) rest.push_back(k), by_rest.add(kernel);
    else if (writes_over) writes.push_back(k), by_writes.add(kernel);
    else if (by_writes.conflicts(kernel)) rest.push_back(k), by_rest.add(kernel);
    else result.order.push_back(k);
  }
  result.writes = result.order.size();
  result.rest = result.writes + writes.size();
  result.order.insert(result.order.end(), writes.begin(), writes.end());
  result.order.insert(result.order.end(), rest.begin(), rest.end());
  return result;
}

namespace {

/// Old values that the step writes over, all of them at once, become a buffer of their own from here on. Whether there
/// were any.
bool write_elsewhere(std::span<Step> steps, size_t number, std::span<const Buffer* const> old_values) {
  std::vector<std::pair<const Buffer*, tinyops::BufferRef>> moved;
  tinyops::for_each_operand(steps[number].kernel, [&](tinyops::Operand& x, bool written) {
    int64_t elements = 1;  // what it writes: a value of a row does not move along the row
    for (int a = 0; a < x.view.shape.size(); ++a) elements *= x.view.address.coef[a] == 0 ? 1 : x.view.shape[a];
    if (!written || size_t(elements * itemsize(x.dtype)) != x.buffer->bytes() ||
        !std::ranges::count(old_values, x.buffer.get()))
      return;
    moved.emplace_back(x.buffer.get(), std::make_shared<Buffer>(x.buffer->bytes()));
  });
  for (const auto& [from, to] : moved)
    for (size_t s = number; s < steps.size(); ++s) {
      tinyops::for_each_operand(steps[s].kernel, [&, &from = from, &to = to](tinyops::Operand& x, bool written) {
        if (x.buffer.get() == from && (written || s > number)) x.buffer = to;
      });
      for (Step::Result& result : steps[s].results)
        if (result.buffer.get() == from) result.buffer = to;
    }
  return !moved.empty();
}

/// Orders the steps by `write_late`. Where kernels that an assignment needs must come after one that writes over the
/// old values of another (an optimiser's, say, that updates a bias and hands the gradient on), that one writes
/// elsewhere.
LateWrites late_writes(std::span<Step> steps) {
  std::vector<Kernel*> kernels;
  std::vector<const Buffer*> old_values;
  std::unordered_set<const Node*> assigned;
  for (Step& step : steps) kernels.push_back(&step.kernel);
  for (const PendingAssignment& p : context.pending) {
    assigned.insert(p.now.lock().get());
    if (p.before && p.before->realized()) old_values.push_back(p.before->buffer.get());
  }
  while (true) {
    LateWrites late = write_late(kernels, old_values);
    std::unordered_map<const Buffer*, bool> touched;  // by the rest, up to the last assignment there: whether written
    bool needed = false;
    for (size_t i = late.order.size(); i-- > late.rest;) {
      const Step& step = steps[late.order[i]];
      needed |=
          std::ranges::any_of(step.results, [&](const Step::Result& x) { return assigned.contains(x.node.get()); });
      if (needed)
        tinyops::for_each_operand(step.kernel,
                                  [&](const tinyops::Operand& x, bool writes) { touched[x.buffer.get()] |= writes; });
    }
    bool changed = false;
    for (size_t i = late.writes; needed && i < late.rest; ++i) {
      bool in_the_way = false;
      tinyops::for_each_operand(steps[late.order[i]].kernel, [&](const tinyops::Operand& x, bool written) {
        const auto other = touched.find(x.buffer.get());
        in_the_way |= other != touched.end() && (written || other->second);
      });
      if (in_the_way) changed |= write_elsewhere(steps, late.order[i], old_values);
    }
    if (!changed) return late;
  }
}

}  // namespace

void run_assignments(std::vector<Step>&& steps) {
  if (context.pending.empty()) {
    for (Step& step : steps) run_step(step);
    return;
  }
  const LateWrites late = late_writes(steps);
  std::vector<Step> ordered;
  for (size_t s : late.order) ordered.push_back(std::move(steps[s]));
  steps = std::move(ordered);
  std::exception_ptr error;
  bool stopped = false;
  Missing missing;
  for (size_t i = 0; i < steps.size(); ++i) {
    // After an index outside the rest is met now, too: one mistake is one Error. But nothing more is written over.
    stopped |= error && (i == late.writes || i == late.rest);
    if (missing.is_needed_by(steps[i])) missing.add(steps[i], false);
    else if (!stopped) try {
        run_step(steps[i]);
      } catch (...) {
        if (!error) error = std::current_exception();
        const bool refused = checks_an_index(steps[i].kernel);
        stopped |= !refused;
        // Where old values have been written over and memory is short, the new ones stay pending.
        if (refused || i <= late.writes) missing.add(steps[i], true);
      }
  }
  if (!error) return;
  try {
    take_back_what_needs(missing);
  } catch (const std::bad_alloc&) {}  // they all stay pending
  std::rethrow_exception(error);
}

void realize_alone(std::span<const LazyBuffer> targets) {
  std::unordered_set<const Node*> nodes;
  std::unordered_set<int64_t> groups;
  for (const LazyBuffer& target : targets) nodes.insert(target.node().get());
  for (const PendingAssignment& p : context.pending)
    if (nodes.contains(p.now.lock().get())) groups.insert(p.group);
  // Those aside come back behind what is left then; there is room for them, as there was before.
  struct Aside {
    std::vector<PendingAssignment> others;
    ~Aside() { std::ranges::move(others, std::back_inserter(context.pending)); }
  } aside;
  aside.others.reserve(context.pending.size());
  const auto first =
      std::ranges::stable_partition(context.pending, [&](const auto& p) { return groups.contains(p.group); });
  std::ranges::move(first, std::back_inserter(aside.others));
  context.pending.erase(first.begin(), first.end());
  realize(targets);
}

}  // namespace teeny
