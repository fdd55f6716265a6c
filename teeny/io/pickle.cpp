#include "teeny/io/pickle.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "teeny/io/elements.h"

namespace teeny::io {

namespace {

constexpr size_t kMaxValues = 1 << 23;

/// The opcodes of data, by their names in Python's pickletools.
enum Opcode : uint8_t {
  kMark = '(',
  kStop = '.',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kEmptyDict = '}',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kEmptyList = ']',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kEmptyTuple = ')',
  kSetItems = 'u',
  kBinFloat = 'G',
  kShortBinBytes = 'C',
  kBinBytes = 'B',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kShortBinUnicode = 0x8c,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

}  // namespace

class PickleMachine {
 public:
  using Value = PickleValue;

  PickleMachine(Pickle& pickle, std::string_view bytes, const std::string& what,
                const std::function<void(const std::string&)>& check_name)
      : pickle_(pickle), bytes_(bytes), what_(what), check_name_(check_name) {}

  void run() {
    while (step(Opcode(number<uint8_t>()))) {}
    pickle_.root_ = pop();
    pickle_.size_ = at_;
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const { fail(what_, ": pickle, at byte ", at_, ": ", why); }

  // ---- What it reads

  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) refuse("it ends in the middle");
    return bytes_.substr(std::exchange(at_, at_ + count), count);
  }
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view line() {
    const size_t end = bytes_.substr(at_, 256).find('\n');
    if (end == bytes_.npos) refuse("a name that does not end");
    const std::string_view result = take(end);
    take(1);
    return result;
  }

  // ---- The stack and the memo

  Value* make(Value value) {
    if (pickle_.values_.size() == kMaxValues) refuse(text("more than ", kMaxValues, " values"));
    return &pickle_.values_.emplace_back(std::move(value));
  }
  void push(Value value) { stack_.push_back(make(std::move(value))); }
  Value* top() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) refuse("a value is missing on the stack");
    return stack_.back();
  }
  Value* pop() {
    Value* value = top();
    stack_.pop_back();
    return value;
  }
  /// What lies above the last mark, which goes away.
  std::vector<const Value*> pop_marked() {
    if (marks_.empty()) refuse("a mark is missing on the stack");
    const auto first = stack_.begin() + ptrdiff_t(marks_.back());
    std::vector<const Value*> values(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return values;
  }
  std::vector<const Value*> pop_several(size_t count) {
    std::vector<const Value*> values(count);
    for (size_t i = count; i-- > 0;) values[i] = pop();
    return values;
  }
  Value* expect(Value* value, Value::Kind kind, const char* name) {
    if (value->kind != kind) refuse(std::string("a ") + name + " belongs on the stack");
    return value;
  }
  void recall(uint32_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) refuse(text("nothing is remembered as ", key));
    stack_.push_back(found->second);
  }

  // ---- What it makes

  void push_name(std::string_view module, std::string_view name) {
    std::string& full = pickle_.names_.emplace_back(module);
    full.append(".").append(name);
    check_name_(full);
    push({.kind = Value::Name, .text = full});
  }
  void set_items(const std::vector<const Value*>& pairs) {
    Value* dict = expect(top(), Value::Dict, "dictionary");
    if (pairs.size() % 2 != 0) refuse("a key without a value");
    dict->items.insert(dict->items.end(), pairs.begin(), pairs.end());
  }
  void append(const std::vector<const Value*>& values) {
    Value* list = expect(top(), Value::List, "list");
    list->items.insert(list->items.end(), values.begin(), values.end());
  }
  /// Python's ordered dictionary is a dictionary here; every other call stays one.
  void call() {
    const Value* arguments = expect(pop(), Value::Tuple, "tuple");
    const Value* function = expect(pop(), Value::Name, "name");
    if (function->text != "collections.OrderedDict") return push({.kind = Value::Call, .items = {function, arguments}});
    Value dict{.kind = Value::Dict};
    for (const Value* pairs : arguments->items) {
      for (const Value* pair : pairs->items) {
        if (pair->items.size() != 2) refuse("an OrderedDict is made of pairs");
        dict.items.insert(dict.items.end(), pair->items.begin(), pair->items.end());
      }
    }
    push(std::move(dict));
  }
  void push_long(std::string_view bytes) {
    if (bytes.size() > sizeof(int64_t)) return push({.kind = Value::Other, .text = bytes});
    int64_t value = !bytes.empty() && bytes.back() < 0 ? -1 : 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    push({.kind = Value::Int, .number = value});
  }

  bool step(Opcode opcode) {
    switch (opcode) {
      case kProto:
        if (const int version = number<uint8_t>(); version < 2 || version > 5)
          refuse(text("protocol ", version, "; 2 to 5 are read"));
        break;
      case kFrame: take(8); break;
      case kStop: return false;

      case kNone: push({}); break;
      case kNewTrue: push({.kind = Value::Bool, .number = 1}); break;
      case kNewFalse: push({.kind = Value::Bool}); break;
      case kBinInt: push({.kind = Value::Int, .number = number<int32_t>()}); break;
      case kBinInt1: push({.kind = Value::Int, .number = number<uint8_t>()}); break;
      case kBinInt2: push({.kind = Value::Int, .number = number<uint16_t>()}); break;
      case kLong1: push_long(take(number<uint8_t>())); break;
      case kBinFloat: push({.kind = Value::Other, .text = take(8)}); break;
      case kShortBinBytes: push({.kind = Value::Other, .text = take(number<uint8_t>())}); break;
      case kBinBytes: push({.kind = Value::Other, .text = take(number<uint32_t>())}); break;
      case kShortBinString:
      case kShortBinUnicode: push({.kind = Value::Text, .text = take(number<uint8_t>())}); break;
      case kBinUnicode: push({.kind = Value::Text, .text = take(number<uint32_t>())}); break;

      case kMark: marks_.push_back(stack_.size()); break;
      case kEmptyTuple: push({.kind = Value::Tuple}); break;
      case kEmptyList: push({.kind = Value::List}); break;
      case kEmptyDict: push({.kind = Value::Dict}); break;
      case kTuple: push({.kind = Value::Tuple, .items = pop_marked()}); break;
      case kTuple1: push({.kind = Value::Tuple, .items = pop_several(1)}); break;
      case kTuple2: push({.kind = Value::Tuple, .items = pop_several(2)}); break;
      case kTuple3: push({.kind = Value::Tuple, .items = pop_several(3)}); break;
      case kAppend: append(pop_several(1)); break;
      case kAppends: append(pop_marked()); break;
      case kSetItem: set_items(pop_several(2)); break;
      case kSetItems: set_items(pop_marked()); break;

      case kBinPut: memo_[number<uint8_t>()] = top(); break;
      case kLongBinPut: memo_[number<uint32_t>()] = top(); break;
      case kMemoize: memo_[uint32_t(memo_.size())] = top(); break;
      case kBinGet: recall(number<uint8_t>()); break;
      case kLongBinGet: recall(number<uint32_t>()); break;

      case kGlobal: {
        const std::string_view module = line();
        push_name(module, line());
        break;
      }
      case kStackGlobal: {
        const Value* name = expect(pop(), Value::Text, "text");
        push_name(expect(pop(), Value::Text, "text")->text, name->text);
        break;
      }
      case kBinPersId: push({.kind = Value::Persistent, .items = pop_several(1)}); break;
      case kReduce: call(); break;
      case kBuild: pop(), top(); break;  // attributes of an object, such as an ordered dictionary's `_metadata`
      default:
        refuse(text("opcode ", int(opcode), " '", opcode > 32 && opcode < 127 ? char(opcode) : '?',
                    "', which a dictionary of tensors does not need"));
    }
    return true;
  }

  Pickle& pickle_;
  const std::string_view bytes_;
  const std::string& what_;
  const std::function<void(const std::string&)>& check_name_;
  size_t at_ = 0;
  std::vector<Value*> stack_;
  std::vector<size_t> marks_;  ///< how high the stack was
  std::unordered_map<uint32_t, Value*> memo_;
};

Pickle::Pickle(std::string_view bytes, const std::string& what,
               const std::function<void(const std::string&)>& check_name) {
  PickleMachine(*this, bytes, what, check_name).run();
}

// ---- Writing
// ---------------------------------------------------------------------------------------------------------

template <class T>
void PickleWriter::raw(T value) {
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class F>
PickleWriter& PickleWriter::once(std::string_view key, F&& write) {
  const auto found = std::ranges::find(memo_, key);
  const auto place = uint8_t(found - memo_.begin());
  if (found == memo_.end()) {
    if (memo_.size() > UINT8_MAX) fail("PickleWriter: more than 256 things to remember");
    memo_.emplace_back(key);
    write();
  }
  op(found == memo_.end() ? kBinPut : kBinGet).raw(place);
  return *this;
}

PickleWriter& PickleWriter::integer(int64_t value) {
  if (value >= 0 && value <= UINT8_MAX) op(kBinInt1).raw(uint8_t(value));
  else if (value == int32_t(value)) op(kBinInt).raw(int32_t(value));
  else op(char(kLong1)).op(sizeof value).raw(value);
  return *this;
}

PickleWriter& PickleWriter::text(std::string_view text) {
  op(kBinUnicode).raw(uint32_t(text.size()));
  bytes_ += text;
  return *this;
}

PickleWriter& PickleWriter::text_once(std::string_view text) {
  return once(text, [&] { this->text(text); });
}

PickleWriter& PickleWriter::name_once(std::string_view module, std::string_view name) {
  const std::string both = std::string(module).append("\n").append(name).append("\n");
  return once(both, [&] { op(kGlobal).bytes_ += both; });
}

}  // namespace teeny::io
