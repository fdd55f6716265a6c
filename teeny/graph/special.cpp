// Nodes whose kernels address memory themselves, and those that put parts together: what a first reading can leave out.
#include "teeny/graph/lazy.h"

namespace teeny {
namespace {

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

/// How `x[.., axis, ..]` looks from an index of `picked` plus one position along `axis`: shape `picked` + (size of
/// axis).
ShapeTracker picked_from(const ShapeTracker& x, int axis, const Shape& picked) {
  Shape shorter = picked, whole = picked;
  whole.push_back(shorter[axis] = x.shape()[axis]);
  Shape turned = whole;  // the picked axis is the last, and in its place stands one that does not move
  turned[axis] = 1;
  const ShapeTracker part = x.shrink(Dims::filled(picked.size(), 0), shorter);
  return part.permute(with_last(picked.size(), axis)).reshape(turned).expand(whole);
}

}  // namespace

LazyBuffer LazyBuffer::scan(ReduceOp op, int axis) const {
  return along(axis, tinyops::ScanKernel{op}, dtype(), *this);
}

LazyBuffer LazyBuffer::argsort(int axis, bool descending) const {
  return along(axis, tinyops::SortKernel{descending}, DType::Int64, *this);
}

LazyBuffer gather(const LazyBuffer& x, int axis, const LazyBuffer& index, const IndexOrigin& origin) {
  const LazyBuffer table(x.node(), picked_from(x.views(), axis, index.shape()));
  return special(tinyops::GatherKernel{.origin = origin}, x.dtype(), index.shape(), {index, table});
}

LazyBuffer scatter(const Shape& shape, int axis, const LazyBuffer& index, const LazyBuffer& source, ReduceOp op,
                   const IndexOrigin& origin) {
  const View out = picked_from(ShapeTracker(shape), axis, index.shape()).view();
  return special(tinyops::ScatterKernel{.op = op, .origin = origin}, source.dtype(), shape, {index, source}, out);
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
  return new_node(node::Assemble{std::move(places)}, parts[0].dtype(), shape, {parts.begin(), parts.end()});
}

LazyBuffer overwrite(const LazyBuffer& x, const LazyBuffer& part, const View& place) {
  return new_node(node::Assemble{{View::contiguous(x.shape()), place}}, x.dtype(), x.shape(), {x, part});
}

LazyBuffer special(tinyops::Kernel kernel, DType dtype, const Shape& shape, std::vector<LazyBuffer> sources,
                   std::optional<View> out) {
  tinyops::for_each_operand(kernel, [&](tinyops::Operand& operand, bool written) {
    if (written) operand = {nullptr, dtype, out ? *out : View::contiguous(shape)};
  });
  return new_node(node::Special{std::make_shared<tinyops::Kernel>(std::move(kernel))}, dtype, shape,
                  std::move(sources));
}
}  // namespace teeny
