// Resizing and pooling on the device against the CPU's, bit for bit.
#include "movement.hpp"

#include "twin.hpp"

using namespace sspo;
using namespace sspo::cuda;

namespace {

constexpr DType floats[] = {DType::f32, DType::f64, DType::bf16, DType::f16};
struct Sizes {
  Index h, w, to_h, to_w;
};
const Sizes sizes[] = {{4, 4, 8, 8}, {5, 7, 10, 14}, {3, 5, 7, 4}, {8, 6, 3, 2}, {1, 1, 5, 3}, {6, 1, 1, 6}, {9, 9, 9, 9}, {2, 13, 31, 5}};
struct Pooling {
  Index h, w, kernel, stride;
};
const Pooling poolings[] = {{8, 8, 2, 2}, {7, 9, 3, 2}, {5, 6, 3, 1}, {9, 7, 2, 3}, {4, 4, 4, 4}, {5, 5, 1, 1}, {3, 11, 3, 8}};

Twin numbers(TestDevice& d, DType dtype, Index n, unsigned seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<double> normal;
  Bytes b(std::size_t(n) * size_of(dtype));
  visit(dtype, [&]<class T>(std::type_identity<T>) {
    if constexpr (is_floating(dtype_of<T>)) {
      for (Index i = 0; i < n; ++i) {
        T x;
        if constexpr (sizeof(T) == 2) x = T(float(normal(rng)));
        else x = T(normal(rng));
        std::memcpy(b.data() + std::size_t(i) * sizeof(T), &x, sizeof x);
      }
    }
  });
  return Twin(d, dtype, std::move(b));
}

// Runs f(x, y, backend views) for both devices on an x of `from` and a y of `to`, beginning `first` elements into their memory.
template <class Cpu, class Gpu> void compare(DType dtype, const Shape& from, const Shape& to, Index first, Cpu&& on_cpu, Gpu&& on_device) {
  CAPTURE(name_of(dtype)); CAPTURE(from.str()); CAPTURE(to.str()); CAPTURE(first);
  TestDevice d;
  Twin x = numbers(d, dtype, from.numel() + first, 1), y = numbers(d, dtype, to.numel() + first, 2);
  on_cpu(x.host(from, first), y.host(to, first));
  on_device(d.ctx, x.device(from, first), y.device(to, first));
  CHECK(y.equal());
}

}  // namespace

TEST_CASE("resize and its adjoint: the CPU's bits") {
  for (std::uint64_t seed : {0, 1, 2})
    for (DType dtype : floats)
      for (Index channels : {1, 3, 16})
        for (const Sizes& s : sizes)
          for (bool bilinear : {false, true}) {
            if (seed > 0 && dtype != DType::bf16) continue;
            set_schedule(seed);
            CAPTURE(bilinear);
            const Shape large{2, s.h, s.w, channels}, resized{2, s.to_h, s.to_w, channels};
            const Index first = channels == 16 ? s.h % 2 : 0;
            compare(dtype, large, resized, first, [&](const View& x, const View& y) { cpu_backend().resize(x, y, bilinear); },
                    [&](const Context& ctx, const View& x, const View& y) { resize(ctx, x, y, bilinear); });
            compare(dtype, resized, large, first, [&](const View& g, const View& y) { cpu_backend().resize_adjoint(g, y, bilinear); },
                    [&](const Context& ctx, const View& g, const View& y) { resize_adjoint(ctx, g, y, bilinear); });
          }
  set_schedule(0);
  require_no_findings();
}

TEST_CASE("avg_pool and its adjoint: the CPU's bits") {
  for (DType dtype : floats)
    for (Index channels : {1, 3, 16})
      for (const Pooling& p : poolings) {
        const Index h = p.h, w = p.w, kernel = p.kernel, stride = p.stride;
        CAPTURE(kernel); CAPTURE(stride);
        const Shape large{3, h, w, channels}, small{3, (h - kernel) / stride + 1, (w - kernel) / stride + 1, channels};
        compare(dtype, large, small, 0, [&](const View& x, const View& y) { cpu_backend().avg_pool(x, y, kernel, stride); },
                [&](const Context& ctx, const View& x, const View& y) { avg_pool(ctx, x, y, kernel, stride); });
        compare(dtype, small, large, 0, [&](const View& g, const View& y) { cpu_backend().avg_pool_adjoint(g, y, kernel, stride); },
                [&](const Context& ctx, const View& g, const View& y) { avg_pool_adjoint(ctx, g, y, kernel, stride); });
      }
  require_no_findings();
}

TEST_CASE("images of no pixels and of no channels") {
  TestDevice d;
  Twin x(d, DType::f32, 16, 1), y(d, DType::f32, 16, 2);
  resize(d.ctx, x.device({0, 2, 2, 4}), y.device({0, 4, 4, 4}), true);
  resize_adjoint(d.ctx, x.device({1, 2, 2, 0}), y.device({1, 4, 4, 0}), true);
  avg_pool(d.ctx, x.device({0, 2, 2, 4}), y.device({0, 1, 1, 4}), 2, 2);
  avg_pool_adjoint(d.ctx, x.device({1, 1, 1, 0}), y.device({1, 2, 2, 0}), 2, 2);
  CHECK(y.equal());
}

TEST_CASE("resize: what is read more than once comes in whole sectors") {
  if (!checking()) return;
  TestDevice d;
  const Shape large{1, 8, 8, 64}, resized{1, 16, 16, 64};
  for (bool bilinear : {false, true}) {
    Twin x(d, DType::bf16, large.numel(), 1), y(d, DType::bf16, resized.numel(), 2);
    const std::uint64_t x_sectors = std::uint64_t(large.numel()) * 2 / 32, y_sectors = 4 * x_sectors;
    reset_counters();
    resize(d.ctx, x.device(large), y.device(resized), bilinear);
    const KernelCounters up = counters_of("resize");
    INFO(counters_table());
    CHECK(up.sectors_written == y_sectors);
    CHECK(up.unique_written == y_sectors);
    CHECK(up.unique_read <= x_sectors + 2 * 16 * 32 / 32);  // and the taps
    reset_counters();
    resize_adjoint(d.ctx, y.device(resized), x.device(large), bilinear);
    const KernelCounters down = counters_of("resize_adjoint");
    CHECK(down.sectors_written == x_sectors);
    CHECK(down.unique_read <= y_sectors + 2 * 16 * 32 / 32 + 2 * 8 * 16 / 32);
  }
  require_no_findings();
}
