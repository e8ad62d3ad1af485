#include "sspo/train/preference.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sspo/grad/backward.hpp"
#include "sspo/ops/loss.hpp"
#include "sspo/ops/movement.hpp"

namespace sspo {
namespace {

Tensor rows(const Tensor& x, Index begin, Index end) { return x.defined() ? slice(x, 0, begin, end) : x; }
Tensor both(const Tensor& w, const Tensor& r) { return r.defined() ? cat({w, r}, 0) : w; }
Tensor picked(const Tensor& x, const std::vector<Index>& order) {
  return x.defined() ? index_select(x, Tensor::from(std::vector<std::int64_t>(order.begin(), order.end()), {Index(order.size())}, x.device()), 0) : x;
}
Tensor with_rows(const Tensor& all, const Tensor& more) { return !all.defined() ? more : more.defined() ? cat({all, more}, 0) : all; }

void check_batch(const PairBatch& b, Site at) {
  const auto wrong = [&](const char* what, const std::string& expected, const std::string& got) {
    fail({.op = "pair_errors", .what = what, .expected = expected, .got = got}, at);
  };
  if (!b.latents_w.defined() || b.latents_w.rank() < 2 || b.size() < 1)
    wrong("no winners", "latents_w [B, ...]", b.latents_w.defined() ? b.latents_w.str() : "none");
  const std::pair<const char*, const Tensor*> parts[] = {{"latents_r", &b.latents_r}, {"noise_w", &b.noise_w}, {"noise_r", &b.noise_r}};
  for (const auto& [name, x] : parts) {
    if (!x->defined() && x != &b.noise_w) continue;
    if (!x->defined() || !(x->shape() == b.latents_w.shape()) || x->dtype() != b.latents_w.dtype())
      wrong("the parts of the batch do not fit", std::string(name) + " as latents_w, " + b.latents_w.str(), x->defined() ? x->str() : "none");
  }
  if (b.noise_r.defined() && !b.latents_r.defined()) wrong("noise for a second image that is not there", "latents_r", "none");
  if (Index(b.timesteps.size()) != b.size())
    wrong("the parts of the batch do not fit", std::to_string(b.size()) + " timesteps", std::to_string(b.timesteps.size()));
  if (!b.text.defined() || b.text.rank() < 1 || b.text.dim(0) != b.size())
    wrong("the parts of the batch do not fit", "text [" + std::to_string(b.size()) + ", N, D]", b.text.defined() ? b.text.str() : "none");
}

// What the model should have told, at x_t = sqrt(ᾱ) x_0 + sqrt(1 - ᾱ) ε.
Tensor target_of(Prediction prediction, const NoiseSchedule& schedule, const Tensor& x_0, const Tensor& eps, const std::vector<Index>& t, Site at) {
  switch (prediction) {
    case Prediction::epsilon: return eps;
    case Prediction::v_prediction: return schedule.velocity(x_0, eps, t, at);
    case Prediction::sample: return x_0;
  }
  fail({.op = "pair_errors", .what = "unknown prediction", .kind = ErrorKind::internal}, at);
}

PairErrors detached(const PairErrors& a) { return {detach(a.theta_w), detach(a.ref_w), detach(a.theta_r), detach(a.ref_r)}; }

PairErrors joined(const PairErrors& all, const PairErrors& more) {
  return {with_rows(all.theta_w, more.theta_w), with_rows(all.ref_w, more.ref_w), with_rows(all.theta_r, more.theta_r), with_rows(all.ref_r, more.ref_r)};
}

PairTerms joined(const PairTerms& all, const PairTerms& more) {
  const auto join = [](const Tensor& a, const Tensor& b) { return with_rows(a, detach(b)); };
  return {.loss = {}, .loss_i = join(all.loss_i, more.loss_i), .z = join(all.z, more.z), .s = join(all.s, more.s), .g = join(all.g, more.g),
          .d_w = join(all.d_w, more.d_w), .d_r = join(all.d_r, more.d_r)};
}

PairErrors picked(const PairErrors& a, const std::vector<Index>& order) {
  return {picked(a.theta_w, order), picked(a.ref_w, order), picked(a.theta_r, order), picked(a.ref_r, order)};
}

PairTerms picked(const PairTerms& t, const std::vector<Index>& order) {
  return {.loss = {}, .loss_i = picked(t.loss_i, order), .z = picked(t.z, order), .s = picked(t.s, order), .g = picked(t.g, order),
          .d_w = picked(t.d_w, order), .d_r = picked(t.d_r, order)};
}

std::string text_of(double x) { return std::isnan(x) ? "NaN" : std::to_string(x); }  // a NaN has a sign that says nothing
std::string value_at(const Tensor& x, Index i) { return x.defined() ? text_of(cast(x, DType::f64).item<double>(i)) : "none"; }

void require_finite(const StepReport& r, const PairBatch& b, Site at) {
  const auto stop = [&](const std::string& what, const std::string& got) {
    fail({.op = "preference_step", .what = what, .expected = "finite numbers; no parameter has been changed", .got = got,
          .hint = "a smaller learning rate or kappa, or a batch without this sample", .kind = ErrorKind::non_finite}, at);
  };
  const std::vector<double> loss = r.terms.loss_i.to_vector<double>();
  for (std::size_t i = 0; i < loss.size(); ++i) {
    if (std::isfinite(loss[i])) continue;
    const Index k = Index(i);
    stop("the loss of sample " + std::to_string(i) + " is " + text_of(loss[i]),
         "timestep " + std::to_string(b.timesteps[i]) + ", a_tw " + value_at(r.errors.theta_w, k) + ", a_rw " + value_at(r.errors.ref_w, k) + ", a_tr " +
             value_at(r.errors.theta_r, k) + ", a_rr " + value_at(r.errors.ref_r, k) + ", s " + value_at(r.terms.s, k));
  }
  if (!std::isfinite(r.grad_norm)) stop("the norm of the gradient is " + text_of(r.grad_norm), "loss " + value_at(r.terms.loss, 0));
}

}  // namespace

PairBatch PairBatch::slice(Index begin, Index end) const {
  PairBatch part{rows(latents_w, begin, end), rows(latents_r, begin, end), rows(noise_w, begin, end), rows(noise_r, begin, end), {}, rows(text, begin, end)};
  if (!timesteps.empty()) part.timesteps.assign(timesteps.begin() + begin, timesteps.begin() + end);
  return part;
}

PairBatch PairBatch::take(const std::vector<Index>& samples) const {
  PairBatch part{picked(latents_w, samples), picked(latents_r, samples), picked(noise_w, samples), picked(noise_r, samples), {}, picked(text, samples)};
  if (!timesteps.empty())
    for (const Index i : samples) part.timesteps.push_back(timesteps[std::size_t(i)]);
  return part;
}

PairBatch draw_noise(PairBatch batch, Index steps, const Rng& rng, const NoiseOptions& options) {
  const Tensor& x = batch.latents_w;
  batch.timesteps = randint(rng / "time", {batch.size()}, 0, steps).to_vector<std::int64_t>();
  batch.noise_w = normal(rng / "noise", x.shape(), x.device(), x.dtype());
  batch.noise_r = options.own_noise_r && batch.latents_r.defined() ? normal(rng / "noise_r", x.shape(), x.device(), x.dtype()) : Tensor{};
  return batch;
}

PairErrors pair_errors(const Denoiser& policy, const Denoiser& reference, const PairBatch& b, const NoiseSchedule& schedule, const PairOptions& o, Site at) {
  check_batch(b, at);
  const bool pairs = b.latents_r.defined();
  const Index B = b.size();
  std::vector<Index> times = b.timesteps;
  if (pairs) times.insert(times.end(), b.timesteps.begin(), b.timesteps.end());
  const Tensor x_0 = both(b.latents_w, b.latents_r);                                        // [2B, ...]
  const Tensor eps = both(b.noise_w, pairs && b.noise_r.defined() ? b.noise_r : pairs ? b.noise_w : Tensor{});
  const Tensor x_t = cast(schedule.add_noise(x_0, eps, times, at), o.dtype);
  const Tensor t = Tensor::from(std::vector<float>(times.begin(), times.end()), {Index(times.size())}, x_0.device());
  const Tensor text = cast(both(b.text, pairs ? b.text : Tensor{}), o.dtype);               // [2B, N, D]
  const Tensor target = cast(target_of(o.prediction, schedule, x_0, eps, times, at), DType::f64);

  // kappa magnifies differences of these means: they are taken in f64.
  const auto errors = [&](const Denoiser& model) { return mse_per_sample(cast(model(x_t, t, text), DType::f64), target, at); };  // [2B]
  const Tensor theta = errors(policy), ref = reference ? detach(errors(reference)) : Tensor{};
  const auto winners = [&](const Tensor& a) { return pairs ? rows(a, 0, B) : a; };
  const auto seconds = [&](const Tensor& a) { return pairs ? rows(a, B, 2 * B) : Tensor{}; };
  return {winners(theta), winners(ref), seconds(theta), seconds(ref)};
}

PairGradients pair_gradients(const Denoiser& policy, const Denoiser& reference, const PairBatch& batch, const NoiseSchedule& schedule,
                             const Objective& objective, const ObjectiveOptions& weights, const GradientOptions& o, Site at) {
  check_batch(batch, at);
  return pair_gradients(policy, [&](Index) { return reference; }, std::vector<Index>(std::size_t(batch.size()), 0), batch, schedule, objective, weights, o, at);
}

PairGradients pair_gradients(const Denoiser& policy, const References& reference, const std::vector<Index>& which, const PairBatch& batch,
                             const NoiseSchedule& schedule, const Objective& objective, const ObjectiveOptions& weights, const GradientOptions& o, Site at) {
  check_batch(batch, at);
  if (o.micro_batch < 0) fail({.op = "pair_gradients", .what = "no size of a batch", .expected = "micro_batch >= 0", .got = std::to_string(o.micro_batch)}, at);
  const Index B = batch.size(), micro = o.micro_batch ? std::min(o.micro_batch, B) : B;
  if (Index(which.size()) != B) fail({.op = "pair_gradients", .what = "not a reference a sample", .expected = std::to_string(B), .got = std::to_string(which.size())}, at);
  const auto of = [&](Index i) { return which[std::size_t(i)]; };
  std::vector<Index> order(which.size()), back(which.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return of(a) < of(b); });
  const bool as_it_is = std::is_sorted(order.begin(), order.end());
  const PairBatch sorted = as_it_is ? batch : batch.take(order);

  PairGradients all;
  Denoiser ref;
  for (Index begin = 0, end; begin < B; begin = end) {
    const Index number = of(order[std::size_t(begin)]);
    if (begin == 0 || number != of(order[std::size_t(begin - 1)])) {
      ref = {};  // the last one may be the only one that holds it
      ref = reference(number);
    }
    for (end = begin + 1; end < std::min(begin + micro, B) && of(order[std::size_t(end)]) == number;) ++end;
    const PairErrors a = pair_errors(policy, ref, sorted.slice(begin, end), schedule, o, at);
    const PairTerms terms = objective.loss(a, weights, at);
    backward(sum(terms.loss_i) * (1.0 / double(B)), all.gradients, {}, at);  // each sample's share of the mean over B
    all.errors = joined(all.errors, detached(a));
    all.terms = joined(all.terms, terms);
  }
  if (!as_it_is) {
    for (std::size_t i = 0; i < order.size(); ++i) back[std::size_t(order[i])] = Index(i);
    all.errors = picked(all.errors, back), all.terms = picked(all.terms, back);
  }
  all.terms.loss = mean(all.terms.loss_i);
  return all;
}

StepReport preference_step(Optimizer& optimizer, const Denoiser& policy, const Denoiser& reference, const PairBatch& batch, const NoiseSchedule& schedule,
                           const Objective& objective, const StepOptions& o, Site at) {
  if (!(o.clip_norm >= 0)) fail({.op = "preference_step", .what = "no bound of a norm", .expected = "clip_norm >= 0", .got = std::to_string(o.clip_norm)}, at);
  StepReport report{pair_gradients(policy, reference, batch, schedule, objective, o.weights, o, at), 0};
  report.grad_norm = global_norm(report.gradients);
  require_finite(report, batch, at);
  const double scale = o.clip_norm > 0 && report.grad_norm > o.clip_norm ? o.clip_norm / report.grad_norm : 1;
  optimizer.step(ClippedGradients{report.gradients, report.grad_norm, scale}, o.lr, at);
  return report;
}

}  // namespace sspo
