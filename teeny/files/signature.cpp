#include "teeny/files/signature.h"

#include <algorithm>
#include <cstring>

#include "teeny/files/stored.h"

namespace teeny::io {

namespace {

struct Signature {
  size_t at;
  std::string_view bytes;
  const char* what;
};
constexpr Signature kSignatures[] = {
    {0, "\x93NUMPY", "an array of NumPy's (.npy)"},
    {0, "PK\3\4", "a zip archive, as .pt and .npz files are"},
    {0, "PK\5\6", "an empty zip archive"},
    {0, "\x80\2", "a pickle, as .pt files were before PyTorch 1.6"},
    {0, "version https://git-lfs", "a pointer of Git LFS, which stands for the file: `git lfs pull` fetches that"},
    {0, "\x1f\x8b", "packed by gzip: unpack it with gunzip"},
    {0, "\xfd\x37zXZ", "packed by xz: unpack it with unxz"},
    {0, "BZh", "packed by bzip2: unpack it with bunzip2"},
    {0, "\x28\xb5\x2f\xfd", "packed by zstd: unpack it with unzstd"},
    {257, "ustar", "a tar archive: unpack it with tar -xf"},
    {0, "\x89HDF\r\n", "HDF5, as Keras writes it: export the network to ONNX with tf2onnx"},
    {0, "GGUF", "GGUF, of llama.cpp: take the network's .safetensors"},
    {4, "TFL3", "TensorFlow Lite: turn it into ONNX with tf2onnx"},
    {4, "ORTM", "onnxruntime's own format: take the .onnx file that it was made from"},
    {0, "\x89PNG", "a picture: read it in Python, and save an array with np.save"},
    {0, "\xff\xd8\xff", "a picture: read it in Python, and save an array with np.save"},
    {0, "%PDF", "a PDF"},
};

/// Without the white space, and the mark of UTF-8, that text may begin with.
std::string_view without_space(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  return text;
}

bool begins_with(std::string_view text, std::string_view lower_case) {
  return text.size() >= lower_case.size() &&
         std::ranges::equal(text.substr(0, lower_case.size()), lower_case, {},
                            [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
}

bool is_text(std::string_view start) {
  for (int cut = 0; cut < 3 && !start.empty() && !is_utf8(start); ++cut)
    start.remove_suffix(1);  // a character ends later
  return is_utf8(start) &&
         std::ranges::all_of(start, [](char c) { return uint8_t(c) >= ' ' || (c >= '\t' && c <= '\r'); });
}

/// A file of text, by how it begins.
std::string what_text_is(std::string_view start) {
  const auto has = [&](std::string_view part) { return start.find(part) != start.npos; };
  if (begins_with(start, "<!doctype html") || begins_with(start, "<html"))
    return "an HTML page, as a download that failed leaves: fetch the file again";
  if (has("ir_version") || has("irVersion") || has("opset_import"))
    return "ONNX as text: in Python, onnx.save(onnx.load(path, format=..), 'net.onnx') with \"textproto\", \"json\" or "
           "\"onnxtxt\"";
  if (begins_with(start, "<?xml") || start.starts_with('<'))
    return "XML, as servers answer when they refuse: fetch the file again";
  if (start.starts_with('{') || start.starts_with('[')) return "JSON";
  return "text, which begins: " + shown(start.substr(0, std::min(start.find_first_of("\r\n"), size_t(40))));
}

}  // namespace

std::string signature_of(data::File& file) {
  const uint64_t place = file.place();
  std::string start(kSignature, '\0');
  file.seek(0);
  start.resize(file.read(start.data(), start.size()));
  file.seek(place);
  return start;
}

Kind kind_of(std::string_view start) {
  uint64_t header = 0;  // its length, as safetensors begin: any first byte may be that of a length
  if (start.size() > sizeof header) std::memcpy(&header, start.data(), sizeof header);
  if (header > 0 && header < uint64_t(1) << 32 && start[sizeof header] == '{') return Kind::Safetensors;
  if (start.starts_with("\x93NUMPY")) return Kind::Npy;
  if (start.starts_with('\x80')) return Kind::Pickle;
  if (start.starts_with("PK\3\4") || start.starts_with("PK\5\6")) return Kind::Zip;
  constexpr std::string_view kNext = "\x12\x1a\x22\x28\x32\x3a\x42";  // fields of a model behind its IR version
  const bool is_onnx = start.size() > 2 && start[0] == 8 && start[1] > 0 && kNext.find(start[2]) != kNext.npos;
  return is_onnx ? Kind::Onnx : Kind::Unknown;
}

std::string what_it_is(std::string_view start) {
  if (start.empty()) return "an empty file";
  if (kind_of(start) == Kind::Safetensors) return "a safetensors file";
  if (kind_of(start) == Kind::Onnx) return "an ONNX network";
  for (const Signature& known : kSignatures)
    if (start.size() > known.at && start.substr(known.at).starts_with(known.bytes)) return known.what;
  if (start.size() == kSignature && std::ranges::all_of(start, [](char c) { return c == 0; }))
    return "zeros, as a download that was cut leaves: fetch the file again";
  const std::string_view text = without_space(start);
  return is_text(start) ? text.empty() ? "white space" : what_text_is(text) : "";
}

void fail_kind(data::File& file, const std::string& otherwise) {
  const std::string what = what_it_is(signature_of(file));
  fail(file.path(), ": ", what.empty() ? otherwise : otherwise + ": it is " + what);
}

}  // namespace teeny::io
