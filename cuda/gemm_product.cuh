// The parts of a product: where its operands lie, how a thread brings its share of them, what happens to the sums on their way to C,
// and which part of the work is a block's. See gemm_tiles.cuh.
#pragma once
#include <cmath>

#include "context.hpp"
#include "packs.cuh"
#include "sspo/ops/activation.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD::tiles {

template <class T> struct SumOf { using type = T; };
template <> struct SumOf<bf16> { using type = float; };

inline constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
template <class T> inline constexpr int chunk = 16 / int(sizeof(T));  // elements of one 128-bit access
inline bool aligned(const void* p, std::size_t bytes) { return reinterpret_cast<std::uintptr_t>(p) % bytes == 0; }

// n / d for 0 <= n < 2^31 by a multiplication: Granlund & Montgomery 1994, fig. 4.1, N = 32. d = 0, of what is empty, counts as 1.
struct Divisor {
  unsigned d, multiplier, shift = 0;
  explicit Divisor(Index by = 1) : d(by > 0 ? unsigned(by) : 1u) {
    while ((std::uint64_t(1) << shift) < d) ++shift;
    multiplier = unsigned(((std::uint64_t(1) << 32) * ((std::uint64_t(1) << shift) - d)) / d + 1);
  }
  SSPO_DEVICE int quotient(int n) const { return int((unsigned((std::uint64_t(unsigned(n)) * multiplier) >> 32) + unsigned(n)) >> shift); }
  SSPO_DEVICE int remainder(int n, int q) const { return n - q * int(d); }
};

// --- operands
// An operand says: T, item(b), way and along_k(): do elements lie side by side along k, or along the lines?; line(i) and depth(k):
// what is known of one line and of one depth; at(line, depth): where that element is, or null for a zero. wide: chunks of 16 bytes
// along that direction are aligned, and wholly inside or wholly outside.

enum class Way { k, lines, either };  // either: known when it runs

// Element (i, k) is data[i line_step + k depth_step].
template <class T_, Way way_> struct Matrix {
  using T = T_;
  static constexpr Way way = way_;
  using Line = const T*;
  using Depth = Index;
  const T* data;
  Index line_step, depth_step, batch = 0;
  bool wide = false, lies_along_k = true;

  SSPO_DEVICE Matrix item(int b) const { return {data + b * batch, line_step, depth_step, batch, wide, lies_along_k}; }
  SSPO_DEVICE bool along_k() const { return way == Way::either ? lies_along_k : way == Way::k; }
  SSPO_DEVICE Line line(int i) const { return data + i * line_step; }
  SSPO_DEVICE Depth depth(int k) const { return k * depth_step; }
  SSPO_DEVICE const T* at(Line l, Depth d) const { return l + d; }
};

// What one thread brings of an operand's tile of LINES x K, step after step. The tile's rows are lines of K elements, or depths of
// LINES elements: as the operand lies. Consecutive threads bring what is side by side.
template <class Operand, int LINES, int K, int THREADS, bool chunks_only> struct Feed {
  using T = typename Operand::T;
  static constexpr int V = chunk<T>, chunks = LINES * K / V / THREADS;
  static_assert(LINES * K % (V * THREADS) == 0, "each thread brings as much");
  const Operand from;
  const int line0, lines, k_end;
  typename Operand::Line line[chunks];  // of this thread's chunks; along lines they share one

  SSPO_DEVICE Feed(const Operand& operand, int first, int lines_, int end) : from(operand), line0(first), lines(lines_), k_end(end) {
    const int t = int(threadIdx.x), across = K / V;
#pragma unroll
    for (int q = 0; q < chunks; ++q) line[q] = from.line(line0 + (from.along_k() ? t / across + q * (THREADS / across) : t % (LINES / V) * V));
  }

  SSPO_DEVICE bool wide() const { return chunks_only || from.wide; }

  // place(q, row, col) for each chunk of this thread: chunk `col` of the tile's row.
  template <class Place> SSPO_DEVICE void places(Place place) const {
    const int t = int(threadIdx.x);
    const int across = (from.along_k() ? K : LINES) / V;
#pragma unroll
    for (int q = 0; q < chunks; ++q) place(q, t / across + q * (THREADS / across), t % across);
  }

  // put(q, row, col, p): the 16 bytes at p (null: zeros) are that chunk.
  template <class Put> SSPO_DEVICE void bring_chunks(int k0, Put put) const {
    if (from.along_k()) {
      const int k = k0 + int(threadIdx.x) % (K / V) * V;
      const typename Operand::Depth depth = from.depth(k);
      places([&](int q, int row, int col) {
        put(q, row, col, line0 + row < lines && k < k_end ? from.at(line[q], depth) : nullptr);
      });
    } else {
      places([&](int q, int row, int col) {
        const int k = k0 + row;
        put(q, row, col, line0 + col * V < lines && k < k_end ? from.at(line[0], from.depth(k)) : nullptr);
      });
    }
  }

  // put(row, col, x): x is element `col` of the tile's row.
  template <class Put> SSPO_DEVICE void bring_elements(int k0, Put put) const {
    const int t = int(threadIdx.x);
    const bool along_k = from.along_k();
    const int across = along_k ? K : LINES, col = t % across;
#pragma unroll 1
    for (int row = t / across; row < LINES * K / across; row += THREADS / across) {
      const int i = line0 + (along_k ? row : col), k = k0 + (along_k ? col : row);
      const T* const p = i < lines && k < k_end ? from.at(from.line(i), from.depth(k)) : nullptr;
      put(row, col, p ? *p : T{});
    }
  }
};

// --- results
SSPO_DEVICE float widened(bf16 x) { return to_float(x); }
SSPO_DEVICE float widened(float x) { return x; }
SSPO_DEVICE double widened(double x) { return x; }

template <class Sum> SSPO_DEVICE Sum sigmoid(Sum x) {
  const Sum e = std::exp(-std::abs(x));
  return (x < 0 ? e : Sum(1)) / (1 + e);
}
template <class Sum> SSPO_DEVICE Sum activate(Activation act, Sum x) {
  switch (act) {
    case Activation::none: break;
    case Activation::relu: return x <= 0 ? Sum(0) : x;  // NaN stays
    case Activation::silu: return x * sigmoid(x);
    case Activation::gelu_erf: return x * (Sum(0.5) * std::erfc(x * Sum(-0.70710678118654752)));
    case Activation::gelu_tanh: return x * sigmoid((x * x * x * Sum(0.044715) + x) * Sum(1.5957691216057308));  // (1 + tanh u) / 2 = σ(2u)
    case Activation::quick_gelu: return x * sigmoid(x * Sum(1.702));
  }
  return x;
}

// Row i of C is a pixel of an image: b, y, x = i / w / h, i / w % h, i % w. A matrix: w = h = 1.
struct Rows {
  Index image, down = 0, across = 0;  // elements from one image, row of pixels, pixel to the next
  Divisor w = Divisor(1), h = Divisor(1);
  SSPO_DEVICE Index operator()(int i) const {
    const int line = w.quotient(i), b = h.quotient(line);
    return b * image + h.remainder(line, b) * down + w.remainder(i, line) * across;
  }
};

// C, and what happens to the sums on their way there.
template <class Out_> struct Result {
  using Out = Out_;
  Out* c;
  Rows rows;
  Index batch = 0, slice = 0;  // elements from one item of the batch, one slice of k, to the next
  int m = 0, n = 0;
  double alpha = 1;
  const Out *bias = nullptr, *residual = nullptr;  // the residual is laid out as C
  Index bias_batch = 0, bias_ld = 0;
  Divisor bias_rows = Divisor(1);  // row i adds bias + i / bias_rows bias_ld: one bias a sample
  Activation act = Activation::none;
  bool accumulate = false, wide = false;  // wide: groups of 16 / sizeof(sum) columns are aligned and whole

  void set_wide(Index W, Index columns) {
    const std::size_t bytes = std::size_t(W) * sizeof(Out);
    const auto fits = [&](const Out* p) { return aligned(p, bytes); };
    wide = fits(c) && fits(bias) && fits(residual) && columns % W == 0;
    for (Index step : {rows.image, rows.down, rows.across, batch, slice, bias_batch, bias_ld}) wide = wide && step % W == 0;
  }

  // W sums of row i, from column j on.
  template <class Sum, int W> SSPO_DEVICE void put(int item, int slice_number, int i, int j, Sum (&x)[W]) const {
    if (i >= m || j >= n) return;
    const Index at = item * batch + slice_number * slice + rows(i) + j;
    if (alpha != 1)
#pragma unroll
      for (int e = 0; e < W; ++e) x[e] *= Sum(alpha);
    if (bias) add(bias + item * bias_batch + (bias_ld ? bias_rows.quotient(i) * bias_ld : 0) + j, j, x);
    if (residual) add(residual + at, j, x);
    if (act != Activation::none)
#pragma unroll
      for (int e = 0; e < W; ++e) x[e] = activate(act, x[e]);
    if (accumulate) add(c + at, j, x);
    Out y[W];
#pragma unroll
    for (int e = 0; e < W; ++e) y[e] = Out(x[e]);
    if constexpr (W > 1)
      if (wide) return write_pack(c + at, y);
#pragma unroll
    for (int e = 0; e < W; ++e)
      if (j + e < n) c[at + e] = y[e];
  }

 private:
  template <class Sum, int W> SSPO_DEVICE void add(const Out* p, int j, Sum (&x)[W]) const {
    if constexpr (W > 1)
      if (wide) {
        Out y[W];
        read_pack(p, y);
#pragma unroll
        for (int e = 0; e < W; ++e) x[e] += widened(y[e]);
        return;
      }
#pragma unroll
    for (int e = 0; e < W; ++e)
      if (j + e < n) x[e] += widened(p[e]);
  }
};

// --- how a product is cut
struct Size {
  Index batch, m, n, k;
};

struct Cut {
  int m, n, k, tiles_m, tiles_n, slices, slice;  // slice: its extent of k
  Index blocks;
};

// A big device has about so many places for a block; twice as many blocks keep it busy to the end. Fewer tiles than that are cut
// along k, into slices no shorter than slice_least. These are constants, not the device's: the order of sums must not depend on it.
inline constexpr Index blocks_enough = 128, slice_least = 512;

template <class Tile> Cut cut(const Size& s) {
  Cut c{int(s.m), int(s.n), int(s.k), int(ceil_div(s.m, Tile::M)), int(ceil_div(s.n, Tile::N)), 1, 0, 0};
  const Index tiles = s.batch * c.tiles_m * c.tiles_n;
  const Index wanted = tiles < blocks_enough ? 2 * blocks_enough / tiles : 1, most = s.k / slice_least;
  const Index slices = wanted < most ? wanted : most > 1 ? most : 1;
  c.slice = int(ceil_div(ceil_div(s.k, slices), Tile::K) * Tile::K);
  c.slices = c.slice ? int(ceil_div(s.k, c.slice)) : 1;
  c.blocks = tiles * c.slices;
  return c;
}

// Big tiles read less; small ones waste less at the edges and fill the device sooner.
template <class Tile> bool pays(const Size& s) {
  const Cut c = cut<Tile>(s);
  return s.m > Tile::M / 2 && s.n > Tile::N / 2 && c.blocks >= blocks_enough;
}

struct Work {
  int item, slice, m0, n0, k0, k1;
};
// Blocks that run at the same time share rows of A and columns of B: bands of 8 tiles' rows, column by column.
SSPO_DEVICE Work find_work(const Cut& c, int M, int N) {
  const int tiles = c.tiles_m * c.tiles_n, rest = int(blockIdx.x) / tiles, tile = int(blockIdx.x) % tiles;
  const int band = tile / (8 * c.tiles_n), in_band = tile % (8 * c.tiles_n), left = c.tiles_m - 8 * band, rows = left < 8 ? left : 8;
  const int slice = rest % c.slices, k0 = slice * c.slice, k1 = k0 + c.slice;
  return {rest / c.slices, slice, (8 * band + in_band % rows) * M, in_band / rows * N, k0, k1 < c.k ? k1 : c.k};
}

template <class A, class B, class R> struct Product {
  Cut cut;
  A a;
  B b;
  R result;
};

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD::tiles
