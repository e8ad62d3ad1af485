// Every elementwise op of the engine as a SIMD loop: y[i] = f(a[i], b[i], c[i]) on contiguous blocks.
// Costs: the formula; blocks are cache-resident, memory is touched by the driver.
#include "cpu/simd_math.hpp"
#include "sspo/ops/elementwise.hpp"

#include "cpu/elementwise.hpp"

namespace sspo::cpu::SSPO_ISA {
namespace {

template <class O, class T, class... X>
inline Pack<T> formula(const void* attrs, X... x) {
  if constexpr (requires { typename O::Attrs; }) return O::template scalar<Pack<T>>(*static_cast<const typename O::Attrs*>(attrs), x...);
  else return O::template scalar<Pack<T>>(x...);
}

template <class O, class T>
void loop(const void* const* in, void* out, Index n, const void* attrs) {
  constexpr int size = Pack<T>::size;
  constexpr int arity = detail::arity<O>();
  const T* a = static_cast<const T*>(in[0]);
  const T* b = arity > 1 ? static_cast<const T*>(in[1]) : nullptr;
  const T* c = arity > 2 ? static_cast<const T*>(in[2]) : nullptr;
  T* y = static_cast<T*>(out);
  const auto at = [&](auto load) {
    if constexpr (arity == 1) return formula<O, T>(attrs, load(a));
    else if constexpr (arity == 2) return formula<O, T>(attrs, load(a), load(b));
    else return formula<O, T>(attrs, load(a), load(b), load(c));
  };
  Index i = 0;
  for (; i + size <= n; i += size) at([&](const T* p) { return Pack<T>::load(p + i); }).store(y + i);
  if (i < n) at([&](const T* p) { return Pack<T>::load_n(p + i, n - i); }).store_n(y + i, n - i);
}

template <class O>
constexpr detail::InnerLoop integer_loop() {
  if constexpr (detail::on_integers<O>()) return &loop<O, std::int64_t>;
  else return nullptr;
}

template <class List> struct Table;
template <class... O> struct Table<OpList<O...>> {
  static constexpr detail::InnerLoop f32[] = {&loop<O, float>...};
  static constexpr detail::InnerLoop f64[] = {&loop<O, double>...};
  static constexpr detail::InnerLoop i64[] = {integer_loop<O>()...};
};

}  // namespace

extern const ElementwiseKernels elementwise_table;
const ElementwiseKernels elementwise_table = {Table<ElementwiseOps>::f32, Table<ElementwiseOps>::f64, Table<ElementwiseOps>::i64};

}  // namespace sspo::cpu::SSPO_ISA
