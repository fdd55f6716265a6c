// How tensors are written as PyTorch writes them; torch.cpp reads them.
#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "teeny/files/replacement.h"
#include "teeny/io/torch.h"
#include "teeny/io/torch_storages.h"
#include "teeny/io/zip.h"

namespace teeny::io {

namespace {

/// A storage to be written, and how a tensor lies in it.
struct Placed {
  size_t storage;
  View view;
};

/// The view, if a storage of PyTorch's can be seen in this way, and written to as well.
std::optional<View> strided(const LazyBuffer& x) {
  View view = x.views().view();
  if (!x.views().is_single() || !view.guards.empty() || has_no_memory(x.node()->op)) return {};
  for (int axis = 0; axis < view.rank(); ++axis) {
    int64_t& stride = view.address.coef[axis];
    if (view.shape[axis] < 2) stride = 1;  // whatever it is, nothing is that far away
    else if (stride <= 0) return {};
  }
  return view;
}

/// What tells the views of one buffer apart. A view that pads is one by itself.
std::vector<int64_t> key_of(const LazyBuffer& x, size_t place) {
  const View& view = x.views().view();
  std::vector<int64_t> key(view.shape.begin(), view.shape.end());
  key.insert(key.end(), view.address.coef.begin(), view.address.coef.end());
  key.push_back(view.address.offset);
  if (!x.views().is_single() || !view.guards.empty()) key.push_back(int64_t(place));
  return key;
}

/// Tensors of one buffer share a storage where they are the same elements, and where all of them are strided views that
/// together are as large as the buffer: a slice is not written with all that it is a slice of.
std::vector<Placed> place(std::span<const Tensor> tensors, std::vector<Tensor>& storages) {
  struct Views {
    std::set<std::vector<int64_t>> keys;
    int64_t elements = 0;
    bool strided = true;
  };
  std::map<const Node*, Views> of_node;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const LazyBuffer& x = tensors[i].lazy();
    Views& views = of_node[x.node().get()];
    if (views.keys.insert(key_of(x, i)).second) views.elements += tensors[i].numel();
    views.strided = views.strided && strided(x);
  }
  std::map<std::pair<const Node*, std::vector<int64_t>>, size_t> known;
  std::vector<Placed> result;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const LazyBuffer& x = tensors[i].lazy();
    const Views& views = of_node[x.node().get()];
    const bool whole = views.keys.size() > 1 && views.strided && views.elements >= numel(x.node()->shape());
    const std::pair key(x.node().get(), whole ? std::vector<int64_t>() : key_of(x, i));
    const auto [found, added] = known.emplace(key, storages.size());
    if (added) storages.push_back(whole ? Tensor(LazyBuffer(x.node(), x.node()->whole)) : tensors[i]);
    result.push_back({found->second, whole ? *strided(x) : View::contiguous(x.shape())});
  }
  return result;
}

/// A dictionary of tensors as a pickle of protocol 2; pickle.cpp has the opcodes.
class PickleWriter {
 public:
  void add(const std::string& name, const Placed& tensor, const Tensor& storage) {
    const auto* kind = std::ranges::find(detail::kStorages, teeny::name(storage.dtype()), &detail::StorageClass::type);
    bytes_ += unicode(name);
    once("ctorch._utils\n_rebuild_tensor_v2\n");
    bytes_ += "((";
    once(unicode("storage"));
    once("ctorch\n" + std::string(kind->name.substr(detail::kModule.size())) + "\n");
    bytes_ += unicode(std::to_string(tensor.storage));
    once(unicode("cpu"));
    bytes_ += integer(storage.numel()) + "tQ" + integer(tensor.view.address.offset);
    bytes_ += tuple(tensor.view.shape) + tuple(tensor.view.address.coef) + "\x89";  // no gradient
    once("ccollections\nOrderedDict\n");
    bytes_ += ")RtR";
  }
  std::string finish() const { return bytes_ + "u."; }

 private:
  template <class T>
  static std::string raw(T value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof value);
  }
  static std::string unicode(std::string_view text) { return "X" + raw(uint32_t(text.size())).append(text); }
  static std::string integer(int64_t value) {
    return value == int32_t(value) ? "J" + raw(int32_t(value)) : "\x8a\x08" + raw(value);
  }
  static std::string tuple(const Dims& values) {
    std::string result = "(";
    for (int64_t value : values) result += integer(value);
    return result + "t";
  }
  /// What pushes a value: the second time the reader takes it from its memo.
  void once(const std::string& code) {
    const auto [found, added] = memo_.emplace(code, memo_.size());
    bytes_ += (added ? code + "q" : "h") + raw(uint8_t(found->second));
  }

  std::string bytes_ = "\x80\x02}(";  // PROTO 2, EMPTY_DICT, MARK
  std::map<std::string, size_t> memo_;
};

}  // namespace

void save_torch(const std::string& path, const nn::StateDict& tensors) {
  const std::vector<Tensor> all = realize_to_save(path, tensors);
  std::vector<Tensor> storages;
  const std::vector<Placed> placed = place(all, storages);
  PickleWriter pickle;
  for (size_t i = 0; i < all.size(); ++i) pickle.add(tensors[i].first, placed[i], storages[placed[i].storage]);

  Replacement replacement(path);
  ZipWriter archive(replacement.file());
  const auto add = [&](const std::string& name, std::string_view bytes) {
    archive.add("archive/" + name, {std::as_bytes(std::span(bytes))});
  };
  add("data.pkl", pickle.finish());
  add("byteorder", "little");
  for (size_t i = 0; i < storages.size(); ++i)
    archive.add("archive/data/" + std::to_string(i), {storages[i].to_bytes()});
  add("version", "3\n");
  archive.finish();
  replacement.commit();
}

}  // namespace teeny::io
