#include "teeny/onnx/exporter.h"

#include <algorithm>
#include <optional>
#include <set>

#include "teeny/functional/functional.h"

namespace teeny::onnx {

namespace {

using Kind = TracedValue::Kind;

std::vector<int64_t> fixed(const Ints& ints) {
  std::vector<int64_t> result;
  for (const Int& i : ints) result.push_back(i[0]);
  return result;
}
Shape at(const Ints& shape, size_t trace) {
  Shape result;
  for (const Int& size : shape) result.push_back(size[trace]);
  return result;
}

/// The value of all elements of a tensor whose elements are one value.
std::optional<Scalar> one_value(const Tensor& x) {
  const auto* constant = std::get_if<node::Constant>(&x.lazy().node()->op);
  const auto views = x.lazy().views().views();
  const bool plain = std::all_of(views.begin(), views.end(), [](const View& view) { return view.guards.empty(); });
  return constant && plain ? std::optional(constant->value) : std::nullopt;
}

/// How `x` depends on another integer: factor * other + rest.
struct Linear {
  int64_t factor, rest;
};
std::optional<Linear> linear(const Int& x, const Int& other) {
  const int64_t step = other[1] - other[0];
  if (step == 0 || (x[1] - x[0]) % step != 0) return {};
  const Linear found{(x[1] - x[0]) / step, x[0] - (x[1] - x[0]) / step * other[0]};
  return found.factor != 0 && Int(found.factor) * other + found.rest == x ? std::optional(found) : std::nullopt;
}

/// What ONNX has for bfloat16 from opset 22 on, or not at all.
bool op_of_few_types(std::string_view name) {
  static const std::set<std::string_view> names = {
      "Sin",      "Cos",      "Tan",         "Asin",     "Acos",     "Atan",       "Sinh",           "Cosh",
      "Asinh",    "Acosh",    "Atanh",       "elu",      "celu",     "selu",       "hardswish",      "hardsigmoid",
      "softplus", "softsign", "mish",        "round",    "conv",     "avg_pool",   "conv_transpose", "max_pool",
      "group_norm", "LSTM",   "GRU",         "RNN",      "adaptive_avg_pool2d",
      "max_pool_with_indices"};
  return names.contains(name);
}

}  // namespace

Exporter::Exporter(std::vector<Trace> traces, std::vector<Symbol> symbols, const nn::StateDict& state, int opset)
    : traces_(std::move(traces)), symbols_(std::move(symbols)), state_(state), opset_(opset) {
  check_same();
  names_.resize(traces_[0].values.size());
  for (int v = 0; v < int(names_.size()); ++v) folded_.push_back(is_same_constant(v));
}

Ints Exporter::shape(int v) const {
  Ints result;
  for (int a = 0; a < value(v).tensor.rank(); ++a)
    result.push_back(each([&](size_t t) { return value(v, t).tensor.size(a); }));
  return result;
}

/// The traces are the same operations on the same values: else what one input did would stand for all.
void Exporter::check_same() const {
  const auto refuse = [&](size_t t, const std::string& first, const std::string& other) {
    std::string sizes, others;
    for (const Symbol& s : symbols_)
      sizes += text(sizes.empty() ? "" : ", ", s.name, " = ", s.size[0]),
          others += text(others.empty() ? "" : ", ", s.name, " = ", s.size[t]);
    fail("onnx::save: the call depends on the size of an open axis: with ", sizes, " it does ", first, ", with ",
         others, ' ', other, "; write it without the size (reshape(.., -1), expand), or leave the axis closed");
  };
  const auto label = [](const NodeOp& op) {  // what a rule's name may not say
    const auto* unary = std::get_if<UnaryOp>(&op);
    const auto* binary = std::get_if<BinaryOp>(&op);
    const auto* reduce = std::get_if<node::Reduce>(&op);
    return unary ? text(teeny::name(op)) : binary ? text(teeny::name(op)) : reduce ? text(teeny::name(op)) : "";
  };
  const Trace& a = traces_[0];
  for (size_t t = 1; t < traces_.size(); ++t) {
    const Trace& b = traces_[t];
    for (size_t o = 0; o < std::max(a.operations.size(), b.operations.size()); ++o) {
      if (o >= a.operations.size()) refuse(t, "nothing more", describe(b, b.operations[o]));
      if (o >= b.operations.size()) refuse(t, describe(a, a.operations[o]), "nothing more");
      const TracedOperation &x = a.operations[o], &y = b.operations[o];
      const auto op = [&](const Trace& trace, const TracedOperation& made) {
        for (int result : made.results)
          if (result >= 0) return label(trace.values[size_t(result)].tensor.lazy().node()->op);
        return std::string();
      };
      if (x.name != y.name || x.arguments != y.arguments || x.results != y.results ||
          (!x.attributes && op(a, x) != op(b, y)))
        refuse(t, describe(a, x), describe(b, y));
    }
    if (a.values.size() != b.values.size() || a.results != b.results)
      refuse(t, text(a.results.size(), " results"), text(b.results.size(), ", or others"));
    for (size_t v = 0; v < a.values.size(); ++v) {
      const Tensor &x = a.values[v].tensor, &y = b.values[v].tensor;
      if (a.values[v].kind != b.values[v].kind || x.rank() != y.rank() || x.dtype() != y.dtype())
        refuse(t, text("a tensor of ", x.dtype(), ' ', x.shape()), text("one of ", y.dtype(), ' ', y.shape()));
    }
  }
}

/// Whether it depends on no input, no parameter and no open axis. Values are visited in order, arguments first.
bool Exporter::is_same_constant(int v) const {
  const TracedValue& first = value(v);
  if (!first.is_constant || is_open(shape(v))) return false;
  if (first.kind == Kind::Constant) {
    for (size_t t = 1; t < traces_.size(); ++t) {
      const Tensor& x = value(v, t).tensor;
      if (x.same(first.tensor)) continue;  // not made by the call
      const auto a = one_value(first.tensor), b = one_value(x);
      if (a && b ? *a != *b : first.tensor.to_bytes() != x.to_bytes()) return false;
    }
    return true;
  }
  const TracedOperation& made = operation(first.index);
  for (size_t t = 1; made.attributes && t < traces_.size(); ++t)
    if (*made.attributes != *operation(first.index, t).attributes) return false;
  return std::all_of(made.arguments.begin(), made.arguments.end(),
                     [&](int argument) { return argument < 0 || folded_[size_t(argument)]; });
}

int Exporter::maker(int v) const { return value(v).kind == Kind::Result && !is_folded(v) ? value(v).index : -1; }

Name Exporter::name(int v) {
  Name& known = names_[size_t(v)];
  if (known.id >= 0) return known;
  const TracedValue& x = value(v);
  if (x.kind == Kind::Parameter) return known = graph_.parameter(state_[size_t(x.index)].first, x.tensor);
  if (is_folded(v)) {
    const bool is_scalar = x.tensor.rank() == 0, is_mask = x.tensor.dtype() == DType::Bool;
    return known = constant(x.tensor, is_scalar ? "scalar" : is_mask ? "mask" : "constant");
  }
  if (x.kind == Kind::Constant) return known = open_constant(v);
  fail("onnx::save: a result of ", operation(x.index).name, " is used before it is written");
}

/// The value of all elements of a constant, where it is one.
std::optional<Scalar> Exporter::scalar_of(int v) const {
  const auto first = value(v).is_constant ? one_value(value(v).tensor) : std::nullopt;
  for (size_t t = 1; first && t < traces_.size(); ++t)
    if (one_value(value(v, t).tensor) != first) return {};
  return first;
}

/// A constant whose shape depends on the size of an open axis.
Name Exporter::open_constant(int v) {
  const Tensor& x = value(v).tensor;
  bool counts = true;
  for (size_t t = 0; t < traces_.size(); ++t) {
    const LazyBuffer& lazy = value(v, t).tensor.lazy();
    counts = counts && std::holds_alternative<node::Iota>(lazy.node()->op) && lazy.views().is_contiguous() &&
             lazy.shape().size() == 1;
  }
  if (const auto all = scalar_of(v))
    return graph_.nodes("Expand", {constant(Tensor::full({}, *all, x.dtype()), "scalar"), integers(shape(v), "sizes")},
                        {}, 1)[0];
  if (counts) {
    const Name end = graph_.nodes("Squeeze", {size(shape(v)[0]), integers({0}, "axes")}, {}, 1)[0];
    const auto number = [&](int64_t value) { return constant(Tensor::full({}, value, DType::Int64), "scalar"); };
    return graph_.nodes("Range", {number(0), end, number(1)}, {}, 1)[0];
  }
  std::string sizes = text(x.shape());
  for (size_t t = 1; t < traces_.size(); ++t) sizes += text(", ", value(v, t).tensor.shape());
  fail("onnx::save: a constant of ", x.dtype(), " depends on the size of an open axis: it is made of ", sizes,
       "; compute it from the input, or leave the axis closed");
}

Name Exporter::integers(const Ints& values, std::string_view kind) {
  std::vector<Name> parts;
  for (size_t i = 0; i < values.size();) {
    Ints closed;
    for (; i < values.size() && !values[i].is_open(); ++i) closed.push_back(values[i]);
    if (!closed.empty() || values.empty()) parts.push_back(constant(Tensor::from(fixed(closed)), kind));
    if (i < values.size()) parts.push_back(size(values[i++]));
  }
  if (parts.empty()) return constant(Tensor::zeros({0}, DType::Int64), kind);
  return parts.size() == 1 ? parts[0] : graph_.nodes("Concat", parts, {{"axis", 0}}, 1)[0];
}

Name Exporter::size(const Int& size) {
  const auto of = [&](Name x, int axis) {
    return graph_.nodes("Shape", {x}, {{"start", axis}, {"end", axis + 1}}, 1)[0];
  };
  const auto with = [&](const char* op, Name x, int64_t y) {
    return graph_.nodes(op, {x, integers({y}, "sizes")}, {}, 1)[0];
  };
  for (const Symbol& s : symbols_)
    if (s.size == size) return of(name(s.input), s.axis);
  for (int v = 0; v < int(names_.size()); ++v)  // of a tensor that is there
    if (names_[size_t(v)].id >= 0) {
      const Ints sizes = shape(v);
      for (int a = 0; a < int(sizes.size()); ++a)
        if (sizes[size_t(a)] == size) return of(names_[size_t(v)], a);
    }
  for (const Symbol& s : symbols_)
    if (const auto found = linear(size, s.size)) {
      Name x = of(name(s.input), s.axis);
      if (found->factor != 1) x = with("Mul", x, found->factor);
      return found->rest == 0 ? x : with("Add", x, found->rest);
    }
  for (const Symbol& s : symbols_)
    for (const Symbol& other : symbols_)
      if (const auto found = linear(size, s.size * other.size); found && found->rest == 0) {
        const Name x = graph_.nodes("Mul", {of(name(s.input), s.axis), of(name(other.input), other.axis)}, {}, 1)[0];
        return found->factor == 1 ? x : with("Mul", x, found->factor);
      }
  std::string sizes;
  for (size_t t = 0; t < traces_.size(); ++t) sizes += text(t ? ", " : "", size[t]);
  fail("a size depends on an open axis in a way that is not factor * size + rest: it is ", sizes);
}

/// Expands and axes of size 1 in front are left out where the other arguments give the result its shape.
std::vector<Name> Exporter::broadcast(const std::vector<int>& arguments, const Ints& to) {
  struct Stripped {
    int value;
    std::optional<Scalar> scalar;
    Ints shape;
  };
  const auto strip = [&](int v) {
    const auto is_rule = [&](int x, std::string_view rule) {
      return value(x).kind == Kind::Result && !operation(value(x).index).attributes &&
             operation(value(x).index).name == rule;
    };
    for (;;) {
      const bool expands = is_rule(v, "Expand");
      if (!expands && !is_rule(v, "Reshape")) break;
      const int from = operation(value(v).index).arguments[0];
      Ints in_front = shape(from);
      in_front.insert(in_front.begin(), shape(v).size() - std::min(shape(v).size(), in_front.size()), Int(1));
      if (!expands && in_front != shape(v)) break;
      v = from;
    }
    const auto scalar = scalar_of(v);
    return Stripped{v, scalar, scalar ? Ints{} : shape(v)};
  };
  std::vector<Stripped> stripped;
  for (int v : arguments) stripped.push_back(strip(v));
  const auto gives_shape = [&] {
    for (size_t t = 0; t < traces_.size(); ++t) {
      Shape all;
      for (const Stripped& s : stripped) all = teeny::broadcast(all, at(s.shape, t), "broadcast");
      if (all != at(to, t)) return false;
    }
    return true;
  };
  for (size_t k = 0; k < arguments.size() && !gives_shape(); ++k) stripped[k] = {arguments[k], {}, shape(arguments[k])};
  std::vector<Name> names;
  for (const Stripped& s : stripped)
    names.push_back(s.scalar ? constant(Tensor::full({}, *s.scalar, value(s.value).tensor.dtype()), "scalar")
                             : name(s.value));
  return names;
}

std::vector<Size> Exporter::written(const Ints& shape) const {
  std::vector<Size> sizes;
  for (const Int& size : shape) {
    if (!size.is_open()) {
      sizes.push_back({size[0]});
      continue;
    }
    std::string spelled;
    for (const Symbol& s : symbols_)
      if (s.size == size) spelled = s.name;
    for (const Symbol& s : symbols_)
      if (const auto found = linear(size, s.size); found && spelled.empty())
        spelled = text(found->factor == 1 ? "" : text(found->factor, "*"), s.name, found->rest > 0 ? "+" : "",
                       found->rest == 0 ? "" : text(found->rest));
    if (spelled.empty()) spelled = text("size_of_", size[0], '_', size[1]);  // one name for equal sizes
    sizes.push_back({.name = spelled});
  }
  return sizes;
}

GraphBuilder& Exporter::write(std::span<const Placeholder> inputs, std::span<const std::string> outputs) {
  for (size_t i = 0; i < inputs.size(); ++i)
    names_[i] = graph_.input(inputs[i].name, inputs[i].dtype, written(shape(int(i))));
  // Names of the interface come first: no node takes one of them away.
  for (int o = 0; o < int(traces_[0].operations.size()); ++o) {
    const TracedOperation& op = operation(o);
    const auto live = [&](int result) { return result >= 0 && !is_folded(result); };
    if (std::none_of(op.results.begin(), op.results.end(), live)) continue;
    SavedCall call(*this, o);
    const auto found = save_ops().find(op.name);
    if (found == save_ops().end()) call.refuse("it is not in the table of those that have a spelling");
    if (op_of_few_types(op.name) && call.opset() < 22)
      for (int k = 0; k < call.count(); ++k)
        if (call.has(k) && call.dtype(k) == DType::BFloat16)
          call.refuse("ONNX has it for bfloat16 from opset 22 on; cast its operands to float32");
    const Names made = [&] {
      try {
        return found->second(call);
      } catch (const Error& error) {
        if (std::string_view(error.what()).starts_with("onnx::save: ")) throw;
        call.refuse(error.what());
      }
    }();
    for (size_t r = 0; r < op.results.size(); ++r)
      if (op.results[r] >= 0 && r < made.size()) names_[size_t(op.results[r])] = made[r];
  }
  const std::vector<int>& results = traces_[0].results;
  for (size_t i = 0; i < results.size(); ++i)
    graph_.output(outputs[i], name(results[i]), value(results[i]).tensor.dtype(), written(shape(results[i])));
  graph_.finish();
  return graph_;
}

}  // namespace teeny::onnx
