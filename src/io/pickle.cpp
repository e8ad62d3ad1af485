#include "io/pickle.hpp"

#include <algorithm>

#include "io/text.hpp"

namespace sspo::io {
namespace {

using Ref = Pickle::Ref;
using Kind = Pickle::Kind;
using Value = Pickle::Value;

constexpr std::size_t most_values = 2'000'000, most_marks = 10'000, most_axes = 64, most_tensors = 250'000;
constexpr Ref nothing = ~Ref(0);

enum class Call : std::uint8_t { ordered_dict, rebuild_tensor, rebuild_parameter, size };

struct Known {
  std::string_view name;
  Kind kind;
  std::int64_t call;       // callable
  std::string_view type;   // storage_type: as safetensors name it
};

constexpr Known callable(std::string_view name, Call call) { return {name, Kind::callable, std::int64_t(call), {}}; }
constexpr Known storage(std::string_view name, std::string_view type) { return {name, Kind::storage_type, 0, type}; }
constexpr Known leaf(std::string_view name) { return {name, Kind::leaf, 0, {}}; }

// Every name that a pickle may use.
constexpr Known known[] = {
    callable("collections.OrderedDict", Call::ordered_dict),
    callable("torch._utils._rebuild_tensor_v2", Call::rebuild_tensor),
    callable("torch._utils._rebuild_parameter", Call::rebuild_parameter),
    callable("torch.nn.parameter.Parameter", Call::rebuild_parameter),
    callable("torch.Size", Call::size),
    storage("torch.FloatStorage", "F32"), storage("torch.DoubleStorage", "F64"), storage("torch.HalfStorage", "F16"), storage("torch.BFloat16Storage", "BF16"),
    storage("torch.LongStorage", "I64"), storage("torch.IntStorage", "I32"), storage("torch.ShortStorage", "I16"), storage("torch.CharStorage", "I8"),
    storage("torch.ByteStorage", "U8"), storage("torch.BoolStorage", "BOOL"), storage("torch.ComplexFloatStorage", "C64"),
    leaf("torch.float32"), leaf("torch.float64"), leaf("torch.float16"), leaf("torch.bfloat16"), leaf("torch.int64"), leaf("torch.int32"), leaf("torch.uint8"), leaf("torch.bool"),
};

class Machine {
 public:
  Machine(std::string_view text, const Place& place, std::string_view name) : text_(text), place_(place), name_(name) {}

  std::size_t end() const { return at_; }
  Pickle run(bool more_may_follow) {
    while (!step()) {}
    if (at_ != text_.size() && !more_may_follow) refuse("bytes behind the end", std::to_string(text_.size() - at_));
    if (stack_.size() != 1 || !marks_.empty()) refuse("the pickle does not end in one value");
    p_.root = stack_[0];
    return std::move(p_);
  }

 private:
  bool step();
  void call(Ref function, Ref arguments);
  void global(std::string_view module, std::string_view name);
  void persistent(Ref id);
  void rebuild_tensor(const std::vector<Ref>& arguments);

  [[noreturn]] void refuse(std::string what, std::string got = {}, std::string expected = {}, std::string hint = {}) const {
    bad_file(place_, std::move(what) + " at byte " + std::to_string(opcode_at_) + " of " + std::string(name_), std::move(expected), std::move(got), std::move(hint));
  }

  // --- bytes
  std::string_view take(std::uint64_t count) {
    if (count > text_.size() - at_) refuse("the pickle ends too early", std::to_string(text_.size() - at_) + " bytes", std::to_string(count) + " more bytes");
    at_ += std::size_t(count);
    return text_.substr(at_ - std::size_t(count), std::size_t(count));
  }
  std::uint64_t number(std::size_t width) {
    std::uint64_t value = 0;
    const std::string_view bytes = take(width);
    for (std::size_t i = width; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
  }
  std::string_view line() {
    const std::size_t end = text_.find('\n', at_);
    if (end == text_.npos) refuse("the pickle ends too early", "no end of a line");
    const std::string_view line = take(end - at_);
    take(1);
    return line;
  }

  // --- values
  Ref make(Kind kind, std::int64_t number = 0, std::string_view text = {}) {
    if (p_.values.size() >= most_values) refuse("too many values", {}, "at most " + std::to_string(most_values));
    p_.values.push_back({kind, number, text});
    return Ref(p_.values.size() - 1);
  }
  void push(Ref value) { stack_.push_back(value); }
  void push(Kind kind, std::int64_t number = 0, std::string_view text = {}) { push(make(kind, number, text)); }
  void push_text(std::uint64_t length) {
    const std::string_view text = take(length);
    if (find_bad_utf8(text) != text.npos) refuse("a text is not UTF-8", "\"" + printable(text, 40) + "\"");
    push(Kind::text, 0, text);
  }
  void push_parts(Kind kind, std::vector<Ref> parts) {
    p_.parts.push_back(std::move(parts));
    push(kind, std::int64_t(p_.parts.size() - 1));
  }
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }  // values below a mark are out of reach
  Ref pop() {
    if (stack_.size() <= floor()) refuse("the pickle takes a value that is not there");
    const Ref top = stack_.back();
    stack_.pop_back();
    return top;
  }
  std::vector<Ref> pop(std::size_t count) {
    if (stack_.size() - floor() < count) refuse("the pickle takes values that are not there");
    std::vector<Ref> top(stack_.end() - std::ptrdiff_t(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return top;
  }
  std::vector<Ref> pop_to_mark() {
    if (marks_.empty()) refuse("the pickle goes back to a mark that is not there");
    std::vector<Ref> top = pop(stack_.size() - marks_.back());
    marks_.pop_back();
    return top;
  }
  const Value& value(Ref r) const { return p_.values[r]; }
  std::vector<Ref>& parts(Ref r, Kind kind, const char* what) {
    if (value(r).kind != kind) refuse(std::string("not ") + what);
    return p_.parts[std::size_t(value(r).number)];
  }
  void extend(Kind kind, const std::vector<Ref>& more) {
    if (stack_.size() <= floor()) refuse("the pickle takes a value that is not there");
    if (kind == Kind::dict && more.size() % 2) refuse("a key without a value");
    std::vector<Ref>& all = parts(stack_.back(), kind, kind == Kind::dict ? "a dict that takes items" : "a list that takes items");
    all.insert(all.end(), more.begin(), more.end());
  }
  std::uint64_t natural(Ref r, const char* what) const {
    if (value(r).kind != Kind::integer || value(r).number < 0) refuse(std::string("wrong ") + what, {}, "a whole number, not negative");
    return std::uint64_t(value(r).number);
  }
  std::vector<std::uint64_t> naturals(Ref r, const char* what) {
    std::vector<std::uint64_t> numbers;
    const std::vector<Ref>& refs = parts(r, Kind::sequence, "a tuple of whole numbers");
    if (refs.size() > most_axes) refuse("too many axes", std::to_string(refs.size()), "at most " + std::to_string(most_axes));
    for (const Ref n : refs) numbers.push_back(natural(n, what));
    return numbers;
  }

  // --- the memo
  void keep(std::uint64_t index) {
    if (stack_.size() <= floor()) refuse("nothing to remember");
    if (index >= most_values) refuse("the memo is too large", std::to_string(index), "at most " + std::to_string(most_values));
    if (index >= memo_.size()) memo_.resize(std::max<std::size_t>(std::size_t(index) + 1, std::min(2 * memo_.size(), most_values)), nothing);
    memo_[std::size_t(index)] = stack_.back();
    next_memo_ = std::max(next_memo_, index + 1);
  }
  void recall(std::uint64_t index) {
    if (index >= memo_.size() || memo_[std::size_t(index)] == nothing) refuse("nothing was remembered as " + std::to_string(index));
    push(memo_[std::size_t(index)]);
  }

  std::string_view text_;
  const Place& place_;
  std::string_view name_;
  std::size_t at_ = 0, opcode_at_ = 0;
  Pickle p_;
  std::vector<Ref> stack_, memo_;
  std::vector<std::size_t> marks_;
  std::uint64_t next_memo_ = 0;
};

void Machine::global(std::string_view module, std::string_view name) {
  const std::string full = printable(module) + "." + printable(name);
  const auto it = std::find_if(std::begin(known), std::end(known), [&](const Known& k) { return k.name == full; });
  if (it == std::end(known))
    refuse("refused: " + full, {}, "tensors, numbers, texts and their containers",
           "nothing of the file was run; with torch, save the state dict alone, as safetensors at best");
  push(it->kind, it->kind == Kind::storage_type ? it - std::begin(known) : it->call);
}

// ('storage', torch.FloatStorage, '17', 'cpu', 3200); before torch 1.6 also None, where it could be a part of another storage
void Machine::persistent(Ref id) {
  const std::vector<Ref>& parts = this->parts(id, Kind::sequence, "a storage's description");
  const bool old = parts.size() == 6 && value(parts[5]).kind == Kind::leaf;
  if ((parts.size() != 5 && !old) || value(parts[0]).text != "storage" || value(parts[1]).kind != Kind::storage_type || value(parts[2]).kind != Kind::text)
    refuse("an unknown kind of reference", {}, "('storage', type, key, device, number of elements)");
  const StoredType* type = stored_type(known[value(parts[1]).number].type);
  p_.storages.push_back({type, value(parts[2]).text, natural(parts[4], "number of elements")});
  push(Kind::storage, std::int64_t(p_.storages.size() - 1));
}

// (storage, offset, size, stride, requires_grad, hooks[, metadata])
void Machine::rebuild_tensor(const std::vector<Ref>& arguments) {
  if (arguments.size() < 6 || arguments.size() > 7 || value(arguments[0]).kind != Kind::storage) refuse("not the arguments of a tensor");
  if (p_.tensors.size() >= most_tensors) refuse("too many tensors", {}, "at most " + std::to_string(most_tensors));
  Pickle::View view{std::uint32_t(value(arguments[0]).number), natural(arguments[1], "offset"), naturals(arguments[2], "size"), naturals(arguments[3], "stride")};
  if (view.shape.size() != view.strides.size()) refuse("a tensor with as many strides as axes is expected", std::to_string(view.strides.size()), std::to_string(view.shape.size()));
  p_.tensors.push_back(std::move(view));
  push(Kind::tensor, std::int64_t(p_.tensors.size() - 1));
}

void Machine::call(Ref function, Ref tuple) {
  if (value(function).kind != Kind::callable) refuse("refused: a call of what is no function of torch's tensors");
  const std::vector<Ref>& arguments = parts(tuple, Kind::sequence, "a tuple of arguments");
  switch (Call(value(function).number)) {
    case Call::ordered_dict: {  // (): items come by SETITEMS; Python 2: ([[key, value], ...],)
      if (arguments.size() > 1 || (arguments.size() == 1 && value(arguments[0]).kind != Kind::sequence)) refuse("an OrderedDict with arguments");
      std::vector<Ref> items;
      if (!arguments.empty())
        for (const Ref pair : std::vector<Ref>(parts(arguments[0], Kind::sequence, "a list of pairs"))) {
          const std::vector<Ref>& two = parts(pair, Kind::sequence, "a pair of a key and its value");
          if (two.size() != 2) refuse("a key without a value");
          items.insert(items.end(), two.begin(), two.end());
        }
      return push_parts(Kind::dict, std::move(items));
    }
    case Call::rebuild_tensor: return rebuild_tensor(arguments);
    case Call::rebuild_parameter:  // (tensor, requires_grad, hooks): the tensor
      if (arguments.empty() || value(arguments[0]).kind != Kind::tensor) refuse("not the arguments of a parameter");
      return push(arguments[0]);
    case Call::size:
      if (arguments.size() != 1) refuse("not the arguments of a torch.Size");
      return push(arguments[0]);
  }
}

// One opcode; true at the end. Named as in Python's pickletools.
bool Machine::step() {
  opcode_at_ = at_;
  const auto op = static_cast<unsigned char>(take(1)[0]);
  switch (op) {
    case 0x80:  // PROTO
      if (const std::uint64_t version = number(1); version < 2 || version > 5) refuse("an unknown protocol", std::to_string(version), "2 to 5");
      break;
    case 0x95: take(8); break;                                             // FRAME: its length says nothing new
    case '.': return true;                                                 // STOP
    case '(':                                                              // MARK
      if (marks_.size() >= most_marks) refuse("nested too deeply", {}, "at most " + std::to_string(most_marks) + " levels");
      marks_.push_back(stack_.size());
      break;
    case '0': pop(); break;                                                // POP
    case '1': pop_to_mark(); break;                                        // POP_MARK
    case 'N': case 0x88: case 0x89: push(Kind::leaf, op == 0x88); break;   // NONE NEWTRUE NEWFALSE
    case 'G': take(8), push(Kind::leaf); break;                            // BINFLOAT
    case 'J': push(Kind::integer, static_cast<std::int32_t>(number(4))); break;  // BININT
    case 'K': push(Kind::integer, std::int64_t(number(1))); break;         // BININT1
    case 'M': push(Kind::integer, std::int64_t(number(2))); break;         // BININT2
    case 0x8a: {                                                           // LONG1: two's complement
      const std::size_t width = std::size_t(number(1));
      if (width > 8) {
        take(width), push(Kind::leaf);
        break;
      }
      const std::uint64_t value = number(width);
      const unsigned unused = unsigned(64 - 8 * width);
      push(Kind::integer, width ? static_cast<std::int64_t>(value << unused) >> unused : 0);
      break;
    }
    case 'X': push_text(number(4)); break;                                 // BINUNICODE
    case 0x8c: push_text(number(1)); break;                                // SHORT_BINUNICODE
    case 0x8d: push_text(number(8)); break;                                // BINUNICODE8
    case 'T': push_text(number(4)); break;                                 // BINSTRING: Python 2's texts
    case 'U': push_text(number(1)); break;                                 // SHORT_BINSTRING
    case 'B': take(number(4)), push(Kind::leaf); break;                    // BINBYTES
    case 'C': take(number(1)), push(Kind::leaf); break;                    // SHORT_BINBYTES
    case 0x8e: take(number(8)), push(Kind::leaf); break;                   // BINBYTES8
    case '}': push_parts(Kind::dict, {}); break;                           // EMPTY_DICT
    case ']': case ')': push_parts(Kind::sequence, {}); break;             // EMPTY_LIST EMPTY_TUPLE
    case 't': case 'l': push_parts(Kind::sequence, pop_to_mark()); break;  // TUPLE LIST
    case 0x85: case 0x86: case 0x87: push_parts(Kind::sequence, pop(op - 0x84u)); break;  // TUPLE1 TUPLE2 TUPLE3
    case 'd': {                                                            // DICT
      std::vector<Ref> items = pop_to_mark();
      if (items.size() % 2) refuse("a key without a value");
      push_parts(Kind::dict, std::move(items));
      break;
    }
    case 'a': extend(Kind::sequence, pop(1)); break;                       // APPEND
    case 'e': extend(Kind::sequence, pop_to_mark()); break;                // APPENDS
    case 's': extend(Kind::dict, pop(2)); break;                           // SETITEM
    case 'u': extend(Kind::dict, pop_to_mark()); break;                    // SETITEMS
    case 'h': recall(number(1)); break;                                    // BINGET
    case 'j': recall(number(4)); break;                                    // LONG_BINGET
    case 'q': keep(number(1)); break;                                      // BINPUT
    case 'r': keep(number(4)); break;                                      // LONG_BINPUT
    case 0x94: keep(next_memo_); break;                                    // MEMOIZE
    case 'c': {                                                            // GLOBAL
      const std::string_view module = line();
      global(module, line());
      break;
    }
    case 'i': {                                                            // INST: a call of protocol 0; the name tells more than the opcode
      const std::string_view module = line();
      refuse("refused: a call of " + printable(module) + "." + printable(line()));
    }
    case 0x93: {                                                           // STACK_GLOBAL
      const Ref name = pop(), module = pop();
      if (value(name).kind != Kind::text || value(module).kind != Kind::text) refuse("a name that is no text");
      global(value(module).text, value(name).text);
      break;
    }
    case 'R': {                                                            // REDUCE
      const Ref arguments = pop(), function = pop();
      call(function, arguments);
      break;
    }
    case 'b': {                                                            // BUILD: attributes of an OrderedDict, a module's _metadata
      pop();
      const Ref object = pop();
      if (value(object).kind != Kind::dict) refuse("refused: the attributes of what is no dict");
      push(object);
      break;
    }
    case 'Q': persistent(pop()); break;                                    // BINPERSID
    default: {
      const bool letter = op > ' ' && op < 0x7f;
      const char* digits = "0123456789abcdef";
      refuse("refused: the opcode " + (letter ? std::string(1, char(op)) : std::string("0x") + digits[op >> 4] + digits[op & 15]), {}, "those of a state dict, protocols 2 to 5");
    }
  }
  return false;
}

}  // namespace

Pickle read_pickle(std::string_view text, const Place& place) { return Machine(text, place, "data.pkl").run(false); }

Pickle take_pickle(std::string_view& text, const Place& place, std::string_view name) {
  Machine machine(text, place, name);
  Pickle pickle = machine.run(true);
  text.remove_prefix(machine.end());
  return pickle;
}

}  // namespace sspo::io
