// Op and apply: the one door through which every op goes.
//
// An op is a struct: its name, its forward, its derivative, its samples.
//   struct Softplus {                                             // elementwise: `scalar` is the forward
//     static constexpr OpInfo info{"softplus", "log(1 + e^x)"};
//     template <class T> SSPO_HD static T scalar(T x) { return max(x, T(0)) + log1p(exp(-abs(x))); }
//     static Tensor vjp(const Tensor& g, const Tensor& x) { return g * sigmoid(x); }
//     static constexpr SampleRange samples[] = {{.low = -8, .high = 8}};   // see sample.hpp
//   };
//   struct Matmul { static Tensor forward(const Attrs&, const Tensor& a, const Tensor& b); ... };
//
// vjp(attrs?, need?, g, one per input..., y?, kept?): the signature says what is kept until backward.
//   `const Tensor&` keeps the numbers of that input (or of y), `Meta` only shape and dtype.
//   `const Attrs&` first if the op has attributes; `Needs` if some gradients may be skipped.
//   keeps(attrs?, i, need), optional, narrows that: is input i needed, given who wants a gradient?
//   What is not kept still knows its shape and dtype.
//   It returns one Tensor, or std::array<Tensor, N>, undefined where nothing flows.
// Read `apply`, then grad/backward.hpp.
#pragma once
#include <array>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include "sspo/grad/call.hpp"
#include "sspo/ops/elementwise_loop.hpp"

namespace sspo {

struct NoAttrs {};
using Needs = std::span<const bool>;
template <std::size_t N> using Grads = std::array<Tensor, N>;

// A forward that also hands something to its vjp returns Kept<Extra>; the vjp takes `const Extra&` last.
template <class Extra>
struct Kept {
  Tensor y;
  Extra extra;
};

template <class O> concept Elementwise = requires { &O::template scalar<float>; };
template <class O> concept Differentiable = requires { &O::vjp; };
template <class O> concept Op = requires {
  { O::info } -> std::convertible_to<OpInfo>;
} && (Differentiable<O> || requires { O::no_vjp; });

template <class O> struct AttrsOf { using type = NoAttrs; };
template <class O> requires requires { typename O::Attrs; } struct AttrsOf<O> { using type = typename O::Attrs; };
template <class O> using Attrs = typename AttrsOf<O>::type;

namespace detail {

template <class F> struct Signature;
template <class R, class... A> struct Signature<R (*)(A...)> {
  using Args = std::tuple<std::remove_cvref_t<A>...>;
  static constexpr std::size_t size = sizeof...(A);
};

// What the parameters of O::vjp mean; see the head of this file.
template <class O, std::size_t N> struct VjpSignature {
  using S = Signature<decltype(&O::vjp)>;
  template <std::size_t I> using Arg = std::tuple_element_t<I, typename S::Args>;
  static constexpr bool is_attrs() { return S::size > 1 && std::is_same_v<Arg<0>, Attrs<O>>; }
  static constexpr std::size_t need_at = is_attrs() ? 1 : 0;
  static constexpr bool has_need = std::is_same_v<Arg<need_at>, Needs>;
  static constexpr std::size_t g_at = need_at + (has_need ? 1 : 0), first = g_at + 1, y_at = first + N;
  static_assert(std::is_same_v<Arg<g_at>, Tensor> && S::size >= y_at, "vjp(attrs?, need?, g, inputs..., y?, kept?)");
  template <class T> static constexpr bool is_value = std::is_same_v<T, Tensor> || std::is_same_v<T, Meta>;
  template <std::size_t I> static constexpr bool tensor_at() {
    if constexpr (I < S::size) return std::is_same_v<Arg<I>, Tensor>;
    else return false;
  }
  static constexpr bool keeps_y = tensor_at<y_at>();
  static constexpr bool keeps_input = []<std::size_t... I>(std::index_sequence<I...>) {
    return (tensor_at<first + I>() || ...);
  }(std::make_index_sequence<N>{});
};

template <class O, std::size_t N, class Extra, std::size_t... I>
Tensors call_vjp(const Attrs<O>& attrs, const Extra& extra, const std::array<Meta, N>& metas, const PullArgs& p,
                 std::index_sequence<I...>) {
  using V = VjpSignature<O, N>;
  std::array<bool, N> need{};
  for (std::size_t i = 0; i < N; ++i) need[i] = p.need[i];
  const auto argument = [&]<std::size_t A>() -> decltype(auto) {
    using T = typename V::template Arg<A>;
    if constexpr (A < V::need_at) return (attrs);
    else if constexpr (A < V::g_at) return Needs(need);
    else if constexpr (A == V::g_at) return (p.g);
    else if constexpr (A < V::y_at && std::is_same_v<T, Tensor>) return (p.inputs[A - V::first]);
    else if constexpr (A < V::y_at) return (metas[A - V::first]);
    else if constexpr (std::is_same_v<T, Tensor>) return (p.y);
    else return (extra);
  };
  auto result = O::vjp(argument.template operator()<I>()...);
  if constexpr (std::is_same_v<decltype(result), Tensor>) return {std::move(result)};
  else return Tensors(result.begin(), result.end());
}

template <class T> struct Unpacked { static constexpr bool keeps = false; using Extra = NoAttrs; };
template <class E> struct Unpacked<Kept<E>> { static constexpr bool keeps = true; using Extra = E; };

template <class O, std::size_t N, class Extra>
void record(const Attrs<O>& attrs, std::span<const Tensor> inputs, Tensor& y, Extra extra) {
  if constexpr (Differentiable<O>) {
    using V = VjpSignature<O, N>;
    Shared<Node> node = make_node(O::info, inputs, y);
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      const auto keep = [&]<std::size_t K>() {
        bool wanted = V::template tensor_at<V::first + K>();
        std::array<bool, N> need{};
        for (std::size_t i = 0; i < N; ++i) need[i] = inputs[i].tracked();
        if constexpr (requires { O::keeps(int(K), Needs{}); }) wanted = wanted && O::keeps(int(K), Needs(need));
        if constexpr (requires { O::keeps(attrs, int(K), Needs{}); }) wanted = wanted && O::keeps(attrs, int(K), Needs(need));
        if (inputs[K].defined()) node->kept[K] = wanted ? inputs[K].with_node(nullptr) : inputs[K].without_numbers();
      };
      (keep.template operator()<I>(), ...);
    }(std::make_index_sequence<N>{});
    if constexpr (V::keeps_y) node->kept_y = y;
    std::array<Meta, N> metas;
    for (std::size_t i = 0; i < N; ++i)
      if (inputs[i].defined()) metas[i] = inputs[i].meta();
    node->pullback = [attrs, extra = std::move(extra), metas](const PullArgs& p) {
      return call_vjp<O, N>(attrs, extra, metas, p, std::make_index_sequence<V::S::size>{});
    };
    // An op that keeps its result in place of its operands writes its vjp in ops that differentiate again.
    if constexpr (requires { &O::reference; } && !(V::keeps_y && !V::keeps_input)) {
      node->reference = [attrs](const Tensors& in) {
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
          (void)attrs;  // used in one branch
          if constexpr (std::is_same_v<Attrs<O>, NoAttrs>) return O::reference(in[I]...);
          else return O::reference(attrs, in[I]...);
        }(std::make_index_sequence<N>{});
      };
    }
    y = y.with_node(std::move(node));
  }
}

}  // namespace detail

// y = O(inputs...), recorded if an input is tracked.
template <Op O, std::same_as<Tensor>... In>
Tensor apply(Site at, const Attrs<O>& attrs, In... in) {
  constexpr std::size_t N = sizeof...(In);
  std::array<Tensor, N> inputs{std::move(in)...};
  detail::CallRecord call(O::info, inputs, at);
  if constexpr (Elementwise<O>) {
    const void* extra = std::is_same_v<Attrs<O>, NoAttrs> ? nullptr : static_cast<const void*>(&attrs);
    bool may_reuse = true;  // the buffer of an input that nobody else holds, for the result
    if constexpr (Differentiable<O>) may_reuse = !(call.tracked && detail::VjpSignature<O, N>::keeps_input);
    Tensor y = detail::elementwise(O::info, detail::loops<O>(), extra, std::span<Tensor>(inputs), detail::rule<O>(), may_reuse, at);
    if (call.tracked) detail::record<O, N>(attrs, inputs, y, NoAttrs{});
    call.finish(y);
    return y;
  } else {
    auto out = [&]<std::size_t... I>(std::index_sequence<I...>) {
      if constexpr (requires { O::forward(attrs, inputs[I]..., at); }) return O::forward(attrs, inputs[I]..., at);
      else if constexpr (requires { O::forward(inputs[I]..., at); }) return O::forward(inputs[I]..., at);
      else if constexpr (requires { O::forward(attrs, inputs[I]...); }) return O::forward(attrs, inputs[I]...);
      else return O::forward(inputs[I]...);
    }(std::make_index_sequence<N>{});
    using U = detail::Unpacked<decltype(out)>;
    Tensor y;
    if constexpr (U::keeps) {
      y = std::move(out.y);
      if (call.tracked) detail::record<O, N>(attrs, inputs, y, std::move(out.extra));
    } else {
      y = std::move(out);
      if (call.tracked) detail::record<O, N>(attrs, inputs, y, NoAttrs{});
    }
    call.finish(y);
    return y;
  }
}
template <Op O, std::same_as<Tensor>... In>
Tensor apply(In... in) {
  return apply<O>(Site{}, Attrs<O>{}, std::move(in)...);
}

}  // namespace sspo
