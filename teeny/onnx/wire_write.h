#pragma once
// The mirror of wire.h: a message, field by field, to be written to a file. Elements of tensors are a part of it before
// they are there: each is made when it is written, so that no two of them are in memory at once.
#include <bit>
#include <cstring>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "teeny/graph/base.h"

namespace teeny::onnx {

/// What is written with `integer(1, 8).text(2, "teeny")` ..
class Message {
 public:
  /// Bytes that are made when they are written, and how many these will be.
  struct Elements {
    size_t size;
    std::function<std::vector<std::byte>()> make;
  };

  Message& integer(uint32_t field, int64_t value) { return varint(uint64_t(field) << 3), varint(uint64_t(value)); }
  Message& real(uint32_t field, float value) {
    varint(uint64_t(field) << 3 | 5);
    char four[sizeof value];
    std::memcpy(four, &value, sizeof value);
    text_.append(four, sizeof value);
    return *this;
  }
  Message& text(uint32_t field, std::string_view value) {
    begin(field, value.size());
    text_ += value;
    return *this;
  }
  Message& message(uint32_t field, Message inner) {
    begin(field, inner.size());
    for (Piece& piece : inner.pieces_) {
      text_ += piece.before;
      cut(std::move(piece.elements));
    }
    text_ += inner.text_;
    return *this;
  }
  Message& elements(uint32_t field, Elements elements) {
    begin(field, elements.size);
    cut(std::move(elements));
    return *this;
  }

  uint64_t size() const {
    uint64_t bytes = text_.size();
    for (const Piece& piece : pieces_) bytes += piece.before.size() + piece.elements.size;
    return bytes;
  }
  /// Calls write(pointer, bytes) for one part after the other.
  template <class Write>
  void write_to(const Write& write) const {
    for (const Piece& piece : pieces_) {
      write(piece.before.data(), piece.before.size());
      const std::vector<std::byte> made = piece.elements.make();
      if (made.size() != piece.elements.size) fail(made.size(), " bytes were made, not ", piece.elements.size);
      write(made.data(), made.size());
    }
    write(text_.data(), text_.size());
  }

 private:
  struct Piece {
    std::string before;
    Elements elements;
  };
  Message& varint(uint64_t value) {
    for (; value > 127; value >>= 7) text_ += char(128 | (value & 127));
    text_ += char(value);
    return *this;
  }
  void begin(uint32_t field, uint64_t size) { varint(uint64_t(field) << 3 | 2), varint(size); }
  void cut(Elements elements) { pieces_.push_back({std::exchange(text_, {}), std::move(elements)}); }

  std::vector<Piece> pieces_;
  std::string text_;  ///< behind the last piece
};

}  // namespace teeny::onnx
