#include "cpu/random.hpp"

#include <algorithm>

#include "cpu/dispatch.hpp"
#include "cpu/parallel.hpp"

namespace sspo::cpu {

SSPO_TABLE_PER_SET(RandomKernels, random_kernels, random_table)

namespace {

constexpr Index task_blocks = 4096, piece_blocks = 256;  // of four numbers

// y[i] = convert(number i), where make(first block, blocks, out) makes f32 numbers.
template <class T, class Make, class Convert>
void fill(const Context& ctx, const View& y, Make&& make, Convert&& convert) {
  const Index n = y.shape.numel(), blocks = (n + 3) / 4;
  T* to = y.as<T>();
  parallel_for(ctx, (blocks + task_blocks - 1) / task_blocks, [&](Index task, int) {
    float piece[4 * piece_blocks];
    const Index end = std::min(blocks, (task + 1) * task_blocks);
    for (Index first = task * task_blocks; first < end; first += piece_blocks) {
      const Index count = std::min(piece_blocks, end - first), numbers = std::min(4 * count, n - 4 * first);
      make(first, count, piece);
      for (Index i = 0; i < numbers; ++i) to[4 * first + i] = convert(piece[i]);
    }
  });
}

template <class F>
void by_dtype(DType t, F&& f) {
  visit(t, [&]<class T>(std::type_identity<T> type) {
    if constexpr (is_floating(dtype_of<T>)) f(type);
  });
}

}  // namespace

void normal(const Context& ctx, const Rng& rng, const View& y) {
  const auto make = [&, kernel = random_kernels(ctx.isa).normals](Index first, Index blocks, float* out) { kernel(rng.key(), first, blocks, out); };
  by_dtype(y.dtype, [&]<class T>(std::type_identity<T>) { fill<T>(ctx, y, make, [](float z) { return T(z); }); });
}

void uniform(const Context& ctx, const Rng& rng, double low, double high, double largest, const View& y) {
  const auto make = [&, kernel = random_kernels(ctx.isa).uniforms](Index first, Index blocks, float* out) { kernel(rng.key(), first, blocks, out); };
  by_dtype(y.dtype, [&]<class T>(std::type_identity<T>) {
    fill<T>(ctx, y, make, [&](float u) {
      const double v = std::min(low + (high - low) * double(u), largest);
      if constexpr (std::is_same_v<T, double>) return v;
      else return T(float(v));
    });
  });
}

void randint(const Context& ctx, const Rng& rng, Index low, Index count, const View& y) {
  constexpr Index task_size = 16384;
  const Index n = y.shape.numel();
  std::int64_t* to = y.as<std::int64_t>();
  parallel_for(ctx, (n + task_size - 1) / task_size, [&](Index task, int) {
    const Index end = std::min(n, (task + 1) * task_size);
    for (Index i = task * task_size; i < end; ++i) to[i] = low + rng.below(count, std::uint64_t(i));
  });
}

}  // namespace sspo::cpu
