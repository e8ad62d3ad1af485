// From the options every model verb shares to the engine's Device and DType.
#pragma once
#include "cli/forward.hpp"
#include "sspo/base/device.hpp"
#include "sspo/base/dtype.hpp"
#include "sspo/base/error.hpp"
#include "sspo/cuda.hpp"

namespace sspo::cli {

// Weights that the CPU's kernels hold a second time in training, where memory is short: all of a small model's.
inline constexpr std::size_t packed_in_training = std::size_t(128) << 20;

// budget: most bytes in use, 0: no limit.
inline Device device_of(const DeviceOptions& o, std::size_t budget = 0, std::size_t packed_weights = SIZE_MAX) {
  if (o.device == "cpu" && (o.tf32 || o.cuda_graphs || o.matmul != "own" || o.conv != "own" || o.attention != "own"))
    fail({.op = "device", .what = "--tf32, --cuda-graphs, --matmul, --conv and --attention are about CUDA's kernels", .expected = "--device cuda or cuda-sim", .got = "--device cpu"}, Site{});
#if SSPO_CLI_CUDA
  const auto whose = [](const std::string& name) { return name == "own" ? Kernels::own : Kernels::library; };
  const CudaOptions cuda{.budget = budget, .graphs = o.cuda_graphs, .tf32 = o.tf32, .matmul = whose(o.matmul), .conv = whose(o.conv), .attention = whose(o.attention)};
  if (o.device == "cuda") return cuda_device(cuda);
  if (o.device == "cuda-sim") return cuda_sim_device(cuda);
#endif
  if (o.device != "cpu")
    fail({.op = "device", .what = "this build has no such device", .expected = "cpu", .got = o.device, .hint = "configure with -DSSPO_CUDA_SIM=ON", .kind = ErrorKind::internal}, Site{});
  return Device::cpu({.threads = o.threads, .isa = o.isa, .budget = budget, .packed_weights = packed_weights});
}

inline DType dtype_of(const DeviceOptions& o) {
  if (o.dtype == "f32") return DType::f32;
  if (o.dtype == "bf16") return DType::bf16;
  if (o.dtype == "f64") return DType::f64;
  fail({.op = "dtype", .what = "no arithmetic in this type", .expected = "f32, bf16 or f64", .got = o.dtype}, Site{});
}

}  // namespace sspo::cli
