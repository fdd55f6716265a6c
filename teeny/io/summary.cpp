#include "teeny/io/summary.h"

#include <algorithm>

#include "teeny/io/zip.h"

namespace teeny::io {

namespace {

FileSummary summary_of(data::File& file) {
  std::string start(6, '\0');
  start.resize(file.read(start.data(), start.size()));
  file.seek(0);
  if (start == "\x93NUMPY") return detail::summary_of_npy(file);
  if (start.starts_with('\x80')) return detail::summary_of_torch(file);
  if (!start.starts_with("PK")) return detail::summary_of_safetensors(file);
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
