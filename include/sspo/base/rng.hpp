// Rng: randomness as a path. A pure function of seed and purpose; nothing to save, nothing to restore.
//   Rng rng{42};
//   Tensor eps = normal(rng / "noise" / step, {4, 8, 8, 4});
// Philox4x32-10 (Salmon et al. 2011), a counter-based generator: block i of a path does not depend on
// the blocks before it, so any element can be made anywhere, in any order, on any device.
#pragma once
#include <array>
#include <concepts>
#include <cstdint>
#include <string_view>

#include "sspo/base/config.hpp"

namespace sspo {

struct Philox {
  std::uint32_t x[4];
};

// Ten rounds: (hi, lo) = M0 x0, (hi', lo') = M1 x2;  x <- (hi' ^ x1 ^ k0, lo', hi ^ x3 ^ k1, lo)
SSPO_HD constexpr Philox philox(Philox counter, std::uint32_t k0, std::uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t(0xD2511F53u) * counter.x[0], b = std::uint64_t(0xCD9E8D57u) * counter.x[2];
    counter = {{std::uint32_t(b >> 32) ^ counter.x[1] ^ k0, std::uint32_t(b),
                std::uint32_t(a >> 32) ^ counter.x[3] ^ k1, std::uint32_t(a)}};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

class Rng {
 public:
  constexpr explicit Rng(std::uint64_t seed) : key_(seed) {}

  constexpr Rng operator/(std::string_view purpose) const {  // FNV-1a of the name, then one Philox block
    std::uint64_t hash = 0xcbf29ce484222325ull;
    for (char c : purpose) hash = (hash ^ std::uint8_t(c)) * 0x100000001b3ull;
    return child(hash, 1);
  }
  template <std::integral I>
  constexpr Rng operator/(I index) const { return child(std::uint64_t(index), 2); }

  // 128 random bits: block i of this path.
  constexpr Philox block(std::uint64_t i) const { return philox({{std::uint32_t(i), std::uint32_t(i >> 32), 0, 0}}, k0(), k1()); }
  constexpr std::uint64_t bits(std::uint64_t i = 0) const {
    const Philox b = block(i);
    return std::uint64_t(b.x[1]) << 32 | b.x[0];
  }
  // A whole number in [0, n), without bias beyond 2^-64 n.
  constexpr Index below(Index n, std::uint64_t i = 0) const {
    return Index((static_cast<unsigned __int128>(bits(i)) * static_cast<unsigned __int128>(n)) >> 64);
  }
  constexpr std::uint64_t key() const { return key_; }

 private:
  constexpr std::uint32_t k0() const { return std::uint32_t(key_); }
  constexpr std::uint32_t k1() const { return std::uint32_t(key_ >> 32); }
  constexpr Rng child(std::uint64_t what, std::uint32_t kind) const {
    const Philox b = philox({{std::uint32_t(what), std::uint32_t(what >> 32), kind, 0x73737021u}}, k0(), k1());
    return Rng(std::uint64_t(b.x[1]) << 32 | b.x[0]);
  }
  std::uint64_t key_;
};

}  // namespace sspo
