#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "teeny/files/entries.h"
#include "teeny/program/fields.h"
#include "teeny/program/format.h"

namespace teeny::program {

namespace {

/// Writes JSON as text: the structs' entries in the order of `fields`, a line for each kernel.
class Writer {
 public:
  Writer(const Contents& contents) : contents_(contents) {}
  std::string out;

  void contents() {
    object([&] {
      (*this)("version", kVersion);
      item("random", [&] { object([&] { (*this)("seed", contents_.seed), (*this)("counter", contents_.counter); }); });
      item("frozen", [&] {
        list(contents_.state, [&](const StateTensor& tensor) {
          if (tensor.frozen) comma(), value(tensor.name);
        });
      });
      item("calls", [&] { list(contents_.calls, [&](const Call& call) { comma(), value(call); }); });
    });
  }

  template <class T>
  void operator()(std::string_view key, const T& member) {
    item(key, [&] { value(member); });
  }
  template <class T>
  void optional(std::string_view key, const T& member, const T& otherwise) {
    if (member != otherwise) (*this)(key, member);
  }
  void shape(std::string_view key, const Shape& shape) { (*this)(key, shape); }
  void kernel_shape(const Shape& shape) {
    kernel_shape_ = shape;
    this->shape("shape", shape);
  }
  void state(std::string_view key, int number) { (*this)(key, contents_.state.at(size_t(number)).name); }

  void operand(const tinyops::Operand& x) {
    if (x.buffer) {
      const auto found = slot_of_.find(x.buffer.get());
      if (found == slot_of_.end()) fail("save: a kernel names a buffer that is no slot's");
      (*this)("slot", found->second);
      optional("dtype", x.dtype, call_->slots[size_t(found->second)].dtype);
    } else {
      (*this)("dtype", x.dtype);
    }
    optional("shape", x.view.shape, kernel_shape_);
    if (const tinyops::View plain = tinyops::View::contiguous(x.view.shape); x.view.address != plain.address) {
      (*this)("coef", x.view.address.coef);
      optional("offset", x.view.address.offset, int64_t(0));
    }
    if (!x.view.guards.empty()) (*this)("guards", x.view.guards);
  }
  void epilogue(const tinyops::ContractKernel& k) {
    kernel_shape_ = k.epilogue.shape;
    item("epilogue", [&] { object([&] { row_fields(*this, k.epilogue); }); });
  }

 private:
  void comma() {
    if (const char last = out.back(); last != '{' && last != '[' && last != '\n') out += ',';
  }
  template <class F>
  void item(std::string_view key, F&& write) {
    comma();
    value(key);
    out += ':';
    write();
  }
  template <class F>
  void object(F&& write) {
    out += '{';
    write();
    out += '}';
  }
  template <class T, class F>
  void list(const T& all, F&& write) {
    out += '[';
    for (const auto& one : all) write(one);
    out += ']';
  }

  // ---- Values

  template <class T>
  void value(const T& x) {
    if constexpr (std::same_as<T, bool>) out += x ? "true" : "false";
    else if constexpr (std::integral<T>) out += std::to_string(x);
    else if constexpr (requires { name(x); }) value(std::string_view(name(x)));
    else if constexpr (std::convertible_to<T, std::string_view>) out += nlohmann::json(std::string_view(x)).dump();
    else if constexpr (requires { x.begin(); }) list(x, [&](const auto& one) { comma(), value(one); });
    else object([&] { fields(*this, x); });
  }
  void value(const tinyops::Operand& x) {
    object([&] { operand(x); });
  }
  void value(const tinyops::IndexOrigin& x) {
    object([&] {
      (*this)("op", std::string_view(x.op));
      if (x.given) (*this)("given", *x.given);
      optional("axis", x.axis, -1);
    });
  }
  void value(const tinyops::Input& x) {
    using Kind = tinyops::Input::Kind;
    object([&] {
      if (x.kind == Kind::Constant) (*this)("constant", x.constant);
      if (x.kind == Kind::Address) (*this)("address", true);
      if (x.kind == Kind::Sum) (*this)("sum", true);
      operand(x.operand);
    });
  }
  void value(const tinyops::Scalar& x) {
    if (x.is_bool()) return value(x.as<bool>());
    if (!x.is_fraction()) return value(x.as<int64_t>());
    const double number = x.as<double>();
    if (std::isfinite(number)) {
      char digits[32];
      const std::string_view shortest(digits, std::to_chars(digits, std::end(digits), number).ptr);
      out.append(shortest).append(shortest.find_first_of(".e") == shortest.npos ? ".0" : "");  // no integer
    } else if (std::isinf(number)) {
      value(std::string_view(number > 0 ? "inf" : "-inf"));
    } else {
      value(text_of_nan(number));
    }
  }
  static std::string text_of_nan(double number) {
    const uint64_t bits = std::bit_cast<uint64_t>(number);
    if (bits == std::bit_cast<uint64_t>(std::numeric_limits<double>::quiet_NaN())) return "nan";
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(bits));
    return digits;
  }
  void value(const tinyops::Instruction& x) {
    int args = 0;
    out += '[';
    const auto is = [&](const auto& what, int count) { value(what), args = count; };
    if (std::get_if<tinyops::Load>(&x.op)) is("Load", 0);
    else if (std::get_if<tinyops::Constant>(&x.op)) is("Constant", 0);
    else if (const auto* unary = std::get_if<tinyops::UnaryOp>(&x.op)) is(*unary, 1);
    else if (const auto* binary = std::get_if<tinyops::BinaryOp>(&x.op)) is(*binary, 2);
    else if (const auto* ternary = std::get_if<tinyops::TernaryOp>(&x.op)) is(*ternary, 3);
    else is(text(kReduce, std::get<tinyops::Reduce>(x.op).op), 1);
    const auto add = [&](const auto& what) { comma(), value(what); };
    add(x.dtype);
    if (const auto* load = std::get_if<tinyops::Load>(&x.op)) add(load->input);
    if (const auto* constant = std::get_if<tinyops::Constant>(&x.op)) add(constant->value);
    for (int i = 0; i < args; ++i) add(x.args[size_t(i)]);
    if (x.per_row) add(kRow);
    out += ']';
  }
  void value(const Slot& x) {
    object([&] {
      if (x.kind == Slot::Kind::State) return state("state", x.number);
      if (x.kind == Slot::Kind::Input) return (*this)("input", x.number);
      if (x.kind == Slot::Kind::Temporary) (*this)("block", x.number);
      (*this)(x.kind == Slot::Kind::Fresh ? "fresh" : "elements", x.elements);
      (*this)("dtype", x.dtype);
    });
  }
  void value(const tinyops::Kernel& kernel) {
    object([&] {
      std::visit(
          [&](const auto& k) {
            (*this)("kind", k.kind);
            fields(*this, k);
          },
          kernel);
    });
  }
  void value(const Call& call) {
    call_ = &call;
    slot_of_.clear();
    for (size_t i = 0; i < call.slots.size(); ++i) slot_of_.emplace(call.slots[i].buffer.get(), int(i));
    const auto ports = [&](const char* key, const std::vector<Port>& ports, const std::vector<int>& slots) {
      item(key, [&] {
        out += '[';
        for (size_t i = 0; i < ports.size(); ++i) comma(), value(PortInSlot<const Port>{ports[i], slots.at(i)});
        out += ']';
      });
    };
    object([&] {
      ports("inputs", call.inputs, call.input_slots);
      ports("outputs", call.outputs, call.output_slots);
      (*this)("slots", call.slots);
      (*this)("blocks", call.blocks);
      item("kernels", [&] {
        out += '[';
        for (const tinyops::Kernel& kernel : call.kernels) comma(), out += '\n', value(kernel);
        out += "\n]";
      });
      if (!call.updates.empty()) (*this)("updates", call.updates);
      (*this)("in_place", call.in_place);
      if (!call.draws.empty()) (*this)("draws", call.draws), (*this)("words", call.words);
    });
  }

  const Contents& contents_;
  const Call* call_ = nullptr;
  Shape kernel_shape_;
  std::unordered_map<const tinyops::Buffer*, int> slot_of_;
};

std::vector<std::byte> bytes_of(const StateTensor& tensor) {
  std::vector<std::byte> bytes(size_t(tinyops::numel(tensor.shape) * itemsize(tensor.dtype)));
  if (!bytes.empty()) tinyops::read(bytes.data(), tensor.buffer->data(), bytes.size());
  return bytes;
}

}  // namespace

void write(const std::string& path, const Contents& contents) {
  Writer writer(contents);
  try {
    writer.contents();
  } catch (const nlohmann::json::exception& error) { fail(path, ": a name that is not UTF-8: ", error.what()); }
  if (writer.out.size() > kMaxText)
    fail(path, ": the kernels are ", writer.out.size(), " bytes; a program file has at most ", kMaxText);
  io::Header header{.entries = {}, .metadata = {{std::string(kMetadataKey), std::move(writer.out)}}};
  for (const StateTensor& tensor : contents.state) {
    io::check_name(path, tensor.name);
    header.entries.push_back({.name = tensor.name, .format = &io::format_of(tensor.dtype), .shape = tensor.shape});
  }
  io::write_file(path, std::move(header), [&](size_t i) { return bytes_of(contents.state[i]); });
}

}  // namespace teeny::program
