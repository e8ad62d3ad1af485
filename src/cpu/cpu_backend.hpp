// The CPU as a Backend: views in, kernels of the chosen instruction set.
#pragma once
#include "backend.hpp"
#include "cpu/context.hpp"

namespace sspo::cpu {

// computes = false: tensors are allocated and counted, nothing is written to them: see tensor/rehearsal.hpp.
Shared<DeviceState> make_device(const CpuOptions& options, bool computes = true);

}  // namespace sspo::cpu
