// Private to the room: number sequences as numpy and PyTorch round them.
#pragma once
#include <vector>

#include "sspo/base/config.hpp"

namespace sspo {

std::vector<float> linspace_f32(float first, float last, Index n);      // torch.linspace
std::vector<double> linspace_f64(double first, double last, Index n);   // numpy.linspace

}  // namespace sspo
