#include "optim.hpp"

#include <algorithm>

#include "blocks.cuh"
#include "failures.hpp"
#include "sspo/base/error.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

using kernels::AdamWArgs;
using kernels::AdamWTensor;
using kernels::EmaArgs;
using kernels::EmaTensor;
using kernels::SgdArgs;
using kernels::SgdTensor;

namespace {

constexpr int step_threads = 256, packs_a_thread = 2, piece = step_threads * packs_a_thread * 4;  // elements a block

// A product that is rounded: nvcc may not make it part of an fma, so that bits are those of the CPU.
SSPO_DEVICE float product(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

// A step is a function of one element of N arrays, the first `written` of which it changes; `decay` is the tensor's own number.
struct AdamWStep {  // p, m, v, g
  static constexpr int arrays = 4, written = 3;
  float scale, one_less_beta1, beta2, one_less_beta2, step_size, root_bias2, eps;
  SSPO_DEVICE void operator()(float& p, float& m, float& v, float g, float decay) const {  // decay: 1 - lr λ
    g = product(g, scale);
    p = product(p, decay);
    m = std::fma(g - m, one_less_beta1, m);
    v = std::fma(product(g, g), one_less_beta2, product(v, beta2));
    p = p - product(step_size, m) / std::fma(std::sqrt(v), root_bias2, eps);
  }
};
struct MomentumStep {  // p, u, g
  static constexpr int arrays = 3, written = 2;
  float scale, momentum, lr;
  bool nesterov;
  SSPO_DEVICE void operator()(float& p, float& u, float g, float decay) const {  // decay: λ
    g = std::fma(p, decay, product(g, scale));
    u = std::fma(momentum, u, g);
    p = std::fma(-lr, nesterov ? std::fma(momentum, u, g) : u, p);
  }
};
struct DescentStep {  // p, g
  static constexpr int arrays = 2, written = 1;
  float scale, lr;
  SSPO_DEVICE void operator()(float& p, float g, float decay) const { p = std::fma(-lr, std::fma(p, decay, product(g, scale)), p); }
};
struct EmaStep {  // e, p
  static constexpr int arrays = 2, written = 1;
  float rate;
  SSPO_DEVICE void operator()(float& e, float p, float) const { e = std::fma(p - e, rate, e); }
};
template <class Step> SSPO_DEVICE void apply_step(const Step& step, float (&x)[Step::arrays], float decay) {
  if constexpr (Step::arrays == 4) step(x[0], x[1], x[2], x[3], decay);
  else if constexpr (Step::arrays == 3) step(x[0], x[1], x[2], decay);
  else step(x[0], x[1], decay);
}

template <int N> struct SteppedTensor {
  float* at[N];
  Index size;
  float decay;
  bool wide;  // all arrays begin at multiples of 16 bytes
};
template <int N> struct TensorTable {
  int count = 0;
  unsigned end[tensors_per_launch];  // pieces of the tensors up to and with this one
  SteppedTensor<N> tensors[tensors_per_launch];
};

// Owns:  block = one piece of one tensor; thread = `packs_a_thread` packs of each array, and one element of the tensor's last few.
// Costs: each array read once, the written ones written once.
template <class Step> __global__ void __launch_bounds__(step_threads) step_tensors(TensorTable<Step::arrays> table, Step step) {
  constexpr int N = Step::arrays;
  int low = 0, high = table.count - 1;  // 1. whose piece: the first tensor that ends beyond it
  while (low < high) {
    const int middle = (low + high) / 2;
    if (table.end[middle] > blockIdx.x) high = middle;
    else low = middle + 1;
  }
  const SteppedTensor<N>& t = table.tensors[low];
  const Index first = Index(blockIdx.x - (low > 0 ? table.end[low - 1] : 0)) * piece, left = t.size - first;
  const int n = int(left < piece ? left : piece), in_packs = t.wide ? n / 4 * 4 : 0;
  float4 raw[packs_a_thread][N];  // 2. packs
#pragma unroll
  for (int k = 0; k < packs_a_thread; ++k)
    if (const int i = 4 * (int(threadIdx.x) + k * step_threads); i < in_packs)
      for (int a = 0; a < N; ++a) raw[k][a] = load(reinterpret_cast<const float4*>(t.at[a] + first + i));
#pragma unroll
  for (int k = 0; k < packs_a_thread; ++k) {
    const int i = 4 * (int(threadIdx.x) + k * step_threads);
    if (i >= in_packs) break;
    float x[4][N];
    for (int a = 0; a < N; ++a) x[0][a] = raw[k][a].x, x[1][a] = raw[k][a].y, x[2][a] = raw[k][a].z, x[3][a] = raw[k][a].w;
    for (int v = 0; v < 4; ++v) apply_step(step, x[v], t.decay);
    for (int a = 0; a < Step::written; ++a)
      store(reinterpret_cast<float4*>(t.at[a] + first + i), make_float4(x[0][a], x[1][a], x[2][a], x[3][a]));
  }
  for (int i = in_packs + int(threadIdx.x); i < n; i += step_threads) {  // 3. what is left, or all of a tensor that is not aligned
    float x[N];
    for (int a = 0; a < N; ++a) x[a] = t.at[a][first + i];
    apply_step(step, x, t.decay);
    for (int a = 0; a < Step::written; ++a) t.at[a][first + i] = x[a];
  }
}

// Tensors gathered into tables, a launch whenever one is full; the rest by flush().
template <class Step> class TensorList {
 public:
  static constexpr int N = Step::arrays;
  TensorList(const Context& ctx, const char* kernel, const Step& step) : ctx_(ctx), kernel_(kernel), step_(step) {}
  void add(const SteppedTensor<N>& t) {
    if (t.size == 0) return;
    const Index pieces = ceil_div(t.size, piece);
    if (table_.count == tensors_per_launch || pieces_ + pieces > Index(limits().grid_x)) flush();
    pieces_ += pieces;
    table_.end[table_.count] = unsigned(pieces_);
    const auto aligned = [](float* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; };
    table_.tensors[table_.count] = t;
    table_.tensors[table_.count++].wide = std::all_of(t.at, t.at + N, aligned);
  }
  void flush() {
    if (table_.count > 0) try {
        launch(ctx_.stream, {kernel_, blocks_along_x(pieces_), {step_threads}}, step_tensors<Step>, table_, step_);
      } catch (const Error& e) {
        if (begun_) lose_device(std::string("some parameters were updated, others were not: ") + e.what());  // such numbers must reach no checkpoint
        throw;
      }
    begun_ = begun_ || table_.count > 0;
    table_.count = 0, pieces_ = 0;
  }

 private:
  const Context& ctx_;
  const char* kernel_;
  Step step_;
  TensorTable<N> table_;
  Index pieces_ = 0;
  bool begun_ = false;
};

double power(double x, Index n) {  // x^n by squaring
  double y = 1;
  for (; n > 0; n /= 2, x *= x)
    if (n % 2) y *= x;
  return y;
}
float* changeable(const float* p) { return const_cast<float*>(p); }  // arrays after the written ones are only read

}  // namespace

void adamw(const Context& ctx, const AdamWArgs& a) {
  const double bias1 = 1 - power(a.beta1, a.step), bias2 = 1 - power(a.beta2, a.step);
  const AdamWStep step{float(a.grad_scale), float(1 - a.beta1), float(a.beta2), float(1 - a.beta2), float(a.lr / bias1),
                       float(1 / std::sqrt(bias2)), float(a.eps)};
  TensorList<AdamWStep> list(ctx, "adamw", step);
  for (const AdamWTensor* t = a.tensors; t != a.tensors + a.count; ++t)
    list.add({{t->p, t->m, t->v, changeable(t->g)}, t->size, float(1 - a.lr * t->weight_decay), false});
  list.flush();
}

void sgd(const Context& ctx, const SgdArgs& a) {
  TensorList<MomentumStep> with(ctx, "sgd_momentum", {float(a.grad_scale), float(a.momentum), float(a.lr), a.nesterov});
  TensorList<DescentStep> without(ctx, "sgd", {float(a.grad_scale), float(a.lr)});
  for (const SgdTensor* t = a.tensors; t != a.tensors + a.count; ++t)
    if (t->u) with.add({{t->p, t->u, changeable(t->g)}, t->size, float(t->weight_decay), false});
    else without.add({{t->p, changeable(t->g)}, t->size, float(t->weight_decay), false});
  with.flush();
  without.flush();
}

void ema(const Context& ctx, const EmaArgs& a) {
  TensorList<EmaStep> list(ctx, "ema", {float(1 - a.decay)});
  for (const EmaTensor* t = a.tensors; t != a.tensors + a.count; ++t) list.add({{t->e, changeable(t->p)}, t->size, 0, false});
  list.flush();
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
