#include "teeny/graph/lazy.h"

#include "teeny/graph/context.h"

namespace teeny {
namespace {

LazyBuffer make(NodeOp op, DType dtype, const Shape& shape, std::vector<LazyBuffer> sources) {
  for (const LazyBuffer& source : sources)
    if (source.node()->of_another_thread())
      fail("a tensor of ", source.shape(), " was made by another thread and is not computed yet: realize() it there first");
  return LazyBuffer(std::make_shared<Node>(std::move(op), dtype, shape, std::move(sources)));
}

/// Whether every element of `x` is the constant `value`.
bool is_constant(const LazyBuffer& x, double value) {
  const auto* constant = std::get_if<node::Constant>(&x.node()->op);
  return constant && x.views().is_single() && x.views().view().guards.empty() && constant->value.as<double>() == value;
}

}  // namespace

Node::Node(NodeOp op, DType dtype, Shape shape, std::vector<LazyBuffer> sources)
    : op(std::move(op)), dtype(dtype), shape(std::move(shape)), sources(std::move(sources)), thread(context().thread) {}

bool Node::of_another_thread() const {
  return thread != context().thread && !realized() && !std::holds_alternative<node::Constant>(op) &&
         !std::holds_alternative<node::Iota>(op);
}

// Dropping the last user of a long chain must not recurse along it: nodes that only this one kept alive hand over
// their sources first, and die childless.
Node::~Node() {
  std::vector<LazyBuffer> dying = std::move(sources);
  while (!dying.empty()) {
    const LazyBuffer last = std::move(dying.back());
    dying.pop_back();
    if (last.node().use_count() != 1) continue;
    for (LazyBuffer& source : last.node()->sources) dying.push_back(std::move(source));
    last.node()->sources.clear();
  }
}

LazyBuffer::LazyBuffer(std::shared_ptr<Node> node) : node_(std::move(node)), views_(node_->shape) {}

DType LazyBuffer::dtype() const { return node_->dtype; }

LazyBuffer LazyBuffer::source(tinyops::BufferRef buffer, DType dtype, const Shape& shape) {
  LazyBuffer result = make(node::Source{}, dtype, shape, {});
  result.node_->buffer = std::move(buffer);
  return result;
}

LazyBuffer LazyBuffer::constant(Scalar value, DType dtype, const Shape& shape) {
  return make(node::Constant{value}, dtype, {}, {}).reshape(Dims::filled(shape.size(), 1)).expand(shape);
}

LazyBuffer LazyBuffer::iota(int64_t size) { return make(node::Iota{}, DType::Int64, {size}, {}); }

LazyBuffer LazyBuffer::random(uint64_t seed, uint64_t counter, DType dtype, const Shape& shape) {
  return make(node::Random{seed, counter}, dtype, shape, {});
}

LazyBuffer LazyBuffer::cast(DType to) const {
  return to == dtype() ? *this : make(UnaryOp::Cast, to, shape(), {*this});
}

LazyBuffer LazyBuffer::bitcast(DType to) const { return make(UnaryOp::Bitcast, to, shape(), {*this}); }

LazyBuffer LazyBuffer::unary(UnaryOp op) const {
  return make(op, gives_bool(op) ? DType::Bool : dtype(), shape(), {*this});
}

LazyBuffer LazyBuffer::binary(BinaryOp op, const LazyBuffer& y) const {
  // Gradients start as ones and are multiplied along: the one case worth leaving out of the graph.
  if (op == BinaryOp::Mul && is_constant(y, 1)) return *this;
  if (op == BinaryOp::Mul && is_constant(*this, 1)) return y;
  return make(op, gives_bool(op) ? DType::Bool : dtype(), shape(), {*this, y});
}

LazyBuffer LazyBuffer::reduce(ReduceOp op, const Dims& axes) const {
  Shape reduced = shape();
  for (int64_t a : axes) reduced[int(a)] = 1;
  if (reduced == shape()) return *this;  // only axes of size 1
  return make(node::Reduce{op, axes}, dtype(), reduced, {*this});
}

LazyBuffer LazyBuffer::scan(ReduceOp op, int axis) const {
  return make(node::Scan{op, axis}, dtype(), shape(), {*this});
}

LazyBuffer LazyBuffer::argsort(int axis, bool descending) const {
  return make(node::Sort{axis, descending}, DType::Int64, shape(), {*this});
}

LazyBuffer LazyBuffer::contiguous() const { return make(node::Copy{}, dtype(), shape(), {*this}); }

LazyBuffer where(const LazyBuffer& condition, const LazyBuffer& x, const LazyBuffer& y) {
  return make(TernaryOp::Where, x.dtype(), x.shape(), {condition, x, y});
}

LazyBuffer contract(const LazyBuffer& a, const LazyBuffer& b, int reduced) {
  const Shape free(a.shape().begin(), a.shape().end() - reduced);
  return make(node::Contract{reduced}, a.dtype(), free, {a, b});
}

LazyBuffer gather(const LazyBuffer& x, int axis, const LazyBuffer& index, const char* name) {
  return make(node::Gather{axis, name}, x.dtype(), index.shape(), {x, index});
}

LazyBuffer scatter(const Shape& shape, int axis, const LazyBuffer& index, const LazyBuffer& source, ReduceOp op,
                   const char* name) {
  return make(node::Scatter{axis, op, name}, source.dtype(), shape, {index, source});
}

LazyBuffer concat(std::span<const LazyBuffer> parts, int axis) {
  Shape shape = parts[0].shape();
  shape[axis] = 0;
  for (const LazyBuffer& part : parts) shape[axis] += part.shape()[axis];
  std::vector<View> places;
  Dims begin = Dims::filled(shape.size(), 0), end = shape;
  for (const LazyBuffer& part : parts) {
    end[axis] = begin[axis] + part.shape()[axis];
    places.push_back(View::contiguous(shape).shrink(begin, end));
    begin[axis] = end[axis];
  }
  return make(node::Assemble{std::move(places)}, parts[0].dtype(), shape, {parts.begin(), parts.end()});
}

LazyBuffer overwrite(const LazyBuffer& x, const LazyBuffer& part, const View& place) {
  return make(node::Assemble{{View::contiguous(x.shape()), place}}, x.dtype(), x.shape(), {x, part});
}

View gather_view(const View& x, int axis, const Shape& picked) {
  // The picked axis goes last, and in its old place stands one that does not move; the others may be shorter.
  Dims order, begin = Dims::filled(x.rank(), 0);
  for (int a = 0; a < x.rank(); ++a)
    if (a != axis) order.push_back(a);
  order.push_back(axis);
  Shape size = picked;
  size[axis] = x.shape[axis];
  View moved = x.shrink(begin, size).permute(order);
  Shape whole = picked;
  whole.push_back(x.shape[axis]);
  moved.shape.insert(axis, 1);
  moved.address.coef.insert(axis, 0);
  for (Guard& guard : moved.guards) guard.position.coef.insert(axis, 0);
  return moved.expand(whole);
}

namespace {
struct NodeName {
  std::string_view operator()(node::Source) const { return "Source"; }
  std::string_view operator()(node::Constant) const { return "Constant"; }
  std::string_view operator()(node::Iota) const { return "Iota"; }
  std::string_view operator()(node::Copy) const { return "Copy"; }
  std::string_view operator()(node::Contract) const { return "Contract"; }
  std::string_view operator()(node::Gather) const { return "Gather"; }
  std::string_view operator()(node::Scatter) const { return "Scatter"; }
  std::string_view operator()(node::Scan) const { return "Scan"; }
  std::string_view operator()(node::Sort) const { return "Sort"; }
  std::string_view operator()(const node::Assemble&) const { return "Assemble"; }
  std::string_view operator()(node::Random) const { return "Random"; }
  std::string_view operator()(const node::Reduce& r) const { return teeny::name(r.op); }
  std::string_view operator()(auto elementwise) const { return teeny::name(elementwise); }
};
}  // namespace

std::string_view name(const NodeOp& op) { return std::visit(NodeName{}, op); }

}  // namespace teeny
