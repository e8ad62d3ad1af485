// One engine for every product: matrices, convolutions and their gradients differ in where A, B and C lie.
//
//   C[i, j] = act(α Σ_k A[i, k] B[k, j] + bias[j] + residual[i, j])
//
// multiply<In, Out>(ctx, size, a, b, c, finish, packed_b):
//   a  pack_rows:   lines of A, contiguous along k        Lines, ConvPatches
//      or copy_images, row: read where they lie in a copy of the image with its padding      ConvImages
//   b  pack_panels: NR columns of B side by side          Lines, ConvPatches, ConvWeights
//   c  row(i):      where row i of C lies                 Rows, ConvPixels
//
// Work is cut into tasks of (batch item, rows, columns, slice of k) by the plan, a function of the size
// alone. A task walks k in blocks of kc: a block of B is packed by whoever uses it (or once for all, see
// Plan::share_b), rows of A are copied into rows of kc words, or read where they lie, and for each panel
// of B (kc NR words: fits L1) all rows of A (fit L2) pass by. Sums of earlier blocks wait in C, or in f32
// scratch where C is bf16. Slices of k are summed afterwards, first to last.
#pragma once
#include "sspo/ops/activation.hpp"
#include "cpu/isa/gemm_activation.hpp"
#include "cpu/isa/gemm_matrix_tiles.hpp"
#include "cpu/isa/gemm_pack.hpp"
#include "cpu/parallel.hpp"

namespace sspo::cpu::SSPO_ISA {

struct Range {
  Index begin, end;
  Index size() const { return end - begin; }
};
inline Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
inline Index round_up(Index a, Index b) { return ceil_div(a, b) * b; }
inline Index min(Index a, Index b) { return a < b ? a : b; }
inline Index max(Index a, Index b) { return a > b ? a : b; }
inline Range piece(Index i, Index size, Index total) { return {i * size, min((i + 1) * size, total)}; }

struct Size {
  Index batch, m, n, k;
};

// What happens to the sums on their way to C.
template <class Out>
struct Finish {
  double alpha = 1;
  const Out* bias = nullptr;      // [n]
  Index bias_group = 0, bias_ld = 0;  // if set: row i adds bias + i / bias_group * bias_ld (one bias a sample)
  const Out* residual = nullptr;  // laid out as C
  Activation act = Activation::none;
  bool accumulate = false;
};

template <class Out>
struct Rows {
  Out* data;
  Index ld, batch = 0;
  Rows item(Index b) const { return {data + b * batch, ld, batch}; }
  Out* row(Index i) const { return data + i * ld; }
};

// How a product is cut. Sizes in rows, columns and words of k.
struct Plan {
  Index rows, cols, slice;  // one task: rows x cols of C, summed over one slice of k
  Index kc, rows_at_once;   // one block
  bool share_b;             // B is packed once, before the tasks; else each task packs what it reads
  Index row_tasks, col_tasks, slices;
};

// What a block of B or A may take: one panel of B with the rows that pass by in L1, rows of A in a quarter of L2.
// A deeper panel is quicker by a few percent on AVX-512, but its sums of 384 words round worse than those of 192.
inline constexpr Index panel_bytes = 24576, block_bytes = 131072;

template <class P>
inline Plan plan_with(const Size& s, bool share_b, bool wide_scratch) {
  constexpr Index MR = P::MR, NR = P::NR, word = sizeof(typename P::Word);
  constexpr Index kc_most = panel_bytes / word / NR, block_words = block_bytes / word;
  const Index words = P::words(s.k);
  Plan p;
  // Enough tasks for many threads, none so small that starting it costs more than it saves.
  const double work = 2.0 * double(s.m) * double(s.n) * double(words) * double(s.batch);
  const Index wanted = min(16, max(1, Index(work / 2e6)));
  const auto tasks = [&] { return s.batch * ceil_div(s.m, p.rows) * ceil_div(s.n, p.cols); };
  p.share_b = share_b;
  const Index most_cols = p.share_b ? (wide_scratch ? 512 : 1024) : max(NR, round_up(block_words / max(1, min(words, kc_most)), NR));
  p.cols = round_up(ceil_div(s.n, ceil_div(s.n, most_cols)), NR);
  if (p.share_b) {
    p.rows = 16 * MR;
    while (p.rows > 4 * MR && tasks() < wanted) p.rows -= MR;
    while (p.cols > 4 * NR && tasks() < wanted) p.cols = round_up(p.cols / 2, NR);
  } else {
    p.rows = min(s.m, 512);
    const Index least = (words > 2048 ? 12 : words > 1024 ? 2 : 4) * NR;  // a very deep product is cut along k instead
    while (p.cols > least && tasks() < wanted) p.cols -= NR;
  }
  p.rows = round_up(ceil_div(s.m, ceil_div(s.m, p.rows)), MR);
  p.row_tasks = ceil_div(s.m, p.rows), p.col_tasks = ceil_div(s.n, p.cols);
  const Index tiles = s.batch * p.row_tasks * p.col_tasks;
  p.slices = tiles * 3 <= wanted * 2 ? max(1, min(ceil_div(wanted, tiles), words / 512)) : 1;
  p.slice = max(P::unit, round_up(ceil_div(words, p.slices), P::unit));
  p.slices = max(1, ceil_div(words, p.slice));
  p.kc = max(P::unit, round_up(ceil_div(p.slice, max(1, ceil_div(p.slice, kc_most))), P::unit));
  p.rows_at_once = min(p.rows, max(MR, block_words / p.kc / MR * MR));
  return p;
}

template <class P>
inline Plan plan_for(const Size& s, bool packed, bool wide_scratch) {
  const Plan own = plan_with<P>(s, s.batch == 1 && (s.m > 512 || s.n < 512), wide_scratch);
  if (!packed || own.share_b) return own;
  Plan p = plan_with<P>(s, true, wide_scratch);
  p.slices = own.slices, p.slice = own.slice, p.kc = own.kc;  // k is cut as without the packed copy: the same sums, the same bits
  p.rows_at_once = min(p.rows, max(P::MR, block_bytes / Index(sizeof(typename P::Word)) / p.kc / P::MR * P::MR));
  return p;
}

// One row of finished sums on its way to C: bias, residual, activation, C's type.
template <class Sum, class Out>
inline void finish_row(const Sum* sums, Index n, const Out* bias, const Out* residual, Activation act, bool add_c,
                       Out* c) {
  constexpr int W = Pack<Sum>::size;
  for (Index j = 0; j < n; j += W) {
    const Index left = n - j;
    const auto at = [&](const Out* p) { return left >= W ? load_as<Sum>(p + j) : load_as_n<Sum>(p + j, left); };
    Pack<Sum> x = left >= W ? Pack<Sum>::load(sums + j) : Pack<Sum>::load_n(sums + j, left);
    if (bias) x += at(bias);
    if (residual) x += at(residual);
    if (act != Activation::none) x = activate(act, x);
    if (add_c) x += at(c);
    if (left >= W) store_as<Sum>(x, c + j);
    else store_as_n<Sum>(x, c + j, left);
  }
}

// The sums of a tile of `rows` rows. a holds MR pointers, all valid: a few rows more than asked for may be computed.
template <class P, int Rows>
[[gnu::noinline]] void store_sums(const typename P::Word* const* a, const typename P::Word* b, Index words, Strips strips,
                                  typename P::Sum (*to)[P::NR]) {
  Pack<typename P::Sum> acc[Rows][P::NV];
  tile_sums<P, Rows>(a, b, words, strips, {reinterpret_cast<const char*>(b), 0}, acc);
  unroll<Rows, P::NV>([&](auto i, auto v) { acc[i][v].store(to[i] + v * Pack<typename P::Sum>::size); });
}
template <class P, int Rows = P::MR>
void sums_of_rows(int rows, const typename P::Word* const* a, const typename P::Word* b, Index words, Strips strips,
                  typename P::Sum (*to)[P::NR]) {
  constexpr int fewer = Rows > 6 ? Rows - 2 : Rows - 1;
  if constexpr (fewer > 0) {
    if (rows <= fewer) return sums_of_rows<P, fewer>(rows, a, b, words, strips, to);
  }
  store_sums<P, Rows>(a, b, words, strips, to);
}

// One task's view of its surroundings, and the tiles it is made of.
template <class In, class Out, class C>
struct Tiles {
  using P = Products<In>;
  using Word = typename P::Word;
  using Sum = typename P::Sum;
  static constexpr int MR = P::MR, NR = P::NR, NV = P::NV, W = Pack<Sum>::size;
  static constexpr bool sums_in_c = std::is_same_v<Sum, Out>;

  const C& c;
  const Out* base;         // C's first element: the residual lies at the same distance from its own
  const Finish<Out>& f;
  Sum* scratch;            // partial sums of a task where C can't hold them, [rows][cols]
  Index scratch_ld, row0, col0;

  const Out* bias_at(Index i, Index j) const {
    return !f.bias ? nullptr : f.bias + j + (f.bias_group ? i / f.bias_group * f.bias_ld : 0);
  }
  const Out* residual_at(const Out* row, Index j) const { return f.residual ? f.residual + (row - base) + j : nullptr; }
  Sum* partial(Index i, Index j) const {
    if constexpr (sums_in_c) return c.row(i) + j;
    else return scratch + (i - row0) * scratch_ld + (j - col0);
  }

  // A whole tile.
  [[gnu::noinline]] void whole(const Word* const* a, const Word* b, Index words, Strips strips, Ahead next, Index i0, Index j0,
                               bool first, bool last) const {
    Sum* sums[MR];
    for (int i = 0; i < MR; ++i) {
      sums[i] = partial(i0 + i, j0);
      __builtin_prefetch(sums[i], 1);
      __builtin_prefetch(sums[i] + NR - 1, 1);
    }
    Pack<Sum> acc[MR][NV];
    tile_sums<P, MR>(a, b, words, strips, next, acc);
    const auto each = [&](const auto& act) __attribute__((always_inline)) {
      unroll<MR, NV>([&](auto i, auto v) __attribute__((always_inline)) { act(acc[i][v], i, v * W); });
    };
    if (f.alpha != 1) each([&](Pack<Sum>& x, int, int) __attribute__((always_inline)) { x *= Pack<Sum>(Sum(f.alpha)); });
    if (!first || (sums_in_c && f.accumulate)) each([&](Pack<Sum>& x, int i, int j) __attribute__((always_inline)) { x += Pack<Sum>::load(sums[i] + j); });
    bool done = !last || (sums_in_c && !f.bias && !f.residual && f.act == Activation::none);
    if constexpr (sums_in_c) {
      if (!done && f.act == Activation::none && !f.bias_group) {
        if (f.bias) each([&](Pack<Sum>& x, int, int j) __attribute__((always_inline)) { x += Pack<Sum>::load(f.bias + j0 + j); });
        if (f.residual) each([&](Pack<Sum>& x, int i, int j) __attribute__((always_inline)) { x += Pack<Sum>::load(residual_at(sums[i], j)); });
        done = true;
      }
    }
    // Else what remains is done row by row from a buffer: formulas in place would crowd the registers.
    alignas(64) Sum tile[MR][NR];
    if (!done)
      for (int i = 0; i < MR; ++i) sums[i] = tile[i];
    each([&](Pack<Sum>& x, int i, int j) __attribute__((always_inline)) { x.store(sums[i] + j); });
    if (!done)
      for (Index i = 0; i < MR; ++i) finish(tile[i], NR, i0 + i, j0);
  }

  // A tile cut off by an edge, by way of a buffer.
  void any(const Word* const* a, const Word* b, Index words, Strips strips, Index i0, Index rows, Index j0, Index cols, bool first,
           bool last) const {
    alignas(64) Sum tile[MR][NR];
    sums_of_rows<P>(int(rows), a, b, words, strips, tile);
    put(tile, i0, rows, j0, cols, first, last);
  }

  // The same of rows `lda` words apart, by the unit for small matrices.
  void by_matrix_tiles(const Word* a, Index lda, const Word* b, Index words, Index i0, Index rows, Index j0, Index cols, bool first, bool last) const {
    alignas(64) Sum tile[MR][NR];
    matrix_tiles::sums_of_rows(a, lda, int(rows), b, words, tile);
    put(tile, i0, rows, j0, cols, first, last);
  }

 private:
  void put(Sum (*tile)[NR], Index i0, Index rows, Index j0, Index cols, bool first, bool last) const {
    for (Index i = 0; i < rows; ++i) {
      if (f.alpha != 1) scale(tile[i], Sum(f.alpha), cols);
      if (!first || (sums_in_c && f.accumulate)) add(tile[i], partial(i0 + i, j0), cols);
      if (last) {
        finish(tile[i], cols, i0 + i, j0);
      } else {
        Sum* const to = partial(i0 + i, j0);
        for (Index j = 0; j < cols; ++j) to[j] = tile[i][j];
      }
    }
  }
  void finish(const Sum* sums, Index cols, Index i, Index j) const {
    Out* const row = c.row(i);
    finish_row<Sum, Out>(sums, cols, bias_at(i, j), residual_at(row, j), f.act, f.accumulate && !sums_in_c, row + j);
  }
  static void scale(Sum* x, Sum alpha, Index n) {
    for (Index j = 0; j < n; ++j) x[j] *= alpha;
  }
  static void add(Sum* x, const Sum* y, Index n) {
    for (Index j = 0; j < n; ++j) x[j] += y[j];
  }
};

// Adds up the slices of k, first to last, and finishes.
template <class Sum, class Out, class C>
inline void sum_slices(const Context& ctx, const Size& s, Index slices, const Sum* partial, const C& c,
                       const Finish<Out>& f) {
  constexpr Index W = Pack<Sum>::size, most = 64 * W;
  const Index rows = max(1, 16384 / max(1, s.n));
  parallel_for(ctx, s.batch * ceil_div(s.m, rows), [&](Index task, int) {
    const Index item = task / ceil_div(s.m, rows);
    const Range r = piece(task % ceil_div(s.m, rows), rows, s.m);
    const C ci = c.item(item);
    const Out* const base = c.row(0);
    alignas(64) Sum sum[most];
    for (Index i = r.begin; i < r.end; ++i)
      for (Index j = 0; j < s.n; j += most) {
        const Index n = min(most, s.n - j);
        for (Index q = 0; q < n; ++q) sum[q] = 0;
        for (Index t = 0; t < slices; ++t) {
          const Sum* const p = partial + ((t * s.batch + item) * s.m + i) * s.n + j;
          for (Index q = 0; q < n; ++q) sum[q] += p[q];
        }
        Out* const row = ci.row(i);
        const Out* const bias = !f.bias ? nullptr : f.bias + j + (f.bias_group ? i / f.bias_group * f.bias_ld : 0);
        finish_row<Sum, Out>(sum, n, bias, f.residual ? f.residual + (row - base) + j : nullptr, f.act, f.accumulate, row + j);
      }
  });
}

template <class In>
inline std::size_t packed_bytes(Index n, Index k) {
  using P = Products<In>;
  return std::size_t(round_up(n, P::NR) * P::words(k)) * sizeof(typename P::Word);
}

// All of B in panels: [n / NR][k][NR].
template <class In, class B>
inline void pack_all(const Context& ctx, Index n, Index k, const B& b, typename Products<In>::Word* to) {
  using P = Products<In>;
  const Index words = P::words(k), k_at_once = 1024, panels = ceil_div(n, P::NR);
  const Index at_once = max(1, 65536 / (P::NR * max(1, min(words, k_at_once))));
  parallel_for(ctx, ceil_div(panels, at_once), [&](Index task, int) {
    const Range r = piece(task, at_once, panels);
    for (Index q = r.begin; q < r.end; ++q)
      b.template pack_panels<P>(q * P::NR, min(P::NR, n - q * P::NR), 0, k, to + q * words * P::NR);
  });
}

template <class In, class Out, class A, class B, class C>
inline void multiply(const Context& ctx, const Size& s, const A& a, const B& b, const C& c, const Finish<Out>& finish,
                     const void* packed_b = nullptr) {
  using P = Products<In>;
  using Word = typename P::Word;
  using Sum = typename P::Sum;
  constexpr Index MR = P::MR, NR = P::NR;
  if (s.batch == 0 || s.m == 0 || s.n == 0) return;
  Plan p = plan_for<P>(s, packed_b, !std::is_same_v<Sum, Out>);
  constexpr bool images = requires { a.copy_images(0, 0, nullptr); };
  if constexpr (images) a.template cut<P>(s, p);
  const Index words = P::words(s.k);

  // 1. Workspaces: shared B, slices' sums, and for each worker rows of A, panels of B, sums.
  const auto bytes = [](Index count, std::size_t each) { return std::size_t(round_up(count * Index(each), 64)); };
  const bool many_blocks = p.slice > p.kc;
  const Word* rows_in_place = nullptr;
  if constexpr (!images) rows_in_place = a.template in_place<P>(s.k);
  const std::size_t shared_bytes = p.share_b && !packed_b ? bytes(round_up(s.n, NR) * words, sizeof(Word)) : 0;
  const std::size_t slice_bytes = p.slices > 1 ? bytes(p.slices * s.batch * s.m * s.n, sizeof(Sum)) : 0;
  const Index ld = round_up(p.kc, 16);
  std::size_t a_bytes = rows_in_place ? 0 : bytes(p.rows_at_once * ld, sizeof(Word));
  if constexpr (images) a_bytes = bytes(a.copied_words(p.rows), sizeof(Word));
  const std::size_t b_bytes = p.share_b ? 0 : bytes(p.cols * p.kc, sizeof(Word));
  const std::size_t sum_bytes =
      many_blocks && p.slices == 1 && !std::is_same_v<Sum, Out> ? bytes(p.rows * p.cols, sizeof(Sum)) : 0;
  const std::size_t worker_bytes = a_bytes + b_bytes + sum_bytes;
  const Workspace w(ctx, shared_bytes + slice_bytes + worker_bytes * std::size_t(ctx.threads));
  char* const shared = w.as<char>();
  Sum* const slice_sums = reinterpret_cast<Sum*>(shared + shared_bytes);
  char* const workers = shared + shared_bytes + slice_bytes;

  // 2. B, if it is packed once for all.
  const Word* panels = static_cast<const Word*>(packed_b);
  if (shared_bytes) {
    pack_all<In>(ctx, s.n, s.k, b, reinterpret_cast<Word*>(shared));
    panels = reinterpret_cast<const Word*>(shared);
  }

  // 3. The tasks. `c` is C itself, or the sums of one slice.
  const auto run = [&](const auto& c_item, const auto* base, const auto& f, Index item, Range rows, Range cols, Range ks, int worker) {
    using O = std::remove_pointer_t<decltype(c_item.row(0))>;
    char* const mine = workers + worker_bytes * std::size_t(worker);
    Word* const a_rows = reinterpret_cast<Word*>(mine);
    Word* const b_panels = reinterpret_cast<Word*>(mine + a_bytes);
    const A a_item = a.item(item);
    const B b_item = b.item(item);
    const Tiles<In, O, std::remove_cvref_t<decltype(c_item)>> tiles{
        c_item, base, f, reinterpret_cast<Sum*>(mine + a_bytes + b_bytes), p.cols, rows.begin, cols.begin};
    if constexpr (images) a_item.copy_images(rows.begin, rows.size(), a_rows);
    Index k0 = ks.begin;
    do {  // once even if k = 0: C still gets bias and residual
      const Index kw = min(p.kc, ks.end - k0), nk = min(kw * P::depth, s.k - k0 * P::depth);
      const bool first = k0 == ks.begin, last = k0 + kw >= ks.end;
      if (!p.share_b) b_item.template pack_panels<P>(cols.begin, cols.size(), k0 * P::depth, nk, b_panels);
      // What a tile brings nearer: a part of the next panel; or, where B is packed block by block, of the next block.
      const Index lines = max(1, kw / 4);
      const Runs runs = p.share_b || last ? Runs{} : b_item.runs(cols.begin, cols.size(), (k0 + kw) * P::depth, min(nk, s.k - (k0 + kw) * P::depth));
      const auto ahead = [&](const Word* panel, Index before, Index tile) -> Ahead {
        if (p.share_b) return {reinterpret_cast<const char*>(panel + words * NR) + tile * lines * 64, 64};
        const Index pieces = max(1, ceil_div(runs.count, lines)), part = before + tile;
        if (part / pieces * 64 >= runs.bytes) return {reinterpret_cast<const char*>(panel), 0};
        return {static_cast<const char*>(runs.data) + part % pieces * lines * runs.step + part / pieces * 64, runs.step};
      };
      for (Index i0 = rows.begin; i0 < rows.end; i0 += p.rows_at_once) {
        const Range block{i0, min(i0 + p.rows_at_once, rows.end)};
        const Word* a0 = a_rows;
        Index a_ld = ld;
        Strips strips{kw, 0};
        if constexpr (images) {
          strips = a_item.strips();
        } else if (rows_in_place) {
          a_ld = a_item.words_apart(P::depth);
          a0 = a_item.template in_place<P>(s.k) + block.begin * a_ld + k0;
        } else {
          a_item.template pack_rows<P>(block.begin, block.size(), k0 * P::depth, nk, a_rows, ld);
        }
        if constexpr (P::matrix_tiles) matrix_tiles::configure(int(min(MR, block.size())));
        for (Index j = cols.begin; j < cols.end; j += NR) {
          const Word* const panel = p.share_b ? panels + (j * words + k0 * NR) : b_panels + (j - cols.begin) * kw;
          const Index nj = min(NR, cols.end - j);
          const Index row_tile = (j - cols.begin) / NR * ceil_div(block.size(), MR);
          for (Index i = block.begin; i < block.end; i += MR) {
            const Index ni = min(MR, block.end - i);
            if constexpr (P::matrix_tiles) {
              if (ni < MR && block.size() > MR) matrix_tiles::configure(int(ni));
              tiles.by_matrix_tiles(a0 + (i - block.begin) * a_ld, a_ld, panel, kw, i, ni, j, nj, first, last);
              if (ni < MR && block.size() > MR) matrix_tiles::configure(MR);
            } else {
              const Word* row[MR];
              for (Index q = 0; q < MR; ++q) {
                if constexpr (images) row[q] = a_item.row(a_rows, i - rows.begin + min(q, ni - 1), k0);
                else row[q] = a0 + (i - block.begin + min(q, ni - 1)) * a_ld;
              }
              if (ni == MR && nj == NR)
                tiles.whole(row, panel, kw, strips, ahead(panel, row_tile, (i - block.begin) / MR), i, j, first, last);
              else
                tiles.any(row, panel, kw, strips, i, ni, j, nj, first, last);
            }
          }
        }
      }
      k0 += kw;
    } while (k0 < ks.end);
    if constexpr (P::matrix_tiles) matrix_tiles::release();
  };

  Finish<Sum> partial;
  partial.alpha = finish.alpha;
  parallel_for(ctx, s.batch * p.row_tasks * p.col_tasks * p.slices, [&](Index task, int worker) {
    const Range rows = piece(task % p.row_tasks, p.rows, s.m);
    task /= p.row_tasks;
    const Range cols = piece(task % p.col_tasks, p.cols, s.n);
    task /= p.col_tasks;
    const Range ks = piece(task % p.slices, p.slice, words);
    const Index item = task / p.slices;
    if (p.slices == 1) {
      run(c.item(item), c.row(0), finish, item, rows, cols, ks, worker);
    } else {
      const Index t = task % p.slices;
      run(Rows<Sum>{slice_sums + (t * s.batch + item) * s.m * s.n, s.n}, slice_sums, partial, item, rows, cols, ks, worker);
    }
  });
  if (p.slices > 1) sum_slices<Sum, Out>(ctx, s, p.slices, slice_sums, c, finish);
}

}  // namespace sspo::cpu::SSPO_ISA
