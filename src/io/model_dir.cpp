#include "sspo/io/model_dir.hpp"

#include <algorithm>
#include <filesystem>

namespace sspo::io {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t most_index_bytes = 64u << 20;

std::string single_name(const std::string& stem, const std::string& variant) {
  return stem + (variant.empty() ? "" : "." + variant) + ".safetensors";
}
std::string index_name(const std::string& stem, const std::string& variant) {
  return stem + ".safetensors.index" + (variant.empty() ? "" : "." + variant) + ".json";
}
std::string older_index_name(const std::string& stem, const std::string& variant) { return stem + ".safetensors." + variant + ".index.json"; }

// What a reader finds first comes first: diffusers looks for the index before the file, transformers after it.
std::vector<std::string> candidates(const std::string& variant) {
  std::vector<std::string> names = {index_name("diffusion_pytorch_model", variant), single_name("diffusion_pytorch_model", variant),
                                    single_name("model", variant), index_name("model", variant)};
  if (!variant.empty())
    for (const char* stem : {"diffusion_pytorch_model", "model"}) names.push_back(older_index_name(stem, variant));
  for (const char* stem : {"diffusion_pytorch_model", "pytorch_model"}) names.push_back(stem + (variant.empty() ? "" : "." + variant) + ".bin");
  return names;
}

[[noreturn]] void no_weights(const std::string& folder, const std::string& variant) {
  std::vector<std::string> there;
  std::error_code ignored;
  for (const fs::directory_entry& e : fs::directory_iterator(folder, ignored))
    if (const std::string extension = e.path().extension(); extension == ".safetensors" || extension == ".bin" || extension == ".ckpt")
      there.push_back(e.path().filename());
  std::sort(there.begin(), there.end());
  if (there.size() > 4) there.resize(4), there.push_back("...");
  std::string got;
  for (const std::string& name : there) got += (got.empty() ? "" : ", ") + name;
  const std::vector<std::string> names = candidates(variant);
  bad_file({.path = folder}, variant.empty() ? "no weights here" : "no weights of the variant '" + variant + "' here",
           names[1] + " or " + names[2] + " or an index of several", got.empty() ? "no weights of any kind" : got,
           got.empty() ? "" : "a variant is chosen by its name, a single file by its path");
}

// Greedy, in the order given: a file takes tensors until the next would exceed the limit.
std::vector<std::vector<NamedTensor>> split(const std::vector<NamedTensor>& tensors, std::uint64_t limit) {
  std::vector<std::vector<NamedTensor>> parts(1);
  std::uint64_t filled = 0;
  for (const NamedTensor& t : tensors) {
    const std::uint64_t bytes = std::uint64_t(t.tensor.numel()) * size_of(t.tensor.dtype());
    if (!parts.back().empty() && (bytes > limit || filled > limit - bytes)) {
      parts.emplace_back();
      filled = 0;
    }
    parts.back().push_back(t);
    filled += bytes;
  }
  return parts;
}

std::string shard_name(const std::string& stem, const std::string& variant, std::size_t number, std::size_t of) {
  const auto five = [](std::size_t n) { const std::string s = std::to_string(n); return std::string(s.size() < 5 ? 5 - s.size() : 0, '0') + s; };
  return single_name(stem, variant).substr(0, single_name(stem, variant).size() - 12) + "-" + five(number) + "-of-" + five(of) + ".safetensors";
}

template <class From, class To>
void convert(const From* from, To* to, Index count) {
  for (Index i = 0; i < count; ++i) {
    if constexpr (std::is_same_v<From, double> || std::is_same_v<To, double>) {
      if constexpr (std::is_same_v<From, double>) to[i] = To(static_cast<float>(from[i]));  // f64 -> f32 -> 16 bits, as PyTorch
      else to[i] = double(to_float(from[i]));
    } else {
      to[i] = To(to_float(from[i]));
    }
  }
}

// Bytes and strides of one run of a tensor's rows, or of a matrix read across.
StoredTensor piece_of(StoredTensor t, const WeightPart& part, const std::string& path) {
  const std::uint64_t width = t.type->bits / 8;
  if (part.runs > 1) {
    if (t.shape.empty() || t.shape[0] % part.runs || t.shape[0] == 0)
      bad_file({.path = path, .field = t.name}, "the rows are not so many equal parts", std::to_string(part.runs) + " parts", t.str());
    const std::uint64_t rows = t.shape[0] / part.runs;
    if (t.strides.empty()) {
      const std::uint64_t run = (t.end - t.begin) / part.runs;
      t.begin += part.run * run, t.end = t.begin + run;
    } else {
      const std::uint64_t step = rows * t.strides[0] * width;
      t.end -= (part.runs - 1 - part.run) * step, t.begin += part.run * step;
    }
    t.shape[0] = rows;
  }
  if (part.transposed) {
    if (t.shape.size() != 2) bad_file({.path = path, .field = t.name}, "no matrix", "2 axes", t.str());
    if (t.strides.empty()) t.strides = {t.shape[1], 1};
    std::swap(t.shape[0], t.shape[1]), std::swap(t.strides[0], t.strides[1]);
  }
  return t;
}

}  // namespace

Weights::Weights(std::vector<TensorFile> files) : files_(Shared<const std::vector<TensorFile>>::make(std::move(files))) {
  std::vector<std::pair<std::string_view, Entry>> all;
  for (std::uint32_t i = 0; i < files_->size(); ++i)
    for (const StoredTensor& t : (*files_)[i].tensors()) all.push_back({t.name, {i, &t}});
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first != b.first ? a.first < b.first : a.second.file < b.second.file; });
  for (const auto& [name, e] : all) {
    if (!names_.empty() && names_.back() == name)
      bad_file({.path = (*files_)[e.file].path(), .field = std::string(name)}, "the tensor is in another file, too", {}, printable((*files_)[entries_.back().file].path()));
    names_.emplace_back(name);
    entries_.push_back(e);
  }
}

const Weights::Entry* Weights::entry(std::string_view name) const {
  const auto it = std::lower_bound(names_.begin(), names_.end(), name);
  return it != names_.end() && *it == name ? &entries_[std::size_t(it - names_.begin())] : nullptr;
}

const Weights::Entry& Weights::required(std::string_view name) const {
  if (const Entry* e = entry(name)) return *e;
  bad_file({.path = files_->empty() ? "(no file)" : (*files_)[0].path(), .field = std::string(name)}, "there is no tensor of this name", {},
           std::to_string(names_.size()) + " others");
}

const StoredTensor* Weights::find(std::string_view name) const {
  const Entry* e = entry(name);
  return e ? e->stored : nullptr;
}

const std::string& Weights::path_of(std::string_view name) const { return (*files_)[required(name).file].path(); }

Tensor Weights::load_as_stored(std::string_view name) const {
  const Entry& e = required(name);
  return (*files_)[e.file].load(*e.stored);
}

Tensor Weights::load(std::string_view name, DType as, const Device& device) const {
  const Entry& e = required(name);
  const TensorFile& file = (*files_)[e.file];
  const StoredTensor& stored = *e.stored;
  if (stored.type->dtype == as) return file.load(stored, device);
  Tensor x = file.load(stored);
  if (!is_floating(as) || !is_floating(x.dtype()))
    bad_file({.path = file.path(), .field = stored.name}, "the type cannot be converted", std::string(name_of(as)), stored.str());
  Tensor y = Tensor::empty(x.shape(), as);
  visit(x.dtype(), [&]<class From>(std::type_identity<From>) {
    visit(as, [&]<class To>(std::type_identity<To>) {
      if constexpr (is_floating(dtype_of<From>) && is_floating(dtype_of<To>)) convert(x.data<From>(), y.mutable_data<To>(), x.numel());
    });
  });
  return to_device(y, device);
}

Weights Weights::renamed(std::vector<std::pair<std::string, std::string>> names) const {
  std::sort(names.begin(), names.end());
  Weights w;
  w.files_ = files_;
  w.pieces_ = pieces_;
  for (auto& [name, here] : names) {
    w.entries_.push_back(required(here));
    w.names_.push_back(std::move(name));
  }
  return w;
}

Weights Weights::parts(std::vector<WeightPart> parts) const {
  std::sort(parts.begin(), parts.end(), [](const WeightPart& a, const WeightPart& b) { return a.name < b.name; });
  std::vector<StoredTensor> pieces;
  for (const WeightPart& p : parts) pieces.push_back(piece_of(*required(p.in_file).stored, p, path_of(p.in_file)));
  Weights w;
  w.files_ = files_;
  w.pieces_ = Shared<const std::vector<StoredTensor>>::make(std::move(pieces));
  for (std::size_t i = 0; i < parts.size(); ++i) {
    w.entries_.push_back({required(parts[i].in_file).file, &(*w.pieces_)[i]});
    w.names_.push_back(std::move(parts[i].name));
  }
  return w;
}

Weights open_shards(const std::string& path) {
  const File file(path);
  const Place place{.path = path};
  const ShardIndex index = parse_shard_index(file.text(most_index_bytes), place);
  const std::string folder = fs::path(path).parent_path().string();
  std::map<std::string, std::uint32_t> number;  // of each file
  std::vector<TensorFile> files;
  for (const auto& [name, shard] : index.weight_map) {
    const auto [it, added] = number.try_emplace(shard, std::uint32_t(files.size()));
    if (added) files.emplace_back((folder.empty() ? "" : folder + "/") + shard);
    if (!files[it->second].find(name))
      bad_file({.path = files[it->second].path(), .field = name}, "missing, though the index says it is here", {}, {}, "see " + printable(path));
  }
  std::uint64_t bytes = 0;
  for (const auto& [shard, i] : number)
    for (const StoredTensor& t : files[i].tensors()) {
      bytes += t.end - t.begin;
      const auto listed = index.weight_map.find(t.name);
      if (listed == index.weight_map.end() || listed->second != shard)
        bad_file({.path = files[i].path(), .field = t.name}, "here, though the index " +
                 (listed == index.weight_map.end() ? std::string("does not list it") : "places it in " + listed->second), {}, {}, "see " + printable(path));
    }
  if (index.total_size && *index.total_size != bytes)
    bad_file(place.in("metadata").in("total_size"), "not the size of the tensors", std::to_string(bytes), std::to_string(*index.total_size));
  return Weights(std::move(files));
}

Weights open_weights(const std::string& path, const WeightsOptions& options) {
  std::error_code ignored;
  std::vector<TensorFile> one;
  if (!options.variant.empty()) check_plain_name(options.variant, {.path = path, .field = "variant"});
  if (!fs::is_directory(path, ignored)) {
    one.emplace_back(path);
    return Weights(std::move(one));
  }
  for (const std::string& name : candidates(options.variant)) {
    const std::string file = path + "/" + name;
    if (!fs::exists(file, ignored)) continue;
    if (name.ends_with(".json")) return open_shards(file);
    one.emplace_back(file);
    return Weights(std::move(one));
  }
  no_weights(path, options.variant);
}

void save_component(const std::string& folder, std::string_view config_json, const std::string& stem,
                    const std::vector<NamedTensor>& tensors, const SaveOptions& options) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail({.op = printable(folder, 4096), .what = "the folder cannot be made: " + error.message(), .kind = ErrorKind::io}, Site{});
  const std::string single = folder + "/" + single_name(stem, options.variant), index = folder + "/" + index_name(stem, options.variant);
  fs::remove(folder + "/config.json", error);
  const auto parts = split(tensors, options.max_file_bytes);
  if (parts.size() == 1) {
    save_safetensors(single, tensors, options.metadata);
    fs::remove(index, error);
  } else {
    ShardIndex map{.total_size = 0, .weight_map = {}};
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::string name = shard_name(stem, options.variant, i + 1, parts.size());
      save_safetensors(folder + "/" + name, parts[i], options.metadata);
      for (const NamedTensor& t : parts[i]) {
        if (!map.weight_map.emplace(t.name, name).second)
          fail({.op = "save_component", .what = "two tensors of one name", .got = "\"" + printable(t.name) + "\""}, Site{});
        *map.total_size += std::uint64_t(t.tensor.numel()) * size_of(t.tensor.dtype());
      }
    }
    write_file(index, write_shard_index(map));
    fs::remove(single, error);
  }
  write_file(folder + "/config.json", config_json);
}

}  // namespace sspo::io
