// What a call of cuBLASLt or cuDNN says, worked out from the arguments of our own kernels. Host code alone, and one text for both
// worlds: what cuda-sim checks and computes is what the GPU's call is made of.
//   const GemmPlan p = plan_gemm(DType::bf16, DType::bf16, args, false);   if (!p.fits) ... p.fits.what
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "kernels/attention.hpp"
#include "kernels/conv.hpp"
#include "kernels/gemm.hpp"
#include "sspo/base/dtype.hpp"

namespace sspo::cuda::library {

// Whether a library can do what is asked; if not, what stands in the way, and what it asks for.
struct Fit {
  std::string what = {}, expected = {};
  explicit operator bool() const { return what.empty(); }
};

inline constexpr Index largest_extent = 0x7fffffff;                   // the libraries' kernels count in 32 bits
inline constexpr std::size_t most_workspace = std::size_t(32) << 20;  // of cuBLASLt, bytes: what NVIDIA advises for Hopper

// The largest power of two that p is a multiple of, `most` at most.
inline Index alignment_of(const void* p, Index most = 16) {
  const auto address = std::uintptr_t(p);
  return address ? std::min<Index>(Index(address & (~address + 1)), most) : most;
}

inline std::string text_of(DType t) { return std::string(name_of(t)); }
inline std::string joined(std::initializer_list<Index> extents) {
  std::string s = "[";
  for (Index e : extents) s += (s.size() > 1 ? ", " : "") + std::to_string(e);
  return s + "]";
}

// --- matrix products: D = act(alpha op(A) op(B) + beta C + bias) by columns, as cuBLASLt has it. Our rows are its columns:
// Cᵀ = Bᵀ Aᵀ, so that its A is our B. Bias: one for each row of D.

// Element (i, j) is data[i + j * ld]; op(): the matrix, or its transpose.
struct Columns {
  const void* data = nullptr;
  Index rows = 0, cols = 0, ld = 0;
  Index batch_step = 0;  // elements; 0: shared
  bool transposed = false;
};

struct GemmPlan {
  Fit fits = {};
  DType in = DType::f32, out = DType::f32;  // of A and B; of C, D and bias
  bool tf32 = false;
  Index batch = 1;
  Columns a = {}, b = {}, c = {}, d = {};   // C is read where beta is not 0; it is D itself, or laid out like it
  double alpha = 1, beta = 0;
  const void* bias = nullptr;               // in the product's epilogue, as is act: none, relu or gelu_tanh
  Activation act = Activation::none;
  const void *bias_after = nullptr, *residual_after = nullptr;  // what the library has no epilogue for, our elementwise kernels do
  Activation act_after = Activation::none;                      // to D afterwards
  bool in_scratch = false;                  // D is f32 scratch [batch * m, n]: C is rounded to bf16 once, after the epilogue
  bool pack_a = false, pack_b = false;      // no leading dimension expresses our A or B: it is copied to rows without gaps first
};

// op(X) is [rows, cols], element (i, j) at i * row_step + j * col_step. False: no leading dimension says so.
inline bool as_columns(Columns& x, const void* data, Index rows, Index cols, Index row_step, Index col_step, Index batch_step) {
  const Columns plain{data, rows, cols, cols == 1 ? rows : col_step, batch_step, false};
  const Columns turned{data, cols, rows, rows == 1 ? cols : row_step, batch_step, true};
  const bool plain_fits = (rows == 1 || row_step == 1) && plain.ld >= rows, turned_fits = (cols == 1 || col_step == 1) && turned.ld >= cols;
  x = plain_fits && (row_step == 1 || !turned_fits) ? plain : turned;
  return plain_fits || turned_fits;
}

inline std::string text_of(DType in, DType out, const kernels::GemmArgs& g) {
  const auto matrix = [&](const char* name, Index rows, Index cols, const kernels::Matrix& m, Index batch) {
    return std::string(name) + joined({rows, cols}) + " of strides " + joined({batch, m.rs, m.cs});
  };
  const std::string extras = std::string(g.bias ? ", bias" : "") + (g.residual ? ", residual" : "") + (g.accumulate ? ", accumulate" : "");
  return matrix("A ", g.m, g.k, g.a, g.a_batch) + " and " + matrix("B ", g.k, g.n, g.b, g.b_batch) + " " + text_of(in) + " -> " +
         joined({g.batch, g.m, g.n}) + " " + text_of(out) + ", rows " + std::to_string(g.ldc) + " apart" + extras;
}

inline GemmPlan plan_gemm(DType in, DType out, const kernels::GemmArgs& g, bool tf32) {
  GemmPlan p{.in = in, .out = out, .tf32 = tf32 && in == DType::f32, .batch = g.batch, .alpha = g.alpha};
  Index m = g.m;
  // A batch that shares B and follows on without a gap is one tall matrix.
  if (g.batch > 1 && g.b_batch == 0 && g.a_batch == g.m * g.a.rs && g.c_batch == g.m * g.ldc) p.batch = 1, m = g.batch * g.m;
  const Index a_batch = p.batch == 1 ? 0 : g.a_batch, b_batch = p.batch == 1 ? 0 : g.b_batch, c_batch = p.batch == 1 ? 0 : g.c_batch;
  p.pack_b = !as_columns(p.a, g.b.data, g.n, g.k, g.b.cs, g.b.rs, b_batch);
  p.pack_a = !as_columns(p.b, g.a.data, g.k, m, g.a.cs, g.a.rs, a_batch);
  p.d = {g.c, g.n, m, m == 1 ? g.n : g.ldc, c_batch, false};
  const bool has_act = g.act == Activation::none || g.act == Activation::relu || g.act == Activation::gelu_tanh;
  p.in_scratch = out == DType::bf16 && !has_act;
  const bool has_epilogue = out != DType::f64 && g.k > 0 && !p.in_scratch;
  (has_epilogue ? p.bias : p.bias_after) = g.bias;
  (has_epilogue && has_act ? p.act : p.act_after) = g.act;
  if (g.k == 0 || p.in_scratch) p.residual_after = g.residual;
  if (p.in_scratch) p.out = DType::f32, p.d = {nullptr, g.n, m, g.n, p.batch == 1 ? 0 : m * g.n, false};
  p.c = p.d;
  p.beta = g.accumulate || (g.residual && !p.residual_after) ? 1 : 0;
  if (p.beta != 0 && g.residual) p.c.data = g.residual;

  const auto are = [&](DType i, DType o) { return in == i && out == o; };
  if (!are(DType::f32, DType::f32) && !are(DType::f64, DType::f64) && !are(DType::bf16, DType::bf16) && !are(DType::bf16, DType::f32))
    p.fits = {"no product of these types", "f32 -> f32, f64 -> f64, bf16 -> bf16 or bf16 -> f32"};
  else if (g.accumulate && g.residual) p.fits = {"it adds one matrix to a product, not two", "accumulate or a residual"};
  else if (g.accumulate && g.act != Activation::none) p.fits = {"it adds a matrix before the activation, not after it", "accumulate without activation"};
  else if (std::max({p.batch, m, g.n, g.k}) > largest_extent) p.fits = {"an extent is too large", "extents below 2^31"};
  else if (m > 1 && g.ldc < g.n) p.fits = {"rows of C overlap", "ldc of n or more"};
  else if ((g.k == 0 || p.bias_after || p.act_after != Activation::none) && ((m > 1 && g.ldc != g.n) || (p.batch > 1 && c_batch != m * g.n)))
    p.fits = {"an epilogue that cuBLASLt does not have, on rows with gaps", "C contiguous"};
  return p;
}

// --- convolutions, as cuDNN has them: tensors of four extents with any steps, ours channels last.

struct Tensor4 {
  const void* data = nullptr;                     // null: there is none
  DType type = DType::f32;
  std::array<Index, 4> extents = {}, steps = {};  // elements
  bool by_value = false;                          // no memory of the device: one number, handed over with the call
  float number = 0;
  const void* address() const { return by_value ? &number : data; }
  Index numel() const { return extents[0] * extents[1] * extents[2] * extents[3]; }
};

// [n, c, h, w], of which c lies innermost, then w, h, n, without gaps.
inline Tensor4 channels_last(const void* data, DType type, Index n, Index c, Index h, Index w) {
  return {data, type, {n, c, h, w}, {h * w * c, 1, w * c, c}};
}

enum class ConvTask { forward, data_gradient, weight_gradient };
struct ConvPlan {
  Fit fits = {};
  ConvTask task = ConvTask::forward;
  Tensor4 x = {}, w = {}, y = {};                // [B, in, h, w], [out, in / groups, kh, kw], [B, out, h', w']: the task writes one
  std::array<Index, 2> before = {}, after = {}, stride = {}, dilation = {};
  bool tf32 = false;
  double beta = 0;                               // of what was there before, for gradients
  Tensor4 residual = {}, bias = {};              // y = conv + residual + bias [1, out, 1, 1], in the convolution's epilogue
  Tensor4 residual_after = {}, bias_after = {};  // what cuDNN's ready-made kernels do not fuse, our elementwise kernels do to y
  Activation act_after = Activation::none;       // afterwards; bias_after is [1 or B, out, 1, 1]

  // What a call hands over, in the order of its pointers.
  std::vector<const Tensor4*> tensors() const {
    std::vector<const Tensor4*> all = {&x, &w, &y};
    for (const Tensor4* t : {&residual, &bias})
      if (t->data) all.push_back(t);
    return all;
  }
  DType sum() const { return x.type == DType::f64 ? DType::f64 : DType::f32; }
};

inline std::string text_of(const kernels::ConvShape& s, DType in, DType out) {
  const std::string weight = joined({s.out, s.kh, s.kw, s.in / std::max<Index>(s.groups, 1)});
  return "x " + joined({s.batch, s.h, s.w, s.in}) + " " + text_of(in) + ", weight " + weight + " " + text_of(out) + ", stride " +
         joined({s.stride_h, s.stride_w}) + ", dilation " + joined({s.dilation_h, s.dilation_w}) + ", padding " +
         joined({s.top, s.bottom, s.left, s.right}) + ", groups " + std::to_string(s.groups);
}

inline ConvPlan plan_conv(ConvTask task, DType in, DType out, const kernels::ConvShape& s, const void* x, const void* w, const void* y,
                          bool accumulate, bool tf32) {
  ConvPlan p;
  p.task = task, p.tf32 = tf32 && in == DType::f32, p.beta = accumulate ? 1 : 0;
  const bool typed = (in == DType::f32 || in == DType::f64 || in == DType::bf16) && out == in;
  const Index largest = std::max({s.batch, s.h, s.w, s.in, s.out, s.kh, s.kw, s.out_h(), s.out_w()});
  if (!typed) p.fits = {"no convolution of these types", "f32, f64 or bf16, gradients of the same type"};
  else if (s.groups < 1 || s.in % s.groups || s.out % s.groups) p.fits = {"the groups do not divide the channels", "a divisor of both"};
  else if (std::min(s.out_h(), s.out_w()) < 1) p.fits = {"the kernel is larger than the padded image", "1 pixel or more that comes out"};
  else if (largest > largest_extent) p.fits = {"an extent is too large", "extents below 2^31"};
  if (!p.fits) return p;
  p.x = channels_last(x, in, s.batch, s.in, s.h, s.w);
  p.w = channels_last(w, in, s.out, s.in / s.groups, s.kh, s.kw);
  p.y = channels_last(y, in, s.batch, s.out, s.out_h(), s.out_w());
  p.before = {s.top, s.left}, p.after = {s.bottom, s.right}, p.stride = {s.stride_h, s.stride_w}, p.dilation = {s.dilation_h, s.dilation_w};
  return p;
}
inline ConvPlan plan_conv(DType type, const kernels::ConvArgs& a, bool tf32) {
  const kernels::ConvShape& s = a.shape;
  ConvPlan p = plan_conv(ConvTask::forward, type, type, s, a.x, a.weight, a.y, false, tf32);
  const bool on_tensor_cores = type == DType::bf16 || (type == DType::f32 && tf32), one_bias = a.bias && !a.sample_bias;
  const bool fuses = on_tensor_cores && one_bias;  // a bias, and a residual with it; a residual alone is not
  (fuses ? p.bias : p.bias_after) = channels_last(a.sample_bias ? a.sample_bias : a.bias, type, a.sample_bias ? s.batch : 1, s.out, 1, 1);
  Tensor4& residual = fuses ? p.residual : p.residual_after;
  residual = p.y, residual.data = a.residual;
  p.act_after = a.act;
  return p;
}
inline ConvPlan plan_conv(DType type, const kernels::ConvDataGradientArgs& a, bool tf32) {
  return plan_conv(ConvTask::data_gradient, type, type, a.shape, a.gx, a.weight, a.gy, a.accumulate, tf32);
}
inline ConvPlan plan_conv(DType in, DType out, const kernels::ConvWeightGradientArgs& a, bool tf32) {
  return plan_conv(ConvTask::weight_gradient, in, out, a.shape, a.x, a.gw, a.gy, a.accumulate, tf32);
}

// --- attention, as cuDNN has it: heads before rows, the keys transposed by their steps.

// Heads [B, H, rows, D]; and the same memory as [B, H, D, rows].
template <class H> Tensor4 heads_of(const H& x, DType type, Index batch, Index heads, Index rows, Index head_dim) {
  const auto step = [](Index extent, Index given, Index packed) { return extent == 1 ? packed : given; };
  const Index row = step(rows, x.strides.row, heads * head_dim);
  return {x.data, type, {batch, heads, rows, head_dim}, {step(batch, x.strides.batch, rows * row), step(heads, x.strides.head, head_dim), row, 1}};
}
inline Tensor4 turned(Tensor4 x) {
  std::swap(x.extents[2], x.extents[3]);
  std::swap(x.steps[2], x.steps[3]);
  return x;
}

struct AttentionPlan {
  Fit fits = {};
  bool backward = false, causal = false;
  Tensor4 q = {}, k_turned = {}, v = {}, o = {};               // [B, H, N, D], [B, H, D, M], [B, H, M, D], [B, H, N, D]
  Tensor4 lse = {};                                            // [B, H, N, 1], f32
  Tensor4 v_turned = {}, d_o = {}, dq = {}, dk = {}, dv = {};  // backward; gradients without data are not wanted
  Tensor4 row_sums = {};                                       // [B, H, N, 1] of dO O: scratch of the backward pass
  Tensor4 scale = {}, hidden = {}, one = {};                   // by value; hidden: the score of a key that is not seen

  std::vector<const Tensor4*> tensors() const {
    std::vector<const Tensor4*> all = {&q, &k_turned, &o, &scale};
    const auto add = [&](std::initializer_list<const Tensor4*> more) { all.insert(all.end(), more); };
    if (backward) add({&v_turned, &d_o, &lse, &dq, &dk, &dv, &row_sums, &one});
    else add({&v});
    if (!backward && lse.data) add({&lse});
    if (causal) add({&hidden});
    return all;
  }
};

inline std::string text_of(DType type, Index batch, Index heads, Index queries, Index keys, Index head_dim, bool causal) {
  return "q " + joined({batch, queries, heads, head_dim}) + ", k and v " + joined({batch, keys, heads, head_dim}) + " " + text_of(type) +
         (causal ? ", causal" : "");
}

// Its engines bring heads in pieces of 16 bytes.
inline Fit aligned(std::initializer_list<const Tensor4*> heads) {
  for (const Tensor4* t : heads) {
    if (!t->data) continue;
    if (alignment_of(t->data) < 16) return {"heads that are not aligned", "addresses of multiples of 16 bytes"};
    for (std::size_t i = 0; i < 4; ++i)
      if (t->extents[i] > 1 && t->steps[i] != 1 && (t->steps[i] % 8 || t->steps[i] == 0))
        return {"heads that are repeated or not aligned", "strides of multiples of 8 elements, not 0"};
  }
  return {};
}

// What both passes share. Causal attention alone: nothing says what cuDNN makes of a query whose every key a mask hides (its own issues
// tell of NaN: cudnn-frontend 160, 262; pytorch 196678), and here such a query has O and gradients of 0.
template <class Args> AttentionPlan plan_both(DType type, const Args& a, Index largest_head) {
  AttentionPlan p;
  p.causal = a.causal;
  const Index B = a.batch, H = a.heads, N = a.queries, M = a.keys, D = a.head_dim;
  if (type != DType::bf16) p.fits = {"no attention on this type", "bf16"};
  else if (D % 8 || D > largest_head) p.fits = {"attention with heads of this size", "a multiple of 8, " + std::to_string(largest_head) + " at most"};
  else if (a.mask.data) p.fits = {"attention with a mask", "none, or causal"};
  else if (N == 0 || M == 0) p.fits = {"attention without queries or keys", "1 of each or more"};
  else if (std::max({B, H, N, M}) > largest_extent) p.fits = {"an extent is too large", "extents below 2^31"};
  if (!p.fits) return p;
  p.q = heads_of(a.q, type, B, H, N, D), p.k_turned = turned(heads_of(a.k, type, B, H, M, D));
  p.v = heads_of(a.v, type, B, H, M, D), p.o = heads_of(a.o, type, B, H, N, D);
  p.lse = {a.lse, DType::f32, {B, H, N, 1}, {H * N, N, 1, 1}};
  const auto number = [](float x) { return Tensor4{nullptr, DType::f32, {1, 1, 1, 1}, {1, 1, 1, 1}, true, x}; };
  p.scale = number(float(a.scale)), p.hidden = number(std::numeric_limits<float>::lowest()), p.one = number(1);
  p.fits = aligned({&p.q, &p.v, &p.k_turned, &p.o});
  return p;
}
inline AttentionPlan plan_attention(DType type, const kernels::AttentionArgs& a) { return plan_both(type, a, 512); }
inline AttentionPlan plan_attention(DType type, const kernels::AttentionGradArgs& a) {
  AttentionPlan p = plan_both(type, a, 256);  // 128 before compute capability 9.0: there cuDNN itself says so
  p.backward = true;
  if (!p.fits) return p;
  const Index B = a.batch, H = a.heads, N = a.queries, M = a.keys, D = a.head_dim;
  p.v_turned = turned(p.v), p.d_o = heads_of(a.d_o, type, B, H, N, D);
  p.dq = heads_of(a.dq, type, B, H, N, D), p.dk = heads_of(a.dk, type, B, H, M, D), p.dv = heads_of(a.dv, type, B, H, M, D);
  p.row_sums = {nullptr, DType::f32, {B, H, N, 1}, {H * N, N, 1, 1}};
  p.fits = aligned({&p.d_o, &p.dq, &p.dk, &p.dv});
  return p;
}

}  // namespace sspo::cuda::library
