#include "cpu/optim.hpp"

#include "cpu/isa/each_pack.hpp"
#include "cpu/isa/moment_codes.hpp"
#include "cpu/parallel.hpp"

namespace sspo::cpu::SSPO_ISA {
namespace {

constexpr Index piece = 32768;  // elements a task
using P = Pack<float>;

// body(tensor, first element, elements) for every piece of every tensor.
template <class Tensor, class F>
void each_piece(const Context& ctx, const Tensor* tensors, Index count, F&& body) {
  Workspace w(ctx, std::size_t(count + 1) * sizeof(Index));
  Index* begin = w.as<Index>();  // begin[i]: the pieces of the tensors before i
  begin[0] = 0;
  for (Index i = 0; i < count; ++i) begin[i + 1] = begin[i] + (tensors[i].size + piece - 1) / piece;
  parallel_for(ctx, begin[count], [&](Index task, int) {
    Index low = 0, high = count;  // begin[low] <= task < begin[high]
    while (high - low > 1) (begin[(low + high) / 2] <= task ? low : high) = (low + high) / 2;
    const Tensor& t = tensors[low];
    const Index first = (task - begin[low]) * piece;
    body(t, first, t.size - first < piece ? t.size - first : piece);
  });
}

inline double power(double x, Index n) {  // x^n by squaring
  double y = 1;
  for (; n > 0; n /= 2, x *= x)
    if (n % 2) y *= x;
  return y;
}

// Costs: 28 bytes of memory traffic and 13 FLOPs a parameter, a division and a root among them.
void adamw(const Context& ctx, const AdamWArgs& args) {
  const double bias1 = 1 - power(args.beta1, args.step), bias2 = 1 - power(args.beta2, args.step);
  const P scale = args.grad_scale, one_less_beta1 = 1 - args.beta1, beta2 = args.beta2, one_less_beta2 = 1 - args.beta2;
  const P step_size = args.lr / bias1, root_bias2 = 1 / __builtin_sqrt(bias2), eps = args.eps;
  each_piece(ctx, args.tensors, args.count, [&](const AdamWTensor& t, Index first, Index n) {
    const P decay = 1 - args.lr * t.weight_decay;
    float *pp = t.p + first, *pm = t.m + first, *pv = t.v + first;
    const float* pg = t.g + first;
    each_pack<float>(n, [&](Index i, auto lanes) {
      const P g = load<float>(pg + i, lanes) * scale;
      P m = load<float>(pm + i, lanes), v = load<float>(pv + i, lanes), p = load<float>(pp + i, lanes) * decay;
      m = fma(g - m, one_less_beta1, m);
      v = fma(g * g, one_less_beta2, v * beta2);
      p = p - step_size * m / fma(sqrt(v), root_bias2, eps);
      store(m, pm + i, lanes);
      store(v, pv + i, lanes);
      store(p, pp + i, lanes);
    });
  });
}

// Costs: 16.06 bytes of traffic a parameter; two divisions and a root, four look-ups.
void adamw8bit(const Context& ctx, const AdamW8bitArgs& args) {
  const double bias1 = 1 - power(args.beta1, args.step), bias2 = 1 - power(args.beta2, args.step);
  const P scale = args.grad_scale, one_less_beta1 = 1 - args.beta1, beta2 = args.beta2, one_less_beta2 = 1 - args.beta2;
  const P step_size = args.lr / bias1, root_bias2 = 1 / __builtin_sqrt(bias2), eps = args.eps;
  static_assert(piece % moments_block == 0);
  each_piece(ctx, args.tensors, args.count, [&](const AdamW8bitTensor& t, Index first, Index n) {
    const P decay = 1 - args.lr * t.weight_decay;
    for (Index begin = first; begin < first + n; begin += moments_block) {
      const Index size = first + n - begin < moments_block ? first + n - begin : moments_block, block = begin / moments_block;
      float* pp = t.p + begin;
      const float* pg = t.g + begin;
      std::uint8_t *pm = t.m + begin, *pr = t.r + begin;
      alignas(64) float ms[moments_block], rs[moments_block];
      const P m_scale = t.m_scale[block], r_scale = t.r_scale[block];
      P m_most = 0, r_most = 0;
      each_pack<float>(size, [&](Index i, auto lanes) {  // 1. the step in f32
        const P g = load<float>(pg + i, lanes) * scale, p = load<float>(pp + i, lanes) * decay;
        P m = decode_signed(load_codes(pm + i, lanes)) * m_scale, r = decode_positive(load_codes(pr + i, lanes)) * r_scale;
        m = fma(g - m, one_less_beta1, m);
        r = sqrt(fma(g * g, one_less_beta2, r * r * beta2));
        store(p - step_size * m / fma(r, root_bias2, eps), pp + i, lanes);
        m.store(ms + i), r.store(rs + i);
        m_most = max(m_most, abs(m)), r_most = max(r_most, r);
      });
      const float most_m = reduce_max(m_most), most_r = reduce_max(r_most);  // 2. the block's scales
      const P m_share = most_m < 1e-36f ? 0 : 1 / most_m, r_share = most_r == 0 ? 0 : 1 / most_r;
      t.m_scale[block] = most_m < 1e-36f ? 0 : most_m, t.r_scale[block] = most_r;
      each_pack<float>(size, [&](Index i, auto lanes) {  // 3. rounded
        store_codes(encode_signed(P::load(ms + i) * m_share), pm + i, lanes);
        store_codes(encode_positive(P::load(rs + i) * r_share), pr + i, lanes);
      });
    }
  });
}

// Costs: 20 bytes a parameter, 12 without momentum.
void sgd(const Context& ctx, const SgdArgs& args) {
  const P scale = args.grad_scale, momentum = args.momentum, lr = args.lr;
  each_piece(ctx, args.tensors, args.count, [&](const SgdTensor& t, Index first, Index n) {
    const P decay = t.weight_decay;
    float *pp = t.p + first, *pu = t.u ? t.u + first : nullptr;
    const float* pg = t.g + first;
    each_pack<float>(n, [&](Index i, auto lanes) {
      const P p = load<float>(pp + i, lanes), g = fma(p, decay, load<float>(pg + i, lanes) * scale);
      P u = g;
      if (pu) {
        u = fma(momentum, load<float>(pu + i, lanes), g);
        store(u, pu + i, lanes);
        if (args.nesterov) u = fma(momentum, u, g);
      }
      store(fma(-lr, u, p), pp + i, lanes);
    });
  });
}

// Costs: 12 bytes a parameter.  e + (1 - d)(p - e): e stays exactly p once it is.
void ema(const Context& ctx, const EmaArgs& args) {
  const P rate = 1 - args.decay;
  each_piece(ctx, args.tensors, args.count, [&](const EmaTensor& t, Index first, Index n) {
    float* pe = t.e + first;
    const float* pp = t.p + first;
    each_pack<float>(n, [&](Index i, auto lanes) {
      const P e = load<float>(pe + i, lanes);
      store(fma(load<float>(pp + i, lanes) - e, rate, e), pe + i, lanes);
    });
  });
}

}  // namespace

extern const OptimKernels optim_table;
const OptimKernels optim_table = {adamw, adamw8bit, sgd, ema};

}  // namespace sspo::cpu::SSPO_ISA
