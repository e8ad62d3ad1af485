// y = (x - μ) / √(σ² + ε) γ + β, with mean μ and variance σ² of each sample's group of neighbouring channels       Wu & He 2018
//   x, y [batch, pixels, channels]   γ, β [channels]
// The floor: x read once, y written once. No product to reuse anything for: memory is all there is.
// Needs: in rungs 2 and 3 shared memory for one group; in rung 3 groups of a multiple of 4 channels.
#include <cmath>

#include "ladder.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD::ladder {
namespace {

constexpr int threads = 256;
constexpr float eps = 1e-5f;

struct GroupNorm {
  const float *x, *gamma, *beta;
  float* y;
  int batch, pixels, channels, groups;
  SSPO_HD int group_channels() const { return channels / groups; }
  SSPO_HD int group_size() const { return group_channels() * pixels; }
};
// The block's group: of which sample, from which channel.
SSPO_DEVICE int block_channel(const GroupNorm& g) { return int(blockIdx.x) % g.groups * g.group_channels(); }
SSPO_DEVICE int block_offset(const GroupNorm& g) { return int(blockIdx.x) / g.groups * g.pixels * g.channels + block_channel(g); }

// ------------------------------------------------------------------------------------ 1. three reads, strided by channel

// Element i of a group, channel by channel: neighbouring threads are neighbouring pixels, `channels` numbers apart.
SSPO_DEVICE int strided(const GroupNorm& g, int i) { return i % g.pixels * g.channels + i / g.pixels; }
// The sum over the block, by halves: log2(threads) rounds through shared memory.
SSPO_DEVICE float sum_by_halves(float mine) {
  SSPO_SHARED(float, parts, [threads]);
  const int t = int(threadIdx.x);
  parts[t] = mine;
  __syncthreads();
  for (int half = threads / 2; half > 0; half /= 2) {
    if (t < half) parts[t] = mine += parts[t + half];
    __syncthreads();
  }
  const float sum = parts[0];
  __syncthreads();  // all have read it: parts may be used again
  return sum;
}

// Owns:  block = one group of a sample, thread t = elements t, t + threads, ...
// Costs: x read three times; each number a sector of its own.
__global__ void __launch_bounds__(threads) group_norm_three_reads(GroupNorm g) {
  const int t = int(threadIdx.x), n = g.group_size(), channel = block_channel(g);
  const float* const x = g.x + block_offset(g);
  float* const y = g.y + block_offset(g);
  float sum = 0, squares = 0;
  for (int i = t; i < n; i += threads) sum += x[strided(g, i)];  // 1. mean
  const float mean = sum_by_halves(sum) / float(n);
  for (int i = t; i < n; i += threads) {  // 2. variance, around the mean: no cancellation
    const float d = x[strided(g, i)] - mean;
    squares += d * d;
  }
  const float inverse = rsqrtf(sum_by_halves(squares) / float(n) + eps);
  for (int i = t; i < n; i += threads) {  // 3. write
    const int c = channel + i / g.pixels;
    y[strided(g, i)] = (x[strided(g, i)] - mean) * inverse * g.gamma[c] + g.beta[c];
  }
}
void by_three_reads(const Context& ctx, const GroupNorm& g) {
  launch(ctx.stream, {.kernel = "group_norm_three_reads", .grid = {unsigned(g.batch * g.groups)}, .block = {threads}},
         group_norm_three_reads, g);
}

// -------------------------------------------------------------------------------------- 2. the group kept in shared memory

// Owns: as 1; a thread keeps what it has read, and reads only that again.
// Costs: x read once; still each number a sector of its own.
__global__ void __launch_bounds__(threads) group_norm_kept(GroupNorm g) {
  float* const kept = dynamic_shared<float>();
  const int t = int(threadIdx.x), n = g.group_size(), channel = block_channel(g);
  const float* const x = g.x + block_offset(g);
  float* const y = g.y + block_offset(g);
  float sum = 0, squares = 0;
  for (int i = t; i < n; i += threads) {  // 1. read once, keep, sum
    const float number = x[strided(g, i)];
    kept[i] = number, sum += number;
  }
  const float mean = sum_by_halves(sum) / float(n);
  for (int i = t; i < n; i += threads) {  // 2. variance of what is kept
    const float d = kept[i] - mean;
    squares += d * d;
  }
  const float inverse = rsqrtf(sum_by_halves(squares) / float(n) + eps);
  for (int i = t; i < n; i += threads) {  // 3. write
    const int c = channel + i / g.pixels;
    y[strided(g, i)] = (kept[i] - mean) * inverse * g.gamma[c] + g.beta[c];
  }
}
void by_keeping(const Context& ctx, const GroupNorm& g) {
  launch(ctx.stream, {.kernel = "group_norm_kept", .grid = {unsigned(g.batch * g.groups)}, .block = {threads},
                      .shared_bytes = std::size_t(g.group_size()) * 4}, group_norm_kept, g);
}

// ------------------------------------------------------------------------- 3. neighbouring channels in packs, sums by shuffles

// Pack i of a group, pixel by pixel: neighbouring threads are neighbouring channels.
SSPO_DEVICE int packed(const GroupNorm& g, int i) {
  const int packs = g.group_channels() / 4;
  return i / packs * g.channels + i % packs * 4;
}
// The sum over the block: each warp by shuffles; then every warp has the sums of all, one a lane, and adds them by shuffles again.
SSPO_DEVICE float sum_by_warps(float mine) {
  constexpr int warps = threads / 32;
  SSPO_SHARED(float, parts, [warps]);
  mine = warp_sum(mine);
  if (lane_id() == 0) parts[threadIdx.x / 32] = mine;
  __syncthreads();
  float sum = parts[lane_id() % warps];
  __syncthreads();  // all have read them: parts may be used again
#pragma unroll
  for (int step = warps / 2; step > 0; step /= 2) sum += __shfl_xor_sync(whole_warp, sum, step);
  return sum;
}

// Owns:  block = one group of a sample, thread t = packs t, t + threads, ... of 4 channels.
// Costs: x read once and y written once, all of each sector used.
__global__ void __launch_bounds__(threads) group_norm_packs(GroupNorm g) {
  Four* const kept = dynamic_shared<Four>();
  const int t = int(threadIdx.x), n = g.group_size(), channel = block_channel(g);
  const float* const x = g.x + block_offset(g);
  float* const y = g.y + block_offset(g);
  float sum = 0, squares = 0;
  for (int i = t; i < n / 4; i += threads) {  // 1. read once, keep, sum
    const Four four = load_four(x + packed(g, i));
    store(&kept[i], four);
    sum += (four.x[0] + four.x[1]) + (four.x[2] + four.x[3]);
  }
  const float mean = sum_by_warps(sum) / float(n);
  for (int i = t; i < n / 4; i += threads) {  // 2. variance of what is kept
    const Four four = load(&kept[i]);
#pragma unroll
    for (int e = 0; e < 4; ++e) squares += (four.x[e] - mean) * (four.x[e] - mean);
  }
  const float inverse = rsqrtf(sum_by_warps(squares) / float(n) + eps);
  for (int i = t; i < n / 4; i += threads) {  // 3. write
    const int c = channel + i % (g.group_channels() / 4) * 4;
    const Four gamma = load_four(g.gamma + c), beta = load_four(g.beta + c);
    Four four = load(&kept[i]);
#pragma unroll
    for (int e = 0; e < 4; ++e) four.x[e] = (four.x[e] - mean) * inverse * gamma.x[e] + beta.x[e];
    store_four(y + packed(g, i), four);
  }
}
void by_packs(const Context& ctx, const GroupNorm& g) {
  launch(ctx.stream, {.kernel = "group_norm_packs", .grid = {unsigned(g.batch * g.groups)}, .block = {threads},
                      .shared_bytes = std::size_t(g.group_size()) * 4}, group_norm_packs, g);
}

// ----------------------------------------------------------------------------------------------------------- the problem

constexpr int batch = 2, pixels = 256, channels = 64, groups = 8, size = batch * pixels * channels;
const std::vector<float> x_numbers = numbers(size, 8), gamma_numbers = numbers(channels, 9), beta_numbers = numbers(channels, 10);

template <void (*launcher)(const Context&, const GroupNorm&)> std::vector<float> run(const Context& ctx) {
  const Array<float> x(ctx, x_numbers), gamma(ctx, gamma_numbers), beta(ctx, beta_numbers), y(ctx, size);
  launcher(ctx, {x.data(), gamma.data(), beta.data(), y.data(), batch, pixels, channels, groups});
  return y.host();
}

std::vector<float> reference() {
  std::vector<float> y(std::size_t(size), 0.0f);
  constexpr int wide = channels / groups;
  const auto at = [](int b, int p, int c) { return std::size_t((b * pixels + p) * channels + c); };
  for (int b = 0; b < batch; ++b)
    for (int first = 0; first < channels; first += wide) {
      double sum = 0, squares = 0;
      for (int p = 0; p < pixels; ++p)
        for (int c = first; c < first + wide; ++c) sum += x_numbers[at(b, p, c)];
      const double mean = sum / (wide * pixels);
      for (int p = 0; p < pixels; ++p)
        for (int c = first; c < first + wide; ++c) squares += (x_numbers[at(b, p, c)] - mean) * (x_numbers[at(b, p, c)] - mean);
      const double inverse = 1 / std::sqrt(squares / (wide * pixels) + eps);
      for (int p = 0; p < pixels; ++p)
        for (int c = first; c < first + wide; ++c)
          y[at(b, p, c)] = float((x_numbers[at(b, p, c)] - mean) * inverse * gamma_numbers[at(0, 0, c)] + beta_numbers[at(0, 0, c)]);
    }
  return y;
}

}  // namespace

std::vector<Rung> group_norm_rungs() {
  constexpr double bytes = 4.0 * (2 * size + 2 * channels), flops = 8.0 * size;  // 1 for μ, 3 for σ², 4 to write
  // |y| < 3, by some ten operations in f32, each off by 2⁻²⁴ of its result
  constexpr double tolerance = 2e-6;
  return {
      {"group norm 1", "three reads, for mean, variance and result; neighbouring threads are a pixel apart", bytes, flops,
       tolerance, run<by_three_reads>, reference},
      {"group norm 2", "the group kept in shared memory: one read", bytes, flops, tolerance, run<by_keeping>, reference},
      {"group norm 3", "neighbouring channels in packs of 16 bytes; sums by shuffles within warps", bytes, flops, tolerance,
       run<by_packs>, reference},
  };
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD::ladder
