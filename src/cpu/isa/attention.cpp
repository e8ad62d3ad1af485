// Attention by blocks with an online softmax, so that S and P exist one strip at a time.
//   Milakov & Gimelshein 2018 (online softmax), Dao et al. 2022 (attention by blocks, backward by recomputing P)
//
// A lane is a query in the forward pass, a key in the backward pass. Maxima, sums and exponentials are
// then plain vertical vector code, and every product but one is "broadcast an element of a row, multiply
// a strip of lanes": no horizontal sums, and 77 keys or a head of 40 waste nothing in the forward pass.
#include "cpu/isa/attention_parts.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd_math.hpp"

namespace sspo::cpu::SSPO_ISA {
namespace {

// ---------------------------------------------------------------------------------------------- forward

template <class C>
struct ForwardPanels {
  Index ld;          // row stride of k and v
  C *q, *o;          // a strip's queries in lanes: [strips][D][strip]
  C *top, *sum;      // running maximum and sum of 2^(s - top): [strips][strip]
  C *s;              // one strip of S, then of P: [keys][strip]
  C *k, *v;          // a block's rows: [keys][D]
  C *keep;           // 2^(old top - new top): [strip]
  C *row, *mask;     // rows on their way from or to memory: [strip][D]; a strip of the mask: [keys][strip]
  ForwardPanels(Carver& w, const ForwardBlocks& n, Index D)
      : ld(panel_stride<C>(D)), q(w.take<C>(n.queries * D)), o(w.take<C>(n.queries * D)), top(w.take<C>(n.queries)),
        sum(w.take<C>(n.queries)), s(w.take<C>(n.keys * strip<C>)), k(w.take<C>(n.keys * ld)), v(w.take<C>(n.keys * ld)),
        keep(w.take<C>(strip<C>)), row(w.take<C>(strip<C> * ld)), mask(w.take<C>(n.keys * strip<C>)) {}
};

// One strip of S becomes P = 2^(S - top) for the new maximum; sum and keep follow.        s [keys][strip]
template <class C, int L>
void softmax_strip(Index keys, C* s, C* top, C* sum, C* keep) {
  using P = Pack<C>;
  P m[L], total[L];
  for (int l = 0; l < L; ++l) m[l] = P::load(top + l * P::size);
  for (Index j = 0; j < keys; ++j)
    for (int l = 0; l < L; ++l) {
      const P x = P::load(s + j * strip<C> + l * P::size);
      m[l] = select<C>(x > m[l], x, m[l]);
    }
  for (int l = 0; l < L; ++l) {
    const P before = P::load(top + l * P::size);
    m[l].store(top + l * P::size);
    m[l] = select<C>(m[l] == P(-infinity<C>), P(C(0)), m[l]);  // no key seen yet: 2^(-inf - 0) = 0
    exp2_of_negative(before - m[l]).store(keep + l * P::size);
    total[l] = P(C(0));
  }
  for (Index j = 0; j < keys; ++j)
    for (int l = 0; l < L; ++l) {
      const P p = exp2_of_negative(P::load(s + j * strip<C> + l * P::size) - m[l]);
      p.store(s + j * strip<C> + l * P::size);
      total[l] += p;
    }
  for (int l = 0; l < L; ++l)
    fma(P::load(sum + l * P::size), P::load(keep + l * P::size), total[l]).store(sum + l * P::size);
}

// Owns:  task = a block of queries of one (sample, head); lane = a query.
// Costs: 4 N M D FLOPs and N M exps a head; k and v are read once per block of queries, q and o once.
template <class T>
void forward(const Context& ctx, const AttentionArgs& a) {
  using C = Compute<T>;
  const Index H = a.heads, N = a.queries, M = a.keys, D = a.head_dim;
  if (a.batch == 0 || H == 0 || N == 0) return;
  const ForwardBlocks size = forward_blocks<C>(a);
  Carver measure{nullptr};
  ForwardPanels<C>(measure, size, D);
  const Workspace memory(ctx, measure.used * std::size_t(ctx.threads));

  const Index per_head = blocks(N, size.queries);
  parallel_for(ctx, a.batch * H * per_head, [&](Index task, int worker) {
    const Index b = task / (H * per_head), h = task / per_head % H, q0 = task % per_head * size.queries;
    const Index nq = least(size.queries, N - q0);
    Carver carver{memory.as<char>() + std::size_t(worker) * measure.used};
    const ForwardPanels<C> w(carver, size, D);

    const auto load_queries = [&](Index i) {  // 1. queries into lanes, S already in units of log 2
      const Index width = least(strip<C>, nq - i), next = least(strip<C>, nq - i - width);
      gather_columns<C>(rows_at<T>(a.q, b, q0 + i, h), a.q.strides.row, width, D, w.q + i * D, C(a.scale * log2_e),
                        w.row, w.ld);
      if (next > 0) prefetch_rows<0>(rows_at<T>(a.q, b, q0 + i + width, h), a.q.strides.row, next, D);
      prefetch_rows<1>(rows_at<T>(a.o, b, q0 + i, h), a.o.strides.row, width, D);
      for (Index j = i; j < i + strip<C>; ++j) w.top[j] = -infinity<C>, w.sum[j] = 0;
    };
    const auto store_output = [&](Index i) {  // 5. divide by the sums, queries back into rows
      using P = Pack<C>;
      const Index width = least(strip<C>, nq - i);
      for (int l = 0; l < tile_packs; ++l) {
        const P total = P::load(w.sum + i + l * P::size);
        const P inverse = select<C>(total == P(C(0)), P(C(0)), P(C(1)) / total);
        fma(P(C(log_2)), P::load(w.top + i + l * P::size), log(total)).store(w.sum + i + l * P::size);
        for (Index d = 0; d < D; ++d) {
          C* o = w.o + i * D + d * strip<C> + l * P::size;
          (inverse * P::load(o)).store(o);
        }
      }
      scatter_columns<C>(w.o + i * D, width, D, rows_at<T>(a.o, b, q0 + i, h), a.o.strides.row, C(1), w.row, w.ld);
      if (C* const lse = static_cast<C*>(a.lse))
        std::memcpy(lse + (b * H + h) * N + q0 + i, w.sum + i, std::size_t(width) * sizeof(C));
    };

    const Index seen = a.causal ? least(M, q0 + nq) : M;
    Index k0 = 0;
    do {
      const Index block = least(size.keys, seen - k0);
      gather_rows<C>(rows_at<T>(a.k, b, k0, h), a.k.strides.row, block, D, w.k, w.ld);
      gather_rows<C>(rows_at<T>(a.v, b, k0, h), a.v.strides.row, block, D, w.v, w.ld);
      for (Index i = 0; i < nq; i += strip<C>) {
        const Index width = least(strip<C>, nq - i), nk = a.causal ? least(block, q0 + i + width - k0) : block;
        if (k0 == 0) load_queries(i);
        if (nk > 0 || k0 == 0) {
          strip_product<C, Order::rows>(width, nk, D, w.k, w.ld, w.q + i * D, strip<C>, w.s, strip<C>, nullptr);  // 2. S
          if (a.mask.data) add_mask<C>(a, b, h, q0 + i, width, k0, nk, w.s, w.mask);
          if (a.causal && k0 + nk > q0 + i + 1) hide_later_keys<C>(q0 + i, k0, nk, w.s);
          if (width > lanes<C>) softmax_strip<C, 2>(nk, w.s, w.top + i, w.sum + i, w.keep);  // 3. P
          else softmax_strip<C, 1>(nk, w.s, w.top + i, w.sum + i, w.keep);
          strip_product<C, Order::columns>(width, D, nk, w.v, w.ld, w.s, strip<C>, w.o + i * D, strip<C>,
                                           k0 == 0 ? nullptr : w.keep);  // 4. O = keep ∘ O + P V
        }
        if (k0 + size.keys >= seen) store_output(i);
      }
      k0 += size.keys;
    } while (k0 < seen);
  });
}

// --------------------------------------------------------------------------------------------- backward

// Steps over keys and queries, and the segments that tasks are made of. In wave w, task s adds what the
// queries of segment (s + w) mod n owe to the keys of segment s: no two tasks of a wave share a query or a
// key, each gradient is summed in the order of the waves, and no buffer is needed to keep tasks apart.
struct BackwardBlocks {
  Index queries, keys;                    // a block
  Index segments;                         // n
  Index segment_queries, segment_keys;    // whole blocks
};
template <class C>
BackwardBlocks backward_blocks(const AttentionGradArgs& a) {
  constexpr Index enough_tasks = 16, least_segment = 256;
  BackwardBlocks n;
  n.queries = 64;
  n.keys = round_up(most(1, least(a.keys, 128)), strip<C>);
  n.segments = most(1, least(blocks(enough_tasks, a.batch * a.heads), least(a.queries, a.keys) / least_segment));
  n.segment_queries = round_up(blocks(a.queries, n.segments), n.queries);
  n.segment_keys = round_up(blocks(a.keys, n.segments), n.keys);
  return n;
}

template <class C>
struct BackwardPanels {
  Index ld, ld_ds;
  C *kt, *vt;        // a block's keys in lanes: [strips][D][strip]; K scale log2(e) and V scale
  C *k;              // and in rows: [keys][D]
  C *q, *d_o;        // a block's queries in rows: [queries][D]
  C *p;              // one strip of S, then of P: [queries][strip]
  C *ds;             // scale dS of the block: [queries][keys]
  C *dkt, *dvt;      // gradients of the block's keys: [strips][D][strip]
  C *row;            // rows on their way from or to memory: [strip][D]
  BackwardPanels(Carver& w, const BackwardBlocks& n, Index D)
      : ld(panel_stride<C>(D)), ld_ds(panel_stride<C>(n.keys)), kt(w.take<C>(n.keys * D)), vt(w.take<C>(n.keys * D)),
        k(w.take<C>(n.keys * ld)), q(w.take<C>(n.queries * ld)), d_o(w.take<C>(n.queries * ld)),
        p(w.take<C>(n.queries * strip<C>)), ds(w.take<C>(n.queries * ld_ds)), dkt(w.take<C>(n.keys * D)),
        dvt(w.take<C>(n.keys * D)), row(w.take<C>(strip<C> * ld)) {}
};

// What all tasks share.
template <class C>
struct BackwardTotals {
  C *lse, *delta;    // [B, H, N]: log2 Σ 2^S (inf for a query without keys) and scale Σ_d dO O
  C *dq;             // [B, H, N, D rounded up to packs], where dq itself can't serve as the running sum
  C *dkt, *dvt;      // [B, H, M rounded up to strips, D] in strips, where more than one task adds to a key
  BackwardTotals(Carver& w, const AttentionGradArgs& a, const BackwardBlocks& n, bool dq_in_place) {
    const Index heads = a.batch * a.heads, keys = n.segments > 1 ? heads * round_up(a.keys, strip<C>) * a.head_dim : 0;
    lse = w.take<C>(heads * a.queries), delta = w.take<C>(heads * a.queries);
    dq = w.take<C>(dq_in_place ? 0 : heads * a.queries * round_up(a.head_dim, lanes<C>));
    dkt = w.take<C>(keys), dvt = w.take<C>(keys);
  }
};

// S of some rows and one strip of keys becomes P = 2^(S - lse); dS' = scale dS = P (dP' - delta'), where
// dP' = scale dO Vᵀ, given in ds, and delta' = scale Σ_d dO O.               p [rows][strip], ds [rows][ld_ds]
template <class C, int L>
void probabilities(Index rows, const C* lse, C* p) {
  using P = Pack<C>;
  for (Index i = 0; i < rows; ++i)
    for (int l = 0; l < L; ++l) {
      C* s = p + i * strip<C> + l * P::size;
      exp2_of_negative(P::load(s) - P(lse[i])).store(s);
    }
}
template <class C, int L>
void score_gradients(Index rows, const C* delta, const C* p, C* ds, Index ld_ds) {
  using P = Pack<C>;
  for (Index i = 0; i < rows; ++i)
    for (int l = 0; l < L; ++l) {
      C* g = ds + i * ld_ds + l * P::size;
      (P::load(p + i * strip<C> + l * P::size) * (P::load(g) - P(delta[i]))).store(g);
    }
}

// S += log2(e) mask: `rows` queries from `query` on, `width` keys from `key` on.             s [rows][strip]
template <class C>
void add_mask_rows(const AttentionMask& m, Index b, Index h, Index query, Index rows, Index key, Index width, C* s) {
  using P = Pack<C>;
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < width; j += P::size) {
      const C* mask = mask_at<C>(m, b, h, query + i, key + j);
      const P x = width - j < P::size ? P::load_n(mask, width - j) : P::load(mask);
      fma(P(C(log2_e)), x, P::load(s + i * strip<C> + j)).store(s + i * strip<C> + j);
    }
}

// S = -inf where the key lies after the query.                                                s [rows][strip]
template <class C>
void hide_later_keys_of_rows(Index query, Index rows, Index key, C* s) {
  using P = Pack<C>;
  for (Index i = 0; i < least(rows, key + strip<C> - query); ++i)
    for (int l = 0; l < tile_packs; ++l) {
      C* p = s + i * strip<C> + l * P::size;
      const P lane = lane_numbers<C>() + P(C(l * P::size));
      select<C>(lane > P(C(query + i - key)), P(-infinity<C>), P::load(p)).store(p);
    }
}

// lse and delta of some queries of a head, in the units of the main pass.
template <class T, class C>
void row_terms(const AttentionGradArgs& a, Index b, Index h, Index begin, Index end, C* lse, C* delta) {
  using P = Pack<C>;
  const C* natural = static_cast<const C*>(a.lse) + (b * a.heads + h) * a.queries;
  for (Index i = begin; i < end; ++i) {
    lse[i] = natural[i] == -infinity<C> ? infinity<C> : natural[i] * C(log2_e);
    const T *o = rows_at<T>(a.o, b, i, h), *d_o = rows_at<T>(a.d_o, b, i, h);
    P sum = C(0);
    Index d = 0;
    for (; d + P::size <= a.head_dim; d += P::size) sum = fma(load_as<C>(o + d), load_as<C>(d_o + d), sum);
    if (d < a.head_dim) {
      const Index n = a.head_dim - d;
      sum = fma(load_as_n<C>(o + d, n), load_as_n<C>(d_o + d, n), sum);
    }
    delta[i] = C(a.scale) * reduce_add(sum);
  }
}

// dV = Pᵀ dO     dP = dO Vᵀ     dS = P ∘ (dP - Σ_d dO O)     dQ = scale dS K     dK = scale dSᵀ Q
//
// Owns:  task = the keys of one segment against the queries of another, of one (sample, head); lane = a key.
// Costs: 10 N M D FLOPs and N M exps a head; q and dO are read once per block of keys, dq read and written.
template <class T>
void backward(const Context& ctx, const AttentionGradArgs& a) {
  using C = Compute<T>;
  const Index H = a.heads, N = a.queries, M = a.keys, D = a.head_dim, heads = a.batch * H;
  if (heads == 0 || D == 0) return;
  const bool want_dq = a.dq.data, want_dk = a.dk.data, want_dv = a.dv.data;
  const BackwardBlocks size = backward_blocks<C>(a);
  const bool dq_in_place = !want_dq || (sizeof(T) == sizeof(C) && D % lanes<C> == 0);
  const Index dq_stride = dq_in_place ? a.dq.strides.row : round_up(D, lanes<C>);

  Carver shared{nullptr}, own{nullptr};
  BackwardTotals<C>(shared, a, size, dq_in_place), BackwardPanels<C>(own, size, D);
  const Workspace memory(ctx, shared.used + own.used * std::size_t(ctx.threads));
  Carver carver{memory.as<char>()};
  const BackwardTotals<C> total(carver, a, size, dq_in_place);
  const auto dq_row = [&](Index b, Index h, Index i) {
    return dq_in_place ? rows_at<C>(a.dq, b, i, h) : total.dq + ((b * H + h) * N + i) * dq_stride;
  };

  // 1. Per query lse, delta and dq = 0; but where one task meets every key, it does so at the first block of them.
  const bool alone = size.segments == 1 && M > 0;
  constexpr Index rows = 64;
  if (!alone) parallel_for(ctx, heads * blocks(N, rows), [&](Index task, int) {
    const Index head = task / blocks(N, rows), b = head / H, h = head % H;
    const Index begin = task % blocks(N, rows) * rows, end = least(N, begin + rows);
    row_terms<T>(a, b, h, begin, end, total.lse + head * N, total.delta + head * N);
    for (Index i = begin; want_dq && i < end; ++i)
      std::memset(dq_row(b, h, i), 0, std::size_t(round_up(D, lanes<C>)) * sizeof(C));
  });

  for (Index wave = 0; wave < size.segments; ++wave)
    parallel_for(ctx, heads * size.segments, [&](Index task, int worker) {
      const Index head = task / size.segments, b = head / H, h = head % H, segment = task % size.segments;
      const Index q_begin = least(N, (segment + wave) % size.segments * size.segment_queries);
      const Index q_end = least(N, q_begin + size.segment_queries);
      const Index k_begin = segment * size.segment_keys, k_end = least(M, k_begin + size.segment_keys);
      C *const lse = total.lse + head * N, *const delta = total.delta + head * N;
      Carver mine{memory.as<char>() + shared.used + std::size_t(worker) * own.used};
      const BackwardPanels<C> w(mine, size, D);

      for (Index k0 = k_begin; k0 < k_end; k0 += size.keys) {
        const Index nk = least(size.keys, k_end - k0), padded = round_up(nk, strip<C>);
        const Index at = (head * round_up(M, strip<C>) + k0) * D;
        C* const dkt = size.segments > 1 ? total.dkt + at : w.dkt;
        C* const dvt = size.segments > 1 ? total.dvt + at : w.dvt;
        if (wave == 0)
          for (Index i = 0; i < padded * D; ++i) dkt[i] = dvt[i] = 0;
        for (Index j = 0; j < nk; j += strip<C>) {  // 2. keys into lanes
          const Index width = least(strip<C>, nk - j);
          gather_columns<C>(rows_at<T>(a.k, b, k0 + j, h), a.k.strides.row, width, D, w.kt + j * D,
                            C(a.scale * log2_e), w.row, w.ld);
          gather_columns<C>(rows_at<T>(a.v, b, k0 + j, h), a.v.strides.row, width, D, w.vt + j * D, C(a.scale), w.row,
                            w.ld);
        }
        if (want_dq) gather_rows<C>(rows_at<T>(a.k, b, k0, h), a.k.strides.row, nk, D, w.k, w.ld);

        for (Index q0 = q_begin; q0 < q_end; q0 += size.queries) {
          const Index nq = least(size.queries, q_end - q0);
          const bool first = alone && k0 == 0;
          if (a.causal && q0 + nq <= k0) continue;
          if (first) row_terms<T>(a, b, h, q0, q0 + nq, lse, delta);
          gather_rows<C>(rows_at<T>(a.q, b, q0, h), a.q.strides.row, nq, D, w.q, w.ld);
          gather_rows<C>(rows_at<T>(a.d_o, b, q0, h), a.d_o.strides.row, nq, D, w.d_o, w.ld);
          for (Index j = 0; j < nk; j += strip<C>) {
            const Index width = least(strip<C>, nk - j);
            const Index hidden = a.causal ? least(nq, most(0, k0 + j - q0)) : 0, seen = nq - hidden;  // queries
            const C *q = w.q + hidden * w.ld, *d_o = w.d_o + hidden * w.ld;
            C* const ds = w.ds + hidden * w.ld_ds + j;
            for (Index i = 0; i < hidden; ++i) std::memset(w.ds + i * w.ld_ds + j, 0, std::size_t(strip<C>) * sizeof(C));
            strip_product<C, Order::rows>(width, seen, D, q, w.ld, w.kt + j * D, strip<C>, w.p, strip<C>, nullptr);
            if (a.mask.data) add_mask_rows<C>(a.mask, b, h, q0 + hidden, seen, k0 + j, width, w.p);
            if (a.causal) hide_later_keys_of_rows<C>(q0 + hidden, seen, k0 + j, w.p);
            probabilities<C, 2>(seen, lse + q0 + hidden, w.p);                                   // 3. P again
            if (want_dv)
              strip_product<C, Order::columns>(width, D, seen, d_o, w.ld, w.p, strip<C>, dvt + j * D, strip<C>,
                                               ones<C>.x);                                       // 4. dV += Pᵀ dO
            if (!want_dq && !want_dk) continue;
            strip_product<C, Order::rows>(width, seen, D, d_o, w.ld, w.vt + j * D, strip<C>, ds, w.ld_ds, nullptr);
            score_gradients<C, 2>(seen, delta + q0 + hidden, w.p, ds, w.ld_ds);                  // 5. dS
            if (want_dk)
              strip_product<C, Order::columns>(width, D, seen, q, w.ld, ds, w.ld_ds, dkt + j * D, strip<C>,
                                               ones<C>.x);                                       // 6. dK += dSᵀ Q
          }
          for (Index d = 0; want_dq && d < D; d += strip<C>)                                     // 7. dQ += dS K
            strip_product<C, Order::rows>(D - d, nq, nk, w.ds, w.ld_ds, w.k + d, w.ld, dq_row(b, h, q0) + d, dq_stride,
                                          first ? nullptr : ones<C>.x);
        }
        if (wave == size.segments - 1)
          for (Index j = 0; j < nk; j += strip<C>) {  // 8. keys back into rows
            const Index width = least(strip<C>, nk - j);
            if (want_dk)
              scatter_columns<C>(dkt + j * D, width, D, rows_at<T>(a.dk, b, k0 + j, h), a.dk.strides.row, C(1), w.row,
                                 w.ld);
            if (want_dv)
              scatter_columns<C>(dvt + j * D, width, D, rows_at<T>(a.dv, b, k0 + j, h), a.dv.strides.row, C(1), w.row,
                                 w.ld);
          }
      }
    });

  if (want_dq && !dq_in_place)
    parallel_for(ctx, heads * blocks(N, rows), [&](Index task, int) {
      const Index head = task / blocks(N, rows), b = head / H, h = head % H, i = task % blocks(N, rows) * rows;
      scatter_rows<C>(dq_row(b, h, i), dq_stride, least(rows, N - i), D, rows_at<T>(a.dq, b, i, h), a.dq.strides.row,
                      C(1));
    });
}

}  // namespace

extern const AttentionKernels attention_table;
const AttentionKernels attention_table = {
    .f32 = {forward<float>, backward<float>},
    .f64 = {forward<double>, backward<double>},
    .bf16 = {forward<bf16>, backward<bf16>},
};

}  // namespace sspo::cpu::SSPO_ISA
