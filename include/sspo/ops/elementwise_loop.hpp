// How an elementwise formula becomes a loop. The engine's own ops run loops compiled per instruction
// set; a user's op brings the loop that is instantiated here, in the user's own code.
#pragma once
#include <span>

#include "sspo/base/scalar_math.hpp"
#include "sspo/grad/node.hpp"

namespace sspo::detail {

// out[i] = f(in[0][i], in[1][i], ...) for i < n; all contiguous, all of the loop's compute type.
using InnerLoop = void (*)(const void* const* in, void* out, Index n, const void* attrs);

struct Loops {
  int builtin = -1;           // position in ElementwiseOps, or -1: the loops below
  InnerLoop f32 = nullptr;
  InnerLoop f64 = nullptr;
  InnerLoop i64 = nullptr;    // null: not for integers
};

// same: operands and result share one dtype. predicate: the result is bool. condition: operand 0 may be bool.
enum class ResultRule { same, predicate, condition };

template <class O> inline constexpr int builtin_index = -1;  // elementwise.hpp numbers the engine's own

template <class F> inline constexpr int arity_of = 0;
template <class R, class... A> inline constexpr int arity_of<R (*)(A...)> = int(sizeof...(A));

// How many tensors O::scalar takes: its parameters, less the attributes in front.
template <class O> constexpr int arity() {
  if constexpr (requires { typename O::Attrs; }) return arity_of<decltype(&O::template scalar<float>)> - 1;
  else return arity_of<decltype(&O::template scalar<float>)>;
}

template <class O, class T, class... X>
SSPO_HD inline T call_scalar(const void* attrs, X... x) {
  if constexpr (requires { typename O::Attrs; }) return O::template scalar<T>(*static_cast<const typename O::Attrs*>(attrs), x...);
  else return O::template scalar<T>(x...);
}

template <class O, class T>
void scalar_loop(const void* const* in, void* out, Index n, const void* attrs) {
  const auto at = [&](int k, Index i) { return static_cast<const T*>(in[k])[i]; };
  T* y = static_cast<T*>(out);
  for (Index i = 0; i < n; ++i) {
    if constexpr (arity<O>() == 1) y[i] = call_scalar<O, T>(attrs, at(0, i));
    else if constexpr (arity<O>() == 2) y[i] = call_scalar<O, T>(attrs, at(0, i), at(1, i));
    else y[i] = call_scalar<O, T>(attrs, at(0, i), at(1, i), at(2, i));
  }
}

template <class O> constexpr bool on_integers() {
  if constexpr (requires { O::integers; }) return O::integers;
  else return false;
}

template <class O> constexpr Loops loops() {
  if constexpr (builtin_index<O> >= 0) return {.builtin = builtin_index<O>};
  else if constexpr (on_integers<O>()) return {-1, &scalar_loop<O, float>, &scalar_loop<O, double>, &scalar_loop<O, std::int64_t>};
  else return {-1, &scalar_loop<O, float>, &scalar_loop<O, double>, nullptr};
}

template <class O> constexpr ResultRule rule() {
  if constexpr (requires { O::rule; }) return O::rule;
  else return ResultRule::same;
}

// Checks dtypes and shapes, broadcasts, allocates the result (or takes an operand's buffer that nobody
// else holds), runs the loop on the operands' device.
Tensor elementwise(const OpInfo& op, const Loops& loops, const void* attrs, std::span<Tensor> in, ResultRule rule,
                   bool may_reuse, Site at);

}  // namespace sspo::detail
