#include <algorithm>
#include <map>
#include <random>

#include "sspo/tensor/arena.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {
std::size_t rounded(std::size_t n) { return (std::max<std::size_t>(n, 1) + 63) / 64 * 64; }
}  // namespace

TEST_CASE("Arena: random allocations never overlap, are aligned, keep their bytes, and are counted exactly") {
  Arena arena({});
  std::mt19937_64 random(1);
  struct Block { std::size_t bytes; unsigned char mark; };
  std::map<unsigned char*, Block> blocks;
  std::size_t in_use = 0, peak = 0;
  for (int step = 0; step < 20000; ++step) {
    if (blocks.size() > 200 || (!blocks.empty() && random() % 2)) {
      auto it = std::next(blocks.begin(), std::ptrdiff_t(random() % blocks.size()));
      const auto [bytes, mark] = it->second;
      REQUIRE(std::all_of(it->first, it->first + bytes, [m = mark](unsigned char c) { return c == m; }));
      arena.release(it->first);
      in_use -= rounded(bytes);
      blocks.erase(it);
    } else {
      const std::size_t bytes = random() % 100 == 0 ? random() % 500000 : random() % 5000;
      auto* p = static_cast<unsigned char*>(arena.allocate(bytes, "fuzz"));
      REQUIRE(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
      const auto next = blocks.upper_bound(p);
      REQUIRE((next == blocks.end() || p + rounded(bytes) <= next->first));
      if (next != blocks.begin()) {
        const auto before = std::prev(next);
        REQUIRE(before->first + rounded(before->second.bytes) <= p);
      }
      const auto mark = static_cast<unsigned char>(random());
      std::fill(p, p + bytes, mark);
      blocks[p] = {bytes, mark};
      in_use += rounded(bytes);
      peak = std::max(peak, in_use);
    }
    const MemoryStats s = arena.stats();
    REQUIRE(s.in_use == in_use);
    REQUIRE(s.peak == peak);
    REQUIRE(s.blocks == blocks.size());
    REQUIRE(s.reserved >= in_use);
  }
  for (auto& [p, block] : blocks) arena.release(p);
  const MemoryStats s = arena.stats();
  CHECK(s.in_use == 0);
  CHECK(s.blocks == 0);
  CHECK(s.peak == peak);
  // Everything has merged again: no chunk has a hole, so nothing more is taken from the system.
  arena.trim();
  CHECK(arena.stats().reserved == 0);
}

TEST_CASE("Arena: released neighbours merge, so a chunk-size block fits again without fresh memory") {
  Arena arena({});
  void* first = arena.allocate(1, "probe");
  const std::size_t chunk = arena.stats().reserved;
  arena.release(first);
  for (int order = 0; order < 3; ++order) {
    std::vector<void*> blocks;
    for (std::size_t i = 0; i < 16; ++i) blocks.push_back(arena.allocate(chunk / 16, "part"));
    CHECK(arena.stats().reserved == chunk);
    if (order == 1) std::reverse(blocks.begin(), blocks.end());
    if (order == 2) std::shuffle(blocks.begin(), blocks.end(), std::mt19937(3));
    for (void* p : blocks) arena.release(p);
    void* whole = arena.allocate(chunk, "whole");
    CHECK(arena.stats().reserved == chunk);
    arena.release(whole);
  }
}

TEST_CASE("Arena: a budget is kept exactly; its message names who asks and who holds; nothing is lost") {
  Arena arena({.budget = 1 << 20});
  void* a = arena.allocate(600 << 10, "conv2d");
  void* b = arena.allocate(200 << 10, "gelu");
  check_error([&] { arena.allocate(300 << 10, "matmul"); },
              {"matmul: memory budget exceeded", "at most 1.00 MiB", "0.78 MiB in use and 0.29 MiB more", "conv2d 0.59 MiB, gelu 0.20 MiB", "recompute"});
  CHECK(arena.stats().in_use == (800 << 10));
  CHECK(arena.stats().blocks == 2);
  void* c = arena.allocate((1 << 20) - (800 << 10), "exactly");  // the last byte may be used
  check_error([&] { arena.allocate(1, "one more"); }, {"one more: memory budget exceeded"});
  arena.release(a);
  arena.release(b);
  arena.release(c);
  CHECK(arena.holders() == "nothing");
  arena.release(arena.allocate(1 << 20, "all of it"));
  CHECK(arena.stats().in_use == 0);
  CHECK(arena.stats().peak == 1 << 20);
  arena.reset_peak();
  CHECK(arena.stats().peak == 0);
  arena.release(nullptr);
}

TEST_CASE("Arena: impossible sizes are errors of kind memory, and the arena stays usable") {
  Arena arena({});
  for (std::size_t bytes : {std::size_t(1) << 49, ~std::size_t(0), ~std::size_t(0) - 62, (std::size_t(1) << 48) - 1}) {
    try {
      arena.allocate(bytes, "huge");
      FAIL("no error");
    } catch (const Error& e) {
      CHECK(e.info().kind == ErrorKind::memory);
      CHECK(e.info().op == "huge");
    }
  }
  arena.release(arena.allocate(100, "small"));
  CHECK(arena.stats().in_use == 0);
}

TEST_CASE("Arena: trim gives back what is unused and keeps what is used") {
  Arena arena({});
  void* kept = arena.allocate(100, "kept");
  const std::size_t one = arena.stats().reserved;
  void* big = arena.allocate(std::size_t(100) << 20, "big");
  std::memset(kept, 7, 100);
  arena.release(big);
  arena.trim();
  CHECK(arena.stats().reserved == one);
  CHECK(static_cast<char*>(kept)[99] == 7);
  arena.release(kept);
  arena.trim();
  CHECK(arena.stats().reserved == 0);
}

TEST_CASE("Arena: fresh memory reads as NaN where asked for") {
  Arena arena({.fill_with_nan = true});
  for (int round = 0; round < 2; ++round) {
    auto* p = static_cast<double*>(arena.allocate(8 * 33, "nan"));
    for (int i = 0; i < 33; ++i) CHECK(std::isnan(p[i]));
    std::fill(p, p + 33, 1.0);
    arena.release(p);  // reused memory is filled again
  }
}
