// Optimizer steps on a CUDA device: formulas and argument structs in kernels/optim.hpp. The list of tensors is host memory, what they
// point to the device's. Up to `tensors_per_launch` tensors are one launch.
#pragma once
#include "context.hpp"
#include "kernels/optim.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

void adamw(const Context&, const kernels::AdamWArgs&);
void adamw8bit(const Context&, const kernels::AdamW8bitArgs&);  // the CPU's bits where that has fma
void sgd(const Context&, const kernels::SgdArgs&);
void ema(const Context&, const kernels::EmaArgs&);

inline constexpr int tensors_per_launch = 64;  // a table of them fits in a kernel's 4 KiB of arguments

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
