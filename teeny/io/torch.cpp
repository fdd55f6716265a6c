// How tensors are read from PyTorch's files; torch_write.cpp writes them.
#include "teeny/io/torch.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "teeny/io/pickle.h"
#include "teeny/files/signature.h"
#include "teeny/io/summary.h"
#include "teeny/io/torch_storages.h"
#include "teeny/io/zip.h"

namespace teeny::io {

namespace {

using data::File;
using detail::kModule;
using detail::kStorages;
using detail::StorageClass;
using Value = PickleValue;

constexpr uint64_t kMaxPickle = 256 << 20, kMaxNames = 64 << 20;
constexpr uint64_t kMaxExpanded = uint64_t(16) << 30;  // of a tensor with more elements than its storage
constexpr size_t kMaxDepth = 64, kMaxVisits = 1 << 23, kMaxKey = 256;

constexpr std::string_view kRebuildAny = "torch._utils._rebuild", kRebuild = "torch._utils._rebuild_tensor",
                           kRebuild2 = "torch._utils._rebuild_tensor_v2", kRebuild3 = "torch._utils._rebuild_tensor_v3",
                           kParameter = "torch._utils._rebuild_parameter",
                           kParameterWithState = "torch._utils._rebuild_parameter_with_state",
                           kWithAttributes = "torch._tensor._rebuild_from_type_v2";
/// Beside storages, dtypes and what is built into Python: what torch.load(weights_only=True) takes of plain data, and
/// some more. A call of one of the last lines makes something that is left out.
constexpr std::string_view kNames[] = {
    kRebuild,
    kRebuild2,
    kRebuild3,
    kParameter,
    kParameterWithState,
    kWithAttributes,
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "collections.OrderedDict",
    "collections.Counter",
    "collections.defaultdict",
    "torch.Size",
    "torch.device",
    "_codecs.encode",
};
constexpr std::string_view kBuiltins[] = {"set",   "frozenset", "bytearray", "bytes",  "complex", "slice",
                                          "range", "xrange",    "list",      "dict",   "tuple",   "int",
                                          "float", "bool",      "str",       "unicode"};

/// builtins.set, as Python 3 names it, __builtin__.set, as Python 2 did, and protocol 2 does.
bool is_plain_builtin(std::string_view name) {
  for (const std::string_view module : {"builtins.", "__builtin__."})
    if (name.starts_with(module)) return std::ranges::count(kBuiltins, name.substr(module.size())) > 0;
  return false;
}

/// "torch.int8" -> int8; null of other names, and of what teeny cannot hold.
const StoredType* dtype_named(std::string_view name) {
  return name.starts_with(kModule) ? stored_type(name.substr(kModule.size())) : nullptr;
}

/// What to do about a name that is not known, by a part of it.
struct Advice {
  std::string_view part;
  const char* text;
  bool is_tensor = true;  ///< one that can be left out
};
constexpr Advice kAdvice[] = {
    {"_rebuild_sparse", "a sparse tensor: save x.to_dense()"},
    {"torch.serialization._get_layout", "a sparse tensor: save x.to_dense()"},
    {"_rebuild_nested", "a nested tensor: save x.unbind()"},
    {"_rebuild_meta", "a tensor on the meta device has no elements: load it in PyTorch first"},
    {"_rebuild_qtensor", "a quantised tensor: save x.dequantize()"},
    {"torch.per_", "a quantised tensor: save x.dequantize()"},
    {"torch.Q", "a quantised tensor: save x.dequantize()"},
    {"torch.Complex", "complex numbers: save torch.view_as_real(x)"},
    {"torch.complex", "complex numbers: save torch.view_as_real(x)"},
    {"torch.float8", "8-bit floats, which teeny does not have: save x.float()"},
    {"__torch__", "TorchScript: load it in PyTorch, and save model.state_dict()", false},
    {"numpy", "NumPy's numbers or arrays: save torch.from_numpy(x), or float(x)", false},
    {"argparse.", "options: save vars(options)", false},
    {"pathlib.", "a path: save str(path)", false},
    {"datetime.", "a date: save str(date)", false},
    {"",
     "a class or a function, and nothing is executed: save model.state_dict(), and beside it numbers, strings, lists "
     "and dictionaries",
     false},
};

/// Throws where a name is not known; where a tensor that teeny cannot hold is made by that name, only if `tensors_too`.
void check_name(const std::string& what, std::string_view name, bool tensors_too = true) {
  const auto storage = std::ranges::find(kStorages, name, &StorageClass::name);
  if (std::ranges::find(kNames, name) != std::end(kNames) || dtype_named(name) || is_plain_builtin(name) ||
      (storage != std::end(kStorages) && storage->width == 0))
    return;
  const auto advice = std::ranges::find_if(kAdvice, [&](const Advice& a) { return name.find(a.part) != name.npos; });
  const std::string message = text(what, ": the pickle names ", shown(name), ": ", advice->text);
  if (!advice->is_tensor) throw Error(message);
  if (tensors_too) throw CannotHold(message);
}

// ---- From the pickle to tensors ------------------------------------------------------------------------------------

struct Storage {
  std::string_view name = {};  ///< "torch.FloatStorage"
  std::string key = {};
  const StoredType* type = nullptr;  ///< null where it is bytes, and where teeny cannot hold it
  int width = 1;
  uint64_t elements = 0;
  uint64_t bytes() const { return elements * uint64_t(width); }
};

/// A tensor as the file tells of it: elements offset + strides[0] * i + strides[1] * j + ... of a storage.
struct Entry {
  std::string name = {}, what = {};
  Storage storage = {};
  const StoredType* type = nullptr;
  int64_t offset = 0;
  Shape shape = {}, strides = {};
  uint64_t bytes() const { return stored_bytes(shape, type->width, what); }
};

const Value& item(const Value& value, size_t at, Value::Kind kind, const std::string& what) {
  if (at >= value.items.size() || value.items[at]->kind != kind)
    fail(what, ": argument ", at, " of a tensor or storage is missing, or of another kind");
  return *value.items[at];
}

Storage storage_of(const Value& persistent, const std::string& what) {
  const Value& id = item(persistent, 0, Value::Tuple, what);
  if (item(id, 0, Value::Text, what).text != "storage")
    fail(what, ": a ", shown(id.items[0]->text), " is stored, and no tensor: save model.state_dict()");
  const std::string_view name = item(id, 1, Value::Name, what).text;
  const auto* storage = std::ranges::find(kStorages, name, &StorageClass::name);
  const int64_t elements = item(id, 4, Value::Int, what).number;
  if (storage == std::end(kStorages)) fail(what, ": ", shown(name), " is no storage");
  if (elements < 0 || elements > int64_t(1) << 56) fail(what, ": a storage of ", elements, " elements");
  if (id.items.size() > 5 && id.items[5]->kind != Value::None)
    fail(what, ": a view of a storage, as PyTorch wrote it before 0.4: load it in PyTorch, and save it again");
  const std::string_view key = item(id, 2, Value::Text, what).text;
  if (key.size() > kMaxKey) fail(what, ": a storage's key of ", key.size(), " bytes; at most ", kMaxKey);
  const StoredType* type = stored_type(storage->type);
  return {storage->name, std::string(key), type, type ? type->width : std::max(1, storage->width), uint64_t(elements)};
}

/// Sizes or strides: a tuple, or torch.Size of one.
Dims dims_of(const Value* value, const std::string& what) {
  if (value->kind == Value::Call && value->items[0]->text == "torch.Size")
    value = &item(*value->items[1], 0, Value::Tuple, what);
  if (value->kind != Value::Tuple) fail(what, ": sizes and strides are tuples");
  if (value->items.size() > kMaxRank) fail(what, ": ", value->items.size(), " axes; a tensor has at most ", kMaxRank);
  Dims result;
  for (size_t i = 0; i < value->items.size(); ++i) {
    const int64_t size = item(*value, i, Value::Int, what).number;
    if (size < 0) fail(what, ": a size or stride of ", size);
    result.push_back(size);
  }
  return result;
}

/// Whether every element of the tensor lies in its storage, and it is not absurdly larger than that.
void check_reach(const Entry& entry) {
  const uint64_t bytes = entry.bytes();
  if (bytes == 0) return;
  int64_t last = entry.offset;
  bool overflow = false;
  for (int axis = 0; axis < entry.shape.size(); ++axis) {
    int64_t way = 0;
    overflow |= __builtin_mul_overflow(entry.shape[axis] - 1, entry.strides[axis], &way);
    overflow |= __builtin_add_overflow(last, way, &last);
  }
  const uint64_t elements = entry.storage.bytes() / uint64_t(entry.type->width);
  if (overflow || uint64_t(last) >= elements)
    fail(entry.what, ": ", entry.shape, " with strides ", entry.strides, " from ", entry.offset,
         " reaches outside of a storage of ", elements, " elements");
  if (bytes > entry.storage.bytes() && bytes > kMaxExpanded)
    fail(entry.what, ": ", entry.shape, " are ", bytes, " bytes, of a storage of ", entry.storage.bytes(), "; at most ",
         kMaxExpanded);
}

bool makes_tensor(const Value& call) {
  return call.items[0]->text.starts_with(kRebuildAny) || call.items[0]->text == kWithAttributes;
}

/// What a call of a function that makes tensors would make.
Entry entry_of(const Value& call, const std::string& name, const std::string& what) {
  const Value* function = call.items[0];
  const Value* arguments = call.items[1];
  if (function->text == kWithAttributes) {  // a function, the class of its result, arguments, attributes
    function = &item(*arguments, 0, Value::Name, what);
    arguments = &item(*arguments, 2, Value::Tuple, what);
  }
  if (function->text == kParameter || function->text == kParameterWithState) {
    const Value& data = item(*arguments, 0, Value::Call, what);
    function = data.items[0];
    arguments = data.items[1];
  }
  check_name(what, function->text);
  if (!function->text.starts_with(kRebuild)) fail(what, ": a parameter of ", function->text);
  Entry entry{.name = name, .what = what, .storage = storage_of(item(*arguments, 0, Value::Persistent, what), what)};
  const bool has_dtype = function->text == kRebuild3;
  const std::string_view kind = has_dtype ? item(*arguments, 6, Value::Name, what).text : entry.storage.name;
  check_name(what, kind);
  entry.type = has_dtype ? dtype_named(kind) : entry.storage.type;
  if (!entry.type) fail(what, ": a tensor without a dtype");
  entry.offset = item(*arguments, 1, Value::Int, what).number;
  if (entry.offset < 0) fail(what, ": a tensor that begins at ", entry.offset);
  if (arguments->items.size() < 4) fail(what, ": a tensor without sizes or strides");
  entry.shape = dims_of(arguments->items[2], what);
  entry.strides = dims_of(arguments->items[3], what);
  if (entry.shape.size() != entry.strides.size()) fail(what, ": ", entry.shape, " with strides ", entry.strides);
  const size_t metadata = has_dtype ? 7 : 6;  // of a tensor whose sign is still to be turned
  if (arguments->items.size() > metadata && !arguments->items[metadata]->items.empty())
    throw CannotHold(what + ": a negated or conjugated view: save x.resolve_neg()");
  check_reach(entry);
  return entry;
}

/// Finds the tensors in dictionaries, lists and tuples. What is shared is walked each time, as it has a name each time;
/// so what is counted is not what there is but how often something is looked at, and a name is made for a tensor only.
class Collector {
 public:
  Collector(const std::string& path, const LoadOptions& options) : path_(path), options_(options) {}
  std::vector<Entry> entries;
  size_t left_out = 0;  ///< numbers, strings and the like

  void collect(const Value& value) {
    if (keys_.size() > kMaxDepth) fail(path_, ": \"", shown(name()), "\": nested more than ", kMaxDepth, " deep");
    if (++visits_ > kMaxVisits) fail(path_, ": more than ", kMaxVisits, " values, or some of them shared too often");
    const auto below = [&](const Value& key, const Value& part) {
      keys_.push_back(&key);
      collect(part);
      keys_.pop_back();
    };
    if (value.kind == Value::Dict) {
      for (size_t i = 0; i + 1 < value.items.size(); i += 2) below(*value.items[i], *value.items[i + 1]);
    } else if (value.kind == Value::List || value.kind == Value::Tuple) {
      for (Value place{.kind = Value::Int}; place.number < int64_t(value.items.size()); ++place.number)
        below(place, *value.items[size_t(place.number)]);
    } else if (value.kind == Value::Persistent) {
      fail(path_, ": \"", shown(name()), "\": a storage by itself: save the tensor");
    } else if (value.kind != Value::Call || !add(value)) {
      ++left_out;
    }
  }

 private:
  /// "model.0.weight"; of the outermost value "tensor".
  std::string name() const {
    std::string result;
    for (size_t i = 0; i < keys_.size(); ++i) {
      const Value& key = *keys_[i];
      if (i > 0) result += ".";
      if (key.kind == Value::Int) result += std::to_string(key.number);
      else if (key.kind == Value::Text) result += key.text.substr(0, kMaxName + 1);
      else result += key.kind == Value::Tuple ? "(a tuple)" : "(no text)";
    }
    return keys_.empty() ? "tensor" : result;
  }

  bool add(const Value& call) {
    if (!makes_tensor(call)) return false;
    const std::string name = this->name(), what = path_ + ": tensor \"" + shown(name) + "\"";
    for (const Value* key : keys_)
      if ((key->kind != Value::Int && key->kind != Value::Text) || !is_utf8(key->text))
        fail(what, ": a key that is neither an integer nor text in UTF-8");
    if ((name_bytes_ += name.size()) > kMaxNames || name.size() > kMaxName)
      fail(what, ": a name of ", name.size(), " bytes; at most ", kMaxName, ", and ", kMaxNames, " together");
    if (entries.size() == kMaxTensors) fail(path_, ": more than ", kMaxTensors, " tensors");
    if (!names_.insert(name).second) fail(what, " is there twice");
    options_.unless_left_out([&] { entries.push_back(entry_of(call, name, what)); });
    return true;
  }

  const std::string& path_;
  const LoadOptions& options_;
  std::vector<const Value*> keys_;  ///< of the dictionaries and lists around a value
  std::set<std::string> names_;
  size_t visits_ = 0, name_bytes_ = 0;
};

// ---- The two formats -----------------------------------------------------------------------------------------------

/// The tensors that a file tells of, and where their storages lie.
struct TorchFile {
  std::vector<Entry> entries;
  size_t left_out = 0;
  std::optional<ZipReader> archive;                 ///< of the newer format
  std::map<std::string, const ZipRecord*> records;  ///< of it, by the key of the storage
  std::map<std::string, uint64_t> places;           ///< of the older: where the elements begin

  void collect(const Pickle& pickle, const std::string& path, const LoadOptions& options) {
    Collector collector(path, options);
    collector.collect(pickle.root());
    entries = std::move(collector.entries);
    left_out = collector.left_out;
  }
};

void read_archive(File& file, const LoadOptions& options, TorchFile& result) {
  const std::string& path = file.path();
  const ZipReader& archive = result.archive.emplace(file);
  std::string folder;
  constexpr std::string_view kPickle = "data.pkl";
  const auto& records = archive.records();
  for (const ZipRecord& record : records)
    if (record.name.ends_with(kPickle) && std::ranges::count(record.name, '/') == 1)
      folder = record.name.substr(0, record.name.size() - kPickle.size());
  if (folder.empty()) fail(path, ": no data.pkl in the archive: ", kind_of_zip(archive));
  const auto text_of = [&](const std::string& name, uint64_t limit) {
    const ZipRecord* record = archive.find(folder + name);
    if (record && record->size > limit) fail(path, ": ", name, " of ", record->size, " bytes; at most ", limit);
    const Elements bytes = record ? archive.load(*record, 0, 1, {.map = false}) : Elements{};
    return std::string(reinterpret_cast<const char*>(bytes.bytes.data()), bytes.bytes.size());
  };
  if (archive.find(folder + "constants.pkl") || archive.find(folder + "code/"))
    fail(path, ": TorchScript, which is a program: load it in PyTorch, and save model.state_dict()");
  if (const std::string order = text_of("byteorder", 16); order != "" && order != "little")
    fail(path, ": the byte order is \"", order, "\"; only little is read");
  const std::string bytes = text_of(std::string(kPickle), kMaxPickle);
  const auto check = [&](const std::string& name) { check_name(path, name, !options.left_out); };
  result.collect(Pickle(bytes, path, check), path, options);
  for (const Entry& entry : result.entries) {
    const ZipRecord* record = archive.find(folder + "data/" + entry.storage.key);
    if (!record) fail(entry.what, ": its storage \"", shown(entry.storage.key), "\" is not in the archive");
    if (record->size != entry.storage.bytes())
      fail(entry.what, ": its storage has ", record->size, " bytes, and should have ", entry.storage.bytes());
    result.records[entry.storage.key] = record;
  }
}

/// The storages that a pickle speaks of, also where no tensor is made of them.
std::map<std::string, Storage> storages_of(const Pickle& pickle, const std::string& path) {
  std::map<std::string, Storage> result;
  for (const Value& value : pickle.values()) {
    if (value.kind != Value::Persistent) continue;
    const Storage storage = storage_of(value, path);
    const auto [found, added] = result.emplace(storage.key, storage);
    if (found->second.bytes() != storage.bytes()) fail(path, ": a storage of two sizes: \"", shown(storage.key), "\"");
  }
  return result;
}

void read_stream(File& file, const LoadOptions& options, TorchFile& result) {
  const std::string& path = file.path();
  const uint64_t size = file.size();
  const HostBytes start = map_bytes(file, 0, std::min(size, kMaxPickle));
  std::string_view rest(reinterpret_cast<const char*>(start.bytes.data()), start.bytes.size());
  const auto next = [&] {
    Pickle pickle(rest, path, [&](const std::string& name) { check_name(path, name, !options.left_out); });
    rest.remove_prefix(pickle.size());
    return pickle;
  };
  constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
  if (const Pickle magic = next(); magic.root().text != kMagic)
    fail(path, ": a pickle that torch.save has not written");
  if (const Pickle version = next(); version.root().number != 1001)
    fail(path, ": version ", version.root().number, " of PyTorch's older format; 1001 is read");
  if (const Pickle machine = next(); machine.root().kind == Value::Dict)
    for (size_t i = 0; i + 1 < machine.root().items.size(); i += 2)
      if (machine.root().items[i]->text == "little_endian" && machine.root().items[i + 1]->number != 1)
        fail(path, ": written on a big-endian machine; load it in PyTorch, and save it again");
  const Pickle object = next();
  result.collect(object, path, options);
  const std::map<std::string, Storage> storages = storages_of(object, path);

  const Pickle keys = next();
  uint64_t place = uint64_t(rest.data() - reinterpret_cast<const char*>(start.bytes.data()));
  for (const Value* value : keys.root().items) {
    const std::string key(value->text);
    const auto storage = storages.find(key);
    if (storage == storages.end()) fail(path, ": a storage \"", shown(key), "\" that no tensor has");
    uint64_t count = 0;
    if (size - place < sizeof count) fail(path, ": it ends before its storages do");
    file.seek(place);
    file.read_all(&count, sizeof count);
    place += sizeof count;
    const uint64_t bytes = storage->second.bytes();
    if (count != storage->second.elements)
      fail(path, ": storage \"", shown(key), "\" has ", count, " elements, and should have ", storage->second.elements);
    if (bytes > size - place) fail(path, ": it ends before its storages do");
    if (!result.places.emplace(key, place).second) fail(path, ": storage \"", shown(key), "\" is there twice");
    place += bytes;
  }
  if (place != size) fail(path, ": ", size - place, " bytes behind the last storage");
  for (const Entry& entry : result.entries)
    if (!result.places.contains(entry.storage.key)) fail(entry.what, ": its storage is not in the file");
}

void read(File& file, const LoadOptions& options, TorchFile& result) {
  const Kind kind = kind_of(signature_of(file));
  if (kind == Kind::Zip) read_archive(file, options, result);
  else if (kind == Kind::Pickle) read_stream(file, options, result);
  else fail_kind(file, "no file of torch.save: neither a zip archive nor a pickle");
}

/// A tensor's elements in its storage, `base`. Where it is row-major that is told in the same words as everywhere.
Tensor view_of(const Tensor& base, const Entry& entry) {
  View view = View::contiguous(entry.shape);
  view.address.offset = entry.offset;
  for (int axis = 0; axis < entry.shape.size(); ++axis)
    if (entry.shape[axis] > 1) view.address.coef[axis] = entry.strides[axis];
  return Tensor(LazyBuffer(base.lazy().node(), ShapeTracker(view)));
}

nn::StateDict load(File file, const LoadOptions& options) {
  TorchFile torch;
  read(file, options, torch);
  using Part = std::pair<std::string, const StoredType*>;  // a storage, and as what it is seen
  std::map<Part, Tensor> bases;
  std::map<std::pair<Part, std::vector<int64_t>>, Tensor> tensors;
  nn::StateDict result;
  const auto add = [&](const Entry& entry) {
    const Part part(entry.storage.key, entry.type);
    std::vector<int64_t> place(entry.shape.begin(), entry.shape.end());
    place.insert(place.end(), entry.strides.begin(), entry.strides.end());
    place.push_back(entry.offset);
    Tensor &base = bases[part], &tensor = tensors[{part, place}];
    if (!base.defined()) {
      const int width = entry.type->width;
      const uint64_t elements = entry.storage.bytes() / uint64_t(width), bytes = elements * uint64_t(width);
      Elements loaded = torch.archive ? torch.archive->load(*torch.records[part.first], 0, width, options)
                                      : load_elements(file, torch.places[part.first], bytes, width, options.map);
      loaded.bytes = loaded.bytes.first(bytes);
      base = to_tensor(std::move(loaded), *entry.type, {int64_t(elements)}, entry.what);
    }
    if (!tensor.defined())
      tensor = entry.bytes() == 0 ? Tensor::zeros(entry.shape, entry.type->dtype) : view_of(base, entry);
    result.emplace_back(entry.name, tensor);
  };
  for (const Entry& entry : torch.entries) options.unless_left_out([&] { add(entry); });
  return result;
}

}  // namespace

nn::StateDict load_torch(const std::string& path, const LoadOptions& options) {
  return with_memory(path, [&] { return load(data::open_to_read(path), options); });
}

FileSummary detail::summary_of_torch(File& file) {
  TorchFile torch;
  std::vector<std::string> left_out;
  read(file, {.left_out = &left_out}, torch);
  FileSummary result{.format = torch.archive ? "torch" : "torch (before 1.6)"};
  for (const Entry& entry : torch.entries)
    result.tensors.push_back(
        {entry.name, std::string(entry.type->name), entry.shape, entry.bytes(), entry.storage.key});
  constexpr size_t kMostNotes = 10;
  for (size_t i = 0; i < std::min(left_out.size(), kMostNotes); ++i)
    result.notes.push_back(left_out[i].substr(file.path().size() + 2));
  if (left_out.size() > kMostNotes) result.notes.push_back(text("and ", left_out.size() - kMostNotes, " tensors more"));
  if (torch.left_out == 1) result.notes.push_back("1 number, string or the like beside the tensors is left out");
  if (torch.left_out > 1)
    result.notes.push_back(text(torch.left_out, " numbers, strings and the like beside the tensors are left out"));
  return result;
}

}  // namespace teeny::io
