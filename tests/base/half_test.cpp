// bf16 and f16 against a double reference: all 65,536 values, and rounding around each of them.
#include <cmath>
#include <limits>

#include "support.hpp"

using namespace sspo;

namespace {

// The value of a bit pattern, by the definition of the format: (-1)^s 2^(e - bias) 1.f, subnormals 0.f.
double value_of(std::uint16_t bits, int exponent_bits, int fraction_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1, e = (bits >> fraction_bits) & ((1 << exponent_bits) - 1), f = bits & ((1 << fraction_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (e == (1 << exponent_bits) - 1) return f ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  const double fraction = double(f) / double(1 << fraction_bits);
  return sign * (e ? std::ldexp(1 + fraction, e - bias) : std::ldexp(fraction, 1 - bias));
}

template <class T>
void check_format(int exponent_bits, int fraction_bits) {
  const int infinity = ((1 << exponent_bits) - 1) << fraction_bits;
  int wrong_value = 0, wrong_trip = 0, wrong_nan = 0;
  for (int bits = 0; bits < 65536; ++bits) {
    T h;
    h.bits = std::uint16_t(bits);
    const double truth = value_of(h.bits, exponent_bits, fraction_bits);
    const float x = to_float(h);
    if (std::isnan(truth)) {
      wrong_nan += !std::isnan(x) || !std::isnan(to_float(T(x)));
      continue;
    }
    wrong_value += double(x) != truth || std::signbit(x) != bool(bits & 0x8000);
    wrong_trip += T(x).bits != h.bits;
  }
  CHECK(wrong_value == 0);
  CHECK(wrong_trip == 0);
  CHECK(wrong_nan == 0);

  // Between each value and the next away from 0: below the middle, the middle (ties to even), above it.
  int wrong_rounding = 0;
  for (int bits = 0; bits < infinity; ++bits) {
    const double low = value_of(std::uint16_t(bits), exponent_bits, fraction_bits);
    // What would follow the largest finite value decides where infinity begins.
    const double high = bits + 1 < infinity ? value_of(std::uint16_t(bits + 1), exponent_bits, fraction_bits)
                                            : low + (low - value_of(std::uint16_t(bits - 1), exponent_bits, fraction_bits));
    const float middle = float((low + high) / 2);
    const float inf = std::numeric_limits<float>::infinity();
    if (double(middle) != (low + high) / 2) { ++wrong_rounding; continue; }  // the reference itself must be exact
    const auto expect = [&](float x, int want) {
      wrong_rounding += T(x).bits != want;
      wrong_rounding += T(-x).bits != (want | 0x8000);
    };
    expect(middle, bits % 2 ? bits + 1 : bits);
    expect(std::nextafter(middle, -inf), bits);
    expect(std::nextafter(middle, inf), bits + 1);
  }
  CHECK(wrong_rounding == 0);
  CHECK(to_float(T(std::numeric_limits<float>::max())) == std::numeric_limits<float>::infinity());
  CHECK(to_float(T(-std::numeric_limits<float>::infinity())) == -std::numeric_limits<float>::infinity());
  CHECK(std::isnan(to_float(T(std::numeric_limits<float>::quiet_NaN()))));
  CHECK(std::isnan(to_float(T(std::bit_cast<float>(0x7f800001u)))));  // a NaN whose upper bits look like infinity
  CHECK(std::isnan(to_float(T(std::bit_cast<float>(0xffffffffu)))));
}

}  // namespace

TEST_CASE("bf16: every value is right and survives the trip through f32; rounding is to nearest even") { check_format<bf16>(8, 7); }
TEST_CASE("f16: every value is right and survives the trip through f32; rounding is to nearest even") { check_format<f16>(5, 10); }

TEST_CASE("DType: sizes, names, compute types, visit") {
  for (DType t : all_dtypes) visit(t, [&]<class T>(std::type_identity<T>) {
    CHECK(dtype_of<T> == t);
    CHECK(sizeof(T) == size_of(t));
  });
  CHECK(name_of(DType::boolean) == "bool");
  CHECK(name_of(DType::bf16) == "bf16");
  CHECK(compute_type(DType::f16) == DType::f32);
  CHECK(compute_type(DType::u8) == DType::i64);
  CHECK(is_floating(DType::f16));
  CHECK_FALSE(is_floating(DType::i64));
}

// The vector loops of cast against the scalar conversions, all values at once.
TEST_CASE("cast: 16-bit floats convert as one by one, on every length and offset") {
  std::vector<float> x;
  for (int bits = 0; bits < 65536; bits += 7)
    for (std::uint32_t low : {0u, 0x7fffu, 0x8000u, 0x8001u, 0x1000u}) x.push_back(std::bit_cast<float>(std::uint32_t(bits) << 16 | low));
  const Tensor f = Tensor::from<float>(x, {Index(x.size())});
  const auto b = cast(f, DType::bf16).to_vector<bf16>();
  const auto h = cast(f, DType::f16).to_vector<f16>();
  const auto wide_b = cast(cast(f, DType::bf16), DType::f32).to_vector<float>();
  const auto wide_h = cast(cast(f, DType::f16), DType::f32).to_vector<float>();
  int wrong = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool nan = std::isnan(x[i]);
    wrong += nan ? !std::isnan(to_float(b[i])) : b[i].bits != bf16(x[i]).bits;
    wrong += nan ? !std::isnan(to_float(h[i])) : h[i].bits != f16(x[i]).bits;
    wrong += nan ? !std::isnan(wide_b[i]) : std::bit_cast<std::uint32_t>(wide_b[i]) != std::bit_cast<std::uint32_t>(to_float(bf16(x[i])));
    wrong += nan ? !std::isnan(wide_h[i]) : std::bit_cast<std::uint32_t>(wide_h[i]) != std::bit_cast<std::uint32_t>(to_float(f16(x[i])));
  }
  CHECK(wrong == 0);
}
