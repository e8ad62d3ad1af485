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
  const auto bring_queries = [&](Index query, int) {
    const int n = rows_left(a.queries, query, Tile::others);
    bring<Tile, Tile::others>(q, a.q, at, query, n, a.head_dim);
    bring<Tile, Tile::others>(d_o, a.d_o, at, query, n, a.head_dim);
    load_terms<Tile::threads>(terms, Tile::others, a, at, query);
  };

  typename Tile::Sums dk = {}, dv = {};
  bring<Tile, Tile::rows>(k, a.k, at, at.first, rows, a.head_dim);
  bring<Tile, Tile::rows>(v, a.v, at, at.first, rows, a.head_dim);
  walk<Tile>(first_query(a, at.first, Tile::others), a.queries, bring_queries, [&](Index query, int) {
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
  const auto bring_keys = [&](Index key, int) {
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
  walk<Tile>(0, keys_end(a, at.first + Tile::rows), bring_keys, [&](Index key, int) {
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

// ------------------------------------------------------------------------------------------------- bf16

// dK and dV on tensor cores, sums in f32; P and dS are rounded to bf16.
// Owns:  block = (sample, head, tile of keys); a warp 16 or 32 keys, shared with others where the head is wide (MmaTile).
// Costs: 8 N M D FLOPs and N M exps a head, half when causal. k, v, dk and dv move once, q and d_o once per tile of keys.
// Needs: K, V and `stages` tiles of Q and of dO in shared memory; dK and dV in registers.
template <class Tile>
__global__ void __launch_bounds__(Tile::threads, Tile::resident) attention_keys_grad_mma(Backward<bf16> a) {
  Carver<bf16> carve;
  bf16 *const k = carve(Tile::own), *const v = carve(Tile::own), *const walked = carve(2 * Tile::stages * Tile::walked);  // Q, dO
  bf16 *const p_shared = carve(Tile::weights), *const ds_shared = carve(Tile::weights);
  float* const all_terms = reinterpret_cast<float*>(carve.next);  // [stages][2][others]
  const Place at = place_of_block<Tile::rows>(a.heads, a.keys, false);
  const int rows = rows_left(a.keys, at.first, Tile::rows);
  const WarpPlace<Tile> w;
  const auto bring_queries = [&](Index query, int stage) {
    const int n = rows_left(a.queries, query, Tile::others);
    bring<Tile, Tile::others>(walked + 2 * stage * Tile::walked, a.q, at, query, n, a.head_dim);
    bring<Tile, Tile::others>(walked + (2 * stage + 1) * Tile::walked, a.d_o, at, query, n, a.head_dim);
    load_terms<Tile::threads>(all_terms + 2 * stage * Tile::others, Tile::others, a, at, query);
  };

  typename Tile::Sums dk = {}, dv = {};
  bring<Tile, Tile::rows>(k, a.k, at, at.first, rows, a.head_dim);
  bring<Tile, Tile::rows>(v, a.v, at, at.first, rows, a.head_dim);
  walk<Tile>(first_query(a, at.first, Tile::others), a.queries, bring_queries, [&](Index query, int stage) {
    const bf16 *const q = walked + 2 * stage * Tile::walked, *const d_o = q + Tile::walked;
    const float* const terms = all_terms + 2 * stage * Tile::others;
    const Scores<float> score = scores_of_tile<Tile::others, Tile::rows>(a, at, query, at.first);
    typename Tile::Products p, ds;
    mma_products<Tile>(p, k + w.row * Tile::ld, q + w.column * Tile::ld);             // 1. Sᵀ
    mma_products<Tile>(ds, v + w.row * Tile::ld, d_o + w.column * Tile::ld);          // 2. dPᵀ
    each_product(w, [&](int m, int n, int e, int row, int column) {                   // 3. Pᵀ and dSᵀ
      p[m][n][e] = std::exp2(score(p[m][n][e], column, row) - terms[column]);
      ds[m][n][e] = p[m][n][e] * (ds[m][n][e] - terms[Tile::others + column]);
    });
    share_weights<Tile>(p_shared, p, w);
    share_weights<Tile>(ds_shared, ds, w);
    if (Tile::column_warps > 1) __syncthreads();
    if (a.dv.data) mma_weighted_sums<Tile>(dv, p, p_shared, d_o, w);                  // 4. dV += Pᵀ dO
    if (a.dk.data) mma_weighted_sums<Tile>(dk, ds, ds_shared, q, w);                  // 5. dK += dSᵀ Q
  });

  scale_all(dk, a.scale);
  stage_sums<Tile>(k, dk, w);                                                         // 6. where keys and values were; out by rows
  stage_sums<Tile>(v, dv, w);
  __syncthreads();
  if (a.dk.data) take<Tile>(a.dk, at, rows, a.head_dim, k);
  if (a.dv.data) take<Tile>(a.dv, at, rows, a.head_dim, v);
}

// dQ on tensor cores, sums in f32; dS is rounded to bf16.
// Owns:  block = (sample, head, tile of queries); a warp 16 or 32 queries, shared with others where the head is wide (MmaTile).
// Costs: 6 N M D FLOPs and N M exps a head, half when causal. q, d_o and dq move once, k and v once per tile of queries.
// Needs: Q, dO and `stages` tiles of K and of V in shared memory; dQ in registers.
template <class Tile>
__global__ void __launch_bounds__(Tile::threads, Tile::resident) attention_queries_grad_mma(Backward<bf16> a) {
  Carver<bf16> carve;
  bf16 *const q = carve(Tile::own), *const d_o = carve(Tile::own), *const walked = carve(2 * Tile::stages * Tile::walked);  // K, V
  bf16* const shared = carve.next;
  const Place at = place_of_block<Tile::rows>(a.heads, a.queries, a.causal);
  const int rows = rows_left(a.queries, at.first, Tile::rows);
  const WarpPlace<Tile> w;
  const auto bring_keys = [&](Index key, int stage) {
    const int n = rows_left(a.keys, key, Tile::others);
    bring<Tile, Tile::others>(walked + 2 * stage * Tile::walked, a.k, at, key, n, a.head_dim);
    bring<Tile, Tile::others>(walked + (2 * stage + 1) * Tile::walked, a.v, at, key, n, a.head_dim);
  };

  typename Tile::Sums dq = {};
  float reach[2 * Tile::tall], delta[2 * Tile::tall];  // of a lane's rows
#pragma unroll
  for (int i = 0; i < 2 * Tile::tall; ++i) {
    const int r = w.row + i / 2 * 16 + fragment_row(i % 2 * 2);
    const Index query = (at.b * a.heads + at.h) * a.queries + at.first + r;
    reach[i] = r < rows ? a.reach[query] : infinity<float>, delta[i] = r < rows ? a.delta[query] : 0;
  }
  bring<Tile, Tile::rows>(q, a.q, at, at.first, rows, a.head_dim);
  bring<Tile, Tile::rows>(d_o, a.d_o, at, at.first, rows, a.head_dim);
  walk<Tile>(0, keys_end(a, at.first + Tile::rows), bring_keys, [&](Index key, int stage) {
    const bf16 *const k = walked + 2 * stage * Tile::walked, *const v = k + Tile::walked;
    const Scores<float> score = scores_of_tile<Tile::rows, Tile::others>(a, at, at.first, key);
    typename Tile::Products s, ds;
    mma_products<Tile>(s, q + w.row * Tile::ld, k + w.column * Tile::ld);             // 1. S
    mma_products<Tile>(ds, d_o + w.row * Tile::ld, v + w.column * Tile::ld);          // 2. dP
    each_product(w, [&](int m, int n, int e, int row, int column) {                   // 3. dS
      const int i = 2 * m + e / 2;
      ds[m][n][e] = std::exp2(score(s[m][n][e], row, column) - reach[i]) * (ds[m][n][e] - delta[i]);
    });
    share_weights<Tile>(shared, ds, w);
    if (Tile::column_warps > 1) __syncthreads();
    mma_weighted_sums<Tile>(dq, ds, shared, k, w);                                    // 4. dQ += dS K
  });

  scale_all(dq, a.scale);
  stage_sums<Tile>(q, dq, w);                                                         // 5. where the queries were; out by rows
  __syncthreads();
  take<Tile>(a.dq, at, rows, a.head_dim, q);
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

template <class Tile> void launch_simt(const Context& ctx, Index heads, const Backward<typename Tile::T>& g) {
  constexpr std::size_t element = sizeof(typename Tile::T), tiles = element * 2 * (Tile::own + Tile::walked);
  constexpr std::size_t weights = element * Tile::weights, terms = element * 2 * Tile::others;
  if ((g.dk.data || g.dv.data) && g.keys > 0)
    launch(ctx.stream, plan_of("attention_keys_grad_simt", heads, g.keys, Tile::rows, Tile::threads, tiles + 2 * weights + terms),
           attention_keys_grad_simt<Tile>, g);
  if (g.dq.data && g.queries > 0)
    launch(ctx.stream, plan_of("attention_queries_grad_simt", heads, g.queries, Tile::rows, Tile::threads, tiles + weights),
           attention_queries_grad_simt<Tile>, g);
}
template <class T> void launch_main(const Context& ctx, Index heads, const Backward<T>& g) {
  if (g.head_dim <= 64) launch_simt<SimtTile<T, 64>>(ctx, heads, g);
  else if (g.head_dim <= 160) launch_simt<SimtTile<T, 160>>(ctx, heads, g);
  else launch_simt<SimtTile<T, 512>>(ctx, heads, g);
}

template <class Tile> constexpr std::size_t grad_mma_bytes(int weights, int terms) {
  return sizeof(bf16) * (2 * (Tile::own + Tile::stages * Tile::walked) + weights * Tile::weights) +
         sizeof(float) * terms * Tile::stages * Tile::others;
}
template <class KeysTile, class QueriesTile> void launch_mma(const Context& ctx, Index heads, const Backward<bf16>& g) {
  if ((g.dk.data || g.dv.data) && g.keys > 0)
    launch(ctx.stream,
           plan_of("attention_keys_grad_mma", heads, g.keys, KeysTile::rows, KeysTile::threads, grad_mma_bytes<KeysTile>(2, 2)),
           attention_keys_grad_mma<KeysTile>, g);
  if (g.dq.data && g.queries > 0)
    launch(ctx.stream,
           plan_of("attention_queries_grad_mma", heads, g.queries, QueriesTile::rows, QueriesTile::threads,
                   grad_mma_bytes<QueriesTile>(1, 0)),
           attention_queries_grad_mma<QueriesTile>, g);
}
// Tiles that keep products and sums in registers without spilling (sm_80, sm_90).
template <> void launch_main<bf16>(const Context& ctx, Index heads, const Backward<bf16>& g) {
  if (g.head_dim <= 48) launch_mma<MmaTile<48, 32, 4, 1, 32, 2, 2>, MmaTile<48, 32, 4, 1, 32, 2, 2>>(ctx, heads, g);
  else if (g.head_dim <= 64) launch_mma<MmaTile<64, 16, 4, 1, 64, 2, 2>, MmaTile<64, 32, 4, 1, 32, 2, 2>>(ctx, heads, g);
  else if (g.head_dim <= 80) launch_mma<MmaTile<80, 16, 4, 1, 32, 2, 2>, MmaTile<80, 32, 4, 1, 32, 2, 2>>(ctx, heads, g);
  else if (g.head_dim <= 160) launch_mma<MmaTile<160, 16, 4, 2, 32, 2, 2>, MmaTile<160, 16, 4, 2, 32, 2, 2>>(ctx, heads, g);
  else launch_mma<MmaTile<512, 16, 2, 4, 32, 1, 1>, MmaTile<512, 16, 2, 4, 32, 1, 1>>(ctx, heads, g);
}

template <class T> void backward(const Context& ctx, const kernels::AttentionGradArgs& a) {
  constexpr int threads = 256, lanes = 8;
  const Index heads = a.batch * a.heads;
  const Workspace terms(ctx, std::size_t(2 * heads * a.queries) * sizeof(Compute<T>), "attention_grad");
  const Backward<T> g = backward_of<T>(a, terms.as<Compute<T>>());
  if (a.queries > 0)
    launch(ctx.stream, plan_of("attention_row_terms", 1, heads * a.queries, threads / lanes, threads, 0),
           attention_row_terms<T, threads>, g, heads * a.queries);
  launch_main<T>(ctx, heads, g);
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
