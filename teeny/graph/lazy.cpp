#include "teeny/graph/lazy.h"

#include "teeny/graph/context.h"

namespace teeny {

// ---- Views on views -------------------------------------------------------------------------------------------------

ShapeTracker ShapeTracker::with(View last) const {
  ShapeTracker result = *this;
  result.views_.back() = std::move(last);
  while (result.views_.size() > 1) {
    std::optional<View> merged = compose(result.views_.back(), result.views_[result.views_.size() - 2]);
    if (!merged) break;
    result.views_.pop_back();
    result.views_.back() = std::move(*merged);
  }
  return result;
}

ShapeTracker ShapeTracker::reshape(const Shape& to) const {
  if (std::optional<View> view = views_.back().reshape(to)) return with(std::move(*view));
  ShapeTracker result = *this;
  result.views_.push_back(View::contiguous(to));
  return result;
}

// ---- Nodes ----------------------------------------------------------------------------------------------------------

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

/// The order of axes that puts `axis` last: there a kernel walks along it.
Dims with_last(int rank, int axis) {
  Dims order;
  for (int a = 0; a < rank; ++a)
    if (a != axis) order.push_back(a);
  order.push_back(axis);
  return order;
}

LazyBuffer along(int axis, tinyops::Kernel kernel, DType dtype, const LazyBuffer& x) {
  const Dims order = with_last(x.shape().size(), axis);
  return special(std::move(kernel), dtype, x.shape(), {x.permute(order)}, View::contiguous(x.shape()).permute(order));
}

/// How `x[.., axis, ..]` looks from an index of `picked` plus one position along `axis`: shape `picked` + (size of axis).
ShapeTracker picked_from(const ShapeTracker& x, int axis, const Shape& picked) {
  Shape shorter = picked, whole = picked;
  whole.push_back(shorter[axis] = x.shape()[axis]);
  Shape turned = whole;  // the picked axis is the last, and in its place stands one that does not move
  turned[axis] = 1;
  const ShapeTracker part = x.shrink(Dims::filled(picked.size(), 0), shorter);
  return part.permute(with_last(picked.size(), axis)).reshape(turned).expand(whole);
}

}  // namespace

Node::Node(NodeOp op, DType dtype, Shape shape, std::vector<LazyBuffer> sources)
    : op(std::move(op)), dtype(dtype), shape(std::move(shape)), sources(std::move(sources)), thread(context.thread) {}

bool Node::of_another_thread() const {
  return thread != context.thread && !realized() && !has_no_memory(op);
}

// Dropping the last user of a long chain must not recurse along it, and needs no memory. Of sources that only this one
// kept alive theirs are dropped first: meanwhile the place of such a source in its reader leads on to the reader before.
Node::~Node() {
  std::shared_ptr<Node> node(std::shared_ptr<Node>(), this), reader;
  while (reader || !node->sources.empty()) {
    if (node->sources.empty()) {
      node = std::move(reader);
      reader = std::move(node->sources.back().node_);
      node->sources.pop_back();
    } else if (auto& source = node->sources.back().node_; source.use_count() == 1 && !source->sources.empty()) {
      auto last = std::exchange(node, std::move(source));
      source = std::exchange(reader, std::move(last));
    } else {
      node->sources.pop_back();
    }
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
  return special(tinyops::RandomKernel{seed, counter}, dtype, shape, {});
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
  return along(axis, tinyops::ScanKernel{op}, dtype(), *this);
}

LazyBuffer LazyBuffer::argsort(int axis, bool descending) const {
  return along(axis, tinyops::SortKernel{descending}, DType::Int64, *this);
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
  const LazyBuffer table(x.node(), picked_from(x.views(), axis, index.shape()));
  return special(tinyops::GatherKernel{.name = name}, x.dtype(), index.shape(), {index, table});
}

LazyBuffer scatter(const Shape& shape, int axis, const LazyBuffer& index, const LazyBuffer& source, ReduceOp op,
                   const char* name) {
  const View out = picked_from(ShapeTracker(shape), axis, index.shape()).view();
  return special(tinyops::ScatterKernel{.op = op, .name = name}, source.dtype(), shape, {index, source}, out);
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

LazyBuffer special(tinyops::Kernel kernel, DType dtype, const Shape& shape, std::vector<LazyBuffer> sources,
                   std::optional<View> out) {
  tinyops::for_each_operand(kernel, [&](tinyops::Operand& operand, bool written) {
    if (written) operand = {nullptr, dtype, out ? *out : View::contiguous(shape)};
  });
  return make(node::Special{std::make_shared<tinyops::Kernel>(std::move(kernel))}, dtype, shape, std::move(sources));
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
