// launch(stream, plan, kernel, arguments...): runs the grid, one block after the other, or keeps it with a copy of its arguments until the
// stream is waited for (stream.cpp).
#pragma once
#include <type_traits>

namespace sspo::cuda::inline sim {

void run_grid(const LaunchPlan& plan, void (*body)(void*), void* closure);
void queue_grid(Stream& stream, const LaunchPlan& plan, void (*body)(void*), const void* closure, std::size_t bytes);

template <class... P, class... A>
void launch(Stream& stream, const LaunchPlan& plan, void (*kernel)(P...), A... arguments) {
  check_plan(plan);
  auto body = [=]() SSPO_SIM_UNSEEN { kernel(static_cast<P>(arguments)...); };
  using Body = decltype(body);
  static_assert(std::is_trivially_copyable_v<Body> && alignof(Body) <= alignof(std::max_align_t), "a kernel's arguments are copied as bytes");
  queue_grid(stream, plan, [](void* closure) SSPO_SIM_UNSEEN { (*static_cast<Body*>(closure))(); }, &body, sizeof body);
}

}  // namespace sspo::cuda::inline sim
