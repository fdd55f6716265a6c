#include "teeny/io/summary.h"

#include <algorithm>

#include "teeny/files/signature.h"
#include "teeny/io/zip.h"

namespace teeny::io {

namespace {

FileSummary summary_of(data::File& file) {
  switch (kind_of(signature_of(file))) {
    case Kind::Npy: return detail::summary_of_npy(file);
    case Kind::Pickle: return detail::summary_of_torch(file);
    case Kind::Safetensors: return detail::summary_of_safetensors(file);
    case Kind::Zip: break;
    default: fail_kind(file, "no file of tensors, which are .safetensors, .pt, .npz and .npy");
  }
  const ZipReader archive(file);
  const bool pickled = std::ranges::any_of(archive.records(), [](auto& r) { return r.name.ends_with("/data.pkl"); });
  file.seek(0);
  return pickled ? detail::summary_of_torch(file) : detail::summary_of_npz(file);
}

}  // namespace

FileSummary summary(const std::string& path) {
  data::File file = data::open_to_read(path);
  FileSummary result = summary_of(file);
  std::map<std::string, size_t> counts;
  for (const StoredTensor& tensor : result.tensors) ++counts[tensor.dtype];
  for (const auto& [dtype, count] : counts) {
    const StoredType* type = stored_type(dtype);
    const std::string what = text(count, count == 1 ? " tensor" : " tensors", " of ", shown(dtype));
    if (!type) result.notes.push_back(what + ", which teeny cannot hold");
    else if (type->is_widened()) result.notes.push_back(text(what, ", read as ", type->dtype));
  }
  return result;
}

}  // namespace teeny::io
