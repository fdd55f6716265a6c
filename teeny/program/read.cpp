#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "teeny/files/entries.h"
#include "teeny/program/fields.h"
#include "teeny/program/format.h"

namespace teeny::program {

namespace {

using nlohmann::json;
using tinyops::UnaryOp, tinyops::BinaryOp, tinyops::TernaryOp, tinyops::ReduceOp;

constexpr int kMaxDepth = 12;                // of its lists and objects
constexpr size_t kMaxKeys = 16;              // of an object
constexpr size_t kMaxValues = 4 << 20;       // a value takes some hundred bytes
constexpr size_t kMaxOrigin = 4 << 10;       // bytes of what an index error begins with
constexpr uint64_t kLeastMapped = 64 << 10;  // a smaller tensor is copied, to where the device likes it to lie

/// What all values of a file share while they are read.
struct File {
  const std::string& name;
  Contents& contents;
  std::map<std::string_view, int> state_number = {};
  const Call* call = nullptr;  ///< that is being read
  Shape kernel_shape = {};
};

/// A value of the JSON, which knows where it stands, for messages: `calls[0].kernels[3].inputs[1]`.
class Reader {
 public:
  Reader(File& file, const json& value, const Reader* above = nullptr, std::string_view key = {}, size_t index = 0)
      : file_(file), value_(value), above_(above), key_(key), index_(index) {}

  void contents();

  // ---- Entries of an object, as `fields` asks for them

  template <class T>
  void operator()(std::string_view key, T& member) {
    at(key).read(member);
  }
  template <class T>
  void optional(std::string_view key, T& member, const T& otherwise) {
    if (has(key)) (*this)(key, member);
    else member = otherwise;
  }
  void shape(std::string_view key, Shape& shape) {
    Reader entry = at(key);
    entry.read(shape);
    for (int64_t size : shape)
      if (size < 0) entry.refuse("a size of ", size);
    tinyops::numel(shape, entry.where().c_str());
  }
  void kernel_shape(Shape& shape) {
    this->shape("shape", shape);
    file_.kernel_shape = shape;
  }
  void state(std::string_view key, int& number) {
    const Reader entry = at(key);
    const auto found = file_.state_number.find(entry.string());
    if (found == file_.state_number.end()) entry.refuse("the file has no tensor \"", io::shown(entry.string()), '"');
    number = found->second;
  }
  void operand(tinyops::Operand& x) {
    if (has("slot")) {
      const Slot& slot = file_.call->slots[at("slot").below(file_.call->slots.size(), "slots")];
      x.buffer = slot.buffer;
      optional("dtype", x.dtype, slot.dtype);
    } else {
      (*this)("dtype", x.dtype);
    }
    x.view.shape = file_.kernel_shape;
    if (has("shape")) shape("shape", x.view.shape);
    if (has("coef")) {
      (*this)("coef", x.view.address.coef);
      optional("offset", x.view.address.offset, int64_t(0));
    } else {
      x.view.address = tinyops::View::contiguous(x.view.shape).address;
    }
    if (has("guards")) (*this)("guards", x.view.guards);
  }
  void epilogue(tinyops::ContractKernel& k) {
    if (k.reduced < 0 || k.reduced > k.shape.size()) at("reduced").refuse(k.reduced, " of the axes of ", k.shape);
    k.epilogue.shape = Shape(k.shape.begin(), k.shape.end() - k.reduced);
    file_.kernel_shape = k.epilogue.shape;
    Reader entry = at("epilogue");
    entry.object([&] { row_fields(entry, k.epilogue); });
  }

 private:
  // ---- Values

  template <class T>
  void read(T& x) {
    if constexpr (std::same_as<T, bool>) {
      if (!value_.is_boolean()) refuse("not true or false");
      x = value_.get<bool>();
    } else if constexpr (std::integral<T>) {
      if (value_.is_number_unsigned() ? !std::in_range<T>(value_.get<uint64_t>())
                                      : !value_.is_number_integer() || !std::in_range<T>(value_.get<int64_t>()))
        refuse("not an integer of ", 8 * sizeof(T), std::is_signed_v<T> ? " bits" : " bits without a sign");
      x = value_.get<T>();
    } else if constexpr (std::is_enum_v<T>) {
      if (!is_named(string(), x)) refuse("unknown: \"", io::shown(string()), '"');
    } else {
      object([&] { fields(*this, x); });
    }
  }
  void read(std::string& x) { x = string(); }
  void read(Dims& x) {
    if (list().size() > size_t(tinyops::kMaxRank)) refuse("more than ", tinyops::kMaxRank, " axes");
    x = Dims();
    each([&](Reader& one) { one.read(*(x.push_back(0), x.end() - 1)); });
  }
  template <class T>
  void read(std::vector<T>& all) {
    each([&](Reader& one) { one.read(all.emplace_back()); });
  }
  void read(tinyops::Operand& x) {
    object([&] { operand(x); });
  }
  void read(tinyops::Input& x) {
    using Kind = tinyops::Input::Kind;
    object([&] {
      if (has("constant")) x.kind = Kind::Constant, x.constant = at("constant").scalar();
      else if (has("address")) x.kind = Kind::Address, at("address");
      else if (has("sum")) x.kind = Kind::Sum, at("sum");
      else if (!has("slot")) refuse("none of \"slot\", \"constant\", \"address\" and \"sum\"");
      if (x.kind != Kind::Memory && has("slot")) refuse("a \"slot\" beside what is not in memory");
      operand(x.operand);
    });
  }
  void read(tinyops::IndexOrigin& x) {
    object([&] {
      const Reader op = at("op");
      if (op.string().size() > kMaxOrigin) op.refuse("a text of ", op.string().size(), " bytes");
      x.op = file_.contents.texts->insert(op.string()).first->c_str();
      if (has("given")) shape("given", x.given.emplace());
      optional("axis", x.axis, -1);
    });
  }
  void read(tinyops::Instruction& x);
  void read(tinyops::Kernel& kernel);
  void read(Slot& slot);
  void read(Call& call);
  tinyops::Scalar scalar() const;

  template <class T>
  static bool is_named(std::string_view text, T& x) {
    constexpr int count = std::same_as<T, DType>                    ? int(std::size(tinyops::kDTypes))
                          : std::same_as<T, tinyops::RecurrentCell> ? int(kCells.size())
                                                                    : tinyops::kCount<T>;
    for (int i = 0; i < count; ++i)
      if (name(T(i)) == text) return x = T(i), true;
    return false;
  }
  const std::string& string() const {
    if (!value_.is_string()) refuse("not a text");
    return value_.get_ref<const std::string&>();
  }
  size_t below(size_t count, const char* of) {
    uint64_t number = 0;
    read(number);
    if (number >= count) refuse(number, " of ", count, ' ', of);
    return size_t(number);
  }

  // ---- Lists and objects

  const json& list() const {
    if (!value_.is_array()) refuse("not a list");
    return value_;
  }
  template <class F>
  void each(F&& visit) {
    for (size_t i = 0; i < list().size(); ++i) {
      Reader one(file_, value_[i], this, {}, i);
      visit(one);
    }
  }
  /// Throws where the object has an entry that `visit` did not ask for: a later version may mean much by it.
  template <class F>
  void object(F&& visit) {
    if (!value_.is_object()) refuse("not an object");
    visit();
    if (used_.size() == value_.size()) return;
    for (const auto& [key, value] : value_.items())
      if (std::ranges::find(used_, key) == used_.end()) refuse("unknown entry \"", io::shown(key), '"');
  }
  bool has(std::string_view key) const { return value_.contains(key); }
  Reader at(std::string_view key) {
    const auto found = value_.find(key);
    if (found == value_.end()) refuse("\"", key, "\" is missing");
    if (std::ranges::find(used_, key) == used_.end()) used_.push_back(key);
    return {file_, *found, this, key};
  }

  std::string where() const {
    std::string place;
    for (const Reader* at = this; at->above_; at = at->above_)
      place = (at->key_.empty() ? text('[', at->index_, ']') : text(at->above_->above_ ? "." : "", at->key_)) + place;
    return text(file_.name, ": ", kMetadataKey, place.empty() ? "" : ": ", place);
  }
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... why) const {
    fail(where(), ": ", why...);
  }

  File& file_;
  const json& value_;
  const Reader* above_;
  std::string_view key_;
  size_t index_;
  std::vector<std::string_view> used_;
};

tinyops::Scalar Reader::scalar() const {
  if (value_.is_boolean()) return value_.get<bool>();
  if (value_.is_number_float()) return value_.get<double>();
  if (value_.is_number_unsigned() && value_.get<uint64_t>() > INT64_MAX) refuse("an integer of more than 63 bits");
  if (value_.is_number_integer()) return value_.get<int64_t>();
  const std::string& text = string();
  if (text == "inf" || text == "-inf") return text == "inf" ? HUGE_VAL : -HUGE_VAL;
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  uint64_t bits = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits, 16);
  const double value = std::bit_cast<double>(bits);
  if (error != std::errc() || end != text.data() + text.size() || !std::isnan(value))
    refuse("no constant: \"", io::shown(text), '"');
  return value;
}

void Reader::read(tinyops::Instruction& x) {
  const size_t size = list().size();
  size_t next = 0;
  const auto more = [&] {
    if (next == size) refuse("it ends too early");
    const size_t at = next++;
    return Reader(file_, value_[at], this, {}, at);
  };
  const Reader op = more();
  more().read(x.dtype);
  int args = 0;
  UnaryOp unary;
  BinaryOp binary;
  TernaryOp ternary;
  ReduceOp reduce;
  if (op.string() == "Load") more().read(x.op.emplace<tinyops::Load>().input);
  else if (op.string() == "Constant") x.op = tinyops::Constant{more().scalar()};
  else if (is_named(op.string(), unary)) x.op = unary, args = 1;
  else if (is_named(op.string(), binary)) x.op = binary, args = 2;
  else if (is_named(op.string(), ternary)) x.op = ternary, args = 3;
  else if (op.string().starts_with(kReduce) && is_named(op.string().substr(kReduce.size()), reduce))
    x.op = tinyops::Reduce{reduce}, args = 1;
  else op.refuse("unknown operation \"", io::shown(op.string()), '"');
  for (int i = 0; i < args; ++i) more().read(x.args[size_t(i)]);
  if (next == size) return;
  if (const Reader row = more(); row.string() != kRow || next < size) row.refuse("more than the operation has");
  x.per_row = true;
}

void Reader::read(tinyops::Kernel& kernel) {
  object([&] {
    const Reader kind = at("kind");
    const auto is = [&]<class K>(std::in_place_type_t<K>) {
      if (kind.string() != K::kind) return false;
      return fields(*this, kernel.emplace<K>()), true;
    };
    const auto any = [&]<class... Kinds>(std::variant<Kinds...>&) { return (is(std::in_place_type<Kinds>) || ...); };
    if (!any(kernel)) kind.refuse("unknown kind of kernel \"", io::shown(kind.string()), '"');
  });
}

void Reader::read(Slot& slot) {
  object([&] {
    const auto is_of = [&](Slot::Kind kind, DType dtype, const Shape& shape) {
      slot.kind = kind, slot.dtype = dtype, slot.elements = tinyops::numel(shape);
    };
    if (has("state")) {
      state("state", slot.number);
      const StateTensor& tensor = file_.contents.state[size_t(slot.number)];
      is_of(Slot::Kind::State, tensor.dtype, tensor.shape);
    } else if (has("input")) {
      slot.number = int(at("input").below(file_.call->inputs.size(), "inputs"));
      const Port& port = file_.call->inputs[size_t(slot.number)];
      is_of(Slot::Kind::Input, port.dtype, port.shape);
    } else {
      const bool is_fresh = has("fresh");
      slot.kind = is_fresh ? Slot::Kind::Fresh : Slot::Kind::Temporary;
      if (!is_fresh) slot.number = int(at("block").below(file_.call->blocks.size(), "blocks"));
      Reader elements = at(is_fresh ? "fresh" : "elements");
      elements.read(slot.elements);
      if (slot.elements < 0) elements.refuse("less than none");
      tinyops::numel({slot.elements}, elements.where().c_str());
      (*this)("dtype", slot.dtype);
    }
    slot.buffer = std::make_shared<tinyops::Buffer>(size_t(slot.elements * itemsize(slot.dtype)));
  });
}

void Reader::read(Call& call) {
  file_.call = &call;
  object([&] {
    const auto ports = [&](const char* key, std::vector<Port>& ports, std::vector<int>& slots) {
      at(key).each([&](Reader& one) {
        PortInSlot<Port> port{ports.emplace_back(), slots.emplace_back()};
        one.read(port);
      });
    };
    ports("inputs", call.inputs, call.input_slots);
    ports("outputs", call.outputs, call.output_slots);
    (*this)("blocks", call.blocks);
    for (int64_t bytes : call.blocks)
      if (bytes < 0) at("blocks").refuse("one of ", bytes, " bytes");
    (*this)("slots", call.slots);
    for (const auto* slots : {&call.input_slots, &call.output_slots})
      for (int slot : *slots)
        if (slot < 0 || size_t(slot) >= call.slots.size())
          refuse("an input or output is slot ", slot, " of ", call.slots.size());
    (*this)("kernels", call.kernels);
    if (has("updates")) (*this)("updates", call.updates);
    for (const Call::Update& update : call.updates)
      if (update.slot < 0 || size_t(update.slot) >= call.slots.size())
        at("updates").refuse("slot ", update.slot, " of ", call.slots.size());
    (*this)("in_place", call.in_place);
    if (has("draws")) (*this)("draws", call.draws), (*this)("words", call.words);
    for (const Call::Draw& draw : call.draws)
      if (draw.kernel < 0 || size_t(draw.kernel) >= call.kernels.size() ||
          !std::get_if<tinyops::RandomKernel>(&call.kernels[size_t(draw.kernel)]))
        at("draws").refuse("kernel ", draw.kernel, " draws nothing");
  });
}

void Reader::contents() {
  Contents& contents = file_.contents;
  object([&] {
    int64_t version = 0;
    (*this)("version", version);
    if (version != kVersion)
      at("version").refuse(version, "; this teeny reads version ", kVersion, ": save the program with it");
    Reader random = at("random");
    random.object([&] { random("seed", contents.seed), random("counter", contents.counter); });
    at("frozen").each([&](Reader& one) {
      const auto found = file_.state_number.find(one.string());
      if (found == file_.state_number.end()) one.refuse("the file has no tensor \"", io::shown(one.string()), '"');
      contents.state[size_t(found->second)].frozen = true;
    });
    (*this)("calls", contents.calls);
  });
}

/// Looks at the JSON before memory is reserved for it. An object that has a key twice would mean one thing to this
/// reader and another to the next. (json::parse could call back, and would look at all of a list behind each of its
/// objects.)
class Bounds : public nlohmann::json_sax<json> {
 public:
  explicit Bounds(const std::string& file) : file_(file) {}

  bool start_object(size_t) override { return keys_.emplace_back(), begin(); }
  bool end_object() override { return keys_.pop_back(), --depth_, true; }
  bool start_array(size_t) override { return begin(); }
  bool end_array() override { return --depth_, true; }
  bool key(std::string& key) override {
    if (!keys_.back().insert(key).second) refuse("\"", io::shown(key), "\" is there twice");
    if (keys_.back().size() > kMaxKeys) refuse("more than ", kMaxKeys, " entries in an object");
    return true;
  }
  bool null() override { return value(); }
  bool boolean(bool) override { return value(); }
  bool number_integer(int64_t) override { return value(); }
  bool number_unsigned(uint64_t) override { return value(); }
  bool number_float(double, const std::string&) override { return value(); }
  bool string(std::string&) override { return value(); }
  bool binary(json::binary_t&) override { return value(); }
  bool parse_error(size_t position, const std::string&, const json::exception& error) override {
    // The parser's message ends with the text that it could not read, however long that is.
    refuse("no JSON at byte ", position, ": ", std::string_view(error.what()).substr(0, 200));
  }

 private:
  bool begin() {
    if (++depth_ > kMaxDepth) refuse("more than ", kMaxDepth, " lists and objects in each other");
    return value();
  }
  bool value() {
    if (++values_ > kMaxValues) refuse("more than ", kMaxValues, " values");
    return true;
  }
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... why) const {
    fail(file_, ": ", kMetadataKey, ": ", why...);
  }

  const std::string& file_;
  int depth_ = 0;
  size_t values_ = 0;
  std::vector<std::set<std::string>> keys_;  ///< of the objects that are open
};

json parse(const std::string& file, const std::string& text) {
  if (text.size() > kMaxText) fail(file, ": ", kMetadataKey, " of ", text.size(), " bytes; at most ", kMaxText);
  Bounds bounds(file);
  json::sax_parse(text, &bounds);
  return json::parse(text);
}

StateTensor state_tensor(const std::string& file, const io::Entry& entry, const io::Metadata& checksums,
                         const io::HostBytes& all, std::span<std::byte> data) {
  const std::string what = file + ": tensor \"" + entry.name + "\"";
  const io::StoredType* type = entry.format->type;
  if (!type || type->is_widened()) fail(what, ": ", entry.format->name, ": a program has no such elements");
  const std::span<std::byte> bytes = data.subspan(entry.begin, entry.end - entry.begin);
  io::check_elements(checksums, entry, bytes, what);
  if (type->dtype == DType::Bool)
    for (std::byte b : bytes)
      if (int(b) > 1) fail(what, ": a bool of ", int(b));
  StateTensor result{.name = entry.name, .dtype = type->dtype, .shape = entry.shape, .buffer = nullptr};
  const bool is_aligned = reinterpret_cast<uintptr_t>(bytes.data()) % uintptr_t(type->width) == 0;
  if (tinyops::kHostMemory && bytes.size() >= kLeastMapped && is_aligned) {
    result.buffer = std::make_shared<tinyops::Buffer>(bytes.size(), std::shared_ptr<void>(all.owner, bytes.data()));
  } else {
    result.buffer = std::make_shared<tinyops::Buffer>(bytes.size());
    if (void* memory = result.buffer->data()) tinyops::write(memory, bytes.data(), bytes.size());
  }
  return result;
}

Contents read(const std::string& file, const io::HostBytes& all) {
  std::span<std::byte> data = all.bytes;
  io::Header header = io::read_header(file, data);
  const io::Metadata checksums = io::take_checksums(file, header);
  const auto program = header.metadata.find(std::string(kMetadataKey));
  if (program == header.metadata.end())
    fail(file, ": no program: it has tensors, and no \"", kMetadataKey, "\" in its metadata");
  Contents contents;
  contents.texts = std::make_shared<std::set<std::string>>();
  for (const io::Entry& entry : header.entries)
    contents.state.push_back(state_tensor(file, entry, checksums, all, data));
  File shared{file, contents};
  for (size_t i = 0; i < contents.state.size(); ++i) shared.state_number.emplace(contents.state[i].name, int(i));
  const json tree = parse(file, program->second);
  Reader(shared, tree).contents();
  return contents;
}

}  // namespace

Contents read(const std::string& path) {
  return io::with_memory(path, [&] {
    data::File file = data::open_to_read(path);
    return read(path, io::map_bytes(file, 0, file.size()));
  });
}

Contents read(std::span<const std::byte> bytes, const std::string& name) {
  return io::with_memory(name, [&] {
    const auto copy = std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end());
    return read(name, io::HostBytes{std::shared_ptr<void>(copy, copy->data()), *copy});
  });
}

}  // namespace teeny::program
