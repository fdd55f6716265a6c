#pragma once
// Networks as ONNX files, for onnxruntime, Netron and others:
//
//   onnx::save("net.onnx", model, {x});
//   onnx::save("net.onnx", model, {x}, {.inputs = {"image"}, .dynamic = {{0, 0, "batch"}}});
//
// The model is called once on tensors that have the shapes and dtypes of `x`, and stand for all values; nothing is
// computed but constants. What the call did is written down, in evaluation mode: a convolution is one Conv, a layer
// norm one LayerNormalization; parameters have their names in `nn::state_dict`. With open axes it is called with
// several sizes, and must do the same each time.
//
// Throws, naming the file, where the call cannot be written down:
//   - an operation has no spelling in ONNX: its name, its arguments and why
//   - it reads values that depend on an input (`item`, `to_vector`, printing), or decides by them
//   - it assigns: to an input, a parameter (as batch norm does in training), or a tensor that was read before
//   - it draws random values
//   - it makes a tensor of an input past the operations of Tensor (`LazyBuffer`): nobody knows how
//   - what it does depends on the size of an open axis
// and where the file cannot be written, as `io::save_safetensors` does: then `path` is what it was. Of two files the
// one with the weights takes its place first.
#include <concepts>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "teeny/nn/nn.h"

namespace teeny::onnx {

/// An axis of an input that may have any size in the file.
struct OpenAxis {
  int input;  ///< counted from 0
  int64_t axis;
  std::string name;         ///< axes of one name have one size
  int64_t multiple_of = 1;  ///< of the sizes that it is tried with: a model may want pictures in patches of 16
};

struct SaveOptions {
  int opset = 18;                    ///< 18 to 23; from 20 on Gelu is one node
  std::vector<std::string> inputs = {};   ///< names; empty: "input", or "input_0" ..
  std::vector<std::string> outputs = {};  ///< names; empty: "output", or "output_0" ..
  std::vector<OpenAxis> dynamic = {};
  nn::StateDict state = {};  ///< parameters of a function that has no TEENY_STATE
  /// Bytes of initializers above which those of 1 KiB and more go to a file beside, `path` + ".data", since no
  /// message has more than 2 GiB.
  int64_t external_above = 1'500'000'000;
  std::string name = "teeny";  ///< of the graph
  std::string doc = {};             ///< a text for people
};

namespace saving {

using TensorCall = std::function<std::vector<Tensor>(std::span<const Tensor>)>;

void save(const std::string& path, const TensorCall& call, std::span<const Tensor> inputs, const nn::StateDict& state,
          const SaveOptions& options);

template <class T>
concept Tuple = requires {
  std::tuple_size<T>::value;
};

/// Appends the tensors of what a model returns: a tensor; a sequence, a tuple or a plain struct of such.
template <class Result>
void append_results(const Result& result, std::vector<Tensor>& to) {
  if constexpr (std::same_as<Result, Tensor>) to.push_back(result);
  else if constexpr (nn::Sequence<Result>)
    for (const auto& element : result) append_results(element, to);
  else if constexpr (Tuple<Result>)
    std::apply([&](const auto&... element) { (append_results(element, to), ...); }, result);
  else {
    static_assert(
        nn::detail::count_members<Result>() > 0,
        "onnx::save: the model returns something that is no tensor, and no sequence, tuple or struct of tensors");
    nn::detail::visit_members(result, [&](const auto& member) { append_results(member, to); });
  }
}

/// model(inputs...), for the number of inputs that are given, or model(inputs).
template <class Model>
std::vector<Tensor> call_model(Model& model, std::span<const Tensor> inputs) {
  std::vector<Tensor> results;
  bool called = false;
  if constexpr (std::invocable<Model&, std::vector<Tensor>>) {
    append_results(model(std::vector<Tensor>(inputs.begin(), inputs.end())), results), called = true;
  } else {
    const auto try_with = [&]<size_t... i>(std::index_sequence<i...>) {
      constexpr size_t kCount = sizeof...(i);
      if constexpr (std::invocable<Model&, std::enable_if_t<i + 1 != 0, const Tensor&>...>)
        if (inputs.size() == kCount) append_results(model(inputs[i]...), results), called = true;
    };
    [&]<size_t... count>(std::index_sequence<count...>) { (try_with(std::make_index_sequence<count>()), ...); }
    (std::make_index_sequence<9>());
  }
  if (!called) fail("onnx::save: the model cannot be called with ", inputs.size(), " tensors");
  return results;
}

template <class Model>
nn::StateDict state_of(const Model& model) {
  if constexpr (nn::HasState<Model>) return nn::state_dict(model);
  else return {};
}

}  // namespace saving

template <class Model>
void save(const std::string& path, Model&& model, std::span<const Tensor> inputs, const SaveOptions& options = {}) {
  const auto call = [&](std::span<const Tensor> x) { return saving::call_model(model, x); };
  saving::save(path, call, inputs, saving::state_of(std::as_const(model)), options);
}
template <class Model>
void save(const std::string& path, Model&& model, std::initializer_list<Tensor> inputs,
          const SaveOptions& options = {}) {
  save(path, model, std::span<const Tensor>(inputs.begin(), inputs.size()), options);
}

}  // namespace teeny::onnx
