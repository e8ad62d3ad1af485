// Attention forward: O = softmax(scale Q Kᵀ + mask) V by blocks, with an online softmax.
//   Milakov & Gimelshein 2018 (online softmax), Dao et al. 2022 (attention by blocks)
#include "attention.hpp"

#include "attention_tiles.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {
namespace {

using namespace flash;

template <class T> struct Forward : Problem<T> {
  Rows<T> o;
  Compute<T>* lse;  // null: not wanted
};
template <class T> SSPO_DEVICE Index keys_seen(const Forward<T>& a, Index end) { return a.causal && end < a.keys ? end : a.keys; }

template <class T> SSPO_DEVICE Compute<T>* lse_of(const Forward<T>& a, const Place& at) {
  return a.lse + (at.b * a.heads + at.h) * a.queries + at.first;
}

template <class C> SSPO_DEVICE C finite_top(C top) { return top == -infinity<C> ? C(0) : top; }  // no key yet: 2^(-inf - 0) = 0
template <class C> SSPO_DEVICE C inverse_of(C sum) { return sum == C(0) ? C(0) : C(1) / sum; }    // no key at all: O = 0
template <class C> SSPO_DEVICE C natural_lse(C top, C sum) { return C(log_2) * top + std::log(sum); }

// O = softmax(S) V, f32 and f64.
// Owns:  block = (sample, head, tile of queries); 16 threads a query, each every 16th key and pairs of columns of O (SimtTile).
// Costs: 4 N M D FLOPs and N M exps a head, half when causal. q and o move once, k and v once per tile of queries.
// Needs: Q, one tile of K, one of V and the tile's P in shared memory; O, maxima and sums in registers.
template <class Tile>
__global__ void __launch_bounds__(Tile::threads, Tile::resident) attention_forward_simt(Forward<typename Tile::T> a) {
  using T = typename Tile::T;
  Carver<T> carve;
  T *const q = carve(Tile::own), *const k = carve(Tile::walked), *const v = carve(Tile::walked), *const p = carve(Tile::weights);
  const Place at = place_of_block<Tile::rows>(a.heads, a.queries, a.causal);
  const int rows = rows_left(a.queries, at.first, Tile::rows);

  typename Tile::Sums o = {};
  T top[Tile::rows_each], sum[Tile::rows_each];
#pragma unroll
  for (int i = 0; i < Tile::rows_each; ++i) top[i] = -infinity<T>, sum[i] = 0;
  bring<Tile, Tile::rows>(q, a.q, at, at.first, rows, a.head_dim);                    // 1. queries, once
  cp_async_commit();

  const Index seen = keys_seen(a, at.first + Tile::rows);
  for (Index key = 0; key < seen; key += Tile::others) {
    const Scores<T> score = scores_of_tile<Tile::rows, Tile::others>(a, at, at.first, key);
    bring<Tile, Tile::others>(k, a.k, at, key, score.keys, a.head_dim);               // 2. a tile of keys and values
    cp_async_commit();
    bring<Tile, Tile::others>(v, a.v, at, key, score.keys, a.head_dim);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    typename Tile::Products s;
    simt_products<Tile>(s, q, k, a.head_dim);                                         // 3. S
#pragma unroll
    for (int i = 0; i < Tile::rows_each; ++i) {                                       // 4. P = 2^(S - top); O scaled to it
      T most = top[i], added = 0;
#pragma unroll
      for (int j = 0; j < Tile::others_each; ++j) {
        s[i][j] = score(s[i][j], simt_group() + i * Tile::groups, simt_lane() + j * Tile::lanes);
        most = s[i][j] > most ? s[i][j] : most;
      }
#pragma unroll
      for (int step = 8; step > 0; step >>= 1) {
        const T other = __shfl_xor_sync(whole_warp, most, step);
        most = other > most ? other : most;
      }
      const T base = finite_top(most), keep = std::exp2(top[i] - base);
      top[i] = most;
#pragma unroll
      for (int j = 0; j < Tile::others_each; ++j) added += s[i][j] = std::exp2(s[i][j] - base);
      sum[i] = sum[i] * keep + added;
      scale_all(o[i], keep);
    }
    cp_async_wait<0>();
    __syncthreads();
    simt_weighted_sums<Tile>(o, s, p, v, a.head_dim);                                 // 5. O += P V
    __syncthreads();
  }
  cp_async_wait<0>();

#pragma unroll
  for (int i = 0; i < Tile::rows_each; ++i) {                                         // 6. divide by the sums
#pragma unroll
    for (int step = 8; step > 0; step >>= 1) sum[i] += __shfl_xor_sync(whole_warp, sum[i], step);
    scale_all(o[i], inverse_of(sum[i]));
    const int row = simt_group() + i * Tile::groups;
    if (a.lse && simt_lane() == 0 && row < rows) lse_of(a, at)[row] = natural_lse(top[i], sum[i]);
  }
  simt_store<Tile>(a.o, at, rows, a.head_dim, o);
}

// O = softmax(S) V on tensor cores, bf16 or f32 as tf32, sums in f32; P is rounded to what the factors are.
// Owns:  block = (sample, head, tile of queries); a warp 16 or 32 queries, shared with others where the head is wide (MmaTile).
// Costs: 4 N M D FLOPs and N M exps a head, half when causal. q and o move once, k and v once per tile of queries.
// Needs: Q, and two tiles of K or V, a slice of the head each, in shared memory: the next arrives while one is multiplied.
template <class Tile>
__global__ void __launch_bounds__(Tile::threads, Tile::resident) attention_forward_mma(Forward<typename Tile::T> a) {
  using T = typename Tile::T;
  constexpr int parts = Tile::column_warps, slices = Tile::slices, own = 2 * Tile::tall;  // rows of a lane: i is fragment_row(2 i)
  Carver<T> carve;
  T *const q = carve(slices * Tile::own), *const walked = carve(Tile::stages * Tile::walked), *const p = carve(Tile::weights);
  float* const of_parts = reinterpret_cast<float*>(carve.next);  // [parts][rows], where there are several
  const Place at = place_of_block<Tile::rows>(a.heads, a.queries, a.causal);
  const WarpPlace<Tile> w;
  const int rows = rows_left(a.queries, at.first, Tile::rows);
  const auto row_of = [&](int i) { return w.row + i / 2 * 16 + fragment_row(i % 2 * 2); };
  constexpr int fragments = slices * Tile::slice_part / 8;  // of a row of the sums
  const auto scale_row = [](float (&x)[fragments][4], int first, float by) {
#pragma unroll
    for (int n = 0; n < fragments; ++n) x[n][first] *= by, x[n][first + 1] *= by;
  };
  const auto share = [&](const float (&x)[own]) {  // what the warps of a row combine, a barrier later
    if (parts > 1 && (lane_id() & 3) == 0)
      for (int i = 0; i < own; ++i) of_parts[w.part * Tile::rows + row_of(i)] = x[i];
  };
  const auto bring_slice = [&](Index key, int step, int stage) {  // steps: the slices of K, then those of V
    bring<Tile, Tile::others>(walked + stage * Tile::walked, step < slices ? a.k : a.v, at, key, rows_left(a.keys, key, Tile::others),
                              a.head_dim, step % slices * Tile::slice);
  };

  typename Tile::Sums o = {};
  typename Tile::Products s;
  float top[own], sum[own] = {};
#pragma unroll
  for (int i = 0; i < own; ++i) top[i] = -infinity<float>;
#pragma unroll
  for (int slice = 0; slice < slices; ++slice)                                        // 1. queries, once
    bring<Tile, Tile::rows>(q + slice * Tile::own, a.q, at, at.first, rows, a.head_dim, slice * Tile::slice);
  walk<Tile, 2 * slices>(0, keys_seen(a, at.first + Tile::rows), bring_slice, [&](Index key, int step, int stage) {
    const T* const x = walked + stage * Tile::walked;
    if (step >= slices) return mma_weighted_sums<Tile>(o, s, p, x, w, step - slices); // 4. O += P V
    if (step == 0) clear(s);
    mma_products<Tile>(s, q + step * Tile::own + w.row * Tile::ld, x + w.column * Tile::ld);  // 2. S
    if (step < slices - 1) return;
    const Scores<float> score = scores_of_tile<Tile::rows, Tile::others>(a, at, at.first, key);
    float most[own];
#pragma unroll
    for (int i = 0; i < own; ++i) most[i] = top[i];
    each_product(w, [&](int m, int n, int e, int row, int column) {
      s[m][n][e] = score(s[m][n][e], row, column);
      most[2 * m + e / 2] = fmaxf(most[2 * m + e / 2], s[m][n][e]);
    });
#pragma unroll
    for (int i = 0; i < own; ++i)
      for (int step = 1; step <= 2; step <<= 1) most[i] = fmaxf(most[i], __shfl_xor_sync(whole_warp, most[i], step));
    share(most);
    if (parts > 1) __syncthreads();
#pragma unroll
    for (int i = 0; i < own; ++i) {                                                   // 3. P = 2^(S - top); O scaled to it
      if constexpr (parts > 1)
        for (int other = 0; other < parts; ++other) most[i] = fmaxf(most[i], of_parts[other * Tile::rows + row_of(i)]);
      const float base = finite_top(most[i]), keep = std::exp2(top[i] - base);
      const int m = i / 2, first = i % 2 * 2;
      float added = 0;
#pragma unroll
      for (int n = 0; n < Tile::part / 8; ++n)
#pragma unroll
        for (int e = first; e < first + 2; ++e) added += s[m][n][e] = std::exp2(s[m][n][e] - base);
      top[i] = most[i], sum[i] = sum[i] * keep + added;
      scale_row(o[m], first, keep);
    }
    share_weights<Tile>(p, s, w);
  });

#pragma unroll
  for (int i = 0; i < own; ++i)                                                       // 5. divide by the sums
    for (int step = 1; step <= 2; step <<= 1) sum[i] += __shfl_xor_sync(whole_warp, sum[i], step);
  share(sum);
  if (parts > 1) __syncthreads();
#pragma unroll
  for (int i = 0; i < own; ++i) {
    if constexpr (parts > 1) {
      sum[i] = 0;
      for (int other = 0; other < parts; ++other) sum[i] += of_parts[other * Tile::rows + row_of(i)];
    }
    scale_row(o[i / 2], i % 2 * 2, inverse_of(sum[i]));
    if (a.lse && w.part == 0 && (lane_id() & 3) == 0 && row_of(i) < rows) lse_of(a, at)[row_of(i)] = natural_lse(top[i], sum[i]);
  }
  mma_store(a.o, at, rows, a.head_dim, o, q, w);                                      // 6. bf16 by way of where the queries were
}

template <class T> Forward<T> forward_of(const kernels::AttentionArgs& a) {
  Forward<T> f;
  static_cast<Problem<T>&>(f) = problem_of<T>(a);
  f.o = rows_of<T>(a.o, a.head_dim);
  f.lse = static_cast<Compute<T>*>(a.lse);
  return f;
}

template <class T> void launch_tile(const Context& ctx, const kernels::AttentionArgs& a, const char* name, int rows, int threads, std::size_t shared_bytes,
                                     void (*kernel)(Forward<T>)) {
  check_shared("attention", dtype_of<T>, a.head_dim, shared_bytes);
  launch(ctx.stream, plan_of(name, a.batch * a.heads, a.queries, rows, threads, shared_bytes), kernel, forward_of<T>(a));
}
template <class Tile> void launch_simt(const Context& ctx, const kernels::AttentionArgs& a) {
  constexpr std::size_t shared_bytes = sizeof(typename Tile::T) * (Tile::own + 2 * Tile::walked + Tile::weights);
  static_assert(sizeof(typename Tile::T) > 4 || shared_bytes <= least_shared);
  launch_tile(ctx, a, "attention_forward_simt", Tile::rows, Tile::threads, shared_bytes, attention_forward_simt<Tile>);
}
template <class T> void forward(const Context& ctx, const kernels::AttentionArgs& a) {
  if (a.head_dim <= 64) launch_simt<SimtTile<T, 64>>(ctx, a);
  else if (a.head_dim <= 160) launch_simt<SimtTile<T, 160>>(ctx, a);
  else launch_simt<SimtTile<T, 512>>(ctx, a);
}

template <class Tile> void launch_mma(const Context& ctx, const kernels::AttentionArgs& a) {
  constexpr int parts = Tile::column_warps > 1 ? Tile::column_warps : 0;
  constexpr std::size_t shared_bytes = sizeof(typename Tile::T) * (Tile::slices * Tile::own + Tile::stages * Tile::walked + Tile::weights) +
                                       sizeof(float) * parts * Tile::rows;
  static_assert(shared_bytes <= least_shared);
  launch_tile(ctx, a, "attention_forward_mma", Tile::rows, Tile::threads, shared_bytes, attention_forward_mma<Tile>);
}
// Tiles that keep S and O in registers without spilling (sm_80, sm_90): 134 to 242 a thread.
void forward_bf16(const Context& ctx, const kernels::AttentionArgs& a) {
  if (a.head_dim <= 48) launch_mma<MmaTile<bf16, 48, 48, 32, 4, 1, 64, 2>>(ctx, a);
  else if (a.head_dim <= 64) launch_mma<MmaTile<bf16, 64, 64, 32, 4, 1, 64, 2>>(ctx, a);
  else if (a.head_dim <= 80) launch_mma<MmaTile<bf16, 80, 80, 32, 4, 1, 64, 2>>(ctx, a);
  else if (a.head_dim <= 160) launch_mma<MmaTile<bf16, 160, 160, 16, 4, 1, 64, 2>>(ctx, a);
  else launch_mma<MmaTile<bf16, 512, 64, 16, 4, 2, 32, 1>>(ctx, a);
}
void forward_tf32(const Context& ctx, const kernels::AttentionArgs& a) {
  if (a.head_dim <= 48) launch_mma<MmaTile<float, 48, 48, 32, 4, 1, 64, 2>>(ctx, a);
  else if (a.head_dim <= 64) launch_mma<MmaTile<float, 64, 64, 32, 4, 1, 64, 2>>(ctx, a);
  else if (a.head_dim <= 80) launch_mma<MmaTile<float, 80, 80, 32, 4, 1, 32, 2>>(ctx, a);
  else if (a.head_dim <= 160) launch_mma<MmaTile<float, 160, 160, 16, 4, 2, 32, 1>>(ctx, a);
  else launch_mma<MmaTile<float, 512, 64, 16, 2, 4, 32, 1>>(ctx, a);
}

}  // namespace

void attention(const Context& ctx, DType type, const kernels::AttentionArgs& a) {
  check_head("attention", a.head_dim);
  if (a.batch * a.heads * a.queries == 0) return;
  if (type == DType::f32) ctx.tf32 ? forward_tf32(ctx, a) : forward<float>(ctx, a);
  else if (type == DType::f64) forward<double>(ctx, a);
  else if (type == DType::bf16) forward_bf16(ctx, a);
  else refuse_type("attention", type);
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
