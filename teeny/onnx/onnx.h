#pragma once
// Networks from ONNX files: what PyTorch, TensorFlow and others export.
//
//   onnx::Model net("resnet18.onnx");
//   Tensor logits = net({x})[0];                       inputs in the file's order, or by name: net({{"input", x}})
//
//   call 1    what depends on weights and shapes alone is computed and kept; the rest is computed
//   call 2    is recorded by a Jit
//   call 3 .. is replayed; so for each combination of input shapes
//
// A condition that data decides, in a loop or a branch, is taken to turn out as it did in the call before. Where it
// does not, the call is made again. Of a network in which a node looks at values, because the shape of its result depends
// on them, what does not depend on that node is replayed, and the rest computed.
//
// Opsets 7 to 28; of an older one, what has the same form in opset 7. A file is not trusted, and nothing in it is
// executed but the operations of teeny/onnx/ops_*.cpp; the error of a file that needs others names all of them.
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "teeny/nn/nn.h"
#include "teeny/onnx/model.h"
#include "teeny/onnx/save.h"

namespace teeny::program {
struct Contents;
}

namespace teeny::onnx {

struct ModelOptions {
  int64_t plans = 8;                      ///< combinations of input shapes that are kept; the last used stay
  int64_t max_bytes = int64_t(16) << 30;  ///< of one tensor: a larger one is refused before it is made
  bool jit = true;                        ///< record and replay
};

/// One thread at a time may call it.
class Model {
 public:
  /// Throws, naming the file, what is wrong in it; Unsupported where it needs operations or types that teeny has not.
  explicit Model(const std::string& path, const ModelOptions& options = {});
  ~Model();
  Model(Model&&) noexcept;

  /// The outputs, in the file's order. Integers of a type that teeny has no dtype for are int32 or int64, in inputs
  /// and in outputs. Throws where an input is missing, or has another dtype or shape than the file says; axes that have
  /// one name must have one size. An undefined tensor stands for an input that has a value in the file.
  std::vector<Tensor> operator()(std::span<const Tensor> inputs);
  std::vector<Tensor> operator()(std::initializer_list<Tensor> inputs) {
    return (*this)(std::span<const Tensor>(inputs.begin(), inputs.size()));
  }
  std::vector<Tensor> operator()(const nn::StateDict& inputs);  ///< by name

  const std::vector<ValueInfo>& inputs() const;  ///< names, types, shapes; also of those that have a value in the file
  const std::vector<ValueInfo>& outputs() const;
  const ModelProto& proto() const;

  /// The types and shapes of all values of the graph for such inputs. Nothing is computed but what an operation must
  /// look at.
  std::vector<ValueInfo> values(std::span<const Tensor> inputs);

  /// The float weights: initializers, and what Constants of several elements hold, also in graphs inside of nodes and
  /// in functions. They can be trained once they have `requires_grad_()`: a gradient flows through every operation that
  /// has one. Assigning to them has the next call compute anew what was made of them.
  nn::StateDict state() const;
  nn::StateDict teeny_state() const { return state(); }

  // A program file (program/program.h) runs the network without this room:
  //
  //   net.record({x1}), net.record({x8});      a call for each combination of input shapes
  //   net.save_program("net.teeny");           the kernels of all, and the weights once

  /// Runs and records a call for `save_program`, in evaluation mode; what the inputs' values are does not matter. Throws, naming
  /// the nodes, where some look at values: what they do would be that for these inputs alone.
  void record(std::span<const Tensor> inputs);
  void record(std::initializer_list<Tensor> inputs) { record(std::span<const Tensor>(inputs.begin(), inputs.size())); }
  /// What is recorded. State tensors have the names of the weights that they are, or of the values in the graph that
  /// were computed of them; a name that two have gets a number, "mask#2". Throws where a weight was assigned to since.
  program::Contents contents() const;
  void save_program(const std::string& path) const;

  int64_t replays() const;         ///< calls that a Jit replayed
  const std::string& why() const;  ///< why the last one was not; empty when it was

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// "domain:name" of the operations that teeny does not have, and how often the model calls them.
std::map<std::string, int64_t> missing_ops(const ModelProto& model);

/// What an operation belongs to, "windows" or "products": the file teeny/onnx/ops_*.cpp that has it; empty: none has.
std::string family_of(const std::string& op);

}  // namespace teeny::onnx
