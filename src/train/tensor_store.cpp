#include "sspo/train/tensor_store.hpp"

#include <algorithm>
#include <filesystem>

#include "io/calls.hpp"
#include "sspo/io/hash.hpp"
#include "sspo/ops/movement.hpp"

namespace sspo {
namespace {

namespace fs = std::filesystem;

std::string digest_of(const Tensor& x) {  // contiguous, on the CPU
  return io::sha256_hex(std::string_view(static_cast<const char*>(x.raw()), std::size_t(x.numel()) * size_of(x.dtype())));
}

std::string row_name(Index number) { return std::to_string(number); }
std::string digest_name(Index number) { return "sha256." + std::to_string(number); }

}  // namespace

std::string key_of(const io::Metadata& about) {
  io::Sha256 hash;
  for (const auto& [name, value] : about) hash.add(std::to_string(name.size()) + ":" + name + std::to_string(value.size()) + ":" + value);
  return hash.hex().substr(0, 16);
}

TensorStore::TensorStore(std::string folder, Index count, Options options) : folder_(std::move(folder)), count_(count), options_(std::move(options)) {
  if (count_ < 0 || options_.shard < 1)
    fail({.op = "tensor store", .what = "no rows", .expected = "a count and a shard of one or more", .got = std::to_string(count_) + ", " + std::to_string(options_.shard)}, Site{});
  if (const std::error_code error = io::make_folders(folder_))
    fail({.op = io::printable(folder_, 4096), .what = "the folder cannot be made: " + error.message(), .kind = ErrorKind::io}, Site{});
}

std::string TensorStore::shard_path(Index shard) const {
  const std::string number = std::to_string(shard);
  return folder_ + "/" + std::string(number.size() < 6 ? 6 - number.size() : 0, '0') + number + ".safetensors";
}

bool TensorStore::whole(Index shard, const Function<void(const std::string&)>& say) const {
  const std::string path = shard_path(shard);
  std::error_code none;
  if (!fs::exists(path, none)) return false;
  try {
    const io::Safetensors file(path);
    for (const auto& [name, value] : options_.about)
      if (const auto it = file.metadata().find(name); it == file.metadata().end() || it->second != value)
        io::bad_file({.path = path, .field = name}, "made from something else", value, it == file.metadata().end() ? "nothing" : it->second);
    for (Index i = shard * options_.shard; i < std::min(count_, (shard + 1) * options_.shard); ++i)
      if (!file.find(row_name(i)) || !file.metadata().count(digest_name(i))) io::bad_file({.path = path, .field = row_name(i)}, "missing");
    return true;
  } catch (const Error& e) {
    if (e.info().kind != ErrorKind::file) throw;
    if (say) say(std::string(e.what()) + "; it is made again");
    return false;
  }
}

Index TensorStore::missing() const {
  Index rows = 0;
  for (Index s = 0; s * options_.shard < count_; ++s)
    if (!whole(s, {})) rows += std::min(options_.shard, count_ - s * options_.shard);
  return rows;
}

bool TensorStore::fill(const Function<Tensor(Index, Index)>& make, const Function<bool(Index)>& go_on, const Function<void(const std::string&)>& say) {
  for (Index s = 0; s * options_.shard < count_; ++s) {
    const Index first = s * options_.shard, last = std::min(count_, first + options_.shard);
    if (go_on && !go_on(first)) return false;
    if (whole(s, say)) continue;
    const Tensor all = make(first, last);
    if (all.rank() < 1 || all.dim(0) != last - first)
      fail({.op = "tensor store", .what = "not the rows that were asked for", .expected = std::to_string(last - first) + " rows", .got = all.str(), .kind = ErrorKind::internal}, Site{});
    std::vector<io::NamedTensor> rows;
    io::Metadata about = options_.about;
    for (Index i = first; i < last; ++i) {
      rows.push_back({row_name(i), to_device(contiguous(slice(all, 0, i - first, i - first + 1)), Device::cpu())});
      about[digest_name(i)] = digest_of(rows.back().tensor);
    }
    io::save_safetensors(shard_path(s), rows, about);
  }
  return true;
}

const Tensor& TensorStore::row(Index number) const {
  if (const auto it = kept_.find(number); it != kept_.end()) return it->second;
  if (number < 0 || number >= count_)
    fail({.op = "tensor store", .what = "no such row", .expected = "0 to " + std::to_string(count_ - 1), .got = std::to_string(number)}, Site{});
  const io::Safetensors file(shard_path(number / options_.shard));
  Tensor x = file.load(row_name(number));
  const auto digest = file.metadata().find(digest_name(number));
  if (digest == file.metadata().end() || digest->second != digest_of(x))
    io::bad_file({.path = file.path(), .field = row_name(number)}, "the row is damaged", {}, {}, "remove the file: it is made again");
  const std::uint64_t bytes = std::uint64_t(x.numel()) * size_of(x.dtype());
  if (kept_bytes_ + bytes > options_.keep_bytes) kept_.clear(), kept_bytes_ = 0;
  kept_bytes_ += bytes;
  return kept_[number] = std::move(x);
}

Tensor TensorStore::rows(const std::vector<Index>& numbers) const {
  Tensors all;
  for (const Index n : numbers) all.push_back(row(n));
  const Tensor x = cat(all, 0);
  return to_device(x, options_.device);
}

}  // namespace sspo
