// TensorStore: tensors by number, made once and kept on disk: latents of pictures, states of captions, self-samples.
//   TensorStore store("run/cache/latents-3f9a...", 1000, {.about = {{"weights", hash}}});
//   store.fill([&](Index first, Index last) { return encode(pictures(first, last)); });     // makes what is missing, in order
//   Tensor z = store.rows({17, 4, 17});                                                      // [3, ...]
// Files of `shard` numbers each; one that is there is whole, so a killed run goes on with the next. Each row has its SHA-256.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "sspo/base/function.hpp"
#include "sspo/io/safetensors.hpp"

namespace sspo {

class TensorStore {
 public:
  struct Options {
    Index shard = 32;                          // rows a file; made in one call
    io::Metadata about = {};                   // what the rows are a function of: files that say otherwise are refused
    std::uint64_t keep_bytes = 256u << 20;     // rows held in memory once they were read
    Device device = Device::cpu();
  };
  TensorStore(std::string folder, Index count, Options options);  // the folder is made if need be

  // make(first, last) -> rows first ... last - 1, [last - first, ...]. Returns false as soon as go_on() does, between files. A file
  // that is damaged in a way its header shows is reported to `say` and made again.
  bool fill(const Function<Tensor(Index first, Index last)>& make, const Function<bool(Index done)>& go_on = {}, const Function<void(const std::string&)>& say = {});
  // Error{file}: a row is missing, or has not the digest it was written with.
  Tensor rows(const std::vector<Index>& numbers) const;
  Index count() const { return count_; }
  Index missing() const;                       // rows that fill() would make
  const std::string& folder() const { return folder_; }

 private:
  std::string shard_path(Index shard) const;
  bool whole(Index shard, const Function<void(const std::string&)>& say) const;
  const Tensor& row(Index number) const;

  std::string folder_;
  Index count_;
  Options options_;
  mutable std::map<Index, Tensor> kept_;
  mutable std::uint64_t kept_bytes_ = 0;
};

// A short name for what a store's rows are a function of: 16 hexadecimal digits of a SHA-256 over names and values.
std::string key_of(const io::Metadata& about);

}  // namespace sspo
