// Tensors from nothing: constants, ranges, random numbers.
//   Tensor eps = normal(rng / "noise", {4, 8, 8, 4});
#pragma once
#include "sspo/base/rng.hpp"
#include "sspo/tensor/tensor.hpp"

namespace sspo {

// Errors: an integer dtype that cannot hold the value.
Tensor full(const Shape& shape, double value, DType dtype = DType::f32, const Device& device = Device::cpu(), Site at = Site::current());
Tensor zeros(const Shape& shape, DType dtype = DType::f32, const Device& device = Device::cpu());
Tensor ones(const Shape& shape, DType dtype = DType::f32, const Device& device = Device::cpu());
Tensor zeros_like(const Tensor& x, Site at = Site::current());
Tensor ones_like(const Tensor& x, Site at = Site::current());
// first, first + step, ...; n of them, [n].
Tensor arange(Index n, double first = 0, double step = 1, DType dtype = DType::f32, const Device& device = Device::cpu(),
              Site at = Site::current());

// Random numbers: element i is made from block i/4 (randint: i) of the path alone, so a longer tensor
// begins with the elements of a shorter one, whatever the shape.

// Standard normals, base/normal.hpp: the same bits on every device. |value| <= 5.77. f64 holds the f32
// numbers, 16-bit floats hold them rounded.
Tensor normal(const Rng& rng, const Shape& shape, const Device& device = Device::cpu(), DType dtype = DType::f32,
              Site at = Site::current());
// In [low, high), 24 random bits each.
Tensor uniform(const Rng& rng, const Shape& shape, double low = 0, double high = 1, const Device& device = Device::cpu(),
               DType dtype = DType::f32, Site at = Site::current());
// Whole numbers in [low, high), i64.
Tensor randint(const Rng& rng, const Shape& shape, Index low, Index high, const Device& device = Device::cpu(),
               Site at = Site::current());

}  // namespace sspo
