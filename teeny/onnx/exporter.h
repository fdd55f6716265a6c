#pragma once
// From traces of a call to a graph of ONNX: what SavedCall (save_ops.h) stands on.
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "teeny/onnx/graph_builder.h"
#include "teeny/onnx/trace.h"

namespace teeny::onnx {

/// An open axis: a size that the file has a name for.
struct Symbol {
  std::string name;
  Int size;         ///< in each trace
  int input, axis;  ///< where a running graph finds it
};

class Exporter {
 public:
  /// `traces` are Int::kTraces or, where no axis is open, one. Throws where they are not the same operations.
  Exporter(std::vector<Trace> traces, std::vector<Symbol> symbols, const nn::StateDict& state, int opset);

  /// Writes the operations and the outputs. `inputs` and `outputs` are names.
  GraphBuilder& write(std::span<const Placeholder> inputs, std::span<const std::string> outputs);

 private:
  friend class SavedCall;
  const TracedValue& value(int v, size_t trace = 0) const { return traces_[trace].values[size_t(v)]; }
  const TracedOperation& operation(int o, size_t trace = 0) const { return traces_[trace].operations[size_t(o)]; }
  /// made(trace), for each.
  template <class F>
  Int each(F made) const {
    Int result = made(size_t(0));
    for (size_t t = 1; t < traces_.size(); ++t) result[t] = made(t);
    return result;
  }
  Ints shape(int v) const;

  void check_same() const;
  bool is_same_constant(int v) const;
  bool is_folded(int v) const { return folded_[size_t(v)]; }
  /// The operation that made it; -1 where none did, or it is a constant.
  int maker(int v) const;

  Name name(int v);  ///< writes it, where it is a parameter or a constant
  std::optional<Scalar> scalar_of(int v) const;
  Name open_constant(int v);
  Name constant(const Tensor& x, std::string_view kind) { return graph_.constant(x, kind); }
  Name integers(const Ints& values, std::string_view kind);
  Name size(const Int& size);  ///< an int64 vector of one element
  std::vector<Name> broadcast(const std::vector<int>& arguments, const Ints& to);
  std::vector<Size> written(const Ints& shape) const;

  std::vector<Trace> traces_;
  std::vector<Symbol> symbols_;
  const nn::StateDict& state_;
  const int opset_;
  GraphBuilder graph_;
  std::vector<bool> folded_;  ///< values that are initializers
  std::vector<Name> names_;   ///< of values; the default where they are not written yet
};

}  // namespace teeny::onnx
