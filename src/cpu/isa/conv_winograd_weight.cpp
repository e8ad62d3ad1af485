#include <atomic>

#include "cpu/isa/conv_winograd.hpp"
#include "cpu/isa/gemm_outer.hpp"

namespace sspo::cpu::SSPO_ISA {

namespace {

using F = Pack<float>;
constexpr Index W = F::size, MR = tile_rows, chunk_bytes = 24 << 20;

// z[plane][tile][out] = A dY Aᵀ;  pixels beyond the edge are `zeros`.
template <class T>
void transform_gradient(const Winograd<T>& s, const T* gy, Range tiles, const T* zeros, const Planes& to) {
  float* z = to.data;
  for (Index t = tiles.begin; t < tiles.end; ++t, z += to.row) {
    const Index b = t / s.across() / s.down(), y0 = t / s.across() % s.down() * 4, x0 = t % s.across() * 4;
    const T* pixel[4][4];
    for (Index i = 0; i < 4; ++i)
      for (Index j = 0; j < 4; ++j) {
        const Index y = y0 + i, x = x0 + j;
        pixel[i][j] = y < s.out_h && x < s.out_w ? gy + ((b * s.out_h + y) * s.out_w + x) * s.out : zeros;
      }
    for (Index c = 0; c < s.out; c += W)
      both_ways<4, 6>(lines::sums_transposed, [&](int i, int j) __attribute__((always_inline)) { return load_as<float>(pixel[i][j] + c); },
                      [&](int i, int j, F x) __attribute__((always_inline)) { x.store(z + (6 * i + j) * to.plane + c); });
  }
}

// u[rows][cols] = zᵀ v over some tiles, in runs short enough to round well.
void add_products(Index tiles, const float* z, Index z_row, Index rows, const float* v, Index v_row, Index cols, float* u, Index u_row) {
  constexpr Index run = 192;
  const Index row_tiles = ceil_div(rows, MR);
  for (Index t = 0; t < tiles; t += run) {
    const OuterRun all{t, t, min(run, tiles - t)};
    for (Index c = 0; c < cols;) {
      const Index width = cols - c >= 2 * W ? 2 * W : W;
      for (Index r = 0; r < row_tiles; ++r) {
        const Index o = r * rows / row_tiles, height = (r + 1) * rows / row_tiles - o;
        const auto tile = width == W ? outer_tile_of<float, 1>(height) : outer_tile_of<float, 2>(height);
        tile(&all, 1, z + o, z_row, v + c, v_row, 1, u + o * u_row + c, u_row, t > 0);
      }
      c += width;
    }
  }
}

// gw[3][3][cols] (+)= Gᵀ u G for one channel out.   `check` stays 0 as long as every sum is finite.
template <class Out>
void transform_products(const float* u, Index plane, Index cols, Out* gw, Index tap, bool add, F& check) {
  for (Index c = 0; c < cols; c += W)
    both_ways<6, 3>(lines::taps_transposed, [&](int i, int j) __attribute__((always_inline)) { return F::load(u + (6 * i + j) * plane + c); },
                    [&](int i, int j, F x) __attribute__((always_inline)) {
                      Out* const to = gw + (3 * i + j) * tap + c;
                      check = fma(x, F(0.0f), check);
                      store_as(add ? load_as<float>(to) + x : x, to);
                    });
}

}  // namespace

template <class T>
bool winograd_weight_pays(const Winograd<T>& s) {
  return winograd_pays(s) && s.in * s.out >= 4096 && s.batch * s.out_h * s.out_w >= 512;
}

// Tiles are taken in chunks: all of a chunk are transformed, then each task multiplies some channels out with some channels in, plane by
// plane, and transforms what it has. Sums to be added, to gw or over several chunks, are kept aside until all are known to be finite.
template <class T, class Out>
bool winograd_weight_gradient(const Context& ctx, const Winograd<T>& s, const T* gy, Out* gw, bool accumulate) {
  const Index v_row = s.in + 16, z_row = s.out + 16, zeros_words = max(s.in, s.out), at_once = 4;
  const Index most = max(64, chunk_bytes / (planes * (v_row + z_row) * Index(sizeof(float))));
  const Index chunk = ceil_div(s.tiles(), ceil_div(s.tiles(), most)), chunks = ceil_div(s.tiles(), chunk);
  const bool aside = accumulate || chunks > 1;
  Index rows = min(64, s.out), cols = min(64, s.in);
  while (rows > 16 && ceil_div(s.out, rows) * ceil_div(s.in, cols) < 8) rows /= 2;
  const Index v_plane = plane_words(chunk * v_row), z_plane = plane_words(chunk * z_row), u_plane = plane_words(rows * cols);
  const Index v_words = planes * v_plane, z_words = planes * z_plane, sum_words = aside ? 9 * s.in * s.out : 0;
  const Workspace w(ctx, std::size_t(zeros_words + v_words + z_words + sum_words + planes * u_plane * ctx.threads) * sizeof(float));
  T* const zeros = w.as<T>();
  float *const v = w.as<float>() + zeros_words, *const z = v + v_words, *const sums = z + z_words, *const workers = sums + sum_words;
  __builtin_memset(w.as<char>(), 0, std::size_t(zeros_words) * sizeof(float));
  std::atomic<bool> finite = true;
  for (Index t0 = 0; t0 < s.tiles(); t0 += chunk) {
    const Index tiles = min(chunk, s.tiles() - t0);
    parallel_for(ctx, ceil_div(tiles, at_once), [&](Index task, int) {
      const Range mine = piece(task, at_once, tiles), of_all{t0 + mine.begin, t0 + mine.end};
      transform_pixels(s, of_all, zeros, {v + mine.begin * v_row, v_row, v_plane});
      transform_gradient(s, gy, of_all, zeros, {z + mine.begin * z_row, z_row, z_plane});
    });
    const Index col_tasks = ceil_div(s.in, cols);
    parallel_for(ctx, ceil_div(s.out, rows) * col_tasks, [&](Index task, int worker) {
      float* const u = workers + worker * planes * u_plane;
      const Range outs = piece(task / col_tasks, rows, s.out), ins = piece(task % col_tasks, cols, s.in);
      for (Index q = 0; q < planes; ++q)
        add_products(tiles, z + q * z_plane + outs.begin, z_row, outs.size(), v + q * v_plane + ins.begin, v_row, ins.size(), u + q * u_plane, cols);
      F check = zero<float>();
      for (Index o = outs.begin; o < outs.end; ++o) {
        const float* const from = u + (o - outs.begin) * cols;
        const Index at = o * 9 * s.in + ins.begin;
        if (aside) transform_products(from, u_plane, ins.size(), sums + at, s.in, t0 > 0, check);
        else transform_products(from, u_plane, ins.size(), gw + at, s.in, false, check);
      }
      if (!all_zero(check)) finite = false;
    });
    if (!finite) return false;
  }
  if (aside)
    parallel_for(ctx, s.out, [&](Index o, int) {
      for (Index i = o * 9 * s.in; i < (o + 1) * 9 * s.in; i += W) {
        const F sum = F::load(sums + i);
        store_as(accumulate ? load_as<float>(gw + i) + sum : sum, gw + i);
      }
    });
  return true;
}

#define SSPO_WINOGRAD_WEIGHT(T, Out)                                                                            \
  template bool winograd_weight_gradient(const Context&, const Winograd<T>&, const T*, Out*, bool);
template bool winograd_weight_pays(const Winograd<bf16>&);
SSPO_WINOGRAD_WEIGHT(bf16, bf16)
SSPO_WINOGRAD_WEIGHT(bf16, float)
#if !SSPO_BF16_ALONE
template bool winograd_weight_pays(const Winograd<float>&);
SSPO_WINOGRAD_WEIGHT(float, float)
#endif

}  // namespace sspo::cpu::SSPO_ISA
