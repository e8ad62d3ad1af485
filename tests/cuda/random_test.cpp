// Random numbers of the device against the CPU's: the same bits, in every dtype, from every beginning.
#include "random.hpp"

#include "twin.hpp"

using namespace sspo;
using namespace sspo::cuda;

namespace {

constexpr DType floats[] = {DType::f32, DType::f64, DType::bf16, DType::f16};
constexpr Index sizes[] = {0, 1, 3, 4, 5, 1023, 1024, 20003};

template <class F> void for_each_view(F&& f) {
  for (DType dtype : floats)
    for (Index n : sizes)
      for (Index first : {0, 1, 4}) {
        CAPTURE(name_of(dtype)); CAPTURE(n); CAPTURE(first);
        TestDevice d;
        Twin y(d, dtype, n + first + 1, 1);
        f(d, y.host({n}, first), y.device({n}, first));
        CHECK(y.equal());
      }
}

}  // namespace

TEST_CASE("normal: the CPU's bits") {
  for (std::uint64_t seed : {0, 1, 2}) {
    set_schedule(seed);
    const Rng rng = Rng{42 + seed} / "noise";
    for_each_view([&](TestDevice& d, const View& host, const View& device) {
      cpu_backend().normal(rng, host);
      normal(d.ctx, rng, device);
    });
  }
  set_schedule(0);
  require_no_findings();
}

TEST_CASE("uniform: the CPU's bits, no value above the largest") {
  const Rng rng = Rng{7} / "u";
  struct Interval {
    double low, high, largest;
  };
  for (const Interval& i : {Interval{0, 1, 0x1.fffffep-1}, {-3, 5, 4.5}, {0.1, 0.3, 0.25}})
    for_each_view([&](TestDevice& d, const View& host, const View& device) {
      cpu_backend().uniform(rng, i.low, i.high, i.largest, host);
      uniform(d.ctx, rng, i.low, i.high, i.largest, device);
    });
  require_no_findings();
}

TEST_CASE("randint: the CPU's bits") {
  const Rng rng = Rng{7} / "i";
  for (Index n : sizes)
    for (const auto& [low, count] : {std::pair<Index, Index>{0, 1000}, {-5, 11}, {3, 1}, {0, Index(1) << 62}}) {
      TestDevice d;
      Twin y(d, DType::i64, n, 1);
      cpu_backend().randint(rng, low, count, y.host({n}));
      randint(d.ctx, rng, low, count, y.device({n}));
      CHECK(y.equal());
    }
  require_no_findings();
}

TEST_CASE("random numbers: each sector is written once") {
  if (!checking()) return;
  for (DType dtype : {DType::f32, DType::bf16}) {
    TestDevice d;
    Twin y(d, dtype, 8192, 1);
    reset_counters();
    normal(d.ctx, Rng{1}, y.device({8192}));
    const KernelCounters c = counters_of("normal");
    CHECK(c.sectors_read == 0);
    CHECK(c.sectors_written == c.sectors_fewest);
    CHECK(c.unique_written == 8192 * size_of(dtype) / 32);
  }
  require_no_findings();
}
