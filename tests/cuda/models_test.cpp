// Whole models on cuda-sim (or a GPU) against the CPU: text encoder, UNet and decoder forward and backward, ten SSPO steps, a sample of four
// steps; of the small pipeline in tests/golden/pipeline. In the checking build, under several schedules, without a finding.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>

#include "device_under_test.hpp"
#include "io/folder.hpp"
#include "models/golden.hpp"
#include "sim/sim.hpp"
#include "sspo/models/stable_diffusion.hpp"
#include "sspo/train/preference.hpp"
#include "sspo/train/scratch_file.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

const std::string pipeline = SSPO_SOURCE_DIR "/tests/golden/pipeline/model";

template <class Model> struct Part {
  Params params;
  Model model;
  Part(const std::string& folder, DType dtype, const Device& device)
      : params(load_params<Model>(config_in<Model>(folder), folder, {}, {.dtype = dtype, .device = device})), model(params, config_in<Model>(folder)) {}
};

struct Named {
  std::string name;
  std::vector<double> values;
};
void keep(std::vector<Named>& all, const std::string& name, const Tensor& x) { all.push_back({name, cast(to_device(detach(x), Device::cpu()), DType::f64).to_vector<double>()}); }

double largest(const Named& a) {
  double w = 0;
  for (const double x : a.values) w = std::max(w, std::abs(x));
  return w;
}
double apart(const Named& a, const Named& b) {
  REQUIRE(a.values.size() == b.values.size());
  double w = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    const double d = std::abs(a.values[i] - b.values[i]);
    w = d <= w ? w : d;  // NaN stays
  }
  return w;
}

// As near to the truth as the CPU in the same type: no farther than three times its distance, and a little of the tensor's largest number.
void check_as_near(const std::vector<Named>& got, const std::vector<Named>& cpu, const std::vector<Named>& truth, double relative) {
  REQUIRE(got.size() == truth.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK_MESSAGE(apart(got[i], truth[i]) <= 3 * apart(cpu[i], truth[i]) + relative * largest(truth[i]),
                  truth[i].name << ": " << apart(got[i], truth[i]) << ", the CPU " << apart(cpu[i], truth[i]) << ", of " << largest(truth[i]));
}
// bf16 rounds so often that how near a single tensor comes is luck, the CPU's, too; all of them together are not: their mean relative distance is
// no more than a quarter above the CPU's, and the worst no more than twice the CPU's worst.
void check_as_near_together(const std::vector<Named>& got, const std::vector<Named>& cpu, const std::vector<Named>& truth) {
  REQUIRE(got.size() == truth.size());
  double mean = 0, cpu_mean = 0, worst = 0, cpu_worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double size = largest(truth[i]);
    if (size < 1e-6) continue;  // gradients that are 0 but for rounding
    const double d = apart(got[i], truth[i]) / size, c = apart(cpu[i], truth[i]) / size;
    INFO(truth[i].name, ": ", d, ", the CPU ", c);
    CHECK(std::isfinite(d));
    mean += d / double(got.size()), cpu_mean += c / double(got.size());
    worst = std::max(worst, d), cpu_worst = std::max(cpu_worst, c);
  }
  INFO("mean ", mean, ", the CPU ", cpu_mean, "; worst ", worst, ", the CPU ", cpu_worst);
  CHECK(mean <= 1.25 * cpu_mean);
  CHECK(worst <= 2 * cpu_worst);
}
void check_close(const std::vector<Named>& got, const std::vector<Named>& expected, double relative) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK_MESSAGE(apart(got[i], expected[i]) <= relative * largest(expected[i]) + 1e-12,  // some gradients are 0 but for rounding
                  expected[i].name << ": " << apart(got[i], expected[i]) << " of " << largest(expected[i]));
}

// picture = decode(unet(x, t, text(ids))), and the gradient of <picture, cotangent> for x and every parameter.
std::vector<Named> picture_and_gradients(DType dtype, const Device& device) {
  const Part<ClipText> text(pipeline + "/text_encoder", dtype, device);
  const Part<UNet> unet(pipeline + "/unet", dtype, device);
  const Part<Autoencoder> vae(pipeline + "/vae", dtype, device);
  const Tensor ids = Tensor::from(std::vector<std::int32_t>{702, 5, 77, 640, 703, 703, 702, 300, 2, 703, 703, 703}, {2, 6}, device);
  const Tensor t = Tensor::from(std::vector<float>{7, 801.5f}, {2}, device);
  const Tensor x = track(on(normal_of("input.x", {2, 4, 4, 4}), device, dtype), "x");
  const Tensor states = text.model(ids).last_hidden_state;
  const Tensor noise = unet.model(x, t, states), z = from_model(noise, vae.model.config());
  const Tensor picture = vae.model.decode(z);
  const Moments moments = vae.model.encode(detach(picture));
  const Tensor cotangent = on(normal_of("cotangent.picture", picture.shape()), device, dtype);
  const Gradients g = backward(sum(picture * cotangent) + sum(moments.mean));
  std::vector<Named> all;
  keep(all, "states", states), keep(all, "noise", noise), keep(all, "picture", picture), keep(all, "mean", moments.mean), keep(all, "x", g[x]);
  for (const Params* part : {&text.params, &unet.params, &vae.params})
    for (const Param& p : *part)
      if (const Tensor* own = p.gradient(g)) keep(all, p.name(), *own);
  return all;
}

SchedulerConfig schedule_of_golden() {
  SchedulerConfig c = default_config(SchedulerKind::ddim);
  c.clip_sample = false;
  return c;
}

// Ten steps, then four of sampling. The reference lies apart from the policy: at a distance of 0 the gate would be rounding's to decide.
// A large epsilon, for the like reason: without it Adam makes full steps of gradients that are 0 but for rounding.
std::vector<Named> sspo_steps(const Device& device) {
  Part<UNet> policy(pipeline + "/unet", DType::f32, device);
  Params apart(device);
  for (const Param& p : policy.params) apart.add(p.name(), 1.1 * detach(p.value()));
  const UNet reference(apart.frozen(), policy.model.config());
  AdamW adamw(policy.params, {.lr = 1e-3, .eps = 1e-2});
  const NoiseSchedule schedule(schedule_of_golden());
  const Tensor w = on(normal_of("winners", {2, 4, 4, 4}), device, DType::f32), r = on(normal_of("samples", {2, 4, 4, 4}), device, DType::f32);
  const Tensor text = on(normal_of("text", {2, 6, 16}), device, DType::f32);
  std::vector<Named> all;
  for (Index u = 0; u < 10; ++u) {
    const PairBatch batch = draw_noise({.latents_w = w, .latents_r = r, .text = text}, schedule.size(), Rng{3} / u);
    const StepReport report = preference_step(adamw, policy.model, reference, batch, schedule, objective_named("sspo"), {.weights = {.kappa = 10}});
    keep(all, "loss " + std::to_string(u), report.terms.loss);
  }
  for (const Param& p : policy.params) keep(all, p.name(), p.value());
  const Tensor start = normal(Rng{5}, {2, 4, 4, 4}, device);
  keep(all, "sample", sample_latents(policy.model, make_scheduler(schedule_of_golden(), 4), start, text, on(normal_of("negative", {2, 6, 16}), device, DType::f32), {.guidance = 5}));
  return all;
}

// Three steps of each kind of optimizer, masters in memory or in a file, from gradients made on the CPU.
std::vector<Named> optimizer_steps(const Device& device, const std::string& scratch) {
  std::vector<Named> all;
  for (int kind = 0; kind < 3; ++kind) {
    Params params(device);
    params.add("w", to_device(normal(Rng{1}, {64, 3, 3, 10}), device)), params.add("b", to_device(normal(Rng{2}, {64}), device));
    Keep keep_there;
    if (!scratch.empty()) params.keep_masters(DType::bf16, keep_there = ScratchFile(scratch).keep());
    std::unique_ptr<Optimizer> optimizer;
    if (kind == 0) optimizer = std::make_unique<AdamW>(params, AdamW::Options{.lr = 1e-2}, keep_there);
    else if (kind == 1) optimizer = std::make_unique<AdamW8bit>(params, AdamW::Options{.lr = 1e-2}, keep_there);
    else optimizer = std::make_unique<Adafactor>(params, Adafactor::Options{.lr = 1e-2, .weight_decay = 0.1, .scale_parameter = true}, keep_there);
    for (Index step = 0; step < 3; ++step) {
      Gradients g;
      for (const Param& p : params) {
        const Shared<const Node> node = Tensor(p).node(), leaf = p.master_kept() ? node->inputs.at(0).node : node;  // below its copy in bf16
        g.add(leaf, to_device(normal(Rng{3} / p.name() / step, p.shape()), device));
      }
      optimizer->step(clip_norm(g, 10));
    }
    for (const Param& p : params) keep(all, std::string(optimizer->kind()) + " " + p.name(), p.master());
  }
  return all;
}

void without_findings(const std::string& what) {
  std::string text;
  for (const cuda::Finding& f : cuda::findings()) text += f.text() + "\n";
  CHECK_MESSAGE(cuda::findings().empty(), what << ":\n" << text);
  cuda::reset_findings();
}

}  // namespace

TEST_CASE("cuda: text encoder, UNet and autoencoder, values and all gradients, as on the CPU") {
  const std::vector<Named> truth = picture_and_gradients(DType::f64, Device::cpu());
  check_close(picture_and_gradients(DType::f64, device_under_test({.fill_with_nan = true})), truth, 1e-9);
  without_findings("models in double");
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const std::vector<Named> expected = picture_and_gradients(dtype, Device::cpu());
    for (std::uint64_t seed : {0, 1}) {
      cuda::set_schedule(seed);
      INFO("schedule ", seed, " ", std::string(name_of(dtype)));
      const std::vector<Named> got = picture_and_gradients(dtype, device_under_test({.fill_with_nan = true}));
      if (dtype == DType::f32) check_as_near(got, expected, truth, 1e-5);
      else check_as_near_together(got, expected, truth);
      without_findings("models");
    }
  }
  cuda::set_schedule(0);
}

TEST_CASE("cuda: ten SSPO steps and a sample of four, as on the CPU") {
  const std::vector<Named> expected = sspo_steps(Device::cpu());
  check_close(sspo_steps(device_under_test({.fill_with_nan = true})), expected, 1e-4);
  without_findings("SSPO");
}

TEST_CASE("cuda: steps of every optimizer as on the CPU; with masters in a file the same bits") {
  const TempFolder folder(TempFolder::in_memory);
  const Device device = device_under_test({.fill_with_nan = true});
  const std::vector<Named> expected = optimizer_steps(Device::cpu(), ""), got = optimizer_steps(device, ""), in_file = optimizer_steps(device, folder / ".");
  check_close(got, expected, 1e-3);  // a set of instructions without fma may round a moment of 8 bits to the neighbour
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i].values == in_file[i].values);
  without_findings("optimizers");
}

TEST_CASE("cuda: a device's memory is counted, reused and bounded") {
  const Device device = device_under_test({.budget = 1 << 20});
  {
    const Tensor x = zeros({1024}, DType::f32, device);
    CHECK(device.memory().in_use >= 4096);
    CHECK_THROWS_WITH_AS(zeros({1 << 20}, DType::f32, device), doctest::Contains("memory budget exceeded"), Error);
    CHECK(x.item<float>(5) == 0);
  }
  CHECK(device.memory().in_use == 0);
  CHECK_THROWS_WITH_AS(zeros({4}, DType::f32, device) + zeros({4}), doctest::Contains("device"), Error);
}
