#include "teeny/io/pickle.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "teeny/graph/base.h"

namespace teeny::io {

constexpr size_t kMaxValues = 1 << 23;
constexpr std::string_view kDictionaries[] = {"collections.OrderedDict", "collections.Counter",
                                              "collections.defaultdict"};

class PickleMachine {
 public:
  using Value = PickleValue;
  using Values = std::vector<const Value*>;

  PickleMachine(Pickle& pickle, std::string_view bytes, const std::string& what,
                const std::function<void(const std::string&)>& check_name)
      : pickle_(pickle), bytes_(bytes), what_(what), check_name_(check_name) {}

  void run() {
    while (step(number<uint8_t>())) {}
    pickle_.root_ = pop();
    pickle_.size_ = at_;
  }

 private:
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... why) const {
    fail(what_, ": the pickle, at byte ", at_, ": ", why...);
  }

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
    return take(end + 1).substr(0, end);
  }

  // ---- The stack and the memo

  void push(Value value) {
    if (pickle_.values_.size() == kMaxValues) refuse("more than ", kMaxValues, " values");
    stack_.push_back(&pickle_.values_.emplace_back(std::move(value)));
  }
  Value* top() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) refuse("a value is missing on the stack");
    return stack_.back();
  }
  Value* pop() {
    Value* value = top();
    stack_.pop_back();
    return value;
  }
  Values pop(size_t count) {
    Values values(count);
    while (count-- > 0) values[count] = pop();
    return values;
  }
  /// What lies above the last mark, which goes away.
  Values pop_marked() {
    if (marks_.empty()) refuse("a mark is missing on the stack");
    const auto first = stack_.begin() + ptrdiff_t(marks_.back());
    Values values(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return values;
  }
  Value* expect(Value* value, Value::Kind kind, const char* name) {
    if (value->kind != kind) refuse("a ", name, " belongs on the stack");
    return value;
  }
  void recall(uint32_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) refuse("nothing is remembered as ", key);
    stack_.push_back(found->second);
  }

  // ---- What it makes

  void add(Value::Kind kind, const char* name, const Values& values) {
    Value* to = expect(top(), kind, name);
    if (kind == Value::Dict && values.size() % 2 != 0) refuse("a key without a value");
    to->items.insert(to->items.end(), values.begin(), values.end());
  }
  void push_name(std::string_view module, std::string_view name) {
    std::string& full = pickle_.names_.emplace_back(module);
    full.append(".").append(name);
    check_name_(full);
    push({.kind = Value::Name, .text = full});
  }
  void push_integer(std::string_view bytes) {
    if (bytes.size() > sizeof(int64_t)) return push({.kind = Value::Other, .text = bytes});
    int64_t value = !bytes.empty() && bytes.back() < 0 ? -1 : 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    push({.kind = Value::Int, .number = value});
  }
  /// Python's kinds of dictionaries are a dictionary here; every other call stays one.
  void call() {
    const Value* arguments = expect(pop(), Value::Tuple, "tuple");
    const Value* function = expect(pop(), Value::Name, "name");
    if (std::ranges::find(kDictionaries, function->text) == std::end(kDictionaries))
      return push({.kind = Value::Call, .items = {function, arguments}});
    Values given = arguments->items;
    if (!given.empty() && given[0]->kind == Value::Name) given.erase(given.begin());  // of values that are missing
    if (given.size() > 1) refuse("a dictionary is made of one list");
    Value dict{.kind = Value::Dict};
    const auto copy = [&](const Value* from) {
      if ((copied_ += from->items.size()) > kMaxValues) refuse("more than ", kMaxValues, " values");
      dict.items.insert(dict.items.end(), from->items.begin(), from->items.end());
    };
    if (!given.empty() && given[0]->kind == Value::Dict) copy(given[0]);
    else
      for (const Value* pair : given.empty() ? Values() : given[0]->items) {
        if (pair->items.size() != 2) refuse("a dictionary is made of pairs");
        copy(pair);
      }
    push(std::move(dict));
  }

  /// Opcodes have the names of Python's pickletools. False at the end.
  bool step(uint8_t opcode) {
    switch (opcode) {
      case 0x80:  // PROTO
        if (const int version = number<uint8_t>(); version < 2 || version > 5)
          refuse("protocol ", version, "; 2 to 5 are read");
        break;
      case 0x95: take(8); break;  // FRAME
      case '.': return false;     // STOP

      case 'N': push({}); break;                                                         // NONE
      case 0x88: push({.kind = Value::Bool, .number = 1}); break;                        // NEWTRUE
      case 0x89: push({.kind = Value::Bool}); break;                                     // NEWFALSE
      case 'J': push({.kind = Value::Int, .number = number<int32_t>()}); break;          // BININT
      case 'K': push({.kind = Value::Int, .number = number<uint8_t>()}); break;          // BININT1
      case 'M': push({.kind = Value::Int, .number = number<uint16_t>()}); break;         // BININT2
      case 0x8a: push_integer(take(number<uint8_t>())); break;                           // LONG1
      case 0x8b: push_integer(take(number<uint32_t>())); break;                          // LONG4
      case 'G': push({.kind = Value::Other, .text = take(8)}); break;                    // BINFLOAT
      case 'C': push({.kind = Value::Other, .text = take(number<uint8_t>())}); break;    // SHORT_BINBYTES
      case 'B': push({.kind = Value::Other, .text = take(number<uint32_t>())}); break;   // BINBYTES
      case 0x8e:                                                                         // BINBYTES8
      case 0x96: push({.kind = Value::Other, .text = take(number<uint64_t>())}); break;  // BYTEARRAY8
      case 'X': push({.kind = Value::Text, .text = take(number<uint32_t>())}); break;    // BINUNICODE
      case 0x8d: push({.kind = Value::Text, .text = take(number<uint64_t>())}); break;   // BINUNICODE8
      case 'U':                                                                          // SHORT_BINSTRING
      case 0x8c: push({.kind = Value::Text, .text = take(number<uint8_t>())}); break;    // SHORT_BINUNICODE

      case '(': marks_.push_back(stack_.size()); break;                             // MARK
      case ')': push({.kind = Value::Tuple}); break;                                // EMPTY_TUPLE
      case ']': push({.kind = Value::List}); break;                                 // EMPTY_LIST
      case '}': push({.kind = Value::Dict}); break;                                 // EMPTY_DICT
      case 0x8f: push({.kind = Value::Other}); break;                               // EMPTY_SET
      case 0x90: pop_marked(), top(); break;                                        // ADDITEMS, of a set
      case 0x91: pop_marked(), push({.kind = Value::Other}); break;                 // FROZENSET
      case 't': push({.kind = Value::Tuple, .items = pop_marked()}); break;         // TUPLE
      case 0x85:                                                                    // TUPLE1
      case 0x86:                                                                    // TUPLE2
      case 0x87: push({.kind = Value::Tuple, .items = pop(opcode - 0x84)}); break;  // TUPLE3
      case 'a': add(Value::List, "list", pop(1)); break;                            // APPEND
      case 'e': add(Value::List, "list", pop_marked()); break;                      // APPENDS
      case 's': add(Value::Dict, "dictionary", pop(2)); break;                      // SETITEM
      case 'u': add(Value::Dict, "dictionary", pop_marked()); break;                // SETITEMS

      case 'q': memo_[number<uint8_t>()] = top(); break;        // BINPUT
      case 'r': memo_[number<uint32_t>()] = top(); break;       // LONG_BINPUT
      case 0x94: memo_[uint32_t(memo_.size())] = top(); break;  // MEMOIZE
      case 'h': recall(number<uint8_t>()); break;               // BINGET
      case 'j': recall(number<uint32_t>()); break;              // LONG_BINGET

      case 'c': {  // GLOBAL
        const std::string_view module = line();
        push_name(module, line());
        break;
      }
      case 0x93: {  // STACK_GLOBAL
        const Value* name = expect(pop(), Value::Text, "text");
        push_name(expect(pop(), Value::Text, "text")->text, name->text);
        break;
      }
      case 'Q': push({.kind = Value::Persistent, .items = pop(1)}); break;  // BINPERSID
      case 'R': call(); break;                                              // REDUCE
      case 'b': pop(), top(); break;  // BUILD, of attributes such as an ordered dictionary's `_metadata`
      default:
        refuse("opcode ", int(opcode), opcode > 32 && opcode < 127 ? text(" '", char(opcode), "'") : "",
               ", which a dictionary of tensors does not need");
    }
    return true;
  }

  Pickle& pickle_;
  const std::string_view bytes_;
  const std::string& what_;
  const std::function<void(const std::string&)>& check_name_;
  size_t at_ = 0, copied_ = 0;
  std::vector<Value*> stack_;
  std::vector<size_t> marks_;  ///< how high the stack was
  std::unordered_map<uint32_t, Value*> memo_;
};

Pickle::Pickle(std::string_view bytes, const std::string& what,
               const std::function<void(const std::string&)>& check_name) {
  PickleMachine(*this, bytes, what, check_name).run();
}

}  // namespace teeny::io
