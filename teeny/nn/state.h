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
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "teeny/tensor/tensor.h"

namespace teeny::nn {

/// Tensors by name, in the order in which the structs list them. The tensors are handles: what is assigned to one of
/// them is assigned to the model's.
using StateDict = std::vector<std::pair<std::string, Tensor>>;

/// Calls `visit(name, part)` for every part. `names` is the text between the brackets of TEENY_STATE: "in, blocks_".
/// The underscore at the end of a private member is not part of its name.
template <class Visit, class... Parts>
void visit_parts(Visit& visit, std::string_view names, const Parts&... parts) {
  [[maybe_unused]] const auto next = [&names] {
    std::string_view name = names.substr(0, names.find(','));
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    name.remove_prefix(name.find_first_not_of(' '));
    name = name.substr(0, name.find_last_not_of(" _") + 1);
    return name;
  };
  (visit(next(), parts), ...);
}

/// Lists the parts of a struct, in its public section: tensors, structs that have a TEENY_STATE of their own, and
/// vectors, arrays and optionals (or owning pointers) of those.
#define TEENY_STATE(...)                                                      \
  template <class Visit>                                                      \
  void visit_state(Visit&& visit) const {                                     \
    ::teeny::nn::visit_parts(visit, #__VA_ARGS__ __VA_OPT__(, ) __VA_ARGS__); \
  }

template <class T>
concept HasState = requires(const T& part) {
  part.visit_state([](std::string_view, const auto&) {});
};
template <class T>
concept Sequence = requires(const T& part) {
  part.begin(), part.end();
};
template <class T>
concept Maybe = requires(const T& part) {
  static_cast<bool>(part), *part;
};

/// Appends the tensors of `part`, and of the parts of `part`, to `into`; each name starts with `name`. Undefined
/// tensors (a layer without a bias) and empty optionals are left out.
template <class Part>
void collect(const std::string& name, const Part& part, StateDict& into) {
  const auto inside = [&name](std::string_view child) {
    return name.empty() ? std::string(child) : name + "." + std::string(child);
  };
  if constexpr (std::same_as<Part, Tensor>) {
    if (part.defined()) into.emplace_back(name, part);
  } else if constexpr (std::same_as<Part, StateDict>) {
    for (const auto& [child, tensor] : part) into.emplace_back(inside(child), tensor);
  } else if constexpr (HasState<Part>) {
    part.visit_state([&](std::string_view child, const auto& member) { collect(inside(child), member, into); });
  } else if constexpr (Sequence<Part>) {
    int index = 0;
    for (const auto& element : part) collect(inside(std::to_string(index++)), element, into);
  } else {
    static_assert(Maybe<Part>, "TEENY_STATE lists a member that is no tensor and has no TEENY_STATE itself");
    if (part) collect(name, *part, into);
  }
}

/// All tensors of a model: parameters, and buffers such as running statistics.
template <class Model>
StateDict state_dict(const Model& model) {
  StateDict dict;
  collect("", model, dict);
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
  return parameters(dict);
}

/// Throws one Error that lists every missing, unexpected and repeated name, wrong shape and wrong dtype, unless `from`
/// fits `into` exactly.
void check_state_dict(const StateDict& into, const StateDict& from);

/// Assigns `from` to the tensors of the same names. On an Error (see `check_state_dict`) nothing has changed.
void load_state_dict(const StateDict& into, const StateDict& from);
template <class Model>
void load_state_dict(Model& model, const StateDict& from) {
  load_state_dict(state_dict(std::as_const(model)), from);
}

}  // namespace teeny::nn
