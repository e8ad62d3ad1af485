#include "sspo/models/weights.hpp"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "sspo/io/hash.hpp"
#include "sspo/ops/movement.hpp"

namespace sspo {
namespace {

void replace_first(std::string& text, std::string_view from, std::string_view to) {
  if (const std::size_t at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
}

// The names under which files may hold the parameter `name`, today's first.
std::vector<std::string> names_in_files(const std::string& name) {
  std::vector<std::string> names{name};
  constexpr std::string_view prefix = "text_model.";
  if (name.starts_with(prefix)) names.push_back(name.substr(prefix.size()));
  if (name.find(".attentions.") != std::string::npos) {
    constexpr std::array<std::array<std::string_view, 2>, 4> renamed = {{{".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}}};
    std::string old = name;
    for (const auto& [today, once] : renamed) replace_first(old, today, once);
    if (old != name) names.push_back(old);
  }
  return names;
}

// The one that these weights have, or none.
std::optional<std::string> name_in(const io::Weights& weights, const std::string& name) {
  for (std::string& n : names_in_files(name))
    if (weights.has(n)) return std::move(n);
  return {};
}

// As the file has it: OHWI -> OIHW.
std::vector<std::uint64_t> shape_in_file(const Shape& s) {
  std::vector<std::uint64_t> shape(s.begin(), s.end());
  if (shape.size() == 4) shape = {shape[0], shape[3], shape[1], shape[2]};
  return shape;
}

// Old attention weights are 1x1 convolutions, [C, C, 1, 1]: a matrix all the same.
bool same_shape(const std::vector<std::uint64_t>& file, std::vector<std::uint64_t> wanted) {
  if (file.size() == 4 && wanted.size() == 2) wanted.insert(wanted.end(), {1, 1});
  return file == wanted;
}

std::string text_of(const std::vector<std::uint64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

class Listing {
 public:
  explicit Listing(std::string title) : title_(std::move(title)) {}
  // entry() -> text: made for the first few alone, since a file may hold any number of any names.
  template <class F>
  void add(F&& entry) {
    if (++count_ <= 8) text_ += (count_ > 1 ? ", " : "") + entry();
  }
  bool empty() const { return count_ == 0; }
  std::string str() const {
    return std::to_string(count_) + " " + title_ + ": " + text_ + (count_ > 8 ? ", ..." : "");
  }

 private:
  std::string title_, text_;
  int count_ = 0;
};

using Matches = std::vector<std::pair<const Param*, std::string>>;  // each parameter and its name in the file

Matches match(const Params& wanted, const io::Weights& weights, const std::string& path) {
  Listing missing("missing"), other_shape("of another shape"), extra("that no parameter takes");
  Matches found;
  std::vector<std::string> absent;
  std::unordered_set<std::string> taken;
  for (const Param& p : wanted) {
    const std::optional<std::string> name = name_in(weights, p.name());
    if (!name) {
      absent.push_back(p.name());
      continue;
    }
    taken.insert(*name);
    found.emplace_back(&p, *name);
    if (const auto& shape = weights.find(*name)->shape; !same_shape(shape, shape_in_file(p.shape())))
      other_shape.add([&] { return "'" + *name + "' is " + text_of(shape) + ", the config asks for " + text_of(shape_in_file(p.shape())); });
  }
  Params spare = Params::shapes_only();  // of the extra names some that a missing one may be: a file may hold any number of any length
  for (const std::string& name : weights.names()) {
    if (taken.count(name) || name.ends_with("position_ids")) continue;
    extra.add([&] { return "'" + io::printable(name) + "' (" + wanted.nearest(name.substr(0, 128)) + ")"; });
    if (spare.size() < 1000 && name.size() <= 128 && io::printable(name) == name) spare.get(name, {}, {});
  }
  for (const std::string& name : absent) missing.add([&] { return "'" + name + "'" + (spare.size() ? " (" + spare.nearest(name) + ")" : ""); });

  std::string problems;
  for (const Listing* list : {&missing, &other_shape, &extra})
    if (!list->empty()) problems += (problems.empty() ? "" : "; ") + list->str();
  if (!problems.empty())
    fail({.op = io::printable(path, 4096), .what = "the weights do not fit the config: " + problems, .hint = "config.json and the weights belong to different models, or a file is not whole", .kind = ErrorKind::file}, Site{});
  return found;
}

}  // namespace

void check_weights(const Params& wanted, const io::Weights& weights, const std::string& path) { match(wanted, weights, path); }

Params fit_weights(const Params& wanted, const io::Weights& weights, const std::string& path, const LoadOptions& options) {
  Params params(options.device);
  for (const auto& [p, name] : match(wanted, weights, path)) {
    Tensor value = weights.load(name, options.dtype, options.device);
    value = p->shape().rank() == 4 ? contiguous(permute(std::move(value), {0, 2, 3, 1})) : reshape(std::move(value), p->shape());
    params.adopt(p->name(), std::move(value));
  }
  return params;
}

Tensor to_checkpoint(const Tensor& x) { return x.rank() == 4 ? contiguous(permute(x, {0, 3, 1, 2})) : x; }

std::vector<io::NamedTensor> to_checkpoint(const Params& params) {
  std::vector<io::NamedTensor> tensors;
  for (const Param& p : params) tensors.push_back({p.name(), to_checkpoint(p.master())});
  return tensors;
}

io::NamedTensor to_checkpoint(const Tensor& x, const std::string& name, const io::Weights& weights) {
  const std::optional<std::string> there = name_in(weights, name);
  if (!there) fail({.op = "to_checkpoint", .what = "the weights have no such tensor", .got = "'" + name + "'"}, Site{});
  const auto& extents = weights.find(*there)->shape;
  const std::vector<Index> shape(extents.begin(), extents.end());
  return {*there, reshape(to_checkpoint(x), Shape(std::span<const Index>(shape)))};
}

std::vector<io::NamedTensor> checkpoint_of(const Params& wanted, const io::Weights& weights, const std::string& path) {
  std::vector<io::NamedTensor> tensors;
  for (const auto& [p, name] : match(wanted, weights, path)) {
    Tensor x = weights.load_as_stored(name);
    const std::vector<std::uint64_t> extents = shape_in_file(p->shape());
    const std::vector<Index> shape(extents.begin(), extents.end());
    tensors.push_back({p->name(), reshape(std::move(x), Shape(std::span<const Index>(shape)))});
  }
  return tensors;
}

std::string weights_hash(const std::string& path, const io::WeightsOptions& from) {
  const io::Weights weights = io::open_weights(path, from);
  std::vector<std::string> files;
  for (const io::TensorFile& file : weights.files()) files.push_back(file.path());
  std::sort(files.begin(), files.end());
  io::Sha256 hash;
  for (const std::string& file : files) hash.add(io::File(file));
  return hash.hex().substr(0, 10);
}

}  // namespace sspo
