#include "teeny/io/npy.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <set>

#include "teeny/files/replacement.h"
#include "teeny/files/signature.h"
#include "teeny/io/summary.h"
#include "teeny/io/zip.h"

namespace teeny::io {

namespace {

using data::File;

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr uint64_t kMaxHeader = 10'000;  // what np.load takes, too
constexpr std::string_view kEnding = ".npy";

// ---- The header ----------------------------------------------------------------------------------------------------

struct Array {
  std::string descr = {};            ///< "<f4", or the text of a structured dtype
  const StoredType* type = nullptr;  ///< null where teeny cannot hold it
  bool big_endian = false, fortran_order = false;
  Shape shape = {};
  uint64_t begin = 0;  ///< where the elements begin: behind the header
};

/// What stands in a header of Python's literals: a dictionary, strings, True and False, a tuple of integers.
class Literal {
 public:
  Literal(std::string_view text, const std::string& what) : text_(text), what_(what) {}

  [[noreturn]] void refuse(const std::string& why) const {
    fail(what_, ": the header of an array, at ", at_, ": ", why);
  }
  char peek() {
    at_ = std::min(text_.find_first_not_of(" \n", at_), text_.size());
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) { return peek() == c ? ++at_, true : false; }
  void expect(char c) {
    if (!take(c)) refuse(text("a ", c, " belongs here"));
  }
  std::string string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') refuse("a string belongs here");
    const size_t end = text_.find(quote, at_ + 1);
    const std::string_view inside = text_.substr(at_ + 1, end - at_ - 1);
    if (end == text_.npos || inside.find('\\') != inside.npos) refuse("a string that does not end, or has a backslash");
    at_ = end + 1;
    return std::string(inside);
  }
  bool boolean() {
    peek();
    const bool value = text_.substr(at_).starts_with("True");
    if (!value && !text_.substr(at_).starts_with("False")) refuse("True or False belongs here");
    at_ += value ? 4 : 5;
    return value;
  }
  Shape tuple() {
    Shape sizes;
    for (expect('('); !take(')');) {
      int64_t size = -1;
      peek();
      const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), size);
      if (error != std::errc() || size < 0) refuse("a size belongs here: an integer from 0 to 2^63 - 1");
      if (sizes.size() == kMaxRank) refuse(text("more than ", kMaxRank, " axes"));
      at_ = size_t(end - text_.data());
      take('L');  // of Python 2
      sizes.push_back(size);
      if (!take(',') && (sizes.size() == 1 || peek() != ')')) refuse("a comma belongs here");
    }
    return sizes;
  }
  /// A list, of whatever: its text.
  std::string list() {
    const size_t begin = at_;
    for (int depth = 0; at_ < text_.size(); ++at_) {
      if (text_[at_] == '[') ++depth;
      if (text_[at_] == ']' && --depth == 0) return std::string(text_.substr(begin, ++at_ - begin));
    }
    refuse("a list that does not end");
  }

 private:
  std::string_view text_;
  const std::string& what_;
  size_t at_ = 0;
};

/// Of "<f4": byte order, kind, bytes.
void set_type(Array& array) {
  std::string_view rest = array.descr;
  if (rest.size() > 1 && std::string_view("<>|=").find(rest[0]) != rest.npos) {
    array.big_endian = rest[0] == '>';
    rest.remove_prefix(1);
  }
  if (rest == "b1") array.type = stored_type("bool");
  else if (rest == "V2") array.type = stored_type("bfloat16");
  else if (const size_t kind = std::string_view("fiu").find(rest.empty() ? '?' : rest[0]);
           kind != rest.npos && rest.size() == 2 && rest[1] >= '1' && rest[1] <= '8')
    array.type = stored_type(text(kind == 0 ? "float" : kind == 1 ? "int" : "uint", 8 * (rest[1] - '0')));
}

/// `start` is the beginning of a file, as much of it as a header may fill.
Array parse_header(std::string_view start, const std::string& what) {
  if (!start.starts_with(kMagic) || start.size() < 12)
    fail(what, ": no array of NumPy's: it does not begin with \\x93NUMPY and a header");
  const int version = start[6];
  if (version < 1 || version > 3 || start[7] != 0)
    fail(what, ": version ", version, ".", int(start[7]), " of NumPy's format; 1.0 to 3.0 are read");
  const size_t width = version == 1 ? 2 : 4;
  uint32_t length = 0;
  std::memcpy(&length, start.data() + 8, width);
  Array array{.begin = 8 + width + length};
  if (length > kMaxHeader || array.begin > start.size())
    fail(what, ": a header of ", length, " bytes; at most ", kMaxHeader, ", and those must be there");

  Literal literal(start.substr(8 + width, length), what);
  std::set<std::string> keys;
  for (literal.expect('{'); !literal.take('}');) {
    const std::string key = literal.string();
    if (!keys.insert(key).second) literal.refuse("\"" + key + "\" is there twice");
    literal.expect(':');
    if (key == "descr") array.descr = literal.peek() == '[' ? literal.list() : literal.string();
    else if (key == "fortran_order") array.fortran_order = literal.boolean();
    else if (key == "shape") array.shape = literal.tuple();
    else literal.refuse("unknown key \"" + shown(key) + "\"");
    if (!literal.take(',') && literal.peek() != '}') literal.refuse("a comma belongs here");
  }
  if (keys.size() != 3) literal.refuse("\"descr\", \"fortran_order\" and \"shape\" are needed");
  if (literal.peek() != '\0') literal.refuse("text behind the dictionary");
  set_type(array);
  return array;
}

[[noreturn]] void fail_type(const std::string& descr, const std::string& what) {
  const size_t at = descr.find_first_not_of("<>|=");
  const auto is = [&](std::string_view kinds) { return at < descr.size() && kinds.find(descr[at]) != kinds.npos; };
  const char* advice = is("[") ? "a record: save its fields, x['name'], as arrays of their own"
                       : is("O")
                           ? "Python objects, which only a pickle holds, and a pickle may run anything: save numbers"
                       : is("c")  ? "complex numbers: save x.real and x.imag"
                       : is("f")  ? "a float that teeny does not have: save x.astype('float64')"
                       : is("US") ? "text: leave it out"
                       : is("Mm") ? "dates: save x.astype('int64')"
                                  : "teeny has no such dtype";
  throw CannotHold(text(what, ": dtype ", shown(descr), ": ", advice));
}

/// The bytes of the elements. Throws unless there are as many as the header says.
uint64_t check_size(const Array& array, uint64_t present, const std::string& what) {
  if (!array.type) fail_type(array.descr, what);
  const uint64_t size = stored_bytes(array.shape, array.type->width, what);
  if (size > present)
    fail(what, ": ", array.shape, " of ", array.descr, " are ", size, " bytes; ", present, " are there");
  if (size < present)
    fail(what, ": ", present - size, " bytes behind the array; several arrays in one file are written by np.savez");
  return size;
}

void reverse_bytes(std::span<std::byte> bytes, size_t width) {
  for (size_t i = 0; i < bytes.size(); i += width) std::ranges::reverse(bytes.subspan(i, width));
}

Tensor make_tensor(const Array& array, Elements elements, const std::string& what) {
  if (array.big_endian) reverse_bytes(elements.bytes, size_t(array.type->width));
  Shape shape = array.shape;
  if (array.fortran_order) std::ranges::reverse(shape);
  const Tensor x = to_tensor(std::move(elements), *array.type, shape, what);
  if (!array.fortran_order) return x;
  Dims axes = range(0, shape.size());
  std::ranges::reverse(axes);
  return x.permute(axes);
}

// ---- Files ---------------------------------------------------------------------------------------------------------

Array load_header(File& file) {
  std::string start(std::min(file.size(), kMaxHeader + 12), '\0');
  file.read_all(start.data(), start.size());
  if (kind_of(start) != Kind::Npy) fail_kind(file, "no array of NumPy's");
  return parse_header(start, file.path());
}

/// "w.npy" -> "w"
std::string name_of(const ZipRecord& record) {
  const bool ends = record.name.ends_with(kEnding);
  return record.name.substr(0, record.name.size() - (ends ? kEnding.size() : 0));
}

std::string array_named(const std::string& path, const std::string& name) {
  return path + ": array \"" + shown(name) + "\"";
}

/// Calls `see` with each array of the archive: its name, record and header. What neither is called one nor begins like
/// one, as a folder, is passed over, as np.load does: returns what that is.
template <class F>
std::vector<std::string> each_array(const ZipReader& archive, const std::string& path, F&& see) {
  if (archive.records().size() > kMaxTensors)
    fail(path, ": ", archive.records().size(), " arrays; at most ", kMaxTensors);
  std::set<std::string> names;
  std::vector<std::string> others;
  for (const ZipRecord& record : archive.records()) {
    if (!record.name.ends_with(kEnding) && archive.head(record, kMagic.size()) != kMagic) {
      others.push_back(record.name);
      continue;
    }
    const std::string name = name_of(record), what = array_named(path, name);
    if (!is_utf8(name)) fail(what, ": a name that is not UTF-8");
    if (!names.insert(name).second) fail(what, " is there twice, with ", kEnding, " and without");
    see(name, record, parse_header(archive.head(record, kMaxHeader + 12), what), what);
  }
  if (names.empty() && !others.empty()) fail(path, ": a zip archive without arrays of NumPy's: ", kind_of_zip(archive));
  return others;
}

/// The header of a row-major array, with what fills it up to a multiple of 64.
std::string write_header(const Tensor& x) {
  const StoredType& type = *stored_type(name(x.dtype()));
  const char kind = type.dtype == DType::BFloat16 ? 'V' : type.name[0];  // the names begin with NumPy's letters
  std::string header = text("{'descr': '", type.width == 1 ? '|' : '<', kind, type.width, "', 'fortran_order': False, ",
                            "'shape': ", x.shape(), ", }");
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  return std::string(kMagic) + std::string("\1\0", 2) + char(header.size() & 255) + char(header.size() >> 8) + header;
}

}  // namespace

Tensor load_npy(const std::string& path, const LoadOptions& options) {
  File file = data::open_to_read(path);
  const Array array = load_header(file);
  const uint64_t size = check_size(array, file.size() - array.begin, path);
  return with_memory(path, [&] {
    return make_tensor(array, load_elements(file, array.begin, size, array.type->width, options.map), path);
  });
}

nn::StateDict load_npz(const std::string& path, const LoadOptions& options) {
  File file = data::open_to_read(path);
  if (kind_of(signature_of(file)) != Kind::Zip) fail_kind(file, "no .npz archive");
  const ZipReader archive(file);
  nn::StateDict result;
  const auto add = [&](const std::string& name, const ZipRecord& record, const Array& array, const std::string& what) {
    options.unless_left_out([&] {
      check_size(array, record.size - array.begin, what);
      Elements elements = archive.load(record, array.begin, array.type->width, options);
      result.emplace_back(name, make_tensor(array, std::move(elements), what));
    });
  };
  with_memory(path, [&] { each_array(archive, path, add); });
  return result;
}

void save_npy(const std::string& path, const Tensor& x) {
  const std::vector<std::byte> elements = realize_to_save(path, {{"", x}})[0].to_bytes();
  const std::string header = write_header(x);
  Replacement replacement(path);
  replacement.file().write(header.data(), header.size());
  replacement.file().write(elements.data(), elements.size());
  replacement.commit();
}

void save_npz(const std::string& path, const nn::StateDict& tensors) {
  realize_to_save(path, tensors);
  Replacement replacement(path);
  ZipWriter archive(replacement.file());
  for (const auto& [name, x] : tensors) {
    const std::string header = write_header(x);
    archive.add(name + std::string(kEnding), {std::as_bytes(std::span(header)), x.to_bytes()});
  }
  archive.finish();
  replacement.commit();
}

// ---- Summaries -----------------------------------------------------------------------------------------------------

namespace {

void add(FileSummary& summary, const std::string& name, const Array& array, uint64_t bytes) {
  summary.tensors.push_back({name, array.type ? std::string(array.type->name) : array.descr, array.shape, bytes, ""});
  const std::string what = name.empty() ? "the array" : "\"" + shown(name) + "\"";
  if (array.type && array.type->dtype == DType::BFloat16)
    summary.notes.push_back(what + " is two bytes without a meaning to NumPy, as it writes bfloat16");
  if (array.big_endian) summary.notes.push_back(what + " is big-endian");
}

}  // namespace

FileSummary detail::summary_of_npy(File& file) {
  FileSummary result{.format = "npy"};
  const Array array = load_header(file);
  add(result, "", array, file.size() - array.begin);
  return result;
}

FileSummary detail::summary_of_npz(File& file) {
  FileSummary result{.format = "npz"};
  const std::vector<std::string> others =
      each_array(ZipReader(file), file.path(),
                 [&](const std::string& name, const ZipRecord& record, const Array& array, const std::string&) {
                   add(result, name, array, record.size - array.begin);
                 });
  if (!others.empty())
    result.notes.push_back(text("\"", shown(others[0]), "\"",
                                others.size() > 1 ? text(" and ", others.size() - 1, " more") : "",
                                ": no array, and passed over"));
  return result;
}

}  // namespace teeny::io
