#pragma once
// What a model consists of. There is no base class: a model is a plain struct that lists its parts once,
//
//   struct Mlp {
//     nn::Linear in{784, 64};
//     std::vector<Block> blocks;
//     nn::Linear head{64, 10};
//     Tensor operator()(Tensor x);
//     TEENY_STATE(in, blocks, head)
//   };
//
// and the names that follow from it are PyTorch's: "in.weight", "blocks.0.attn.qkv.weight", "head.bias".
#include <concepts>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "teeny/nn/members.h"
#include "teeny/tensor/tensor.h"

namespace teeny::nn {

/// Tensors by name, in the order in which the structs list them. The tensors are handles: what is assigned to one of
/// them is assigned to the model's.
using StateDict = std::vector<std::pair<std::string, Tensor>>;

/// The parts that a TEENY_STATE lists: the text between its brackets, "in, blocks_", and what these names stand for.
template <class... Parts>
struct PartList {
  std::string_view names;
  std::tuple<const Parts&...> parts;
};
template <class... Parts>
PartList<Parts...> list_parts(std::string_view names, const Parts&... parts) {
  return {names, {parts...}};
}

/// Lists the parts of a struct, in its public section: tensors, structs that have a TEENY_STATE of their own, and
/// vectors, arrays and optionals (or owning pointers) of those. The underscore at the end of a private member is not
/// part of its name.
#define TEENY_STATE(...) \
  auto teeny_state() const { return ::teeny::nn::list_parts(#__VA_ARGS__ __VA_OPT__(, ) __VA_ARGS__); }

template <class T>
concept HasState = requires(const T& part) {
  part.teeny_state();
};
template <class T>
concept Sequence = requires(const T& part) {
  part.begin(), part.end();
};
template <class T>
concept Maybe = requires(const T& part) {
  static_cast<bool>(part), *part;
};

/// What TEENY_STATE may list.
template <class T>
constexpr bool holds_state() {
  if constexpr (std::same_as<T, Tensor> || std::same_as<T, StateDict> || HasState<T>) return true;
  else if constexpr (Sequence<T>) return holds_state<std::decay_t<decltype(*std::declval<const T&>().begin())>>();
  else if constexpr (Maybe<T>) return holds_state<std::decay_t<decltype(*std::declval<const T&>())>>();
  else return false;
}

template <class Part>
void collect(const std::string& name, const Part& part, StateDict& into);

namespace detail {

/// Takes the first of the names in "in, blocks_" away, and returns it behind `owner`: "net.in".
std::string next_name(const std::string& owner, std::string_view& names);

template <class Owner, size_t kMember, class Type>
void collect_member(const std::string& name, const Type& part, StateDict& into) {
  static_assert(
      holds_state<Type>(),
      "TEENY_STATE of `Owner` lists a member (`kMember`, counted from 0) whose `Type` is not a Tensor, and has no "
      "TEENY_STATE that lists the Tensors in it");
  if constexpr (holds_state<Type>()) collect(name, part, into);
}

template <class Owner, class... Parts>
void collect_members(const std::string& name, const PartList<Parts...>& list, StateDict& into) {
  std::string_view names = list.names;
  [&]<size_t... kMember>(std::index_sequence<kMember...>) {
    (collect_member<Owner, kMember>(next_name(name, names), std::get<kMember>(list.parts), into), ...);
  }
  (std::index_sequence_for<Parts...>());
}

/// Throws if `own`, what a member consists of, has a parameter that is not in `dict`.
void check_listed(const StateDict& own, const StateDict& dict, std::string_view names);
/// Throws if a plain struct in x (see members.h) has a member with a parameter that is not in `dict`. `names` are those
/// that the TEENY_STATE around x lists.
template <class Part>
void check_members(const Part& x, const StateDict& dict, std::string_view names = {}) {
  const auto check_member = [&]<class Member>(const Member& member) {
    if constexpr (holds_state<Member>() && !std::is_pointer_v<Member>) {  // what a pointer points to is another's
      StateDict own;
      collect("", member, own);
      check_listed(own, dict, names);
    }
    if constexpr (!std::is_pointer_v<Member>) check_members(member, dict, names);
  };
  if constexpr (holds_state<Part>() && !HasState<Part> && Sequence<Part>) {
    for (const auto& element : x) check_members(element, dict, names);
  } else if constexpr (holds_state<Part>() && !HasState<Part> && Maybe<Part>) {
    if (x) check_members(*x, dict, names);
  } else if constexpr (requires { x.teeny_state().parts; }) {
    const auto list = x.teeny_state();
    names = list.names;
    if constexpr (count_members<Part>() > 0) visit_members(x, check_member);
    else std::apply([&](const auto&... parts) { (check_members(parts, dict, names), ...); }, list.parts);
  } else {
    visit_members(x, check_member);
  }
}

}  // namespace detail

/// Appends the tensors of `part`, and of the parts of `part`, to `into`; each name starts with `name`. Undefined
/// tensors (a layer without a bias) and empty optionals are left out.
template <class Part>
void collect(const std::string& name, const Part& part, StateDict& into) {
  static_assert(holds_state<Part>(), "`Part` is not a Tensor, and has no TEENY_STATE that lists the Tensors in it");
  const auto inside = [&name](const std::string& child) { return name.empty() ? child : name + "." + child; };
  if constexpr (std::same_as<Part, Tensor>) {
    if (part.defined()) into.emplace_back(name, part);
  } else if constexpr (std::same_as<Part, StateDict>) {
    for (const auto& [child, tensor] : part) into.emplace_back(inside(child), tensor);
  } else if constexpr (HasState<Part>) {
    if constexpr (std::same_as<decltype(part.teeny_state()), StateDict>) collect(name, part.teeny_state(), into);
    else detail::collect_members<Part>(name, part.teeny_state(), into);
  } else if constexpr (holds_state<Part>() && Sequence<Part>) {
    int index = 0;
    for (const auto& element : part) collect(inside(std::to_string(index++)), element, into);
  } else if constexpr (holds_state<Part>()) {
    if (part) collect(name, *part, into);
  }
}

/// All tensors of a model: parameters, and buffers such as running statistics. Throws where a plain struct has a member
/// with a parameter that its TEENY_STATE forgets: it would be neither trained nor saved.
template <class Model>
StateDict state_dict(const Model& model) {
  StateDict dict;
  collect("", model, dict);
  detail::check_members(model, dict);
  return dict;
}

/// The tensor of this name. Where there is none, the Error lists the names that look most like it.
Tensor find(const StateDict& dict, std::string_view name);
/// The tensors below `prefix`, under names without it: `under(dict, "encoder")` has "encoder.norm.weight" as
/// "norm.weight".
StateDict under(const StateDict& dict, std::string_view prefix);

/// The tensors that training changes: those of the dictionary that require a gradient, each once, also where two
/// layers share it.
std::vector<Tensor> parameters(const StateDict& dict);
template <class... Models>
std::vector<Tensor> parameters(const Models&... models) {
  StateDict dict;
  (collect("", models, dict), ...);
  (detail::check_members(models, dict), ...);
  return parameters(dict);
}

/// Throws one Error that lists missing, unexpected and repeated names, wrong shapes and wrong dtypes, and how many
/// there are, unless `from` fits `into` exactly.
void check_state_dict(const StateDict& into, const StateDict& from);

/// Assigns `from` to the tensors of the same names. On an Error (see `check_state_dict`) nothing has changed.
void load_state_dict(const StateDict& into, const StateDict& from);
template <class Model>
void load_state_dict(Model& model, const StateDict& from) {
  load_state_dict(state_dict(std::as_const(model)), from);
}

}  // namespace teeny::nn
