#include "teeny/tool/files.h"

#include <filesystem>

#include "teeny/tool/tool.h"

namespace teeny::tool {

namespace {

std::string_view view_of(const io::HostBytes& file) {
  return {reinterpret_cast<const char*>(file.bytes.data()), file.bytes.size()};
}

io::HostBytes map(const std::string& path) {
  data::File file = data::open_to_read(path);
  return io::map_bytes(file, 0, file.size());
}

uint64_t stored_bytes(const onnx::TensorProto& t) {
  if (t.raw) return t.raw->size();
  if (!t.external || !t.external->contains("length")) return t.message.size();
  return std::strtoull(t.external->at("length").c_str(), nullptr, 10);
}

}  // namespace

bool is_onnx(const std::string& path) {
  data::File file = data::open_to_read(path);
  const io::Kind kind = io::kind_of(io::signature_of(file));
  std::string ending = std::filesystem::path(path).extension();
  for (char& c : ending) c = char(std::tolower(uint8_t(c)));
  return kind == io::Kind::Onnx || (kind == io::Kind::Unknown && ending == ".onnx");
}

void check_network(const std::string& path) {
  data::File file = data::open_to_read(path);
  const std::string start = io::signature_of(file);
  const io::Kind kind = io::kind_of(start);
  if (kind == io::Kind::Onnx) return;
  if (kind != io::Kind::Unknown) {
    if (summary(path).format == kProgram) return;  // throws where it is another kind of archive, and says which
    fail(path, ": holds tensors and no network; .onnx and .teeny files have one, and `teeny info` lists tensors");
  }
  if (!io::what_it_is(start).empty()) io::fail_kind(file, "no ONNX network");
}

bool is_program(const std::string& path) {
  data::File file = data::open_to_read(path);
  return io::kind_of(io::signature_of(file)) == io::Kind::Safetensors && summary(path).format == kProgram;
}

program::Contents load_program(const std::string& path) {
  program::Contents contents = program::read(path);
  program::verify(path, contents);
  return contents;
}

OnnxFile::OnnxFile(const std::string& path) : bytes((check_network(path), map(path))) {
  try {
    proto = onnx::parse_model(view_of(bytes));
  } catch (const onnx::Unsupported& error) {
    throw onnx::Unsupported(text(path, ": ", error.what()));
  } catch (const Error& error) { fail(path, ": ", error.what()); }
}

onnx::Value load_pb(const std::string& path) {
  const io::HostBytes bytes = map(path);
  try {
    return onnx::read_tensor(onnx::parse_tensor(view_of(bytes)));
  } catch (const onnx::Unsupported&) { throw; } catch (const Error& error) {
    fail(path, ": ", error.what());
  }
}

io::FileSummary summary(const std::string& path) {
  if (!is_onnx(path)) {
    io::FileSummary file = io::summary(path);
    if (file.metadata.erase(std::string(program::kMetadataKey)) > 0) file.format = kProgram;
    return file;
  }
  const OnnxFile file(path);
  io::FileSummary result{.format = "ONNX", .metadata = file.proto.metadata};
  std::map<std::string, size_t> beside;
  for (const auto& [name, weight] : onnx::weights_of(file.proto)) {
    const onnx::TensorProto& t = *weight;
    result.tensors.push_back({name, onnx::name_of(t.type), Shape(t.dims.begin(), t.dims.end()), stored_bytes(t)});
    if (t.external) ++beside[t.external->contains("location") ? t.external->at("location") : "?"];
  }
  for (const auto& [location, count] : beside)
    result.notes.push_back(text(count, count == 1 ? " tensor" : " tensors", " in the file ", location));
  return result;
}

nn::StateDict load_tensors(const std::string& path, std::vector<std::string>* left_out) {
  const io::FileSummary headers = summary(path);
  nn::StateDict tensors;
  if (is_onnx(path)) {
    const OnnxFile file(path);
    const std::string folder = std::filesystem::path(path).parent_path();
    for (const auto& [name, weight] : onnx::weights_of(file.proto)) try {
        const Tensor x = onnx::read_tensor(*weight, &file.bytes, folder.empty() ? "." : folder).tensor;
        if (onnx::name_of(weight->type) == "uint64" && (x < 0).any().item<bool>())
          throw onnx::Unsupported("a uint64 of 2^63 or more; teeny holds them as int64, which ends there");
        tensors.emplace_back(name, x);
      } catch (const onnx::Unsupported& error) {
        const std::string what = text(path, ": tensor \"", name, "\": ", error.what());
        if (!left_out) throw io::CannotHold(what);
        left_out->push_back(what);
      }
    return tensors;
  }
  if (headers.format == "safetensors" || headers.format == kProgram) {
    std::vector<std::string> here;
    const io::Safetensors file = io::load_safetensors(path, {.left_out = left_out ? left_out : &here});
    if (!here.empty()) throw io::CannotHold(here[0]);
    return file.tensors;
  }
  if (headers.format == "npz") return io::load_npz(path, {.left_out = left_out});
  if (headers.format == "npy") return {{std::filesystem::path(path).stem(), io::load_npy(path)}};
  return io::load_torch(path, {.left_out = left_out});
}

int64_t elements_of(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (int64_t size : shape)
    if (__builtin_mul_overflow(count, size, &count)) return 0;
  return count;
}

std::string format_to_save(const std::string& path) {
  std::string ending = std::filesystem::path(path).extension();
  if (ending == ".pth") ending = ".pt";
  for (const char* known : {".safetensors", ".pt", ".npz", ".npy"})
    if (ending == known) return ending.substr(1);
  return "";
}

void save_tensors(const std::string& path, const nn::StateDict& tensors, const io::Metadata& metadata) {
  const std::string format = format_to_save(path);
  if (format == "safetensors") io::save_safetensors(path, tensors, metadata);
  else if (format == "pt") io::save_torch(path, tensors);
  else if (format == "npz") io::save_npz(path, tensors);
  else if (path.ends_with(".teeny")) throw WrongUsage(path + ": `teeny compile` makes a program of an .onnx file");
  else if (format.empty()) throw WrongUsage(path + ": an ending .safetensors, .pt, .npz or .npy says what to write");
  else if (tensors.size() == 1) io::save_npy(path, tensors[0].second);
  else
    throw WrongUsage(text(path, ": a .npy file holds one tensor, and there are ", tensors.size(), "; .npz holds all"));
}

}  // namespace teeny::tool
