#pragma once
// A pickle, of which nothing is executed. It is a program for a machine with a stack and a memo: most opcodes push a
// value, some collect what lies above a mark in a list or dictionary, and one calls whatever a name stands for, which
// is how a pickle runs a stranger's code. Here a name must be known, and a call is kept as a value:
//
//   } q.  ( X "w"  c "torch._utils\n_rebuild_tensor_v2\n" ( ... t R  u .
//
//   Dict { Text "w": Call( Name "torch._utils._rebuild_tensor_v2", Tuple( ... ) ) }
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace teeny::io {

struct PickleValue {
  /// Other: fractions, bytes, integers of more than 64 bits, sets.
  enum Kind { None, Bool, Int, Other, Text, Tuple, List, Dict, Name, Call, Persistent };
  Kind kind = None;
  int64_t number = 0;          ///< of a Bool or an Int
  std::string_view text = {};  ///< of a Text or a Name, "module.name"; the bytes of Other
  /// Of a Tuple or List; of a Dict keys and values in turn; a Call's name and tuple of arguments; a Persistent's id.
  std::vector<const PickleValue*> items = {};
};

/// Its values: lists and dictionaries among them may hold themselves, and be held by many.
class Pickle {
 public:
  /// Reads the pickle at the beginning of `bytes`, in which the values' texts lie. `check_name` throws where a name is
  /// not known. Throws, beginning with `what`, where an opcode is not one that data needs, and where there are too
  /// many.
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

}  // namespace teeny::io
