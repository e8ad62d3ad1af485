#include "geglu.hpp"

#include "blocks.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

using kernels::GegluArgs;
using kernels::GegluGradArgs;

namespace {

constexpr int geglu_threads = 256;

// Φ(x) = erfc(-x/√2) / 2, relatively accurate in both tails, and φ(x) = e^(-x²/2) / √(2π)
SSPO_DEVICE float normal_cdf(float x) { return 0.5f * std::erfc(x * -0.70710678118654752440f); }
SSPO_DEVICE double normal_cdf(double x) { return 0.5 * std::erfc(x * -0.70710678118654752440); }
template <class C> SSPO_DEVICE C normal_density(C x) { return std::exp(x * x * C(-0.5)) * C(0.39894228040143267794); }

// Where this thread's pack of y [rows, width] lies; its a and b in h [rows, 2 width] at `a` and `a + width`.
template <int V> struct GatePlace {
  Index y, a;
  bool inside;
  SSPO_DEVICE GatePlace(Index rows, Index width) {
    const Index i = Index(blockIdx.x) * geglu_threads + threadIdx.x, packs = width / V, total = rows * packs;
    inside = i < total;
    const Index row = total >> 32 ? i / packs : Index(unsigned(i) / unsigned(packs));  // the 64-bit division costs as much as erfc
    y = i * V;
    a = y + row * width;
  }
};

// y = a gelu(b),   gelu(b) = b Φ(b)                                                                 Shazeer 2020
// Owns:  thread = one pack of y.   Costs: h read once, y written once; one erfc an element.
template <class T, int V> __global__ void __launch_bounds__(geglu_threads) geglu_packs(GegluArgs args) {
  using C = Compute<T>;
  const GatePlace<V> at(args.rows, args.width);
  if (!at.inside) return;
  const T* const h = static_cast<const T*>(args.h);
  const Pack<T, V> raw_a = load_pack<V>(h + at.a), raw_b = load_pack<V>(h + at.a + args.width);
  C a[V], b[V];
  unpack(raw_a, a);
  unpack(raw_b, b);
  for (int v = 0; v < V; ++v) a[v] *= b[v] * normal_cdf(b[v]);
  store_pack(static_cast<T*>(args.y) + at.y, a);
}

// da = g gelu(b)    db = g a gelu'(b),   gelu'(b) = Φ(b) + b φ(b)
// Owns:  thread = one pack of g.   Costs: h and g read once, dh written once; one erfc and one exp an element.
template <class T, int V> __global__ void __launch_bounds__(geglu_threads) geglu_grad_packs(GegluGradArgs args) {
  using C = Compute<T>;
  const GatePlace<V> at(args.rows, args.width);
  if (!at.inside) return;
  const T* const h = static_cast<const T*>(args.h);
  T* const dh = static_cast<T*>(args.dh);
  const Pack<T, V> raw_a = load_pack<V>(h + at.a), raw_b = load_pack<V>(h + at.a + args.width);
  const Pack<T, V> raw_g = load_pack<V>(static_cast<const T*>(args.g) + at.y);
  C a[V], b[V], g[V];
  unpack(raw_a, a);
  unpack(raw_b, b);
  unpack(raw_g, g);
  for (int v = 0; v < V; ++v) {
    const C cdf = normal_cdf(b[v]), u = a[v], x = b[v];
    a[v] = g[v] * x * cdf;
    b[v] = g[v] * u * std::fma(x, normal_density(x), cdf);
  }
  store_pack(dh + at.a, a);
  store_pack(dh + at.a + args.width, b);
}

Extent geglu_grid(Index rows, Index width, int V) { return blocks_along_x(ceil_div(rows * (width / V), geglu_threads)); }

}  // namespace

void geglu(const Context& ctx, DType dtype, const GegluArgs& a) {
  if (a.rows * a.width == 0) return;
  visit_floats("geglu", dtype, [&]<class T>(std::type_identity<T>) {
    visit_pack<T>(wide_rows<T>(a.width, a.h, a.y), [&](auto pack) {
      constexpr int V = decltype(pack)::value;
      launch(ctx.stream, {"geglu_packs", geglu_grid(a.rows, a.width, V), {geglu_threads}}, geglu_packs<T, V>, a);
    });
  });
}

void geglu_grad(const Context& ctx, DType dtype, const GegluGradArgs& a) {
  if (a.rows * a.width == 0) return;
  visit_floats("geglu_grad", dtype, [&]<class T>(std::type_identity<T>) {
    visit_pack<T>(wide_rows<T>(a.width, a.h, a.g, a.dh), [&](auto pack) {
      constexpr int V = decltype(pack)::value;
      launch(ctx.stream, {"geglu_grad_packs", geglu_grid(a.rows, a.width, V), {geglu_threads}}, geglu_grad_packs<T, V>, a);
    });
  });
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
