#include "sspo/train/lr.hpp"

#include "support.hpp"

using namespace sspo;
using doctest::Approx;

TEST_CASE("learning rates: constant, linear, cosine, at their first, middle, last step and beyond") {
  CHECK(constant_lr(2)(1000) == 2);
  const auto line = linear_lr(2, 11, 0.5);
  CHECK(line(0) == 2);
  CHECK(line(5) == Approx(1.5));
  CHECK(line(10) == Approx(1));
  CHECK(line(1000) == Approx(1));
  CHECK(line(-5) == 2);
  const auto wave = cosine_lr(2, 11);
  CHECK(wave(0) == 2);
  CHECK(wave(5) == Approx(1));
  CHECK(wave(10) == Approx(0));
  CHECK(wave(99) == Approx(0));
  CHECK(cosine_lr(1, 5, 0.02)(4) == Approx(0.02));
  for (int i = 0; i < 10; ++i) CHECK(wave(i) > wave(i + 1));
}

TEST_CASE("learning rates: warm-up multiplies the first steps and never starts at 0") {
  const auto lr = warmup(constant_lr(1), 4);
  CHECK(lr(0) == 0.25);
  CHECK(lr(2) == 0.75);
  CHECK(lr(3) == 1);
  CHECK(lr(4) == 1);
  CHECK(warmup(constant_lr(1), 0)(0) == 1);
  CHECK(warmup(cosine_lr(1, 11), 2)(5) == Approx(0.5));
}
