#include "teeny/graph/lazy.h"

#include <algorithm>

#include "teeny/graph/context.h"

namespace teeny {

// ---- Views on views -------------------------------------------------------------------------------------------------

ShapeTracker::ShapeTracker(std::span<const View> stack) {
  for (const auto& known : context.recent_views)
    if (known && std::ranges::equal(*known, stack)) {
      views_ = known;
      return;
    }
  views_ = std::make_shared<std::vector<View>>(stack.begin(), stack.end());
  context.recent_views[context.next_view++ % context.recent_views.size()] = views_;
}

ShapeTracker ShapeTracker::with(View last) const {
  size_t below = views_->size() - 1;
  while (below > 0) {
    std::optional<View> merged = compose(last, (*views_)[below - 1]);
    if (!merged) break;
    last = std::move(*merged);
    --below;
  }
  if (below == 0) return ShapeTracker(last);
  std::vector<View> stack(views_->begin(), views_->begin() + std::ptrdiff_t(below));
  stack.push_back(std::move(last));
  return ShapeTracker(stack);
}

ShapeTracker ShapeTracker::reshape(const Shape& to) const {
  if (std::optional<View> seen = view().reshape(to)) return with(std::move(*seen));
  std::vector<View> stack = *views_;
  stack.push_back(View::contiguous(to));
  return ShapeTracker(stack);
}

// ---- Nodes ----------------------------------------------------------------------------------------------------------

namespace {

/// Whether every element of `x` is the constant `value`.
bool is_constant(const LazyBuffer& x, double value) {
  const auto* constant = std::get_if<node::Constant>(&x.node()->op);
  return constant && x.views().is_single() && x.views().view().guards.empty() && constant->value.as<double>() == value;
}

/// All elements of `shape`: in the way of a source that is seen so, too.
ShapeTracker whole_of(const Shape& shape, std::span<const LazyBuffer> sources) {
  for (const LazyBuffer& source : sources)
    if (source.shape() == shape && source.views().is_contiguous()) return source.views();
  return ShapeTracker(shape);
}

}  // namespace

Node::Node(NodeOp op, DType dtype, const Shape& shape, std::vector<LazyBuffer> from)
    : op(std::move(op)), dtype(dtype), thread(context.thread), whole(whole_of(shape, from)), sources(std::move(from)) {
  for (const LazyBuffer& source : sources)
    if (!source.node()->realized()) depth = std::max(depth, source.node()->depth + 1);
}

LazyBuffer new_node(NodeOp op, DType dtype, const Shape& shape, std::vector<LazyBuffer> sources) {
  for (const LazyBuffer& x : sources)
    if (x.node()->of_another_thread())
      fail("a tensor of ", x.shape(), " was made by another thread and is not computed yet: realize() it there first");
  return LazyBuffer(std::make_shared<Node>(std::move(op), dtype, shape, std::move(sources)));
}

bool Node::of_another_thread() const { return thread != context.thread && !realized() && !has_no_memory(op); }

// Dropping the last user of a long history must not recurse along it, and must not need memory. Below each source the
// walk goes down through nodes that nobody else holds; the way back up is kept in the places of the sources it has
// left.
Node::~Node() {
  // [exercise 09
  for (LazyBuffer& source : sources) {
    std::shared_ptr<Node> node = std::move(source.node_), up;
    while (node) {
      if (node.use_count() == 1 && !node->sources.empty()) {
        std::swap(node->sources.back().node_, up);
        std::swap(up, node);
      } else if ((node = std::move(up))) {  // what it was dies, if nobody else holds it
        up = std::move(node->sources.back().node_);
        node->sources.pop_back();
      }
    }
  }
  // exercise 09]
}

LazyBuffer::LazyBuffer(std::shared_ptr<Node> node) : node_(std::move(node)), views_(node_->whole) {}

DType LazyBuffer::dtype() const { return node_->dtype; }

LazyBuffer LazyBuffer::source(tinyops::BufferRef buffer, DType dtype, const Shape& shape) {
  LazyBuffer result = new_node(node::Source{}, dtype, shape, {});
  result.node_->buffer = std::move(buffer);
  return result;
}

LazyBuffer LazyBuffer::constant(Scalar value, DType dtype, const Shape& shape) {
  const View everywhere{shape, {Dims::filled(shape.size(), 0)}, {}};
  return {new_node(node::Constant{value}, dtype, {}, {}).node_, ShapeTracker(everywhere)};
}

LazyBuffer LazyBuffer::iota(int64_t size) { return new_node(node::Iota{}, DType::Int64, {size}, {}); }

LazyBuffer LazyBuffer::random(uint64_t seed, uint64_t counter, DType dtype, const Shape& shape) {
  return special(tinyops::RandomKernel{seed, counter}, dtype, shape, {});
}

LazyBuffer LazyBuffer::cast(DType to) const {
  return to == dtype() ? *this : new_node(UnaryOp::Cast, to, shape(), {*this});
}

LazyBuffer LazyBuffer::bitcast(DType to) const { return new_node(UnaryOp::Bitcast, to, shape(), {*this}); }

LazyBuffer LazyBuffer::unary(UnaryOp op) const {
  return new_node(op, gives_bool(op) ? DType::Bool : dtype(), shape(), {*this});
}

LazyBuffer LazyBuffer::binary(BinaryOp op, const LazyBuffer& y) const {
  // Gradients start as ones and are multiplied along: the one case worth leaving out of the graph.
  if (op == BinaryOp::Mul && is_constant(y, 1)) return *this;
  if (op == BinaryOp::Mul && is_constant(*this, 1)) return y;
  return new_node(op, gives_bool(op) ? DType::Bool : dtype(), shape(), {*this, y});
}

LazyBuffer LazyBuffer::reduce(ReduceOp op, const Dims& axes) const {
  Shape reduced = shape();
  for (int64_t a : axes) reduced[int(a)] = 1;
  if (reduced == shape()) return *this;  // only axes of size 1
  LazyBuffer result = new_node(node::Reduce{op}, dtype(), reduced, {*this});
  if (numel(reduced) <= Context::kLargestTotal) context.add_total(result.node());
  return result;
}

LazyBuffer LazyBuffer::contiguous() const { return new_node(node::Copy{}, dtype(), shape(), {*this}); }

LazyBuffer where(const LazyBuffer& condition, const LazyBuffer& x, const LazyBuffer& y) {
  return new_node(TernaryOp::Where, x.dtype(), x.shape(), {condition, x, y});
}

LazyBuffer contract(const LazyBuffer& a, const LazyBuffer& b, int reduced) {
  const Shape free(a.shape().begin(), a.shape().end() - reduced);
  return new_node(node::Contract{reduced}, a.dtype(), free, {a, b});
}

namespace {
struct NodeName {
  std::string_view operator()(node::Source) const { return "Source"; }
  std::string_view operator()(node::Constant) const { return "Constant"; }
  std::string_view operator()(node::Iota) const { return "Iota"; }
  std::string_view operator()(node::Copy) const { return "Copy"; }
  std::string_view operator()(node::Contract) const { return "Contract"; }
  std::string_view operator()(const node::Assemble&) const { return "Assemble"; }
  std::string_view operator()(const node::Special& s) const {
    return std::visit([](const auto& k) { return k.kind; }, *s.kernel);
  }
  std::string_view operator()(const node::Reduce& r) const { return teeny::name(r.op); }
  std::string_view operator()(auto elementwise) const { return teeny::name(elementwise); }
};
}  // namespace

std::string_view name(const NodeOp& op) { return std::visit(NodeName{}, op); }

}  // namespace teeny
