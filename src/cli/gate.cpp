#include "cli/gate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "cli/device.hpp"
#include "cli/gate_verdict.hpp"
#include "cli/opened_run.hpp"
#include "cli/progress.hpp"
#include "cli/signals.hpp"
#include "cli/train_policy.hpp"
#include "cli/train_samples.hpp"
#include "sspo/eval/gate.hpp"
#include "sspo/train/preference.hpp"

namespace sspo::cli {
namespace {

// A winner and its self-sample, as phase k has them.
struct Pair {
  Index k, reference, sample;  // sample: of the data set
  Tensor self = {};            // x_0^r [1, h, w, C]; undefined: nobody judges it
  Tensor fresh = {};           // of theta = C[k], for the same prompt
};

const Objective& objective_with_a_reference(const TrainContext& c) {
  const Objective& o = objective_named(c.recipe.text("objective"));
  if (o.second == SecondImage::none) fail({.op = io::printable(c.run.path(), 4096), .what = "no gate: " + std::string(o.name) + " has no reference"}, Site{});
  return o;
}

void add_shares(io::Json& row, const SignCount& s) {
  const auto share = [&](Index part) { return s.n == 0 ? io::Json() : io::Json(double(part) / double(s.n)); };
  row["plus"] = share(s.plus), row["zero"] = share(s.n - s.plus - s.minus), row["minus"] = share(s.minus);
}

io::Json agreement_json(std::span<const std::vector<double>> gains, const Rng& rng) {
  io::Json json = io::Json::array();
  for (const Agreement& a : sign_agreement(gains, rng)) json.push_back({{"n", a.n}, {"share", a.share.mean}, {"low", a.share.low}, {"high", a.share.high}});
  return json;
}

class Diagnosis {
 public:
  Diagnosis(const GateOptions& o, const OpenedRun& run)
      : o_(o), c_(run.context), finished_(run.finished), objective_(objective_with_a_reference(c_)), phases_(c_.recipe.integer("preference.phases")), verdicts_(o, c_), schedule_(c_.model.scheduler),
        states_(c_), winners_(latent_cache(c_, false)), pool_(c_.run / "pool"), how_(self_sampling_of(c_)), rng_(Rng(o.seed) / "gate") {
    if (!verdicts_.none() && objective_.second != SecondImage::self_sampled)
      fail({.op = io::printable(c_.run.path(), 4096), .what = "there is nothing to judge: the second pictures of " + std::string(objective_.name) + " are no self-samples", .hint = "without --judge and --scorers: signs and agreement alone"}, Site{});
    const Index last = finished_ ? phases_ : std::max<Index>(pool_.size() - 1, 0);  // C[k] is kept when phase k + 1 begins
    for (Index k = 1; k <= last; ++k) add_phase(k);
    if (pairs_.empty())
      fail({.op = io::printable(c_.run.path(), 4096), .what = "no phase is left to look at", .hint = finished_ ? "preference.keep_phases = true keeps the checkpoint of each" : "sspo train --resume auto"}, Site{});
    if (!finished_) c_.say(fmt::format("the run is not finished: {} of its {} phases are", last, phases_));
    if (verdicts_.none()) c_.say("no --judge and no --scorers: signs and agreement alone");
    draw_times();
  }

  io::Json operator()() {
    look();
    io::Json json = {{"run", io::printable(c_.run.path(), 4096)}, {"finished", finished_}, {"objective", objective_.name}, {"draws", o_.draws}, {"pairs", pairs_.size()}, {"seed", o_.seed}};
    std::vector<std::vector<double>> gains;
    for (const Pair& p : pairs_) gains.push_back(gains_of(p));
    add_signs(json, gains);
    json["agreement"] = agreement_json(gains, rng_ / "agreement");
    if (!verdicts_.none()) json["verdicts"] = verdicts_(seen(), gains, rng_);
    return json;
  }

 private:
  // Those of the phase's pairs whose prompts come first in one order for all phases: what a checkpoint says of a winner serves several.
  void add_phase(Index k) {
    if (!there(k)) return c_.say(fmt::format("phase {}: checkpoint {} was not kept", k, k));
    const Phase phase(c_.recipe, c_.data.size(), k);
    const Index enough = Index(pairs_.size()) + o_.pairs;
    std::map<std::uint64_t, std::pair<Index, std::size_t>> order;  // reference, row
    for (const auto& [reference, places] : phase.sampled())
      for (std::size_t row = 0; row < places.size(); ++row) order.emplace((rng_ / "pairs" / phase.prompts()[std::size_t(places[row])]).bits(), std::pair{reference, row});
    for (const auto& [key, at] : order) {
      const auto [reference, row] = at;
      if (Index(pairs_.size()) == enough) break;
      if (!there(reference)) continue;
      Pair p{k, reference, phase.prompts()[std::size_t(phase.sampled().at(reference)[row])]};
      if (!verdicts_.none()) {
        auto& store = stores_[{k, reference}];
        if (!store) store = self_sample_store(c_, how_, phase, k, reference, pool_.open(reference));
        p.self = store->rows({Index(row)});
      }
      pairs_.push_back(p);
    }
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

  void add_signs(io::Json& json, const std::vector<std::vector<double>>& gains) const {
    std::vector<SignCount> bins(10);
    json["phases"] = io::Json::array(), json["bins"] = io::Json::array(), json["cells"] = io::Json::array();
    const auto tenth = [&](Index b) { return io::Json{{"from", (b * schedule_.size() + 9) / 10}, {"to", ((b + 1) * schedule_.size() + 9) / 10}}; };
    for (std::size_t first = 0, last = 0; first < pairs_.size(); first = last) {  // pairs lie by phase
      const Index k = pairs_[first].k;
      std::set<Index> references;
      std::vector<std::vector<Index>> times;
      for (; last < pairs_.size() && pairs_[last].k == k; ++last) references.insert(pairs_[last].reference), times.push_back(times_.at(pairs_[last].sample));
      const std::span own = std::span(gains).subspan(first, last - first);
      SignCount all;
      const std::vector<SignCount> tenths = signs_by_tenth(own, times, schedule_.size());
      for (std::size_t b = 0; b < 10; ++b) {
        all += tenths[b], bins[b] += tenths[b];
        io::Json cell = {{"phase", k}};
        cell.update(tenth(Index(b))), cell["n"] = tenths[b].n;
        add_shares(cell, tenths[b]);
        json["cells"].push_back(cell);
      }
      io::Json row = {{"phase", k}, {"theta", k}, {"reference", references.size() == 1 ? io::Json(*references.begin()) : io::Json(references)}, {"pairs", own.size()}};
      add_shares(row, all);
      row["agreement"] = agreement_json(own, rng_ / "agreement" / k);
      json["phases"].push_back(row);
    }
    for (std::size_t b = 0; b < 10; ++b) {
      io::Json row = tenth(Index(b));
      row["n"] = bins[b].n;
      add_shares(row, bins[b]);
      json["bins"].push_back(row);
    }
  }

  // Decoded, in 8 bits: all at once, for scorers come one after the other.
  std::vector<SeenPair> seen() const {
    const auto picture = [&](const Tensor& z) { return io::to_images(cast(c_.model.vae.model->decode(cast(from_model(z, c_.model.vae.config), c_.model.dtype)), DType::f32)).at(0); };
    Progress progress("decoding the samples", Index(pairs_.size()));
    std::vector<SeenPair> all;
    for (const Pair& p : pairs_) {
      stop_if_interrupted();
      all.push_back({picture(p.self), picture(p.fresh), c_.data.captions[std::size_t(p.sample)]});
      progress.update(Index(all.size()), "");
    }
    return all;
  }

  const GateOptions& o_;
  const TrainContext& c_;
  bool finished_;
  const Objective& objective_;
  Index phases_;
  GateVerdicts verdicts_;
  NoiseSchedule schedule_;
  CaptionStates states_;
  std::shared_ptr<TensorStore> winners_;
  ReplayPool pool_;
  SelfSampling how_;
  Rng rng_;
  std::vector<Pair> pairs_;
  std::map<std::pair<Index, Index>, std::shared_ptr<TensorStore>> stores_;          // phase, reference
  std::map<Index, std::vector<Index>> times_;                                       // of each sample's draws
  std::map<std::pair<Index, Index>, std::vector<double>> errors_;                   // checkpoint, sample
};

}  // namespace

io::Json gate(const GateOptions& o) {
  if (o.draws < 2 || o.pairs < 1) fail({.op = "gate", .what = "nothing to look at", .expected = "two draws or more of a pair or more"}, Site{});
  OpenedRun run(o.run, device_of(o.device), Ended::need_not_have);
  const io::Json json = Diagnosis(o, run)();
  io::write_file(run.folder / "gate.json", json.dump(2) + "\n");
  return json;
}

}  // namespace sspo::cli
