#pragma once
// A whole file in the safetensors format, as io/safetensors.h describes it, as bytes: its header, the elements of each
// entry, and their checksums.
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "teeny/files/header.h"

namespace teeny::io {

/// Reads up to the first byte of the elements.
Header read_header(data::File& file);
/// The same of a file's bytes in memory: `bytes` are then those of the elements.
Header read_header(const std::string& file, std::span<std::byte>& bytes);

/// Takes the checksums out of the metadata, where a file has any, and compares that of the metadata. Throws where there
/// is none for a tensor, or one for a tensor that is not there.
Metadata take_checksums(const std::string& file, Header& header);
/// Throws, beginning with `what`, where `elements` do not fit the checksum that is among `checksums`, if there are any.
void check_elements(const Metadata& checksums, const Entry& entry, std::span<const std::byte> elements,
                    const std::string& what);

/// Writes a new file in the place of `path` (replacement.h): the entries, whose places are decided here, with
/// `bytes(i)` as the elements of entry i, and checksums. Throws where the metadata has a key of theirs.
void write_file(const std::string& path, Header header, const std::function<std::vector<std::byte>(size_t)>& bytes);

}  // namespace teeny::io
