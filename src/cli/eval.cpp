#include "cli/eval.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>

#include "cli/files.hpp"
#include "cli/progress.hpp"
#include "cli/signals.hpp"
#include "cli/where.hpp"
#include "sspo/eval/judge.hpp"
#include "sspo/eval/statistics.hpp"
#include "sspo/io/hash.hpp"
#include "sspo/models/stable_diffusion.hpp"
#include "sspo/train/run_folder.hpp"
#include "sspo/train/tensor_store.hpp"
#ifdef SSPO_EIGEN
#include "sspo/eval/frechet.hpp"
#endif

namespace sspo::cli {
namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// A name of the chosen rows, and what is really drawn of it.
struct Prompt {
  std::string name, caption, split;
  std::map<std::string, io::Image> real;  // by style
};

std::string name_of(const io::Row& row) { return std::string(row.field("name").empty() ? std::string_view(row.text) : row.field("name")); }

std::vector<Prompt> prompts_of(const EvalOptions& o, const io::Dataset& data, Index side) {
  const Where where(o.where, {.path = "--where"});
  std::vector<Prompt> prompts;
  std::map<std::string, std::size_t> known;
  for (const io::Row& row : data.rows)
    if (where.holds(row) && known.emplace(name_of(row), prompts.size()).second) prompts.push_back({name_of(row), row.text, std::string(row.field("split")), {}});
  if (prompts.empty()) fail({.op = io::printable(data.folder, 4096), .what = "no row of the data set is so", .hint = "see --where"}, Site{});
  for (const io::Row& row : data.rows)  // of all rows: the other styles' pictures may not be among the chosen
    if (const auto at = known.find(name_of(row)); at != known.end() && !row.field("style").empty())
      prompts[at->second].real.emplace(row.field("style"), io::read_picture(data, row, {.width = side, .height = side}));
  for (const Prompt& p : prompts)
    if (!p.real.contains(o.prefer) || p.real.size() < 2 || (!o.real.empty() && !p.real.contains(o.real)))
      fail({.op = io::printable(data.folder, 4096), .what = "a name without the pictures to compare with", .expected = "the style " + (o.real.empty() ? o.prefer : o.real) + " and another one",
            .got = io::printable(p.name), .hint = "see --prefer"}, Site{});
  return prompts;
}

std::string digest_of(const std::vector<Prompt>& prompts) {
  io::Sha256 hash;
  for (const Prompt& p : prompts) {
    hash.add(std::to_string(p.name.size()) + ":" + p.name + std::to_string(p.caption.size()) + ":" + p.caption);
    for (const auto& [style, image] : p.real) {
      hash.add(style + " ");
      hash.add(std::string_view(reinterpret_cast<const char*>(image.rgb.data()), image.rgb.size()));
    }
  }
  return hash.hex();
}

// Picture i N + n is the n-th of prompt i. Latents of what is missing are drawn, a batch a file.
class Drawing {
 public:
  Drawing(const EvalOptions& o, const std::vector<Prompt>& prompts, const Device& device)
      : o_(o), prompts_(prompts), device_(device), sd_(StableDiffusion::load(o.model, {}, {.device = device}, scheduler_kind(o.scheduler))) {
    sd_.scheduler.clip_sample = false;  // of latents: as in a pipeline
    if (!o.unet.empty()) sd_.unet = load_component<UNet>(o.unet, load_unet_config(o.unet + "/config.json"), {}, {.device = device});
    for (const char* part : {"unet", "text_encoder", "vae"}) hash_ += weights_hash(part == std::string("unet") && !o.unet.empty() ? o.unet : o.model + "/" + part);
  }
  const std::string& hash() const { return hash_; }
  Index side() const { return sd_.unet.config().sample_size * sd_.vae.config().downscale(); }

  void draw(const std::string& folder, const io::Json& key) {
    store_.emplace(folder, Index(prompts_.size()) * o_.per_prompt, TensorStore::Options{.shard = o_.batch, .about = {{"evaluation", io::sha256_hex(key.dump())}}, .device = device_});
    const Index missing = store_->missing();
    if (missing == 0) return;
    Progress progress("drawing", store_->count(), store_->count() - missing);
    store_->fill([&](Index first, Index last) { return latents(first, last); }, [&](Index done) {
      stop_if_interrupted();
      if (done > 0) progress.update(done, "");
      return true;
    });
  }
  std::vector<io::Image> pictures(const std::vector<Index>& numbers) const { return io::to_images(sd_.decode(store_->rows(numbers))); }

 private:
  Tensor latents(Index first, Index last) const {
    std::vector<std::string> captions;
    std::vector<Rng> rng;
    for (Index i = first; i < last; ++i) {
      captions.push_back(prompts_[std::size_t(i / o_.per_prompt)].caption);
      rng.push_back(Rng(o_.seed) / "eval" / captions.back() / (i % o_.per_prompt));
    }
    const Index size = sd_.unet.config().sample_size;
    const auto noise = [&](const char* what, Index call) {
      Tensors all;
      for (const Rng& r : rng) all.push_back(normal(r / what / call, {size, size, sd_.unet.config().in_channels}, device_));
      return stack(all, 0);
    };
    const Tensor text = sd_.encode(captions), negative = expand(sd_.encode({""}), text.shape());
    return sample_latents(std::cref(sd_.unet), make_scheduler(sd_.scheduler, o_.steps), noise("start", 0), text, negative,
                          {.guidance = o_.guidance, .noise = [&](Index call) { return noise("step", call); }, .after = [](Index, const Tensor&) { stop_if_interrupted(); }});
  }

  const EvalOptions& o_;
  const std::vector<Prompt>& prompts_;
  Device device_;
  StableDiffusion sd_;
  std::string hash_;
  std::optional<TensorStore> store_;
};

double squared_distance(const io::Image& a, const io::Image& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.rgb.size(); ++i) sum += (double(a.rgb[i]) - b.rgb[i]) * (double(a.rgb[i]) - b.rgb[i]);
  return sum;
}

struct Score {
  double near_pixels, near_features, style, caption;
  Index rank;
};

class Scorer {
 public:
  Scorer(const EvalOptions& o, const LoadedJudge& judge, const std::vector<Prompt>& prompts, const Device& device)
      : o_(o), judge_(judge), prompts_(prompts), device_(device), preferred_(judge.style_named(o.prefer)) {
    std::vector<std::string> captions;
    for (const Prompt& p : prompts) {
      captions.push_back(p.caption);
      for (const auto& [style, image] : p.real) real_[style].push_back(image);
    }
    captions_ = judge.captions(captions);
    for (const auto& [style, images] : real_)
      if (images.size() == prompts.size()) real_features_.emplace(style, cast(features(images), DType::f64).to_vector<double>());
  }

  Tensor features(const std::vector<io::Image>& images) const {
    Tensors parts;
    for (std::size_t i = 0; i < images.size(); i += 128)
      parts.push_back(judge_.net.features(io::to_tensor({images.begin() + std::ptrdiff_t(i), images.begin() + std::ptrdiff_t(std::min(i + 128, images.size()))}, device_)));
    return cat(parts, 0);
  }

  // pictures[i] was drawn for prompt of[i]
  std::vector<Score> operator()(const std::vector<io::Image>& pictures, const std::vector<Index>& of, std::vector<Tensor>& all_features) const {
    const Tensor x = io::to_tensor(pictures, device_), f = judge_.net.features(x), cosines = matmul(judge_.net.embed(f), transpose(captions_));
    all_features.push_back(f);
    const Index D = f.dim(1), S = Index(judge_.net.config().styles.size()), M = cosines.dim(1);
    const std::vector<double> values = cast(f, DType::f64).to_vector<double>(), p = cast(softmax(judge_.net.style(x)), DType::f64).to_vector<double>(), c = cast(cosines, DType::f64).to_vector<double>();
    const std::vector<Index> above = ranks(cosines, of);
    std::vector<Score> scores;
    for (std::size_t i = 0; i < pictures.size(); ++i) {
      const std::size_t prompt = std::size_t(of[i]);
      bool pixels = true, features = true;
      const auto feature_distance = [&](const std::string& style) {
        const double* a = values.data() + i * std::size_t(D);
        const double* b = real_features_.at(style).data() + prompt * std::size_t(D);
        double sum = 0;
        for (Index d = 0; d < D; ++d) sum += (a[d] - b[d]) * (a[d] - b[d]);
        return sum;
      };
      for (const auto& [style, image] : prompts_[prompt].real) {
        if (style == o_.prefer) continue;
        pixels = pixels && squared_distance(pictures[i], prompts_[prompt].real.at(o_.prefer)) < squared_distance(pictures[i], image);
        if (real_features_.contains(style)) features = features && feature_distance(o_.prefer) < feature_distance(style);
      }
      scores.push_back({double(pixels), double(features), p[i * std::size_t(S) + std::size_t(preferred_)], c[i * std::size_t(M) + prompt], above[i] + 1});
    }
    return scores;
  }

 private:
  const EvalOptions& o_;
  const LoadedJudge& judge_;
  const std::vector<Prompt>& prompts_;
  Device device_;
  Index preferred_;
  Tensor captions_;                                       // [prompts, embedding]
  std::map<std::string, std::vector<io::Image>> real_;
  std::map<std::string, std::vector<double>> real_features_;  // by style, [prompts, features]: of styles in which every prompt is drawn
};

// Means over a name's pictures are the values: pictures of one name are no independent samples of how well names are drawn.
io::Json metrics_of(const std::vector<Score>& scores, Index per_prompt, std::uint64_t seed) {
  const std::pair<const char*, double (*)(const Score&)> metrics[] = {{"near_pixels", [](const Score& s) { return s.near_pixels; }}, {"near_features", [](const Score& s) { return s.near_features; }},
                                                                      {"style", [](const Score& s) { return s.style; }},             {"caption", [](const Score& s) { return s.caption; }},
                                                                      {"r1", [](const Score& s) { return double(s.rank <= 1); }},    {"r5", [](const Score& s) { return double(s.rank <= 5); }}};
  io::Json json;
  for (const auto& [name, value] : metrics) {
    std::vector<double> means;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (i % std::size_t(per_prompt) == 0) means.push_back(0);
      means.back() += value(scores[i]) / double(per_prompt);
    }
    const Estimate e = estimate(means, Rng(seed) / "bootstrap" / name);
    json[name] = {{"n", e.n}, {"mean", e.mean}, {"se", e.deviation / std::sqrt(double(e.n))}, {"low", e.low}, {"high", e.high}};
  }
  return json;
}

#ifdef SSPO_EIGEN
// To the real pictures of the preferred style as a whole, in the judge's features.
double frechet_of(const EvalOptions& o, const io::Dataset& data, const Scorer& scorer, Index side, const Tensor& drawn) {
  const Where where(o.frechet_where, {.path = "--frechet-where"});
  std::vector<io::Image> real;
  for (const io::Row& row : data.rows)
    if (where.holds(row) && row.field("style") == o.prefer) real.push_back(io::read_picture(data, row, {.width = side, .height = side}));
  if (real.size() < 2) fail({.op = "--frechet-where", .what = "too few real pictures of the style " + o.prefer, .expected = "2 or more", .got = std::to_string(real.size())}, Site{});
  return frechet_distance(feature_statistics(scorer.features(real)), feature_statistics(drawn));
}
#endif

}  // namespace

io::Json evaluate(const EvalOptions& given) {
  EvalOptions o = given;
  if (o.model.empty() == o.real.empty()) fail({.op = "eval", .what = "one of two is scored", .expected = "--model, or --real"}, Site{});
  if (!o.real.empty()) o.per_prompt = 1;
  const Clock::time_point start = Clock::now();
  const Device device = Device::cpu({.threads = o.threads, .isa = o.isa});
  const LoadedJudge judge = load_judge(o.judge, device);
  judge.style_named(o.prefer);
  const Index side = judge.net.config().size;
  const io::Dataset data = io::open_dataset(o.data);
  const std::vector<Prompt> prompts = prompts_of(o, data, side);
  std::optional<Drawing> drawing;
  if (o.real.empty()) {
    drawing.emplace(o, prompts, device);
    if (drawing->side() != side)
      fail({.op = "eval", .what = "the judge was trained for pictures of another size", .expected = std::to_string(side) + " pixels", .got = std::to_string(drawing->side())}, Site{});
  }
  const RunFolder out(o.out);
  io::Json key = {{"judge", judge.hash}, {"pictures", digest_of(prompts)}, {"prefer", o.prefer}, {"frechet_where", o.frechet_where}, {"seed", o.seed}};
  if (drawing)
    key.update({{"model", drawing->hash()}, {"per_prompt", o.per_prompt}, {"scheduler", o.scheduler}, {"steps", o.steps}, {"guidance", o.guidance}, {"batch", o.batch}});
  else
    key["real"] = o.real;
  keep_settings(out / "eval.json", key);
  std::error_code none;
  if (std::filesystem::exists(out / "summary.json", none)) return io::read_json(out / "summary.json");

  const Clock::time_point before_drawing = Clock::now();
  if (drawing) drawing->draw(out / "latents", key);
  const double drawing_seconds = since(before_drawing);

  const Scorer scorer(o, judge, prompts, device);
  const Index count = Index(prompts.size()) * o.per_prompt;
  std::vector<Score> scores;
  Tensors features;
  std::vector<io::Image> sheet;
  io::Json shown = io::Json::array();  // names, from the first to the last
  const Index tiles = std::min<Index>(48, Index(prompts.size()));
  std::string lines;
  for (Index first = 0; first < count; first += 64) {
    stop_if_interrupted();
    std::vector<Index> numbers, of;
    std::vector<io::Image> pictures;
    for (Index i = first; i < std::min(first + 64, count); ++i) numbers.push_back(i), of.push_back(i / o.per_prompt);
    if (drawing)
      pictures = drawing->pictures(numbers);
    else
      for (const Index i : of) pictures.push_back(prompts[std::size_t(i)].real.at(o.real));
    const std::vector<Score> some = scorer(pictures, of, features);
    for (std::size_t i = 0; i < some.size(); ++i) {
      const Score& s = some[i];
      const Prompt& p = prompts[std::size_t(of[i])];
      const Index n = numbers[i] % o.per_prompt;
      if (n == 0 && Index(sheet.size()) < tiles && of[i] == Index(sheet.size()) * Index(prompts.size()) / tiles) sheet.push_back(pictures[i]), shown.push_back(p.name);
      lines += io::Json{{"name", p.name}, {"split", p.split}, {"n", n}, {"seed", o.seed}, {"near_pixels", s.near_pixels}, {"near_features", s.near_features},
                        {"style", s.style}, {"caption", s.caption}, {"rank", s.rank}}.dump() + "\n";
      scores.push_back(s);
    }
  }
  const Index columns = std::min<Index>(12, Index(sheet.size())), gap = 2;
  io::write_png(out / "pictures.png", io::grid(sheet, columns, gap));
  io::write_file(out / "scores.jsonl", lines);
  io::Json summary = {{"n", count}, {"names", prompts.size()}, {"what", drawing ? "model" : "real " + o.real}, {"key", key}, {"metrics", metrics_of(scores, o.per_prompt, o.seed)}};
#ifdef SSPO_EIGEN
  if (count > 1) summary["frechet"] = frechet_of(o, data, scorer, side, cat(features, 0));
#endif
  summary["pictures"] = {{"columns", columns}, {"gap", gap}, {"side", side}, {"names", shown}};
  summary["seconds"] = since(start);
  summary["drawing_seconds"] = drawing_seconds;
  summary["samples_per_second"] = double(count) / since(start);
  io::write_file(out / "summary.json", summary.dump(2) + "\n");
  return summary;
}

void eval_and_tell(const EvalOptions& o) {
  const io::Json summary = evaluate(o);
  if (o.json) {
    fmt::print("{}\n", summary.dump(2));
    return;
  }
  fmt::print("{} pictures of {} names\n", summary["n"].get<Index>(), summary["names"].get<Index>());
  for (const auto& [name, m] : summary["metrics"].items())
    fmt::print("  {:<14} {:.3f}  [{:.3f}, {:.3f}]\n", name, m["mean"].get<double>(), m["low"].get<double>(), m["high"].get<double>());
  if (summary.contains("frechet")) fmt::print("  {:<14} {:.2f}\n", "frechet", summary["frechet"].get<double>());
  fmt::print("{:.1f} s, {:.1f} samples/s\n", summary["seconds"].get<double>(), summary["samples_per_second"].get<double>());
}

}  // namespace sspo::cli
