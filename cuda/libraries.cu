// The launchers, in both worlds: plan, refuse or hand over, finish. The numbers are the libraries' (gpu/, sim/libraries.cpp).
#include "libraries.hpp"

#include <algorithm>
#include <deque>

#include "attention.hpp"
#include "copy.hpp"
#include "elementwise.hpp"
#include "sspo/base/error.hpp"
#include "sspo/ops/elementwise.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {
namespace {

void require(const library::Fit& fit, const char* op, const char* library, const std::string& got, const char* hint) {
  if (!fit) fail({.op = op, .what = std::string(library) + ": " + fit.what, .expected = fit.expected, .got = got, .hint = hint});
}

// [batch, rows, cols] without gaps, copied from any strides.
struct Packed {
  Packed(const Context& ctx, DType type, const kernels::Matrix& x, Index batch, Index batch_step, Index rows, Index cols)
      : space(ctx, std::size_t(batch * rows * cols) * size_of(type), "cublas_gemm"), matrix{space.as<void>(), cols, 1}, step(batch == 1 ? 0 : rows * cols) {
    const Shape shape{batch, rows, cols};
    copy(ctx, {const_cast<void*>(x.data), type, shape, {batch_step, x.rs, x.cs}}, {space.as<void>(), type, shape, {rows * cols, cols, 1}});
  }
  Workspace space;
  kernels::Matrix matrix;
  Index step;
};

// The op's number for elementwise().
template <class Op, class... O> constexpr int place(OpList<O...>) {
  constexpr bool is[] = {std::is_same_v<Op, O>...};
  return int(std::find(std::begin(is), std::end(is), true) - std::begin(is));
}
template <class Op> constexpr int place_of = place<Op>(ElementwiseOps{});

int op_of(Activation act) {
  switch (act) {
    case Activation::none: break;
    case Activation::relu: return place_of<Relu>;
    case Activation::silu: return place_of<Silu>;
    case Activation::gelu_erf: return place_of<GeluErf>;
    case Activation::gelu_tanh: return place_of<GeluTanh>;
    case Activation::quick_gelu: return place_of<QuickGelu>;
  }
  return -1;
}

void run(const Context& ctx, int op, std::span<const View> in, const View& out) { elementwise(ctx, op, nullptr, in, out, compute_type(out.dtype)); }

// y = act(x + bias + residual); x and y without gaps, maybe the same; terms may be absent (null), bias repeats where its strides are 0.
void finish(const Context& ctx, const View& x, const View& bias, const View& residual, Activation act, const View& y) {
  for (const View& term : {bias, residual})
    if (const View sum[] = {x, term}; term.data) run(ctx, place_of<Add>, sum, x);
  if (act != Activation::none) run(ctx, op_of(act), std::span(&x, 1), y);
}

}  // namespace

library::Fit cublas_gemm_fits(DType in, DType out, const kernels::GemmArgs& args) { return library::plan_gemm(in, out, args, false).fits; }

void cublas_gemm(const Context& ctx, DType in, DType out, const kernels::GemmArgs& args) {
  if (args.batch * args.m * args.n == 0) return;
  library::GemmPlan p = library::plan_gemm(in, out, args, ctx.tf32);
  require(p.fits, "cublas_gemm", "cuBLASLt", library::text_of(in, out, args), "--matmul own multiplies these");
  kernels::GemmArgs g = args;
  if (p.pack_a) {
    const Packed a(ctx, in, g.a, g.a_batch ? g.batch : 1, g.a_batch, g.m, g.k);
    g.a = a.matrix, g.a_batch = a.step;
    return cublas_gemm(ctx, in, out, g);
  }
  if (p.pack_b) {
    const Packed b(ctx, in, g.b, g.b_batch ? g.batch : 1, g.b_batch, g.k, g.n);
    g.b = b.matrix, g.b_batch = b.step;
    return cublas_gemm(ctx, in, out, g);
  }
  const Shape shape{args.batch * args.m, args.n};
  const Strides rows{args.n, 1}, repeated{0, 1};
  const View c{args.c, out, shape, rows};
  const Workspace sums(ctx, p.in_scratch ? std::size_t(shape.numel()) * sizeof(float) : 0, "cublas_gemm");
  const View x = p.in_scratch ? View{sums.as<void>(), DType::f32, shape, rows} : c;
  if (p.in_scratch) p.c.data = p.d.data = x.data;
  if (args.k > 0) call_cublas(ctx, p);
  else if (!args.accumulate) fill(ctx.stream, x.data, 0, std::size_t(shape.numel()) * size_of(x.dtype));  // nothing to multiply: no call
  finish(ctx, x, {const_cast<void*>(p.bias_after), out, shape, repeated}, {const_cast<void*>(p.residual_after), out, shape, rows}, p.act_after, c);
}

// --- convolutions
namespace {

void convolve(const Context& ctx, const char* op, const library::ConvPlan& p, const kernels::ConvShape& s, DType in, DType out) {
  require(p.fits, op, "cuDNN", library::text_of(s, in, out), "--conv own convolves these");
  call_cudnn(ctx, p);
}

}  // namespace

library::Fit cudnn_conv_fits(DType dtype, const kernels::ConvArgs& args) { return library::plan_conv(dtype, args, false).fits; }
library::Fit cudnn_conv_fits(DType dtype, const kernels::ConvDataGradientArgs& args) { return library::plan_conv(dtype, args, false).fits; }
library::Fit cudnn_conv_fits(DType in, DType out, const kernels::ConvWeightGradientArgs& args) { return library::plan_conv(in, out, args, false).fits; }

void cudnn_conv(const Context& ctx, DType dtype, const kernels::ConvArgs& args) {
  const kernels::ConvShape& s = args.shape;
  if (s.batch * s.out == 0) return;
  const library::ConvPlan p = library::plan_conv(dtype, args, ctx.tf32);
  convolve(ctx, "cudnn_conv", p, s, dtype, dtype);
  const Index plane = s.out_h() * s.out_w();
  const Shape shape{s.batch, plane, s.out};
  const auto view = [&](const library::Tensor4& t, const Strides& strides) { return View{const_cast<void*>(t.data), dtype, shape, strides}; };
  const Strides whole{plane * s.out, s.out, 1};
  const View y = view(p.y, whole);
  finish(ctx, y, view(p.bias_after, {args.sample_bias ? s.out : 0, 0, 1}), view(p.residual_after, whole), p.act_after, y);
}
void cudnn_conv_data_gradient(const Context& ctx, DType dtype, const kernels::ConvDataGradientArgs& args) {
  if (args.shape.batch * args.shape.in == 0) return;
  convolve(ctx, "cudnn_conv_data_gradient", library::plan_conv(dtype, args, ctx.tf32), args.shape, dtype, dtype);
}
void cudnn_conv_weight_gradient(const Context& ctx, DType in, DType out, const kernels::ConvWeightGradientArgs& args) {
  const kernels::ConvShape& s = args.shape;
  if (s.out * s.in == 0) return;
  if (s.batch == 0) {  // no pixels, no gradient
    if (!args.accumulate) fill(ctx.stream, args.gw, 0, std::size_t(s.out * s.kh * s.kw * s.in / s.groups) * size_of(out));
    return;
  }
  convolve(ctx, "cudnn_conv_weight_gradient", library::plan_conv(in, out, args, ctx.tf32), s, in, out);
}

// --- attention
namespace {

template <class Args> void require_attention(const char* op, const library::AttentionPlan& p, DType dtype, const Args& a) {
  const std::string shapes = library::text_of(dtype, a.batch, a.heads, a.queries, a.keys, a.head_dim, a.causal);
  require(p.fits, op, "cuDNN", shapes, "--attention own computes these");
}

}  // namespace

library::Fit cudnn_attention_fits(DType dtype, const kernels::AttentionArgs& args) { return library::plan_attention(dtype, args).fits; }
library::Fit cudnn_attention_fits(DType dtype, const kernels::AttentionGradArgs& args) { return library::plan_attention(dtype, args).fits; }

void cudnn_attention(const Context& ctx, DType dtype, const kernels::AttentionArgs& args) {
  if (args.batch * args.heads * args.queries == 0) return;
  if (args.mask.data) return attention(ctx, dtype, args);
  const library::AttentionPlan p = library::plan_attention(dtype, args);
  require_attention("cudnn_attention", p, dtype, args);
  call_cudnn(ctx, p);
}

void cudnn_attention_grad(const Context& ctx, DType dtype, const kernels::AttentionGradArgs& args) {
  if (args.batch * args.heads == 0) return;
  if (args.mask.data) return attention_grad(ctx, dtype, args);
  library::AttentionPlan p = library::plan_attention(dtype, args);
  require_attention("cudnn_attention_grad", p, dtype, args);
  const Workspace sums(ctx, std::size_t(p.row_sums.numel()) * sizeof(float), "cudnn_attention_grad");
  p.row_sums.data = sums.as<void>();
  std::deque<Workspace> unwanted;  // cuDNN computes all three gradients
  for (library::Tensor4* t : {&p.dq, &p.dk, &p.dv}) {
    if (t->data) continue;
    const auto [B, H, rows, D] = t->extents;
    t->steps = {rows * H * D, D, H * D, 1};
    t->data = unwanted.emplace_back(ctx, std::size_t(t->numel()) * size_of(t->type), "cudnn_attention_grad").as<void>();
  }
  call_cudnn(ctx, p);
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
