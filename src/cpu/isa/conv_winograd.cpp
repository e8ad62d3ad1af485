#include "cpu/isa/conv_winograd.hpp"

#include <atomic>

namespace sspo::cpu::SSPO_ISA {

namespace {

using P = Products<float>;
using F = Pack<float>;
constexpr Index W = F::size, NR = P::NR, MR = P::MR;

// What one task takes: `tiles` tiles of 2x2 pixels, all channels in, `cols` channels out at a time. Both keep their 16
// planes in L2.
struct WinogradPlan {
  Index tiles, cols, kc;
  Index in_row;  // words from one tile to the next: rows 4 KiB apart would crowd a set of L1
};

WinogradPlan winograd_plan(const Winograd& s) {
  WinogradPlan p;
  const Index most = max(24, min(60, 8192 / s.in / MR * MR));
  // Not the fewest tasks, but those of which two and four threads get like shares. Sums of a tile know nothing of the cut.
  const auto longest = [&](Index tiles, Index team) {  // what one of `team` threads has to do, in tiles
    const Index tasks = ceil_div(s.tiles(), tiles), last = s.tiles() - (tasks - 1) * tiles;
    return (tasks - 1) / team * tiles + ((tasks - 1) % team == 0 ? round_up(last, MR) : tiles);
  };
  p.tiles = most;
  for (Index tiles = most; tiles >= max(24, most / 2); tiles -= MR)
    if (longest(tiles, 2) + longest(tiles, 4) < longest(p.tiles, 2) + longest(p.tiles, 4)) p.tiles = tiles;
  p.cols = min(s.out, max(NR, 4096 / p.tiles / NR * NR));
  const Index blocks = ceil_div(s.in * NR * Index(sizeof(float)), panel_bytes);
  p.kc = round_up(ceil_div(s.in, blocks), W);
  p.in_row = s.in + 16;
  return p;
}

// G g Gᵀ of W lanes at once:   G = [1 0 0; ½ ½ ½; ½ -½ ½; 0 0 1].
inline void transform_taps(const F (&g)[3][3], F (&u)[4][4]) {
  F rows[4][3];
  const F half(0.5f);
  for (int j = 0; j < 3; ++j) {
    const F sum = (g[0][j] + g[2][j]) * half, middle = g[1][j] * half;
    rows[0][j] = g[0][j], rows[1][j] = sum + middle, rows[2][j] = sum - middle, rows[3][j] = g[2][j];
  }
  for (int i = 0; i < 4; ++i) {
    const F sum = (rows[i][0] + rows[i][2]) * half, middle = rows[i][1] * half;
    u[i][0] = rows[i][0], u[i][1] = sum + middle, u[i][2] = sum - middle, u[i][3] = rows[i][2];
  }
}

// The weight as 16 matrices in panels: u[plane][out / NR][in][NR]. A task is a part of one panel.
void transform_weight(const Context& ctx, const Winograd& s, const float* weight, bool backwards, float* u) {
  constexpr Index block = 32;
  const Index plane = s.in * s.out, parts = ceil_div(s.in, block);
  const auto taps_at = [&](const float* filter, Index apart, F (&g)[3][3]) {
    for (int t = 0; t < 9; ++t) g[t / 3][t % 3] = F::load(filter + (backwards ? 8 - t : t) * apart);
  };
  parallel_for(ctx, s.out / NR * parts, [&](Index task, int) {
    const Range in = piece(task % parts, block, s.in);
    task /= parts;
    float* const panel = u + task * s.in * NR;
    F g[3][3], v[4][4];
    if (backwards) {  // lanes are columns of the panel
      for (Index k = in.begin; k < in.end; ++k)
        for (Index j = 0; j < NR; j += W) {
          taps_at(weight + k * 9 * s.out + task * NR + j, s.out, g);
          transform_taps(g, v);
          for (int q = 0; q < 16; ++q) v[q / 4][q % 4].store(panel + q * plane + k * NR + j);
        }
      return;
    }
    alignas(64) float lines[16][NR][block];  // lanes run along k: turned by way of a buffer
    for (Index j = 0; j < NR; ++j)
      for (Index k = in.begin; k < in.end; k += W) {
        taps_at(weight + (task * NR + j) * 9 * s.in + k, s.in, g);
        transform_taps(g, v);
        for (int q = 0; q < 16; ++q) v[q / 4][q % 4].store(&lines[q][j][k - in.begin]);
      }
    for (int q = 0; q < 16; ++q) Lines<float>{lines[q][0], block, 1}.pack_panels<P>(0, NR, 0, in.size(), panel + q * plane + in.begin * NR);
  });
}

// m[plane][tile][cols] = v[plane] u[plane] for some columns.
void multiply_planes(const Winograd& s, const WinogradPlan& p, Index tiles, Range cols, const float* v, const float* u, float* m) {
  for (Index plane = 0; plane < 16; ++plane, v += p.tiles * p.in_row, u += s.in * s.out, m += p.tiles * p.cols)
    for (Index k0 = 0; k0 < s.in; k0 += p.kc) {
      const Index nk = min(p.kc, s.in - k0);
      for (Index j = cols.begin; j < cols.end; j += NR) {
        const float* const panel = u + j * s.in + k0 * NR;
        const char* const next = reinterpret_cast<const char*>(panel + s.in * NR);
        for (Index i = 0; i < tiles; i += MR) {
          const float* rows[MR];
          for (Index r = 0; r < MR; ++r) rows[r] = v + min(i + r, tiles - 1) * p.in_row + k0;  // a few twice at the end: m has room
          F acc[MR][P::NV];
          tile_sums<P, MR>(rows, panel, nk, {nk, 0}, {next + i / MR * (nk / 4) * 64, 64}, acc);
          float* const to = m + i * p.cols + (j - cols.begin);
          if (k0 > 0) unroll<MR, P::NV>([&](auto r, auto q) __attribute__((always_inline)) { acc[r][q] += F::load(to + r * p.cols + q * W); });
          unroll<MR, P::NV>([&](auto r, auto q) __attribute__((always_inline)) { acc[r][q].store(to + r * p.cols + q * W); });
        }
      }
    }
}

// y = finished Aᵀ m A,   Aᵀ = [1 1 1 0; 0 1 -1 -1].   Returns whether all sums are finite.
bool transform_sums(const Winograd& s, const WinogradPlan& p, Range tiles, Range cols, const float* m, float* y, const Finish<float>& f, float* sums) {
  const Index plane = p.tiles * p.cols, n = cols.size();
  F check = zero<float>();  // stays 0 as long as every sum is finite
  for (Index t = tiles.begin; t < tiles.end; ++t, m += p.cols) {
    for (Index c = 0; c < n; c += W) {
      F rows[2][4];
      unroll<4>([&](auto j) __attribute__((always_inline)) {
        const float* const at = m + j * plane + c;
        const F m1 = F::load(at + 4 * plane), m2 = F::load(at + 8 * plane);
        rows[0][j] = F::load(at) + m1 + m2, rows[1][j] = m1 - m2 - F::load(at + 12 * plane);
      });
      unroll<2>([&](auto i) __attribute__((always_inline)) {
        const F left = rows[i][0] + rows[i][1] + rows[i][2], right = rows[i][1] - rows[i][2] - rows[i][3];
        check = fma(left, F(0.0f), check), check = fma(right, F(0.0f), check);
        left.store(sums + 2 * i * p.cols + c), right.store(sums + (2 * i + 1) * p.cols + c);
      });
    }
    const Index b = t / s.across() / s.down(), y0 = t / s.across() % s.down() * 2, x0 = t % s.across() * 2;
    for (Index i = 0; i < 4; ++i) {
      const Index line = y0 + i / 2, column = x0 + i % 2;
      if (line >= s.out_h || column >= s.out_w) continue;
      const Index row = (b * s.out_h + line) * s.out_w + column, at = row * s.out + cols.begin;
      const float* const bias = !f.bias ? nullptr : f.bias + cols.begin + (f.bias_group ? row / f.bias_group * f.bias_ld : 0);
      finish_row<float, float>(sums + i * p.cols, n, bias, f.residual ? f.residual + at : nullptr, f.act, false, y + at);
    }
  }
  for (int lane = 0; lane < W; ++lane)
    if (check[lane] != 0) return false;  // NaN too
  return true;
}

}  // namespace

void transform_pixels(const Winograd& s, Range tiles, const float* zeros, const Planes& to) {
  float* v = to.data;
  for (Index t = tiles.begin; t < tiles.end; ++t, v += to.row) {
    const Index b = t / s.across() / s.down(), y0 = t / s.across() % s.down() * 2 - s.top, x0 = t % s.across() * 2 - s.left;
    const float* pixel[4][4];
    for (Index i = 0; i < 4; ++i)
      for (Index j = 0; j < 4; ++j) {
        const Index y = y0 + i, x = x0 + j;
        pixel[i][j] = y >= 0 && y < s.h && x >= 0 && x < s.w ? s.x + ((b * s.h + y) * s.w + x) * s.in : zeros;
      }
    for (Index c = 0; c < s.in; c += W) {
      F rows[4][4];
      unroll<4>([&](auto j) __attribute__((always_inline)) {
        const F d0 = F::load(pixel[0][j] + c), d1 = F::load(pixel[1][j] + c), d2 = F::load(pixel[2][j] + c), d3 = F::load(pixel[3][j] + c);
        rows[0][j] = d0 - d2, rows[1][j] = d1 + d2, rows[2][j] = d2 - d1, rows[3][j] = d1 - d3;
      });
      unroll<4>([&](auto i) __attribute__((always_inline)) {
        float* const at = v + 4 * i * to.plane + c;
        (rows[i][0] - rows[i][2]).store(at);
        (rows[i][1] + rows[i][2]).store(at + to.plane);
        (rows[i][2] - rows[i][1]).store(at + 2 * to.plane);
        (rows[i][1] - rows[i][3]).store(at + 3 * to.plane);
      });
    }
  }
}

bool winograd_pays(const Winograd& s) {
  const Index pixels = s.batch * s.out_h * s.out_w, least = 16 * s.in * s.out <= 1 << 20 ? 256 : 1024;  // a large weight's transform must be worth it
  return s.in % W == 0 && s.out % NR == 0 && s.in >= 32 && pixels >= least && s.out_h * s.out_w >= 16;
}

bool winograd(const Context& ctx, const Winograd& s, const float* weight, bool backwards, float* y, const Finish<float>& f) {
  const WinogradPlan p = winograd_plan(s);
  const Index u_words = 16 * s.in * s.out, v_words = 16 * p.tiles * p.in_row, m_words = 16 * (p.tiles + MR) * p.cols, sum_words = 4 * p.cols;
  const Index worker_words = v_words + m_words + sum_words;
  const Workspace w(ctx, std::size_t(u_words + s.in + worker_words * ctx.threads) * sizeof(float));
  float *const u = w.as<float>(), *const zeros = u + u_words, *const workers = zeros + s.in;
  __builtin_memset(zeros, 0, std::size_t(s.in) * sizeof(float));
  transform_weight(ctx, s, weight, backwards, u);
  std::atomic<bool> finite = true;
  parallel_for(ctx, ceil_div(s.tiles(), p.tiles), [&](Index task, int worker) {
    const Range tiles = piece(task, p.tiles, s.tiles());
    float *const v = workers + worker * worker_words, *const m = v + v_words, *const sums = m + m_words;
    transform_pixels(s, tiles, zeros, {v, p.in_row, p.tiles * p.in_row});
    for (Index j = 0; j < s.out; j += p.cols) {
      const Range cols{j, min(j + p.cols, s.out)};
      multiply_planes(s, p, tiles.size(), cols, v, u, m);
      if (!transform_sums(s, p, tiles, cols, m, y, f, sums)) finite = false;
    }
  });
  return finite;
}

}  // namespace sspo::cpu::SSPO_ISA
