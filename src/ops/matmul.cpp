#include "sspo/ops/matmul.hpp"

#include <optional>

#include "backend.hpp"
#include "ops/check.hpp"
#include "sspo/grad/backward.hpp"

namespace sspo {

Tensor activate(Tensor x, Activation activation) {
  switch (activation) {
    case Activation::relu: return relu(std::move(x));
    case Activation::silu: return silu(std::move(x));
    case Activation::gelu_erf: return gelu_erf(std::move(x));
    case Activation::gelu_tanh: return gelu_tanh(std::move(x));
    case Activation::quick_gelu: return quick_gelu(std::move(x));
    case Activation::none: break;
  }
  return x;
}

Tensor matmul(Tensor a, Tensor b, Epilogue e, Site at) {
  // Recorded, the activation is an op of its own: its slope needs its argument, which the epilogue would drop. Of 16 bits always: its argument
  // is rounded then, and a frozen model (SSPO's reference) must give the bits of the same model in training.
  const auto is_tracked = [](const Tensor& t) { return t.defined() && t.tracked(); };
  const bool tracked = is_tracked(a) || is_tracked(b) || is_tracked(e.bias) || is_tracked(e.residual);
  const bool apart = tracked || (a.defined() && (a.dtype() == DType::bf16 || a.dtype() == DType::f16));
  const Activation inside = apart ? Activation::none : e.activation;
  Tensor y = apply<Matmul>(at, {inside}, std::move(a), std::move(b), std::move(e.bias), std::move(e.residual));
  return apart ? activate(std::move(y), e.activation) : y;
}

Tensor linear(Tensor x, Tensor w, Tensor bias, Activation activation, Tensor residual, Site at) {
  if (!x.defined() || !w.defined() || w.rank() != 2 || x.rank() < 1 || x.dim(-1) != w.dim(1))
    fail({.op = "linear", .what = "input features do not match the weight",
          .expected = w.defined() ? "x [..., in] for a weight" + label_of(w) + " [out, in] = " + w.shape().str() : "a weight [out, in]",
          .got = "x " + x.str(), .hint = "compare the layer's in-features with the last axis of x"}, at);
  if (x.rank() > 1) return matmul(std::move(x), transpose(std::move(w)), {std::move(bias), std::move(residual), activation}, at);
  if (residual.defined()) residual = reshape(residual, {1, residual.numel()});
  return reshape(matmul(reshape(x, {1, x.dim(0)}), transpose(w), {bias, residual, activation}, at), {w.dim(0)});
}

namespace {

// The stride of axes [0, count) merged into one, if the layout allows it.
std::optional<Index> merged_stride(const Layout& l, int count) {
  Index stride = 0, extent = 1;
  for (int a = count - 1; a >= 0; --a) {
    if (l.shape[a] == 1) continue;
    const Index s = l.strides[std::size_t(a)];
    if (extent == 1) stride = s;
    else if (s != stride * extent) return {};
    extent *= l.shape[a];
  }
  return stride;
}

// x as [batch..., rows, cols] whose batch axes are one; copied if its layout does not allow that.
Tensor with_one_batch_axis(const Tensor& x) { return merged_stride(x.layout(), x.rank() - 2) ? x : contiguous(x); }

Shape leading(const Shape& s) { return Shape(std::span(s.begin(), std::size_t(s.rank() - 2))); }
Shape join(const Shape& lead, Index rows, Index cols) {
  std::vector<Index> e(lead.begin(), lead.end());
  e.push_back(rows);
  e.push_back(cols);
  return Shape(e);
}

}  // namespace

Tensor Matmul::forward(const Attrs& attrs, const Tensor& a, const Tensor& b, const Tensor& bias, const Tensor& residual, Site at) {
  check_same_floating("matmul", {&a, &b, &bias, &residual}, at);
  if (a.rank() < 2 || b.rank() < 2)
    fail({.op = "matmul", .what = "operands need two axes at least", .expected = "[..., m, k] and [..., k, n]", .got = a.str() + " and " + b.str(),
          .hint = "reshape a vector to [1, k] or [k, 1]"}, at);
  const Index m = a.dim(-2), k = a.dim(-1), n = b.dim(-1);
  if (b.dim(-2) != k)
    fail({.op = "matmul", .what = "inner extents differ", .expected = "a [..., m, k] and b" + label_of(b) + " [..., k, n] with one k",
          .got = a.str() + " and " + b.str() + ": " + std::to_string(k) + " against " + std::to_string(b.dim(-2)),
          .hint = "transpose(b) turns [n, k] into [k, n] at no cost"}, at);
  const Shape batch = broadcast(leading(a.shape()), leading(b.shape()), "matmul", at), shape = join(batch, m, n);
  if (bias.defined() && !(bias.shape() == Shape{n}))
    fail({.op = "matmul", .what = "the bias does not fit", .expected = Shape{n}.str() + ", one per column of b " + b.shape().str(), .got = bias.str()}, at);
  if (residual.defined() && !(residual.shape() == shape))
    fail({.op = "matmul", .what = "the residual does not fit", .expected = shape.str() + ", the result's shape", .got = residual.str()}, at);
  if (a.dtype() == DType::f16) {
    const auto wide = [](const Tensor& x) { return x.defined() ? cast(x, DType::f32) : x; };
    return cast(forward(attrs, wide(a), wide(b), wide(bias), wide(residual), at), DType::f16);
  }

  Tensor y = Tensor::empty(shape, a.dtype(), a.device());
  if (y.numel() == 0) return y;
  kernels::GemmArgs g{.m = m, .n = n, .k = k, .c = y.mutable_raw(), .ldc = n, .act = attrs.activation};
  Tensor left = a, right = b, extra = residual.defined() ? contiguous(residual) : residual, shift = bias.defined() ? contiguous(bias) : bias;
  const bool shared_b = leading(b.shape()).numel() == 1;
  const auto stride = [](const Tensor& x, int axis) { return x.layout().strides[std::size_t(x.rank() + axis)]; };
  if (shared_b && (merged_stride(a.layout(), a.rank() - 1) || a.contiguous())) {  // the batch is more rows
    g.m = batch.numel() * m;
    g.a = {left.raw(), *merged_stride(a.layout(), a.rank() - 1), stride(left, -1)};
  } else {
    left = with_one_batch_axis(a.shape() == join(batch, m, k) ? a : expand(a, join(batch, m, k)));
    right = shared_b ? b : with_one_batch_axis(b.shape() == join(batch, k, n) ? b : expand(b, join(batch, k, n)));
    g.batch = batch.numel();
    g.a = {left.raw(), stride(left, -2), stride(left, -1)};
    g.a_batch = *merged_stride(left.layout(), left.rank() - 2);
    g.b_batch = shared_b ? 0 : *merged_stride(right.layout(), right.rank() - 2);
    g.c_batch = m * n;
  }
  g.b = {right.raw(), stride(right, -2), stride(right, -1)};
  g.bias = shift.defined() ? shift.raw() : nullptr;
  g.residual = extra.defined() ? extra.raw() : nullptr;
  backend(a.device()).gemm(a.dtype(), a.dtype(), g, shared_b && !right.storage()->label.empty() && right.storage()->derives ? right.storage().get() : nullptr);
  return y;
}

Grads<4> Matmul::vjp(const Attrs& attrs, Needs need, const Tensor& g_out, const Tensor& a, const Tensor& b, const Tensor& bias,
                     const Tensor& residual) {
  Tensor g = g_out;
  if (attrs.activation != Activation::none) {  // the slope at the product, which is made again
    const Tensor x = track(detach(matmul(a, b, {bias, residual, Activation::none})));
    g = backward(activate(x, attrs.activation), {.seed = g_out})[x];
  }
  Grads<4> out;
  if (need[0]) out[0] = matmul(g, transpose(b));
  if (need[1]) {
    const bool shared = b.rank() == 2;
    const Tensor rows = shared && a.rank() > 2 ? reshape(a, {-1, a.dim(-1)}) : a;
    const Tensor g_rows = shared && g.rank() > 2 ? reshape(g, {-1, g.dim(-1)}) : g;
    // In b's own memory order: the gradient of a weight [out, in] seen as [in, out] is made as [out, in].
    const auto& s = b.layout().strides;
    const bool transposed = shared && s[0] == 1 && s[1] != 1;
    out[1] = transposed ? transpose(matmul(transpose(g_rows), rows)) : matmul(transpose(rows), g_rows);
  }
  if (need[2]) out[2] = g;  // backward sums g over the rows
  if (need[3]) out[3] = g;
  return out;
}

std::vector<Sample<Matmul::Attrs>> Matmul::samples() {
  std::vector<Sample<Attrs>> s;
  int seed = 1;
  const auto v = [&](const Shape& shape) { return sample_values(shape, {-1, 1}, seed++); };
  const auto plain = [&](const Shape& a, const Shape& b) { s.push_back({a.str() + " " + b.str(), {v(a), v(b), {}, {}}, {}}); };
  plain({1, 1}, {1, 1});
  plain({3, 5}, {5, 4});
  plain({0, 5}, {5, 4});
  plain({3, 0}, {0, 4});
  plain({1, 7}, {7, 1});
  plain({17, 33}, {33, 9});
  plain({2, 3, 5}, {5, 4});
  plain({2, 3, 5}, {2, 5, 4});
  plain({3, 5}, {2, 5, 4});
  plain({2, 1, 3, 5}, {1, 3, 5, 2});
  plain({70, 19}, {19, 37});
  s.push_back({"bias", {v({4, 6}), v({6, 5}), v({5}), {}}, {}});
  s.push_back({"bias and residual", {v({2, 4, 6}), v({6, 5}), v({5}), v({2, 4, 5})}, {}});
  s.push_back({"transposed b", {v({9, 6}), transpose(v({5, 6})), v({5}), {}}, {}});
  s.push_back({"transposed a", {transpose(v({6, 9})), v({6, 5}), {}, {}}, {}});
  for (Activation act : {Activation::silu, Activation::gelu_erf, Activation::gelu_tanh, Activation::quick_gelu})
    s.push_back({"activation " + std::to_string(int(act)), {v({7, 6}), v({6, 5}), v({5}), v({7, 5})}, {act}});
  return s;
}

std::vector<Bad> Matmul::bad_samples() {
  const auto x = [](const Shape& s) { return zeros(s, DType::f32); };
  return {
      {"inner extents", [=] { matmul(x({2, 3}), x({4, 5})); }, {"matmul", "inner extents differ", "[2, 3]", "[4, 5]", "3 against 4"}},
      {"rank", [=] { matmul(x({3}), x({3, 5})); }, {"two axes", "[3] f32"}},
      {"batch", [=] { matmul(x({2, 3, 4}), x({3, 4, 5})); }, {"do not broadcast"}},
      {"dtypes", [=] { matmul(x({2, 3}), zeros({3, 5}, DType::f64)); }, {"different dtypes", "f64"}},
      {"integers", [=] { matmul(zeros({2, 3}, DType::i64), zeros({3, 5}, DType::i64)); }, {"floating", "i64"}},
      {"bias", [=] { matmul(x({2, 3}), x({3, 5}), {.bias = x({4})}); }, {"bias does not fit", "[5]", "[4]"}},
      {"residual", [=] { matmul(x({2, 3}), x({3, 5}), {.residual = x({5})}); }, {"residual does not fit", "[2, 5]"}},
      {"linear", [=] { linear(x({2, 3}), x({5, 4})); }, {"linear", "[5, 4]", "[2, 3]"}},
  };
}

}  // namespace sspo
