#pragma once
// What `run` and `bench` run: the network of an ONNX file, or the calls of a program file.
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "teeny/debug/trace.h"
#include "teeny/jit/run_program.h"
#include "teeny/tool/inputs.h"
#include "teeny/tool/print.h"

namespace teeny::tool {

class Network {
 public:
  explicit Network(const std::string& path, const onnx::ModelOptions& options = {});

  /// Of a program: no nodes; a size that its calls do not agree on is open, and an input that some of them do not have
  /// is as one with a value in the file.
  const onnx::Graph& graph() const { return model_ ? model_->proto().graph : graph_; }
  /// The input shapes of a program's calls; empty: it is none.
  std::vector<Shapes> calls() const;

  /// Inputs in the graph's order; undefined: left out.
  std::vector<Tensor> operator()(std::span<const Tensor> inputs);
  /// Throws where a program has no call with such inputs.
  void check(std::span<const Tensor> inputs) const;
  std::vector<std::string> output_names(std::span<const Tensor> inputs) const;
  /// Of a program: what the call's kernels do, and what it leaves for the next call, in a sentence or none.
  debug::Counters work(std::span<const Tensor> inputs) const;
  std::string keeps(std::span<const Tensor> inputs) const;

  int64_t replays() const { return model_ ? model_->replays() : runs_; }
  std::string why() const { return model_ ? model_->why() : ""; }

 private:
  const program::Call& call_of(std::span<const Tensor> inputs) const;

  std::string path_;
  std::optional<onnx::Model> model_;
  std::optional<Program> program_;
  onnx::Graph graph_;
  int64_t runs_ = 0;
};

// ---- A call of a program in words

/// `x (1, 3, 224, 224), mask (1, 16)`
std::string text_of(const std::vector<Port>& ports);
/// How many kernels there are of each kind, as they are named in a listing: contract, rows.
std::map<std::string, int64_t> kinds_of(const program::Call& call);
debug::Counters work_of(const program::Call& call);
std::string work_text(const program::Call& call);  ///< 3.6 GFLOP
int64_t temporary_bytes(const program::Call& call);
/// The state tensors that a call changes.
std::vector<std::string> changes_of(const program::Contents& contents, const program::Call& call);
Json json_of(const program::Contents& contents, const program::Call& call);

}  // namespace teeny::tool
