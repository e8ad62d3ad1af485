#include "cpu/random.hpp"

#include <algorithm>

#include "cpu/parallel.hpp"
#include "sspo/base/normal.hpp"

namespace sspo::cpu {
namespace {

constexpr Index task_size = 16384;  // numbers; a multiple of 4, so that tasks begin with a block

// y[i] = make(words of block i/4)[i % 4]: four numbers a block.
template <class T, class F>
void fill_by_blocks(const Context& ctx, const Rng& rng, const View& y, F&& make) {
  const Index n = y.shape.numel();
  T* to = y.as<T>();
  parallel_for(ctx, (n + task_size - 1) / task_size, [&](Index task, int) {
    const Index end = std::min(n, (task + 1) * task_size);
    for (Index i = task * task_size; i < end; i += 4) {
      T four[4];
      make(rng.block(std::uint64_t(i / 4)), four);
      std::copy_n(four, std::min<Index>(4, end - i), to + i);
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
  by_dtype(y.dtype, [&]<class T>(std::type_identity<T>) {
    fill_by_blocks<T>(ctx, rng, y, [](const Philox& words, T* four) {
      for (int pair = 0; pair < 4; pair += 2) {
        const NormalPair z = box_muller(words.x[pair], words.x[pair + 1]);
        four[pair] = T(z.first);
        four[pair + 1] = T(z.second);
      }
    });
  });
}

void uniform(const Context& ctx, const Rng& rng, double low, double high, double largest, const View& y) {
  by_dtype(y.dtype, [&]<class T>(std::type_identity<T>) {
    fill_by_blocks<T>(ctx, rng, y, [&](const Philox& words, T* four) {
      for (int k = 0; k < 4; ++k) {
        const double v = std::min(low + (high - low) * double(uniform_of(words.x[k])), largest);
        if constexpr (std::is_same_v<T, double>) four[k] = v;
        else four[k] = T(float(v));
      }
    });
  });
}

void randint(const Context& ctx, const Rng& rng, Index low, Index count, const View& y) {
  const Index n = y.shape.numel();
  std::int64_t* to = y.as<std::int64_t>();
  parallel_for(ctx, (n + task_size - 1) / task_size, [&](Index task, int) {
    const Index end = std::min(n, (task + 1) * task_size);
    for (Index i = task * task_size; i < end; ++i) to[i] = low + rng.below(count, std::uint64_t(i));
  });
}

}  // namespace sspo::cpu
