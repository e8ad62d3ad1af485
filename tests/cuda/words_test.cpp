// The simulator's words against their definitions: fragments as the PTX ISA's tables give them (9.7.14), written down here anew.
#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <vector>

#include "sim/sim.hpp"
#include "sspo/base/error.hpp"

using namespace sspo::cuda;
using sspo::bf16;
using sspo::f16;

namespace {

template <class T> std::vector<T> run_on_a_warp(void (*kernel)(const T*, T*), std::vector<T> in, std::size_t out) {
  Stream stream;
  T* const x = static_cast<T*>(allocate(in.size() * sizeof(T), "x"));
  T* const y = static_cast<T*>(allocate(out * sizeof(T), "y"));
  copy_in(stream, x, in.data(), in.size() * sizeof(T));
  launch(stream, {.kernel = "words", .grid = {1}, .block = {32}, .shared_bytes = 2048}, kernel, static_cast<const T*>(x), y);
  std::vector<T> result(out);
  copy_out(stream, result.data(), y, out * sizeof(T));
  release(x);
  release(y);
  return result;
}

// a [16][K], b [K][8], c [16][8] in a row; d [16][8]. Rows and columns as the tables name them: for 16-bit operands
//   a_i: row = groupID for i in {0, 1, 4, 5}, else groupID + 8; col = 2 threadID + (i & 1), + 8 for i >= 4
//   b_i: row = 2 threadID + (i & 1), + 8 for i >= 2; col = groupID      c_i: row = groupID, + 8 for i >= 2; col = 2 threadID + (i & 1)
template <class Half> __global__ void halves(const float* in, float* out) {
  const int group = lane_id() >> 2, thread = lane_id() % 4;
  const float *a = in, *b = in + 256, *c = in + 384;
  std::uint16_t fa[8], fb[4];
  float fc[4], d[4];
  for (int i = 0; i < 8; ++i) {
    const bool upper = i == 0 || i == 1 || i == 4 || i == 5;
    fa[i] = Half(a[(upper ? group : group + 8) * 16 + 2 * thread + (i & 1) + (i >= 4 ? 8 : 0)]).bits;
  }
  for (int i = 0; i < 4; ++i) fb[i] = Half(b[(2 * thread + (i & 1) + (i >= 2 ? 8 : 0)) * 8 + group]).bits;
  for (int i = 0; i < 4; ++i) fc[i] = c[(group + (i >= 2 ? 8 : 0)) * 8 + 2 * thread + (i & 1)];
  std::uint32_t ra[4], rb[2];
  std::memcpy(ra, fa, 16);
  std::memcpy(rb, fb, 8);
  mma_m16n8k16(d, ra, rb, fc, Half{});
  for (int i = 0; i < 4; ++i) out[(group + (i >= 2 ? 8 : 0)) * 8 + 2 * thread + (i & 1)] = d[i];
}

//   tf32, K = 8: a_i: row = groupID for i in {0, 2}, else groupID + 8; col = threadID, + 4 for i >= 2     b_i: row = threadID + 4 i; col = groupID
__global__ void tf32(const float* in, float* out) {
  const int group = lane_id() >> 2, thread = lane_id() % 4;
  const float *a = in, *b = in + 128, *c = in + 192;
  std::uint32_t ra[4], rb[2];
  float fc[4], d[4];
  for (int i = 0; i < 4; ++i) ra[i] = to_tf32(a[(i % 2 ? group + 8 : group) * 8 + thread + (i >= 2 ? 4 : 0)]);
  for (int i = 0; i < 2; ++i) rb[i] = to_tf32(b[(thread + 4 * i) * 8 + group]);
  for (int i = 0; i < 4; ++i) fc[i] = c[(group + (i >= 2 ? 8 : 0)) * 8 + 2 * thread + (i & 1)];
  mma_m16n8k8_tf32(d, ra, rb, fc);
  for (int i = 0; i < 4; ++i) out[(group + (i >= 2 ? 8 : 0)) * 8 + 2 * thread + (i & 1)] = d[i];
}

void check_product(void (*kernel)(const float*, float*), int k, double rounding) {
  std::vector<float> in(std::size_t(16 * k + 8 * k + 128));
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = float(int(i * 37 % 101) - 50) / 16;  // exact in every type
  const std::vector<float> got = run_on_a_warp(kernel, in, 128);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      double sum = in[std::size_t(24 * k + i * 8 + j)];
      for (int q = 0; q < k; ++q) sum += double(in[std::size_t(i * k + q)]) * in[std::size_t(16 * k + q * 8 + j)];
      CHECK(std::abs(got[std::size_t(i * 8 + j)] - sum) <= rounding * (1 + std::abs(sum)));
    }
}

// Four 8x8 matrices of 16-bit numbers. ldmatrix: thread 4 r + c holds row r, columns 2 c and 2 c + 1; transposed: column r, rows 2 c and 2 c + 1.
template <bool trans> __global__ void matrices(const std::uint32_t* in, std::uint32_t* out) {
  SSPO_SHARED(std::uint32_t, kept, [128]);
  for (int i = 0; i < 4; ++i) kept[32 * i + lane_id()] = in[32 * i + lane_id()];
  __syncwarp();
  std::uint32_t r[4];
  if (trans) ldmatrix_x4_trans(r, kept + 4 * lane_id());
  else ldmatrix_x4(r, kept + 4 * lane_id());
  for (int i = 0; i < 4; ++i) out[4 * lane_id() + i] = r[i];
}

__global__ void shuffles(const int* in, int* out) {
  const int t = lane_id(), v = in[t];
  out[t] = __shfl_sync(whole_warp, v, (t * 7) % 32, 16);
  out[32 + t] = __shfl_up_sync(whole_warp, v, 3, 8);
  out[64 + t] = __shfl_down_sync(whole_warp, v, 9);
  out[96 + t] = __shfl_xor_sync(whole_warp, v, 21);
  out[128 + t] = int(__ballot_sync(whole_warp, t % 3 == 0));
}

__global__ void votes_of_24(const int* in, int* out) {
  const int t = lane_id();
  if (t >= 24) return;
  out[t] = __all_sync(whole_warp, in[t] >= 100) + 2 * (__ballot_sync(whole_warp, 1) == 0x00ffffffu) + 4 * __any_sync(whole_warp, t == 23);
}

__global__ void part_of_a_tile(const float* x, float* y, int filled) {  // the rest: zeros, read from nowhere
  SSPO_SHARED(float, kept, [128]);
  const int t = lane_id();
  cp_async16(kept + 4 * t, t < filled ? x + 4 * t : nullptr, t < filled);
  cp_async_commit();
  cp_async_wait<0>();
  y[t] = kept[4 * t + 1];
}

__global__ void strided(const float* x, float* y, int stride) { y[threadIdx.x] = x[int(threadIdx.x) * stride]; }
__global__ void through_shared(const float* x, float* y, int stride) {
  SSPO_SHARED(float, kept, [1024]);
  kept[int(threadIdx.x) * stride] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = kept[int(threadIdx.x) * stride];
}

}  // namespace

TEST_CASE("mma: products of known matrices, by the published fragments") {
  check_product(halves<bf16>, 16, 1e-6);
  check_product(halves<f16>, 16, 1e-6);
  check_product(tf32, 8, 1e-6);
}

TEST_CASE("ldmatrix: four matrices, as they lie and transposed") {
  std::vector<std::uint32_t> in(128);
  for (std::uint32_t i = 0; i < 128; ++i) in[i] = (2 * i) | (2 * i + 1) << 16;  // 16-bit number j is j
  const auto plain = run_on_a_warp(matrices<false>, in, 128), trans = run_on_a_warp(matrices<true>, in, 128);
  for (std::uint32_t l = 0; l < 32; ++l)
    for (std::uint32_t m = 0; m < 4; ++m) {
      const std::uint32_t r = l / 4, c = l % 4;
      CHECK(plain[4 * l + m] == ((64 * m + 8 * r + 2 * c) | (64 * m + 8 * r + 2 * c + 1) << 16));
      CHECK(trans[4 * l + m] == ((64 * m + 8 * (2 * c) + r) | (64 * m + 8 * (2 * c + 1) + r) << 16));
    }
}

TEST_CASE("shuffles and votes") {
  std::vector<int> in(32);
  for (int i = 0; i < 32; ++i) in[std::size_t(i)] = 100 + i;
  const std::vector<int> got = run_on_a_warp(shuffles, in, 160);
  for (int t = 0; t < 32; ++t) {
    const auto at = [&](int row) { return got[std::size_t(32 * row + t)]; };
    CHECK(at(0) == 100 + t / 16 * 16 + (t * 7) % 16);
    CHECK(at(1) == 100 + (t % 8 >= 3 ? t - 3 : t));
    CHECK(at(2) == 100 + (t + 9 < 32 ? t + 9 : t));
    CHECK(at(3) == 100 + (t ^ 21));
    CHECK(at(4) == 0x49249249);
  }
}

TEST_CASE("lanes that have ended neither vote nor keep others waiting") {
  std::vector<int> in(32);
  for (int i = 0; i < 32; ++i) in[std::size_t(i)] = i < 24 ? 100 + i : 0;
  for (int got : run_on_a_warp(votes_of_24, in, 24)) CHECK(got == 7);
}

template <class T> void check_atomic() {
  std::atomic<T> a{T(5)};
  CHECK(a.fetch_add(T(3)) == T(5));
  CHECK(a.fetch_sub(T(1)) == T(8));
  CHECK(a.fetch_or(T(8)) == T(7));
  CHECK(a.fetch_and(T(9)) == T(15));
  CHECK(a.fetch_xor(T(3)) == T(9));
  CHECK(a.exchange(T(20)) == T(10));
  T was = T(21);
  CHECK_FALSE(a.compare_exchange_strong(was, T(1)));
  CHECK(was == T(20));
  while (!a.compare_exchange_weak(was, T(30))) {}
  CHECK(a.load() == T(30));
  a.store(T(4));
  CHECK(a == T(4));
}
TEST_CASE("std::atomic beside kernels is the host's own, where accesses are checked, too") {
  check_atomic<std::uint8_t>();
  check_atomic<std::uint16_t>();
  check_atomic<std::uint32_t>();
  check_atomic<std::uint64_t>();
}

TEST_CASE("a launch beyond the device's limits is one clear error") {
  Stream stream;
  const auto refused = [&](LaunchPlan plan, const char* says) {
    std::string text;
    try {
      launch(stream, plan, strided, static_cast<const float*>(nullptr), static_cast<float*>(nullptr), 1);
    } catch (const sspo::Error& e) {
      text = e.what();
    }
    CAPTURE(text);
    CHECK(text.find(plan.kernel) != std::string::npos);
    CHECK(text.find(says) != std::string::npos);
  };
  refused({.kernel = "wide", .grid = {1}, .block = {2048}}, "2048");
  refused({.kernel = "tall", .grid = {1, 70000}, .block = {32}}, "70000");
  refused({.kernel = "roomy", .grid = {1}, .block = {32}, .shared_bytes = 300000}, "300000");
  refused({.kernel = "none", .grid = {0}, .block = {32}}, "blocks along x");
  refused({.kernel = "deep", .grid = {1}, .block = {1, 1, 65}}, "along z");
}

TEST_CASE("cp.async: what is not valid is filled with zeros") {
  Stream stream;
  std::vector<float> numbers(128), got(32);
  for (std::size_t i = 0; i < 128; ++i) numbers[i] = float(i + 1);
  float* const x = static_cast<float*>(allocate(512, "x"));
  float* const y = static_cast<float*>(allocate(128, "y"));
  copy_in(stream, x, numbers.data(), 512);
  for (int filled : {0, 24, 32}) {
    launch(stream, {.kernel = "part_of_a_tile", .grid = {1}, .block = {32}}, part_of_a_tile, static_cast<const float*>(x), y, filled);
    copy_out(stream, got.data(), y, 128);
    for (int t = 0; t < 32; ++t) CHECK(got[std::size_t(t)] == (t < filled ? float(4 * t + 2) : 0.0f));
  }
  release(x);
  release(y);
}

TEST_CASE("counters: sectors and wavefronts of known patterns" * doctest::skip(!checking())) {
  Stream stream;
  float* const x = static_cast<float*>(allocate(4096 * 4, "x"));
  float* const y = static_cast<float*>(allocate(4096, "y"));
  fill(stream, x, 0, 4096 * 4);
  const auto measure = [&](const char* name, void (*kernel)(const float*, float*, int), int stride) {
    reset_counters();
    launch(stream, {.kernel = name, .grid = {1}, .block = {32}}, kernel, static_cast<const float*>(x), y, stride);
    REQUIRE(counters().size() == 1);
    return counters()[0];
  };
  CHECK(measure("strided", strided, 1).sectors_read == 4);  // 128 bytes in 32-byte sectors
  CHECK(measure("strided", strided, 2).sectors_read == 8);
  CHECK(measure("strided", strided, 8).sectors_read == 32);
  CHECK(measure("strided", strided, 8).unique_read == 32);
  CHECK(measure("strided", strided, 8).sectors_fewest == 8);  // 4 to read, 4 to write
  CHECK(measure("strided", strided, 0).sectors_read == 1);
  CHECK(measure("through_shared", through_shared, 1).wavefronts == 2);
  CHECK(measure("through_shared", through_shared, 2).wavefronts == 4);  // two words a bank, written and read
  CHECK(measure("through_shared", through_shared, 32).wavefronts == 64);
  CHECK(measure("through_shared", through_shared, 31).wavefronts == 2);
  CHECK(measure("part_of_a_tile", part_of_a_tile, 32).sectors_read == 16);
  CHECK(measure("part_of_a_tile", part_of_a_tile, 24).sectors_read == 12);
  CHECK(measure("part_of_a_tile", part_of_a_tile, 0).sectors_read == 0);
  CHECK(measure("part_of_a_tile", part_of_a_tile, 0).wavefronts == measure("part_of_a_tile", part_of_a_tile, 32).wavefronts);
  release(x);
  release(y);
}
