// What an operation's emit function asks of its call (save_ops.h), answered by the exporter.
#include <optional>

#include "teeny/functional/functional.h"
#include "teeny/onnx/exporter.h"

namespace teeny::onnx {

namespace {

const teeny::Attribute& attribute_of(const SavedCall& call, const TracedOperation& operation, std::string_view name) {
  const auto* attributes = operation.attributes;
  const auto found = attributes ? attributes->find(std::string(name)) : Attributes::const_iterator();
  if (!attributes || found == attributes->end()) call.refuse(text("it has no attribute ", name));
  return found->second;
}

}  // namespace

const TracedOperation& SavedCall::operation(size_t trace) const { return exporter_.operation(operation_, trace); }
const std::string& SavedCall::op() const { return operation().name; }
int SavedCall::opset() const { return exporter_.opset_; }

void SavedCall::refuse(const std::string& why) const {
  fail("onnx::save: ", describe(exporter_.traces_[0], operation()), " has no spelling in ONNX ", exporter_.opset_, ": ",
       why);
}

int SavedCall::argument(int k) const {
  const auto& arguments = operation().arguments;
  if (k >= int(arguments.size()) || arguments[size_t(k)] < 0) refuse(text("argument ", k, " is missing"));
  return arguments[size_t(k)];
}
int SavedCall::result(int r) const {
  const auto& results = operation().results;
  if (r >= int(results.size()) || results[size_t(r)] < 0) refuse(text("result ", r, " is not used"));
  return results[size_t(r)];
}

int SavedCall::count() const { return int(operation().arguments.size()); }
bool SavedCall::has(int k) const { return k < count() && operation().arguments[size_t(k)] >= 0; }
Name SavedCall::x(int k) { return exporter_.name(argument(k)); }
Name SavedCall::x(int k, DType as) {
  if (dtype(k) == as) return x(k);
  return is_constant(k) ? constant(constant(k).cast(as)) : cast(x(k), as);
}
Name SavedCall::optional(int k) { return has(k) ? x(k) : Name(); }
std::vector<Name> SavedCall::all() {
  std::vector<Name> names;
  for (int k = 0; k < count(); ++k) names.push_back(x(k));
  return names;
}
std::vector<Name> SavedCall::broadcast() {
  std::vector<int> arguments;
  for (int k = 0; k < count(); ++k) arguments.push_back(argument(k));
  return exporter_.broadcast(arguments, result_shape());
}
Ints SavedCall::shape(int k) const { return exporter_.shape(argument(k)); }
int SavedCall::rank(int k) const { return exporter_.value(argument(k)).tensor.rank(); }
DType SavedCall::dtype(int k) const { return exporter_.value(argument(k)).tensor.dtype(); }
bool SavedCall::is_constant(int k) const { return exporter_.is_folded(argument(k)); }
std::optional<Scalar> SavedCall::scalar_of(int k) const { return exporter_.scalar_of(argument(k)); }
bool SavedCall::is_known(int k) const { return is_constant(k) || exporter_.value(argument(k)).kind == TracedValue::Kind::Parameter; }
Tensor SavedCall::constant(int k) const { return exporter_.value(argument(k)).tensor; }

std::string SavedCall::maker(int k) const {
  const int made = exporter_.maker(argument(k));
  return made < 0 ? "" : exporter_.operation(made).name;
}
SavedCall SavedCall::made_by(int k) const {
  const int made = exporter_.maker(argument(k));
  if (made < 0) refuse(text("no operation made argument ", k));
  return {exporter_, made};
}

int SavedCall::results() const { return int(operation().results.size()); }
bool SavedCall::wants(int r) const { return operation().results[size_t(r)] >= 0; }
Ints SavedCall::result_shape(int r) const { return exporter_.shape(result(r)); }
DType SavedCall::result_dtype(int r) const { return exporter_.value(result(r)).tensor.dtype(); }
const NodeOp& SavedCall::node_op() const { return exporter_.value(result(0)).tensor.lazy().node()->op; }

bool SavedCall::has(std::string_view name) const {
  return operation().attributes && operation().attributes->count(std::string(name)) > 0;
}
const teeny::Attribute& SavedCall::attribute(std::string_view name) const {
  const teeny::Attribute& first = attribute_of(*this, operation(), name);
  for (size_t t = 1; t < exporter_.traces_.size(); ++t)
    if (attribute_of(*this, operation(t), name) != first)
      refuse(text("its ", name, " depends on the size of an open axis"));
  return first;
}
template <class T>
const T& SavedCall::attribute(std::string_view name, const char* kind) const {
  const auto* found = std::get_if<T>(&attribute(name));
  if (!found) refuse(text("its ", name, " is not ", kind));
  return *found;
}
int64_t SavedCall::integer(std::string_view name) const { return scalar(name).as<int64_t>(); }
double SavedCall::real(std::string_view name) const { return scalar(name).as<double>(); }
Scalar SavedCall::scalar(std::string_view name) const { return attribute<Scalar>(name, "a number"); }
std::string SavedCall::text_of(std::string_view name) const { return attribute<std::string>(name, "a text"); }
Dims SavedCall::dims(std::string_view name) const { return attribute<Dims>(name, "a list of integers"); }
Ints SavedCall::ints(std::string_view name) const {
  std::vector<Dims> lists;
  for (size_t t = 0; t < exporter_.traces_.size(); ++t) {
    const teeny::Attribute& a = attribute_of(*this, operation(t), name);
    const auto* scalar = std::get_if<Scalar>(&a);
    lists.push_back(scalar ? Dims{scalar->as<int64_t>()} : std::get<Dims>(a));
    if (lists[t].size() != lists[0].size()) refuse(text("its ", name, " depends on the size of an open axis"));
  }
  Ints result;
  for (int i = 0; i < lists[0].size(); ++i) result.push_back(exporter_.each([&](size_t t) { return lists[t][i]; }));
  return result;
}

Name SavedCall::node(std::string_view op, std::vector<Name> inputs, NodeAttributes attributes) {
  return nodes(op, std::move(inputs), std::move(attributes), 1)[0];
}
std::vector<Name> SavedCall::nodes(std::string_view op, std::vector<Name> inputs, NodeAttributes attributes,
                                   int results) {
  return exporter_.graph_.nodes(op, std::move(inputs), std::move(attributes), results);
}
Name SavedCall::constant(const Tensor& x, std::string_view kind) { return exporter_.constant(x, kind); }
Name SavedCall::scalar(Scalar value, DType dtype) { return constant(Tensor::full({}, value, dtype), "scalar"); }
Name SavedCall::integers(const Ints& values, std::string_view kind) { return exporter_.integers(values, kind); }
Name SavedCall::integers(const Dims& values, std::string_view kind) {
  return integers(Ints(values.begin(), values.end()), kind);
}

Name SavedCall::cast(Name x, DType to) { return node("Cast", {x}, {{"to", int64_t(type_of(to))}}); }
Name SavedCall::squeeze(Name x, const Dims& axes) { return axes.empty() ? x : node("Squeeze", {x, integers(axes)}); }
Name SavedCall::unsqueeze(Name x, const Dims& axes) {
  return axes.empty() ? x : node("Unsqueeze", {x, integers(axes)});
}
Name SavedCall::transpose(Name x, const Dims& order) {
  return order == range(0, order.size()) ? x : node("Transpose", {x}, {{"perm", order}});
}

namespace {
/// The axes of size 1 without which `longer` is `shorter`.
std::optional<Dims> ones_between(const Ints& shorter, const Ints& longer) {
  Dims axes;
  size_t s = 0;
  for (size_t a = 0; a < longer.size(); ++a)
    if (s < shorter.size() && shorter[s] == longer[a]) ++s;
    else if (longer[a] == Int(1)) axes.push_back(int64_t(a));
    else return {};
  return s == shorter.size() ? std::optional(axes) : std::nullopt;
}
}  // namespace

Name SavedCall::reshape(Name x, const Ints& from, const Ints& to) {
  if (from == to) return x;
  if (const auto axes = ones_between(from, to)) return unsqueeze(x, *axes);
  if (const auto axes = ones_between(to, from)) return squeeze(x, *axes);
  if (to.size() == 2 && from.size() > 2 && from[0] == to[0]) return node("Flatten", {x}, {{"axis", 1}});
  // In the target 0 is the size that stands there already, and -1, once, what is left.
  Ints target = to;
  const bool is_empty = std::find(to.begin(), to.end(), Int(0)) != to.end();
  const auto open = [](const Int& size) { return size.is_open(); };
  if (const auto count = std::count_if(to.begin(), to.end(), open); count > 0 && !is_empty) {
    for (size_t a = 0; count > 1 && a < std::min(from.size(), to.size()); ++a)
      if (open(to[a]) && from[a] == to[a]) target[a] = 0;
    const auto left = std::find_if(target.begin(), target.end(), open);
    if (left != target.end()) *left = -1;
  }
  return node("Reshape", {x, integers(target, "shape")},
              is_empty ? NodeAttributes{{"allowzero", 1}} : NodeAttributes{});
}

Name SavedCall::slice(Name x, const Ints& begin, const Ints& end, const Dims& axes) {
  return node("Slice", {x, integers(begin, "begin"), integers(end, "end"), integers(axes)});
}

// ---- The table -----------------------------------------------------------------------------------------------------

const SaveOps& save_ops() {
  static const SaveOps all = [] {
    SaveOps ops;
    add_save_elementwise(ops);
    add_save_movement(ops);
    add_save_products(ops);
    add_save_windows(ops);
    add_save_normalization(ops);
    add_save_indexing(ops);
    add_save_reductions(ops);
    add_save_recurrent(ops);
    add_save_activations(ops);
    add_save_math(ops);
    add_save_places(ops);
    add_save_scans(ops);
    add_save_images(ops);
    return ops;
  }();
  return all;
}

}  // namespace teeny::onnx
