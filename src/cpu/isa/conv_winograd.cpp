#include "cpu/isa/conv_winograd.hpp"

#include <atomic>

namespace sspo::cpu::SSPO_ISA {

namespace {

using P = Products<float>;
using F = Pack<float>;
constexpr Index W = F::size, NR = P::NR, MR = P::MR;

// Every task transforms the pixels of its tiles and multiplies them with taps that were transformed once for all. Or, where tiles are
// few and the weight is large, every task transforms the taps of its columns and multiplies the pixels that were transformed once for all:
// then no transformed weight, four times its size, passes through memory.
struct WinogradPlan {
  bool by_columns;
  Index tiles, cols, kc;  // of one task; channels in at a time
  Index in_row;           // words from one tile to the next: rows 4 KiB apart would crowd a set of L1
};

template <class T>
WinogradPlan winograd_plan(const Winograd<T>& s) {
  WinogradPlan p;
  p.in_row = s.in + 16;
  p.by_columns = s.tiles() <= 64 && s.in * s.out > 128 * 128;
  if (p.by_columns) {
    p.tiles = s.tiles(), p.cols = min(s.out, max(NR, 32));
    p.kc = min(s.in, 64);  // so that transformed taps, and sums, stay in L2
    return p;
  }
  // Not the fewest tasks, but those of which two and four threads get like shares. Sums of a tile know nothing of the cut.
  Index tasks = ceil_div(s.tiles(), max(24, min(60, 4096 / s.in / MR * MR)));
  for (const Index team : {2, 4})
    if (s.tiles() >= 12 * team) tasks = round_up(tasks, team);
  p.tiles = ceil_div(s.tiles(), tasks);
  p.cols = min(s.out, max(NR, 2048 / p.tiles / NR * NR));
  const Index blocks = ceil_div(s.in * NR * Index(sizeof(float)), panel_bytes);
  p.kc = round_up(ceil_div(s.in, blocks), W);
  return p;
}

// The taps of NR channels out and some channels in, as rows of a panel in each of 36 planes: u[plane][in][NR].
template <class T>
void transform_taps(const Winograd<T>& s, const T* weight, bool backwards, Index out, Range in, float* u, Index plane) {
  const auto row_of = [&](const auto* g, Index apart, float* to) __attribute__((always_inline)) {
    both_ways<3, 6>(lines::taps, [&](int i, int j) __attribute__((always_inline)) { return load_as<float>(g + (3 * i + j) * apart); },
                    [&](int p, int q, F x) __attribute__((always_inline)) { x.store(to + (6 * p + q) * plane); });
  };
  if (backwards) {  // lanes lie along the weight's rows
    for (Index k = in.begin; k < in.end; ++k, u += NR)
      for (Index j = 0; j < NR; j += W) row_of(weight + (k * 9 + 8) * s.out + out + j, -s.out, u + j);
    return;
  }
  using Raw = std::conditional_t<std::is_same_v<T, bf16>, ProductsBf16<false>, P>;
  constexpr Index block = 32;
  alignas(64) float taps[9][block][NR];  // or across them
  for (Index k0 = in.begin; k0 < in.end; k0 += block) {
    const Index nk = min(block, in.end - k0);
    for (Index t = 0; t < 9; ++t) Lines<T>{weight + (out * 9 + t) * s.in, 9 * s.in, 1}.template pack_panels<Raw>(0, NR, k0, nk, taps[t][0]);
    for (Index k = 0; k < nk; ++k, u += NR)
      for (Index j = 0; j < NR; j += W) row_of(&taps[0][k][j], block * NR, u + j);
  }
}

// m (+)= the rows of one plane times one panel.
template <int R>
[[gnu::noinline]] void multiply_tile(const float* v, Index v_row, const float* panel, Index nk, Ahead next, float* m, Index m_row, bool add) {
  const float* rows[R];
  for (int r = 0; r < R; ++r) rows[r] = v + r * v_row;
  F acc[R][P::NV];
  tile_sums<P, R>(rows, panel, nk, {nk, 0}, next, acc);
  if (add) unroll<R, P::NV>([&](auto r, auto q) __attribute__((always_inline)) { acc[r][q] += F::load(m + r * m_row + q * W); });
  unroll<R, P::NV>([&](auto r, auto q) __attribute__((always_inline)) { acc[r][q].store(m + r * m_row + q * W); });
}
template <int R = tile_rows>
auto multiply_tile_of(Index rows) -> decltype(&multiply_tile<1>) {
  if constexpr (R > 1) {
    if (rows < R) return multiply_tile_of<R - 1>(rows);
  }
  return multiply_tile<R>;
}

// m[plane][tile][cols] (+)= v[plane] u[plane] over k, in parts of kc.   u: panels of NR columns, `panel` words from one to the next
void multiply_planes(const WinogradPlan& p, Index tiles, Index cols, Range k, const Planes& v, const float* u, Index panel, Index u_plane, float* m) {
  const Index row_tiles = ceil_div(tiles, MR), m_plane = plane_words(p.tiles * p.cols);
  for (Index plane = 0; plane < planes; ++plane)
    for (Index k0 = k.begin; k0 < k.end; k0 += p.kc) {
      const Index nk = min(p.kc, k.end - k0);
      for (Index j = 0; j < cols; j += NR) {
        const float* const from = u + plane * u_plane + j / NR * panel + (k0 - k.begin) * NR;
        const char* const next = reinterpret_cast<const char*>(from + panel);
        for (Index t = 0; t < row_tiles; ++t) {  // of nearly equal height: a low one waits for its sums
          const Index i = t * tiles / row_tiles, rows = (t + 1) * tiles / row_tiles - i;
          multiply_tile_of(rows)(v.data + plane * v.plane + i * v.row + k0, v.row, from, nk, {next + t * (nk / 4) * 64, 64}, m + plane * m_plane + i * p.cols + j, p.cols, k0 > 0);
        }
      }
    }
}

// y = finished Aᵀ m A.   Returns whether all sums are finite.
template <class T>
bool transform_sums(const Winograd<T>& s, const WinogradPlan& p, Range tiles, Range cols, const float* m, T* y, const Finish<T>& f) {
  const Index plane = plane_words(p.tiles * p.cols);
  F check = zero<float>();  // stays 0 as long as every sum is finite
  for (Index t = tiles.begin; t < tiles.end; ++t, m += p.cols) {
    const Index b = t / s.across() / s.down(), y0 = t / s.across() % s.down() * 4, x0 = t % s.across() * 4;
    const Index height = min(4, s.out_h - y0), width = min(4, s.out_w - x0), first = (b * s.out_h + y0) * s.out_w + x0;  // the tile's first row of y
    for (Index c = 0; c < cols.size(); c += W) {
      F sums[4][4];
      both_ways<6, 4>(lines::sums, [&](int i, int j) __attribute__((always_inline)) { return F::load(m + (6 * i + j) * plane + c); },
                      [&](int i, int j, F x) __attribute__((always_inline)) { sums[i][j] = x, check = fma(x, F(0.0f), check); });
      for (Index i = 0; i < height; ++i)
        for (Index j = 0; j < width; ++j) {
          const Index row = first + i * s.out_w + j, at = row * s.out + cols.begin + c;
          F x = sums[i][j];
          if (f.bias) x += load_as<float>(f.bias + cols.begin + c + (f.bias_group ? row / f.bias_group * f.bias_ld : 0));
          if (f.residual) x += load_as<float>(f.residual + at);
          if (f.act != Activation::none) x = activate(f.act, x);
          store_as(x, y + at);
        }
    }
  }
  return all_zero(check);
}

}  // namespace

template <class T>
void transform_pixels(const Winograd<T>& s, Range tiles, const T* zeros, const Planes& to) {
  float* v = to.data;
  for (Index t = tiles.begin; t < tiles.end; ++t, v += to.row) {
    const Index b = t / s.across() / s.down(), y0 = t / s.across() % s.down() * 4 - s.top, x0 = t % s.across() * 4 - s.left;
    const T* pixel[6][6];
    for (Index i = 0; i < 6; ++i)
      for (Index j = 0; j < 6; ++j) {
        const Index y = y0 + i, x = x0 + j;
        pixel[i][j] = y >= 0 && y < s.h && x >= 0 && x < s.w ? s.x + ((b * s.h + y) * s.w + x) * s.in : zeros;
      }
    for (Index c = 0; c < s.in; c += W)
      both_ways<6, 6>(lines::pixels, [&](int i, int j) __attribute__((always_inline)) { return load_as<float>(pixel[i][j] + c); },
                      [&](int i, int j, F x) __attribute__((always_inline)) { x.store(v + (6 * i + j) * to.plane + c); });
  }
}

template <class T>
bool winograd_pays(const Winograd<T>& s) {
  const Index pixels = s.batch * s.out_h * s.out_w;
  if (s.top > 2 || s.left > 2 || s.out_h - s.h > s.top || s.out_w - s.w > s.left) return false;  // an output that sees padding alone would see its neighbours' rounding
  return s.in % W == 0 && s.out % NR == 0 && s.in >= 32 && pixels >= 256 && s.out_h * s.out_w >= 16;
}

template <class T>
bool winograd(const Context& ctx, const Winograd<T>& s, const T* weight, bool backwards, T* y, const Finish<T>& f) {
  const WinogradPlan p = winograd_plan(s);
  const Index u_plane = plane_words(p.by_columns ? p.kc * p.cols : s.in * s.out), v_plane = plane_words(p.tiles * p.in_row);
  const Index u_words = planes * u_plane, v_words = planes * v_plane, m_words = planes * plane_words(p.tiles * p.cols);
  const Index shared_words = p.by_columns ? v_words : u_words, own_words = (p.by_columns ? u_words : v_words) + m_words;
  const Workspace w(ctx, std::size_t(s.in + shared_words + own_words * ctx.threads) * sizeof(float));
  T* const zeros = w.as<T>();
  float *const shared = w.as<float>() + s.in, *const workers = shared + shared_words;
  __builtin_memset(w.as<char>(), 0, std::size_t(s.in) * sizeof(float));
  const auto planes_at = [&](float* v) { return Planes{v, p.in_row, v_plane}; };
  std::atomic<bool> finite = true;
  if (p.by_columns) {
    parallel_for(ctx, p.tiles, [&](Index t, int) {
      Planes to = planes_at(shared);
      to.data += t * to.row;
      transform_pixels(s, Range{t, t + 1}, zeros, to);
    });
    parallel_for(ctx, ceil_div(s.out, p.cols), [&](Index task, int worker) {
      float *const u = workers + worker * own_words, *const m = u + u_words;
      const Range cols = piece(task, p.cols, s.out);
      for (Index k = 0; k < s.in; k += p.kc) {
        const Range some{k, min(k + p.kc, s.in)};
        for (Index j = 0; j < cols.size(); j += NR) transform_taps(s, weight, backwards, cols.begin + j, some, u + j * p.kc, u_plane);
        multiply_planes(p, p.tiles, cols.size(), some, planes_at(shared), u, p.kc * NR, u_plane, m);
      }
      if (!transform_sums(s, p, {0, p.tiles}, cols, m, y, f)) finite = false;
    });
    return finite;
  }
  constexpr Index block = 32;
  const Index parts = ceil_div(s.in, block);
  parallel_for(ctx, s.out / NR * parts, [&](Index task, int) {
    const Range in = piece(task % parts, block, s.in);
    const Index panel = task / parts;
    transform_taps(s, weight, backwards, panel * NR, in, shared + (panel * s.in + in.begin) * NR, u_plane);
  });
  parallel_for(ctx, ceil_div(s.tiles(), p.tiles), [&](Index task, int worker) {
    const Range tiles = piece(task, p.tiles, s.tiles());
    float *const v = workers + worker * own_words, *const m = v + v_words;
    transform_pixels(s, tiles, zeros, planes_at(v));
    for (Index j = 0; j < s.out; j += p.cols) {
      const Range cols{j, min(j + p.cols, s.out)};
      multiply_planes(p, tiles.size(), cols.size(), {0, s.in}, planes_at(v), shared + j * s.in, s.in * NR, u_plane, m);
      if (!transform_sums(s, p, tiles, cols, m, y, f)) finite = false;
    }
  });
  return finite;
}

#define SSPO_WINOGRAD(T)                                                                                  \
  template void transform_pixels(const Winograd<T>&, Range, const T*, const Planes&);                    \
  template bool winograd_pays(const Winograd<T>&);                                                       \
  template bool winograd(const Context&, const Winograd<T>&, const T*, bool, T*, const Finish<T>&);
SSPO_WINOGRAD(bf16)
#if !SSPO_BF16_ALONE
SSPO_WINOGRAD(float)
#endif

}  // namespace sspo::cpu::SSPO_ISA
