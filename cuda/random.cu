// Numbers from counters: no state, no order between threads. The formulas are those of base/rng.hpp and base/normal.hpp.
#include "random.hpp"

#include "sspo/base/normal.hpp"
#include "strided.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {
namespace {


struct Normal {
  template <class T> SSPO_DEVICE void make(const Philox& words, T (&y)[4]) const {
    for (int pair = 0; pair < 4; pair += 2) {
      const NormalPair z = box_muller(words.x[pair], words.x[pair + 1]);
      y[pair] = convert<T>(z.first);
      y[pair + 1] = convert<T>(z.second);
    }
  }
};

struct Uniform {
  double low, range, largest;
  template <class T> SSPO_DEVICE void make(const Philox& words, T (&y)[4]) const {
    for (int k = 0; k < 4; ++k) {
      const double v = low + product(range, double(uniform_of(words.x[k])));
      const double kept = largest < v ? largest : v;
      if constexpr (std::is_same_v<T, double>) y[k] = kept;
      else y[k] = convert<T>(float(kept));
    }
  }
};

template <class T, class Numbers> struct FillArgs {
  Rng rng;
  Numbers numbers;
  T* y;
  Index n;
  bool packed;  // y is aligned for packs of 4
};

// y[4 b + k] = number k of the path's block b
// Owns:  thread = one block of the path: 4 elements.
// Costs: one write an element; 30 integer operations and, for normals, 15 FLOPs and half a square root an element.
template <class T, class Numbers> __global__ void __launch_bounds__(threads) fill_from_counters(FillArgs<T, Numbers> a) {
  const Index first = 4 * (Index(blockIdx.x) * threads + threadIdx.x);
  if (first >= a.n) return;
  T y[4];
  a.numbers.make(a.rng.block(std::uint64_t(first / 4)), y);
  if (a.packed && first + 4 <= a.n) return write_pack(a.y + first, y);
  for (int k = 0; k < 4; ++k)
    if (first + k < a.n) a.y[first + k] = y[k];
}

// y[i] = low + ⌊count · bits_i / 2^64⌋, bits_i the first 64 of the path's block i
// Owns: thread = one element.   Costs: one write and a block of the path an element.
__global__ void __launch_bounds__(threads) fill_with_integers(Rng rng, Index low, Index count, std::int64_t* y, Index n) {
  const Index i = Index(blockIdx.x) * threads + threadIdx.x;
  if (i < n) y[i] = low + rng.below(count, std::uint64_t(i));
}


template <class Numbers> void fill(const Context& ctx, const char* kernel, const Rng& rng, const Numbers& numbers, const View& y) {
  const Index n = y.shape.numel();
  if (n == 0) return;
  visit(y.dtype, [&]<class T>(std::type_identity<T>) {
    if constexpr (is_floating(dtype_of<T>)) {
      const bool packed = reinterpret_cast<std::uintptr_t>(y.data) % (sizeof(T) == 8 ? 16 : 4 * sizeof(T)) == 0;
      const FillArgs<T, Numbers> args{rng, numbers, y.as<T>(), n, packed};
      launch(ctx.stream, one_thread_each(kernel, (n + 3) / 4), fill_from_counters<T, Numbers>, args);
    }
  });
}

}  // namespace

void normal(const Context& ctx, const Rng& rng, const View& y) { fill(ctx, "normal", rng, Normal{}, y); }

void uniform(const Context& ctx, const Rng& rng, double low, double high, double largest, const View& y) {
  fill(ctx, "uniform", rng, Uniform{low, high - low, largest}, y);
}

void randint(const Context& ctx, const Rng& rng, Index low, Index count, const View& y) {
  const Index n = y.shape.numel();
  if (n == 0) return;
  launch(ctx.stream, one_thread_each("randint", n), fill_with_integers, rng, low, count, y.as<std::int64_t>(), n);
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
