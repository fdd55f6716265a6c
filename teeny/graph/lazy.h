#pragma once
// The graph of what to compute. Building it computes nothing: a LazyBuffer is unrealized until `realize` (schedule.h)
// has run the kernels that compute it.
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "teeny/graph/base.h"
#include "tinyops/kernel.h"

namespace teeny {

/// Views stacked on each other, the first nearest to the buffer: what one View cannot say, several can. They are merged
/// as soon as they can be; a scheduler that meets more than one inserts a copy. They are shared: most of a graph looks
/// in a few ways.
class ShapeTracker {
 public:
  ShapeTracker() : ShapeTracker(Shape{}) {}
  explicit ShapeTracker(const Shape& shape) : ShapeTracker(View::contiguous(shape)) {}
  explicit ShapeTracker(const View& view) : ShapeTracker(std::span(&view, 1)) {}
  explicit ShapeTracker(std::span<const View> stack);

  const Shape& shape() const { return view().shape; }
  std::span<const View> views() const { return *views_; }
  bool is_single() const { return views_->size() == 1; }
  const View& view() const { return views_->back(); }  ///< the last, nearest to the user
  bool is_contiguous() const { return is_single() && view().is_contiguous(); }

  ShapeTracker permute(const Dims& axes) const { return with(view().permute(axes)); }
  ShapeTracker expand(const Shape& to) const { return with(view().expand(to)); }
  ShapeTracker pad(const Dims& before, const Dims& after) const { return with(view().pad(before, after)); }
  ShapeTracker shrink(const Dims& begin, const Dims& end) const { return with(view().shrink(begin, end)); }
  ShapeTracker flip(const Dims& axes) const { return with(view().flip(axes)); }
  ShapeTracker diagonal(int a, int b) const { return with(view().diagonal(a, b)); }
  ShapeTracker unfold(int axis, int64_t size, int64_t step, int64_t dilation) const {
    return with(view().unfold(axis, size, step, dilation));
  }
  ShapeTracker reshape(const Shape& to) const;

 private:
  ShapeTracker with(View last) const;
  std::shared_ptr<const std::vector<View>> views_;
};

struct Node;

/// A node of the graph, seen through views. Movement changes the view and shares the node; everything else makes a new
/// node. Copying a LazyBuffer copies no data.
///
///   x: LazyBuffer ── views ──► Node Add (3, 4)
///                               ├─ source 0 ── views ──► Node Source (3, 4)   a buffer that holds elements
///                               └─ source 1 ── views ──► Node Constant ()     the value 2
///
/// Arguments are taken as right (axes in range, shapes and dtypes equal): Tensor has checked them and told the user.
class LazyBuffer {
 public:
  LazyBuffer() = default;
  explicit LazyBuffer(std::shared_ptr<Node> node);
  LazyBuffer(std::shared_ptr<Node> node, ShapeTracker views) : node_(std::move(node)), views_(std::move(views)) {}

  /// Elements that are in memory already.
  static LazyBuffer source(tinyops::BufferRef buffer, DType dtype, const Shape& shape);
  static LazyBuffer constant(Scalar value, DType dtype, const Shape& shape);
  /// 0, 1, 2, ... in int64: no memory, just the address of a view.
  static LazyBuffer iota(int64_t size);
  /// Uniform in [0, 1), float32 or float64; see tinyops::RandomKernel.
  static LazyBuffer random(uint64_t seed, uint64_t counter, DType dtype, const Shape& shape);

  const Shape& shape() const { return views_.shape(); }
  DType dtype() const;
  const std::shared_ptr<Node>& node() const { return node_; }
  const ShapeTracker& views() const { return views_; }

  // Movement
  LazyBuffer reshape(const Shape& to) const {  // a tall stack is copied: a view on it costs as much as all below
    return views_.views().size() < 8 ? LazyBuffer(node_, views_.reshape(to)) : contiguous().reshape(to);
  }
  LazyBuffer permute(const Dims& axes) const { return {node_, views_.permute(axes)}; }
  LazyBuffer expand(const Shape& to) const { return {node_, views_.expand(to)}; }
  LazyBuffer pad(const Dims& before, const Dims& after) const { return {node_, views_.pad(before, after)}; }
  LazyBuffer shrink(const Dims& begin, const Dims& end) const { return {node_, views_.shrink(begin, end)}; }
  LazyBuffer flip(const Dims& axes) const { return {node_, views_.flip(axes)}; }
  LazyBuffer diagonal(int a, int b) const { return {node_, views_.diagonal(a, b)}; }
  LazyBuffer unfold(int axis, int64_t size, int64_t step, int64_t dilation) const {
    return {node_, views_.unfold(axis, size, step, dilation)};
  }

  // New nodes
  LazyBuffer cast(DType to) const;
  LazyBuffer bitcast(DType to) const;                         ///< to a type of the same size
  LazyBuffer unary(UnaryOp op) const;
  LazyBuffer binary(BinaryOp op, const LazyBuffer& y) const;  ///< same shape and dtype; Lt, Le and Eq give bool
  LazyBuffer reduce(ReduceOp op, const Dims& axes) const;     ///< the axes stay, with size 1
  LazyBuffer scan(ReduceOp op, int axis) const;               ///< x[0], x[0] op x[1], ... along the axis
  LazyBuffer argsort(int axis, bool descending) const;        ///< int64; see tinyops::SortKernel
  LazyBuffer contiguous() const;                              ///< the same elements in a buffer of their own

 private:
  friend struct Node;
  std::shared_ptr<Node> node_;
  ShapeTracker views_;
};

LazyBuffer where(const LazyBuffer& condition, const LazyBuffer& x, const LazyBuffer& y);
/// Sum of a * b over the last `reduced` axes, which disappear. Both have the whole shape: an operand is expanded along
/// the axes it does not have.
LazyBuffer contract(const LazyBuffer& a, const LazyBuffer& b, int reduced);
/// out[i..] = x[i.., index[i..] in place of i at `axis`, ..]: the result has the shape of `index`. An index out of
/// range, which shows only when the kernel runs, is reported as that of `origin`.
LazyBuffer gather(const LazyBuffer& x, int axis, const LazyBuffer& index, const IndexOrigin& origin);
/// What `op` makes of nothing (0 for Sum), in `shape`, and each source[i] added (or the like) at index[i] along `axis`.
/// With Sum the adjoint of `gather`.
LazyBuffer scatter(const Shape& shape, int axis, const LazyBuffer& index, const LazyBuffer& source, ReduceOp op,
                   const IndexOrigin& origin);
LazyBuffer concat(std::span<const LazyBuffer> parts, int axis);
/// `x`, but for the elements that `place` sees in it: these are `part`'s. No element is seen twice.
LazyBuffer overwrite(const LazyBuffer& x, const LazyBuffer& part, const View& place);
/// What a kernel of one of tinyops' other kinds makes of `sources`, which become the operands that it reads. It writes
/// the result through `out`; where there is none, in row-major order.
LazyBuffer special(tinyops::Kernel kernel, DType dtype, const Shape& shape, std::vector<LazyBuffer> sources,
                   std::optional<View> out = {});

/// What a node does. UnaryOp, BinaryOp and TernaryOp stand for themselves.
namespace node {
struct Source {};
struct Constant {
  Scalar value;
};
struct Iota {};
struct Copy {};
struct Reduce {  ///< along the axes that the result has with size 1, and its source does not
  ReduceOp op;
};
struct Contract {
  int reduced;
};
/// Each source is written where its view of the result says, the later ones over the earlier: [ part 0 | part 1 ].
struct Assemble {
  std::vector<View> places;
};
/// A kernel that addresses memory itself. Scheduling gives it its buffers, and the views through which it reads.
struct Special {
  std::shared_ptr<const tinyops::Kernel> kernel;
};
}  // namespace node
using NodeOp = std::variant<node::Source, node::Constant, node::Iota, node::Copy, UnaryOp, BinaryOp, TernaryOp,
                            node::Reduce, node::Contract, node::Assemble, node::Special>;

/// Its elements are laid out row-major over its shape once it is realized: then `buffer` is set and `sources` is empty.
struct Node {
  NodeOp op;
  DType dtype;
  int thread;  ///< the one that made it: Context::thread
  int depth = 1;  ///< the longest way down to what was in memory when it was made, in nodes
  ShapeTracker whole;  ///< all its elements
  std::vector<LazyBuffer> sources;
  tinyops::BufferRef buffer;

  Node(NodeOp op, DType dtype, const Shape& shape, std::vector<LazyBuffer> sources);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const Shape& shape() const { return whole.shape(); }
  bool realized() const { return buffer != nullptr; }
  /// Whether it is not computed, and would be on another thread than this one: then nobody but that thread may use it.
  bool of_another_thread() const;
};

/// A new node. Throws where a source is still to be computed, and was made by another thread.
LazyBuffer new_node(NodeOp op, DType dtype, const Shape& shape, std::vector<LazyBuffer> sources);

std::string_view name(const NodeOp& op);

inline bool is_contraction(const NodeOp& op) { return std::holds_alternative<node::Contract>(op); }
/// Whether kernels of this kind address memory themselves: what they read cannot be computed in place.
inline bool is_special(const NodeOp& op) {
  return is_contraction(op) || std::holds_alternative<node::Special>(op);
}
/// Whether the elements are known without a kernel, and never stored.
inline bool has_no_memory(const NodeOp& op) {
  return std::holds_alternative<node::Constant>(op) || std::holds_alternative<node::Iota>(op);
}

}  // namespace teeny
