#include "sspo/base/torch_normal.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <sstream>

#include "support.hpp"

using namespace sspo;
using sspo::testing::check_error;

namespace {

std::uint64_t fnv(const std::vector<float>& values) {
  std::uint64_t h = 0xcbf29ce484222325ull;
  for (const float v : values)
    for (int shift = 0; shift < 32; shift += 8) h = (h ^ (std::bit_cast<std::uint32_t>(v) >> shift & 0xff)) * 0x100000001b3ull;
  return h;
}

std::uint32_t word(float v) { return std::bit_cast<std::uint32_t>(v); }

}  // namespace

TEST_CASE("torch-cpu: every draw of every generator in the golden file, bit for bit") {
  std::ifstream in(SSPO_SOURCE_DIR "/tests/golden/torch_normal.txt");
  REQUIRE(in);
  int generators = 0, draws = 0, wholes = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    INFO(line.substr(0, 60));
    std::istringstream fields(line);
    std::string bar, first;
    fields >> first;
    if (first == "whole") {
      std::uint64_t seed;
      Index n;
      fields >> seed >> n >> bar >> std::hex;
      for (const float v : torch_cpu_normal(seed, {n})) {
        std::uint32_t wanted = 0;
        fields >> wanted;
        REQUIRE_FALSE(fields.fail());
        CHECK(word(v) == wanted);
      }
      ++wholes;
      continue;
    }
    TorchCpuGenerator g(std::stoull(first));
    Index n;
    std::uint64_t hash;
    std::uint32_t front, back;
    while (fields >> bar >> std::dec >> n >> std::hex >> hash >> front >> back) {
      const std::vector<float> z = g.normal(n);
      REQUIRE(Index(z.size()) == n);
      CHECK(fnv(z) == hash);
      if (n) {
        CHECK(word(z.front()) == front);
        CHECK(word(z.back()) == back);
      }
      ++draws;
    }
    ++generators;
  }
  CHECK(generators > 150);
  CHECK(draws > 250);
  CHECK(wholes == 4);
}

TEST_CASE("torch-cpu: a copy goes on alone; only the lower 32 bits of a seed count") {
  TorchCpuGenerator a(5);
  a.normal(3);
  TorchCpuGenerator b = a;  // with the waiting number
  CHECK(a.normal(1) == b.normal(1));
  CHECK(a.normal(40) == b.normal(40));
  CHECK(torch_cpu_normal(9, {20}) == torch_cpu_normal((std::uint64_t(77) << 32) + 9, {20}));
  CHECK(torch_cpu_normal(9, {20}) != torch_cpu_normal(10, {20}));
  check_error([&] { a.normal(-1); }, {"torch_cpu_normal", "-1"});
}

TEST_CASE("torch-cuda: the numbers known for seed 0") {
  // torch.randn(3, 4, device="cuda") after torch.manual_seed(0), as commonly published; the last digits differ by GPU.
  const double known[] = {-0.92466259, -0.42534415, -2.6438457,  0.14518388,  -0.12086647, -0.57972564,
                          -0.62285122, -0.32838709, -1.07454231, -0.36314407, -1.67105067, 2.26550497};
  const std::vector<float> z = torch_cuda_normal(0, {3, 4});
  REQUIRE(z.size() == 12);
  for (std::size_t i = 0; i < z.size(); ++i) CHECK(std::abs(z[i] - known[i]) < 1e-6);
}

TEST_CASE("torch-cuda: the layout, from its definition") {
  const CudaGrid tiny{.multiprocessors = 1, .threads = 512};  // 512 threads, 2048 elements a round
  const Index n = 5000;
  TorchCudaGenerator g(123, tiny);
  const std::vector<float> first = g.normal(n), second = g.normal(10);
  const auto expected = [&](std::uint64_t seed, std::uint64_t thread, std::uint64_t block, int k) {
    const Philox w = philox({{std::uint32_t(block), 0, std::uint32_t(thread), 0}}, std::uint32_t(seed), 0);
    const double u = (w.x[k / 2 * 2] + 0.5) / 4294967296.0, v = 2 * M_PI * (w.x[k / 2 * 2 + 1] + 0.5) / 4294967296.0;
    return std::sqrt(-2 * std::log(u)) * (k % 2 ? std::cos(v) : std::sin(v));
  };
  double worst = 0;
  for (Index i = 0; i < n; ++i) {
    const Index lap = i / 512;
    worst = std::max(worst, std::abs(first[std::size_t(i)] - expected(123, std::uint64_t(i % 512), std::uint64_t(lap / 4), int(lap % 4))));
  }
  CHECK(worst < 4e-6);  // the angle is rounded to f32
  // Three rounds were used; the next draw has one block of threads and begins with the fourth.
  for (Index i = 0; i < 10; ++i) CHECK(std::abs(second[std::size_t(i)] - expected(123, std::uint64_t(i), 3, 0)) < 4e-6);
  // Up to one element a thread the GPU does not matter, and a longer tensor begins with the shorter one.
  const std::vector<float> small = torch_cuda_normal(7, {4, 64}, tiny), large = torch_cuda_normal(7, {4, 64, 64});
  for (std::size_t i = 0; i < small.size(); ++i) CHECK(small[i] == large[i]);
  CHECK(torch_cuda_normal(7, {512}, tiny) == torch_cuda_normal(7, {512}));
  CHECK(torch_cuda_normal(7, {513}, tiny) != torch_cuda_normal(7, {513}));
}

TEST_CASE("torch-cuda: wide seeds, none and too many elements") {
  CHECK(torch_cuda_normal((std::uint64_t(1) << 32) + 9, {8}) != torch_cuda_normal(9, {8}));
  TorchCudaGenerator g(1);
  CHECK(g.normal(0).empty());
  CHECK(g.normal(4) == torch_cuda_normal(1, {4}));
  check_error([&] { g.normal((Index(1) << 29) + 1); }, {"torch_cuda_normal", "2^29"});
  check_error([] { torch_cuda_normal(1, {4}, {.multiprocessors = 0}); }, {"multiprocessor"});
}
