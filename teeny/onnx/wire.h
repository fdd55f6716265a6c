#pragma once
// Protocol buffers' wire format, in which an ONNX file is written. A message is a row of fields:
//
//   key       a varint: number of the field << 3 | wire type
//   content   type 0: a varint          7 bits a byte, lowest first; the top bit says that another byte follows
//             type 1: 8 bytes           type 5: 4 bytes, both little-endian
//             type 2: a varint n and n bytes: text, another message, or numbers one after the other ("packed")
//
// https://protobuf.dev/programming-guides/encoding
//
// Nothing is copied: what is read are views of the file. No file is trusted: each length is compared with what is left.
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/graph/base.h"

namespace teeny::onnx {

/// Reads a message field by field:
///
///   for (Fields field(message); field.next();)
///     if (field.number == 1) name = field.text();
class Fields {
 public:
  explicit Fields(std::string_view message) : rest_(message) {}

  uint32_t number = 0;

  /// To the next field; false at the end. Throws where the message is cut off or no message.
  bool next() {
    if (rest_.empty()) return false;
    const uint64_t key = varint();
    number = uint32_t(key >> 3), type_ = int(key & 7);
    if (number == 0 || key >> 32 != 0) fail("no field has the number ", key >> 3);
    switch (type_) {
      case 0: bits_ = varint(); break;
      case 1: bits_ = fixed<uint64_t>(); break;
      case 2: bytes_ = take(varint()); break;
      case 5: bits_ = fixed<uint32_t>(); break;
      default: fail("field ", number, " has wire type ", type_, ", which is not in use");
    }
    return true;
  }

  int64_t integer() const { return expect(0), int64_t(bits_); }
  float real() const { return expect(5), std::bit_cast<float>(uint32_t(bits_)); }
  std::string_view bytes() const { return expect(2), bytes_; }
  std::string text() const { return std::string(bytes()); }

  /// Appends the numbers of a repeated field: one, or many where they are packed.
  void append_to(std::vector<int64_t>& numbers) const {
    if (type_ == 0) return numbers.push_back(int64_t(bits_));
    for (Fields packed(bytes()); !packed.rest_.empty();) numbers.push_back(int64_t(packed.varint()));
  }
  template <class T>
  requires(std::same_as<T, float> || std::same_as<T, double>) void append_to(std::vector<T>& numbers) const {
    if (type_ == (sizeof(T) == 4 ? 5 : 1)) {
      if constexpr (sizeof(T) == 4) return numbers.push_back(std::bit_cast<float>(uint32_t(bits_)));
      else return numbers.push_back(std::bit_cast<double>(bits_));
    }
    for (Fields packed(bytes()); !packed.rest_.empty();) numbers.push_back(packed.fixed<T>());
  }

 private:
  void expect(int type) const {
    if (type_ != type) fail("field ", number, " has wire type ", type_, ", not ", type);
  }
  std::string_view take(uint64_t count) {
    if (count > rest_.size()) fail("the file ends inside a message: ", count, " bytes expected, ", rest_.size(), " left");
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  template <class T>
  T fixed() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = uint8_t(take(1)[0]);
      if (shift == 63 && byte > 1) break;
      value |= uint64_t(byte & 127) << shift;
      if (byte < 128) return value;
    }
    fail("a varint has more than 64 bits");
  }

  std::string_view rest_;
  int type_ = 0;
  uint64_t bits_ = 0;
  std::string_view bytes_;
};

}  // namespace teeny::onnx
