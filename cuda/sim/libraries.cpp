// cuBLASLt and cuDNN on cuda-sim: what the libraries would check, then what they would compute, in plain loops over the plan that the
// GPU's call is made of. Sums are f32, those of f64 in f64; factors rounded to tf32 where the plan allows it.
#include "../libraries.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "checker.hpp"
#include "sspo/base/error.hpp"

namespace sspo::cuda::inline sim {
namespace {

using library::Columns;
using library::GemmPlan;

void demand(bool met, const char* library, const char* what) {
  if (!met)
    fail({.op = library, .what = "the library would refuse this call", .expected = what, .got = "a plan that breaks it",
          .hint = "cuda/library_plan.hpp makes the plans", .kind = ErrorKind::internal});
}

double widened(float x) { return x; }
double widened(double x) { return x; }
double widened(bf16 x) { return to_float(x); }
template <class T, class Sum> T narrowed(Sum x) {
  if constexpr (sizeof(T) == 2) return T(float(x));
  else return T(x);
}
float rounded_to_tf32(float x) {
  const std::uint32_t bits = to_tf32(x);
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
template <class Sum, class T> Sum factor(const T& x, bool tf32) {
  if constexpr (sizeof(T) == 4) return tf32 ? rounded_to_tf32(x) : x;
  else return Sum(widened(x));
}
template <class T> struct SumOf { using type = float; };
template <> struct SumOf<double> { using type = double; };

template <class Sum> Sum activated(Activation act, Sum x) {
  if (act == Activation::relu) return x <= 0 ? Sum(0) : x;
  if (act == Activation::gelu_tanh) return Sum(0.5) * x * (1 + std::tanh(Sum(0.7978845608028654) * (x + Sum(0.044715) * x * x * x)));
  return x;
}

// use(T{}, Out{}) for the types that plans let through.
template <class F> void with_types(DType in, DType out, F&& use) {
  if (in == DType::f64) return use(double{}, double{});
  if (in == DType::f32) return use(float{}, float{});
  if (out == DType::f32) return use(bf16{}, float{});
  use(bf16{}, bf16{});
}

void check_scratch(const Context& ctx, const char* library) {
  const LibraryWorkspace space(ctx, 1, library);
  demand(std::uintptr_t(space.data()) % 256 == 0, library, "a workspace aligned to 256 bytes");
}

// --- cuBLASLt
constexpr const char* cublas = "cuBLASLt on cuda-sim";

void check(const Columns& x, Index rows, Index cols, DType type, Index batch) {
  demand((x.transposed ? x.cols : x.rows) == rows && (x.transposed ? x.rows : x.cols) == cols, cublas, "extents that fit each other");
  demand(x.rows >= 1 && x.cols >= 1 && x.rows <= library::largest_extent && x.cols <= library::largest_extent, cublas, "extents of 1 to 2^31 - 1");
  demand(x.ld >= x.rows, cublas, "a leading dimension of the rows or more");
  demand(x.data && std::uintptr_t(x.data) % size_of(type) == 0, cublas, "pointers aligned to their elements");
  demand(std::uintptr_t(x.data) % std::uintptr_t(library::alignment_of(x.data, 256)) == 0, cublas, "the alignment that the preferences state");
  demand(batch == 1 || x.batch_step >= 0, cublas, "a batch that goes upwards");
}

void check(const Context& ctx, const GemmPlan& p) {
  demand(p.fits && !p.pack_a && !p.pack_b, cublas, "a plan that fits");
  const Index m = p.d.rows, n = p.d.cols, k = p.a.transposed ? p.a.rows : p.a.cols;
  check(p.a, m, k, p.in, p.batch), check(p.b, k, n, p.in, p.batch), check(p.c, m, n, p.out, p.batch), check(p.d, m, n, p.out, p.batch);
  demand(!p.c.transposed && !p.d.transposed, cublas, "C and D as they lie");
  demand(p.batch == 1 || p.d.batch_step >= (n - 1) * p.d.ld + m, cublas, "matrices of D's batch that lie apart");
  demand(p.c.ld == p.d.ld && p.c.batch_step == p.d.batch_step, cublas, "C laid out like D");
  demand(!p.bias || std::uintptr_t(p.bias) % size_of(p.out) == 0, cublas, "a bias aligned to its elements");
  demand(p.act == Activation::none || p.act == Activation::relu || p.act == Activation::gelu_tanh, cublas, "an epilogue that it has");
  demand(p.out != DType::f64 || (!p.bias && p.act == Activation::none), cublas, "no epilogue on f64");
  demand(!p.tf32 || p.in == DType::f32, cublas, "tf32 for f32 alone");
  check_scratch(ctx, cublas);
}

template <class T, class Out> void compute(const GemmPlan& p) {
  using Sum = typename SumOf<Out>::type;
  const Index m = p.d.rows, n = p.d.cols, k = p.a.transposed ? p.a.rows : p.a.cols;
  const auto steps = [](const Columns& x) { return x.transposed ? std::pair{x.ld, Index(1)} : std::pair{Index(1), x.ld}; };
  const auto [a_row, a_col] = steps(p.a);
  const auto [b_row, b_col] = steps(p.b);
  for (Index s = 0; s < p.batch; ++s) {
    const T *const a = static_cast<const T*>(p.a.data) + s * p.a.batch_step, *const b = static_cast<const T*>(p.b.data) + s * p.b.batch_step;
    const Out* const c = static_cast<const Out*>(p.c.data) + s * p.c.batch_step;
    Out* const d = static_cast<Out*>(const_cast<void*>(p.d.data)) + s * p.d.batch_step;
    for (Index j = 0; j < n; ++j) {
      for (Index i = 0; i < m; ++i) {
        Sum sum = 0;
        for (Index l = 0; l < k; ++l) sum += factor<Sum>(a[i * a_row + l * a_col], p.tf32) * factor<Sum>(b[l * b_row + j * b_col], p.tf32);
        sum *= Sum(p.alpha);
        if (p.beta != 0) sum += Sum(p.beta) * Sum(widened(c[i + j * p.c.ld]));
        if (p.bias) sum += Sum(widened(static_cast<const Out*>(p.bias)[i]));
        d[i + j * p.d.ld] = narrowed<Out>(activated(p.act, sum));
      }
      note_written_by_host(d + j * p.d.ld, std::size_t(m) * sizeof(Out));
    }
  }
}

// --- cuDNN
using library::AttentionPlan;
using library::ConvPlan;
using library::ConvTask;
using library::Tensor4;
constexpr const char* cudnn = "cuDNN on cuda-sim";

void check(const Tensor4& t, DType type) {
  demand(t.data && std::uintptr_t(t.data) % size_of(type) == 0, cudnn, "pointers aligned to their elements");
  demand(t.type == type, cudnn, "tensors of the types that its engines know");
  for (Index e : t.extents) demand(e >= 1 && e <= library::largest_extent, cudnn, "extents of 1 to 2^31 - 1");
  for (Index s : t.steps) demand(s >= 1, cudnn, "steps of 1 or more");
}
Index place(const Tensor4& t, Index n, Index c, Index h, Index w) { return n * t.steps[0] + c * t.steps[1] + h * t.steps[2] + w * t.steps[3]; }
void check(const Context& ctx, const ConvPlan& p) {
  demand(bool(p.fits), cudnn, "a plan that fits");
  const DType type = p.x.type;
  demand(type == DType::f32 || type == DType::f64 || type == DType::bf16, cudnn, "f32, f64 or bf16");
  for (const Tensor4* t : {&p.x, &p.w, &p.y}) {
    check(*t, type);
    const auto [n, c, h, w] = t->extents;
    demand(t->steps == std::array<Index, 4>{h * w * c, 1, w * c, c}, cudnn, "channels last, without gaps");
  }
  demand(p.x.extents[1] % p.w.extents[1] == 0 && p.w.extents[0] % (p.x.extents[1] / p.w.extents[1]) == 0, cudnn, "channels that the groups divide");
  demand(p.y.extents[0] == p.x.extents[0] && p.y.extents[1] == p.w.extents[0], cudnn, "extents that fit each other");
  for (std::size_t i = 0; i < 2; ++i) {
    demand(p.stride[i] >= 1 && p.dilation[i] >= 1 && p.before[i] >= 0 && p.after[i] >= 0, cudnn, "strides and dilations of 1 or more, padding of 0 or more");
    const Index free = p.x.extents[2 + i] + p.before[i] + p.after[i] - (p.w.extents[2 + i] - 1) * p.dilation[i] - 1;
    demand(free >= 0 && p.y.extents[2 + i] == free / p.stride[i] + 1, cudnn, "an image that comes out so large");
  }
  demand(!p.tf32 || type == DType::f32, cudnn, "tf32 for f32 alone");
  demand(p.task == ConvTask::forward ? p.beta == 0 : !p.bias.data && !p.residual.data, cudnn, "a sum with what was there for gradients, an epilogue forward");
  const bool on_tensor_cores = type == DType::bf16 || p.tf32;
  demand(!p.bias.data || on_tensor_cores, cudnn, "an epilogue on tensor cores alone");
  demand(!p.residual.data || p.bias.data, cudnn, "a residual with a bias");
  if (p.bias.data) {
    check(p.bias, type);
    demand(p.bias.extents == std::array<Index, 4>{1, p.y.extents[1], 1, 1}, cudnn, "one bias a channel");
  }
  if (p.residual.data) {
    check(p.residual, type);
    demand(p.residual.extents == p.y.extents && p.residual.steps == p.y.steps, cudnn, "a residual laid out like y");
  }
  check_scratch(ctx, cudnn);
}

// Sums for each element of the result, in the order of the loops.
template <class T> void compute(const ConvPlan& p) {
  using Sum = typename SumOf<T>::type;
  const Tensor4& to = p.task == ConvTask::forward ? p.y : p.task == ConvTask::data_gradient ? p.x : p.w;
  const T *const x = static_cast<const T*>(p.x.data), *const w = static_cast<const T*>(p.w.data), *const y = static_cast<const T*>(p.y.data);
  std::vector<Sum> sums(std::size_t(to.numel()));  // without gaps, the result lies as they do
  const Index in = p.w.extents[1], out = p.w.extents[0] / (p.x.extents[1] / in);
  for (Index n = 0; n < p.y.extents[0]; ++n)
    for (Index i = 0; i < p.y.extents[2]; ++i)
      for (Index j = 0; j < p.y.extents[3]; ++j)
        for (Index u = 0; u < p.w.extents[2]; ++u)
          for (Index v = 0; v < p.w.extents[3]; ++v) {
            const Index h = i * p.stride[0] + u * p.dilation[0] - p.before[0], l = j * p.stride[1] + v * p.dilation[1] - p.before[1];
            if (h < 0 || h >= p.x.extents[2] || l < 0 || l >= p.x.extents[3]) continue;
            for (Index o = 0; o < p.y.extents[1]; ++o)
              for (Index c = 0; c < in; ++c) {
                const Index at_x = place(p.x, n, o / out * in + c, h, l), at_w = place(p.w, o, c, u, v), at_y = place(p.y, n, o, i, j);
                const auto add = [&](Index at, const T& a, const T& b) { sums[std::size_t(at)] += factor<Sum>(a, p.tf32) * factor<Sum>(b, p.tf32); };
                if (p.task == ConvTask::forward) add(at_y, x[at_x], w[at_w]);
                else if (p.task == ConvTask::data_gradient) add(at_x, y[at_y], w[at_w]);
                else add(at_w, x[at_x], y[at_y]);
              }
          }
  T* const result = static_cast<T*>(const_cast<void*>(to.data));
  for (Index i = 0; i < to.numel(); ++i) {
    Sum sum = sums[std::size_t(i)];
    if (p.beta != 0) sum += Sum(p.beta) * Sum(widened(result[i]));
    if (p.residual.data) sum += Sum(widened(static_cast<const T*>(p.residual.data)[i]));
    if (p.bias.data) sum += Sum(widened(static_cast<const T*>(p.bias.data)[i % to.extents[1]]));
    result[i] = narrowed<T>(sum);
  }
  note_written_by_host(result, std::size_t(to.numel()) * sizeof(T));
}

// One head's [rows, columns] as the plan has it.
template <class T> struct Head {
  Head(const Tensor4& t, Index b, Index h)
      : data(static_cast<T*>(const_cast<void*>(t.data)) + (t.extents[0] > 1 ? b * t.steps[0] : 0) + (t.extents[1] > 1 ? h * t.steps[1] : 0)),
        row(t.extents[2] > 1 ? t.steps[2] : 0), column(t.steps[3]) {}
  T& operator()(Index i, Index j) const { return data[i * row + j * column]; }
  T* data;
  Index row, column;
};

void check(const Context& ctx, const AttentionPlan& p) {
  demand(bool(p.fits), cudnn, "a plan that fits");
  const auto [B, H, N, D] = p.q.extents;
  const Index M = p.k_turned.extents[3];
  const std::array<Index, 4> queries{B, H, N, D}, keys{B, H, M, D}, turned{B, H, D, M}, row{B, H, N, 1};
  const auto heads = [&](const Tensor4& t, const std::array<Index, 4>& extents, std::size_t inner) {
    check(t, DType::bf16);
    demand(t.extents == extents && t.steps[inner] == 1, cudnn, "extents that fit each other, the head's elements side by side");
    demand(std::uintptr_t(t.data) % 16 == 0, cudnn, "heads aligned to 16 bytes");
    for (std::size_t i = 0; i < 4; ++i) demand(i == inner || t.extents[i] == 1 || t.steps[i] % 8 == 0, cudnn, "strides of multiples of 8 elements");
  };
  demand(D % 8 == 0 && D <= (p.backward ? 256 : 512), cudnn, "heads of a multiple of 8");
  heads(p.q, queries, 3), heads(p.k_turned, turned, 2), heads(p.o, queries, 3);
  for (const Tensor4* t : {&p.lse, &p.row_sums})
    if (t->data || (p.backward && t == &p.lse)) {
      check(*t, DType::f32);
      demand(t->extents == row && t->steps == std::array<Index, 4>{H * N, N, 1, 1}, cudnn, "one number a row, without gaps");
    }
  if (p.backward) {
    heads(p.v_turned, turned, 2), heads(p.d_o, queries, 3), heads(p.dq, queries, 3), heads(p.dk, keys, 3), heads(p.dv, keys, 3);
    demand(p.row_sums.data, cudnn, "scratch for the rows' sums");
  } else {
    heads(p.v, keys, 3);
  }
  for (const Tensor4* t : {&p.scale, &p.hidden, &p.one}) demand(t->by_value && t->numel() == 1, cudnn, "numbers by value");
  check_scratch(ctx, cudnn);
}

// scale Q Kᵀ for one query.
std::vector<float> scores(const AttentionPlan& p, Index b, Index h, Index i) {
  const Head<const bf16> q(p.q, b, h), k(p.k_turned, b, h);
  std::vector<float> s(std::size_t(p.k_turned.extents[3]));
  for (Index j = 0; j < Index(s.size()); ++j) {
    float& x = s[std::size_t(j)];
    for (Index d = 0; d < p.q.extents[3]; ++d) x += to_float(q(i, d)) * to_float(k(d, j));
    x *= p.scale.number;
  }
  return s;
}
void hide_later(const AttentionPlan& p, Index i, std::vector<float>& s) {
  for (Index j = i + 1; p.causal && j < Index(s.size()); ++j) s[std::size_t(j)] = p.hidden.number;
}

void forward(const AttentionPlan& p, Index b, Index h) {
  const Head<const bf16> v(p.v, b, h);
  const Head<bf16> o(p.o, b, h);
  for (Index i = 0; i < p.q.extents[2]; ++i) {
    std::vector<float> s = scores(p, b, h, i);
    hide_later(p, i, s);
    const float top = *std::max_element(s.begin(), s.end());
    float sum = 0;
    for (float& x : s) sum += x = std::exp(x - top);
    if (p.lse.data) Head<float>(p.lse, b, h)(i, 0) = top + std::log(sum);
    for (Index d = 0; d < p.q.extents[3]; ++d) {
      float all = 0;
      for (Index j = 0; j < Index(s.size()); ++j) all += to_float(bf16(s[std::size_t(j)] / sum)) * to_float(v(j, d));
      o(i, d) = bf16(all);
    }
  }
}

void backward(const AttentionPlan& p, Index b, Index h) {
  const Index N = p.q.extents[2], D = p.q.extents[3], M = p.k_turned.extents[3];
  const Head<const bf16> q(p.q, b, h), k(p.k_turned, b, h), v(p.v_turned, b, h), o(p.o, b, h), d_o(p.d_o, b, h);
  const Head<const float> lse(p.lse, b, h);
  const Head<float> row_sums(p.row_sums, b, h);
  const float scale = p.scale.number;
  std::vector<float> dk(std::size_t(M * D)), dv(std::size_t(M * D));
  for (Index i = 0; i < N; ++i) {
    float delta = 0;
    for (Index d = 0; d < D; ++d) delta += to_float(d_o(i, d)) * to_float(o(i, d));
    row_sums(i, 0) = delta;
    std::vector<float> s = scores(p, b, h, i), dq(std::size_t(D), 0.0f);
    for (float& x : s) x -= lse(i, 0);
    hide_later(p, i, s);
    for (Index j = 0; j < M; ++j) {
      const float weight = std::exp(s[std::size_t(j)]);
      float d_weight = 0;
      for (Index d = 0; d < D; ++d) d_weight += to_float(d_o(i, d)) * to_float(v(d, j));
      const float rounded = to_float(bf16(weight)), d_score = to_float(bf16(scale * weight * (d_weight - delta)));
      for (Index d = 0; d < D; ++d) {
        dv[std::size_t(j * D + d)] += rounded * to_float(d_o(i, d));
        dk[std::size_t(j * D + d)] += d_score * to_float(q(i, d));
        dq[std::size_t(d)] += d_score * to_float(k(d, j));
      }
    }
    for (Index d = 0; d < D; ++d) Head<bf16>(p.dq, b, h)(i, d) = bf16(dq[std::size_t(d)]);
  }
  for (Index j = 0; j < M; ++j)
    for (Index d = 0; d < D; ++d) {
      Head<bf16>(p.dk, b, h)(j, d) = bf16(dk[std::size_t(j * D + d)]);
      Head<bf16>(p.dv, b, h)(j, d) = bf16(dv[std::size_t(j * D + d)]);
    }
}

void note_heads_written(const Tensor4& t) {
  const auto [B, H, rows, D] = t.extents;
  for (Index b = 0; b < B; ++b)
    for (Index h = 0; h < H; ++h)
      for (Index i = 0; i < rows; ++i) {
        const Index first = b * t.steps[0] + h * t.steps[1] + i * t.steps[2];
        note_written_by_host(static_cast<const char*>(t.data) + first * Index(size_of(t.type)), std::size_t(D) * size_of(t.type));
      }
}

}  // namespace

void call_cublas(const Context& ctx, const GemmPlan& p) {
  check(ctx, p);
  with_types(p.in, p.out, [&](auto t, auto o) { compute<decltype(t), decltype(o)>(p); });
}


void call_cudnn(const Context& ctx, const ConvPlan& p) {
  check(ctx, p);
  with_types(p.x.type, p.x.type, [&](auto t, auto) { compute<decltype(t)>(p); });
}

void call_cudnn(const Context& ctx, const AttentionPlan& p) {
  check(ctx, p);
  for (Index b = 0; b < p.q.extents[0]; ++b)
    for (Index h = 0; h < p.q.extents[1]; ++h) p.backward ? backward(p, b, h) : forward(p, b, h);
  if (p.backward)
    for (const Tensor4* t : {&p.dq, &p.dk, &p.dv, &p.row_sums}) note_heads_written(*t);
  else
    for (const Tensor4* t : {&p.o, &p.lse})
      if (t->data) note_heads_written(*t);
}

}  // namespace sspo::cuda::inline sim
