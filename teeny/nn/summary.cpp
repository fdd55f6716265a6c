#include "teeny/nn/summary.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "teeny/tensor/function.h"

namespace teeny::nn::detail {

Summary::Summary(StateDict state) : state_(std::move(state)) {}

/// The multiply-adds of all products under x that were not counted before.
int64_t Summary::take_multiply_adds(const Tensor& x) {
  kept_.push_back(x);
  int64_t sum = 0;
  std::vector<const Node*> waiting = {x.lazy().node().get()};
  while (!waiting.empty()) {
    const Node& node = *waiting.back();
    waiting.pop_back();
    if (!counted_.insert(&node).second) continue;
    if (std::holds_alternative<node::Contract>(node.op)) sum += numel(node.sources[0].shape());
    if (const auto* special = std::get_if<node::Special>(&node.op))
      if (std::holds_alternative<tinyops::RecurrentKernel>(*special->kernel))  // each gate of a step times all of h
        sum += numel(node.sources[0].shape()) * (node.sources[1].shape()[1] - 1);
    for (const LazyBuffer& source : node.sources) waiting.push_back(source.node().get());
  }
  return sum;
}

int64_t Summary::take_parameters(const StateDict& state) {
  int64_t sum = 0;
  for (const auto& [name, x] : state)
    if (x.requires_grad() && counted_.insert(teeny::detail::TensorAccess::id(x)).second) sum += x.numel();
  return sum;
}

void Summary::enter(const Tensor& x) {
  inside_.back() += take_multiply_adds(x);
  inside_.push_back(0);
}

void Summary::leave(const char* type, const StateDict& state, const Tensor& y) {
  Row row{"", type, text(y.shape()), take_parameters(state), inside_.back() + take_multiply_adds(y)};
  inside_.pop_back();
  // The layer's own name is what stands before that of its first tensor.
  for (const auto& [name, x] : state_)
    if (!state.empty() && x.same(state[0].second)) {
      row.name = name.substr(0, name.size() - std::min(name.size(), state[0].first.size() + 1));
      break;
    }
  rows_.push_back(std::move(row));
}

void Summary::finish(const Tensor& y) {
  Row rest{"", "outside of layers", "", take_parameters(state_), inside_.back() + take_multiply_adds(y)};
  if (rest.parameters + rest.multiply_adds > 0) rows_.push_back(std::move(rest));
  Row total{"total", "", "", 0, 0};
  for (const Row& row : rows_) total.parameters += row.parameters, total.multiply_adds += row.multiply_adds;
  rows_.push_back(std::move(total));
}

namespace {
/// 1234567 as 1,234,567.
std::string grouped(int64_t count) {
  std::string digits = std::to_string(count);
  for (int place = int(digits.size()) - 3; place > 0; place -= 3) digits.insert(size_t(place), ",");
  return digits;
}
}  // namespace

std::string Summary::to_string(int width) const {
  std::vector<std::array<std::string, 5>> cells = {{"layer", "", "output", "parameters", "multiply-adds"}};
  for (const Row& row : rows_)
    cells.push_back({row.name, row.type, row.output, grouped(row.parameters), grouped(row.multiply_adds)});
  std::array<size_t, 5> widths = {};
  for (const auto& line : cells)
    for (size_t c = 0; c < 5; ++c) widths[c] = std::max(widths[c], line[c].size());
  size_t table = 2 * 4;
  for (size_t column : widths) table += column;

  std::string out;
  if (width == 0 || table <= size_t(width)) {
    for (const auto& line : cells) {
      std::string row;
      for (size_t c = 0; c < 5; ++c) {
        const std::string space(widths[c] - line[c].size(), ' ');
        row += (c ? "  " : "") + (c < 3 ? line[c] + space : space + line[c]);
      }
      out += row + "\n";
    }
    return out;
  }
  for (size_t r = 1; r < cells.size(); ++r) {
    const auto& [name, type, output, parameters, multiply_adds] = cells[r];
    out += name + (name.empty() || type.empty() ? "" : " ") + type + "\n";
    if (!output.empty()) out += "  " + output + "\n";
    for (const auto& [count, what] : {std::pair(parameters, cells[0][3]), std::pair(multiply_adds, cells[0][4])})
      if (count != "0") {
        const bool fits = count.size() + what.size() + 3 <= size_t(width);
        out += "  " + count + (fits ? " " : "\n  ") + what + "\n";
      }
  }
  return out;
}

int terminal_width() {
  winsize size = {};
  return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

}  // namespace teeny::nn::detail
