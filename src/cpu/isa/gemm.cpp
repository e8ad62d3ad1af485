#include "cpu/gemm.hpp"

#include "cpu/isa/gemm_few_rows.hpp"
#include "cpu/isa/gemm_outer.hpp"

namespace sspo::cpu::SSPO_ISA {

namespace {

// Aᵀ B, both with rows side by side: every row of B meets the row of A of the same number.
struct SameRows {
  Index rows;
  Index taps() const { return 1; }
  Index lines() const { return rows; }
  Index line_positions() const { return 1; }
  Index apart() const { return 1; }
  Index runs(Index, Range r, OuterRun* to) const { return *to = {r.begin, r.begin, r.size()}, 1; }
};

template <class In, class Out>
void multiply_matrices(const Context& ctx, const GemmArgs& g) {
  Size s{g.batch, g.m, g.n, g.k};
  Lines<In> a{static_cast<const In*>(g.a.data), g.a.rs, g.a.cs, g.a_batch};
  const Lines<In> b{static_cast<const In*>(g.b.data), g.b.cs, g.b.rs, g.b_batch};
  Rows<Out> c{static_cast<Out*>(g.c), g.ldc, g.c_batch};
  Finish<Out> f;
  f.alpha = g.alpha;
  f.bias = static_cast<const Out*>(g.bias);
  f.residual = static_cast<const Out*>(g.residual);
  f.act = g.act;
  f.accumulate = g.accumulate;
  // A batch that shares B and follows on without a gap is one tall matrix.
  if (s.batch > 1 && b.batch == 0 && a.batch == s.m * a.line && c.batch == s.m * c.ld) s = {1, s.batch * s.m, s.n, s.k};
  if constexpr (std::is_same_v<In, float>) {
    const bool plain = s.batch == 1 && !f.bias && !f.residual && f.act == Activation::none && f.alpha == 1 && !g.packed_b;
    if (plain && a.line == 1 && b.line == 1 && s.m > few_rows_most && s.n > 0 && s.n % Pack<In>::size == 0 && outer_pays(s.m, s.n) && s.k >= 64)
      return multiply_outer<In>(ctx, Outer<In, SameRows>{a.data, b.data, a.step, b.step, s.m, s.n, SameRows{s.k}}, c.data, c.ld, f.accumulate);
  }
  const bool few = s.m <= few_rows_most && !g.packed_b && (b.step == 1 || b.line == 1);
  if (few && s.m > 0 && s.n > 0 && s.batch > 0) multiply_few_rows<In, Out>(ctx, s, a, b, c, f);
  else multiply<In, Out>(ctx, s, a, b, c, f, g.packed_b);
}

template <class In>
void pack_b(const Context& ctx, Index n, Index k, const Matrix& b, void* packed) {
  const Lines<In> lines{static_cast<const In*>(b.data), b.cs, b.rs};
  pack_all<In>(ctx, n, k, lines, static_cast<typename Products<In>::Word*>(packed));
}

template <class In, class Out>
constexpr GemmOf gemm_of{multiply_matrices<In, Out>, packed_bytes<In>, pack_b<In>};

}  // namespace

extern const GemmKernels gemm_table;
#if SSPO_BF16_ALONE
const GemmKernels gemm_table = {.bf16 = gemm_of<bf16, bf16>, .bf16_f32 = gemm_of<bf16, float>};
#else
const GemmKernels gemm_table = {gemm_of<float, float>, gemm_of<double, double>, gemm_of<bf16, bf16>, gemm_of<bf16, float>};
#endif

}  // namespace sspo::cpu::SSPO_ISA
