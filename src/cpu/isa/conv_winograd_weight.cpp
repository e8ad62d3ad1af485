#include <atomic>

#include "cpu/isa/conv_winograd.hpp"
#include "cpu/isa/gemm_outer.hpp"

namespace sspo::cpu::SSPO_ISA {

namespace {

using F = Pack<float>;
constexpr Index W = F::size, MR = tile_rows;

// z[plane][tile][out] = A dY Aᵀ,   A = [1 0; 1 1; 1 -1; 0 -1];  pixels beyond the edge are `zeros`.
void transform_gradient(const Winograd& s, const float* gy, Range tiles, const float* zeros, const Planes& to) {
  float* z = to.data;
  for (Index t = tiles.begin; t < tiles.end; ++t, z += to.row) {
    const Index b = t / s.across() / s.down(), y0 = t / s.across() % s.down() * 2, x0 = t % s.across() * 2;
    const auto pixel = [&](Index y, Index x) { return y < s.out_h && x < s.out_w ? gy + ((b * s.out_h + y) * s.out_w + x) * s.out : zeros; };
    const float *const p00 = pixel(y0, x0), *const p01 = pixel(y0, x0 + 1), *const p10 = pixel(y0 + 1, x0), *const p11 = pixel(y0 + 1, x0 + 1);
    for (Index c = 0; c < s.out; c += W) {
      const F a = F::load(p00 + c), b1 = F::load(p01 + c), c1 = F::load(p10 + c), d = F::load(p11 + c);
      const F left[4] = {a, a + c1, a - c1, -c1}, right[4] = {b1, b1 + d, b1 - d, -d};
      unroll<4>([&](auto i) __attribute__((always_inline)) {
        float* const at = z + 4 * i * to.plane + c;
        left[i].store(at);
        (left[i] + right[i]).store(at + to.plane);
        (left[i] - right[i]).store(at + 2 * to.plane);
        (-right[i]).store(at + 3 * to.plane);
      });
    }
  }
}

// u[out][in] (+)= zᵀ v over some tiles, columns [cols) of u, in runs short enough to round well.
void add_products(const Winograd& s, Index tiles, const float* z, Index z_row, const float* v, Index v_row, Range cols, float* u, bool add) {
  constexpr Index run = 192;
  const Index row_tiles = ceil_div(s.out, MR);
  for (Index t = 0; t < tiles; t += run, add = true) {
    const OuterRun all{t, t, min(run, tiles - t)};
    for (Index c = cols.begin; c < cols.end;) {
      const Index width = cols.end - c >= 2 * W ? 2 * W : W;
      for (Index r = 0; r < row_tiles; ++r) {
        const Index o = r * s.out / row_tiles, rows = (r + 1) * s.out / row_tiles - o;
        const auto tile = width == W ? outer_tile_of<float, 1>(rows) : outer_tile_of<float, 2>(rows);
        tile(&all, 1, z + o, z_row, v + c, v_row, 1, u + o * s.in + c, s.in, add);
      }
      c += width;
    }
  }
}

// gw[out][3][3][in] (+)= Gᵀ u G,   Gᵀ = [1 ½ ½ 0; 0 ½ -½ 0; 0 ½ ½ 1].
void transform_products(const Winograd& s, Index o, const float* u, float* gw, bool accumulate) {
  const Index plane = s.in * s.out;
  const F half(0.5f);
  for (Index c = 0; c < s.in; c += W) {
    F rows[3][4];
    unroll<4>([&](auto j) __attribute__((always_inline)) {
      const float* const at = u + o * s.in + c + j * plane;
      const F u1 = F::load(at + 4 * plane), u2 = F::load(at + 8 * plane), sum = (u1 + u2) * half;
      rows[0][j] = F::load(at) + sum, rows[1][j] = (u1 - u2) * half, rows[2][j] = sum + F::load(at + 12 * plane);
    });
    unroll<3>([&](auto i) __attribute__((always_inline)) {
      const F sum = (rows[i][1] + rows[i][2]) * half;
      const F taps[3] = {rows[i][0] + sum, (rows[i][1] - rows[i][2]) * half, sum + rows[i][3]};
      unroll<3>([&](auto j) __attribute__((always_inline)) {
        float* const to = gw + (o * 9 + 3 * i + j) * s.in + c;
        (accumulate ? F::load(to) + taps[j] : taps[j]).store(to);
      });
    });
  }
}

// Numbers of which 16 can be added without overflow; no NaN.
bool moderate(const float* u, Index n) {
  typename F::Mask all = F::first_lanes(W);
  const F most(1e37f);
  for (Index i = 0; i < n; i += W) {
    const F x = F::load(u + i);
    all &= (x <= most) & (-x <= most);
  }
  for (int lane = 0; lane < W; ++lane)
    if (!all[lane]) return false;
  return true;
}

}  // namespace

bool winograd_weight_pays(const Winograd& s) {
  return winograd_pays(s) && s.in * s.out >= 4096 && s.batch * s.out_h * s.out_w >= 1024;
}

// Tiles are taken in chunks: all of a chunk are transformed, then each task multiplies one plane, some columns.
bool winograd_weight_gradient(const Context& ctx, const Winograd& s, const float* gy, float* gw, bool accumulate) {
  const Index plane = s.in * s.out, chunk = min(s.tiles(), 576), at_once = 16, zeros_words = max(s.in, s.out);
  const Index v_row = s.in + 16, z_row = s.out + 16, col_tasks = ceil_div(s.in, 128);
  const Workspace w(ctx, std::size_t(16 * plane + zeros_words + 16 * chunk * (v_row + z_row)) * sizeof(float));
  float *const u = w.as<float>(), *const zeros = u + 16 * plane, *const v = zeros + zeros_words, *const z = v + 16 * chunk * v_row;
  __builtin_memset(zeros, 0, std::size_t(zeros_words) * sizeof(float));
  for (Index t0 = 0; t0 < s.tiles(); t0 += chunk) {
    const Index tiles = min(chunk, s.tiles() - t0);
    parallel_for(ctx, ceil_div(tiles, at_once), [&](Index task, int) {
      const Range mine = piece(task, at_once, tiles), in_all{t0 + mine.begin, t0 + mine.end};
      transform_pixels(s, in_all, zeros, {v + mine.begin * v_row, v_row, chunk * v_row});
      transform_gradient(s, gy, in_all, zeros, {z + mine.begin * z_row, z_row, chunk * z_row});
    });
    parallel_for(ctx, 16 * col_tasks, [&](Index task, int) {
      const Index q = task / col_tasks;
      add_products(s, tiles, z + q * chunk * z_row, z_row, v + q * chunk * v_row, v_row, piece(task % col_tasks, 128, s.in), u + q * plane, t0 > 0);
    });
  }
  std::atomic<bool> all = true;
  parallel_for(ctx, 16, [&](Index q, int) {
    if (!moderate(u + q * plane, plane)) all = false;
  });
  if (!all) return false;
  parallel_for(ctx, s.out, [&](Index o, int) { transform_products(s, o, u, gw, accumulate); });
  return true;
}

}  // namespace sspo::cpu::SSPO_ISA
