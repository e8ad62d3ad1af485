#include "simd_math_probe.hpp"

#include "cpu/simd_math.hpp"

namespace sspo::cpu::SSPO_ISA {
namespace {

template <class T, auto f>
void over(const T* x, const T* p, T* y, Index n) {
  using P = Pack<T>;
  Index i = 0;
  for (; i + P::size <= n; i += P::size) f(P::load(x + i), P::load(p + i)).store(y + i);
  if (i < n) f(P::load_n(x + i, n - i), P::load_n(p + i, n - i)).store_n(y + i, n - i);
}

}  // namespace

#define PROBE(f) \
  {#f, over<float, [](Pack<float> x, Pack<float>) { return f(x); }>, over<double, [](Pack<double> x, Pack<double>) { return f(x); }>}
extern const MathProbes math_probes;
const MathProbes math_probes = {
    PROBE(exp), PROBE(exp_nonpositive), PROBE(expm1), PROBE(log), PROBE(log1p), PROBE(tanh), PROBE(sigmoid),
    PROBE(erf), PROBE(normal_cdf), {"normal_pdf", over<float, [](Pack<float> x, Pack<float>) { return normal(x).pdf; }>,
    over<double, [](Pack<double> x, Pack<double>) { return normal(x).pdf; }>},
    PROBE(sin), PROBE(cos), PROBE(sqrt), PROBE(rsqrt), PROBE(floor), PROBE(sign), PROBE(abs),
    {"coarse_cdf", over<float, [](Pack<float> x, Pack<float>) { return normal_coarse(x).cdf; }>,
    over<double, [](Pack<double> x, Pack<double>) { return normal_coarse(x).cdf; }>},
    {"coarse_pdf", over<float, [](Pack<float> x, Pack<float>) { return normal_coarse(x).pdf; }>,
    over<double, [](Pack<double> x, Pack<double>) { return normal_coarse(x).pdf; }>},
    PROBE(silu), PROBE(silu_slope), PROBE(exp_difference),
    {"pow", over<float, [](Pack<float> x, Pack<float> p) { return pow(x, p); }>,
     over<double, [](Pack<double> x, Pack<double> p) { return pow(x, p); }>}};
#undef PROBE

}  // namespace sspo::cpu::SSPO_ISA
