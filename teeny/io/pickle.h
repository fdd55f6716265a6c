#pragma once
// A pickle, of which nothing is executed. It is a program for a machine with a stack and a memo: most opcodes push a
// value, some collect what lies above a mark in a list or dictionary, and two can call anything that a name stands for,
// which is how a pickle runs a stranger's code. Here a name is compared with a list of those that are known, and a call
// is kept as a value:
//
//   }q.(X....wctorch._utils\n_rebuild_tensor_v2\n ( ... t R u.      {"w": Call(Name "torch._utils._rebuild_tensor_v2",
//                                                                             Tuple(...))}
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace teeny::io {

struct PickleValue {
  enum Kind { None, Bool, Int, Other, Text, Tuple, List, Dict, Name, Call, Persistent };
  Kind kind = None;
  int64_t number = 0;          ///< of a Bool or an Int
  std::string_view text = {};  ///< of a Text; a Name "module.name"; of Other, such as a long integer, its bytes
  /// Of a Tuple or List; a Dict's keys and values in turn; a Call's name and tuple of arguments; a Persistent's one.
  std::vector<const PickleValue*> items = {};
};

/// A list or dictionary may hold itself, and be held by many.
class Pickle {
 public:
  /// Reads the pickle at the beginning of `bytes`, in which the values' texts lie. `check_name` throws where a name is
  /// not known. Throws, beginning with `what`, where an opcode is not one that data needs, and where it costs too much.
  Pickle(std::string_view bytes, const std::string& what, const std::function<void(const std::string&)>& check_name);

  const PickleValue& root() const { return *root_; }
  const std::deque<PickleValue>& values() const { return values_; }  ///< all that were made
  size_t size() const { return size_; }                              ///< bytes of the pickle

 private:
  friend class PickleMachine;
  std::deque<PickleValue> values_;
  std::deque<std::string> names_;
  const PickleValue* root_ = nullptr;
  size_t size_ = 0;
};

/// Writes one of protocol 2. What is written twice and has a `key` is remembered by the reader.
class PickleWriter {
 public:
  PickleWriter() : bytes_("\x80\x02") {}
  PickleWriter& op(char opcode) { return bytes_ += opcode, *this; }
  PickleWriter& integer(int64_t value);
  PickleWriter& text(std::string_view text);
  PickleWriter& text_once(std::string_view text);
  PickleWriter& name_once(std::string_view module, std::string_view name);
  const std::string& finish() { return op('.').bytes_; }

 private:
  template <class F>
  PickleWriter& once(std::string_view key, F&& write);
  template <class T>
  void raw(T value);

  std::string bytes_;
  std::vector<std::string> memo_;
};

}  // namespace teeny::io
