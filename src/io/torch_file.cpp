#include "sspo/io/torch_file.hpp"

#include <algorithm>
#include <memory>

#include "io/pickle.hpp"
#include "io/stored.hpp"
#include "io/torch_contents.hpp"

namespace sspo::io {
namespace {

using Kind = Pickle::Kind;

constexpr std::uint64_t most_pickle_bytes = 32u << 20, most_visits = 2'000'000;
constexpr std::size_t most_levels = 32, longest_name = 512;

// What a file of either format holds: the pickle, and each storage's bytes by its key.
struct Archive {
  std::unique_ptr<const std::string> text;  // the pickle's values point into it
  Pickle pickle;
  std::vector<ZipEntry> storages;  // named by their keys, ascending
  const ZipEntry* find(std::string_view key) const {
    const auto it = std::lower_bound(storages.begin(), storages.end(), key, [](const ZipEntry& e, std::string_view k) { return e.name < k; });
    return it != storages.end() && it->name == key ? &*it : nullptr;
  }
};

// Since torch 1.6: a ZIP archive, whose entries all lie in one folder of any name.
Archive read_archive(const ByteSource& file, const Place& place) {
  Archive archive;
  std::vector<ZipEntry> entries = read_zip(file, place);
  const ZipEntry* pickle = nullptr;
  for (const ZipEntry& e : entries)
    if (e.name.ends_with("/data.pkl") && e.name.find('/') == e.name.size() - 9) {
      if (pickle) bad_file(place, "two files data.pkl", "one");
      pickle = &e;
    }
  if (!pickle) bad_file(place, "no data.pkl in the archive", "a file as torch.save writes it");
  const std::string folder = pickle->name.substr(0, pickle->name.size() - 8);  // "archive/"
  const auto find = [&](const char* name) {
    const auto it = std::find_if(entries.begin(), entries.end(), [&](const ZipEntry& e) { return e.name == folder + name; });
    return it == entries.end() ? nullptr : &*it;
  };
  if (find("constants.pkl")) bad_file(place, "a TorchScript program", "tensors by name", {}, "save the module's state dict instead");
  if (const ZipEntry* order = find("byteorder"); order && unpack(file, *order, 16, place) != "little")
    bad_file(place, "numbers of the other byte order", "little", unpack(file, *order, 16, place));
  archive.text = std::make_unique<const std::string>(unpack(file, *pickle, most_pickle_bytes, place));
  archive.pickle = read_pickle(*archive.text, place);
  for (ZipEntry& e : entries)
    if (e.name.starts_with(folder + "data/")) {
      e.name.erase(0, folder.size() + 5);
      archive.storages.push_back(std::move(e));
    }
  return archive;
}

// Before: five pickles one after the other (a magic number, the format's number, facts about the machine, the values, the storages' keys),
// then each storage as its number of elements and its bytes.
constexpr std::string_view old_magic("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 13);

Archive read_old(const ByteSource& file, const Place& place) {
  Archive archive;
  archive.text = std::make_unique<const std::string>(file.text(0, std::min(file.size, most_pickle_bytes)));
  std::string_view rest = *archive.text;
  if (rest.size() < 2 || rest.substr(2, old_magic.size()) != old_magic)
    bad_file(place, "a bare pickle", "a file of torch.save", {}, "load it with torch and save it again, as safetensors at best");
  take_pickle(rest, place, "the magic number");
  const Pickle version = take_pickle(rest, place, "the format's number");
  if (const Pickle::Value& v = version.values[version.root]; v.kind != Kind::integer || v.number != 1001)
    bad_file(place, "another format of old files", "1001", v.kind == Kind::integer ? std::to_string(v.number) : "no number");
  const Pickle machine = take_pickle(rest, place, "the machine's facts");
  if (machine.values[machine.root].kind == Kind::dict) {
    const auto& items = machine.parts[std::size_t(machine.values[machine.root].number)];
    for (std::size_t i = 0; i + 1 < items.size(); i += 2)
      if (machine.values[items[i]].text == "little_endian" && machine.values[items[i + 1]].number != 1) bad_file(place, "numbers of the other byte order", "little");
  }
  archive.pickle = take_pickle(rest, place, "the pickle");
  const Pickle keys = take_pickle(rest, place, "the list of storages");
  if (keys.values[keys.root].kind != Kind::sequence) bad_file(place, "no list of storages", "their keys");

  std::vector<const Pickle::Storage*> known;  // one a key
  for (const Pickle::Storage& s : archive.pickle.storages) known.push_back(&s);
  std::sort(known.begin(), known.end(), [](const auto* a, const auto* b) { return a->key < b->key; });
  std::uint64_t at = archive.text->size() - rest.size();
  for (const Pickle::Ref r : keys.parts[std::size_t(keys.values[keys.root].number)]) {
    const std::string_view key = keys.values[r].text;
    const auto it = std::lower_bound(known.begin(), known.end(), key, [](const auto* s, std::string_view k) { return s->key < k; });
    const Place storage{.path = place.path, .at = "@" + std::to_string(at), .field = "storage " + printable(key)};
    if (it == known.end() || (*it)->key != key) bad_file(storage, "a storage that no tensor has");
    std::uint64_t count = 0, bytes = 0;
    if (file.size - at < 8) bad_file(storage, "the file ends before it", "8 bytes of its length", std::to_string(file.size - at));
    file.read(at, &count, 8);
    at += 8;
    if (__builtin_mul_overflow(count, std::uint64_t((*it)->type->bits / 8), &bytes) || bytes > file.size - at)
      bad_file(storage, "the file ends before it does", std::to_string(count) + " elements of " + std::to_string((*it)->type->bits / 8) + " bytes", std::to_string(file.size - at) + " bytes");
    archive.storages.push_back({std::string(key), at, at + bytes, bytes, false});
    at += bytes;
  }
  if (at != file.size) bad_file({.path = place.path, .at = "@" + std::to_string(at)}, "bytes behind the last storage", "the file's end", std::to_string(file.size - at));
  auto& all = archive.storages;
  std::sort(all.begin(), all.end(), [](const ZipEntry& a, const ZipEntry& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(all.begin(), all.end(), [](const ZipEntry& a, const ZipEntry& b) { return a.name == b.name; });
  if (twice != all.end()) bad_file({.path = place.path, .field = "storage " + printable(twice->name)}, "a storage twice");
  return archive;
}

// From the pickle's values to tensors by name.
class Reader {
 public:
  Reader(const Archive& archive, const Place& place) : p_(archive.pickle), archive_(archive), place_(place) {}

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
    const std::string_view key = storage.key.substr(0, longest_name);
    const ZipEntry* entry = archive_.find(key);
    if (!entry) bad_file(named(name), "its storage is not in the archive", {}, "data/" + std::string(key));
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
  const std::string first = file.text(0, std::min<std::uint64_t>(file.size, 4));
  if (!first.starts_with("\x80") && first != "PK\3\4")
    bad_file(place, "no file of torch.save", "a ZIP archive", file.size ? "\"" + first + "\"" : "an empty file");
  const Archive archive = first.starts_with("\x80") ? read_old(file, place) : read_archive(file, place);
  return Reader(archive, place).read();
}

TorchFile::TorchFile(std::string path) : file_(std::move(path)), contents_(read_contents(file_)) {}

const StoredTensor* TorchFile::find(std::string_view name) const {
  const auto& all = contents_.tensors;
  const auto it = std::lower_bound(all.begin(), all.end(), name, [](const StoredTensor& t, std::string_view n) { return t.name < n; });
  return it != all.end() && it->name == name ? &*it : nullptr;
}

Tensor TorchFile::load(const StoredTensor& stored, const Device& device) const { return load_stored(file_, stored, device); }

}  // namespace sspo::io
