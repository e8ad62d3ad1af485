// Copies on the device against the CPU's, bit for bit: every pair of dtypes, every way through the kernels.
#include "copy.hpp"

#include "strided.cuh"
#include "twin.hpp"

using namespace sspo;
using namespace sspo::cuda;

namespace {

struct Case {
  const char* name;
  Shape shape;
  Strides from, to;
  Index from_first = 0, to_first = 0;
};

const Case cases[] = {
    {"one", {}, {}, {}},
    {"nothing", {3, 0, 2}, {0, 2, 1}, {0, 2, 1}},
    {"a line", {1000}, {1}, {1}},
    {"a line that begins anywhere", {517}, {1}, {1}, 3, 5},
    {"a line of extents 1", {1, 259, 1}, {7, 1, 9}, {11, 1, 5}},
    {"one value everywhere", {5, 64}, {0, 0}, {64, 1}},
    {"a row for every row", {6, 32}, {0, 1}, {32, 1}},
    {"a value a row", {9, 48}, {1, 0}, {48, 1}},
    {"rows apart", {7, 64}, {80, 1}, {96, 1}, 16, 32},
    {"rows apart by no pack", {7, 63}, {81, 1}, {97, 1}, 2, 1},
    {"every third", {300}, {3}, {1}},
    {"backwards", {33, 21}, {-21, -1}, {21, 1}, 33 * 21 - 1},
    {"transposed", {37, 70}, {1, 37}, {70, 1}},
    {"a few columns transposed", {3, 100, 4}, {400, 1, 100}, {400, 4, 1}},
    {"channels last", {2, 9, 11, 33}, {33 * 99, 11, 1, 99}, {33 * 99, 33 * 11, 33, 1}},
    {"into transposed", {40, 35}, {35, 1}, {1, 40}},
    {"six axes", {2, 3, 2, 3, 2, 5}, {1, 2, 6, 12, 36, 72}, {180, 60, 30, 10, 5, 1}},
    {"every second plane, rows swapped", {3, 12, 16}, {400, 1, 12}, {192, 16, 1}, 7},
};

Index reach(const Shape& shape, const Strides& strides, Index first) {
  Index last = first;
  for (int a = 0; a < shape.rank(); ++a) last += strides[std::size_t(a)] > 0 && shape[a] > 0 ? (shape[a] - 1) * strides[std::size_t(a)] : 0;
  return last + 1;
}

void check(const Case& c, DType from, DType to) {
  CAPTURE(c.name); CAPTURE(name_of(from)); CAPTURE(name_of(to));
  TestDevice d;
  Twin x(d, from, reach(c.shape, c.from, c.from_first), 1), y(d, to, reach(c.shape, c.to, c.to_first), 2);
  cpu_backend().copy(x.host(c.shape, c.from, c.from_first), y.host(c.shape, c.to, c.to_first));
  sspo::cuda::copy(d.ctx, x.device(c.shape, c.from, c.from_first), y.device(c.shape, c.to, c.to_first));
  CHECK(y.equal());
}

}  // namespace

TEST_CASE("copy: every pair of dtypes along a line and transposed") {
  for (DType from : all_dtypes)
    for (DType to : all_dtypes)
      for (const Case& c : cases) {
        const std::string name = c.name;
        if (name == "a line" || name == "transposed" || name == "rows apart") check(c, from, to);
      }
  require_no_findings();
}

TEST_CASE("copy: every layout, repeatable under any schedule") {
  const std::pair<DType, DType> pairs[] = {{DType::f32, DType::f32}, {DType::bf16, DType::bf16}, {DType::u8, DType::u8},
                                           {DType::f64, DType::f64}, {DType::f32, DType::bf16}, {DType::boolean, DType::f32}};
  for (std::uint64_t seed : {0, 1, 2}) {
    set_schedule(seed);
    for (const auto& [from, to] : pairs)
      for (const Case& c : cases) check(c, from, to);
  }
  set_schedule(0);
  require_no_findings();
}

TEST_CASE("copy: traffic is the least that the bytes allow") {
  if (!checking()) return;
  const auto sectors = [](const char* kernel, const Shape& shape, const Strides& from, DType dtype, DType to) {
    TestDevice d;
    Twin x(d, dtype, shape.numel(), 1), y(d, to, shape.numel(), 2);
    reset_counters();
    sspo::cuda::copy(d.ctx, x.device(shape, from), y.device(shape));
    const KernelCounters c = counters_of(kernel);
    INFO(counters_table());
    CHECK(c.launches == 1);
    CHECK(c.sectors_read + c.sectors_written == c.sectors_fewest);
    CHECK(c.unique_read == c.sectors_read);
    CHECK(c.unique_written == c.sectors_written);
    CHECK(c.wavefronts == c.wavefronts_fewest);
  };
  sectors("copy_each", {4096}, {1}, DType::f32, DType::bf16);
  sectors("copy_each", {4096}, {1}, DType::bf16, DType::f32);
  sectors("copy_transposed", {128, 64}, {1, 128}, DType::f32, DType::f32);
  sectors("copy_transposed", {128, 64}, {1, 128}, DType::bf16, DType::bf16);
  sectors("copy_transposed", {64, 64}, {1, 64}, DType::f64, DType::f64);
  sectors("copy_transposed", {128, 64}, {1, 128}, DType::u8, DType::u8);
  require_no_findings();
}

#if !defined(__CUDACC__)  // there these are functions of the device
TEST_CASE("Divisor: quotients of everything below 2^31") {
  std::mt19937 rng(3);
  for (int round = 0; round < 200000; ++round) {
    const std::uint32_t d = 1 + (rng() >> 1 >> (rng() % 31)) % 0x7ffffffeu, n = rng() >> 1 >> (rng() % 31), k = 0x7fffffffu / d * d;
    const Divisor by(d);
    CHECK_UNARY(by.quotient(n) == n / d && by.quotient(k) == k / d && by.quotient(k - 1) == (k - 1) / d && by.quotient(0x7fffffffu) == 0x7fffffffu / d);
  }
}

TEST_CASE("Walk: merges what every view allows, and falls into parts") {
  const Shape shape{4, 3, 5, 7};
  const Strides a = contiguous_strides(shape), b{0, 0, 7, 1};
  const Walk<1> line(shape, {&a});
  CHECK(line.rank == 1);
  CHECK(line.extent[0] == 420);
  const Walk<2> two(shape, {&a, &b});
  CHECK(two.rank == 2);
  CHECK(two.extent[0] == 35);
  for (const Index most : {1, 2, 10, 34, 35, 36, 100, 420}) {
    Index seen = 0;
    two.in_parts(most, [&](const Walk<2>& part) {
      CHECK(part.size() <= most);
      const Lattice<2> places(part);
      for (std::uint32_t e = 0; e < part.size(); ++e, ++seen) {
        Index at[2];
        places.locate(e, at);
        CHECK_UNARY(part.first[0] + at[0] == seen && part.first[1] + at[1] == seen % 35);
      }
    });
    CHECK(seen == 420);
  }
}
#endif
