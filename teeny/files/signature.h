#pragma once
// What a file is, told by its first bytes: a path's ending says what it should be, and a download that failed leaves
// something else under the same name.
#include <string>
#include <string_view>

#include "teeny/files/file.h"

namespace teeny::io {

/// So many bytes tell what a file is.
constexpr size_t kSignature = 512;
/// The first of them, or all of a shorter file; the place in the file stays.
std::string signature_of(data::File& file);

enum class Kind { Unknown, Npy, Pickle, Zip, Safetensors, Onnx };
/// One of the formats that teeny reads, as far as the first bytes say.
Kind kind_of(std::string_view signature);

/// What a file is that begins so, and what to do with it: "a pointer of Git LFS, which stands for the file: .."; empty
/// where that cannot be told. Of a file whose format is known, too: the caller wanted another one.
std::string what_it_is(std::string_view signature);

/// Throws: the file, and what it is; where that cannot be told `otherwise`, which says what it is not.
[[noreturn]] void fail_kind(data::File& file, const std::string& otherwise);

}  // namespace teeny::io
