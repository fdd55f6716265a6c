#include "teeny/schedule/lower.h"

#include <algorithm>
#include <map>

namespace teeny {

using tinyops::Input;
using tinyops::Instruction;
using tinyops::Operand;
using tinyops::RowKernel;

Shape squeezed(const Shape& shape) {
  Shape result;
  for (int64_t size : shape)
    if (size != 1) result.push_back(size);
  return result;
}

tinyops::BufferRef new_buffer(const Node& node) {
  return std::make_shared<tinyops::Buffer>(size_t(numel(node.shape()) * itemsize(node.dtype)));
}

Shape iteration_shape(const Node& node) {
  return squeezed(std::holds_alternative<node::Reduce>(node.op) ? node.sources[0].shape() : node.shape());
}

Dims inner_axes(const Node& node) {
  const auto* reduction = std::get_if<node::Reduce>(&node.op);
  Dims inner;
  if (!reduction) return inner;
  const Shape& shape = node.sources[0].shape();
  for (int a = 0, squeezed_axis = 0; a < shape.size(); ++a) {
    if (shape[a] == 1) continue;
    if (node.shape()[a] == 1) inner.push_back(squeezed_axis);
    ++squeezed_axis;
  }
  return inner;
}

Shape row_shape(const FusionGroup& group) {
  Shape rows;
  for (int a = 0; a < group.space.size(); ++a)
    if (!group.inner.contains(a)) rows.push_back(group.space[a]);
  return rows;
}

View broadcast_rows(const View& rows, const FusionGroup& group) {
  View result = rows;
  auto insert = [&](Dims& values, int64_t value) {
    for (int64_t a : group.inner) values.insert(int(a), value);
  };
  insert(result.shape, 1);
  insert(result.address.coef, 0);
  for (Guard& guard : result.guards) insert(guard.position.coef, 0);
  return result.expand(group.space);
}

bool keeps_zero(const NodeOp& op) {
  return std::visit(
      []<class Op>(const Op& o) {
        if constexpr (std::is_enum_v<Op>) return tinyops::keeps_zero(o);
        else return true;
      },
      op);
}

bool rounds(const Node& node) {
  if (node.dtype != DType::Float16 && node.dtype != DType::BFloat16) return false;
  return std::visit(
      []<class Op>(const Op& o) {
        if constexpr (std::is_enum_v<Op>) return tinyops::rounds(o);
        else if constexpr (std::is_same_v<Op, node::Reduce>) return o.op == ReduceOp::Sum || o.op == ReduceOp::Prod;
        else return std::is_same_v<Op, node::Contract>;
      },
      node.op);
}

namespace {

/// Writes the program of one group. `value(node, view)` is the node's elements, seen through a view whose shape is that
/// of the member being written; `kernel_view` turns such a view into one of the kernel's shape.
class KernelBuilder {
 public:
  KernelBuilder(const FusionGroup& group, const ScheduledNodes& nodes) : group_(group), nodes_(nodes) {
    for (int a = 0; a < group.space.size(); ++a)
      if (!group.inner.contains(a)) order_.push_back(a);
    for (int64_t a : group.inner) order_.push_back(a);
    for (int64_t a : order_) kernel_.shape.push_back(group.space[int(a)]);
    kernel_.inner = group.inner.size();
  }

  void add_member(const Node& node) {
    if (std::holds_alternative<node::Contract>(node.op)) {
      const Operand sums{nullptr, node.dtype, View::contiguous(group_.space)};
      members_[&node] = add_load({Input::Kind::Sum, sums, 0}, node.dtype);
      return;
    }
    const auto* reduction = std::get_if<node::Reduce>(&node.op);
    const Shape& shape = reduction ? node.sources[0].shape() : node.shape();
    per_row_ = squeezed(shape) != group_.space;
    int value;
    if (reduction) {
      const int from = read(nodes_.sources_of(node)[0]);
      value = add({tinyops::Reduce{reduction->op}, node.dtype, {from, -1, -1}, true});
    } else if (std::holds_alternative<node::Copy>(node.op) || std::holds_alternative<node::Assemble>(node.op)) {
      value = read(nodes_.sources_of(node)[0]);
    } else {
      value = compute(node, View::contiguous(node.shape()));
    }
    // A value of the row where one for each element is needed: an instruction of its own repeats it.
    if (!reduction && !per_row_ && kernel_.program[size_t(value)].per_row)
      value = add({UnaryOp::Cast, node.dtype, {value, -1, -1}, false});
    members_[&node] = value;
  }

  void add_output(const Destination& to) {
    const bool per_row = squeezed(to.node->shape()) != group_.space;
    const View view = kernel_view(to.view, per_row);
    kernel_.outputs.push_back({{to.buffer, to.node->dtype, view}, members_.at(to.node)});
  }

  RowKernel finish() { return std::move(kernel_); }

 private:
  /// A view of the current member's shape (or squeezed shape), as one of the kernel's shape.
  View kernel_view(const View& view, bool per_row) const {
    const Shape shape = squeezed(view.shape);
    View result = shape == view.shape ? view : *view.reshape(shape);
    if (per_row) result = broadcast_rows(result, group_);
    return group_.inner.empty() ? result : result.permute(order_);
  }
  View kernel_view(const View& view) const { return kernel_view(view, per_row_); }

  bool moves_inside_rows(const View& view) const {
    auto moves = [&](const Affine& f) {
      for (int a = kernel_.shape.size() - kernel_.inner; a < kernel_.shape.size(); ++a)
        if (f.coef[a] != 0) return true;
      return false;
    };
    return moves(view.address) || std::ranges::any_of(view.guards, moves, &Guard::position);
  }

  int add(Instruction instruction) {
    // The same instruction again is the same value: common subexpressions are found as they are written.
    // [exercise 11
    auto& program = kernel_.program;
    const auto known = std::ranges::find(program, instruction);
    if (known != program.end()) return int(known - program.begin());
    program.push_back(std::move(instruction));
    return int(program.size()) - 1;
    // exercise 11]
  }

  int add_load(Input input, DType dtype) {
    // An element of an empty row is not there to be read, though its address may not depend on the row's axes.
    const bool readable = per_row_ || numel(kernel_.shape) > 0;
    const bool per_row = kernel_.inner > 0 && readable && !moves_inside_rows(input.operand.view);
    const size_t i = size_t(std::ranges::find(kernel_.inputs, input) - kernel_.inputs.begin());
    if (i == kernel_.inputs.size()) kernel_.inputs.push_back(std::move(input));
    return add({tinyops::Load{int(i)}, dtype, {-1, -1, -1}, per_row});
  }

  int read(const LazyBuffer& source) { return value(*source.node(), source.views().view()); }

  int value(const Node& node, const View& view) {
    if (const auto member = members_.find(&node); member != members_.end()) return rounded(member->second, node);
    if (const tinyops::BufferRef buffer = nodes_.buffer_of(node))
      return add_load({Input::Kind::Memory, {buffer, node.dtype, kernel_view(view)}, 0}, node.dtype);
    if (const auto* constant = std::get_if<node::Constant>(&node.op)) {
      if (view.guards.empty())
        return add({tinyops::Constant{constant->value}, node.dtype, {-1, -1, -1}, kernel_.inner > 0});
      return add_load({Input::Kind::Constant, {nullptr, node.dtype, kernel_view(view)}, constant->value}, node.dtype);
    }
    if (std::holds_alternative<node::Iota>(node.op))
      return add_load({Input::Kind::Address, {nullptr, node.dtype, kernel_view(view)}, 0}, node.dtype);
    return rounded(compute(node, view), node);
  }

  int rounded(int value, const Node& node) {
    if (!rounds(node)) return value;
    return add({UnaryOp::Cast, node.dtype, {value, -1, -1}, kernel_.program[size_t(value)].per_row});
  }

  /// An element-wise node, computed here. Its sources are read through its own view of them and then `view`.
  int compute(const Node& node, const View& view) {
    Instruction instruction{{}, node.dtype, {-1, -1, -1}, kernel_.inner > 0};
    const std::span<const LazyBuffer> sources = nodes_.sources_of(node);
    for (size_t i = 0; i < sources.size(); ++i) {
      const LazyBuffer& source = sources[i];
      // The two views merge: the scheduler has stored what is read through views that do not.
      const int arg = value(*source.node(), compose(view, source.views().view()).value());
      instruction.args[i] = arg;
      instruction.per_row &= kernel_.program[size_t(arg)].per_row;
    }
    if (const auto* op = std::get_if<UnaryOp>(&node.op)) instruction.op = *op;
    else if (const auto* op = std::get_if<BinaryOp>(&node.op)) instruction.op = *op;
    else instruction.op = std::get<TernaryOp>(node.op);
    const int result = add(std::move(instruction));
    return view.guards.empty() || keeps_zero(node.op) ? result : masked(rounded(result, node), view);
  }

  /// What was padded must read as 0, but f(0) is not: where(inside, f, 0).
  int masked(int result, const View& view) {
    // [exercise 12
    View position = View::contiguous(view.shape);
    position.guards = view.guards;
    const Operand guards{nullptr, DType::Bool, kernel_view(position)};
    const int inside = add_load({Input::Kind::Constant, guards, true}, DType::Bool);
    const DType dtype = kernel_.program[size_t(result)].dtype;
    const int zero = add({tinyops::Constant{0}, dtype, {-1, -1, -1}, kernel_.inner > 0});
    const bool per_row = kernel_.program[size_t(result)].per_row && kernel_.program[size_t(inside)].per_row;
    return add({TernaryOp::Where, dtype, {inside, result, zero}, per_row});
    // exercise 12]
  }

  const FusionGroup& group_;
  const ScheduledNodes& nodes_;
  Dims order_;  ///< the axes of `space`: rows first
  bool per_row_ = false;
  RowKernel kernel_;
  std::map<const Node*, int> members_;
};

Operand operand_of(const LazyBuffer& source, const ScheduledNodes& nodes) {
  return {nodes.buffer_of(*source.node()), source.dtype(), source.views().view()};
}

/// The contraction whose sums go through `epilogue`. Axes of size 1 have no stride worth keeping.
tinyops::ContractKernel contraction(const Node& node, RowKernel epilogue, const ScheduledNodes& nodes) {
  const std::span<const LazyBuffer> sources = nodes.sources_of(node);
  Operand a = operand_of(sources[0], nodes), b = operand_of(sources[1], nodes);
  const Shape whole = squeezed(a.view.shape);
  for (Operand* factor : {&a, &b}) factor->view = *factor->view.reshape(whole);
  const int reduced = whole.size() - epilogue.shape.size();
  return {whole, reduced, a, b, std::move(epilogue)};
}

}  // namespace

tinyops::Kernel lower(const FusionGroup& group, std::span<const Destination> destinations,
                      const ScheduledNodes& nodes) {
  KernelBuilder builder(group, nodes);
  for (const Node* node : group.members) builder.add_member(*node);
  for (const Destination& destination : destinations) builder.add_output(destination);
  RowKernel rows = builder.finish();
  if (is_contraction(group.members[0]->op)) return contraction(*group.members[0], std::move(rows), nodes);
  return rows;
}

tinyops::Kernel lower_special(const Node& node, const tinyops::BufferRef& out, const ScheduledNodes& nodes) {
  tinyops::Kernel kernel = *std::get<node::Special>(node.op).kernel;
  auto source = nodes.sources_of(node).begin();
  tinyops::for_each_operand(kernel, [&](Operand& operand, bool written) {
    if (written) operand.buffer = out;
    else operand = operand_of(*source++, nodes);
  });
  return kernel;
}

}  // namespace teeny
