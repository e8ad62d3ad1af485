// The device for planning: as many bytes as a real one counts, none of them touched.
#include <unistd.h>

#include <fstream>

#include "sspo/models/stable_diffusion.hpp"
#include "sspo/ops/all.hpp"
#include "sspo/tensor/rehearsal.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

#if defined(__SANITIZE_ADDRESS__)
#define SSPO_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SSPO_TEST_SANITIZED 1
#endif
#endif

namespace {

#ifdef SSPO_TEST_SANITIZED
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif


std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * std::size_t(sysconf(_SC_PAGESIZE));
}

UNetConfig small() {
  UNetConfig c;
  c.block_out_channels = {32, 64}, c.down_attention = {true, false}, c.up_attention = {false, true};
  c.layers_per_block = {1, 1}, c.transformer_layers = {1, 1}, c.heads = {4, 4}, c.cross_attention_dim = {48, 48}, c.norm_num_groups = 8;
  return c;
}

struct Peak {
  std::size_t weights, step;
  double loss;
};
Peak training_step(const Device& device, const UNetConfig& config, Index side, bool again) {
  Params params(device, Rng{1});
  UNet unet(params, config);
  unet.recompute_blocks(again);
  const std::size_t weights = device.memory().in_use;
  device.reset_peak_memory();
  const Tensor x = normal(Rng{2}, {2, side, side, 4}, device), text = normal(Rng{3}, {2, 77, config.cross_attention_dim[0]}, device);
  const Tensor loss = mean(square(unet(x, full({2}, 7, DType::f32, device), text)));
  const Gradients g = backward(loss);
  return {weights, device.memory().peak - weights, double(loss.item<float>())};
}

}  // namespace

TEST_CASE("rehearsal: a step takes what it takes on the CPU, but for the kernels' workspaces") {
  for (const bool again : {false, true}) {
    CAPTURE(again);
    const Peak real = training_step(Device::cpu({.threads = 1}), small(), 32, again), plan = training_step(rehearsal_device({.threads = 1}), small(), 32, again);
    CHECK(plan.weights == real.weights);
    CHECK(plan.step <= real.step);
    CHECK(double(plan.step) >= 0.9 * double(real.step));
    CHECK(real.loss > 0);
    CHECK(plan.loss == 0);  // nothing was computed
  }
}

TEST_CASE("rehearsal: a training step of SD-1.5's UNet is counted without its memory") {
  const std::size_t before = resident_bytes();
  const Peak plan = training_step(rehearsal_device(), UNetConfig{}, 64, true);
  const std::size_t grown = resident_bytes() - std::min(before, resident_bytes());
  CHECK(plan.weights >= std::size_t(859'520'964) * 4);
  CHECK(plan.weights < std::size_t(859'520'964) * 4 + 686 * 64);
  CHECK(plan.step > plan.weights);  // gradients of all weights, and more
  CHECK(plan.step < 3 * plan.weights);
  if (!sanitized) CHECK(grown < plan.weights / 20);  // AddressSanitizer marks an eighth of what is reserved
}
