#include "sspo/base/torch_normal.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <utility>

#include "sspo/base/rng.hpp"

namespace sspo {
namespace {

// Horner's rule, every step fused.
template <std::size_t N>
float horner(float x, const float (&c)[N]) {
  float y = c[0];
  for (std::size_t i = 1; i < N; ++i) y = std::fma(y, x, c[i]);
  return y;
}

// ln x, x in [2^-24, 1]: Cephes' logf (Moshier), x = m 2^e, √½ <= m < √2, rounded where PyTorch's compiler rounds.
float cephes_log(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  float e = float(std::int32_t(bits >> 23) - 126);
  float m = std::bit_cast<float>((bits & 0x007fffffu) | 0x3f000000u);  // [½, 1)
  if (m < 0.707106781186547524f) {
    e -= 1.0f;
    m = (m - 1.0f) + m;
  } else {
    m -= 1.0f;
  }
  const float mm = m * m;
  const float p = horner(m, {7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
                             -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f}) * m;
  float y = std::fma(p, mm, e * -2.12194440e-4f);  // ln 2 = 0.693359375 - 2.12e-4
  y = std::fma(-mm, 0.5f, y);
  return std::fma(e, 0.693359375f, m + y);
}

struct SinCos {
  float sin, cos;
};

// Cephes' sinf and cosf together, x >= 0: x less a multiple of π/4 taken off in three parts, then two polynomials.
SinCos cephes_sin_cos(float x) {
  const int octant = (int(x * 1.27323954473516f) + 1) & ~1;
  const float k = float(octant);
  x = std::fma(k, -0.78515625f, x);
  x = std::fma(k, -2.4187564849853515625e-4f, x);
  x = std::fma(k, -3.77489497744594108e-8f, x);
  const float xx = x * x;
  const float pc = horner(xx, {2.443315711809948e-5f, -1.388731625493765e-3f, 4.166664568298827e-2f}) * xx;
  const float c = std::fma(pc, xx, -(xx * 0.5f)) + 1.0f;
  const float ps = horner(xx, {-1.9515295891e-4f, 8.3321608736e-3f, -1.6666654611e-1f}) * xx;
  const float s = std::fma(ps, x, x);
  const float sine = octant & 2 ? c : s, cosine = octant & 2 ? s : c;
  return {octant & 4 ? -sine : sine, (octant + 2) & 4 ? -cosine : cosine};
}

}  // namespace

double TorchCpuGenerator::uniform_double() {
  const std::uint64_t high = engine_(), low = engine_();
  return double((high << 32 | low) & ((std::uint64_t(1) << 53) - 1)) * 0x1p-53;
}

float TorchCpuGenerator::scalar_normal() {
  if (waiting_) return float(*std::exchange(waiting_, std::nullopt) + 0.0);
  const double turn = 2 * std::numbers::pi * uniform_double();
  const double radius = std::sqrt(-2 * std::log1p(-uniform_double()));
  waiting_ = radius * std::sin(turn);
  return float(radius * std::cos(turn) + 0.0);
}

// Eight pairs (z[j], z[j + 8]) of uniforms become normals.
void TorchCpuGenerator::normal_16(float* z) {
  for (int j = 0; j < 8; ++j) {
    const float radius = std::sqrt(-2.0f * cephes_log(1.0f - z[j]));
    const SinCos turn = cephes_sin_cos(float(2 * std::numbers::pi) * z[j + 8]);
    z[j] = radius * turn.cos + 0.0f;  // + mean: no result is -0
    z[j + 8] = radius * turn.sin + 0.0f;
  }
}

std::vector<float> TorchCpuGenerator::normal(Index n, Site at) {
  if (n < 0) fail({.op = "torch_cpu_normal", .what = "a negative number of elements", .expected = "0 or more",
                   .got = std::to_string(n)}, at);
  std::vector<float> z(static_cast<std::size_t>(n));
  if (n < 16) {
    for (float& v : z) v = scalar_normal();
    return z;
  }
  for (float& v : z) v = uniform();
  for (Index i = 0; i + 16 <= n; i += 16) normal_16(z.data() + i);
  if (n % 16) {
    float* last = z.data() + n - 16;
    for (int j = 0; j < 16; ++j) last[j] = uniform();
    normal_16(last);
  }
  return z;
}

// Box & Muller over words (x, y) and (z, w), as cuRAND has it: angles from the second, sine first.
std::vector<float> TorchCudaGenerator::normal(Index n, Site at) {
  if (n < 0 || n > Index(1) << 29)
    fail({.op = "torch_cuda_normal", .what = "that many elements cannot be drawn at once", .expected = "0 ... 2^29",
          .got = std::to_string(n)}, at);
  if (grid_.multiprocessors < 1 || grid_.threads < 256)
    fail({.op = "torch_cuda_normal", .what = "no such GPU", .expected = "at least 1 multiprocessor of 256 threads",
          .got = std::to_string(grid_.multiprocessors) + " of " + std::to_string(grid_.threads)}, at);
  std::vector<float> z(static_cast<std::size_t>(n));
  if (n == 0) return z;
  constexpr Index block = 256, unroll = 4;
  constexpr float inv32 = 0x1p-32f, turn32 = 0x1p-32f * 6.2831855f;
  const Index threads = block * std::min(grid_.multiprocessors * (grid_.threads / block), (n + block - 1) / block);
  const Index rounds = (n - 1) / (threads * unroll) + 1;
  for (Index round = 0; round < rounds; ++round) {
    const std::uint64_t at_block = offset_ + std::uint64_t(round);
    for (Index t = 0; t < threads; ++t) {
      const Philox word = philox({{std::uint32_t(at_block), std::uint32_t(at_block >> 32), std::uint32_t(t), 0}},
                                 std::uint32_t(seed_), std::uint32_t(seed_ >> 32));
      for (Index k = 0; k < unroll; ++k) {
        const Index i = t + threads * (unroll * round + k);
        if (i >= n) break;
        const std::size_t pair = k < 2 ? 0 : 2;
        const float radius = std::sqrt(-2.0f * std::log(std::fma(float(word.x[pair]), inv32, inv32 / 2)));
        const float angle = std::fma(float(word.x[pair + 1]), turn32, turn32 / 2);
        z[std::size_t(i)] = radius * (k % 2 ? std::cos(angle) : std::sin(angle));
      }
    }
  }
  offset_ += std::uint64_t(rounds);
  return z;
}

}  // namespace sspo
