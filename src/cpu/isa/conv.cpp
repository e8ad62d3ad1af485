#include "cpu/conv.hpp"

#include "cpu/isa/conv_few_outputs.hpp"
#include "cpu/isa/conv_winograd.hpp"
#include "cpu/isa/gemm_outer.hpp"

namespace sspo::cpu::SSPO_ISA {

namespace {

// The weight as B of the data gradient: k = (tap, output channel), columns are input channels.
template <class T>
struct ConvWeights {
  const T* data;
  Index filter, in, out, kw;  // elements of one filter, channels of one group, taps along a row
  Taps down, across;

  const ConvWeights& item(Index) const { return *this; }
  const T* row(Index k) const {
    const Index t = k / out, o = k % out;
    const Index u = down.first + t / across.count * down.step, v = across.first + t % across.count * across.step;
    return data + o * filter + (u * kw + v) * in;
  }
  Runs runs(Index j0, Index n, Index k0, Index nk) const {  // up to the end of the first tap
    return {row(k0) + j0, min(nk, out - k0 % out), n * Index(sizeof(T)), filter * Index(sizeof(T))};
  }
  template <class P>
  void pack_panels(Index j0, Index n, Index k0, Index nk, typename P::Word* to) const {
    pack_panels_by_rows<P>([&](Index k) { return row(k0 + k) + j0; }, n, nk, to);
  }
};

// Every stride-th pixel of an image, as rows of C.
template <class T>
struct ConvPixels {
  T* data;  // of the first pixel
  Index grid_h, grid_w, image, down, across;  // elements from one image, row of the grid, column to the next
  ConvPixels item(Index) const { return *this; }
  T* row(Index i) const {
    const Index x = i % grid_w, y = i / grid_w % grid_h, b = i / grid_w / grid_h;
    return data + b * image + y * down + x * across;
  }
};

bool three_by_three(const ConvShape& s) {
  return s.kh == 3 && s.kw == 3 && s.stride_h * s.stride_w == 1 && s.dilation_h * s.dilation_w == 1 && s.groups == 1;
}

// By minimal filtering, where it pays? Not bf16 where a unit multiplies its matrices; f64 is for checks.
template <class T>
inline constexpr bool filtered = std::is_same_v<T, float> || (std::is_same_v<T, bf16> && !Products<bf16>::matrix_tiles);

template <class T>
void forward(const Context& ctx, const ConvArgs& a) {
  const ConvShape& s = a.shape;
  const Index ho = s.out_h(), wo = s.out_w(), in = s.in / s.groups, out = s.out / s.groups, k = s.kh * s.kw * in;
  const Size size{1, s.batch * ho * wo, out, k};
  const bool pointwise = s.kh * s.kw == 1 && s.stride_h * s.stride_w == 1 && s.top + s.bottom + s.left + s.right == 0;
  for (Index g = 0; g < s.groups; ++g) {
    const T* const x = static_cast<const T*>(a.x) + g * in;
    const Lines<T> weight{static_cast<const T*>(a.weight) + g * out * k, k, 1};
    const Rows<T> y{static_cast<T*>(a.y) + g * out, s.out};
    const auto of_group = [&](const void* p) { return p ? static_cast<const T*>(p) + g * out : nullptr; };
    Finish<T> f;
    f.bias = of_group(a.sample_bias ? a.sample_bias : a.bias);
    if (a.sample_bias) f.bias_group = ho * wo, f.bias_ld = s.out;
    f.residual = of_group(a.residual);
    f.act = a.act;
    const void* const packed =
        a.packed_weight ? static_cast<const char*>(a.packed_weight) + std::size_t(g) * packed_bytes<T>(out, k) : nullptr;
    if (pointwise) {
      multiply<T, T>(ctx, size, Lines<T>{x, s.in, 1}, weight, y, f, packed);
    } else {
      if constexpr (filtered<T>) {
        const Winograd<T> quick{s.batch, s.h, s.w, in, ho, wo, out, s.top, s.left, x};
        if (three_by_three(s) && !packed && winograd_pays(quick) && winograd(ctx, quick, weight.data, false, y.data, f)) return;
      }
      const ConvPatches<T> patches{x, s.h, s.w, s.in, in, ho, wo, forward_taps(s.kh, s.stride_h, s.top, s.dilation_h),
                                   forward_taps(s.kw, s.stride_w, s.left, s.dilation_w)};
      if constexpr (!std::is_same_v<T, double>) {
        if (a.weight && few_outputs_pay(in, out)) {  // packed or not: the same bits
          few_outputs(ctx, size, patches, weight.data, y, f);
          continue;
        }
      }
      multiply_patches<T>(ctx, size, patches, weight, y, f, packed);
    }
  }
}

template <class T>
void data_gradient(const Context& ctx, const ConvDataGradientArgs& a) {
  const ConvShape& s = a.shape;
  const Index ho = s.out_h(), wo = s.out_w(), in = s.in / s.groups, out = s.out / s.groups;
  Finish<T> f;
  f.accumulate = a.accumulate;
  if constexpr (filtered<T>) {
    const Winograd<T> quick{s.batch, ho, wo, s.out, s.h, s.w, s.in, 2 - s.top, 2 - s.left, static_cast<const T*>(a.gy)};
    if (three_by_three(s) && !a.accumulate && winograd_pays(quick) &&
        winograd(ctx, quick, static_cast<const T*>(a.weight), true, static_cast<T*>(a.gx), f))
      return;
  }
  for (Index g = 0; g < s.groups; ++g)
    for (Index r = 0; r < min(s.stride_h, s.h); ++r)
      for (Index q = 0; q < min(s.stride_w, s.w); ++q) {
        const Taps down = backward_taps(s.kh, s.stride_h, s.top, s.dilation_h, r);
        const Taps across = backward_taps(s.kw, s.stride_w, s.left, s.dilation_w, q);
        const Index grid_h = ceil_div(s.h - r, s.stride_h), grid_w = ceil_div(s.w - q, s.stride_w);
        const Size size{1, s.batch * grid_h * grid_w, in, down.count * across.count * out};
        const T* const gy = static_cast<const T*>(a.gy) + g * out;
        const ConvPatches<T> patches{gy, ho, wo, s.out, out, grid_h, grid_w, down, across};
        const ConvWeights<T> weight{static_cast<const T*>(a.weight) + g * out * s.kh * s.kw * in,
                                    s.kh * s.kw * in, in, out, s.kw, down, across};
        T* const gx = static_cast<T*>(a.gx) + (r * s.w + q) * s.in + g * in;
        if (s.stride_h * s.stride_w == 1) {
          multiply_patches<T>(ctx, size, patches, weight, Rows<T>{gx, s.in}, f);
        } else {
          const ConvPixels<T> pixels{gx, grid_h, grid_w, s.h * s.w * s.in, s.stride_h * s.w * s.in, s.stride_w * s.in};
          multiply_patches<T>(ctx, size, patches, weight, pixels, f);
        }
      }
}

// The weight's gradient as outer products: a line is a row of y, and each tap meets a run of its pixels.
struct ConvTaps {
  Index kh, kw, h, w, out_h, out_w, batch;
  Taps down, across;
  Index taps() const { return kh * kw; }
  Index lines() const { return batch * out_h; }
  Index line_positions() const { return out_w; }
  Index apart() const { return across.scale; }
  Index runs(Index tap, Range rows, OuterRun* to) const {
    const Index offset = across.at(0, tap % kw), s = across.scale;
    const Index first = max(0, ceil_div(max(0, -offset), s)), last = min(out_w, offset >= w ? 0 : (w - 1 - offset) / s + 1);  // offset + x s in [0, w)
    if (first >= last) return 0;
    Index count = 0;
    for (Index line = rows.begin; line < rows.end; ++line) {
      const Index y = down.at(line % out_h, tap / kw);
      if (y < 0 || y >= h) continue;
      const OuterRun run{line * out_w + first, (line / out_h * h + y) * w + first * s + offset, last - first};
      OuterRun* const before = count > 0 ? to + count - 1 : nullptr;
      if (before && before->a + before->count == run.a && before->b + before->count * s == run.b) before->count += run.count;
      else to[count++] = run;
    }
    return count;
  }
};

// The same with x as A and gy as B: for a picture's few channels, when y's fill registers.
struct SwappedTaps {
  const ConvTaps& of;
  Index taps() const { return of.taps(); }
  Index lines() const { return of.lines(); }
  Index line_positions() const { return of.line_positions(); }
  Index apart() const { return 1; }
  Index runs(Index tap, Range rows, OuterRun* to) const {
    const Index count = of.runs(tap, rows, to);
    for (Index i = 0; i < count; ++i) to[i] = {to[i].b, to[i].a, to[i].count};
    return count;
  }
};

template <class T, class Out>
void weight_gradient(const Context& ctx, const ConvWeightGradientArgs& a) {
  const ConvShape& s = a.shape;
  const Index ho = s.out_h(), wo = s.out_w(), in = s.in / s.groups, out = s.out / s.groups, k = s.kh * s.kw * in;
  Finish<Out> f;
  f.accumulate = a.accumulate;
  if constexpr (filtered<T>) {
    const Winograd<T> quick{s.batch, s.h, s.w, s.in, ho, wo, s.out, s.top, s.left, static_cast<const T*>(a.x)};
    if (three_by_three(s) && winograd_weight_pays(quick) &&
        winograd_weight_gradient(ctx, quick, static_cast<const T*>(a.gy), static_cast<Out*>(a.gw), a.accumulate))
      return;
  }
  if constexpr (std::is_same_v<T, float>) {
    constexpr Index W = Pack<T>::size;
    const ConvTaps taps{s.kh, s.kw, s.h, s.w, ho, wo, s.batch, forward_taps(s.kh, s.stride_h, s.top, s.dilation_h), forward_taps(s.kw, s.stride_w, s.left, s.dilation_w)};
    if (in < W && out % W == 0 && outer_pays(in, out) && s.stride_w == 1 && s.groups == 1) {
      const Workspace w(ctx, std::size_t(k * out) * sizeof(T));
      T *const turned = w.as<T>(), *const gw = static_cast<T*>(a.gw);  // [in, taps, out]
      multiply_outer<T>(ctx, Outer<T, SwappedTaps>{static_cast<const T*>(a.x), static_cast<const T*>(a.gy), in, out, in, out, SwappedTaps{taps}}, turned, k / in * out, false);
      for (Index o = 0; o < out; ++o)
        for (Index i = 0; i < k; ++i) {  // (tap, channel)
          const T g = turned[(i % in * (k / in) + i / in) * out + o];
          gw[o * k + i] = a.accumulate ? gw[o * k + i] + g : g;
        }
      return;
    }
    if (in % W == 0 && outer_pays(out, in)) {
      for (Index g = 0; g < s.groups; ++g)
        multiply_outer<T>(ctx, Outer<T, ConvTaps>{static_cast<const T*>(a.gy) + g * out, static_cast<const T*>(a.x) + g * in, s.out, s.in, out, in, taps},
                          static_cast<T*>(a.gw) + g * out * k, k, a.accumulate);
      return;
    }
  }
  for (Index g = 0; g < s.groups; ++g) {
    const Lines<T> gy{static_cast<const T*>(a.gy) + g * out, 1, s.out};
    const ConvPatches<T> x{static_cast<const T*>(a.x) + g * in, s.h, s.w, s.in, in, ho, wo,
                           forward_taps(s.kh, s.stride_h, s.top, s.dilation_h),
                           forward_taps(s.kw, s.stride_w, s.left, s.dilation_w)};
    multiply<T, Out>(ctx, {1, out, k, s.batch * ho * wo}, gy, x, Rows<Out>{static_cast<Out*>(a.gw) + g * out * k, k}, f);
  }
}

// Each task sums `chunk` pixels of a band of channels in registers; chunks are then added first to last.
template <class T, class Out>
void bias_gradient(const Context& ctx, Index pixels, Index out, const void* gy_data, void* gb_data, bool accumulate) {
  using Sum = typename Products<T>::Sum;
  constexpr Index W = Pack<Sum>::size, band = 4 * W, chunk = 512;
  const T* const gy = static_cast<const T*>(gy_data);
  Out* const gb = static_cast<Out*>(gb_data);
  const Index chunks = ceil_div(pixels, chunk);
  const Workspace w(ctx, std::size_t(max(1, chunks) * out) * sizeof(Sum));
  Sum* const partial = reinterpret_cast<Sum*>(w.as<char>());
  parallel_for(ctx, chunks, [&](Index task, int) {
    const Range p = piece(task, chunk, pixels);
    for (Index o = 0; o < out; o += band) {
      Pack<Sum> sum[4] = {zero<Sum>(), zero<Sum>(), zero<Sum>(), zero<Sum>()};
      const Index n = min(band, out - o);
      for (Index i = p.begin; i < p.end; ++i) {
        const T* const row = gy + i * out + o;
        if (n == band)
          unroll<4>([&](auto v) { sum[v] += load_as<Sum>(row + v * W); });
        else
          for (Index v = 0; v * W < n; ++v)
            sum[v] += n - v * W >= W ? load_as<Sum>(row + v * W) : load_as_n<Sum>(row + v * W, n - v * W);
      }
      for (Index v = 0; v * W < n; ++v) {
        Sum* const to = partial + task * out + o + v * W;
        n - v * W >= W ? sum[v].store(to) : sum[v].store_n(to, n - v * W);
      }
    }
  });
  sum_slices<Sum, Out>(ctx, {1, 1, out, pixels}, chunks, partial, Rows<Out>{gb, out}, [&] {
    Finish<Out> f;
    f.accumulate = accumulate;
    return f;
  }());
}

template <class T>
std::size_t packed_weight_bytes(const ConvShape& s) {
  return std::size_t(s.groups) * packed_bytes<T>(s.out / s.groups, s.kh * s.kw * s.in / s.groups);
}

template <class T>
void pack_weight(const Context& ctx, const ConvShape& s, const void* weight, void* packed) {
  const Index out = s.out / s.groups, k = s.kh * s.kw * s.in / s.groups;
  for (Index g = 0; g < s.groups; ++g) {
    char* const to = static_cast<char*>(packed) + std::size_t(g) * packed_bytes<T>(out, k);
    pack_all<T>(ctx, out, k, Lines<T>{static_cast<const T*>(weight) + g * out * k, k, 1},
                reinterpret_cast<typename Products<T>::Word*>(to));
  }
}

template <class T, class Gradient>
constexpr ConvOf conv_of{forward<T>,          data_gradient<T>,       weight_gradient<T, Gradient>,
                         bias_gradient<T, Gradient>, packed_weight_bytes<T>, pack_weight<T>};

}  // namespace

extern const ConvKernels conv_table;
#if SSPO_BF16_ALONE
const ConvKernels conv_table = {.bf16 = conv_of<bf16, bf16>, .bf16_f32 = conv_of<bf16, float>};
#else
const ConvKernels conv_table = {conv_of<float, float>, conv_of<double, double>, conv_of<bf16, bf16>, conv_of<bf16, float>};
#endif

}  // namespace sspo::cpu::SSPO_ISA
