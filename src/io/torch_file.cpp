#include "sspo/io/torch_file.hpp"

#include <algorithm>

#include "io/pickle.hpp"
#include "io/stored.hpp"
#include "io/torch_contents.hpp"

namespace sspo::io {
namespace {

using Kind = Pickle::Kind;

constexpr std::uint64_t most_pickle_bytes = 32u << 20, most_visits = 2'000'000;
constexpr std::size_t most_levels = 32, longest_name = 512;

// Not a zip file: which older or other kind it is.
void check_kind(const ByteSource& file, const Place& place) {
  const std::string first = file.text(0, std::min<std::uint64_t>(file.size, 4));
  if (first == "PK\3\4") return;
  if (first.starts_with("\x80"))
    bad_file(place, "a file of torch before 1.6, or a bare pickle", "the zip format of torch.save", {}, "load it with torch and save it again, as safetensors at best");
  bad_file(place, "no file of torch.save", "a ZIP archive", file.size ? "\"" + first + "\"" : "an empty file");
}

// The archive's entries all lie in one folder, whose name is free.
class Archive {
 public:
  Archive(const ByteSource& file, const Place& place) : file_(file), place_(place), entries_(read_zip(file, place)) {
    for (const ZipEntry& e : entries_)
      if (e.name.ends_with("/data.pkl") && e.name.find('/') == e.name.size() - 9) {
        if (!folder_.empty()) bad_file(place_, "two files data.pkl", "one");
        folder_ = e.name.substr(0, e.name.size() - 8);
      }
    if (folder_.empty()) bad_file(place_, "no data.pkl in the archive", "a file as torch.save writes it");
    if (find("constants.pkl")) bad_file(place_, "a TorchScript program", "tensors by name", {}, "save the module's state dict instead");
    if (const ZipEntry* order = find("byteorder"); order && unpack(file_, *order, 16, place_) != "little")
      bad_file(place_, "numbers of the other byte order", "little", unpack(file_, *order, 16, place_));
  }
  const ZipEntry* find(std::string_view name) const {
    const std::string full = folder_ + std::string(name);
    const auto it = std::lower_bound(entries_.begin(), entries_.end(), full, [](const ZipEntry& e, const std::string& n) { return e.name < n; });
    return it != entries_.end() && it->name == full ? &*it : nullptr;
  }
  std::string pickle() const { return unpack(file_, *find("data.pkl"), most_pickle_bytes, place_); }

 private:
  const ByteSource& file_;
  const Place& place_;
  std::vector<ZipEntry> entries_;
  std::string folder_;  // "archive/"
};

// From the pickle's values to tensors by name.
class Reader {
 public:
  Reader(const Pickle& pickle, const Archive& archive, const Place& place) : p_(pickle), archive_(archive), place_(place) {}

  TorchContents read() {
    const Pickle::Ref state = state_dict();
    walk(state, "", 0, true);
    if (state != p_.root) {
      const auto& items = parts(p_.root);
      for (std::size_t i = 1; i < items.size(); i += 2)
        if (items[i] != state) walk(items[i], "", 1, false);
    }
    auto& tensors = contents_.tensors;
    std::sort(tensors.begin(), tensors.end(), [](const StoredTensor& a, const StoredTensor& b) { return a.name < b.name; });
    const auto twice = std::adjacent_find(tensors.begin(), tensors.end(), [](const StoredTensor& a, const StoredTensor& b) { return a.name == b.name; });
    if (twice != tensors.end()) bad_file(named(twice->name), "two tensors of one name");
    return std::move(contents_);
  }

 private:
  const Pickle::Value& value(Pickle::Ref r) const { return p_.values[r]; }
  const std::vector<Pickle::Ref>& parts(Pickle::Ref r) const { return p_.parts[std::size_t(value(r).number)]; }
  Place named(const std::string& name) const { return {.path = place_.path, .field = name}; }

  Pickle::Ref state_dict() const {
    if (value(p_.root).kind != Kind::dict) return p_.root;
    const auto& items = parts(p_.root);
    for (std::size_t i = 0; i < items.size(); i += 2)
      if (value(items[i]).kind == Kind::text && value(items[i]).text == "state_dict" && value(items[i + 1]).kind == Kind::dict) return items[i + 1];
    return p_.root;
  }

  // take: tensors are the file's; otherwise they are counted alone.
  void walk(Pickle::Ref r, const std::string& name, std::size_t level, bool take) {
    if (level > most_levels) bad_file(named(name), "nested too deeply", "at most " + std::to_string(most_levels) + " levels");
    if (++visits_ > most_visits) bad_file(place_, "too many values: some are there again and again", "at most " + std::to_string(most_visits));
    if (name.size() > longest_name) bad_file(named(name), "the name is too long", "at most " + std::to_string(longest_name) + " bytes");
    const auto join = [&](std::string_view part) { return name.empty() ? std::string(part.substr(0, longest_name + 1)) : name + "." + std::string(part.substr(0, longest_name)); };
    switch (value(r).kind) {
      case Kind::tensor:
        if (take) add(p_.tensors[std::size_t(value(r).number)], name);
        else ++contents_.skipped;
        break;
      case Kind::sequence: {
        const auto& items = parts(r);
        for (std::size_t i = 0; i < items.size(); ++i) walk(items[i], join(std::to_string(i)), level + 1, take);
        break;
      }
      case Kind::dict: {
        const auto& items = parts(r);
        for (std::size_t i = 0; i < items.size(); i += 2) {
          const Pickle::Value& key = value(items[i]);
          if (key.kind != Kind::text && key.kind != Kind::integer) bad_file(named(name), "a key that is no text and no whole number");
          walk(items[i + 1], join(key.kind == Kind::text ? key.text : std::string_view(std::to_string(key.number))), level + 1, take);
        }
        break;
      }
      default: ++contents_.skipped;
    }
  }

  void add(const Pickle::View& view, const std::string& name) {
    const Pickle::Storage& storage = p_.storages[view.storage];
    const std::string key = "data/" + std::string(storage.key.substr(0, longest_name));
    const ZipEntry* entry = archive_.find(key);
    if (!entry) bad_file(named(name), "its storage is not in the archive", {}, key);
    if (entry->deflated) bad_file(named(name), "its storage is compressed", "plain bytes, as torch.save writes them", {}, "load it with torch and save it again");
    const std::uint64_t width = storage.type->bits / 8;
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(storage.count, width, &bytes) || bytes != entry->size)
      bad_file(named(name), "its storage is not of the size that is said", std::to_string(storage.count) + " elements of " + std::to_string(width) + " bytes", std::to_string(entry->size) + " bytes");
    StoredTensor t{name, storage.type, view.shape, entry->begin, entry->begin};
    // The last element's place, and whether elements follow each other.
    std::uint64_t count = 1, last = view.offset, row = 1;
    bool overflow = false, plain = true, empty = false;
    for (std::size_t axis = view.shape.size(); axis-- > 0;) {
      const std::uint64_t extent = view.shape[axis], stride = view.strides[axis];
      overflow |= __builtin_mul_overflow(count, extent, &count);
      empty |= extent == 0;
      std::uint64_t reach = 0;
      overflow |= extent > 1 && (__builtin_mul_overflow(extent - 1, stride, &reach) || __builtin_add_overflow(last, reach, &last));
      plain &= extent <= 1 || stride == row;
      overflow |= __builtin_mul_overflow(row, std::max<std::uint64_t>(extent, 1), &row);
    }
    if (empty) {
      if (overflow) bad_file(named(name), "too many elements", {}, t.str());
    } else {
      if (overflow || last >= storage.count)
        bad_file(named(name), "it leaves its storage", std::to_string(storage.count) + " elements", t.str() + " from element " + std::to_string(view.offset) + (plain ? "" : ", with strides"));
      if (count > storage.count) bad_file(named(name), "a view that repeats elements", "at most the storage's " + std::to_string(storage.count), t.str(), "save its clone()");
      t.begin += view.offset * width;
      t.end = entry->begin + (last + 1) * width;
      if (!plain) t.strides = view.strides;
    }
    contents_.tensors.push_back(std::move(t));
  }

  const Pickle& p_;
  const Archive& archive_;
  const Place& place_;
  TorchContents contents_;
  std::uint64_t visits_ = 0;
};

TorchContents read_contents(const File& file) {
  return parse_torch({file.size(), [&file](std::uint64_t at, void* to, std::uint64_t bytes) { file.read(at, to, bytes); }}, {.path = file.path()});
}

}  // namespace

TorchContents parse_torch(const ByteSource& file, const Place& place) {
  check_kind(file, place);
  const Archive archive(file, place);
  const std::string pickle = archive.pickle();
  return Reader(read_pickle(pickle, place), archive, place).read();
}

TorchFile::TorchFile(std::string path) : file_(std::move(path)), contents_(read_contents(file_)) {}

const StoredTensor* TorchFile::find(std::string_view name) const {
  const auto& all = contents_.tensors;
  const auto it = std::lower_bound(all.begin(), all.end(), name, [](const StoredTensor& t, std::string_view n) { return t.name < n; });
  return it != all.end() && it->name == name ? &*it : nullptr;
}

Tensor TorchFile::load(const StoredTensor& stored, const Device& device) const { return load_stored(file_, stored, device); }

}  // namespace sspo::io
