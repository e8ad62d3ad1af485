// Indices on the device against the CPU's, bit for bit: sums in the same order.
#include "movement.hpp"

#include "twin.hpp"

using namespace sspo;
using namespace sspo::cuda;

namespace {

std::vector<std::int64_t> picks(Index n, Index extent, unsigned seed, bool crowded = false) {
  std::mt19937 rng(seed);
  std::vector<std::int64_t> index(std::size_t(n), 0);
  for (auto& v : index) v = crowded && rng() % 4 ? extent / 2 : Index(rng() % std::uint64_t(extent));
  return index;
}

// Numbers of which none is NaN or infinite, whole ones small: a sum's bits are then the same in every build.
Bytes finite(DType dtype, Index n, unsigned seed) {
  Bytes b = random_bytes(dtype, n, seed);
  visit(dtype, [&]<class T>(std::type_identity<T>) {
    std::mt19937 rng(seed);
    std::normal_distribution<double> normal;
    for (Index i = 0; i < n; ++i) {
      T x;
      if constexpr (!is_floating(dtype_of<T>)) x = T(rng() % 1000);
      else if constexpr (sizeof(T) == 2) x = T(float(normal(rng)));
      else x = T(normal(rng));
      std::memcpy(b.data() + std::size_t(i) * sizeof(T), &x, sizeof x);
    }
  });
  return b;
}

struct Case {
  Index O, N, J, I;
  Strides index;  // of [O, J, I]
  Index indices;  // how many it has
  bool crowded = false;
};
const Case cases[] = {
    {1, 1, 1, 1, {0, 0, 0}, 1},
    {1, 10, 7, 16, {0, 1, 0}, 7},             // few rows
    {1, 500, 300, 48, {0, 1, 0}, 300},        // rows: an embedding
    {1, 40000, 333, 5, {0, 1, 0}, 333, true}, // a token that many share
    {3, 20, 100, 9, {0, 1, 0}, 100},          // one line of indices for all o
    {3, 20, 100, 9, {100, 1, 0}, 300},        // a line for each
    {2, 30, 70, 6, {420, 6, 1}, 840},         // an index an element
    {2, 30, 1500, 1, {1500, 1, 1}, 3000, true},
    {5, 8, 3, 4, {12, 4, 1}, 60},
    {1, 3, 100, 20000, {0, 1, 0}, 100},       // columns enough
    {4, 7, 0, 3, {0, 1, 0}, 1},               // nothing to move
};

}  // namespace

TEST_CASE("find_outside: the first of them, by position") {
  TestDevice d;
  for (std::uint64_t seed : {0, 1}) {
    set_schedule(seed);
    for (const Index at : {-1, 0, 1, 299, 599}) {
      std::vector<std::int64_t> index = picks(600, 50, 1);
      if (at >= 0) index[std::size_t(at)] = at % 2 ? 50 : -1;
      if (at == 1) index[500] = -7;
      const Twin x(d, index);
      CHECK(find_outside(d.ctx, x.device({2, 30, 10}), 50) == at);
      CHECK(find_outside(d.ctx, x.device({30, 20, 1}, Strides{20, 1, 0}), 50) == at);
      CHECK(find_outside(d.ctx, x.device({4, 600, 3}, Strides{0, 1, 0}), 50) == (at < 0 ? -1 : 3 * at));
    }
  }
  set_schedule(0);
  const Twin none(d, std::vector<std::int64_t>{9});
  CHECK(find_outside(d.ctx, none.device({2, 0, 3}), 5) == -1);
  require_no_findings();
}

TEST_CASE("gather: every dtype and way of indexing") {
  for (DType dtype : all_dtypes)
    for (const Case& c : cases)
      for (Index first : {0, 1}) {
        if (c.I > 1000) continue;
        CAPTURE(name_of(dtype)); CAPTURE(c.J); CAPTURE(c.I); CAPTURE(first);
        TestDevice d;
        Twin x(d, dtype, c.O * c.N * c.I + first, 1), y(d, dtype, c.O * c.J * c.I + first, 2), index(d, picks(c.indices, c.N, 3));
        const Shape from{c.O, c.N, c.I}, to{c.O, c.J, c.I};
        cpu_backend().gather(x.host(from, first), index.host(to, c.index), y.host(to, first));
        gather(d.ctx, x.device(from, first), index.device(to, c.index), y.device(to, first));
        CHECK(y.equal());
      }
  require_no_findings();
}

TEST_CASE("scatter_add: every dtype and way of indexing, the CPU's bits under any schedule") {
  for (DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f64, DType::i64, DType::i32, DType::u8})
    for (const Case& c : cases)
      for (std::uint64_t seed : {0, 1, 2}) {
        if ((c.I > 1000 || seed > 0) && dtype != DType::f32) continue;
        if (c.I > 1000 && seed > 0) continue;
        set_schedule(seed);
        CAPTURE(name_of(dtype)); CAPTURE(c.N); CAPTURE(c.J); CAPTURE(c.I); CAPTURE(seed);
        const DType sums = is_floating(dtype) ? compute_type(dtype) : dtype;
        TestDevice d;
        Twin x(d, dtype, finite(dtype, c.O * c.J * c.I, 1)), y(d, sums, finite(sums, c.O * c.N * c.I, 2)), index(d, picks(c.indices, c.N, 3, c.crowded));
        const Shape from{c.O, c.J, c.I}, to{c.O, c.N, c.I};
        cpu_backend().scatter_add(x.host(from), index.host(from, c.index), y.host(to));
        scatter_add(d.ctx, x.device(from), index.device(from, c.index), y.device(to));
        CHECK(y.equal());
      }
  set_schedule(0);
  require_no_findings();
}

TEST_CASE("scatter_add: what an embedding's gradient costs does not depend on the vocabulary") {
  if (!checking()) return;
  const auto sectors = [](Index vocabulary) {
    TestDevice d;
    const Index tokens = 512, width = 64;
    const Twin x(d, DType::f32, tokens * width, 1), index(d, picks(tokens, vocabulary, 2)), y(d, DType::f32, Bytes(std::size_t(vocabulary * width) * 4, 0));
    reset_counters();
    const Shape from{1, tokens, width};
    scatter_add(d.ctx, x.device(from), index.device(from, Strides{0, 1, 0}), y.device({1, vocabulary, width}));
    std::uint64_t all = 0;
    for (const KernelCounters& c : counters()) all += c.sectors_read + c.sectors_written;
    const KernelCounters sums = counters_of("scatter_add");
    INFO(counters_table());
    CHECK(sums.unique_written <= std::uint64_t(tokens * width) * 4 / 32);
    CHECK(sums.wavefronts == sums.wavefronts_fewest);
    return all;
  };
  const std::uint64_t few = sectors(1 << 13), many = sectors(1 << 16);  // both sorted in four passes
  CHECK(double(many) < 1.15 * double(few));
  require_no_findings();
}

TEST_CASE("gather: rows of 16-byte packs touch each sector once") {
  if (!checking()) return;
  TestDevice d;
  const Twin x(d, DType::bf16, 100 * 64, 1), index(d, picks(256, 100, 2)), y(d, DType::bf16, 256 * 64, 3);
  reset_counters();
  gather(d.ctx, x.device({1, 100, 64}), index.device({1, 256, 64}, Strides{0, 1, 0}), y.device({1, 256, 64}));
  const KernelCounters c = counters_of("gather");
  CHECK(c.sectors_written == 256 * 64 * 2 / 32);
  CHECK(c.unique_written == c.sectors_written);
  require_no_findings();
}
