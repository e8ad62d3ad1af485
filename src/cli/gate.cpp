#include "cli/gate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "cli/finished_run.hpp"
#include "cli/progress.hpp"
#include "cli/signals.hpp"
#include "cli/train_policy.hpp"
#include "cli/train_samples.hpp"
#include "sspo/eval/gate.hpp"
#include "sspo/io/hash.hpp"
#include "sspo/train/preference.hpp"

namespace sspo::cli {
namespace {

// A winner and its self-sample, as phase k has them.
struct Pair {
  Index k, reference, sample;  // sample: of the data set
  Tensor self = {};            // x_0^r [1, h, w, C]; undefined: annotated losers are no self-samples
  Tensor fresh = {};           // of theta = C[k], for the same prompt
};

struct Counts {
  double n = 0, plus = 0, minus = 0;
  void add(double gain) { ++n, plus += gain > 0, minus += gain < 0; }
  io::Json shares() const { return n == 0 ? io::Json{{"plus", nullptr}, {"zero", nullptr}, {"minus", nullptr}} : io::Json{{"plus", plus / n}, {"zero", (n - plus - minus) / n}, {"minus", minus / n}}; }
};

class Diagnosis {
 public:
  Diagnosis(const GateOptions& o, const TrainContext& c)
      : o_(o), c_(c), objective_(objective_named(c.recipe.text("objective"))), phases_(c.recipe.integer("preference.phases")), schedule_(c.model.scheduler), states_(c),
        winners_(latent_cache(c, false)), pool_(c.run / "pool"), how_(self_sampling_of(c)), rng_(Rng(o.seed) / "gate") {
    if (objective_.second == SecondImage::none) fail({.op = io::printable(c.run.path(), 4096), .what = "no gate: " + std::string(objective_.name) + " has no reference"}, Site{});
    for (Index k = 1; k <= phases_; ++k) add_phase(k);
    if (pairs_.empty())
      fail({.op = io::printable(c.run.path(), 4096), .what = "no phase is left to look at", .hint = "preference.keep_phases = true keeps the checkpoint of each"}, Site{});
    draw_times();
  }

  io::Json operator()() {
    look();
    io::Json json = {{"run", io::printable(c_.run.path(), 4096)}, {"objective", objective_.name}, {"draws", o_.draws}, {"pairs", pairs_.size()}, {"seed", o_.seed}};
    add_signs(json);
    std::vector<std::vector<double>> gains;
    for (const Pair& p : pairs_) gains.push_back(gains_of(p));
    json["agreement"] = io::Json::array();
    for (const Agreement& a : sign_agreement(gains, rng_ / "agreement"))
      json["agreement"].push_back({{"n", a.n}, {"share", a.share.mean}, {"low", a.share.low}, {"high", a.share.high}});
    if (objective_.second == SecondImage::self_sampled) add_verdict(json, gains);
    return json;
  }

 private:
  // Those of the phase's pairs whose prompts come first in one order for all phases: what a checkpoint says of a winner serves several.
  void add_phase(Index k) {
    if (!there(k)) return c_.say(fmt::format("phase {}: checkpoint {} was not kept", k, k));
    const Phase phase(c_.recipe, c_.data.size(), k);
    std::map<std::uint64_t, std::pair<Index, std::size_t>> order;  // reference, row
    for (const auto& [reference, places] : phase.sampled())
      for (std::size_t row = 0; row < places.size(); ++row) order.emplace((rng_ / "pairs" / phase.prompts()[std::size_t(places[row])]).bits(), std::pair{reference, row});
    for (const auto& [key, at] : order) {
      const auto [reference, row] = at;
      if (Index(pairs_.size()) == first_of_phase_[k] + o_.pairs) break;
      if (!there(reference)) continue;
      Pair p{k, reference, phase.prompts()[std::size_t(phase.sampled().at(reference)[row])]};
      if (objective_.second == SecondImage::self_sampled) {
        auto& store = stores_[{k, reference}];
        if (!store) store = self_sample_store(c_, how_, phase, k, reference, pool_.open(reference));
        p.self = store->rows({Index(row)});
      }
      pairs_.push_back(p);
    }
    first_of_phase_[k + 1] = Index(pairs_.size());
  }

  // C[K] is what the run made of itself in the end.
  std::string folder_of(Index i) const { return i < phases_ ? pool_.folder() + "/" + std::to_string(i) : last_policy(c_.model, c_.run.path()); }
  bool there(Index i) const {
    return policy_there(c_.model, folder_of(i));
  }

  void draw_times() {
    for (const Pair& p : pairs_)
      if (!times_.contains(p.sample)) times_[p.sample] = randint(rng_ / "time" / p.sample, {o_.draws}, 0, schedule_.size()).to_vector<std::int64_t>();
  }

  // Checkpoint by checkpoint: its errors on the winners of the phases it plays a part in, and its own fresh samples.
  void look() {
    Progress progress("looking at the gate", phases_ + 1);
    for (Index i = 0; i <= phases_; ++i) {
      std::set<Index> samples;
      std::vector<Pair*> own;
      for (Pair& p : pairs_) {
        if (p.k == i || p.reference == i) samples.insert(p.sample);
        if (p.k == i) own.push_back(&p);
      }
      if (samples.empty()) continue;
      const auto loaded = load_policy(c_.model, folder_of(i), c_.device);
      const UNet& unet = *loaded;
      for (const Index s : samples) errors_[{i, s}] = errors_of(std::cref(unet), s);
      if (!own.empty() && own[0]->self) draw_fresh(std::cref(unet), own, i);
      progress.update(i + 1, "");
    }
  }

  // a_w of one winner at each draw. (t, ε) are those of the winner, whoever is asked.
  std::vector<double> errors_of(const Denoiser& model, Index sample) const {
    stop_if_interrupted();
    const Tensor x = latents_of(*winners_, {sample}, c_.model.vae.config, rng_ / "posterior" / sample), text = states_.rows({c_.data.captions[std::size_t(sample)]});
    const Index n = o_.draws;
    PairBatch batch{.latents_w = expand(x, {n, x.dim(1), x.dim(2), x.dim(3)}), .timesteps = times_.at(sample), .text = expand(text, {n, text.dim(1), text.dim(2)})};
    batch.noise_w = normal(rng_ / "noise" / sample, batch.latents_w.shape(), c_.device);
    std::vector<double> errors;
    for (Index first = 0; first < n; first += 64) {
      const PairErrors a = pair_errors(model, {}, batch.slice(first, std::min(first + 64, n)), schedule_, {.prediction = c_.model.scheduler.prediction_type, .dtype = c_.model.dtype});
      const std::vector<double> some = a.theta_w.to_vector<double>();
      errors.insert(errors.end(), some.begin(), some.end());
    }
    return errors;
  }

  void draw_fresh(const Denoiser& theta, const std::vector<Pair*>& pairs, Index k) const {
    std::vector<std::string> captions;
    std::vector<Index> ids;
    for (const Pair* p : pairs) ids.push_back(p->sample), captions.push_back(c_.data.captions[std::size_t(p->sample)]);
    const Tensor z = self_sample(theta, how_, states_.rows(captions), states_.rows(std::vector<std::string>(captions.size())), ids, rng_ / "fresh" / k, [](Index) { stop_if_interrupted(); });
    for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i]->fresh = slice(z, 0, Index(i), Index(i) + 1);
  }

  // a_rw - a_tw: positive, s = +1, where the policy does better on the winner.
  std::vector<double> gains_of(const Pair& p) const {
    std::vector<double> gains = errors_.at({p.reference, p.sample});
    const std::vector<double>& theta = errors_.at({p.k, p.sample});
    for (std::size_t i = 0; i < gains.size(); ++i) gains[i] -= theta[i];
    return gains;
  }

  void add_signs(io::Json& json) const {
    std::map<Index, Counts> by_phase;
    std::map<Index, std::set<Index>> references;
    std::vector<Counts> bins(10);
    for (const Pair& p : pairs_) {
      const std::vector<double> gains = gains_of(p);
      references[p.k].insert(p.reference);
      for (std::size_t i = 0; i < gains.size(); ++i) {
        by_phase[p.k].add(gains[i]);
        bins[std::size_t(std::min<Index>(9, 10 * times_.at(p.sample)[i] / schedule_.size()))].add(gains[i]);
      }
    }
    json["phases"] = io::Json::array(), json["bins"] = io::Json::array();
    for (const auto& [k, counts] : by_phase) {
      io::Json row = {{"phase", k}, {"theta", k}, {"reference", references[k].size() == 1 ? io::Json(*references[k].begin()) : io::Json(references[k])}, {"pairs", Index(counts.n) / o_.draws}};
      row.update(counts.shares());
      json["phases"].push_back(row);
    }
    for (Index b = 0; b < 10; ++b) {
      io::Json row = {{"from", b * schedule_.size() / 10}, {"to", (b + 1) * schedule_.size() / 10}, {"n", Index(bins[std::size_t(b)].n)}};
      row.update(bins[std::size_t(b)].shares());
      json["bins"].push_back(row);
    }
  }

  // Style probability + caption cosine, of decoded latents.
  std::vector<double> rewards(const LoadedJudge& judge, Index style, bool fresh) const {
    std::vector<double> all;
    for (const Pair& p : pairs_) {
      const Tensor x = c_.model.vae.model->decode(cast(from_model(fresh ? p.fresh : p.self, c_.model.vae.config), c_.model.dtype));
      const Tensor seen = io::to_tensor(io::to_images(cast(x, DType::f32)), c_.device);
      const double cosine = sum(judge.net.embed(judge.net.features(seen)) * judge.captions(std::vector<std::string>{c_.data.captions[std::size_t(p.sample)]})).item<float>();
      all.push_back(softmax(judge.net.style(seen)).to_vector<float>()[std::size_t(style)] + cosine);
    }
    return all;
  }

  std::string preferred() const {
    if (!o_.prefer.empty()) return o_.prefer;
    std::set<std::string> styles;
    for (const io::Row& row : c_.data.rows) styles.insert(std::string(row.field("style")));
    if (styles.size() != 1 || styles.begin()->empty())
      fail({.op = "gate", .what = "the winners are not of one style", .expected = "--prefer STYLE", .got = std::to_string(styles.size()) + " styles"}, Site{});
    return *styles.begin();
  }

  void add_verdict(io::Json& json, const std::vector<std::vector<double>>& gains) const {
    const LoadedJudge judge = load_judge(o_.judge, c_.device);
    const Index style = judge.style_named(preferred());
    const std::vector<double> self = rewards(judge, style, false), fresh = rewards(judge, style, true);
    std::vector<double> better, told, both, ones(pairs_.size(), 1), told_mean, both_mean;  // told: share of draws with s = -1
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      const double n = double(gains[i].size()), minus = double(std::count_if(gains[i].begin(), gains[i].end(), [](double g) { return g < 0; })) / n;
      double sum = 0;
      for (const double g : gains[i]) sum += g;
      better.push_back(self[i] > fresh[i]);
      told.push_back(minus), both.push_back(minus * better.back());
      told_mean.push_back(sum < 0), both_mean.push_back(told_mean.back() * better.back());
    }
    const auto add = [&](const char* name, const std::vector<double>& a, const std::vector<double>& b) {
      const Ratio r = ratio(a, b, rng_ / name);
      json[name] = {{"value", std::isnan(r.value) ? io::Json() : io::Json(r.value)}, {"low", std::isnan(r.value) ? io::Json() : io::Json(r.low)},
                    {"high", std::isnan(r.value) ? io::Json() : io::Json(r.high)}, {"of", r.of}, {"pairs", r.n}};
    };
    json["prefer"] = preferred(), json["judge"] = judge.hash;
    add("better", better, ones);
    add("precision", both, told);
    add("recall", both, better);
    add("mean_precision", both_mean, told_mean);
    add("mean_recall", both_mean, better);
  }

  const GateOptions& o_;
  const TrainContext& c_;
  const Objective& objective_;
  Index phases_;
  NoiseSchedule schedule_;
  CaptionStates states_;
  std::shared_ptr<TensorStore> winners_;
  ReplayPool pool_;
  SelfSampling how_;
  Rng rng_;
  std::vector<Pair> pairs_;
  std::map<Index, Index> first_of_phase_;
  std::map<std::pair<Index, Index>, std::shared_ptr<TensorStore>> stores_;          // phase, reference
  std::map<Index, std::vector<Index>> times_;                                       // of each sample's draws
  std::map<std::pair<Index, Index>, std::vector<double>> errors_;                   // checkpoint, sample
};

}  // namespace

io::Json gate(const GateOptions& o) {
  if (o.draws < 2 || o.pairs < 1) fail({.op = "gate", .what = "nothing to look at", .expected = "two draws or more of a pair or more"}, Site{});
  FinishedRun run(o.run, o.threads, o.isa);
  const io::Json json = Diagnosis(o, run.context)();
  io::write_file(run.folder / "gate.json", json.dump(2) + "\n");
  return json;
}

void gate_and_tell(const GateOptions& o) {
  const io::Json json = gate(o);
  if (o.json) {
    fmt::print("{}\n", json.dump(2));
    return;
  }
  for (const io::Json& p : json["phases"])
    fmt::print("phase {}  theta C[{}]  ref C[{}]   s = +1 {:.2f}   0 {:.2f}   -1 {:.2f}   ({} pairs)\n", p["phase"].get<Index>(), p["theta"].get<Index>(), p["reference"].dump(),
               p["plus"].get<double>(), p["zero"].get<double>(), p["minus"].get<double>(), p["pairs"].get<Index>());
  for (const io::Json& a : json["agreement"])
    fmt::print("one draw agrees with the mean of {:>3}: {:.3f}  [{:.3f}, {:.3f}]\n", a["n"].get<Index>(), a["share"].get<double>(), a["low"].get<double>(), a["high"].get<double>());
  for (const char* name : {"better", "precision", "recall", "mean_precision", "mean_recall"})
    if (json.contains(name) && !json[name]["value"].is_null())
      fmt::print("{:<15} {:.3f}  [{:.3f}, {:.3f}]\n", name, json[name]["value"].get<double>(), json[name]["low"].get<double>(), json[name]["high"].get<double>());
}

}  // namespace sspo::cli
