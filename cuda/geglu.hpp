// GEGLU and its gradient on a CUDA device: formulas and argument structs in kernels/geglu.hpp, pointers on the device.
#pragma once
#include "context.hpp"
#include "kernels/geglu.hpp"
#include "sspo/base/dtype.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

void geglu(const Context&, DType, const kernels::GegluArgs&);
void geglu_grad(const Context&, DType, const kernels::GegluGradArgs&);

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
