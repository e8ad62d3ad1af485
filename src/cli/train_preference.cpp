// Preference training (spec §3): phases of self-sampling and updates, for every objective of the table in train/objective.hpp.
#include <cmath>
#include <functional>

#include "cli/progress.hpp"
#include "cli/signals.hpp"
#include "cli/train_references.hpp"
#include "cli/train_samples.hpp"
#include "sspo/train/preference.hpp"

namespace sspo::cli {
namespace {

double mean_of(const Tensor& x) { return mean(cast(x, DType::f64)).item<double>(); }

class Preference {
 public:
  explicit Preference(const TrainContext& c)
      : c_(c), r_(c.recipe), objective_(objective_named(r_.text("objective"))),
        policy_(reference_policy_of(r_)), schedule_(c.model.scheduler), batch_(r_.integer("train.batch")), updates_(r_.integer("preference.updates")), states_(c),
        winners_(latent_cache(c, false)) {
    if (objective_.second == SecondImage::annotated_loser) {
      if (!c.data.pairs) r_.wrong("objective", std::string(objective_.name) + " needs pairs", "loser_file_name in each row of the data set", "rows without");
      losers_ = latent_cache(c, true);
    }
    if (needs_reference() || r_.boolean("preference.keep_phases")) pool_.emplace(c.run / "pool");
    const double kappa = r_.has("preference.kappa") ? r_.number("preference.kappa") : r_.number("preference.beta") / 2;
    weights_ = {.kappa = kappa, .eta = r_.has("preference.eta") ? r_.number("preference.eta") : kappa};
    how_ = self_sampling_of(c);
  }

  Index steps() const { return r_.integer("preference.phases") * updates_; }
  Index updates() const { return updates_; }
  Index batch() const { return batch_; }

  bool begin_phase(Index k, Index done) {
    phase_.emplace(r_, c_.data.size(), k);
    const auto save = [&](const std::string& dir) { save_policy(c_.model, c_.model.trained, dir); };
    if (pool_ && done == 0) pool_->push(k - 1, save, {{"phase", std::to_string(k - 1)}});           // C[k-1] <- theta
    if (!needs_reference()) return true;
    references_.emplace(c_, *pool_, r_.integer("preference.loaded"));
    samples_.clear();
    std::string drawn;                                                                              // ref ~ policy over 0 ... k-1
    for (const auto& [reference, places] : phase_->sampled()) references_->folder(reference), drawn += (drawn.empty() ? "" : ", ") + std::to_string(reference);
    if (objective_.second == SecondImage::self_sampled && !self_sample_phase(k)) return false;
    if (!r_.boolean("preference.keep_phases")) pool_->prune(policy_, k);
    c_.say("phase " + std::to_string(k) + (phase_->sampled().size() == 1 ? ": reference is checkpoint " : ": references are checkpoints ") + drawn);
    return true;
  }

  StepResult gradients(Index step) {
    const PairBatch batch = batch_at(step);
    ObjectiveOptions weights = weights_;
    if (objective_.gated)
      weights.gate = gate_named(r_.text("preference.gate"), r_.text("preference.tie") == "plus" ? gates::Tie::plus : gates::Tie::zero, c_.rng() / "gate" / step);
    GradientOptions o;
    o.micro_batch = r_.integer("train.micro_batch"), o.prediction = c_.model.scheduler.prediction_type, o.dtype = c_.model.dtype;
    const Denoiser theta = std::cref(*c_.model.unet.model);
    const References ref = [&](Index i) { return needs_reference() ? (*references_)(i) : Denoiser(); };
    const PairGradients g = pair_gradients(theta, ref, references_of(step), batch, schedule_, objective_, weights, o);
    last_ = g.terms;
    return {g.gradients, g.terms.loss.item<double>(), metrics(g, batch, step)};
  }

  std::string describe(Index step) const {
    const PairBatch batch = batch_at(step);
    io::Json json = {{"timesteps", batch.timesteps}, {"references", references_of(step)}, {"samples", io::Json::array()}};
    for (const Pick& p : picks(step)) json["samples"].push_back({{"sample", sample_of(p)}, {"caption", io::printable(c_.data.captions[std::size_t(sample_of(p))])}});
    const std::pair<const char*, const Tensor*> terms[] = {{"loss_i", &last_.loss_i}, {"z", &last_.z}, {"s", &last_.s}, {"d_w", &last_.d_w}, {"d_r", &last_.d_r}};
    for (const auto& [name, x] : terms) {
      if (!x->defined()) continue;
      json[name] = io::Json::array();
      for (const double v : x->to_vector<double>()) json[name].push_back(std::isfinite(v) ? io::Json(v) : io::Json(std::isnan(v) ? "NaN" : v > 0 ? "inf" : "-inf"));
    }
    return json.dump();
  }

 private:
  bool needs_reference() const { return objective_.second != SecondImage::none; }

  Index sample_of(const Pick& p) const { return phase_->prompts()[std::size_t(p.sample)]; }
  std::vector<Pick> picks(Index step) const { return phase_->picks(step % updates_); }
  std::vector<Index> references_of(Index step) const { return phase_->references(step % updates_); }

  // x_0^r ~ p_ref(. | c) for each prompt and each reference that it meets; those that an earlier process made are there.
  bool self_sample_phase(Index k) {
    for (const auto& [reference, places] : phase_->sampled())
      if (!self_sample_from(reference, places, k)) return false;
    return true;
  }
  bool self_sample_from(Index reference, const std::vector<Index>& places, Index k) {
    const Rng rng = c_.rng() / "sample" / k;
    const auto prompt = [&](Index row) { return phase_->prompts()[std::size_t(places[std::size_t(row)])]; };
    const Index M = Index(places.size());
    const auto store = self_sample_store(c_, how_, *phase_, k, reference, references_->folder(reference));
    samples_[reference] = {store, places};
    const Index missing = store->missing();
    if (missing == 0) return true;
    Progress progress("self-sampling of phase " + std::to_string(k) + " from checkpoint " + std::to_string(reference), M, M - missing);
    const Denoiser ref = (*references_)(reference);
    const auto make = [&](Index first, Index last) {
      std::vector<std::string> captions;
      std::vector<Index> ids;
      for (Index i = first; i < last; ++i) ids.push_back(prompt(i)), captions.push_back(c_.data.captions[std::size_t(ids.back())]);
      return self_sample(ref, how_, states_.rows(captions), states_.rows(std::vector<std::string>(captions.size())), ids, rng, [&](Index) { c_.watchdog.beat("self-sampling"); });
    };
    return store->fill(make, [&](Index done) {
      if (done > 0) progress.update(done, "");
      return signal_received() == 0;
    }, c_.say);
  }
  // The self-sample of a place in prompts(), by a reference, [1, h, w, C].
  Tensor self_sample_of(Index place, Index reference) const {
    const SelfSamples& s = samples_.at(reference);
    return s.store->rows({Index(std::lower_bound(s.places.begin(), s.places.end(), place) - s.places.begin())});
  }

  PairBatch batch_at(Index step) const {
    std::vector<Index> samples;
    std::vector<std::string> captions;
    Tensors second;
    const std::vector<Pick> all = picks(step);
    const std::vector<Index> references = references_of(step);
    for (std::size_t i = 0; i < all.size(); ++i) {
      samples.push_back(sample_of(all[i]));
      captions.push_back(all[i].drop_caption ? "" : c_.data.captions[std::size_t(samples.back())]);
      if (!samples_.empty()) second.push_back(self_sample_of(all[i].sample, references[i]));
    }
    const Rng rng = c_.rng() / "step" / step;
    PairBatch b{.latents_w = latents_of(*winners_, samples, c_.model.vae.config, rng / "posterior"), .text = states_.rows(captions)};
    if (losers_) b.latents_r = latents_of(*losers_, samples, c_.model.vae.config, rng / "posterior_l");
    if (!samples_.empty()) b.latents_r = cat(second, 0);
    return draw_noise(std::move(b), schedule_.size(), rng, {.own_noise_r = r_.boolean("preference.own_noise")});
  }

  // spec §3.6
  std::vector<Metric> metrics(const PairGradients& g, const PairBatch& batch, Index step) const {
    std::vector<Metric> m;
    const std::pair<const char*, const Tensor*> means[] = {{"z", &g.terms.z}, {"g", &g.terms.g}, {"d_w", &g.terms.d_w}, {"d_r", &g.terms.d_r},
                                                           {"a_tw", &g.errors.theta_w}, {"a_rw", &g.errors.ref_w}, {"a_tr", &g.errors.theta_r}, {"a_rr", &g.errors.ref_r}};
    for (const auto& [name, x] : means)
      if (x->defined()) m.push_back({name, mean_of(*x)});
    if (!needs_reference()) return m;
    const std::vector<double> s = cast(g.terms.s, DType::f64).to_vector<double>(), z = cast(g.terms.z, DType::f64).to_vector<double>();
    double plus = 0, minus = 0, right = 0, bins[10][3] = {};
    for (std::size_t i = 0; i < s.size(); ++i) {
      plus += s[i] > 0, minus += s[i] < 0, right += z[i] > 0;
      double* bin = bins[std::min<Index>(9, 10 * batch.timesteps[i] / schedule_.size())];
      ++bin[0], bin[1] += s[i] > 0, bin[2] += s[i] < 0;
    }
    const double n = double(s.size());
    m.insert(m.end(), {{"s_plus", plus / n}, {"s_zero", (n - plus - minus) / n}, {"s_minus", minus / n}, {"accuracy", right / n}});
    std::map<Index, double> drawn;
    for (const Index i : references_of(step)) drawn[i] += 1 / n;
    if (drawn.size() == 1) m.push_back({"reference", double(drawn.begin()->first)});
    else
      for (const auto& [reference, share] : drawn) m.push_back({"ref_" + std::to_string(reference), share});
    for (int i = 0; i < 10; ++i) {  // by tenths of the timesteps; those without a sample are left out
      if (bins[i][0] == 0) continue;
      const std::string t = "t" + std::to_string(i);
      m.insert(m.end(), {{t + "_n", bins[i][0]}, {t + "_s_plus", bins[i][1] / bins[i][0]}, {t + "_s_minus", bins[i][2] / bins[i][0]}});
    }
    return m;
  }

  const TrainContext& c_;
  const Recipe& r_;
  const Objective& objective_;
  ReferencePolicy policy_;
  NoiseSchedule schedule_;
  Index batch_, updates_;
  CaptionStates states_;
  std::shared_ptr<TensorStore> winners_, losers_;
  std::optional<ReplayPool> pool_;
  ObjectiveOptions weights_;
  SelfSampling how_;
  // Of the phase.
  struct SelfSamples {
    std::shared_ptr<TensorStore> store;
    std::vector<Index> places;  // ascending: whose row is which
  };
  std::optional<Phase> phase_;
  std::optional<ReferenceModels> references_;
  std::map<Index, SelfSamples> samples_;  // by reference
  PairTerms last_;  // of the last step: for the report on numbers that are not finite
};

}  // namespace

Task preference_task(const TrainContext& c) {
  const auto p = std::make_shared<Preference>(c);
  return {.steps = p->steps(), .phase_steps = p->updates(), .batch = p->batch(), .begin_phase = [p](Index phase, Index done) { return p->begin_phase(phase, done); },
          .gradients = [p](Index step) { return p->gradients(step); }, .describe = [p](Index step) { return p->describe(step); }};
}

}  // namespace sspo::cli
