// The formulas of base/rng.hpp and base/normal.hpp, a stretch of blocks at a time so that the compiler
// runs them in vector lanes. Every operation is rounded by itself: equal bits from every instruction set.
#include "cpu/random.hpp"

#include "sspo/base/normal.hpp"

namespace sspo::cpu::SSPO_ISA {
namespace {

constexpr Index stretch = 64;  // blocks

// The four words of blocks first, first + 1, ...: word w of block i at words[w][i].  30 integer operations a word.
[[gnu::flatten]] void make_words(std::uint64_t key, Index first, std::uint32_t (&words)[4][stretch]) {
  for (Index i = 0; i < stretch; ++i) {
    const std::uint64_t block = std::uint64_t(first + i);
    const Philox x = philox({{std::uint32_t(block), std::uint32_t(block >> 32), 0, 0}}, std::uint32_t(key), std::uint32_t(key >> 32));
    words[0][i] = x.x[0];
    words[1][i] = x.x[1];
    words[2][i] = x.x[2];
    words[3][i] = x.x[3];
  }
}

// About 30 FLOPs and a square root for two numbers.
[[gnu::flatten]] void make_normals(std::uint64_t key, Index first, Index blocks, float* out) {
  std::uint32_t words[4][stretch];
  float z[4][stretch];
  for (Index done = 0; done < blocks; done += stretch) {
    make_words(key, first + done, words);
    for (int pair = 0; pair < 4; pair += 2)
      for (Index i = 0; i < stretch; ++i) {
        const NormalPair two = box_muller(words[pair][i], words[pair + 1][i]);
        z[pair][i] = two.first;
        z[pair + 1][i] = two.second;
      }
    const Index n = blocks - done < stretch ? blocks - done : stretch;
    for (Index i = 0; i < n; ++i)
      for (int k = 0; k < 4; ++k) out[4 * (done + i) + k] = z[k][i];
  }
}

[[gnu::flatten]] void make_uniforms(std::uint64_t key, Index first, Index blocks, float* out) {
  std::uint32_t words[4][stretch];
  for (Index done = 0; done < blocks; done += stretch) {
    make_words(key, first + done, words);
    const Index n = blocks - done < stretch ? blocks - done : stretch;
    for (Index i = 0; i < n; ++i)
      for (int k = 0; k < 4; ++k) out[4 * (done + i) + k] = uniform_of(words[k][i]);
  }
}

}  // namespace

extern const RandomKernels random_table;
const RandomKernels random_table = {make_normals, make_uniforms};

}  // namespace sspo::cpu::SSPO_ISA
