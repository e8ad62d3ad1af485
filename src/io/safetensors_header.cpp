// The header of a safetensors file: an 8-byte length, then {"__metadata__": {text: text}, "name": {"dtype": "F32",
// "shape": [2, 3], "data_offsets": [0, 24]}, ...}, offsets counted from the header's end.
#include <algorithm>
#include <numeric>

#include "io/json_events.hpp"
#include "io/text.hpp"
#include "sspo/io/safetensors.hpp"

namespace sspo::io {
namespace {

// The first is the format's; the others bound the memory that a hostile header of that size can ask for.
constexpr std::uint64_t most_header_bytes = 100'000'000, most_metadata = 100'000, most_skipped = 1'000'000, most_axes = 10'000'000,
                        most_tensors = 250'000;
constexpr std::size_t most_levels = 128;

constexpr StoredType types[] = {
    {"F64", 64, DType::f64}, {"F32", 32, DType::f32}, {"F16", 16, DType::f16}, {"BF16", 16, DType::bf16},
    {"I64", 64, DType::i64}, {"I32", 32, DType::i32}, {"U8", 8, DType::u8},    {"BOOL", 8, DType::boolean},
    {"I16", 16, {}},         {"I8", 8, {}},           {"U64", 64, {}},         {"U32", 32, {}},
    {"U16", 16, {}},         {"C64", 64, {}},         {"F8_E4M3", 8, {}},      {"F8_E5M2", 8, {}},
    {"F8_E8M0", 8, {}},      {"F8_E4M3FNUZ", 8, {}},  {"F8_E5M2FNUZ", 8, {}},  {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},      {"F4", 4, {}}};

std::string range_of(std::uint64_t begin, std::uint64_t end) { return "[" + std::to_string(begin) + ", " + std::to_string(end) + ")"; }

std::string quoted(const std::string& text) {
  if (find_bad_utf8(text) != std::string_view::npos)
    fail({.op = "save_safetensors", .what = "a name or metadata is not UTF-8", .got = "\"" + printable(text) + "\""}, Site{});
  return Json(text).dump();
}

// Follows the parser's events. Keys that the format does not know are skipped inside a tensor's object, as other readers do.
class HeaderReader final : public JsonEvents {
 public:
  HeaderReader(std::string_view text, const Place& place, std::uint64_t file_size)
      : JsonEvents(text, place, 8), data_begin_(8 + text.size()), data_bytes_(file_size - data_begin_) {}

  bool null() override { return scalar("null"); }
  bool boolean(bool v) override { return scalar(v ? "true" : "false"); }
  bool number_integer(Json::number_integer_t v) override { return scalar(std::to_string(v)); }
  bool number_float(Json::number_float_t, const std::string& text) override { return scalar(text); }
  bool number_unsigned(Json::number_unsigned_t v) override;
  bool string(std::string& v) override;
  bool key(std::string& name) override;
  bool start_object(std::size_t) override;
  bool end_object() override;
  bool start_array(std::size_t) override;
  bool end_array() override;

  SafetensorsHeader finish();

 private:
  enum class In { nothing, root, metadata, tensor, shape, offsets, unknown };
  enum Field : unsigned { dtype = 1, shape = 2, data_offsets = 4, other = 0 };

  bool scalar(const std::string& text);
  bool skip();
  void open_unknown();
  void close_unknown();
  void check_unique(std::vector<std::string>& keys);
  void check_tensor();
  std::string field() const;
  [[noreturn]] void wrong(const std::string& got);
  [[noreturn]] void refuse_tensor(const StoredTensor& t, std::string what, std::string expected = {}, std::string got = {}) const;

  In in_ = In::nothing;
  std::uint64_t data_begin_, data_bytes_;
  std::string name_, key_;           // the member we are in: of the root, and of the object below
  StoredTensor tensor_{};            // being read; its range is as in the file, from the header's end
  Field field_ = other;
  unsigned seen_ = 0;                // fields of the tensor
  std::size_t offsets_ = 0;          // numbers of data_offsets
  std::uint64_t axes_ = 0, skipped_ = 0;
  bool has_metadata_ = false;
  std::vector<std::string> unknown_keys_;               // of the tensor's object
  std::vector<std::vector<std::string>> unknown_stack_; // one level for each object or array that is skipped
  std::vector<std::uint32_t> name_ends_;                // where each tensor's name ends in the text
  SafetensorsHeader header_;
};

std::string HeaderReader::field() const {
  return in_ == In::nothing || in_ == In::root ? name_ : key_.empty() ? name_ : name_ + "." + key_;
}

void HeaderReader::wrong(const std::string& got) {
  const char* expected = in_ == In::nothing ? "an object of tensors"
                         : in_ == In::root  ? (name_ == "__metadata__" ? "an object of strings" : "an object with dtype, shape, data_offsets")
                         : in_ == In::metadata ? "a string"
                         : in_ == In::tensor   ? (field_ == dtype ? "the name of a type" : "an array of whole numbers")
                                               : "a whole number from 0 to 2^64 - 1";
  refuse(offset(), field(), "wrong value", expected, got);
}

bool HeaderReader::skip() {
  if (++skipped_ > most_skipped) refuse(offset(), field(), "too many values in unknown fields", "at most " + std::to_string(most_skipped));
  return true;
}

bool HeaderReader::scalar(const std::string& text) {
  if (in_ == In::unknown || (in_ == In::tensor && field_ == other)) return skip();
  wrong(text);
}

bool HeaderReader::number_unsigned(Json::number_unsigned_t v) {
  if (in_ == In::shape) {
    if (++axes_ > most_axes) refuse(offset(), field(), "too many axes in all", "at most " + std::to_string(most_axes));
    tensor_.shape.push_back(v);
  } else if (in_ == In::offsets && offsets_ < 2) {
    (offsets_++ == 0 ? tensor_.begin : tensor_.end) = v;
  } else if (in_ == In::offsets) {
    refuse(offset(), field(), "more than two offsets", "[begin, end]");
  } else {
    return scalar(std::to_string(v));
  }
  return true;
}

bool HeaderReader::string(std::string& v) {
  if (in_ == In::metadata) {
    header_.metadata[key_] = v;
  } else if (in_ == In::tensor && field_ == dtype) {
    tensor_.type = stored_type(v);
    if (!tensor_.type) refuse(offset(), field(), "unsupported type", "F64, F32, F16, BF16, I64, I32, U8, BOOL or another of the format's", v);
  } else {
    return scalar("\"" + printable(v, 60) + "\"");
  }
  return true;
}

bool HeaderReader::key(std::string& name) {
  const auto twice = [&](bool seen) {
    if (seen) refuse(offset(), in_ == In::root ? "" : name_, "the key \"" + printable(name) + "\" is there twice in one object");
  };
  if (in_ == In::root) {
    name_ = name;
    if (name == "__metadata__") twice(std::exchange(has_metadata_, true));
  } else if (in_ == In::metadata) {
    twice(header_.metadata.count(name));
    if (header_.metadata.size() >= most_metadata) refuse(offset(), name_, "too many entries", "at most " + std::to_string(most_metadata));
    key_ = name;
  } else if (in_ == In::tensor) {
    field_ = name == "dtype" ? dtype : name == "shape" ? shape : name == "data_offsets" ? data_offsets : other;
    twice(seen_ & field_);
    seen_ |= field_;
    key_ = name;
    if (field_ == other) unknown_keys_.push_back(name);
  } else {
    unknown_stack_.back().push_back(name);
    return skip();
  }
  return true;
}

bool HeaderReader::start_object(std::size_t) {
  if (in_ == In::nothing) {
    in_ = In::root;
  } else if (in_ == In::root && name_ == "__metadata__") {
    in_ = In::metadata;
  } else if (in_ == In::root) {
    in_ = In::tensor;
    name_ends_.push_back(static_cast<std::uint32_t>(offset()));
    tensor_ = {name_, nullptr, {}, 0, 0};
    seen_ = 0;
  } else {
    open_unknown();
  }
  return true;
}

bool HeaderReader::start_array(std::size_t) {
  if (in_ == In::tensor && field_ == shape) {
    in_ = In::shape;
  } else if (in_ == In::tensor && field_ == data_offsets) {
    in_ = In::offsets;
    offsets_ = 0;
  } else {
    open_unknown();
  }
  return true;
}

void HeaderReader::open_unknown() {
  scalar("an object or array");
  if (unknown_stack_.size() + 3 > most_levels) refuse(offset(), field(), "nested too deeply", "at most " + std::to_string(most_levels) + " levels");
  unknown_stack_.emplace_back();
  in_ = In::unknown;
}

void HeaderReader::close_unknown() {
  check_unique(unknown_stack_.back());
  unknown_stack_.pop_back();
  if (unknown_stack_.empty()) in_ = In::tensor;
}

bool HeaderReader::end_array() {
  if (in_ == In::unknown) {
    close_unknown();
    return true;
  }
  if (in_ == In::offsets && offsets_ != 2) refuse(offset(), field(), "fewer than two offsets", "[begin, end]");
  in_ = In::tensor;
  return true;
}

bool HeaderReader::end_object() {
  if (in_ == In::unknown) {
    close_unknown();
    return true;
  }
  if (in_ == In::tensor) {
    check_unique(unknown_keys_);
    unknown_keys_.clear();
    check_tensor();
    if (header_.tensors.size() >= most_tensors) refuse(offset(), name_, "too many tensors", "at most " + std::to_string(most_tensors));
    header_.tensors.push_back(std::move(tensor_));
  }
  in_ = In::root;
  key_.clear();
  return true;
}

void HeaderReader::check_unique(std::vector<std::string>& keys) {
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice != keys.end()) refuse(offset(), field(), "the key \"" + printable(*twice) + "\" is there twice in one object");
}

void HeaderReader::refuse_tensor(const StoredTensor& t, std::string what, std::string expected, std::string got) const {
  bad_file({.path = place_.path, .field = t.name}, std::move(what), std::move(expected), std::move(got));
}

// What one entry alone can tell.
void HeaderReader::check_tensor() {
  for (const auto& [bit, name] : {std::pair{dtype, "dtype"}, {shape, "shape"}, {data_offsets, "data_offsets"}})
    if (!(seen_ & bit)) refuse(offset(), name_ + "." + name, "is missing");
  key_.clear();
  std::uint64_t count = 1, bits = 0;
  bool overflow = false;
  for (const std::uint64_t extent : tensor_.shape) overflow |= __builtin_mul_overflow(count, extent, &count);
  overflow |= __builtin_mul_overflow(count, std::uint64_t(tensor_.type->bits), &bits);
  if (overflow) refuse(offset(), name_ + ".shape", "too many elements", "fewer than 2^64 bits", tensor_.str());
  if (bits % 8) refuse(offset(), name_ + ".shape", "the elements do not fill whole bytes", {}, tensor_.str());
  const std::uint64_t begin = tensor_.begin, end = tensor_.end;
  if (begin > end) refuse(offset(), name_ + ".data_offsets", "the range ends before it begins", {}, range_of(begin, end));
  if (end > data_bytes_)
    refuse(offset(), name_ + ".data_offsets", "the range leaves the file", "at most " + std::to_string(data_bytes_) + " bytes of data", range_of(begin, end));
  if (end - begin != bits / 8)
    refuse(offset(), name_ + ".data_offsets", "the range does not fit the shape", std::to_string(bits / 8) + " bytes for " + tensor_.str(),
           std::to_string(end - begin));
  tensor_.begin += data_begin_, tensor_.end += data_begin_;
}

// What the entries tell together.
SafetensorsHeader HeaderReader::finish() {
  auto& tensors = header_.tensors;
  auto& by_name = header_.by_name;
  by_name.resize(tensors.size());
  std::iota(by_name.begin(), by_name.end(), 0u);
  const auto sort_names = [&] {
    std::sort(by_name.begin(), by_name.end(), [&](std::uint32_t a, std::uint32_t b) {
      const int c = tensors[a].name.compare(tensors[b].name);
      return c ? c < 0 : a < b;
    });
  };
  sort_names();
  for (std::size_t i = 1; i < by_name.size(); ++i)
    if (tensors[by_name[i]].name == tensors[by_name[i - 1]].name)
      refuse(name_ends_[by_name[i]], "", "the key \"" + printable(tensors[by_name[i]].name) + "\" is there twice in one object");

  std::sort(tensors.begin(), tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end != b.end ? a.end < b.end : a.name < b.name;
  });
  sort_names();
  std::uint64_t reached = data_begin_;
  for (const StoredTensor& t : tensors) {
    if (t.begin < reached) refuse_tensor(t, "overlaps the tensor before it", "to begin at byte " + std::to_string(reached), std::to_string(t.begin));
    if (t.begin > reached) refuse_tensor(t, "a hole before the tensor", "to begin at byte " + std::to_string(reached), std::to_string(t.begin));
    reached = t.end;
  }
  if (reached != data_begin_ + data_bytes_)
    bad_file({.path = place_.path, .at = "@" + std::to_string(reached)}, "bytes that belong to no tensor", "the file to end here",
             std::to_string(data_begin_ + data_bytes_ - reached) + " more");
  return std::move(header_);
}

}  // namespace

std::string StoredTensor::str() const {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size() && i < 16; ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  if (shape.size() > 16) text += ", ... " + std::to_string(shape.size()) + " axes";
  return text + "] " + std::string(type->name);
}

const StoredTensor* SafetensorsHeader::find(std::string_view name) const {
  const auto it = std::lower_bound(by_name.begin(), by_name.end(), name, [&](std::uint32_t i, std::string_view n) { return tensors[i].name < n; });
  return it != by_name.end() && tensors[*it].name == name ? &tensors[*it] : nullptr;
}

const StoredType* stored_type(std::string_view name) {
  const auto it = std::find_if(std::begin(types), std::end(types), [&](const StoredType& t) { return t.name == name; });
  return it == std::end(types) ? nullptr : it;
}

const StoredType* stored_type(DType dtype) {
  return std::find_if(std::begin(types), std::end(types), [&](const StoredType& t) { return t.dtype == dtype; });
}

std::string write_safetensors_header(const std::vector<StoredTensor>& tensors, const Metadata& metadata) {
  std::string text = "{";
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) text += (text.back() == '{' ? "" : ",") + quoted(key) + ":" + quoted(value);
    text += "}";
  }
  for (const StoredTensor& t : tensors) {
    const std::uint64_t base = tensors.front().begin;
    text += (text.size() > 1 ? "," : "") + quoted(t.name) + ":{\"dtype\":\"" + std::string(t.type->name) + "\",\"shape\":[";
    for (const std::uint64_t e : t.shape) text += (text.back() == '[' ? "" : ",") + std::to_string(e);
    text += "],\"data_offsets\":[" + std::to_string(t.begin - base) + "," + std::to_string(t.end - base) + "]}";
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');  // 8 bytes of length stand before it
  if (text.size() > most_header_bytes)
    fail({.op = "save_safetensors", .what = "too many tensors for one file", .expected = "a header of at most 100,000,000 bytes",
          .got = std::to_string(text.size())}, Site{});
  return text;
}

std::uint64_t safetensors_header_size(std::string_view first_bytes, std::uint64_t file_size, const Place& place) {
  if (first_bytes.size() < 8 || file_size < 8) bad_file(place, "the file is too short for a safetensors header", "8 bytes", std::to_string(file_size));
  std::uint64_t size = 0;
  for (int i = 7; i >= 0; --i) size = size << 8 | static_cast<unsigned char>(first_bytes[std::size_t(i)]);
  Place at = place;
  at.at = "@0";
  if (size > most_header_bytes)
    bad_file(at, "the header is too large", "at most " + std::to_string(most_header_bytes) + " bytes", std::to_string(size), "is it a safetensors file?");
  if (size > file_size - 8) bad_file(at, "the header leaves the file", "at most " + std::to_string(file_size - 8) + " bytes", std::to_string(size));
  return size;
}

SafetensorsHeader parse_safetensors(std::string_view header, std::uint64_t file_size, const Place& place) {
  if (header.substr(0, 1) != "{") {
    Place at = place;
    at.at = "@8";
    bad_file(at, "the header is no JSON object", "{", header.empty() ? "nothing" : std::string(header.substr(0, 8)));
  }
  check_json_bytes(header, place, 8);
  HeaderReader reader(header, place, file_size);
  read_events(header, reader);
  return reader.finish();
}

}  // namespace sspo::io
