#include "sspo/ops/create.hpp"

#include <cmath>
#include <limits>

#include "backend.hpp"

namespace sspo {
namespace {

// `value` as an element of type T; integers must be able to hold it.
template <class T>
T element(double value, const char* op, Site at) {
  if constexpr (std::is_same_v<T, bool>) return value != 0;
  else if constexpr (std::is_integral_v<T>) {
    constexpr double low = double(std::numeric_limits<T>::min()), high = 2.0 * double(T(1) << (std::numeric_limits<T>::digits - 1));
    if (!(value >= low && value < high && value == std::trunc(value)))
      fail({.op = op, .what = "the value does not fit the dtype", .expected = "a whole number within " + std::string(name_of(dtype_of<T>)),
            .got = std::to_string(value), .hint = "use a floating dtype"}, at);
    return T(value);
  } else if constexpr (std::is_same_v<T, double>) return value;
  else return T(float(value));
}

void check_floating(DType dtype, const char* op, Site at) {
  if (!is_floating(dtype))
    fail({.op = op, .what = "real numbers need a floating dtype", .expected = "f32, f64, bf16 or f16", .got = std::string(name_of(dtype)),
          .hint = "randint makes whole numbers; cast(x, dtype) converts"}, at);
}

// The next value of a 16-bit float towards minus infinity.
template <class T>
T next_below(T x) {
  const bool negative = x.bits & 0x8000u;
  if ((x.bits & 0x7fffu) == 0) x.bits = 0x8001u;
  else x.bits = std::uint16_t(negative ? x.bits + 1 : x.bits - 1);
  return x;
}
inline float next_below(float x) { return std::nextafter(x, -std::numeric_limits<float>::infinity()); }
inline double next_below(double x) { return std::nextafter(x, -std::numeric_limits<double>::infinity()); }

// The largest value of the dtype below `high`: rounding must not reach the open end of a range.
double largest_below(double high, DType dtype) {
  return visit(dtype, [&]<class T>(std::type_identity<T>) -> double {
    if constexpr (is_floating(dtype_of<T>)) {
      const auto value = [](T t) { if constexpr (std::is_same_v<T, double>) return t; else return double(to_float(t)); };
      T t = element<T>(high, "uniform", Site{});
      while (value(t) >= high) t = next_below(t);
      return value(t);
    } else return high;
  });
}

}  // namespace

Tensor full(const Shape& shape, double value, DType dtype, const Device& device, Site at) {
  const Tensor one = visit(dtype, [&]<class T>(std::type_identity<T>) {
    return Tensor::from<T>({element<T>(value, "full", at)}, {}, device);
  });
  Tensor y = Tensor::empty(shape, dtype, device);
  backend(device).copy({const_cast<void*>(one.raw()), dtype, shape, Strides{}}, view(y));  // strides of 0: one value for all
  return y;
}

Tensor zeros(const Shape& shape, DType dtype, const Device& device) { return full(shape, 0, dtype, device); }
Tensor ones(const Shape& shape, DType dtype, const Device& device) { return full(shape, 1, dtype, device); }
namespace {
Tensor full_like(const Tensor& x, double value, const char* op, Site at) {
  if (!x.defined()) fail({.op = op, .what = "no tensor to be like", .expected = "a tensor", .got = "Tensor{}"}, at);
  return full(x.shape(), value, x.dtype(), x.device(), at);
}
}  // namespace
Tensor zeros_like(const Tensor& x, Site at) { return full_like(x, 0, "zeros_like", at); }
Tensor ones_like(const Tensor& x, Site at) { return full_like(x, 1, "ones_like", at); }

Tensor arange(Index n, double first, double step, DType dtype, const Device& device, Site at) {
  if (n < 0) fail({.op = "arange", .what = "negative length", .expected = "0 or more numbers", .got = std::to_string(n)}, at);
  return visit(dtype, [&]<class T>(std::type_identity<T>) {
    std::vector<T> values(static_cast<std::size_t>(n));
    for (Index i = 0; i < n; ++i) values[std::size_t(i)] = element<T>(first + double(i) * step, "arange", at);
    return Tensor::from<T>(values, {n}, device);
  });
}

Tensor normal(const Rng& rng, const Shape& shape, const Device& device, DType dtype, Site at) {
  check_floating(dtype, "normal", at);
  Tensor y = Tensor::empty(shape, dtype, device);
  backend(device).normal(rng, view(y));
  return y;
}

Tensor uniform(const Rng& rng, const Shape& shape, double low, double high, const Device& device, DType dtype, Site at) {
  check_floating(dtype, "uniform", at);
  if (!(low < high) || !std::isfinite(low) || !std::isfinite(high))
    fail({.op = "uniform", .what = "empty range", .expected = "finite numbers with low < high", .got = std::to_string(low) + " to " + std::to_string(high)}, at);
  Tensor y = Tensor::empty(shape, dtype, device);
  backend(device).uniform(rng, low, high, largest_below(high, dtype), view(y));
  return y;
}

Tensor randint(const Rng& rng, const Shape& shape, Index low, Index high, const Device& device, Site at) {
  Index count = 0;
  if (low >= high || __builtin_sub_overflow(high, low, &count))
    fail({.op = "randint", .what = "empty range", .expected = "low < high, less than 2^63 apart", .got = std::to_string(low) + " to " + std::to_string(high)}, at);
  Tensor y = Tensor::empty(shape, DType::i64, device);
  backend(device).randint(rng, low, count, view(y));
  return y;
}

}  // namespace sspo
