#include "sspo/train/objective.hpp"

#include <array>
#include <numeric>
#include <string>

#include "sspo/ops/movement.hpp"

namespace sspo {
namespace {

std::string listed(const auto& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

// Where element i of a batch of n goes: Fisher and Yates, from the path alone.
std::vector<Index> permutation(const Rng& rng, Index n) {
  std::vector<Index> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), Index(0));
  for (Index i = n - 1; i > 0; --i) std::swap(order[std::size_t(i)], order[std::size_t(rng.below(i + 1, std::uint64_t(i)))]);
  return order;
}

constexpr std::array<std::string_view, 4> all_gates = {"sign", "indicator", "none", "random"};
constexpr std::array<std::string_view, 3> all_policies = {"uniform", "initial", "latest"};

constexpr Objective table[] = {
    {"sspo", "softplus(-z), z = -κ (d_w - s d_r), s = gate(a_rw - a_tw)", SecondImage::self_sampled, ReferencePolicy::uniform, true, sspo_loss},
    {"sft", "a_tw", SecondImage::none, ReferencePolicy::initial, false, sft_loss},
    {"dpo", "softplus(κ (d_w - d_r)), the annotated loser", SecondImage::annotated_loser, ReferencePolicy::initial, false, dpo_loss},
    {"spin", "softplus(κ (d_w - d_r)), the last checkpoint's sample", SecondImage::self_sampled, ReferencePolicy::latest, false, dpo_loss},
    {"ditto", "softplus(κ (d_w - d_r)), the first checkpoint's sample", SecondImage::self_sampled, ReferencePolicy::initial, false, dpo_loss},
    {"dpo+sft", "softplus(κ (d_w - d_r)) + η a_tw", SecondImage::self_sampled, ReferencePolicy::uniform, false, dpo_sft_loss},
    {"ipo", "(z - 1/2)², z = -κ (d_w - d_r)", SecondImage::annotated_loser, ReferencePolicy::initial, false, ipo_loss},
    {"asft", "softplus(κ d_w) + softplus(-κ d_r)", SecondImage::annotated_loser, ReferencePolicy::initial, false, asft_loss},
};

}  // namespace

void detail::require_errors(const char* objective, const PairErrors& a, Site at) {
  const std::pair<const char*, const Tensor*> parts[] = {{"theta_w", &a.theta_w}, {"ref_w", &a.ref_w}, {"theta_r", &a.theta_r}, {"ref_r", &a.ref_r}};
  for (const auto& [name, x] : parts) {
    if (!x->defined())
      fail({.op = objective, .what = std::string("the error ") + name + " is missing", .expected = "errors of policy and reference on both images",
            .got = "none", .hint = "give pair_errors a reference and a second image"}, at);
    if (x->rank() != 1 || !(x->shape() == a.theta_w.shape()) || x->dtype() != a.theta_w.dtype())
      fail({.op = objective, .what = std::string("the error ") + name + " does not fit the others", .expected = "[B] " + a.theta_w.str(), .got = x->str()}, at);
  }
}

Gate gates::random(const Rng& rng, Tie tie) {
  return [rng, tie](const Tensor& gain) {
    const Tensor s = tie == Tie::plus ? sign_plus(gain) : gates::sign(gain);
    return index_select(s, Tensor::from(permutation(rng, s.dim(0)), {s.dim(0)}, s.device()), 0);
  };
}

std::span<const std::string_view> gate_names() { return all_gates; }

Gate gate_named(std::string_view name, gates::Tie tie, const Rng& rng, Site at) {
  if (name == "sign") return tie == gates::Tie::plus ? gates::sign_plus : gates::sign;
  if (name == "indicator") return gates::indicator;
  if (name == "none") return gates::none;
  if (name == "random") return gates::random(rng, tie);
  fail({.op = "gate", .what = "no such gate", .expected = listed(all_gates), .got = "'" + std::string(name) + "'"}, at);
}

std::span<const Objective> objectives() { return table; }

const Objective& objective_named(std::string_view name, Site at) {
  std::vector<std::string_view> names;
  for (const Objective& o : table) {
    if (o.name == name) return o;
    names.push_back(o.name);
  }
  fail({.op = "objective", .what = "no such objective", .expected = listed(names), .got = "'" + std::string(name) + "'"}, at);
}

std::string_view name_of(ReferencePolicy policy) { return all_policies[std::size_t(policy)]; }

ReferencePolicy reference_policy_named(std::string_view name, Site at) {
  for (std::size_t i = 0; i < all_policies.size(); ++i)
    if (all_policies[i] == name) return ReferencePolicy(i);
  fail({.op = "reference", .what = "no such policy", .expected = listed(all_policies), .got = "'" + std::string(name) + "'"}, at);
}

}  // namespace sspo
