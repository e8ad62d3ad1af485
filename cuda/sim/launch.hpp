// launch(stream, plan, kernel, arguments...): runs the grid, one block after the other. A stream's work is done when a call returns.
#pragma once

namespace sspo::cuda::inline sim {

void run_grid(const LaunchPlan& plan, void (*body)(void*), void* closure);

template <class... P, class... A>
void launch(Stream&, const LaunchPlan& plan, void (*kernel)(P...), A... arguments) {
  check_plan(plan);
  auto body = [=]() SSPO_SIM_UNSEEN { kernel(static_cast<P>(arguments)...); };
  using Body = decltype(body);
  run_grid(plan, [](void* closure) SSPO_SIM_UNSEEN { (*static_cast<Body*>(closure))(); }, &body);
}

}  // namespace sspo::cuda::inline sim
