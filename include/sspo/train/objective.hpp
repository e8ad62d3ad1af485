// Objectives of preference training: pure functions of the four per-sample errors of a pair of images.
//   PairTerms terms = sspo_loss({a_tw, a_rw, a_tr, a_rr}, {.kappa = 1000});       log(terms.z);  backward(terms.loss);
//   const Objective& objective = objective_named("sspo");                         // for recipes and command lines
// Read sspo_loss first; the others are its neighbours. spec: Self-Sampling Preference Optimization, arXiv 2410.05255.
//
// One scale, kappa, on the differences of errors that are means over a sample's D elements. From other conventions:
//   Diffusion-DPO's code (mean errors, beta)         kappa = beta / 2           beta 2000: kappa 1000
//   squared norms, summed over D elements            kappa = beta D / 2
//   the paper's -beta T omega (...)                  kappa = beta T omega, of mean errors: T and omega are folded in
//   kappa of an implementation that sums             ours = D times theirs: its d_w and d_r are D times ours
// Errors should come in f64 (preference.hpp's do): kappa multiplies differences of nearly equal numbers.
#pragma once
#include <span>
#include <string_view>

#include "sspo/base/function.hpp"
#include "sspo/ops/create.hpp"
#include "sspo/ops/elementwise.hpp"
#include "sspo/ops/reduce.hpp"

namespace sspo {

// Mean squared errors [B] of the prediction: theta, the policy; ref, the frozen reference; _w on the winner, _r on the
// second image. What an objective does not use may be undefined.
struct PairErrors {
  Tensor theta_w, ref_w, theta_r, ref_r;  // a_tw, a_rw, a_tr, a_rr
};

struct PairTerms {
  Tensor loss;      // [] mean of loss_i
  Tensor loss_i;    // [B]
  Tensor z;         // [B] -kappa (d_w - s d_r): how much the policy has moved the wanted way; undefined without a reference
  Tensor s;         // [B] +1: the second image is a loser; -1: a second winner; 0: it does not count
  Tensor g;         // [B] d loss_i / d a_tw = kappa g (+ the weight of a_tw itself, where the formula holds it)
  Tensor d_w, d_r;  // [B] policy minus reference; undefined without a reference
};

// s from the gain a_rw - a_tw [B], which is positive where the policy already denoises the winner better.
using Gate = Function<Tensor(const Tensor& gain)>;
namespace gates {
enum class Tie { zero, plus };                                           // s where the gain is exactly 0
inline Tensor sign(const Tensor& gain) { return sspo::sign(gain); }      // the method's; a tie drops the second image
inline Tensor sign_plus(const Tensor& gain) {                            // the same, a tie counted as a gain
  return where(equal(gain, number_like(gain, 0)), ones_like(gain), sspo::sign(gain));
}
inline Tensor indicator(const Tensor& gain) { return maximum(sspo::sign(gain), number_like(gain, 0)); }  // 1 if gain > 0 else 0
inline Tensor none(const Tensor& gain) { return ones_like(gain); }       // ablation: always a loser, as in DPO and SPIN
// Control: the batch's own signs, dealt out at random. The share of each stays, what it says of the sample goes.
Gate random(const Rng& rng, Tie tie = Tie::zero);
}  // namespace gates
// "sign", "indicator", "none", "random" (the one that draws from rng).
Gate gate_named(std::string_view name, gates::Tie tie = gates::Tie::zero, const Rng& rng = Rng{0}, Site at = Site::current());
std::span<const std::string_view> gate_names();

struct ObjectiveOptions {
  double kappa = 1000;
  double eta = 1000;          // weight of a_tw, where the formula holds it: at kappa both terms pull alike
  Gate gate = gates::sign;    // sspo alone
};

namespace detail {
// Objectives that compare with a reference, or with a second image, cannot do without.
void require_errors(const char* objective, const PairErrors& a, Site at);
// d_w, d_r and z for a given s; loss_i and g are the objective's own.
inline PairTerms margin(const PairErrors& a, double kappa, Tensor s) {
  const Tensor d_w = a.theta_w - detach(a.ref_w);  // [B] policy minus reference, on the winner
  const Tensor d_r = a.theta_r - detach(a.ref_r);  // [B] the same, on the second image
  return {.loss = {}, .loss_i = {}, .z = -kappa * (d_w - s * d_r), .s = s, .g = {}, .d_w = d_w, .d_r = d_r};
}
inline Tensor always(double s, const PairErrors& a) { return full(a.theta_w.shape(), s, a.theta_w.dtype(), a.theta_w.device()); }
inline PairTerms with_loss(PairTerms terms, Tensor loss_i, const Tensor& g) {
  terms.loss = mean(loss_i);
  terms.loss_i = std::move(loss_i);
  terms.g = detach(g);
  return terms;
}
inline PairTerms logistic(PairTerms terms) { return with_loss(terms, softplus(-terms.z), sigmoid(-detach(terms.z))); }  // -log σ(z)
}  // namespace detail

// spec §2:   L = mean softplus(-z)   z = -κ (d_w - s d_r)   s = gate(a_rw - a_tw), no gradient through s, a_rw, a_rr
inline PairTerms sspo_loss(const PairErrors& a, const ObjectiveOptions& o = {}, Site at = Site::current()) {
  detail::require_errors("sspo", a, at);
  const Tensor s = detach(o.gate(detach(a.ref_w - a.theta_w)));  // +1: the second image is a loser; -1: a second winner
  return detail::logistic(detail::margin(a, o.kappa, s));
}

// spec §5:   softplus(κ (d_w - d_l))                                     Wallace et al. 2023 (Diffusion-DPO)
// The second image decides the name: an annotated loser, DPO; the last checkpoint's sample, SPIN; the first one's, DITTO.
inline PairTerms dpo_loss(const PairErrors& a, const ObjectiveOptions& o = {}, Site at = Site::current()) {
  detail::require_errors("dpo", a, at);
  return detail::logistic(detail::margin(a, o.kappa, detail::always(1, a)));
}

// spec §5:   softplus(κ (d_w - d_r)) + η a_tw: the plain rival of the gate
inline PairTerms dpo_sft_loss(const PairErrors& a, const ObjectiveOptions& o = {}, Site at = Site::current()) {
  PairTerms terms = dpo_loss(a, o, at);
  return detail::with_loss(terms, terms.loss_i + o.eta * a.theta_w, terms.g);
}

// spec §5:   a_tw. Reference and second image are there to be logged, if at all.
inline PairTerms sft_loss(const PairErrors& a, const ObjectiveOptions& o = {}, Site at = Site::current()) {
  if (!a.theta_w.defined()) detail::require_errors("sft", a, at);
  PairTerms terms;
  if (a.ref_w.defined() && a.theta_r.defined() && a.ref_r.defined()) terms = detail::margin(a, o.kappa, detail::always(0, a));
  terms.s = detail::always(0, a);
  return detail::with_loss(terms, a.theta_w, terms.s);
}

// (z - 1/2)²: IPO's (h - 1/(2τ))², times τ², since diffusion folds τ into κ and knows τ h = z alone     Azar et al. 2023
inline PairTerms ipo_loss(const PairErrors& a, const ObjectiveOptions& o = {}, Site at = Site::current()) {
  detail::require_errors("ipo", a, at);
  PairTerms terms = detail::margin(a, o.kappa, detail::always(1, a));
  return detail::with_loss(terms, square(terms.z - 0.5), 1.0 - 2.0 * detach(terms.z));
}

// softplus(κ d_w) + softplus(-κ d_r): each image judged by itself, not against the other. After ASFT, -log σ(odds_w) -
// log σ(-odds_l); its odds of an absolute likelihood, which a diffusion model does not give, are those against the reference.
inline PairTerms asft_loss(const PairErrors& a, const ObjectiveOptions& o = {}, Site at = Site::current()) {
  detail::require_errors("asft", a, at);
  PairTerms terms = detail::margin(a, o.kappa, detail::always(1, a));
  return detail::with_loss(terms, softplus(o.kappa * terms.d_w) + softplus(-o.kappa * terms.d_r), sigmoid(o.kappa * detach(terms.d_w)));
}

// --- by name: the one place from which recipes and command lines learn what there is

enum class SecondImage { none, annotated_loser, self_sampled };  // the image beside the winner
enum class ReferencePolicy { uniform, initial, latest };         // which checkpoint is the reference of a phase: replay.hpp

struct Objective {
  std::string_view name, formula;
  SecondImage second;         // none: neither it nor a reference is needed
  ReferencePolicy reference;  // the method's own; a recipe may choose another
  bool gated;                 // looks at ObjectiveOptions::gate
  PairTerms (*loss)(const PairErrors&, const ObjectiveOptions&, Site);
};
std::span<const Objective> objectives();
const Objective& objective_named(std::string_view name, Site at = Site::current());  // or an Error that lists all
std::string_view name_of(ReferencePolicy policy);
ReferencePolicy reference_policy_named(std::string_view name, Site at = Site::current());

}  // namespace sspo
