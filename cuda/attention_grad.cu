// Attention backward by blocks: P is computed again from Q, K and the log-sum-exp of the forward pass.     Dao et al. 2022
//
//   dV = Pᵀ dO     dP = dO Vᵀ     dS = P ∘ (dP - δ), δ_i = Σ_d dO_id O_id     dQ = scale dS K     dK = scale dSᵀ Q
//
// One kernel for δ, one that owns keys and walks over queries (dK, dV), one that owns queries and walks over keys (dQ):
// no atomics, every sum in one order. Memory: two numbers a query.
#include "attention.hpp"

#include "attention_tiles.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {
namespace {

using namespace flash;

template <class T> struct Backward : Problem<T> {
  using C = Compute<T>;
  Rows<const T> o, d_o;
  const C* lse;        // natural, [B, H, N]
  C *reach, *delta;    // [B, H, N]: lse in units of log 2, +inf for a query without keys (its P is 0); δ
  Rows<T> dq, dk, dv;  // each may be null
};

SSPO_DEVICE float widen(bf16 x) { return to_float(x); }
SSPO_DEVICE float widen(float x) { return x; }
SSPO_DEVICE double widen(double x) { return x; }

// δ and lse of each query.
// Owns:  8 threads a query, 16 bytes each at a time.     Costs: o and d_o read once.
template <class T, int THREADS>
__global__ void __launch_bounds__(THREADS) attention_row_terms(Backward<T> a, Index count) {
  using C = Compute<T>;
  constexpr int lanes = 8, piece = 16 / int(sizeof(T));
  const int lane = int(threadIdx.x) % lanes;
  const Index query = Index(blockIdx.x) * (THREADS / lanes) + int(threadIdx.x) / lanes;
  C sum = 0;
  if (query < count) {
    const Index head = query / a.queries, i = query % a.queries;
    const Index b = head / a.heads, h = head % a.heads;
    const T *const o = a.o.at(b, h, i), *const d_o = a.d_o.at(b, h, i);
    if (a.o.wide && a.d_o.wide) {
      for (int d = lane * piece; d < a.head_dim; d += lanes * piece) {
        const Vector<T, piece> x = load_vector<piece>(o + d), y = load_vector<piece>(d_o + d);
#pragma unroll
        for (int e = 0; e < piece; ++e) sum += widen(x.x[e]) * widen(y.x[e]);
      }
    } else {
      for (int d = lane; d < a.head_dim; d += lanes) sum += widen(o[d]) * widen(d_o[d]);
    }
  }
#pragma unroll
  for (int step = lanes / 2; step > 0; step >>= 1) sum += __shfl_xor_sync(whole_warp, sum, step);
  if (lane != 0 || query >= count) return;
  const C lse = a.lse[query];
  a.reach[query] = lse == -infinity<C> ? infinity<C> : lse * C(log2_e);
  a.delta[query] = sum;
}

// The terms of the queries from `first` on into shared memory [2][tile]: P = 0 and δ = 0 where there are none.
template <int THREADS, class T>
SSPO_DEVICE void load_terms(Compute<T>* to, int tile, const Backward<T>& a, const Place& at, Index first) {
  const Index head = (at.b * a.heads + at.h) * a.queries;
  for (int i = int(threadIdx.x); i < tile; i += THREADS) {
    const bool valid = first + i < a.queries;
    to[i] = valid ? a.reach[head + first + i] : infinity<Compute<T>>;
    to[tile + i] = valid ? a.delta[head + first + i] : 0;
  }
}
// Where the walk over tiles of queries begins that may see a key from `key` on; where that over keys ends.
template <class T> SSPO_DEVICE Index first_query(const Backward<T>& a, Index key, int tile) {
  return a.causal ? key / tile * tile : 0;
}
template <class T> SSPO_DEVICE Index keys_end(const Backward<T>& a, Index queries_end) {
  return a.causal && queries_end < a.keys ? queries_end : a.keys;
}

// ------------------------------------------------------------------------------------------ f32 and f64

// dK and dV.
// Owns:  block = (sample, head, tile of keys); 16 threads a key (SimtTile).
// Costs: 8 N M D FLOPs and N M exps a head, half when causal. k, v, dk and dv move once, q and d_o once per tile of keys.
// Needs: K, V, one tile of Q, one of dO and the tile's Pᵀ and dSᵀ in shared memory; dK and dV in registers.
template <class Tile>
__global__ void __launch_bounds__(Tile::threads, Tile::resident) attention_keys_grad_simt(Backward<typename Tile::T> a) {
  using T = typename Tile::T;
  Carver<T> carve;
  T *const k = carve(Tile::own), *const v = carve(Tile::own), *const q = carve(Tile::walked), *const d_o = carve(Tile::walked);
  T *const p_shared = carve(Tile::weights), *const ds_shared = carve(Tile::weights), *const terms = carve.next;  // [2][others]
  const Place at = place_of_block<Tile::rows>(a.heads, a.keys, false);
  const int rows = rows_left(a.keys, at.first, Tile::rows);
  const auto bring_queries = [&](Index query, int, int) {
    const int n = rows_left(a.queries, query, Tile::others);
    bring<Tile, Tile::others>(q, a.q, at, query, n, a.head_dim);
    bring<Tile, Tile::others>(d_o, a.d_o, at, query, n, a.head_dim);
    load_terms<Tile::threads>(terms, Tile::others, a, at, query);
  };

  typename Tile::Sums dk = {}, dv = {};
  bring<Tile, Tile::rows>(k, a.k, at, at.first, rows, a.head_dim);
  bring<Tile, Tile::rows>(v, a.v, at, at.first, rows, a.head_dim);
  walk<Tile, 1>(first_query(a, at.first, Tile::others), a.queries, bring_queries, [&](Index query, int, int) {
    const Scores<T> score = scores_of_tile<Tile::others, Tile::rows>(a, at, query, at.first);
    typename Tile::Products p, ds;
    simt_products<Tile>(p, k, q, a.head_dim);                                         // 1. Sᵀ
    simt_products<Tile>(ds, v, d_o, a.head_dim);                                      // 2. dPᵀ
#pragma unroll
    for (int i = 0; i < Tile::rows_each; ++i)
#pragma unroll
      for (int j = 0; j < Tile::others_each; ++j) {                                   // 3. Pᵀ and dSᵀ
        const int other = simt_lane() + j * Tile::lanes;
        p[i][j] = std::exp2(score(p[i][j], other, simt_group() + i * Tile::groups) - terms[other]);
        ds[i][j] = p[i][j] * (ds[i][j] - terms[Tile::others + other]);
      }
    if (a.dv.data) simt_weighted_sums<Tile>(dv, p, p_shared, d_o, a.head_dim);        // 4. dV += Pᵀ dO
    if (a.dk.data) simt_weighted_sums<Tile>(dk, ds, ds_shared, q, a.head_dim);        // 5. dK += dSᵀ Q
  });

  scale_all(dk, a.scale);
  if (a.dk.data) simt_store<Tile>(a.dk, at, rows, a.head_dim, dk);
  if (a.dv.data) simt_store<Tile>(a.dv, at, rows, a.head_dim, dv);
}

// dQ.
// Owns:  block = (sample, head, tile of queries); 16 threads a query (SimtTile).
// Costs: 6 N M D FLOPs and N M exps a head, half when causal. q, d_o and dq move once, k and v once per tile of queries.
// Needs: Q, dO, one tile of K, one of V and the tile's dS in shared memory; dQ in registers.
template <class Tile>
__global__ void __launch_bounds__(Tile::threads, Tile::resident) attention_queries_grad_simt(Backward<typename Tile::T> a) {
  using T = typename Tile::T;
  Carver<T> carve;
  T *const q = carve(Tile::own), *const d_o = carve(Tile::own), *const k = carve(Tile::walked), *const v = carve(Tile::walked);
  T* const weights = carve.next;
  const Place at = place_of_block<Tile::rows>(a.heads, a.queries, a.causal);
  const int rows = rows_left(a.queries, at.first, Tile::rows);
  const auto bring_keys = [&](Index key, int, int) {
    const int n = rows_left(a.keys, key, Tile::others);
    bring<Tile, Tile::others>(k, a.k, at, key, n, a.head_dim);
    bring<Tile, Tile::others>(v, a.v, at, key, n, a.head_dim);
  };

  typename Tile::Sums dq = {};
  T reach[Tile::rows_each], delta[Tile::rows_each];
#pragma unroll
  for (int i = 0; i < Tile::rows_each; ++i) {
    const int row = simt_group() + i * Tile::groups;
    const Index query = (at.b * a.heads + at.h) * a.queries + at.first + row;
    reach[i] = row < rows ? a.reach[query] : infinity<T>, delta[i] = row < rows ? a.delta[query] : 0;
  }
  bring<Tile, Tile::rows>(q, a.q, at, at.first, rows, a.head_dim);
  bring<Tile, Tile::rows>(d_o, a.d_o, at, at.first, rows, a.head_dim);
  walk<Tile, 1>(0, keys_end(a, at.first + Tile::rows), bring_keys, [&](Index key, int, int) {
    const Scores<T> score = scores_of_tile<Tile::rows, Tile::others>(a, at, at.first, key);
    typename Tile::Products s, ds;
    simt_products<Tile>(s, q, k, a.head_dim);                                         // 1. S
    simt_products<Tile>(ds, d_o, v, a.head_dim);                                      // 2. dP
#pragma unroll
    for (int i = 0; i < Tile::rows_each; ++i)
#pragma unroll
      for (int j = 0; j < Tile::others_each; ++j) {                                   // 3. dS
        const T p = std::exp2(score(s[i][j], simt_group() + i * Tile::groups, simt_lane() + j * Tile::lanes) - reach[i]);
        ds[i][j] = p * (ds[i][j] - delta[i]);
      }
    simt_weighted_sums<Tile>(dq, ds, weights, k, a.head_dim);                         // 4. dQ += dS K
  });
  scale_all(dq, a.scale);
  simt_store<Tile>(a.dq, at, rows, a.head_dim, dq);
}

// ---------------------------------------------------------------------------------------- tensor cores

// Where a head comes whole, the block's own rows stay in shared memory, and a tile of the others is one step. Where it comes in
// slices, so do the own rows: the steps of a tile are the slices of all four for S and dP, then again those that sums are made of.
template <class Tile> constexpr bool whole_head = Tile::slices == 1;
template <class Tile> constexpr int steps = whole_head<Tile> ? 1 : 2 * Tile::slices;
template <class Tile> constexpr int own_stages = whole_head<Tile> ? 1 : Tile::stages;

// dK and dV on tensor cores, bf16 or f32 as tf32, sums in f32; P and dS are rounded to what the factors are.
// Owns:  block = (sample, head, tile of keys); a warp 16 or 32 keys, shared with others where the head is wide (MmaTile).
// Costs: 8 N M D FLOPs and N M exps a head, half when causal. k, v, dk and dv move once, q and d_o once per tile of keys. In slices:
//        k and v once per tile of queries, q and d_o twice per tile of keys.
// Needs: K, V and two tiles of Q and of dO in shared memory; dK and dV in registers.
template <class Tile>
__global__ void __launch_bounds__(Tile::threads, Tile::resident) attention_keys_grad_mma(Backward<typename Tile::T> a) {
  using T = typename Tile::T;
  constexpr int slices = Tile::slices;
  Carver<T> carve;
  T *const own = carve(2 * own_stages<Tile> * Tile::own), *const walked = carve(2 * Tile::stages * Tile::walked);  // K, V; Q, dO
  T *const p_shared = carve(Tile::weights), *const ds_shared = carve(Tile::weights);
  float* const all_terms = reinterpret_cast<float*>(carve.next);  // [stages][2][others]
  const Place at = place_of_block<Tile::rows>(a.heads, a.keys, false);
  const int rows = rows_left(a.keys, at.first, Tile::rows);
  const WarpPlace<Tile> w;
  const auto bring_own = [&](int step, int stage) {
    T* const to = own + 2 * stage * Tile::own;
    bring<Tile, Tile::rows>(to, a.k, at, at.first, rows, a.head_dim, step * Tile::slice);
    bring<Tile, Tile::rows>(to + Tile::own, a.v, at, at.first, rows, a.head_dim, step * Tile::slice);
  };
  const auto bring_queries = [&](Index query, int step, int stage) {
    const int n = rows_left(a.queries, query, Tile::others), column = step % slices * Tile::slice;
    T* const to = walked + 2 * stage * Tile::walked;
    if (!whole_head<Tile> && step < slices) bring_own(step, stage);
    bring<Tile, Tile::others>(to, a.q, at, query, n, a.head_dim, column);
    bring<Tile, Tile::others>(to + Tile::walked, a.d_o, at, query, n, a.head_dim, column);
    if (step == slices - 1) load_terms<Tile::threads>(all_terms + 2 * stage * Tile::others, Tile::others, a, at, query);
  };

  typename Tile::Sums dk = {}, dv = {};
  typename Tile::Products p, ds;
  if (whole_head<Tile>) bring_own(0, 0);
  walk<Tile, steps<Tile>>(first_query(a, at.first, Tile::others), a.queries, bring_queries, [&](Index query, int step, int stage) {
    const T *const q = walked + 2 * stage * Tile::walked, *const d_o = q + Tile::walked;
    if (step < slices) {
      const T *const k = own + (whole_head<Tile> ? 0 : 2 * stage * Tile::own), *const v = k + Tile::own;
      if (step == 0) clear(p), clear(ds);
      mma_products<Tile>(p, k + w.row * Tile::ld, q + w.column * Tile::ld);           // 1. Sᵀ
      mma_products<Tile>(ds, v + w.row * Tile::ld, d_o + w.column * Tile::ld);        // 2. dPᵀ
    }
    if (step == slices - 1) {
      const float* const terms = all_terms + 2 * stage * Tile::others;
      const Scores<float> score = scores_of_tile<Tile::others, Tile::rows>(a, at, query, at.first);
      each_product(w, [&](int m, int n, int e, int row, int column) {                 // 3. Pᵀ and dSᵀ
        p[m][n][e] = std::exp2(score(p[m][n][e], column, row) - terms[column]);
        ds[m][n][e] = p[m][n][e] * (ds[m][n][e] - terms[Tile::others + column]);
      });
      share_weights<Tile>(p_shared, p, w);
      share_weights<Tile>(ds_shared, ds, w);
      if (whole_head<Tile> && Tile::column_warps > 1) __syncthreads();
    }
    if (whole_head<Tile> || step >= slices) {
      if (a.dv.data) mma_weighted_sums<Tile>(dv, p, p_shared, d_o, w, step % slices); // 4. dV += Pᵀ dO
      if (a.dk.data) mma_weighted_sums<Tile>(dk, ds, ds_shared, q, w, step % slices); // 5. dK += dSᵀ Q
    }
  });

  scale_all(dk, a.scale);
  if (a.dk.data) mma_store(a.dk, at, rows, a.head_dim, dk, own, w);                   // 6. bf16 by way of where the keys were
  if (a.dv.data) mma_store(a.dv, at, rows, a.head_dim, dv, own, w);
}

// dQ on tensor cores, bf16 or f32 as tf32, sums in f32; dS is rounded to what the factors are.
// Owns:  block = (sample, head, tile of queries); a warp 16 or 32 queries, shared with others where the head is wide (MmaTile).
// Costs: 6 N M D FLOPs and N M exps a head, half when causal. q, d_o and dq move once, k and v once per tile of queries. In slices:
//        q and d_o once per tile of keys, k twice and v once per tile of queries.
// Needs: Q, dO and two tiles of K and of V in shared memory; dQ in registers.
template <class Tile>
__global__ void __launch_bounds__(Tile::threads, Tile::resident) attention_queries_grad_mma(Backward<typename Tile::T> a) {
  using T = typename Tile::T;
  constexpr int slices = Tile::slices;
  Carver<T> carve;
  T *const own = carve(2 * own_stages<Tile> * Tile::own), *const walked = carve(2 * Tile::stages * Tile::walked);  // Q, dO; K, V
  T* const shared = carve.next;
  const Place at = place_of_block<Tile::rows>(a.heads, a.queries, a.causal);
  const int rows = rows_left(a.queries, at.first, Tile::rows);
  const WarpPlace<Tile> w;
  const auto bring_own = [&](int step, int stage) {
    T* const to = own + 2 * stage * Tile::own;
    bring<Tile, Tile::rows>(to, a.q, at, at.first, rows, a.head_dim, step * Tile::slice);
    bring<Tile, Tile::rows>(to + Tile::own, a.d_o, at, at.first, rows, a.head_dim, step * Tile::slice);
  };
  const auto bring_keys = [&](Index key, int step, int stage) {
    const int n = rows_left(a.keys, key, Tile::others), column = step % slices * Tile::slice;
    T* const to = walked + 2 * stage * Tile::walked;
    if (!whole_head<Tile> && step < slices) bring_own(step, stage);
    bring<Tile, Tile::others>(to, a.k, at, key, n, a.head_dim, column);
    if (step < slices) bring<Tile, Tile::others>(to + Tile::walked, a.v, at, key, n, a.head_dim, column);
  };

  typename Tile::Sums dq = {};
  typename Tile::Products s, ds;
  float reach[2 * Tile::tall], delta[2 * Tile::tall];  // of a lane's rows
#pragma unroll
  for (int i = 0; i < 2 * Tile::tall; ++i) {
    const int r = w.row + i / 2 * 16 + fragment_row(i % 2 * 2);
    const Index query = (at.b * a.heads + at.h) * a.queries + at.first + r;
    reach[i] = r < rows ? a.reach[query] : infinity<float>, delta[i] = r < rows ? a.delta[query] : 0;
  }
  if (whole_head<Tile>) bring_own(0, 0);
  walk<Tile, steps<Tile>>(0, keys_end(a, at.first + Tile::rows), bring_keys, [&](Index key, int step, int stage) {
    const T *const k = walked + 2 * stage * Tile::walked, *const v = k + Tile::walked;
    if (step < slices) {
      const T *const q = own + (whole_head<Tile> ? 0 : 2 * stage * Tile::own), *const d_o = q + Tile::own;
      if (step == 0) clear(s), clear(ds);
      mma_products<Tile>(s, q + w.row * Tile::ld, k + w.column * Tile::ld);           // 1. S
      mma_products<Tile>(ds, d_o + w.row * Tile::ld, v + w.column * Tile::ld);        // 2. dP
    }
    if (step == slices - 1) {
      const Scores<float> score = scores_of_tile<Tile::rows, Tile::others>(a, at, at.first, key);
      each_product(w, [&](int m, int n, int e, int row, int column) {                 // 3. dS
        const int i = 2 * m + e / 2;
        ds[m][n][e] = std::exp2(score(s[m][n][e], row, column) - reach[i]) * (ds[m][n][e] - delta[i]);
      });
      share_weights<Tile>(shared, ds, w);
      if (whole_head<Tile> && Tile::column_warps > 1) __syncthreads();
    }
    if (whole_head<Tile> || step >= slices) mma_weighted_sums<Tile>(dq, ds, shared, k, w, step % slices);  // 4. dQ += dS K
  });

  scale_all(dq, a.scale);
  mma_store(a.dq, at, rows, a.head_dim, dq, own, w);                                  // 5. bf16 by way of where the queries were
}

// --------------------------------------------------------------------------------------------- launches

template <class T> Backward<T> backward_of(const kernels::AttentionGradArgs& a, Compute<T>* terms) {
  Backward<T> g;
  static_cast<Problem<T>&>(g) = problem_of<T>(a);
  g.o = rows_of<T>(a.o, a.head_dim), g.d_o = rows_of<T>(a.d_o, a.head_dim);
  g.lse = static_cast<const Compute<T>*>(a.lse);
  g.reach = terms, g.delta = terms + a.batch * a.heads * a.queries;
  g.dq = rows_of<T>(a.dq, a.head_dim), g.dk = rows_of<T>(a.dk, a.head_dim), g.dv = rows_of<T>(a.dv, a.head_dim);
  return g;
}

template <class T> void launch_tile(const Context& ctx, Index heads, const Backward<T>& g, const char* name, Index of, int rows, int threads,
                                     std::size_t shared_bytes, void (*kernel)(Backward<T>)) {
  check_shared("attention_grad", dtype_of<T>, g.head_dim, shared_bytes);
  launch(ctx.stream, plan_of(name, heads, of, rows, threads, shared_bytes), kernel, g);
}
template <class Tile> void launch_simt(const Context& ctx, Index heads, const Backward<typename Tile::T>& g) {
  constexpr std::size_t element = sizeof(typename Tile::T), tiles = element * 2 * (Tile::own + Tile::walked);
  constexpr std::size_t weights = element * Tile::weights, terms = element * 2 * Tile::others;
  static_assert(element > 4 || tiles + 2 * weights + terms <= least_shared);
  if ((g.dk.data || g.dv.data) && g.keys > 0)
    launch_tile(ctx, heads, g, "attention_keys_grad_simt", g.keys, Tile::rows, Tile::threads, tiles + 2 * weights + terms, attention_keys_grad_simt<Tile>);
  if (g.dq.data && g.queries > 0)
    launch_tile(ctx, heads, g, "attention_queries_grad_simt", g.queries, Tile::rows, Tile::threads, tiles + weights, attention_queries_grad_simt<Tile>);
}
template <class T> void launch_main(const Context& ctx, Index heads, const Backward<T>& g) {
  if (g.head_dim <= 64) launch_simt<SimtTile<T, 64>>(ctx, heads, g);
  else if (g.head_dim <= 160) launch_simt<SimtTile<T, 160>>(ctx, heads, g);
  else launch_simt<SimtTile<T, 512, 8>>(ctx, heads, g);  // f32: half the rows of forward's tile, of two arrays instead of one
}

template <class Tile> constexpr std::size_t grad_mma_bytes(int weights, int terms) {
  return sizeof(typename Tile::T) * (2 * (own_stages<Tile> * Tile::own + Tile::stages * Tile::walked) + weights * Tile::weights) +
         sizeof(float) * terms * Tile::stages * Tile::others;
}
template <class KeysTile, class QueriesTile = KeysTile>
void launch_mma(const Context& ctx, Index heads, const Backward<typename KeysTile::T>& g) {
  constexpr std::size_t keys_bytes = grad_mma_bytes<KeysTile>(2, 2), queries_bytes = grad_mma_bytes<QueriesTile>(1, 0);
  static_assert(std::max(keys_bytes, queries_bytes) <= least_shared);
  if ((g.dk.data || g.dv.data) && g.keys > 0)
    launch_tile(ctx, heads, g, "attention_keys_grad_mma", g.keys, KeysTile::rows, KeysTile::threads, keys_bytes,
                attention_keys_grad_mma<KeysTile>);
  if (g.dq.data && g.queries > 0)
    launch_tile(ctx, heads, g, "attention_queries_grad_mma", g.queries, QueriesTile::rows, QueriesTile::threads, queries_bytes,
                attention_queries_grad_mma<QueriesTile>);
}
// Tiles that keep products and sums in registers without spilling (sm_80, sm_90): 124 to 254 a thread.
void launch_on_tensor_cores(const Context& ctx, Index heads, const Backward<bf16>& g) {
  if (g.head_dim <= 48) launch_mma<MmaTile<bf16, 48, 48, 32, 4, 1, 32, 2>>(ctx, heads, g);
  else if (g.head_dim <= 64) launch_mma<MmaTile<bf16, 64, 64, 16, 4, 1, 64, 2>, MmaTile<bf16, 64, 64, 32, 4, 1, 32, 2>>(ctx, heads, g);
  else if (g.head_dim <= 80) launch_mma<MmaTile<bf16, 80, 80, 16, 4, 1, 32, 2>, MmaTile<bf16, 80, 80, 32, 4, 1, 32, 2>>(ctx, heads, g);
  else if (g.head_dim <= 160) launch_mma<MmaTile<bf16, 160, 160, 16, 4, 2, 32, 2>>(ctx, heads, g);
  else launch_mma<MmaTile<bf16, 512, 128, 16, 2, 4, 32, 1>>(ctx, heads, g);
}
void launch_on_tensor_cores(const Context& ctx, Index heads, const Backward<float>& g) {  // tf32
  if (g.head_dim <= 48) launch_mma<MmaTile<float, 48, 48, 32, 4, 1, 32, 2>, MmaTile<float, 48, 48, 16, 4, 1, 32, 2>>(ctx, heads, g);
  else if (g.head_dim <= 64) launch_mma<MmaTile<float, 64, 64, 16, 4, 1, 32, 2>>(ctx, heads, g);
  else if (g.head_dim <= 80) launch_mma<MmaTile<float, 80, 80, 16, 4, 1, 16, 2>>(ctx, heads, g);
  else if (g.head_dim <= 160) launch_mma<MmaTile<float, 160, 160, 16, 2, 2, 16, 2>>(ctx, heads, g);
  else launch_mma<MmaTile<float, 512, 64, 16, 2, 4, 32, 1>>(ctx, heads, g);
}

template <class T> void backward(const Context& ctx, const kernels::AttentionGradArgs& a) {
  constexpr int threads = 256, lanes = 8;
  const Index heads = a.batch * a.heads;
  const Workspace terms(ctx, std::size_t(2 * heads * a.queries) * sizeof(Compute<T>), "attention_grad");
  const Backward<T> g = backward_of<T>(a, terms.as<Compute<T>>());
  if (a.queries > 0)
    launch(ctx.stream, plan_of("attention_row_terms", 1, heads * a.queries, threads / lanes, threads, 0),
           attention_row_terms<T, threads>, g, heads * a.queries);
  if constexpr (sizeof(T) == 8) launch_main<T>(ctx, heads, g);
  else if (std::is_same_v<T, bf16> || ctx.tf32) launch_on_tensor_cores(ctx, heads, g);
  else if constexpr (sizeof(T) == 4) launch_main<T>(ctx, heads, g);
}

}  // namespace

void attention_grad(const Context& ctx, DType type, const kernels::AttentionGradArgs& a) {
  check_head("attention_grad", a.head_dim);
  if (a.batch * a.heads * a.head_dim == 0) return;
  if (type == DType::f32) backward<float>(ctx, a);
  else if (type == DType::f64) backward<double>(ctx, a);
  else if (type == DType::bf16) backward<bf16>(ctx, a);
  else refuse_type("attention_grad", type);
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
