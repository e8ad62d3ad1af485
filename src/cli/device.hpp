// From the options every model verb shares to the engine's Device and DType.
#pragma once
#include "cli/forward.hpp"
#include "sspo/base/device.hpp"
#include "sspo/base/dtype.hpp"
#include "sspo/base/error.hpp"

namespace sspo::cli {

inline Device device_of(const DeviceOptions& o) {
  if (o.device != "cpu")
    fail({.op = "device", .what = "this build has no such device", .expected = "cpu", .got = o.device}, Site{});
  return Device::cpu({.threads = o.threads, .isa = o.isa});
}

inline DType dtype_of(const DeviceOptions& o) {
  if (o.dtype == "f32") return DType::f32;
  if (o.dtype == "bf16") return DType::bf16;
  if (o.dtype == "f64") return DType::f64;
  fail({.op = "dtype", .what = "no arithmetic in this type", .expected = "f32, bf16 or f64", .got = o.dtype}, Site{});
}

}  // namespace sspo::cli
