#pragma once
// An ONNX graph as something to look at: boxes of nodes and arrows between them.
//
//   Conv ─ Relu ─ MaxPool     a chain is one box with a line for each node
//   layer1.0 (8 nodes)        a module deeper than `depth` is one box with a line for each operation
//
// What only computes constants and shapes is left out. Modules are what the names say: "/layer1/layer1.0/conv1/Conv",
// or what PyTorch's exporter writes beside a node, or the name of a weight: "layer1.0.conv1.weight".
#include <map>
#include <set>
#include <string>
#include <vector>

#include "teeny/onnx/onnx.h"

namespace teeny::tool {

using Scope = std::vector<std::string>;  ///< modules from the outermost

struct Box {
  Scope scope;              ///< that it lies in
  std::string module = {};  ///< it stands for all of this module; empty: it is a chain
  std::vector<const onnx::Node*> nodes = {};
};

struct Arrow {
  int from, to;  ///< boxes; -1 - k: input k of the graph, or output k
  auto operator<=>(const Arrow&) const = default;
};

struct Drawing {
  std::vector<Box> boxes = {};
  std::map<Arrow, std::vector<std::string>> arrows = {};  ///< and which values go along each
  size_t left_out = 0;                                    ///< nodes
  int depth = 0, deepest = 0;                             ///< of modules: drawn, and of the whole graph
};

/// `depth` < 0: as deep as gives at most `most` boxes, or 1.
Drawing drawing_of(const onnx::Graph& graph, int depth, size_t most);

/// The graph in Graphviz's language; `values` are the types and shapes that are known.
std::string dot_of(const Drawing& drawing, const onnx::Graph& graph,
                   const std::map<std::string, onnx::ValueInfo>& values);

}  // namespace teeny::tool
