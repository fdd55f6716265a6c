#include "teeny/files/header.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

namespace teeny::io {

namespace {

using nlohmann::json;

constexpr Format kFormats[] = {
    {"BOOL", 8, stored_type("bool")},
    {"U8", 8, stored_type("uint8")},
    {"U16", 16, stored_type("uint16")},
    {"U32", 32, stored_type("uint32")},
    {"U64", 64, stored_type("uint64")},
    {"I8", 8, stored_type("int8")},
    {"I16", 16, stored_type("int16")},
    {"I32", 32, stored_type("int32")},
    {"I64", 64, stored_type("int64")},
    {"F16", 16, stored_type("float16")},
    {"BF16", 16, stored_type("bfloat16")},
    {"F32", 32, stored_type("float32")},
    {"F64", 64, stored_type("float64")},
    // Those that teeny does not have.
    {"C64", 64},
    {"F8_E4M3", 8},
    {"F8_E5M2", 8},
    {"F8_E8M0", 8},
    {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8},
    {"F6_E2M3", 6},
    {"F6_E3M2", 6},
    {"F4", 4},
};
constexpr std::string_view kMetadata = "__metadata__";

/// Handles the JSON parser's events one by one, so that text which is no header is refused at its first wrong token,
/// before memory is reserved for it. Objects lie at most two deep, and arrays only in the inner one:
///
///   depth 1   { name:            depth 2   { field:  string | [ integers ]
class HeaderReader : public nlohmann::json_sax<json> {
 public:
  explicit HeaderReader(const std::string& file) : file_(file) {}
  Header header;

  bool start_object(size_t) override {
    if (depth_ == 2 || in_array_) refuse("an object where none belongs");
    ++depth_;
    if (depth_ == 2 && !in_metadata()) {
      if (header.entries.size() == kMaxTensors) refuse(text("more than ", kMaxTensors, " tensors"));
      header.entries.push_back({.name = name_});
    }
    return true;
  }

  bool key(std::string& key) override {
    const auto twice = [&] { refuse("\"" + shown(key) + "\" is there twice"); };
    if (depth_ == 1) {
      if (key.size() > kMaxName) refuse(text("a name of ", key.size(), " bytes; at most ", kMaxName));
      if (!names_.insert(key).second) twice();
      name_ = key;
      fields_.clear();
      integers_.clear();
    } else if (in_metadata()) {
      if (header.metadata.size() == kMaxMetadata) refuse(text("more than ", kMaxMetadata, " entries"));
      if (header.metadata.contains(key)) twice();
    } else {
      if (!fields_.insert(key).second) twice();
      if (key != "dtype" && key != "shape" && key != "data_offsets") refuse("unknown field \"" + shown(key) + "\"");
    }
    field_ = key;
    return true;
  }

  bool string(std::string& text) override {
    if (depth_ == 2 && in_metadata()) {
      header.metadata[field_] = std::move(text);
      return true;
    }
    if (depth_ != 2 || in_array_ || field_ != "dtype") refuse("a string where none belongs");
    for (const Format& format : kFormats) {
      if (format.name != text) continue;
      header.entries.back().format = &format;
      return true;
    }
    refuse("dtype \"" + shown(text) + "\", which the format does not have");
  }

  bool start_array(size_t) override {
    if (depth_ != 2 || in_metadata() || in_array_ || field_ == "dtype") refuse("an array where none belongs");
    in_array_ = true;
    integers_.clear();
    return true;
  }

  bool number_unsigned(uint64_t value) override {
    if (!in_array_) refuse("a number where none belongs");
    const size_t limit = field_ == "shape" ? kMaxRank : 2;
    if (integers_.size() == limit) refuse(text("more than ", limit, " numbers in \"", field_, "\""));
    if (field_ == "shape" && value > uint64_t(INT64_MAX)) refuse(text("a size of ", value));
    integers_.push_back(value);
    return true;
  }

  bool end_array() override {
    in_array_ = false;
    Entry& entry = header.entries.back();
    if (field_ == "shape") entry.shape = Shape(integers_.begin(), integers_.end());
    else {
      if (integers_.size() != 2) refuse("\"data_offsets\" are two numbers");
      entry.begin = integers_[0];
      entry.end = integers_[1];
    }
    return true;
  }

  bool end_object() override {
    if (depth_ == 2 && !in_metadata() && fields_.size() != 3)
      refuse("\"dtype\", \"shape\" and \"data_offsets\" are needed");
    --depth_;
    return true;
  }

  bool null() override { refuse("null where it does not belong"); }
  bool boolean(bool) override { refuse("a boolean where none belongs"); }
  bool number_integer(int64_t value) override { refuse(text("negative number ", value)); }
  bool number_float(double, const std::string& number) override {
    refuse("\"" + number + "\" is no integer of 64 bits");
  }
  bool binary(json::binary_t&) override { refuse("binary where none belongs"); }
  bool parse_error(size_t position, const std::string&, const json::exception& error) override {
    // The parser's message ends with the text that it could not read, however long that is.
    fail(file_, ": the header is no JSON at byte ", position, ": ", std::string(error.what()).substr(0, 200));
  }

 private:
  bool in_metadata() const { return name_ == kMetadata; }
  [[noreturn]] void refuse(const std::string& why) const {
    if (name_.empty()) fail(file_, ": header: ", why);
    fail(file_, in_metadata() ? ": \"" : ": tensor \"", shown(name_), "\": ", why);
  }

  const std::string& file_;
  int depth_ = 0;
  bool in_array_ = false;
  std::string name_, field_;
  std::set<std::string> names_, fields_;
  std::vector<uint64_t> integers_;
};

/// The bytes that an entry's shape and dtype come to; throws when their bits do not fit 63 bits, or do not fill the
/// last byte.
uint64_t bytes_of(const std::string& file, const Entry& entry) {
  int64_t bits = entry.format->bits;
  bool overflow = false;
  for (int64_t size : entry.shape) overflow |= __builtin_mul_overflow(bits, size, &bits);
  if (overflow) fail(file, ": tensor \"", shown(entry.name), "\": shape ", entry.shape, " has too many elements");
  if (bits % 8 != 0)
    fail(file, ": tensor \"", shown(entry.name), "\": ", entry.shape, " of ", entry.format->name, " are ", bits,
         " bits, which are not whole bytes");
  return uint64_t(bits) / 8;
}

}  // namespace

const Format& format_of(DType dtype) {
  return *std::ranges::find(kFormats, stored_type(tinyops::name(dtype)), &Format::type);
}

Header parse_header(const std::string& file, std::string_view text, uint64_t data_size) {
  if (text.empty() || text[0] != '{') fail(file, ": the header does not start with {");
  if (const size_t at = text.find('\0'); at != text.npos)
    fail(file, ": a zero byte in the header, at ", at, ": some programs would not read what stands behind it");
  HeaderReader reader(file);
  json::sax_parse(text.begin(), text.end(), &reader);
  Header header = std::move(reader.header);

  // [exercise 26
  std::vector<const Entry*> by_place;
  for (const Entry& entry : header.entries) by_place.push_back(&entry);
  std::sort(by_place.begin(), by_place.end(),
            [](auto* a, auto* b) { return std::pair(a->begin, a->end) < std::pair(b->begin, b->end); });
  uint64_t covered = 0;
  for (const Entry* entry : by_place) {
    const auto refuse = [&](const auto&... why) {
      fail(file, ": tensor \"", shown(entry->name), "\": bytes ", entry->begin, " to ", entry->end, why...);
    };
    if (entry->begin > entry->end) refuse(" end before they begin");
    if (entry->end > data_size) refuse(" of ", data_size, " in the file");
    if (entry->begin < covered) refuse(" overlap with those of another, which end at ", covered);
    if (entry->begin > covered) refuse(" leave a hole behind ", covered);
    const uint64_t needed = bytes_of(file, *entry);
    if (entry->end - entry->begin != needed)
      refuse(" for ", entry->shape, " of ", entry->format->name, ", which needs ", needed);
    covered = entry->end;
  }
  if (covered != data_size) fail(file, ": ", data_size - covered, " bytes at the end belong to no tensor");
  // exercise 26]
  return header;
}

std::string write_header(const Header& header) {
  // Text goes through the library, for its escapes and to refuse what is not UTF-8.
  const auto quoted = [](const std::string& text) {
    try {
      return json(text).dump();
    } catch (const json::exception& error) {
      fail("save_safetensors: a name or value that is not UTF-8: ", error.what());
    }
  };
  std::string out = "{";
  const auto item = [&out] { out += out.back() == '{' ? "" : ","; };
  if (!header.metadata.empty()) {
    out += quoted(std::string(kMetadata)) + ":{";
    for (const auto& [key, value] : header.metadata) {
      item();
      out += quoted(key) + ":" + quoted(value);
    }
    out += "}";
  }
  std::set<std::string_view> names = {kMetadata};
  for (const Entry& entry : header.entries) {
    if (!names.insert(entry.name).second) fail("save_safetensors: the name \"", entry.name, "\" is taken");
    item();
    out += quoted(entry.name) + ":{\"dtype\":\"" + std::string(entry.format->name) + "\",\"shape\":[";
    for (int axis = 0; axis < entry.shape.size(); ++axis) out += (axis ? "," : "") + std::to_string(entry.shape[axis]);
    out += "],\"data_offsets\":[" + std::to_string(entry.begin) + "," + std::to_string(entry.end) + "]}";
  }
  return out + "}";
}

}  // namespace teeny::io
