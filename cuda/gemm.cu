#include "gemm.hpp"

#include "gemm_tiles.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {
namespace {

using namespace tiles;

// The direction in which an operand is read: where chunks of 16 bytes can be, else where neighbours are nearest.
template <class T>
Matrix<T, Way::either> matrix(const void* data, Index line_step, Index depth_step, Index batch_step, Index batch, Index lines, Index k) {
  constexpr Index V = chunk<T>;
  const Index line = lines == 1 ? 0 : line_step, depth = k == 1 ? 0 : depth_step, item = batch == 1 ? 0 : batch_step;
  const bool apart = aligned(data, 16) && item % V == 0;
  const bool wide_k = apart && depth_step == 1 && line % V == 0 && k % V == 0;
  const bool wide_lines = apart && line_step == 1 && depth % V == 0 && lines % V == 0;
  const bool along_k = wide_k || (!wide_lines && depth_step <= line_step);
  return {static_cast<const T*>(data), line, depth, item, wide_k || wide_lines, along_k};
}

// use(m) with the direction in its type, where a kernel is made for each.
template <class T, class F> void with_way(const Matrix<T, Way::either>& m, F&& use) {
  if (m.lies_along_k) use(Matrix<T, Way::k>{m.data, m.line_step, m.depth_step, m.batch, m.wide, true});
  else use(Matrix<T, Way::lines>{m.data, m.line_step, m.depth_step, m.batch, m.wide, false});
}

template <class T, class Out> void multiply_matrices(const Context& ctx, const kernels::GemmArgs& g) {
  using Sum = typename SumOf<T>::type;
  Size s{g.batch, g.m, g.n, g.k};
  // A batch that shares B and follows on without a gap is one tall matrix.
  if (s.batch > 1 && g.b_batch == 0 && g.a_batch == s.m * g.a.rs && g.c_batch == s.m * g.ldc) s = {1, s.batch * s.m, s.n, s.k};
  const auto a = matrix<T>(g.a.data, g.a.rs, g.a.cs, g.a_batch, s.batch, s.m, s.k);
  const auto b = matrix<T>(g.b.data, g.b.cs, g.b.rs, g.b_batch, s.batch, s.n, s.k);
  Result<Out> r{.c = static_cast<Out*>(g.c), .rows = {.image = g.ldc}, .batch = s.batch == 1 ? 0 : g.c_batch, .alpha = g.alpha};
  r.bias = static_cast<const Out*>(g.bias), r.residual = static_cast<const Out*>(g.residual), r.act = g.act, r.accumulate = g.accumulate;
  r.set_wide(chunk<Sum>, s.n);

  if constexpr (std::is_same_v<T, double>) {
    multiply<SimtF64, SimtF64>(ctx, "gemm_simt", s, a, b, r);
  } else {
    if constexpr (std::is_same_v<T, float>)
      if (!ctx.tf32) return multiply<SimtF32, SimtF32Small>(ctx, "gemm_simt", s, a, b, r);
    using Big = std::conditional_t<std::is_same_v<T, float>, MmaTf32, MmaBf16>;
    using Small = std::conditional_t<std::is_same_v<T, float>, MmaTf32Small, MmaBf16Small>;
    with_way(a, [&](const auto& a_) { with_way(b, [&](const auto& b_) { multiply<Big, Small>(ctx, "gemm_mma", s, a_, b_, r); }); });
  }
}

}  // namespace

void gemm(const Context& ctx, DType in, DType out, const kernels::GemmArgs& args) {
  const auto are = [&](DType i, DType o) { return in == i && out == o; };
  if (are(DType::f32, DType::f32)) return multiply_matrices<float, float>(ctx, args);
  if (are(DType::f64, DType::f64)) return multiply_matrices<double, double>(ctx, args);
  if (are(DType::bf16, DType::bf16)) return multiply_matrices<bf16, bf16>(ctx, args);
  if (are(DType::bf16, DType::f32)) return multiply_matrices<bf16, float>(ctx, args);
  fail({.op = "gemm", .what = "no kernel for these types", .expected = "f32 -> f32, f64 -> f64, bf16 -> bf16 or bf16 -> f32",
        .got = std::string(name_of(in)) + " -> " + std::string(name_of(out)), .hint = "cast the factors"});
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
