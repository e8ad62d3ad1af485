#include "softmax.hpp"

#include "blocks.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

using kernels::SoftmaxArgs;
using kernels::SoftmaxGradArgs;

namespace {

struct Larger {  // passes a NaN over: it comes back through the sum of powers
  template <class T> SSPO_DEVICE T operator()(T a, T b) const { return b > a ? b : a; }
};

// y = e^(x - max) / Σ e^(x - max)        log: y = (x - max) - log Σ e^(x - max)
// 1. the maximum   2. the sum, packs added up in C, the rest in f64   3. y
// Owns:  team = one row: a warp, or a block of `row_threads` for long rows; thread = every TEAM-th pack.
// Costs: x read once where K > 0 (the row stays in registers), else three times, y written once; 2 exp an element, 1 for log.
template <class T, int V, int TEAM, int K> __global__ void __launch_bounds__(row_threads, 2) softmax_rows(SoftmaxArgs a) {
  using C = Compute<T>;
  const Index row = Index(blockIdx.x) * (row_threads / TEAM) + int(threadIdx.x) / TEAM;
  if (row >= a.rows) return;
  const Row<T, V, TEAM, K> x(static_cast<const T*>(a.x) + row * a.cols, a.cols / V, int(threadIdx.x) % TEAM);
  T* const y = static_cast<T*>(a.y) + row * a.cols;
  C max = -C(INFINITY);
  x.each([&](Index, const C(&v)[V]) {
    for (C e : v) max = Larger{}(max, e);
  });
  max = team_fold<TEAM>(max, Larger{});
  double sum = 0;
  x.each([&](Index, const C(&v)[V]) {
    C s = 0;
    for (C e : v) s += std::exp(e - max);
    sum += double(s);
  });
  sum = team_fold<TEAM>(sum, Add{});
  const C scale = C(1 / sum), log_sum = a.log ? C(std::log(sum)) : C(0);
  x.each([&](Index c, const C(&v)[V]) {
    C out[V];
    for (int i = 0; i < V; ++i) out[i] = a.log ? (v[i] - max) - log_sum : std::exp(v[i] - max) * scale;
    store_pack(y + c, out);
  });
}

// dx = y (g - Σ y g)        log: dx = g - e^y Σ g
// Owns:  as above.   Costs: y and g read once where K > 0, else twice, dx written once.
template <class T, int V, int TEAM, int K> __global__ void __launch_bounds__(row_threads, 2) softmax_grad_rows(SoftmaxGradArgs a) {
  using C = Compute<T>;
  const Index row = Index(blockIdx.x) * (row_threads / TEAM) + int(threadIdx.x) / TEAM, begin = row * a.cols;
  if (row >= a.rows) return;
  const int member = int(threadIdx.x) % TEAM;
  const Row<T, V, TEAM, K> y(static_cast<const T*>(a.y) + begin, a.cols / V, member);
  const Row<T, V, TEAM, K> g(static_cast<const T*>(a.g) + begin, a.cols / V, member);
  double sum = 0;
  each_of_two(y, g, [&](Index, const C(&p)[V], const C(&d)[V]) {
    C s = 0;
    for (int i = 0; i < V; ++i) s = a.log ? s + d[i] : std::fma(p[i], d[i], s);
    sum += double(s);
  });
  const C total = C(team_fold<TEAM>(sum, Add{}));
  each_of_two(y, g, [&](Index c, const C(&p)[V], const C(&d)[V]) {
    C out[V];
    for (int i = 0; i < V; ++i) out[i] = a.log ? std::fma(-std::exp(p[i]), total, d[i]) : p[i] * (d[i] - total);
    store_pack(static_cast<T*>(a.dx) + begin + c, out);
  });
}

}  // namespace

void softmax(const Context& ctx, DType dtype, const SoftmaxArgs& a) {
  if (a.rows * a.cols == 0) return;
  visit_row_kernels("softmax", dtype, a.rows, a.cols, [&](auto kind, Extent grid) {
    using R = decltype(kind);
    launch(ctx.stream, {"softmax_rows", grid, {row_threads}}, softmax_rows<typename R::Type, R::V, R::TEAM, R::K>, a);
  }, a.x, a.y);
}

void softmax_grad(const Context& ctx, DType dtype, const SoftmaxGradArgs& a) {
  if (a.rows * a.cols == 0) return;
  visit_row_kernels("softmax_grad", dtype, a.rows, a.cols, [&](auto kind, Extent grid) {
    using R = decltype(kind);
    launch(ctx.stream, {"softmax_grad_rows", grid, {row_threads}}, softmax_grad_rows<typename R::Type, R::V, R::TEAM, R::K>, a);
  }, a.y, a.g, a.dx);
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
