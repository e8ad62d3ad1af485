// AdamW with moments of 8 bits: kernels/optim.hpp says what, kernels/moment_map.hpp which numbers.
#include <algorithm>

#include "blocks.cuh"
#include "failures.hpp"
#include "kernels/moment_map.hpp"
#include "optim.hpp"
#include "sspo/base/error.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

using kernels::AdamW8bitArgs;
using kernels::AdamW8bitTensor;

namespace {

constexpr int threads = 256, blocks_a_thread_block = threads / 32, kept = int(kernels::moments_block) / 32;  // a warp a block of moments
constexpr int tensors_at_once = 32;  // with the maps in a kernel's 4 KiB of arguments

SSPO_DEVICE float product(float a, float b) {  // rounded: no part of an fma
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

struct Rates {
  float scale, one_less_beta1, beta2, one_less_beta2, step_size, root_bias2, eps;
};
struct Tensor8 {
  float* p;
  const float* g;
  std::uint8_t *m, *r;
  float *m_scale, *r_scale;
  Index size;
  float decay;
  bool wide;  // p and g begin at multiples of 16 bytes, m and r of 4
};
template <int Bits> struct Decades {  // a map by its formulas; of Bits = 6 the last of each is not used
  float slope[8], offset[8], steps[8], start[8], bound[8];
};
constexpr int decade_numbers = int(sizeof(Decades<7>) / sizeof(float));
struct Table8 {
  int count = 0;
  unsigned end[tensors_at_once];  // blocks of moments of the tensors up to and with this one
  Tensor8 tensors[tensors_at_once];
  Decades<6> signed_decades;
  Decades<7> positive_decades;
};

template <int Bits> SSPO_DEVICE float number_of(const Decades<Bits>& d, int code) {
  int k = 0;
#pragma unroll
  for (int i = 1; i <= Bits; ++i) k += code >= 1 << i;
  const float t = float(2 * code + 1) / float(2 << k);  // a power of 2: exact
  return code == 0 ? 0.f : std::fma(t, d.slope[k], d.offset[k]);
}
template <int Bits> SSPO_DEVICE int code_of(const Decades<Bits>& d, float x) {  // x >= 0
  if (!(x < 1.f)) return (2 << Bits) - 1;  // NaN, too: its block's scale is NaN
  int k = 0;
#pragma unroll
  for (int i = 0; i < Bits; ++i) k += x > d.bound[i];
  const float y = std::fma(x, d.steps[k], d.start[k]);
  return y > 0.f ? int(std::rint(y)) : 0;
}

// Owns:  warp = one block of 256 numbers; lane = 8 of them, in two packs of 4, or every 32nd where they do not lie in packs.
// Costs: p read and written, g read, a byte of each moment read and written: 16.06 bytes a number.
__global__ void __launch_bounds__(threads) adamw8bit_tensors(Table8 table, Rates rates) {
  SSPO_SHARED(Decades<6>, for_m, );
  SSPO_SHARED(Decades<7>, for_r, );
  if (const int i = int(threadIdx.x); i < decade_numbers) {  // 1. the maps, from the arguments
    reinterpret_cast<float*>(&for_m)[i] = reinterpret_cast<const float*>(&table.signed_decades)[i];
    reinterpret_cast<float*>(&for_r)[i] = reinterpret_cast<const float*>(&table.positive_decades)[i];
  }
  __syncthreads();
  const unsigned block = blockIdx.x * blocks_a_thread_block + threadIdx.x / 32;
  if (block >= table.end[table.count - 1]) return;
  int low = 0, high = table.count - 1;  // 2. whose block: the first tensor that ends beyond it
  while (low < high) {
    const int middle = (low + high) / 2;
    if (table.end[middle] > block) high = middle;
    else low = middle + 1;
  }
  const Tensor8& t = table.tensors[low];
  const Index own = Index(block - (low > 0 ? table.end[low - 1] : 0)), first = own * kernels::moments_block, left = t.size - first;
  const int n = int(left < kernels::moments_block ? left : kernels::moments_block), lane = lane_id();
  const bool packs = t.wide && n == int(kernels::moments_block);
  float p[kept], g[kept], m[kept], r[kept];
  std::uint8_t codes[2][kept];
  if (packs) {
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const Index at = first + 128 * k + 4 * lane;
      const float4 p4 = load(reinterpret_cast<const float4*>(t.p + at)), g4 = load(reinterpret_cast<const float4*>(t.g + at));
      const std::uint32_t m4 = load(reinterpret_cast<const std::uint32_t*>(t.m + at)), r4 = load(reinterpret_cast<const std::uint32_t*>(t.r + at));
      p[4 * k] = p4.x, p[4 * k + 1] = p4.y, p[4 * k + 2] = p4.z, p[4 * k + 3] = p4.w;
      g[4 * k] = g4.x, g[4 * k + 1] = g4.y, g[4 * k + 2] = g4.z, g[4 * k + 3] = g4.w;
#pragma unroll
      for (int v = 0; v < 4; ++v) codes[0][4 * k + v] = std::uint8_t(m4 >> (8 * v)), codes[1][4 * k + v] = std::uint8_t(r4 >> (8 * v));
    }
  } else {
#pragma unroll
    for (int k = 0; k < kept; ++k) {
      const int i = lane + 32 * k;
      const Index at = first + i;
      p[k] = i < n ? t.p[at] : 0, g[k] = i < n ? t.g[at] : 0;
      codes[0][k] = i < n ? t.m[at] : std::uint8_t(0), codes[1][k] = i < n ? t.r[at] : std::uint8_t(0);
    }
  }
  float m_scale = 0, r_scale = 0;
  if (lane == 0) m_scale = t.m_scale[own], r_scale = t.r_scale[own];  // by the one that will write them
  m_scale = __shfl_sync(whole_warp, m_scale, 0), r_scale = __shfl_sync(whole_warp, r_scale, 0);
  float most_m = 0, most_r = 0;
#pragma unroll
  for (int k = 0; k < kept; ++k) {  // 3. the step
    const float size = number_of(for_m, codes[0][k] & 127), m0 = product(codes[0][k] & 128 ? -size : size, m_scale), r0 = product(number_of(for_r, codes[1][k]), r_scale);
    const float gk = product(g[k], rates.scale);
    m[k] = std::fma(gk - m0, rates.one_less_beta1, m0);
    r[k] = std::sqrt(std::fma(product(gk, gk), rates.one_less_beta2, product(product(r0, r0), rates.beta2)));
    p[k] = product(p[k], t.decay) - product(rates.step_size, m[k]) / std::fma(r[k], rates.root_bias2, rates.eps);
    const float a = std::fabs(m[k]);
    most_m = a <= most_m ? most_m : a, most_r = r[k] <= most_r ? most_r : r[k];  // NaN stays
  }
  const auto larger = [](float a, float b) { return a > b || a != a ? a : b; };
  most_m = warp_fold(most_m, larger), most_r = warp_fold(most_r, larger);  // 4. the block's scales
  const float m_share = most_m < 1e-36f ? 0 : 1 / most_m, r_share = most_r == 0 ? 0 : 1 / most_r;
  if (lane == 0) t.m_scale[own] = most_m < 1e-36f ? 0 : most_m, t.r_scale[own] = most_r;
#pragma unroll
  for (int k = 0; k < kept; ++k) {  // 5. rounded
    const float x = product(m[k], m_share), y = product(r[k], r_share);
    const int code = code_of(for_r, y);
    codes[0][k] = std::uint8_t(code_of(for_m, std::fabs(x)) | (std::signbit(x) ? 128 : 0));
    codes[1][k] = std::uint8_t(y > 0 && code == 0 ? 1 : code);
  }
  if (packs) {
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const Index at = first + 128 * k + 4 * lane;
      std::uint32_t m4 = 0, r4 = 0;
#pragma unroll
      for (int v = 0; v < 4; ++v) m4 |= std::uint32_t(codes[0][4 * k + v]) << (8 * v), r4 |= std::uint32_t(codes[1][4 * k + v]) << (8 * v);
      store(reinterpret_cast<float4*>(t.p + at), make_float4(p[4 * k], p[4 * k + 1], p[4 * k + 2], p[4 * k + 3]));
      store(reinterpret_cast<std::uint32_t*>(t.m + at), m4), store(reinterpret_cast<std::uint32_t*>(t.r + at), r4);
    }
  } else {
#pragma unroll
    for (int k = 0; k < kept; ++k)
      if (const int i = lane + 32 * k; i < n) t.p[first + i] = p[k], t.m[first + i] = codes[0][k], t.r[first + i] = codes[1][k];
  }
}

double power(double x, Index n) {  // x^n by squaring
  double y = 1;
  for (; n > 0; n /= 2, x *= x)
    if (n % 2) y *= x;
  return y;
}

}  // namespace

void adamw8bit(const Context& ctx, const AdamW8bitArgs& a) {
  const double bias1 = 1 - power(a.beta1, a.step), bias2 = 1 - power(a.beta2, a.step);
  const Rates rates{float(a.grad_scale), float(1 - a.beta1), float(a.beta2), float(1 - a.beta2), float(a.lr / bias1), float(1 / std::sqrt(bias2)), float(a.eps)};
  Table8 table;
  constexpr kernels::SignedMap signed_map{};
  constexpr kernels::PositiveMap positive_map{};
  const auto fill = [](auto& d, const auto& map) {
    const auto each = [](float (&to)[8], const auto& from) { std::copy(from.begin(), from.end(), to); };
    each(d.slope, map.slope), each(d.offset, map.offset), each(d.steps, map.steps), each(d.start, map.start), each(d.bound, map.bound);
  };
  fill(table.signed_decades, signed_map), fill(table.positive_decades, positive_map);
  Index blocks = 0;
  bool begun = false;
  const auto flush = [&] {
    if (table.count == 0) return;
    try {
      launch(ctx.stream, {"adamw8bit", blocks_along_x(ceil_div(blocks, Index(blocks_a_thread_block))), {threads}}, adamw8bit_tensors, table, rates);
    } catch (const Error& e) {
      if (begun) lose_device(std::string("some parameters were updated, others were not: ") + e.what());  // such numbers must reach no checkpoint
      throw;
    }
    begun = true, table.count = 0, blocks = 0;
  };
  const auto at_multiple = [](const void* p, std::uintptr_t of) { return reinterpret_cast<std::uintptr_t>(p) % of == 0; };
  for (const AdamW8bitTensor* t = a.tensors; t != a.tensors + a.count; ++t) {
    if (t->size == 0) continue;
    const Index own = ceil_div(t->size, kernels::moments_block);
    if (table.count == tensors_at_once || blocks + own > Index(limits().grid_x)) flush();
    blocks += own;
    table.end[table.count] = unsigned(blocks);
    table.tensors[table.count++] = {t->p, t->g, t->m, t->r, t->m_scale, t->r_scale, t->size, float(1 - a.lr * t->weight_decay),
                                    at_multiple(t->p, 16) && at_multiple(t->g, 16) && at_multiple(t->m, 4) && at_multiple(t->r, 4)};
  }
  flush();
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
