#include "cpu/geglu.hpp"

#include "cpu/isa/each_pack.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd_math.hpp"

namespace sspo::cpu::SSPO_ISA {
namespace {

constexpr Index task_elements = 16384;

template <class F>
void each_row_block(const Context& ctx, Index rows, Index width, F&& body) {
  if (rows * width == 0) return;
  const Index block = width >= task_elements ? 1 : task_elements / width;
  parallel_for(ctx, (rows + block - 1) / block, [&](Index task, int) {
    for (Index r = task * block; r < rows && r < (task + 1) * block; ++r) body(r);
  });
}

// Owns: task = a block of rows.  Costs: h read once, y written once; about 30 FLOPs an element of y.
template <class T, class C>
void geglu(const Context& ctx, const GegluArgs& args) {
  const Index n = args.width;
  each_row_block(ctx, args.rows, n, [&](Index row) {
    const T *a = static_cast<const T*>(args.h) + row * 2 * n, *b = a + n;
    T* y = static_cast<T*>(args.y) + row * n;
    each_pack<C>(n, [&](Index i, auto lanes) {
      const Pack<C> v = load<C>(b + i, lanes);
      store(load<C>(a + i, lanes) * v * normal_coarse(v).cdf, y + i, lanes);
    });
  });
}

// Costs: h and g read once, dh written once; about 45 FLOPs an element of g.
template <class T, class C>
void geglu_grad(const Context& ctx, const GegluGradArgs& args) {
  const Index n = args.width;
  each_row_block(ctx, args.rows, n, [&](Index row) {
    const T *a = static_cast<const T*>(args.h) + row * 2 * n, *b = a + n, *g = static_cast<const T*>(args.g) + row * n;
    T *da = static_cast<T*>(args.dh) + row * 2 * n, *db = da + n;
    each_pack<C>(n, [&](Index i, auto lanes) {
      const Pack<C> u = load<C>(a + i, lanes), v = load<C>(b + i, lanes), d = load<C>(g + i, lanes);
      const Normal<C> gate = normal_coarse(v);
      store(d * v * gate.cdf, da + i, lanes);
      store(d * u * fma(v, gate.pdf, gate.cdf), db + i, lanes);
    });
  });
}

template <class T, class C>
constexpr GegluOf geglu_of = {geglu<T, C>, geglu_grad<T, C>};

}  // namespace

extern const GegluKernels geglu_table;
const GegluKernels geglu_table = {geglu_of<float, float>, geglu_of<double, double>, geglu_of<bf16, float>};

}  // namespace sspo::cpu::SSPO_ISA
