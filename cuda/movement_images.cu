// Images [B, H, W, C] resized and pooled. Adjoints gather: a pixel of y sums what the pixels of g that read it sent back, in
// row-major order, so that no two threads meet.
#include "movement.hpp"

#include "strided.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {
namespace {


// --- which pixel, which channels: every kernel's thread owns one pack of V channels of the result ------------------------------

struct Pixels {
  Divisor packs, width, height;  // of the result
  std::uint32_t n;               // packs of this launch
};
struct Place {
  Index b, h, w, c;
};
template <int V> SSPO_DEVICE Place place_of(const Pixels& a, std::uint32_t e) {
  const std::uint32_t pixel = a.packs.quotient(e), row = a.width.quotient(pixel), b = a.height.quotient(row);
  return {b, row - b * a.height.d, pixel - row * a.width.d, Index(e - pixel * a.packs.d) * V};
}

// Calls launch_part(pixels, first image) for as many images at a time as 32 bits can count.
template <int V, class F> void in_images(const Shape& y, const char* op, F&& launch_part) {
  const Index packs = y[3] / V, image = y[1] * y[2] * packs;
  if (y[0] * image == 0) return;
  if (image > most_places)
    fail({.op = op, .what = "an image is too large for the device's kernel",
          .expected = std::to_string(most_places * V) + " numbers or fewer", .got = y.str(), .hint = "the CPU takes any size"});
  const Index at_once = most_places / image;
  for (Index first = 0; first < y[0]; first += at_once) {
    const std::uint32_t n = std::uint32_t(std::min(at_once, y[0] - first) * image);
    launch_part(Pixels{Divisor(packs), Divisor(y[2]), Divisor(y[1]), n}, first);
  }
}

// f<T, V>() for the dtype of both and the packs that their channels allow.
template <class F> void by_type_and_pack(const View& x, const View& y, F&& f) {
  visit(x.dtype, [&]<class T>(std::type_identity<T>) {
    if constexpr (is_floating(dtype_of<T>)) {
      constexpr int V = 16 / int(sizeof(T));
      const auto fits = [](const View& v) { return v.shape[3] % V == 0 && reinterpret_cast<std::uintptr_t>(v.data) % 16 == 0; };
      if (fits(x) && fits(y)) f.template operator()<T, V>();
      else f.template operator()<T, 1>();
    }
  });
}

template <class T, int V> struct Sums {
  Sum<T> at[V] = {};
  SSPO_DEVICE void add(const T* x, Sum<T> weight) {
    T pack[V];
    read_pack(x, pack);
    for (int k = 0; k < V; ++k) at[k] += product(weight, convert<Sum<T>>(pack[k]));
  }
  SSPO_DEVICE void divide(Sum<T> by) {
    for (int k = 0; k < V; ++k) at[k] /= by;
  }
  SSPO_DEVICE void write(T* y) const {
    T pack[V];
    for (int k = 0; k < V; ++k) pack[k] = convert<T>(at[k]);
    write_pack(y, pack);
  }
};

// --- taps ----------------------------------------------------------------------------------------------------------------------

// What position p of the resized axis is made of: two neighbours and their weights.
struct Taps {
  Index low, high;
  double low_weight, high_weight;
  SSPO_DEVICE double weight(Index i) const { return (i == low ? low_weight : 0) + (i == high ? high_weight : 0); }
};
struct Range {
  Index begin, end;
};
struct Axis {
  Index from, to;
  Taps* taps;      // [to]
  Range* readers;  // [from]: positions whose taps touch it, or null
};

SSPO_DEVICE Taps taps_at(Index p, Index from, Index to, bool bilinear) {
  if (!bilinear) {
    const Index i = p * from / to;
    return {i, i, 1, 0};
  }
  const double middle = (double(p) + 0.5) * double(from) / double(to) - 0.5, at = middle > 0 ? middle : 0;
  const Index below = Index(at), low = below < from - 1 ? below : from - 1, high = low + 1 < from - 1 ? low + 1 : from - 1;
  return {low, high, 1 - (at - double(low)), at - double(low)};
}

// The first p whose lower (upper) tap is not below i. Taps only move forward, so a search by halves finds it.
template <bool upper> SSPO_DEVICE Index first_reaching(Index i, const Axis& a, bool bilinear) {
  Index low = 0, high = a.to;
  while (low < high) {
    const Index p = (low + high) / 2;
    const Taps t = taps_at(p, a.from, a.to, bilinear);
    if ((upper ? t.high : t.low) < i) low = p + 1;
    else high = p;
  }
  return low;
}

// Owns: thread = one position of an axis, resized or not; block row = one axis.   Costs: next to nothing, once a call.
__global__ void __launch_bounds__(threads) find_taps(Axis rows, Axis columns, bool bilinear) {
  const Axis a = blockIdx.y == 0 ? rows : columns;
  const Index p = Index(blockIdx.x) * threads + threadIdx.x;
  if (p < a.to) a.taps[p] = taps_at(p, a.from, a.to, bilinear);
  if (a.readers && p < a.from) a.readers[p] = {first_reaching<true>(p, a, bilinear), first_reaching<false>(p + 1, a, bilinear)};
}

// The taps of both axes, in memory for one call.
struct Tables {
  Workspace memory;
  Axis rows, columns;
  Tables(const Context& ctx, const Shape& large, const Shape& resized, bool readers, bool bilinear)
      : memory(ctx, std::size_t(resized[1] + resized[2]) * sizeof(Taps) + std::size_t(large[1] + large[2]) * sizeof(Range), "resize") {
    Taps* const taps = memory.as<Taps>();
    Range* const ranges = reinterpret_cast<Range*>(taps + resized[1] + resized[2]);
    rows = {large[1], resized[1], taps, readers ? ranges : nullptr};
    columns = {large[2], resized[2], taps + resized[1], readers ? ranges + large[1] : nullptr};
    const Index most = std::max(std::max(rows.from, rows.to), std::max(columns.from, columns.to));
    LaunchPlan plan = one_thread_each("resize: taps", most);
    plan.grid.y = 2;
    launch(ctx.stream, plan, find_taps, rows, columns, bilinear);
  }
};

// --- resize --------------------------------------------------------------------------------------------------------------------

template <class T> struct ResizeArgs {
  Pixels pixels;
  const T* from;
  T* to;
  Index channels;
  Axis rows, columns;
  bool bilinear;
};

// y[b, p, q] = Σ weights of p's rows and q's columns · x; nearest: a copy
// Owns:  thread = V channels of one pixel of y.
// Costs: y written once; x read once or four times, neighbours from the cache; 8 FLOPs an element.
template <class T, int V> __global__ void __launch_bounds__(threads) resize_each(ResizeArgs<T> a) {
  using S = Sum<T>;
  const std::uint32_t e = blockIdx.x * threads + threadIdx.x;
  if (e >= a.pixels.n) return;
  const Place y = place_of<V>(a.pixels, e);
  const Taps row = a.rows.taps[y.h], column = a.columns.taps[y.w];
  const T* const upper = a.from + (y.b * a.rows.from + row.low) * a.columns.from * a.channels + y.c;
  const T* const lower = a.from + (y.b * a.rows.from + row.high) * a.columns.from * a.channels + y.c;
  const Index left = column.low * a.channels, right = column.high * a.channels;
  T* const to = a.to + Index(e) * V;
  T ul[V], ur[V], ll[V], lr[V];
  read_pack(upper + left, ul);
  if (!a.bilinear) return write_pack(to, ul);
  read_pack(upper + right, ur);
  read_pack(lower + left, ll);
  read_pack(lower + right, lr);
  const S u = S(row.low_weight), l = S(row.high_weight), w = S(column.low_weight), z = S(column.high_weight);
  const auto mix = [&](S p, T x, S q, T v) { return product(p, convert<S>(x)) + product(q, convert<S>(v)); };
  for (int k = 0; k < V; ++k) ul[k] = convert<T>(product(u, mix(w, ul[k], z, ur[k])) + product(l, mix(w, ll[k], z, lr[k])));
  write_pack(to, ul);
}

// y[b, h, w] = Σ over the pixels (p, q) of g that read (h, w): their weight · g[b, p, q]
// Owns:  thread = V channels of one pixel of y.
// Costs: y written once, g read as often as its pixels read, from the cache but for the first; 2 FLOPs each.
template <class T, int V> __global__ void __launch_bounds__(threads, 3) resize_adjoint_each(ResizeArgs<T> a) {
  const std::uint32_t e = blockIdx.x * threads + threadIdx.x;
  if (e >= a.pixels.n) return;
  const Place y = place_of<V>(a.pixels, e);
  const Range rows = a.rows.readers[y.h], columns = a.columns.readers[y.w];
  const T* const image = a.from + y.b * a.rows.to * a.columns.to * a.channels + y.c;
  Sums<T, V> sums;
  for (Index p = rows.begin; p < rows.end; ++p)
    for (Index q = columns.begin; q < columns.end; ++q)
      sums.add(image + (p * a.columns.to + q) * a.channels, Sum<T>(a.rows.taps[p].weight(y.h) * a.columns.taps[q].weight(y.w)));
  sums.write(a.to + Index(e) * V);
}

// --- averages ------------------------------------------------------------------------------------------------------------------

template <class T> struct PoolArgs {
  Pixels pixels;
  const T* from;
  T* to;
  Index channels, from_h, from_w, kernel;
  Divisor stride;
};

// y[b, p, q] = the mean of the kernel² pixels from (p stride, q stride) on
// Owns:  thread = V channels of one pixel of y.
// Costs: y written once, x read kernel² / stride² times, from the cache but for the first.
template <class T, int V> __global__ void __launch_bounds__(threads, 5) avg_pool_each(PoolArgs<T> a) {
  const std::uint32_t e = blockIdx.x * threads + threadIdx.x;
  if (e >= a.pixels.n) return;
  const Place y = place_of<V>(a.pixels, e);
  const T* const window = a.from + ((y.b * a.from_h + y.h * a.stride.d) * a.from_w + y.w * a.stride.d) * a.channels + y.c;
  Sums<T, V> sums;
  for (Index h = 0; h < a.kernel; ++h)
    for (Index w = 0; w < a.kernel; ++w) sums.add(window + (h * a.from_w + w) * a.channels, Sum<T>(1));
  sums.divide(Sum<T>(a.kernel * a.kernel));
  sums.write(a.to + Index(e) * V);
}

// Windows of `count` that hold position i: p stride <= i < p stride + kernel.
SSPO_DEVICE Range windows(Index i, Index kernel, const Divisor& stride, Index count) {
  const Index last = Index(stride.quotient(std::uint32_t(i))) + 1;
  return {i < kernel ? 0 : Index(stride.quotient(std::uint32_t(i - kernel))) + 1, last < count ? last : count};
}

// y[b, h, w] = Σ g[b, p, q] / kernel² over the windows that hold (h, w)
// Owns:  thread = V channels of one pixel of y.
// Costs: y written once, g read kernel² / stride² times, from the cache but for the first.
template <class T, int V> __global__ void __launch_bounds__(threads) avg_pool_adjoint_each(PoolArgs<T> a) {
  const std::uint32_t e = blockIdx.x * threads + threadIdx.x;
  if (e >= a.pixels.n) return;
  const Place y = place_of<V>(a.pixels, e);
  const Range rows = windows(y.h, a.kernel, a.stride, a.from_h), columns = windows(y.w, a.kernel, a.stride, a.from_w);
  const T* const image = a.from + y.b * a.from_h * a.from_w * a.channels + y.c;
  Sums<T, V> sums;
  for (Index p = rows.begin; p < rows.end; ++p)
    for (Index q = columns.begin; q < columns.end; ++q) sums.add(image + (p * a.from_w + q) * a.channels, Sum<T>(1));
  sums.divide(Sum<T>(a.kernel * a.kernel));
  sums.write(a.to + Index(e) * V);
}

// One image of the batch of `v` begins here.
template <class T> T* image(const View& v, Index number) { return v.as<T>() + number * v.shape[1] * v.shape[2] * v.shape[3]; }

}  // namespace

void resize(const Context& ctx, const View& x, const View& y, bool bilinear) {
  if (y.shape.numel() == 0) return;
  const Tables tables(ctx, x.shape, y.shape, false, bilinear);
  by_type_and_pack(x, y, [&]<class T, int V>() {
    in_images<V>(y.shape, "resize", [&](const Pixels& pixels, Index first) {
      const ResizeArgs<T> args{pixels, image<T>(x, first), image<T>(y, first), y.shape[3], tables.rows, tables.columns, bilinear};
      launch(ctx.stream, one_thread_each("resize", pixels.n), resize_each<T, V>, args);
    });
  });
}

void resize_adjoint(const Context& ctx, const View& g, const View& y, bool bilinear) {
  if (y.shape.numel() == 0) return;
  const Tables tables(ctx, y.shape, g.shape, true, bilinear);
  by_type_and_pack(g, y, [&]<class T, int V>() {
    in_images<V>(y.shape, "resize_adjoint", [&](const Pixels& pixels, Index first) {
      const ResizeArgs<T> args{pixels, image<T>(g, first), image<T>(y, first), y.shape[3], tables.rows, tables.columns, bilinear};
      launch(ctx.stream, one_thread_each("resize_adjoint", pixels.n), resize_adjoint_each<T, V>, args);
    });
  });
}

void avg_pool(const Context& ctx, const View& x, const View& y, Index kernel, Index stride) {
  by_type_and_pack(x, y, [&]<class T, int V>() {
    in_images<V>(y.shape, "avg_pool", [&](const Pixels& pixels, Index first) {
      const PoolArgs<T> args{pixels, image<T>(x, first), image<T>(y, first), y.shape[3], x.shape[1], x.shape[2], kernel, Divisor(stride)};
      launch(ctx.stream, one_thread_each("avg_pool", pixels.n), avg_pool_each<T, V>, args);
    });
  });
}

void avg_pool_adjoint(const Context& ctx, const View& g, const View& y, Index kernel, Index stride) {
  by_type_and_pack(g, y, [&]<class T, int V>() {
    in_images<V>(y.shape, "avg_pool_adjoint", [&](const Pixels& pixels, Index first) {
      const PoolArgs<T> args{pixels, image<T>(g, first), image<T>(y, first), y.shape[3], g.shape[1], g.shape[2], kernel, Divisor(stride)};
      launch(ctx.stream, one_thread_each("avg_pool_adjoint", pixels.n), avg_pool_adjoint_each<T, V>, args);
    });
  });
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
