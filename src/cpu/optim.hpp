// The CPU's kernels for kernels/optim.hpp.
#pragma once
#include "cpu/context.hpp"
#include "kernels/optim.hpp"

namespace sspo::cpu {
using namespace kernels;

struct OptimKernels {
  void (*adamw)(const Context&, const AdamWArgs&);
  void (*adamw8bit)(const Context&, const AdamW8bitArgs&);
  void (*sgd)(const Context&, const SgdArgs&);
  void (*ema)(const Context&, const EmaArgs&);
};
const OptimKernels& optim_kernels(Isa);

}  // namespace sspo::cpu
