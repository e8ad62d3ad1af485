#include <algorithm>
#include <cmath>

#include "cli/progress.hpp"
#include "cli/signals.hpp"
#include "cli/train_tasks.hpp"
#include "cli/vae_tiles.hpp"
#include "sspo/io/hash.hpp"
#include "sspo/models/vae_tiling.hpp"

namespace sspo::cli {
namespace {

constexpr Index latents_in_shard = 16;

std::string digest_of(const Params& params) {
  io::Sha256 hash;
  for (const Param& p : params) {
    const Tensor x = to_device(contiguous(p.value()), Device::cpu());
    hash.add(p.name() + " " + x.str());
    hash.add(std::string_view(static_cast<const char*>(x.raw()), std::size_t(x.numel()) * size_of(x.dtype())));
  }
  return hash.hex();
}

std::shared_ptr<TensorStore> filled(const TrainContext& c, const std::string& what, Index count, const io::Metadata& about, Index shard,
                                    const std::function<Tensor(Index first, Index last)>& make) {
  const std::string shared = c.recipe.text("data.cache"), folder = shared.empty() ? c.run / "cache" : shared;
  auto store = std::make_shared<TensorStore>(folder + "/" + what + "-" + key_of(about), count, TensorStore::Options{.shard = shard, .about = about, .device = c.device});
  if (store->missing() == 0) return store;
  std::optional<RunFolder> held;  // one run at a time fills what several share
  if (!shared.empty()) held.emplace(store->folder());
  const Index missing = store->missing();
  Progress progress("computing " + what, count, count - missing);
  store->fill(make, [&](Index done) {
    stop_if_interrupted();  // what is there stays: the next start goes on with the rest
    c.watchdog.beat("filling a cache");
    if (done > 0) progress.update(done, "");
    return true;
  }, c.say);
  return store;
}

// Pictures first ... last - 1 as the autoencoder takes them, [n, H, W, 3].
Tensor pictures(const TrainContext& c, const std::function<io::Image(Index, Index)>& picture, Index first, Index last) {
  std::vector<io::Image> all;
  for (Index i = first; i < last; ++i) all.push_back(picture(i, c.model.side));
  return cast(io::to_tensor(all, c.device), c.model.dtype);
}

}  // namespace

Index pictures_at_once(Index side) { return std::clamp<Index>(128 * 128 / (side * side), 1, latents_in_shard); }

bool tiles_latents(const Recipe& r, const TrainModel& m) { return r.has("data.vae_tiling") && r.boolean("data.vae_tiling") && m.side > m.vae.config.sample_size; }

std::shared_ptr<TensorStore> latent_cache(const TrainContext& c, bool losers) {
  const Autoencoder& vae = *c.model.vae.model;
  const std::string what = losers ? "loser-latents" : "latents";
  io::Metadata about{{"what", what}, {"data", c.data.digest}, {"weights", digest_of(*c.model.vae.frozen)}, {"dtype", std::string(name_of(c.model.dtype))},
                           {"transform", "centre crop, lanczos, " + std::to_string(c.model.side)}};
  const bool tiled = tiles_latents(c.recipe, c.model);
  if (tiled) {
    about["tiles"] = std::to_string(c.model.vae.config.sample_size);
    c.say("data.vae_tiling: " + tiles_note(c.model.vae.config, c.model.side, c.model.side, c.model.dtype, true));
  }
  return filled(c, what, c.data.size(), about, latents_in_shard, [&](Index first, Index last) {
    Tensors all;
    for (Index i = first, n = pictures_at_once(c.model.side); i < last; i += n) {
      const Tensor x = pictures(c, losers ? c.data.loser : c.data.picture, i, std::min(i + n, last));
      const Moments m = tiled ? tiled_encode(vae, x) : vae.encode(x);
      all.push_back(cast(cat({m.mean, m.logvar}, -1), DType::f32));
    }
    return cat(all, 0);
  });
}

std::shared_ptr<TensorStore> through_vae(const TrainContext& c, const TrainData& data, const std::string& name) {
  const io::Metadata about{{"what", name}, {"data", data.digest}, {"weights", digest_of(*c.model.vae.frozen)}, {"dtype", std::string(name_of(c.model.dtype))},
                           {"transform", "centre crop, lanczos, " + std::to_string(c.model.side)}};
  return filled(c, name, data.size(), about, 16, [&](Index first, Index last) {
    const Autoencoder& vae = *c.model.vae.model;
    std::vector<io::Image> pictures;
    for (Index i = first; i < last; ++i) pictures.push_back(data.picture(i, c.model.side));
    return cast(vae.decode(vae.encode(cast(io::to_tensor(pictures, c.device), c.model.dtype)).mean), DType::f32);
  });
}

Tensor latents_of(const TensorStore& cache, const std::vector<Index>& rows, const VaeConfig& config, const Rng& rng) {
  const Tensor both = cache.rows(rows);  // [n, h, w, 2 C]
  const Index C = both.dim(-1) / 2;
  return to_model(sample(Moments{slice(both, -1, 0, C), slice(both, -1, C, 2 * C)}, rng), config);
}

CaptionStates::CaptionStates(const TrainContext& c, bool keywords) : texts_(c.data.captions) {
  for (std::size_t i = 0; keywords && i < c.data.keywords.size(); ++i)
    for (const std::string& keyword : c.data.keywords[i]) texts_.push_back(c.data.captions[i] + " " + keyword);
  texts_.emplace_back();
  std::sort(texts_.begin(), texts_.end());
  texts_.erase(std::unique(texts_.begin(), texts_.end()), texts_.end());
  const ClipText& encoder = *c.model.text_encoder.model;
  const int length = int(encoder.config().max_position_embeddings);
  io::Sha256 hash;
  for (const std::string& t : texts_) hash.add(std::to_string(t.size()) + ":" + t);
  const ClipTokenizerFiles files = c.model.tokenizer->files();
  const io::Metadata about{{"what", "captions"}, {"captions", hash.hex()}, {"weights", digest_of(*c.model.text_encoder.frozen)}, {"dtype", std::string(name_of(c.model.dtype))},
                           {"tokenizer", io::sha256_hex(files.vocab + files.merges)}, {"flavour", "hf"}, {"length", std::to_string(length)}};
  store_ = filled(c, "captions", Index(texts_.size()), about, 64, [&](Index first, Index last) {
    std::vector<std::int32_t> ids;
    for (Index i = first; i < last; ++i) {
      const std::vector<std::int32_t> one = c.model.tokenizer->padded(texts_[std::size_t(i)], length);
      ids.insert(ids.end(), one.begin(), one.end());
    }
    return cast(encoder(Tensor::from(ids, {last - first, length}, c.device)).last_hidden_state, DType::f32);
  });
}

Tensor CaptionStates::rows(const std::vector<std::string>& captions) const {
  std::vector<Index> numbers;
  for (const std::string& caption : captions) numbers.push_back(std::lower_bound(texts_.begin(), texts_.end(), caption) - texts_.begin());
  return store_->rows(numbers);
}

double measured_scaling_factor(const TrainContext& c, const Autoencoder& vae) {
  double sum = 0, squares = 0, count = 0;
  const Index pictures_seen = std::min<Index>(c.data.size(), 256);
  for (Index i = 0, n = pictures_at_once(c.model.side); i < pictures_seen; i += n) {
    const Tensor mean_ = cast(vae.encode(pictures(c, c.data.picture, i, std::min(i + n, pictures_seen))).mean, DType::f64);
    sum += sspo::sum(detach(mean_)).item<double>(), squares += sspo::sum(square(detach(mean_))).item<double>(), count += double(mean_.numel());
  }
  const double variance = squares / count - (sum / count) * (sum / count);
  return variance > 1e-12 ? 1 / std::sqrt(variance) : 1;
}

}  // namespace sspo::cli
