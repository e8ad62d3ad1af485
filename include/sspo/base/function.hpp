// Function: any callable as a value, std::function without the 0.2 s that <functional> costs each unit that
// includes it. Copies share one callable, its state included.
//   Function<double(Index)> lr = [](Index step) { return 1e-3 / double(1 + step); };
#pragma once
#include <cstddef>
#include <type_traits>
#include <utility>

#include "sspo/base/shared.hpp"

namespace sspo {
namespace detail {
[[noreturn]] void called_empty_function();
}

template <class Signature> class Function;

template <class R, class... A>
class Function<R(A...)> {
 public:
  Function() = default;
  Function(std::nullptr_t) {}  // NOLINT: implicit, as every conversion here
  template <class F> requires(!std::is_same_v<F, Function> && std::is_invocable_r_v<R, F&, A...>)
  Function(F f) : callable_(Shared<F>::make(std::move(f))), call_(&call<F>) {}  // NOLINT

  explicit operator bool() const { return call_ != nullptr; }
  R operator()(A... a) const {  // throws Error if there is nothing to call
    if (!call_) detail::called_empty_function();
    return call_(callable_.get(), std::forward<A>(a)...);
  }

 private:
  template <class F> static R call(void* f, A... a) { return static_cast<R>((*static_cast<F*>(f))(std::forward<A>(a)...)); }

  Shared<void> callable_;
  R (*call_)(void*, A...) = nullptr;
};

}  // namespace sspo
