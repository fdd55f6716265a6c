// In whose memory: every kernel that fuse.cpp has planned gets buffers for its results, and becomes a program. The
// rules go on:
//
//  5. A root that is read only in its own kernel is not stored.                             add_program()
//  6. A result takes over the buffer of an input that is not needed after this kernel, is read in step, and not by a
//     contraction.                                                                          reuse_input_buffer()
//  7. The parts of an Assemble are written into one buffer, each where it belongs. A first part that is the whole and is
//     not needed after that is this buffer: assigning a slice copies nothing.
//                                                                                       add_parts(), reuse_first_part()
//     A part that is stored anyway is written to its place by the same kernel.              find_stored_parts()
#include <algorithm>
#include <deque>
#include <map>

#include "teeny/schedule/plan.h"
#include "tinyops/base/merge_axes.h"

namespace teeny {
namespace {

std::vector<View*> views_of(tinyops::RowKernel& k) {
  std::vector<View*> views;
  for (tinyops::Input& input : k.inputs) views.push_back(&input.operand.view);
  for (tinyops::Output& output : k.outputs) views.push_back(&output.operand.view);
  return views;
}

/// Neighbouring axes that every view walks as one become one. The border before the last `inner` axes stays, and a view
/// may lack the axes after it.
void merge_axes(Shape& shape, int& inner, std::span<View* const> views) {
  if (shape.size() < 2) return;
  std::vector<Dims*> strides;
  for (View* view : views) {
    strides.push_back(&view->address.coef);
    for (Guard& guard : view->guards) strides.push_back(&guard.position.coef);
  }
  const int border = tinyops::merge_axes(shape, strides, shape.size() - inner);
  inner = shape.size() - border;
  for (View* view : views) view->shape = Shape(shape.begin(), shape.begin() + view->address.coef.size());
}

/// The kernel with as few axes as its views allow.
tinyops::Kernel with_merged_axes(tinyops::Kernel kernel) {
  if (auto* rows = std::get_if<tinyops::RowKernel>(&kernel)) merge_axes(rows->shape, rows->inner, views_of(*rows));
  if (auto* contraction = std::get_if<tinyops::ContractKernel>(&kernel)) {
    std::vector<View*> views = views_of(contraction->epilogue);
    views.push_back(&contraction->a.view);
    views.push_back(&contraction->b.view);
    merge_axes(contraction->shape, contraction->reduced, views);
    contraction->epilogue.shape = Shape(contraction->shape.begin(), contraction->shape.end() - contraction->reduced);
  }
  return kernel;
}

class BufferAssignment {
 public:
  explicit BufferAssignment(Plan& plan) : plan_(plan) {}

  std::vector<Step> run() {
    mark_sources_of_unrealized();
    find_stored_parts();
    for (size_t g = 0; g < plan_.kernels.size(); ++g) {
      NodeInfo& first = info(*plan_.kernels[g].group.members[0]);
      if (plan_.kernels[g].open) add_program(int(g));
      else if (const auto* place = std::get_if<node::Assemble>(&first.node->op)) add_parts(first, place->places);
      else add_special(first);
    }
    return std::move(steps_);
  }

 private:
  NodeInfo& info(const Node& node) { return plan_.info(node); }


  // ---- 5. What is stored

  /// A node that is needed later and stays unrealized will read its own sources then.
  void mark_sources_of_unrealized() {
    for (size_t k = plan_.nodes.size(); k-- > 0;) {
      const NodeInfo& i = plan_.nodes[k];
      if (!i.needed_later || i.is_leaf()) continue;
      for (const LazyBuffer& source : i.node->sources) info(*source.node()).needed_later = true;
    }
  }

  void add_program(int number) {
    const FusionGroup& group = plan_.kernels[size_t(number)].group;
    Step step;
    std::vector<Destination> destinations;
    for (const Node* member : group.members) {
      NodeInfo& i = info(*member);
      if (!i.stored && !i.needed_later) continue;
      const auto places = stored_parts_.find(member);
      if (places != stored_parts_.end())
        destinations.insert(destinations.end(), places->second.begin(), places->second.end());
      if (places != stored_parts_.end() && i.uses == 1 && !i.needed_later) continue;  // it is read as a part alone
      i.buffer = reuse_input_buffer(number, *member);
      if (!i.buffer) i.buffer = new_buffer(*member);
      destinations.push_back({member, i.buffer, View::contiguous(squeezed(member->shape()))});
      step.results.push_back({i.node, i.buffer});
    }
    if (destinations.empty()) return;
    step.kernel = with_merged_axes(lower(group, destinations, plan_));
    steps_.push_back(std::move(step));
  }

  void add_special(NodeInfo& i) {
    i.buffer = new_buffer(*i.node);
    steps_.push_back({lower_special(*i.node, i.buffer, plan_), {{i.node, i.buffer}}});
  }

  // ---- 6. In place

  /// The buffer of an input that is not needed after this kernel and that is read in step, element by element or, where
  /// the result is a value of the row, row by row: the result can be written over it. This is how an optimiser updates
  /// its parameters in place. What a contraction reads it reads many times; so do the elements of a row that is
  /// reduced. A value of such a row may be stored before the row is over, so nothing else in its kernel may read what
  /// it is written over.
  tinyops::BufferRef reuse_input_buffer(int number, const Node& member) {
    // [exercise 13
    const PlannedKernel& kernel = plan_.kernels[size_t(number)];
    const bool in_rows = kernel.group.inner.empty() || squeezed(member.shape()) == row_shape(kernel.group);
    if (!in_rows || is_contraction(member.op)) return nullptr;
    for (const FusedInput& input : kernel.inputs) {
      NodeInfo& i = info(*input.node);
      if (has_no_memory(i.node->op) || i.needed_later || i.last_reader != number) continue;
      if (i.node->dtype != member.dtype || i.node->shape() != member.shape()) continue;
      bool in_step = true;
      for (const Node* reader : kernel.group.members)
        for (const FusedInput& read : plan_.reads_of(*reader))
          if (read.node == i.node.get())
            in_step &= !is_contraction(reader->op) && read.view.is_contiguous() && read.view.shape == i.node->shape() &&
                       (kernel.group.inner.empty() || reader == &member);
      if (!in_step) continue;
      if (plan_.buffer_of(*i.node)->is_alias()) continue;
      i.last_reader = -1;  // given away
      return plan_.buffer_of(*i.node);
    }
    return nullptr;
    // exercise 13]
  }

  // ---- 7. Parts

  /// Parts that a row kernel stores for other readers, too: the output of a recurrent layer's step, say, which the next
  /// step reads. They get a second destination. The first of overlapping parts is all of the result; those are left
  /// alone.
  void find_stored_parts() {
    std::map<int, size_t> outputs;  // of a kernel
    for (const PlannedKernel& kernel : plan_.kernels) {
      NodeInfo& whole = info(*kernel.group.members[0]);
      const auto* assemble = std::get_if<node::Assemble>(&whole.node->op);
      if (!assemble || whole.sources()[0].shape() == whole.node->shape()) continue;
      for (size_t p = 0; p < assemble->places.size(); ++p) {
        const LazyBuffer& part = whole.sources()[p];
        const Node* node = part.node().get();
        const int number = info(*node).group;
        const bool in_order = part.views().is_contiguous() && squeezed(part.shape()) == squeezed(node->shape());
        if (number < 0 || node->realized() || !in_order) continue;
        const PlannedKernel& writer = plan_.kernels[size_t(number)];
        if (!writer.open || !writer.group.inner.empty()) continue;
        size_t& count = outputs.emplace(number, writer.group.members.size()).first->second;
        if (count == tinyops::kMaxOutputs) continue;
        ++count;
        if (!whole.buffer) whole.buffer = new_buffer(*whole.node);
        stored_parts_[node].push_back({node, whole.buffer, assemble->places[p]});
        whole.stored_parts.push_back(p);
      }
    }
  }

  /// A kernel for each part, all into the one buffer:  [ part 0 | part 1 | part 2 ]. A first part that is the whole,
  /// and that nothing reads later, is there already: a slice is assigned without a copy of the rest.
  void add_parts(NodeInfo& i, std::span<const View> places) {
    std::vector<LazyBuffer> sources;
    std::vector<View> free_places;
    if (!i.buffer) i.buffer = reuse_first_part(i, places);
    const size_t first = i.buffer && i.stored_parts.empty() ? 1 : 0;
    if (!i.buffer) i.buffer = new_buffer(*i.node);
    for (size_t p = first; p < places.size(); ++p)
      if (!std::ranges::count(i.stored_parts, p)) sources.push_back(i.sources()[p]), free_places.push_back(places[p]);
    std::deque<Node> parts;  // they stay where they are
    for (const LazyBuffer& source : sources)
      parts.emplace_back(node::Copy{}, i.node->dtype, source.shape(), std::vector{source});
    // In one kernel, but not with a first part that is the whole: its elements and those over them have one place each.
    const bool apart = !parts.empty() && parts[0].shape() != i.node->shape();
    const size_t together = apart && fit_together(sources) ? parts.size() : 1;
    for (size_t p = 0; p < parts.size(); p += together) {
      FusionGroup group{squeezed(parts[p].shape()), {}, {}};
      std::vector<Destination> destinations;
      for (size_t k = p; k < p + together; ++k) {
        group.members.push_back(&parts[k]);
        destinations.push_back({&parts[k], i.buffer, free_places[k]});
      }
      steps_.push_back({with_merged_axes(lower(group, destinations, plan_)), {}});
    }
    steps_.back().results.push_back({i.node, i.buffer});
  }

  /// Parts of one shape that read the same elements are computed in one walk over these.
  bool fit_together(std::span<const LazyBuffer> parts) {
    int ops = 0, inputs = 0;
    for (const LazyBuffer& part : parts) {
      const NodeInfo& i = info(*part.node());
      if (i.is_leaf() || part.shape() != parts[0].shape()) return false;
      ops += i.ops, inputs += i.inputs;
    }
    return ops <= tinyops::kMaxInstructions && inputs <= tinyops::kMaxInputs &&
           int(parts.size()) <= tinyops::kMaxOutputs;
  }

  /// The buffer of the first part, if it is all of the result, is not needed after this, and the other parts read
  /// nothing of it but what they are written over.
  tinyops::BufferRef reuse_first_part(const NodeInfo& i, std::span<const View> places) {
    const LazyBuffer& first = i.sources()[0];
    NodeInfo& from = info(*first.node());
    const bool whole = first.views().is_contiguous() && first.node()->shape() == i.node->shape() && places.size() > 1;
    if (!whole || from.needed_later || from.last_reader != i.group) return nullptr;
    const tinyops::BufferRef buffer = plan_.buffer_of(*first.node());
    if (buffer && buffer->is_alias()) return nullptr;
    for (size_t p = 1; p < places.size(); ++p) {
      std::vector<FusedInput> reads;
      plan_.walk(i.sources()[p], i.sources()[p].views().view(), reads);
      for (const FusedInput& read : reads)
        if (read.node == first.node().get() && !(read.view == places[p])) return nullptr;
    }
    if (buffer) from.last_reader = -1;  // given away
    return buffer;
  }

  Plan& plan_;
  std::map<const Node*, std::vector<Destination>> stored_parts_;  ///< by the part
  std::vector<Step> steps_;
};

}  // namespace

std::vector<Step> assign_buffers(Plan& plan) { return BufferAssignment(plan).run(); }

}  // namespace teeny
