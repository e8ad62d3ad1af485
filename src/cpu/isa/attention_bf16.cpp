// The forward pass in bf16 by the unit for small matrices: attention.cpp's algorithm, a lane is a query still.
//   S = K Qᵀ   [keys][32 queries]: A is k's rows, B a panel of q          O = keep ∘ O + Vᵀ P   [D][32]: A is v's columns, B is P in pairs of keys
// S, maxima, sums and O are f32; P is rounded to bf16 on its way to the unit, the sums that divide O are of P before that.
#include "cpu/isa/attention_parts.hpp"
#include "cpu/isa/gemm_matrix_tiles.hpp"
#include "cpu/isa/gemm_pack.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd_math.hpp"

namespace sspo::cpu::SSPO_ISA {
namespace {

using P = Products<bf16>;
using F = Pack<float>;
using Word = std::int32_t;
constexpr int W = F::size, step = matrix_tiles::step;
static_assert(P::matrix_tiles && strip<float> == P::NR && strip<float> == matrix_tiles::columns);

// Rows and columns are filled up to whole registers: of rows with anything, along k with zeros.
constexpr Index whole_words(Index n) { return round_up(blocks(n, 2), step); }
constexpr Index whole_rows(Index n) { return round_up(n, 16); }

struct Panels {
  Index words, key_words;  // along D, along a block's keys
  Word *q, *k, *v, *p;     // [strips][words][32], [keys][words], [D][key_words], [key_words][32]
  float *o, *top, *sum;    // [strips][D][32]; running maximum and sum of 2^(s - top): [strips][32]
  float *s, *keep, *row, *mask;  // one strip of S: [keys][32]; 2^(old top - new top): [32]; rows on their way out; a strip of the mask
  Index ld;                // row stride of `row`
  Panels(Carver& w, const ForwardBlocks& n, Index D)
      : words(whole_words(D)), key_words(whole_words(n.keys)), q(w.take<Word>(n.queries * words)), k(w.take<Word>(whole_rows(n.keys) * words)),
        v(w.take<Word>(whole_rows(D) * key_words)), p(w.take<Word>(key_words * P::NR)), o(w.take<float>(n.queries * D)), top(w.take<float>(n.queries)),
        sum(w.take<float>(n.queries)), s(w.take<float>(whole_rows(n.keys) * P::NR)), keep(w.take<float>(P::NR)),
        row(w.take<float>(P::NR * panel_stride<float>(D))), mask(w.take<float>(n.keys * P::NR)), ld(panel_stride<float>(D)) {}
};

Lines<bf16> lines_along_d(const Heads& x, Index b, Index row, Index h) { return {rows_at<bf16>(x, b, row, h), x.strides.row, 1}; }
Lines<bf16> lines_along_rows(const Heads& x, Index b, Index row, Index h) { return {rows_at<bf16>(x, b, row, h), 1, x.strides.row}; }

void clear(Word* to, Index rows, Index ld, Index from, Index end) {
  for (Index i = 0; i < rows; ++i)
    for (Index k = from; k < end; ++k) to[i * ld + k] = 0;
}

// 2^x for x <= 0 within 3e-6: more than a number rounded to bf16 can tell.
F exp2_for_bf16(F x) {
  constexpr float magic = 0x1.8p23f + 127;
  const F t = x + F(magic), f = x - (t - F(magic));
  F y = 0x1.3997d6p-7f;
  y = fma(y, f, F(0x1.ca1442p-5f)), y = fma(y, f, F(0x1.ec06dap-3f)), y = fma(y, f, F(0x1.62e0dcp-1f)), y = fma(y, f, F(0x1.ffffe8p-1f));
  return select<float>(x < F(-126.0f), F(0.0f), y * from_bits(typename F::Bits(to_bits(t).v << 23)));
}

// Two numbers at neighbouring k as a word in each lane, rounded to nearest even.
Pack<Word> pair(F lo, F hi) {
  const auto rounded = [](F x) { return to_bits(x).v + 0x7fff + (to_bits(x).v >> 16 & 1); };
  return typename Pack<Word>::V((rounded(lo) >> 16 & 0xffff) | (rounded(hi) & Word(0xffff0000)));
}

// P = 2^(factor S - top) for the new maximum, as pairs of keys; sum and keep follow.        s [keys][32]
void softmax_pairs(Index keys, const float* s, float factor, Index words, float* top, float* sum, float* keep, Word* p) {
  for (int l = 0; l < P::NR; l += W) {
    const auto at = [&](Index j) { return F(factor) * F::load(s + j * P::NR + l); };
    const F before = F::load(top + l);
    F m = before, m2 = before, total(0.0f), total2(0.0f);
    Index j = 0;
    for (; j + 2 <= keys; j += 2) {
      const F x = at(j), y = at(j + 1);
      m = select<float>(x > m, x, m), m2 = select<float>(y > m2, y, m2);
    }
    if (j < keys) m = select<float>(at(j) > m, at(j), m);
    m = select<float>(m2 > m, m2, m);
    m.store(top + l);
    m = select<float>(m == F(-infinity<float>), F(0.0f), m);  // no key seen yet: 2^(-inf - 0) = 0
    exp2_of_negative(before - m).store(keep + l);
    for (j = 0; j + 2 <= keys; j += 2) {
      const F x = exp2_for_bf16(at(j) - m), y = exp2_for_bf16(at(j + 1) - m);
      total += x, total2 += y;
      pair(x, y).store(p + j / 2 * P::NR + l);
    }
    if (j < keys) {
      const F x = exp2_for_bf16(at(j) - m);
      total += x;
      pair(x, F(0.0f)).store(p + j / 2 * P::NR + l);
    }
    for (j = blocks(keys, 2); j < words; ++j) Pack<Word>(0).store(p + j * P::NR + l);
    fma(F::load(sum + l), F::load(keep + l), total + total2).store(sum + l);
  }
}

// C = A B, `rows` of them rounded up to 16: a [rows][words], b [words][32], c [rows][32]
void product(Index rows, const Word* a, const Word* b, Index words, float* c) {
  for (Index i = 0; i < rows; i += 32)
    matrix_tiles::sums_of_rows(a + i * words, words, rows - i > 16 ? 32 : 16, b, words, reinterpret_cast<float (*)[P::NR]>(c + i * P::NR));
}

// O = keep ∘ O + Vᵀ P                                                                        o [D][32]
void add_output(Index D, const Word* v, const Word* p, Index words, const float* keep, float* o) {
  alignas(64) float sums[32][P::NR];
  const F factor[2] = {F::load(keep), F::load(keep + W)};
  for (Index d = 0; d < D; d += 32) {
    const Index n = least(32, D - d);
    product(n, v + d * words, p, words, sums[0]);
    for (Index i = 0; i < n; ++i)
      for (int l = 0; l < 2; ++l) {
        float* const to = o + (d + i) * P::NR + l * W;
        fma(factor[l], F::load(to), F::load(sums[i] + l * W)).store(to);
      }
  }
}

// Owns:  task = a block of queries of one (sample, head); lane = a query.
// Costs: 4 N M D FLOPs, with D and the block's keys rounded up to 32, and N M exps a head.
void forward(const Context& ctx, const AttentionArgs& a) {
  const Index H = a.heads, N = a.queries, M = a.keys, D = a.head_dim;
  if (a.batch == 0 || H == 0 || N == 0) return;
  const ForwardBlocks size = forward_blocks<float>(a, 128);
  Carver measure{nullptr};
  Panels(measure, size, D);
  const Workspace memory(ctx, measure.used * std::size_t(ctx.threads));
  const float factor = float(a.scale * log2_e);

  const Index per_head = blocks(N, size.queries);
  parallel_for(ctx, a.batch * H * per_head, [&](Index task, int worker) {
    const Index b = task / (H * per_head), h = task / per_head % H, q0 = task % per_head * size.queries;
    const Index nq = least(size.queries, N - q0);
    Carver carver{memory.as<char>() + std::size_t(worker) * measure.used};
    const Panels w(carver, size, D);
    matrix_tiles::configure(32);

    const auto load_queries = [&](Index i) {
      Word* const q = w.q + i * w.words;
      lines_along_d(a.q, b, q0 + i, h).template pack_panels<P>(0, least(P::NR, nq - i), 0, D, q);
      clear(q, 1, 0, P::words(D) * P::NR, w.words * P::NR);
      for (Index j = i; j < i + P::NR; ++j) w.top[j] = -infinity<float>, w.sum[j] = 0;
      for (Index j = 0; j < D * P::NR; ++j) w.o[i * D + j] = 0;
    };
    const auto store_output = [&](Index i) {  // divided by the sums, queries back into rows
      const Index width = least(P::NR, nq - i);
      for (int l = 0; l < P::NR; l += W) {
        const F total = F::load(w.sum + i + l), inverse = select<float>(total == F(0.0f), F(0.0f), F(1.0f) / total);
        fma(F(float(log_2)), F::load(w.top + i + l), log(total)).store(w.sum + i + l);
        for (Index d = 0; d < D; ++d) {
          float* const o = w.o + i * D + d * P::NR + l;
          (inverse * F::load(o)).store(o);
        }
      }
      scatter_columns<float>(w.o + i * D, width, D, rows_at<bf16>(a.o, b, q0 + i, h), a.o.strides.row, 1.0f, w.row, w.ld);
      if (float* const lse = static_cast<float*>(a.lse)) std::memcpy(lse + (b * H + h) * N + q0 + i, w.sum + i, std::size_t(width) * sizeof(float));
    };

    const Index seen = a.causal ? least(M, q0 + nq) : M;
    Index k0 = 0;
    do {
      const Index block = least(size.keys, seen - k0);
      lines_along_d(a.k, b, k0, h).template pack_rows<P>(0, block, 0, D, w.k, w.words);
      clear(w.k, block, w.words, P::words(D), w.words);
      lines_along_rows(a.v, b, k0, h).template pack_rows<P>(0, D, 0, block, w.v, w.key_words);
      clear(w.v, D, w.key_words, P::words(block), w.key_words);
      for (Index i = 0; i < nq; i += P::NR) {
        const Index width = least(P::NR, nq - i), nk = a.causal ? least(block, q0 + i + width - k0) : block;
        if (k0 == 0) load_queries(i);
        if (nk > 0) {
          product(nk, w.k, w.q + i * w.words, w.words, w.s);
          float left = factor;
          if (a.mask.data || a.causal) {
            for (Index j = 0; j < nk * P::NR; j += W) (F(factor) * F::load(w.s + j)).store(w.s + j);
            left = 1;
          }
          if (a.mask.data) add_mask<float>(a, b, h, q0 + i, width, k0, nk, w.s, w.mask);
          if (a.causal && k0 + nk > q0 + i + 1) hide_later_keys<float>(q0 + i, k0, nk, w.s);
          softmax_pairs(nk, w.s, left, w.key_words, w.top + i, w.sum + i, w.keep, w.p);
          add_output(D, w.v, w.p, w.key_words, w.keep, w.o + i * D);
        }
        if (k0 + size.keys >= seen) store_output(i);
      }
      k0 += size.keys;
    } while (k0 < seen);
    matrix_tiles::release();
  });
}

}  // namespace

extern const AttentionForward attention_forward_bf16;
const AttentionForward attention_forward_bf16 = forward;

}  // namespace sspo::cpu::SSPO_ISA
