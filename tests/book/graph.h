// The graph below some tensors, for the figures: a line for each handle, node and way from a node to what it reads.
#pragma once
#include <iostream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "teeny/teeny.h"

/// `handle NAME VIEW node`, `node number op shape state`, `edge node source VIEW`, with tabs between.
inline void print_graph(const std::vector<std::pair<std::string, teeny::LazyBuffer>>& handles) {
  using namespace teeny;
  std::map<const Node*, size_t> numbers;
  std::vector<const Node*> nodes;
  const auto number = [&](const LazyBuffer& x) {
    const auto [found, is_new] = numbers.emplace(x.node().get(), nodes.size());
    if (is_new) nodes.push_back(x.node().get());
    return found->second;
  };
  const auto views = [](const LazyBuffer& x) {
    std::string all;
    for (const View& view : x.views().views()) all += (all.empty() ? "" : " then ") + text(view);
    return all;
  };
  for (const auto& [name, x] : handles)
    std::cout << "handle\t" << name << "\t" << views(x) << "\t" << number(x) << "\n";
  for (size_t n = 0; n < nodes.size(); ++n) {
    const Node& node = *nodes[n];
    const auto* constant = std::get_if<node::Constant>(&node.op);
    const std::string state = has_no_memory(node.op) ? "no memory" : node.realized() ? "realized" : "unrealized";
    std::cout << "node\t" << n << "\t" << (constant ? text(constant->value) : text(name(node.op))) << "\t"
              << node.shape() << "\t" << state << "\n";
    for (const LazyBuffer& source : node.sources)
      std::cout << "edge\t" << n << "\t" << number(source) << "\t" << views(source) << "\n";
  }
}
