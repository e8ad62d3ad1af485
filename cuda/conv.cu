// Convolution as three products of the engine of gemm_tiles.cuh. No patch of an image is ever copied: an operand of the product says
// where in the image it lies. Groups are the batch of the product.
//
//   forward          y  = patches(x) weightᵀ    [pixels of y, taps in] x [taps in, out]
//   data gradient    gx = patches(gy) weight    one product for each residue of the stride: those pixels of x meet the same taps
//   weight gradient  gw = gyᵀ patches(x)        [out, pixels] x [pixels, taps in], in slices of pixels
#include "conv.hpp"

#include "gemm.hpp"
#include "gemm_tiles.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {
namespace {

using namespace tiles;
using kernels::ConvShape;

Index least(Index a, Index b) { return a < b ? a : b; }

// The taps along one axis that meet an output position q: tap first + i step of the weight, at input position
// q scale + offset + i apart, for i < count.
struct Taps {
  int count = 0, first = 0, step = 1, scale = 1, offset = 0, apart = 0;
};

Taps forward_taps(Index kernel, Index stride, Index pad, Index dilation) {
  return {int(kernel), 0, 1, int(stride), int(-pad), int(dilation)};
}

// The data gradient: position p = r + q stride of x met y's position o through tap u if p + pad = o stride + u dilation. For each
// residue r those u are equally far apart, and from one to the next o falls by the same.
Taps backward_taps(Index kernel, Index stride, Index pad, Index dilation, Index r) {
  Index step = 1, first = 0;
  while (step * dilation % stride != 0) ++step;
  while (first < step && (r + pad - first * dilation) % stride != 0) ++first;
  if (first == step || first >= kernel) return {};
  const Index count = ceil_div(kernel - first, step), offset = (r + pad - first * dilation) / stride;
  return {int(count), int(first), int(step), 1, int(offset), int(-step * dilation / stride)};
}

// What the taps see of images [batch, h, w, pixel] from the positions of a grid [batch, grid_h, grid_w]: zero outside the image.
template <class T> struct Images {
  const T* data;
  int h, w;
  Index pixel, group;  // elements from one pixel, one group of channels, to the next
  Divisor grid_h, grid_w, channels, taps_across;
  Taps down, across;

  struct Position {
    const T* image;
    int y, x;
  };
  struct Tap {
    int y, x, channel;
  };
  SSPO_DEVICE Position position(int i) const {
    const int line = grid_w.quotient(i), b = grid_h.quotient(line);
    return {data + Index(b) * h * w * pixel, grid_h.remainder(line, b) * down.scale + down.offset,
            grid_w.remainder(i, line) * across.scale + across.offset};
  }
  SSPO_DEVICE Tap tap(int k) const {
    const int t = channels.quotient(k), u = taps_across.quotient(t);
    return {u * down.apart, taps_across.remainder(t, u) * across.apart, channels.remainder(k, t)};
  }
  SSPO_DEVICE const T* seen(const Position& p, const Tap& t) const {
    const int y = p.y + t.y, x = p.x + t.x;
    return unsigned(y) < unsigned(h) && unsigned(x) < unsigned(w) ? p.image + Index(y * w + x) * pixel + t.channel : nullptr;
  }
};

// As A: lines are positions, k = (tap, channel). As B of the weight gradient: lines are (tap, channel), k = position.
template <class T_, Way way_> struct Patches : Images<T_> {
  using T = T_;
  static constexpr Way way = way_;
  using Line = std::conditional_t<way == Way::k, typename Images<T>::Position, typename Images<T>::Tap>;
  using Depth = std::conditional_t<way == Way::k, typename Images<T>::Tap, typename Images<T>::Position>;
  bool wide;
  SSPO_DEVICE Patches item(int g) const {
    Patches p = *this;
    p.data += g * this->group;
    return p;
  }
  SSPO_DEVICE bool along_k() const { return way == Way::k; }
  SSPO_DEVICE Line line(int i) const {
    if constexpr (way == Way::k) return this->position(i);
    else return this->tap(i);
  }
  SSPO_DEVICE Depth depth(int k) const {
    if constexpr (way == Way::k) return this->tap(k);
    else return this->position(k);
  }
  SSPO_DEVICE const T* at(const Line& l, const Depth& d) const {
    if constexpr (way == Way::k) return this->seen(l, d);
    else return this->seen(d, l);
  }
};

// The weight as B of the data gradient: lines are input channels, k = (tap, output channel).
template <class T_> struct TurnedWeight {
  using T = T_;
  using Line = int;
  using Depth = const T*;
  static constexpr Way way = Way::lines;
  const T* data;
  Index filter, in, group, kw;  // elements of one filter, channels of a group, elements of a group's filters, taps of a filter's row
  Divisor out, taps_across;
  Taps down, across;
  bool wide;
  SSPO_DEVICE TurnedWeight item(int g) const {
    TurnedWeight p = *this;
    p.data += g * group;
    return p;
  }
  SSPO_DEVICE bool along_k() const { return way == Way::k; }
  SSPO_DEVICE Line line(int i) const { return i; }
  SSPO_DEVICE Depth depth(int k) const {
    const int t = out.quotient(k), tap_u = taps_across.quotient(t), tap_v = taps_across.remainder(t, tap_u);
    const Index u = down.first + tap_u * down.step, v = across.first + tap_v * across.step;
    return data + out.remainder(k, t) * filter + (u * kw + v) * in;
  }
  SSPO_DEVICE const T* at(Line l, Depth d) const { return d + l; }
};

struct Plane {
  Index h, w;
};
template <class T> Images<T> images(const void* data, Plane image, Index pixel, Index channels, Plane grid, const Taps& down, const Taps& across) {
  return {static_cast<const T*>(data), int(image.h), int(image.w), pixel, channels, Divisor(grid.h), Divisor(grid.w), Divisor(channels),
          Divisor(across.count), down, across};
}
template <class T> Images<T> forward_images(const ConvShape& s, const void* x) {
  return images<T>(x, {s.h, s.w}, s.in, s.in / s.groups, {s.out_h(), s.out_w()}, forward_taps(s.kh, s.stride_h, s.top, s.dilation_h),
                   forward_taps(s.kw, s.stride_w, s.left, s.dilation_w));
}
template <class T> bool wide_pixels(const void* data, Index pixel, Index channels) {
  return aligned(data, 16) && pixel % chunk<T> == 0 && channels % chunk<T> == 0;
}

// On the tiles for T, under the name of the kernel that it takes.
template <class T, class A, class B, class R>
void multiply_on_tiles(const Context& ctx, const char* simt, const char* mma, const Size& s, const A& a, const B& b, const R& r) {
  if constexpr (std::is_same_v<T, double>) {
    multiply<SimtF64, SimtF64>(ctx, simt, s, a, b, r);
  } else if constexpr (std::is_same_v<T, bf16>) {
    multiply<MmaBf16, MmaBf16Small>(ctx, mma, s, a, b, r);
  } else {
    if (ctx.tf32) multiply<MmaTf32, MmaTf32Small>(ctx, mma, s, a, b, r);
    else multiply<SimtF32, SimtF32Small>(ctx, simt, s, a, b, r);
  }
}

bool pointwise(const ConvShape& s) {  // a plain product of matrices
  return s.kh * s.kw == 1 && s.stride_h * s.stride_w == 1 && s.top + s.bottom + s.left + s.right == 0 && s.groups == 1;
}

// Positions in an image, and taps, are ints.
void check_shape(const char* op, const ConvShape& s) {
  const Index most = 0x7fffff00;
  if (s.h * s.w > most || s.batch * s.out_h() * s.out_w() > most || s.batch * s.h * s.w > most)
    fail({.op = op, .what = "too many pixels for one launch", .expected = "fewer than 2^31 pixels",
          .got = std::to_string(s.batch) + " images of " + std::to_string(s.h) + " x " + std::to_string(s.w), .hint = "cut the batch"});
}

template <class T> void forward(const Context& ctx, const kernels::ConvArgs& a) {
  using Sum = typename SumOf<T>::type;
  const ConvShape& s = a.shape;
  const Index image = s.out_h() * s.out_w(), pixels = s.batch * image, in = s.in / s.groups, out = s.out / s.groups, k = s.kh * s.kw * in;
  if (pointwise(s) && !a.sample_bias)
    return gemm(ctx, dtype_of<T>, dtype_of<T>,
                {.m = pixels, .n = out, .k = k, .a = {a.x, in, 1}, .b = {a.weight, 1, k}, .c = a.y, .ldc = out, .bias = a.bias,
                 .residual = a.residual, .act = a.act});
  const Patches<T, Way::k> patches{forward_images<T>(s, a.x), wide_pixels<T>(a.x, s.in, in)};
  const Matrix<T, Way::k> weight{static_cast<const T*>(a.weight), k, 1, out * k, wide_pixels<T>(a.weight, k, k), true};
  Result<T> y{.c = static_cast<T*>(a.y), .rows = {.image = s.out}, .batch = out};
  y.bias = static_cast<const T*>(a.sample_bias ? a.sample_bias : a.bias), y.bias_batch = out;
  if (a.sample_bias) y.bias_ld = s.out, y.bias_rows = Divisor(image);
  y.residual = static_cast<const T*>(a.residual), y.act = a.act;
  y.set_wide(chunk<Sum>, out);
  multiply_on_tiles<T>(ctx, "conv_simt", "conv_mma", {s.groups, pixels, out, k}, patches, weight, y);
}

template <class T> void data_gradient(const Context& ctx, const kernels::ConvDataGradientArgs& a) {
  using Sum = typename SumOf<T>::type;
  const ConvShape& s = a.shape;
  const Index ho = s.out_h(), wo = s.out_w(), in = s.in / s.groups, out = s.out / s.groups, filter = s.kh * s.kw * in;
  if (pointwise(s))
    return gemm(ctx, dtype_of<T>, dtype_of<T>,
                {.m = s.batch * ho * wo, .n = in, .k = out, .a = {a.gy, out, 1}, .b = {a.weight, in, 1}, .c = a.gx, .ldc = in,
                 .accumulate = a.accumulate});
  for (Index r = 0; r < least(s.stride_h, s.h); ++r)
    for (Index q = 0; q < least(s.stride_w, s.w); ++q) {
      const Taps down = backward_taps(s.kh, s.stride_h, s.top, s.dilation_h, r);
      const Taps across = backward_taps(s.kw, s.stride_w, s.left, s.dilation_w, q);
      const Index grid_h = ceil_div(s.h - r, s.stride_h), grid_w = ceil_div(s.w - q, s.stride_w);
      const Patches<T, Way::k> patches{images<T>(a.gy, {ho, wo}, s.out, out, {grid_h, grid_w}, down, across),
                                       wide_pixels<T>(a.gy, s.out, out)};
      const TurnedWeight<T> weight{static_cast<const T*>(a.weight), filter, in, out * filter, s.kw, Divisor(out), Divisor(across.count),
                                   down, across, wide_pixels<T>(a.weight, in, in)};
      const Rows every_stride{s.h * s.w * s.in, s.stride_h * s.w * s.in, s.stride_w * s.in, Divisor(grid_w), Divisor(grid_h)};
      Result<T> gx{.c = static_cast<T*>(a.gx) + (r * s.w + q) * s.in, .rows = every_stride, .batch = in, .accumulate = a.accumulate};
      gx.set_wide(chunk<Sum>, in);
      multiply_on_tiles<T>(ctx, "conv_data_gradient_simt", "conv_data_gradient_mma",
                           {s.groups, s.batch * grid_h * grid_w, in, Index(down.count) * across.count * out}, patches, weight, gx);
    }
}

template <class T, class Out> void weight_gradient(const Context& ctx, const kernels::ConvWeightGradientArgs& a) {
  using Sum = typename SumOf<T>::type;
  const ConvShape& s = a.shape;
  const Index pixels = s.batch * s.out_h() * s.out_w(), in = s.in / s.groups, out = s.out / s.groups, k = s.kh * s.kw * in;
  if (pointwise(s))
    return gemm(ctx, dtype_of<T>, dtype_of<Out>,
                {.m = out, .n = in, .k = pixels, .a = {a.gy, 1, out}, .b = {a.x, in, 1}, .c = a.gw, .ldc = in, .accumulate = a.accumulate});
  const Matrix<T, Way::lines> gy{static_cast<const T*>(a.gy), 1, s.out, out, wide_pixels<T>(a.gy, s.out, out), false};
  const Patches<T, Way::lines> patches{forward_images<T>(s, a.x), wide_pixels<T>(a.x, s.in, in)};
  Result<Out> gw{.c = static_cast<Out*>(a.gw), .rows = {.image = k}, .batch = out * k, .accumulate = a.accumulate};
  gw.set_wide(chunk<Sum>, k);
  multiply_on_tiles<T>(ctx, "conv_weight_gradient_simt", "conv_weight_gradient_mma", {s.groups, out, k, pixels}, gy, patches, gw);
}

// partial[c, o] = Σ gy[p, o] over the pixels p of chunk c; add_slices adds the chunks, first to last.
// Owns:  block = one chunk of pixels, 256 / ROWS threads side by side with V channels each; row r of them takes every ROWS-th pixel.
// Costs: gy read once.   Needs: ROWS rows of sums in shared memory, added in order.
template <class T, int V, int ROWS>
__global__ void __launch_bounds__(256) column_sums(const T* gy, typename SumOf<T>::type* partial, Index pixels, Index out, Index chunk_pixels) {
  using Sum = typename SumOf<T>::type;
  constexpr int across = 256 / ROWS, channels = across * V;
  SSPO_SHARED(Sum, part, [ROWS][channels + 1]);
  const int t = int(threadIdx.x), row = t / across, bands = int(ceil_div(out, channels));
  const Index c = blockIdx.x / unsigned(bands), first = Index(blockIdx.x % unsigned(bands)) * channels, mine = first + t % across * V;
  const Index end = (c + 1) * chunk_pixels < pixels ? (c + 1) * chunk_pixels : pixels;
  Sum sum[V] = {};
  if (mine < out)
    for (Index p = c * chunk_pixels + row; p < end; p += ROWS) {
      T x[V];
      if constexpr (V > 1) read_pack(gy + p * out + mine, x);
      else x[0] = gy[p * out + mine];
#pragma unroll
      for (int e = 0; e < V; ++e) sum[e] += widened(x[e]);
    }
#pragma unroll
  for (int e = 0; e < V; ++e) part[row][t % across * V + e] = sum[e];
  __syncthreads();
  if (t >= channels || first + t >= out) return;
  Sum all = 0;
  for (int r = 0; r < ROWS; ++r) all += part[r][t];
  partial[c * out + first + t] = all;
}

template <class T, class Out> void bias_gradient(const Context& ctx, Index pixels, Index out, const void* gy, void* gb) {
  using Sum = typename SumOf<T>::type;
  if (out == 0) return;
  const bool wide = wide_pixels<T>(gy, out, out);
  const Index bands = ceil_div(out, wide ? 8 * chunk<T> : 32);  // of the channels of one block: 128 bytes, or 32 channels
  const Index chunks = pixels <= 256 ? 1 : least(ceil_div(2 * blocks_enough, bands), ceil_div(pixels, 256));
  const Index chunk_pixels = ceil_div(pixels, chunks);
  const Workspace partial(ctx, std::size_t(chunks * out) * sizeof(Sum), "conv_bias_gradient");
  const LaunchPlan plan{.kernel = "conv_bias_gradient", .grid = {grid_x(bands * chunks)}, .block = {256}};
  Sum* const sums = partial.template as<Sum>();
  const T* const from = static_cast<const T*>(gy);
  if (wide) launch(ctx.stream, plan, column_sums<T, chunk<T>, 32>, from, sums, pixels, out, chunk_pixels);
  else launch(ctx.stream, plan, column_sums<T, 1, 8>, from, sums, pixels, out, chunk_pixels);
  Result<Out> to{.c = static_cast<Out*>(gb), .rows = {.image = out}, .m = 1, .n = int(out)};
  to.set_wide(chunk<Sum>, out);
  add_slices_to(ctx, static_cast<const Sum*>(sums), int(chunks), 1, to);
}

// use(T{}) for the type of the arguments; use(T{}, Out{}) with that of the gradients of weight and bias.
template <class F> void with_type(const char* op, DType t, F&& use) {
  if (t == DType::f32) return use(float{});
  if (t == DType::f64) return use(double{});
  if (t == DType::bf16) return use(bf16{});
  fail({.op = op, .what = "no kernel for this type", .expected = "f32, f64 or bf16", .got = std::string(name_of(t)), .hint = "cast the arguments"});
}
template <class F> void with_types(const char* op, DType in, DType out, F&& use) {
  if (in == DType::f32 && out == in) return use(float{}, float{});
  if (in == DType::f64 && out == in) return use(double{}, double{});
  if (in == DType::bf16 && out == in) return use(bf16{}, bf16{});
  if (in == DType::bf16 && out == DType::f32) return use(bf16{}, float{});
  fail({.op = op, .what = "no kernel for these types", .expected = "f32 -> f32, f64 -> f64, bf16 -> bf16 or bf16 -> f32",
        .got = std::string(name_of(in)) + " -> " + std::string(name_of(out)), .hint = "cast the arguments"});
}

}  // namespace

void conv(const Context& ctx, DType dtype, const kernels::ConvArgs& args) {
  check_shape("conv", args.shape);
  with_type("conv", dtype, [&](auto t) { forward<decltype(t)>(ctx, args); });
}
void conv_data_gradient(const Context& ctx, DType dtype, const kernels::ConvDataGradientArgs& args) {
  check_shape("conv_data_gradient", args.shape);
  with_type("conv_data_gradient", dtype, [&](auto t) { data_gradient<decltype(t)>(ctx, args); });
}
void conv_weight_gradient(const Context& ctx, DType in, DType out, const kernels::ConvWeightGradientArgs& args) {
  check_shape("conv_weight_gradient", args.shape);
  with_types("conv_weight_gradient", in, out, [&](auto t, auto g) { weight_gradient<decltype(t), decltype(g)>(ctx, args); });
}
void conv_bias_gradient(const Context& ctx, DType in, DType out, Index pixels, Index out_channels, const void* gy, void* gb) {
  with_types("conv_bias_gradient", in, out, [&](auto t, auto g) { bias_gradient<decltype(t), decltype(g)>(ctx, pixels, out_channels, gy, gb); });
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
