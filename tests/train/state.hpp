// A small training state, trained for a few steps on noise: what checkpoints and runs are tested with.
#pragma once
#include "sspo/nn/layers.hpp"
#include "sspo/ops/all.hpp"
#include "sspo/train/checkpoint.hpp"
#include "support.hpp"

namespace sspo::testing {

struct SmallRun {
  explicit SmallRun(std::uint64_t seed = 1, Index width = 5, bool with_ema = true)
      : params(Device::cpu(), Rng{seed}), layer(params / "layer", 3, width), adamw(params, {.lr = 0.01}), average(params, 0.9),
        state{.params = params, .optimizer = adamw, .ema = with_ema ? &average : nullptr} {}
  Gradients gradients(Index step) const {
    const Tensor x = normal(Rng{7} / "x" / step, {4, 3});
    return backward(mean(square(layer(x))));
  }
  void train(Index steps) {
    for (Index i = 0; i < steps; ++i) {
      adamw.step(gradients(state.step));
      average.update(params);
      ++state.step;
    }
  }
  Params params;
  nn::Linear layer;
  AdamW adamw;
  Ema average;
  TrainingState state;
};

inline bool same(SmallRun& a, SmallRun& b) {
  bool equal = a.state.step == b.state.step && a.adamw.steps() == b.adamw.steps() && a.state.notes == b.state.notes;
  for (const Param& p : a.params) equal = equal && same_bits(p.value(), b.params[p.name()].value());
  for (const Param& p : a.average.params()) equal = equal && same_bits(p.value(), b.average.params()[p.name()].value());
  for (std::size_t i = 0; i < a.adamw.moments().size(); ++i)
    equal = equal && same_bits(a.adamw.moments()[i].m, b.adamw.moments()[i].m) && same_bits(a.adamw.moments()[i].v, b.adamw.moments()[i].v);
  return equal;
}

}  // namespace sspo::testing
