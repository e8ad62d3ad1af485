// Softmax, its logarithm and their gradients on a CUDA device: formulas and argument structs in kernels/softmax.hpp, pointers on
// the device.
#pragma once
#include "context.hpp"
#include "kernels/softmax.hpp"
#include "sspo/base/dtype.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

void softmax(const Context&, DType, const kernels::SoftmaxArgs&);
void softmax_grad(const Context&, DType, const kernels::SoftmaxGradArgs&);

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
