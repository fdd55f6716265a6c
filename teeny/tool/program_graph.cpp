#include "teeny/tool/program_graph.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>

#include "teeny/tool/dot.h"
#include "teeny/tool/network.h"

namespace teeny::tool {

namespace {

using program::Slot;

constexpr const char *kState = "#ececec", *kRows = "#dcebfa", *kContract = "#fbe3c8", *kOther = "#e3edd0";
constexpr size_t kMostBlocks = 16;  ///< in the legend
constexpr size_t kMostTensors = 6;  ///< in a box

/// Neighbours differ: each is a golden section of the circle further. Pale behind text, dark as an arrow.
std::string colour_of_block(int block, bool dark) {
  const double hue = std::fmod(0.6 + 0.618034 * block, 1.0);
  char out[48];
  std::snprintf(out, sizeof out, "%.3f %s", hue, dark ? "0.9 0.65" : "0.25 1.0");
  return out;
}

const char* colour_of(const tinyops::Kernel& kernel) {
  if (std::holds_alternative<tinyops::ContractKernel>(kernel)) return kContract;
  return std::holds_alternative<tinyops::RowKernel>(kernel) ? kRows : kOther;
}

/// What the user called, of a kernel that looks up an index.
std::string origin_of(const tinyops::Kernel& kernel) {
  return std::visit(
      [](const auto& k) {
        if constexpr (requires { k.origin; }) return text(k.origin);
        else return std::string();
      },
      kernel);
}

class CallDrawing {
 public:
  CallDrawing(const program::Contents& contents, const program::Call& call)
      : contents_(contents), call_(call), writers_(call.slots.size()), shapes_(call.slots.size()) {
    for (size_t s = 0; s < call.slots.size(); ++s) slot_of_[call.slots[s].buffer.get()] = s;
  }

  ProgramDrawing draw() {
    drawing_.source = text("digraph program {\n", kGraphStyle);
    legend();
    for (size_t i = 0; i < call_.inputs.size(); ++i) {
      port(text("in", i), call_.inputs[i]);
      for (size_t s = 0; s < call_.slots.size(); ++s)
        if (call_.slots[s].kind == Slot::Kind::Input && call_.slots[s].number == int(i))
          writers_[s] = {text("in", i)}, shapes_[s] = call_.inputs[i].shape;
    }
    for (size_t k = 0; k < call_.kernels.size(); ++k) draw(k);
    for (size_t i = 0; i < call_.outputs.size(); ++i) {
      port(text("out", i), call_.outputs[i]);
      arrows(size_t(call_.output_slots[i]), text("out", i));
    }
    drawing_.source += "}\n";
    return std::move(drawing_);
  }

 private:
  void box(const std::string& name, const std::string& rows) { drawing_.source += table(name, rows), ++drawing_.boxes; }
  void port(const std::string& name, const Port& port) {
    box(name, row("<b>" + for_html(port.name) + "</b>", kOutside) + row(typed(port.dtype, port.shape), kOutside));
  }
  static std::string typed(DType dtype, const Shape& shape) {
    return text(dtype, ' ', shape.empty() ? "scalar" : joined(shape, "×"));
  }

  /// From whatever wrote the slot: several kernels may each have written a part. At an input or output the box says
  /// what goes along.
  void arrows(size_t s, const std::string& to) {
    const Slot& slot = call_.slots[s];
    const std::string colour = slot.kind == Slot::Kind::Temporary ? colour_of_block(slot.number, true) : "#555555";
    for (const std::string& from : writers_[s]) {
      const bool is_inside = from[0] == 'k' && to[0] == 'k';
      drawing_.source += text("  ", from, " -> ", to, " [color=\"", colour, "\" fontcolor=\"", colour, "\"",
                              is_inside ? " label=< " + typed(slot.dtype, shapes_[s]) + " >" : "", "];\n");
      ++drawing_.arrows;
    }
  }

  void draw(size_t k) {
    const tinyops::Kernel& kernel = call_.kernels[k];
    const std::string label = debug::label(kernel), name = text('k', k);
    const size_t end = label.find(')') + 1;
    std::string rows = row(text("<b>", k, "  ", for_html(label.substr(0, end)), "</b>"), colour_of(kernel));
    if (end < label.size()) rows += row(for_html(label.substr(label.find_first_not_of(' ', end))), colour_of(kernel));
    if (const std::string origin = origin_of(kernel); !origin.empty()) rows += row(for_html(origin), colour_of(kernel));
    std::vector<size_t> reads, writes;
    std::map<size_t, bool> whole;
    tinyops::for_each_operand(kernel, [&](const tinyops::Operand& x, bool written) {
      const size_t s = slot_of_.at(x.buffer.get());
      std::vector<size_t>& all = written ? writes : reads;
      if (std::ranges::find(all, s) == all.end()) all.push_back(s);
      if (!written) return;
      whole[s] = numel(x.view.shape) == call_.slots[s].elements;
      shapes_[s] = whole[s] ? x.view.shape : Shape{call_.slots[s].elements};
    });
    size_t tensors = 0;
    for (size_t s : reads) {
      arrows(s, name);
      if (!writers_[s].empty() || call_.slots[s].kind != Slot::Kind::State) continue;
      const program::StateTensor& tensor = contents_.state[size_t(call_.slots[s].number)];
      if (++tensors <= kMostTensors) rows += row(for_html(text(tensor.name, "  ", joined(tensor.shape, "×"))), kState);
    }
    if (tensors > kMostTensors) rows += row(text("... ", tensors - kMostTensors, " more"), kState);
    for (size_t s : writes) {
      if (whole[s]) writers_[s].clear();
      writers_[s].push_back(name);
      rows += written(s);
    }
    box(name, rows);
  }

  /// Where a result goes.
  std::string written(size_t s) const {
    const Slot& slot = call_.slots[s];
    if (slot.kind == Slot::Kind::Temporary)
      return row(text("block ", slot.number), colour_of_block(slot.number, false));
    for (const program::Call::Update& update : call_.updates)
      if (update.slot == int(s)) return row(for_html("new " + contents_.state[size_t(update.state)].name), kState);
    return row("result", kOutside);
  }

  void legend() {
    std::string rows =
        row(text("<b>", counted(int64_t(call_.kernels.size()), "kernel"), "</b>, numbered as they run"), kPlain) +
        row("rows (outer | inner): element by element", kRows) +
        row("contract (outer | summed): sums of products", kContract) +
        row("gather, scatter, scan, sort, random, recurrent", kOther) + row("tensors of the file", kState) +
        row("memory: one colour is one block", kPlain);
    const size_t blocks = std::min(call_.blocks.size(), kMostBlocks);
    for (size_t b = 0; b < blocks; ++b)
      rows += row(text("block ", b, ": ", byte_size(double(call_.blocks[b]))), colour_of_block(int(b), false));
    if (blocks < call_.blocks.size()) rows += row(text("... ", call_.blocks.size() - blocks, " more"), kPlain);
    drawing_.source += table("legend", rows);
  }

  const program::Contents& contents_;
  const program::Call& call_;
  std::unordered_map<const tinyops::Buffer*, size_t> slot_of_;
  std::vector<std::vector<std::string>> writers_;  ///< of each slot: the boxes
  std::vector<Shape> shapes_;                      ///< of each slot: that in which it was written
  ProgramDrawing drawing_;
};

}  // namespace

ProgramDrawing drawing_of(const program::Contents& contents, const program::Call& call) {
  return CallDrawing(contents, call).draw();
}

}  // namespace teeny::tool
