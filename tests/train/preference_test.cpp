// The errors of pairs against the same in double by hand; gradients in any split of the batch; the step and its refusals.
#include <algorithm>
#include <array>
#include <numeric>

#include "sspo/nn/layers.hpp"
#include "sspo/train/preference.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

constexpr Index B = 7, H = 5, W = 3, C = 2, D = 4;

// A denoiser that looks at everything it is given: two convolutions, the time and the text added between them.
struct Tiny {
  nn::Conv2d in, out;
  nn::Linear time, words;
  explicit Tiny(const Scope& p)
      : in(p / "in", C, 8, {.kernel = 3, .padding = same(3)}), out(p / "out", 8, C, {.kernel = 3, .padding = same(3)}), time(p / "time", 8, 8), words(p / "words", D, 8) {}
  Tensor operator()(const Tensor& x, const Tensor& t, const Tensor& text) const {
    const Tensor e = time(cast(timestep_embedding(t, 8), x.dtype())) + words(mean(text, {1}));  // [B, 8]
    return out(silu(in(x) + reshape(e, {x.dim(0), 1, 1, 8})));
  }
};

Params fresh(std::uint64_t seed) {
  Params params(Device::cpu(), Rng{seed});
  Tiny{params};
  return params;
}

// A policy a little away from the reference, so that both signs occur.
Params moved(const Params& from, double by) {
  Params params = from.snapshot();
  for (Param p : params) p.assign(p.value() + normal(Rng{77} / p.name(), p.shape()) * by);
  return params;
}

struct Setting {
  Params reference = fresh(1), policy = moved(reference, 0.02);
  NoiseSchedule schedule{default_config(SchedulerKind::ddpm)};
  PairBatch batch = draw_noise({.latents_w = normal(Rng{2}, {B, H, W, C}), .latents_r = normal(Rng{3}, {B, H, W, C}), .text = normal(Rng{4}, {B, 3, D})}, 1000, Rng{5});
  Setting() {
    policy.compute_in(DType::f32);
    reference.frozen();
  }
  Tiny theta() { return Tiny(policy); }
  Tiny ref() { return Tiny(reference); }
};

// mean (model(x_t) - target)² of each sample, one at a time, the mean taken in double.
std::vector<double> by_hand(const Denoiser& model, const NoiseSchedule& schedule, const Tensor& x_0, const Tensor& eps, const Tensor& target, const std::vector<Index>& t, const Tensor& text) {
  std::vector<double> result;
  for (Index i = 0; i < x_0.dim(0); ++i) {
    const auto row = [&](const Tensor& x) { return slice(x, 0, i, i + 1); };
    const Index time[] = {t[std::size_t(i)]};
    const Tensor x_t = schedule.add_noise(row(x_0), row(eps), time);
    const auto p = numbers(model(x_t, full({1}, double(time[0])), row(text))), want = numbers(row(target));
    double sum = 0;
    for (std::size_t k = 0; k < p.size(); ++k) sum += (p[k] - want[k]) * (p[k] - want[k]);
    result.push_back(sum / double(p.size()));
  }
  return result;
}

void check_close(const Tensor& got, const std::vector<double>& want, double tolerance) {
  const auto x = numbers(got);
  REQUIRE(x.size() == want.size());
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(std::abs(x[i] - want[i]) <= tolerance * std::max(1.0, std::abs(want[i])));
}

// The largest difference of two gradients over the largest value of the first, over all parameters.
double relative_distance(const Params& params, const Gradients& a, const Gradients& b) {
  double most = 0, worst = 0;
  for (const Param& p : params) {
    most = std::max(most, distance(*p.gradient(a), zeros(p.shape())));
    worst = std::max(worst, distance(*p.gradient(a), *p.gradient(b)));
  }
  return worst / most;
}

// N5. Where winner and second image pull against each other the gradient is a small rest of large parts, of whose rounding in
// f32 it keeps more than 1e-6; in f64 the promise holds to the letter.
void check_splits(DType dtype, double kappa, double tolerance) {
  Setting s;
  s.policy.compute_in(dtype), s.reference.compute_in(dtype);
  PairBatch b = s.batch;
  if (dtype == DType::f64)
    for (Tensor* x : {&b.latents_w, &b.latents_r, &b.noise_w}) *x = cast(*x, DType::f64);
  const auto run = [&](const Objective& o, std::string_view gate, Index micro) {
    return pair_gradients(s.theta(), s.ref(), b, s.schedule, o, {.kappa = kappa, .eta = 3, .gate = gate_named(gate)}, {{.dtype = dtype}, micro});
  };
  for (const Objective& o : objectives())
    for (const std::string_view gate : {"sign", "indicator", "none"}) {
      if (!o.gated && gate != "sign") continue;
      CAPTURE(o.name);
      CAPTURE(gate);
      const PairGradients whole = run(o, gate, 0);
      if (gate == "sign" && o.gated) {  // else this test would show little
        const auto signs = numbers(whole.terms.s);
        CHECK(std::count(signs.begin(), signs.end(), 1.0) > 0);
        CHECK(std::count(signs.begin(), signs.end(), -1.0) > 0);
      }
      for (const Index micro : {1, 2, 3, 4, 6, 7, 100}) {
        CAPTURE(micro);
        const PairGradients split = run(o, gate, micro);
        CHECK(relative_distance(s.policy, whole.gradients, split.gradients) <= tolerance);
        CHECK(distance(whole.errors.theta_r, split.errors.theta_r) <= 1e-7);
        CHECK(distance(whole.terms.loss, split.terms.loss) <= tolerance * whole.terms.loss.item<double>());
        CHECK(same_bits(whole.terms.s, split.terms.s));
        CHECK(split.terms.z.shape() == Shape{B});
      }
    }
}

}  // namespace

TEST_CASE("pair_errors: each of the four as by hand, shared or own noise, whatever the models predict") {
  Setting s;
  for (const bool own : {false, true})
    for (const Prediction prediction : {Prediction::epsilon, Prediction::v_prediction, Prediction::sample}) {
      const PairBatch b = draw_noise(s.batch, 1000, Rng{6}, {.own_noise_r = own});
      const Tensor eps_r = own ? b.noise_r : b.noise_w;
      if (own) CHECK(distance(b.noise_r, b.noise_w) > 0.5);
      else CHECK_FALSE(b.noise_r.defined());
      const PairErrors a = pair_errors(s.theta(), s.ref(), b, s.schedule, {.prediction = prediction});
      const auto target = [&](const Tensor& x_0, const Tensor& eps) {
        return prediction == Prediction::epsilon ? eps : prediction == Prediction::sample ? x_0 : s.schedule.velocity(x_0, eps, b.timesteps);
      };
      const auto expect = [&](const Tensor& got, const Denoiser& model, const Tensor& x_0, const Tensor& eps) {
        CHECK(got.dtype() == DType::f64);
        check_close(got, by_hand(model, s.schedule, x_0, eps, target(x_0, eps), b.timesteps, b.text), 1e-6);
      };
      expect(a.theta_w, s.theta(), b.latents_w, b.noise_w);
      expect(a.ref_w, s.ref(), b.latents_w, b.noise_w);
      expect(a.theta_r, s.theta(), b.latents_r, eps_r);
      expect(a.ref_r, s.ref(), b.latents_r, eps_r);
    }
}

TEST_CASE("pair_errors: equal policy and reference give differences of exactly zero, in every dtype") {
  Setting s;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
    Params policy = s.reference.snapshot(), reference = s.reference.snapshot();
    for (Param p : policy) p.set_trainable(true);
    policy.compute_in(dtype), reference.frozen().compute_in(dtype);
    const PairErrors a = pair_errors(Tiny(policy), Tiny(reference), s.batch, s.schedule, {.dtype = dtype});
    CHECK(same_bits(a.theta_w, a.ref_w));
    CHECK(same_bits(a.theta_r, a.ref_r));
    CHECK(sspo_loss(a).loss.item<double>() == doctest::Approx(std::log(2.0)).epsilon(1e-15));
  }
}

TEST_CASE("pair_errors: a sample's errors do not depend on the others beyond rounding, nor on the number of threads") {
  Setting s;
  const PairErrors all = pair_errors(s.theta(), s.ref(), s.batch, s.schedule);
  for (Index i = 0; i < B; ++i) {
    const PairErrors one = pair_errors(s.theta(), s.ref(), s.batch.slice(i, i + 1), s.schedule);
    CHECK(distance(one.theta_w, slice(all.theta_w, 0, i, i + 1)) <= 1e-7);
    CHECK(distance(one.ref_r, slice(all.ref_r, 0, i, i + 1)) <= 1e-7);
  }
}

TEST_CASE("pair_gradients: the batch at once, or in any split, gives the same losses and gradient (N5)") {
  check_splits(DType::f64, 1000, 1e-6);
  check_splits(DType::f32, 20, 5e-6);
}

TEST_CASE("pair_gradients: as finite differences of the loss in double, along a random direction") {
  Setting s;
  s.policy.compute_in(DType::f64), s.reference.compute_in(DType::f64);
  PairBatch b = s.batch;
  for (Tensor* x : {&b.latents_w, &b.latents_r, &b.noise_w, &b.text}) *x = cast(*x, DType::f64);
  const auto run = [&] { return pair_gradients(s.theta(), s.ref(), b, s.schedule, objective_named("sspo"), {.kappa = 50}, {{.dtype = DType::f64}, 3}); };
  const PairGradients at = run();
  double slope = 0;
  std::vector<Tensor> numbers_before;
  const auto direction = [](const Param& p) { return normal(Rng{8} / p.name(), p.shape()); };
  for (const Param& p : s.policy) {
    slope += sum(cast(*p.gradient(at.gradients), DType::f64) * cast(direction(p), DType::f64)).item<double>();
    numbers_before.push_back(p.value() + 0.0);
  }
  const auto loss_at = [&](double h) {  // the masters are f32: steps of powers of two that they can hold
    std::size_t i = 0;
    for (Param p : s.policy) p.assign(numbers_before[i++] + direction(p) * h);
    return run().terms.loss.item<double>();
  };
  const double h = 0x1p-12, found = (8 * (loss_at(h) - loss_at(-h)) - (loss_at(2 * h) - loss_at(-2 * h))) / (12 * h);
  CHECK(slope == doctest::Approx(found).epsilon(2e-4));
}

TEST_CASE("pair_gradients: nothing flows into the reference, tracked or not; terms and errors are values") {
  Setting s;
  Params trainable = s.reference.snapshot();
  for (Param p : trainable) p.set_trainable(true);
  const PairGradients r = pair_gradients(s.theta(), Tiny(trainable), s.batch, s.schedule, objective_named("sspo"), {});
  CHECK(r.gradients.size() == s.policy.size());
  for (const Param& p : trainable) CHECK(p.gradient(r.gradients) == nullptr);
  for (const Tensor& x : {r.errors.theta_w, r.errors.theta_r, r.terms.loss, r.terms.loss_i, r.terms.z, r.terms.d_w}) CHECK_FALSE(x.tracked());
}

TEST_CASE("pair_gradients: fine-tuning needs neither reference nor second image, and is the mean error's gradient") {
  Setting s;
  PairBatch winners = s.batch;
  winners.latents_r = Tensor{};
  const PairGradients r = pair_gradients(s.theta(), nullptr, winners, s.schedule, objective_named("sft"), {}, {{}, 2});
  CHECK_FALSE(r.errors.ref_w.defined());
  CHECK_FALSE(r.errors.theta_r.defined());
  CHECK_FALSE(r.terms.z.defined());
  const Tensor x_t = s.schedule.add_noise(winners.latents_w, winners.noise_w, winners.timesteps);
  std::vector<float> t(winners.timesteps.begin(), winners.timesteps.end());
  const Tensor loss = mse(s.theta()(x_t, Tensor::from(t, {B}), winners.text), winners.noise_w);
  CHECK(r.terms.loss.item<double>() == doctest::Approx(loss.item<float>()).epsilon(1e-6));
  CHECK(relative_distance(s.policy, backward(loss), r.gradients) <= 1e-6);
}

TEST_CASE("pair_gradients: each sample against a reference of its own, as one by one; each reference is asked for once") {
  Setting s;
  std::vector<Params> pool;
  for (std::uint64_t i = 0; i < 3; ++i) pool.push_back(std::move(fresh(i + 1).frozen().compute_in(DType::f64)));
  s.policy.compute_in(DType::f64);
  PairBatch b = s.batch;
  for (Tensor* x : {&b.latents_w, &b.latents_r, &b.noise_w, &b.text}) *x = cast(*x, DType::f64);
  const std::vector<Index> which = {2, 0, 2, 1, 0, 2, 0};
  const Objective& o = objective_named("sspo");
  for (const Index micro : {0, 1, 2, 3, 7}) {
    CAPTURE(micro);
    std::vector<Index> asked;
    const References references = [&](Index i) { asked.push_back(i); return Denoiser(Tiny(pool[std::size_t(i)])); };
    const PairGradients r = pair_gradients(s.theta(), references, which, b, s.schedule, o, {.kappa = 50}, {{.dtype = DType::f64}, micro});
    CHECK(asked == std::vector<Index>{0, 1, 2});
    Gradients sum_of_all;
    for (Index i = 0; i < B; ++i) {
      const PairGradients one = pair_gradients(s.theta(), Tiny(pool[std::size_t(which[std::size_t(i)])]), b.slice(i, i + 1), s.schedule, o, {.kappa = 50}, {{.dtype = DType::f64}});
      const auto same = [&](const Tensor& all, const Tensor& single) { CHECK(distance(slice(all, 0, i, i + 1), single) <= 1e-12); };
      same(r.errors.theta_w, one.errors.theta_w), same(r.errors.ref_w, one.errors.ref_w), same(r.errors.theta_r, one.errors.theta_r), same(r.errors.ref_r, one.errors.ref_r);
      same(r.terms.z * 0.01, one.terms.z * 0.01), same(r.terms.s, one.terms.s), same(r.terms.d_w, one.terms.d_w);
      sum_of_all.add(one.gradients);
    }
    for (const Param& p : s.policy) CHECK(distance(*p.gradient(r.gradients), *p.gradient(sum_of_all) * (1.0 / double(B))) <= 1e-5);  // masters are f32, and so are sums of their gradients
  }
}

TEST_CASE("pair_gradients: a sample whose reference is the policy has differences of exactly 0, whoever is beside it") {
  Setting s;
  Params twin = s.policy.snapshot();
  const std::vector<Index> which = {1, 0, 1, 0, 0, 1, 0};
  const References references = [&](Index i) { return Denoiser(Tiny(i ? twin : s.reference)); };
  const PairGradients r = pair_gradients(s.theta(), references, which, s.batch, s.schedule, objective_named("sspo"), {.kappa = 50}, {{}, 2});
  for (Index i = 0; i < B; ++i) {
    CHECK((r.terms.d_w.item<double>(i) == 0) == (which[std::size_t(i)] == 1));
    CHECK((r.terms.d_r.item<double>(i) == 0) == (which[std::size_t(i)] == 1));
  }
  const std::vector<Index> few = {0, 1};
  check_error([&] { pair_gradients(s.theta(), references, few, s.batch, s.schedule, objective_named("sspo"), {}); }, {"not a reference a sample", "7", "2"});
}

TEST_CASE("draw_noise: a function of the path; times cover their range") {
  const PairBatch pairs{.latents_w = zeros({2000, 1, 2}), .latents_r = zeros({2000, 1, 2}), .text = zeros({2000, 1, 1})};
  const PairBatch one = draw_noise(pairs, 10, Rng{1}), again = draw_noise(pairs, 10, Rng{1}), other = draw_noise(pairs, 10, Rng{2});
  CHECK(one.timesteps == again.timesteps);
  CHECK(same_bits(one.noise_w, again.noise_w));
  CHECK(one.timesteps != other.timesteps);
  CHECK(distance(one.noise_w, other.noise_w) > 1);
  std::array<int, 10> count{};
  for (const Index t : one.timesteps) ++count.at(std::size_t(t));
  for (const int n : count) CHECK(std::abs(n - 200) < 54);  // 4 sigma
  // The first samples of a larger batch are those of a smaller one.
  const PairBatch small = draw_noise(pairs.slice(0, 3), 10, Rng{1});
  CHECK(small.timesteps == one.slice(0, 3).timesteps);
  CHECK(same_bits(small.noise_w, one.slice(0, 3).noise_w));
}

TEST_CASE("preference_step: AdamW on the clipped gradient; the norm is from before clipping") {
  for (const double bound : {0.0, 1e-3, 1e9}) {
    Setting s;
    Params twin = s.policy.snapshot();
    for (Param p : twin) p.set_trainable(true);
    AdamW adamw(s.policy, {.lr = 1e-3}), other(twin, {.lr = 1e-3});
    StepOptions o;
    o.weights.kappa = 100, o.clip_norm = bound, o.micro_batch = 4;
    const StepReport r = preference_step(adamw, s.theta(), s.ref(), s.batch, s.schedule, objective_named("sspo"), o);
    const PairGradients g = pair_gradients(Tiny(twin), s.ref(), s.batch, s.schedule, objective_named("sspo"), {.kappa = 100}, {{}, 4});
    CHECK(r.grad_norm == global_norm(g.gradients));
    if (bound > 0) other.step(clip_norm(g.gradients, bound));
    else other.step(g.gradients);
    for (const Param& p : twin) CHECK(same_bits(p.value(), s.policy[p.name()].value()));
    CHECK(adamw.steps() == 1);
  }
}

TEST_CASE("preference_step: a number that is not finite stops the step before anything has changed, and is named") {
  Setting s;
  AdamW adamw(s.policy);
  const Params before = s.policy.snapshot();
  PairBatch bad = s.batch;
  std::vector<float> x = bad.latents_w.to_vector<float>();
  x[4 * H * W * C + 3] = INFINITY;
  bad.latents_w = Tensor::from(x, bad.latents_w.shape());
  const auto step = [&](const PairBatch& b, double kappa) {
    StepOptions o;
    o.weights.kappa = kappa, o.micro_batch = 3;
    preference_step(adamw, s.theta(), s.ref(), b, s.schedule, objective_named("sspo"), o);
  };
  const std::string time = "timestep " + std::to_string(bad.timesteps[4]);
  check_error([&] { step(bad, 1000); }, {"preference_step: the loss of sample 4 is", "no parameter has been changed", time.c_str(), "a_tw", "preference_test.cpp"});
  check_error([&] { step(s.batch, 1e308); }, {"preference_step"});
  try {
    step(bad, 1);
    FAIL_CHECK("no error");
  } catch (const Error& e) {
    CHECK(e.info().kind == ErrorKind::non_finite);
  }
  CHECK(adamw.steps() == 0);
  for (const Param& p : before) CHECK(same_bits(p.value(), s.policy[p.name()].value()));
}

TEST_CASE("pair_errors: a batch whose parts do not fit is refused by name") {
  Setting s;
  const auto with = [&](auto&& change, std::initializer_list<const char*> parts) {
    PairBatch b = s.batch;
    change(b);
    check_error([&] { pair_errors(s.theta(), s.ref(), b, s.schedule); }, parts);
  };
  with([](PairBatch& b) { b.latents_w = Tensor{}; }, {"pair_errors: no winners", "latents_w [B, ...]"});
  with([](PairBatch& b) { b.noise_w = Tensor{}; }, {"noise_w as latents_w, [7, 5, 3, 2] f32", "none"});
  with([](PairBatch& b) { b.noise_r = zeros({B, H, W, 1}); }, {"noise_r as latents_w", "[7, 5, 3, 1] f32"});
  with([](PairBatch& b) { b.latents_r = cast(b.latents_r, DType::f64); }, {"latents_r as latents_w", "f64"});
  with([](PairBatch& b) { b.timesteps.pop_back(); }, {"7 timesteps", "6"});
  with([](PairBatch& b) { b.timesteps[2] = 1000; }, {"no such timestep", "0 ... 999", "1000"});
  with([](PairBatch& b) { b.text = zeros({6, 3, D}); }, {"text [7, N, D]", "[6, 3, 4] f32"});
  with([](PairBatch& b) { b.latents_r = Tensor{}, b.noise_r = b.noise_w; }, {"a second image that is not there"});
  check_error([&] { pair_gradients(s.theta(), s.ref(), s.batch, s.schedule, objective_named("sspo"), {}, {{}, -1}); }, {"micro_batch >= 0", "-1"});
  check_error([&] { pair_gradients(s.theta(), nullptr, s.batch, s.schedule, objective_named("dpo"), {}); }, {"dpo: the error ref_w is missing"});
  check_error([&] { pair_gradients(s.ref(), s.ref(), s.batch, s.schedule, objective_named("dpo"), {}); }, {"backward: nothing to differentiate by"});
}
