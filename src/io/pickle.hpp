// Pickles of tensors: a machine for the opcodes that torch.save and state dicts use, protocols 2 to 5. It calls nothing: a pickle's
// GLOBAL is looked up in a short table of tensors, storages and containers, and whatever is not there is refused by name.
#pragma once
#include <string_view>
#include <vector>

#include "sspo/io/safetensors.hpp"

namespace sspo::io {

struct Pickle {
  using Ref = std::uint32_t;  // a value: objects may share parts, and hold themselves
  // leaf: None, a bool (number: 1 for True), a float, bytes, a number too large. callable: a name of the table. storage_type: torch.FloatStorage, ...
  enum class Kind : std::uint8_t { leaf, integer, text, sequence, dict, callable, storage_type, storage, tensor };
  struct Value {
    Kind kind;
    std::int64_t number;    // integer: its value. Others: an index into the lists below, or the table's entry
    std::string_view text;  // of the pickle's own bytes
  };
  struct Storage {
    const StoredType* type;
    std::string_view key;  // the archive's data/KEY
    std::uint64_t count;
  };
  struct View {
    std::uint32_t storage;
    std::uint64_t offset;  // in elements, as the strides
    std::vector<std::uint64_t> shape, strides;
  };
  std::vector<Value> values;
  std::vector<std::vector<Ref>> parts;  // of sequences; of dicts: key, value, key, value
  std::vector<Storage> storages;
  std::vector<View> tensors;
  Ref root;
};

// `text` must outlive the result. Throws Error{file} with the byte's place in the pickle, which messages call `name`.
Pickle read_pickle(std::string_view text, const Place& place);
// The pickle that `text` begins with, which is taken off it.
Pickle take_pickle(std::string_view& text, const Place& place, std::string_view name);

}  // namespace sspo::io
