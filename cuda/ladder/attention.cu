// o = softmax(scale q kᵀ) v for each head                                            q, k, v, o [heads, length, 64]
// The floor: q, k, v and o moved once, 4 heads length² 64 FLOPs. The scores, heads length² numbers, are no part of the floor: the
// longer the sequence, the more it costs to store them.   Needs: length a multiple of 64.
#include <cmath>

#include "ladder.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD::ladder {
namespace {

constexpr int HEADS = 2, LENGTH = 128;  // the ladder's problem
constexpr int width = 64;               // of a head
constexpr float scale = 0.125f;         // 1 / √width
constexpr float log2_e = 1.44269504089f;

// ------------------------------------------------------------------------------------- 1. the scores stored, three kernels

// s = scale q kᵀ.   Owns: thread = one score; a warp = a query and 32 keys.
__global__ void __launch_bounds__(256) attention_scores(const float* q, const float* k, float* s, int length) {
  const int j = int(blockIdx.x * 32 + threadIdx.x), i = int(blockIdx.y * 8 + threadIdx.y), head = int(blockIdx.z) * length;
  float sum = 0;
  for (int d = 0; d < width; d += 4) {
    const Four a = load_four(q + (head + i) * width + d), b = load_four(k + (head + j) * width + d);
#pragma unroll
    for (int e = 0; e < 4; ++e) sum += a.x[e] * b.x[e];
  }
  s[(head + i) * length + j] = scale * sum;
}
// Each row of s to exp(s - max) / Σ.   Owns: warp = one row, which it reads three times.
__global__ void __launch_bounds__(32) attention_softmax(float* s, int length) {
  s += int(blockIdx.x) * length;
  float top = -INFINITY, sum = 0;
  for (int j = lane_id(); j < length; j += 32) top = fmaxf(top, s[j]);
#pragma unroll
  for (int step = 16; step > 0; step /= 2) top = fmaxf(top, __shfl_xor_sync(whole_warp, top, step));
  for (int j = lane_id(); j < length; j += 32) sum += expf(s[j] - top);
  sum = warp_sum(sum);
  for (int j = lane_id(); j < length; j += 32) s[j] = expf(s[j] - top) / sum;
}
// o = s v.   Owns: thread = one number of o; a warp = 32 neighbours: they share a weight and read neighbours of v.
__global__ void __launch_bounds__(256) attention_weighted_sums(const float* s, const float* v, float* o, int length) {
  const int d = int(blockIdx.x * 32 + threadIdx.x), i = int(blockIdx.y * 8 + threadIdx.y), head = int(blockIdx.z) * length;
  float sum = 0;
  for (int j = 0; j < length; ++j) sum += s[(head + i) * length + j] * v[(head + j) * width + d];
  o[(head + i) * width + d] = sum;
}
void by_stored_scores(const Context& ctx, const float* q, const float* k, const float* v, float* o) {
  const Array<float> s(ctx, HEADS * LENGTH * LENGTH);
  launch(ctx.stream, {.kernel = "attention_scores", .grid = {LENGTH / 32, LENGTH / 8, HEADS}, .block = {32, 8}}, attention_scores, q,
         k, s.data(), LENGTH);
  launch(ctx.stream, {.kernel = "attention_softmax", .grid = {HEADS * LENGTH}, .block = {32}}, attention_softmax, s.data(), LENGTH);
  launch(ctx.stream, {.kernel = "attention_weighted_sums", .grid = {width / 32, LENGTH / 8, HEADS}, .block = {32, 8}},
         attention_weighted_sums, s.data(), v, o, LENGTH);
}

// ------------------------------------------------------------------------------------------- 2. one pass, online softmax

// With the largest score so far, `top`, and the sums Σ exp(s - top) and Σ exp(s - top) v so far, a score above top only shrinks
// both sums by exp(old top - new top): no score is needed twice, so none is stored.                    Milakov & Gimelshein 2018
// Owns:  block = 32 queries of a head; four lanes = one query, each 16 of the 64 numbers of its rows of q and o, in registers.
// Costs: k and v read once for each 32 queries.   Needs: 16 KiB of shared memory.
__global__ void __launch_bounds__(128) attention_online(const float* q, const float* k, const float* v, float* o, int length) {
  constexpr int tile = 32, fours = width / 4;
  SSPO_SHARED(Four, k_tile, [tile][fours]);
  SSPO_SHARED(Four, v_tile, [tile][fours]);
  const int t = int(threadIdx.x), part = t % 4, head = int(blockIdx.y) * length, query = head + int(blockIdx.x) * 32 + t / 4;
  Four mine[4], sums[4] = {};  // of q, of o: fours part, part + 4, ...
  float top = -INFINITY, total = 0;
#pragma unroll
  for (int c = 0; c < 4; ++c) mine[c] = load_four(q + query * width + 4 * part + 16 * c);
  for (int at = 0; at < length; at += tile) {
    for (int i = t; i < tile * fours; i += 128) {  // 1. bring 32 rows of k and v
      store(&k_tile[i / fours][i % fours], load_four(k + (head + at) * width + 4 * i));
      store(&v_tile[i / fours][i % fours], load_four(v + (head + at) * width + 4 * i));
    }
    __syncthreads();
    for (int j = 0; j < tile; ++j) {
      float s = 0;  // 2. one score, a quarter in each lane
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const Four key = load(&k_tile[j][part + 4 * c]);
#pragma unroll
        for (int e = 0; e < 4; ++e) s += mine[c].x[e] * key.x[e];
      }
      s += __shfl_xor_sync(whole_warp, s, 1);
      s += __shfl_xor_sync(whole_warp, s, 2);
      const float higher = fmaxf(top, scale * s), shrink = expf(top - higher), weight = expf(scale * s - higher);
      top = higher, total = total * shrink + weight;
#pragma unroll
      for (int c = 0; c < 4; ++c) {  // 3. and its share of o
        const Four value = load(&v_tile[j][part + 4 * c]);
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[c].x[e] = sums[c].x[e] * shrink + weight * value.x[e];
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int c = 0; c < 4; ++c) {
#pragma unroll
    for (int e = 0; e < 4; ++e) sums[c].x[e] /= total;
    store_four(o + query * width + 4 * part + 16 * c, sums[c]);
  }
}
void by_online_softmax(const Context& ctx, const float* q, const float* k, const float* v, float* o) {
  launch(ctx.stream, {.kernel = "attention_online", .grid = {LENGTH / 32, HEADS}, .block = {128}}, attention_online, q, k, v, o,
         LENGTH);
}

// ---------------------------------------------------------------------------------------------------- 3. tensor cores

// Owns:  block = 64 queries of a head, warp = 16 of them: q, the scores of 64 keys and o are fragments in registers. What a lane
//        holds of the product q kᵀ is what the product with v wants of its left factor: the weights never leave registers.
// Costs: k and v read once for each 64 queries, 2 bytes a number; weights rounded to bf16.   Needs: 27 KiB of shared memory.
__global__ void __launch_bounds__(128) attention_tensor_cores(const bf16* q, const bf16* k, const bf16* v, float* o, int length) {
  constexpr int tile = 64, chunks = width / 8;  // of 8 bf16; one more a row keeps 8 rows in different banks
  SSPO_SHARED(uint4, q_tile, [tile][chunks + 1]);
  SSPO_SHARED(uint4, k_tile, [tile][chunks + 1]);
  SSPO_SHARED(uint4, v_tile, [tile][chunks + 1]);
  const int t = int(threadIdx.x), lane = lane_id(), warp_row = t / 32 * 16;
  const int head = int(blockIdx.y) * length, first = head + int(blockIdx.x) * tile;
  const auto bring = [&](uint4(&to)[tile][chunks + 1], const bf16* from) {
    for (int i = t; i < tile * chunks; i += 128) cp_async16(&to[i / chunks][i % chunks], from + 8 * i, true);
    cp_async_commit();
  };
  std::uint32_t mine[4][4], other[4];  // q: 4 fragments of 16 x 16
  bring(q_tile, q + first * width);
  cp_async_wait<0>();
  __syncthreads();
#pragma unroll
  for (int d = 0; d < 4; ++d) ldmatrix_x4(mine[d], &q_tile[warp_row + lane % 16][2 * d + lane / 16]);

  // A lane 4 g + p holds columns 2 p, 2 p + 1 of rows g (h = 0) and g + 8 (h = 1) of a fragment.
  float sums[8][4] = {}, top[2] = {-INFINITY, -INFINITY}, total[2] = {};
  for (int at = 0; at < length; at += tile) {
    bring(k_tile, k + (head + at) * width);
    bring(v_tile, v + (head + at) * width);
    cp_async_wait<1>();  // k is there, v on its way
    __syncthreads();
    float s[8][4] = {};  // 1. scores of 16 queries and 64 keys, in units of log 2
#pragma unroll
    for (int d = 0; d < 4; ++d)
#pragma unroll
      for (int n = 0; n < 8; n += 2) {
        ldmatrix_x4(other, &k_tile[8 * n + lane % 8 + lane / 16 * 8][2 * d + lane / 8 % 2]);
        const std::uint32_t left[2] = {other[0], other[1]}, right[2] = {other[2], other[3]};
        mma_m16n8k16(s[n], mine[d], left, s[n], bf16{});
        mma_m16n8k16(s[n + 1], mine[d], right, s[n + 1], bf16{});
      }
#pragma unroll
    for (int h = 0; h < 2; ++h) {  // 2. online softmax, for 64 keys at once
      float higher = -INFINITY;
#pragma unroll
      for (int n = 0; n < 8; ++n) higher = fmaxf(higher, fmaxf(s[n][2 * h], s[n][2 * h + 1]));
      higher = fmaxf(higher, __shfl_xor_sync(whole_warp, higher, 1));
      higher = fmaxf(top[h], scale * log2_e * fmaxf(higher, __shfl_xor_sync(whole_warp, higher, 2)));
      const float shrink = exp2f(top[h] - higher);
      top[h] = higher, total[h] *= shrink;
#pragma unroll
      for (int n = 0; n < 8; ++n)
#pragma unroll
        for (int e = 2 * h; e < 2 * h + 2; ++e) {
          s[n][e] = exp2f(scale * log2_e * s[n][e] - higher);
          total[h] += s[n][e], sums[n][e] *= shrink;
        }
    }
    cp_async_wait<0>();  // 3. weights times v
    __syncthreads();
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const std::uint32_t weights[4] = {pack_bf16(s[2 * j][0], s[2 * j][1]), pack_bf16(s[2 * j][2], s[2 * j][3]),
                                        pack_bf16(s[2 * j + 1][0], s[2 * j + 1][1]), pack_bf16(s[2 * j + 1][2], s[2 * j + 1][3])};
#pragma unroll
      for (int n = 0; n < 8; n += 2) {
        ldmatrix_x4_trans(other, &v_tile[16 * j + lane % 16][n + lane / 16]);
        const std::uint32_t left[2] = {other[0], other[1]}, right[2] = {other[2], other[3]};
        mma_m16n8k16(sums[n], weights, left, sums[n], bf16{});
        mma_m16n8k16(sums[n + 1], weights, right, sums[n + 1], bf16{});
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int h = 0; h < 2; ++h) {  // 4. each lane of four has summed its own columns
    total[h] += __shfl_xor_sync(whole_warp, total[h], 1);
    total[h] += __shfl_xor_sync(whole_warp, total[h], 2);
#pragma unroll
    for (int n = 0; n < 8; ++n)
      store(reinterpret_cast<float2*>(o + (first + warp_row + 8 * h + lane / 4) * width + 8 * n + lane % 4 * 2),
            make_float2(sums[n][2 * h] / total[h], sums[n][2 * h + 1] / total[h]));
  }
}
void by_tensor_cores(const Context& ctx, const bf16* q, const bf16* k, const bf16* v, float* o) {
  launch(ctx.stream, {.kernel = "attention_tensor_cores", .grid = {LENGTH / 64, HEADS}, .block = {128}}, attention_tensor_cores, q,
         k, v, o, LENGTH);
}

// ----------------------------------------------------------------------------------------------------------- the problem

constexpr int size = HEADS * LENGTH * width;
const std::vector<float> q_numbers = numbers(size, 5), k_numbers = numbers(size, 6), v_numbers = numbers(size, 7);

template <class T, void (*launcher)(const Context&, const T*, const T*, const T*, float*)>
std::vector<float> run(const Context& ctx) {
  const Array<T> q(ctx, q_numbers), k(ctx, k_numbers), v(ctx, v_numbers);
  const Array<float> o(ctx, size);
  launcher(ctx, q.data(), k.data(), v.data(), o.data());
  return o.host();
}

std::vector<float> reference() {
  std::vector<float> o(std::size_t(size), 0.0f);
  for (int i = 0; i < HEADS * LENGTH; ++i) {
    const int first = i / LENGTH * LENGTH;
    std::vector<double> weights, sums(std::size_t(width), 0.0);
    double total = 0;
    for (int j = first; j < first + LENGTH; ++j) {
      double s = 0;
      for (int d = 0; d < width; ++d) s += double(q_numbers[std::size_t(i * width + d)]) * k_numbers[std::size_t(j * width + d)];
      weights.push_back(std::exp(scale * s));  // |s| <= 8 here: no overflow to avoid
      total += weights.back();
    }
    for (int j = 0; j < LENGTH; ++j)
      for (int d = 0; d < width; ++d)
        sums[std::size_t(d)] += weights[std::size_t(j)] * v_numbers[std::size_t((first + j) * width + d)];
    for (int d = 0; d < width; ++d) o[std::size_t(i * width + d)] = float(sums[std::size_t(d)] / total);
  }
  return o;
}

}  // namespace

std::vector<Rung> attention_rungs() {
  constexpr double flops = 4.0 * HEADS * LENGTH * LENGTH * width, in = 3 * size, out = 4.0 * size;
  // o is a mean of |v| <= 1 with weights off by a few ulp of f32 (2⁻²⁴ each); by half an ulp of bf16 (2⁻⁹) where they are rounded.
  return {
      {"attention 1", "the scores stored in memory, three kernels", 4 * in + out, flops, 2e-6,
       run<float, by_stored_scores>, reference},
      {"attention 2", "one pass with an online softmax: the scores are never stored", 4 * in + out, flops, 2e-6,
       run<float, by_online_softmax>, reference},
      {"attention 3", "bf16 on tensor cores; the weights go from one product to the next in registers", 2 * in + out, flops, 0x1p-9,
       run<bf16, by_tensor_cores>, reference},
  };
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD::ladder
