#include "sspo/ops/conv.hpp"

#include "backend.hpp"
#include "ops/check.hpp"

namespace sspo {

Tensor conv2d(Tensor x, Tensor w, Tensor bias, Conv2dAttrs attrs, Tensor residual, Site at) {
  return apply<Conv2d>(at, attrs, std::move(x), std::move(w), std::move(bias), std::move(residual));
}

namespace {

kernels::ConvShape conv_shape(const Conv2dAttrs& a, const Shape& x, const Shape& w) {
  return {.batch = x[0], .h = x[1], .w = x[2], .in = x[3], .out = w[0], .kh = w[1], .kw = w[2],
          .stride_h = a.stride[0], .stride_w = a.stride[1], .dilation_h = a.dilation[0], .dilation_w = a.dilation[1],
          .top = a.padding[0], .bottom = a.padding[1], .left = a.padding[2], .right = a.padding[3], .groups = a.groups};
}

void check(const Conv2dAttrs& a, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual, Site at) {
  check_same_floating("conv2d", {&x, &w, &bias, &residual}, at);
  const auto refuse = [&](const std::string& what, const std::string& expected, const std::string& got, const std::string& hint = {}) {
    fail({.op = "conv2d", .what = what, .expected = expected, .got = got, .hint = hint}, at);
  };
  if (x.rank() != 4 || w.rank() != 4)
    refuse("operands need four axes", "x [B, H, W, in] and w [out, kh, kw, in / groups]", "x " + x.str() + ", w " + w.str(), "channels come last: permute(x, {0, 2, 3, 1})");
  for (Index v : {a.stride[0], a.stride[1], a.dilation[0], a.dilation[1], a.groups})
    if (v < 1) refuse("stride, dilation or groups below 1", "1 or more", std::to_string(v));
  for (Index v : a.padding)
    if (v < 0) refuse("negative padding", "0 or more", std::to_string(v), "slice() crops");
  if (w.dim(0) % a.groups || x.dim(3) % a.groups)
    refuse("the groups do not divide the channels", "a divisor of " + std::to_string(x.dim(3)) + " and " + std::to_string(w.dim(0)), std::to_string(a.groups) + " groups");
  if (x.dim(3) != w.dim(3) * a.groups)
    refuse("input channels do not match the weight",
           std::to_string(w.dim(3) * a.groups) + " channels, because weight" + label_of(w) + " is " + w.shape().str() + " (out, kh, kw, in" + (a.groups > 1 ? " / groups)" : ")"),
           std::to_string(x.dim(3)) + " channels: x is " + x.str() + " on " + x.device().name(),
           "the weight was made for " + std::to_string(w.dim(3) * a.groups) + " inputs: compare block_out_channels in the model's config.json");
  if (w.dim(1) < 1 || w.dim(2) < 1) refuse("the kernel is empty", "kh and kw of 1 or more", w.str());
  const kernels::ConvShape s = conv_shape(a, x.shape(), w.shape());
  if (s.h + s.top + s.bottom < (s.kh - 1) * s.dilation_h + 1 || s.w + s.left + s.right < (s.kw - 1) * s.dilation_w + 1)
    refuse("the kernel is larger than the padded image", "an image of at least " + Shape{(s.kh - 1) * s.dilation_h + 1, (s.kw - 1) * s.dilation_w + 1}.str(),
           Shape{s.h + s.top + s.bottom, s.w + s.left + s.right}.str() + " with padding: x " + x.str());
  if (!bias.defined() || bias.rank() != 2) check_vector("conv2d", "bias", bias, w.dim(0), at);
  else if (!(bias.shape() == Shape{s.batch, s.out}))
    refuse("the bias does not fit", Shape{s.out}.str() + " or, one for each sample, " + Shape{s.batch, s.out}.str(), bias.str());
  if (const Shape y{s.batch, s.out_h(), s.out_w(), s.out}; residual.defined() && !(residual.shape() == y))
    refuse("the residual does not fit", y.str() + ", the result's shape", residual.str());
}

Tensor wide(const Tensor& x) { return x.defined() ? cast(x, DType::f32) : x; }

}  // namespace

Tensor Conv2d::forward(const Attrs& attrs, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual, Site at) {
  check(attrs, x, w, bias, residual, at);
  if (x.dtype() == DType::f16) return cast(forward(attrs, wide(x), wide(w), wide(bias), wide(residual), at), DType::f16);
  const kernels::ConvShape s = conv_shape(attrs, x.shape(), w.shape());
  Tensor y = Tensor::empty({s.batch, s.out_h(), s.out_w(), s.out}, x.dtype(), x.device());
  if (y.numel() == 0) return y;
  const Tensor xc = contiguous(x), wc = contiguous(w), bc = bias.defined() ? contiguous(bias) : bias, rc = residual.defined() ? contiguous(residual) : residual;
  const bool parameter = wc.storage() == w.storage() && !w.storage()->label.empty() && w.storage()->derives;
  kernels::ConvArgs args;
  args.shape = s;
  args.x = xc.raw();
  args.weight = wc.raw();
  args.y = y.mutable_raw();
  if (bc.defined()) (bc.rank() == 2 ? args.sample_bias : args.bias) = bc.raw();
  args.residual = rc.defined() ? rc.raw() : nullptr;
  backend(x.device()).conv(x.dtype(), args, parameter ? w.storage().get() : nullptr);
  return y;
}

Grads<4> Conv2d::vjp(const Attrs& attrs, Needs need, const Tensor& g, const Tensor& x, const Tensor& w, Meta bias, Meta residual) {
  if (g.dtype() == DType::f16) {
    Grads<4> d = vjp(attrs, need, wide(g), wide(x), wide(w), bias, residual);
    for (Tensor& t : d)
      if (t.defined()) t = cast(t, DType::f16);
    return d;
  }
  const kernels::ConvShape s = conv_shape(attrs, x.shape(), w.shape());
  const Tensor gc = contiguous(g);
  const auto kernel = [&](const OpInfo& info, std::initializer_list<Tensor> in, Tensor out, auto&& run) {
    const Tensors inputs(in);
    detail::CallRecord call(info, inputs, Site{});
    run(out);
    call.finish(out);
    return out;
  };
  static constexpr OpInfo data_info{"conv2d_data_gradient"}, weight_info{"conv2d_weight_gradient"}, bias_info{"conv2d_bias_gradient"};
  Grads<4> d;
  const bool empty = g.numel() == 0;
  if (need[0]) {
    d[0] = empty ? zeros(x.shape(), g.dtype(), g.device()) : kernel(data_info, {gc, w}, Tensor::empty(x.shape(), g.dtype(), g.device()), [&](Tensor& out) {
      const Tensor wc = contiguous(w);
      kernels::ConvDataGradientArgs args;
      args.shape = s;
      args.gy = gc.raw();
      args.weight = wc.raw();
      args.gx = out.mutable_raw();
      backend(g.device()).conv_data_gradient(g.dtype(), args);
    });
  }
  if (need[1]) {
    d[1] = empty ? zeros(w.shape(), g.dtype(), g.device()) : kernel(weight_info, {gc, x}, Tensor::empty(w.shape(), g.dtype(), g.device()), [&](Tensor& out) {
      const Tensor xc = contiguous(x);
      kernels::ConvWeightGradientArgs args;
      args.shape = s;
      args.x = xc.raw();
      args.gy = gc.raw();
      args.gw = out.mutable_raw();
      backend(g.device()).conv_weight_gradient(g.dtype(), args);
    });
  }
  if (need[3]) d[3] = g;
  if (need[2] && bias.shape.rank() == 2) {
    d[2] = sum(reshape(gc, {s.batch, s.out_h() * s.out_w(), s.out}), {1});
  } else if (need[2]) {
    d[2] = empty ? zeros(bias.shape, g.dtype(), g.device()) : kernel(bias_info, {gc}, Tensor::empty(bias.shape, g.dtype(), g.device()), [&](Tensor& out) {
      backend(g.device()).conv_bias_gradient(g.dtype(), g.numel() / s.out, s.out, gc.raw(), out.mutable_raw());
    });
  }
  return d;
}

// One matrix product per tap, on the pixels it sees: the definition, written with slices.
Tensor Conv2d::reference(const Attrs& a, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual) {
  const kernels::ConvShape s = conv_shape(a, x.shape(), w.shape());
  const Tensor padded = pad(x, {{s.top, s.bottom}, {s.left, s.right}, {0, 0}});
  const Index in = s.in / s.groups, out = s.out / s.groups;
  Tensors parts;
  for (Index group = 0; group < s.groups; ++group) {
    Tensor y;
    for (Index u = 0; u < s.kh; ++u)
      for (Index v = 0; v < s.kw; ++v) {
        Tensor seen = slice(padded, 1, u * s.dilation_h, u * s.dilation_h + (s.out_h() - 1) * s.stride_h + 1, s.stride_h);
        seen = slice(seen, 2, v * s.dilation_w, v * s.dilation_w + (s.out_w() - 1) * s.stride_w + 1, s.stride_w);
        seen = slice(seen, 3, group * in, (group + 1) * in);                                              // [B, Ho, Wo, in]
        const Tensor tap = slice(slice(slice(w, 0, group * out, (group + 1) * out), 1, u, u + 1), 2, v, v + 1);
        const Tensor product = matmul(seen, transpose(reshape(tap, {out, in})));                          // [B, Ho, Wo, out]
        y = y.defined() ? y + product : product;
      }
    parts.push_back(y);
  }
  Tensor y = parts.size() == 1 ? parts[0] : cat(parts, -1);
  if (bias.defined()) y = y + (bias.rank() == 2 ? reshape(bias, {s.batch, 1, 1, s.out}) : bias);
  return residual.defined() ? y + residual : y;
}

std::vector<Sample<Conv2dAttrs>> Conv2d::samples() {
  std::vector<Sample<Attrs>> s;
  int seed = 1;
  const auto add = [&](const Shape& x, const Shape& w, Attrs a = {}, bool bias = true) {
    std::string label = x.str() + " " + w.str() + " stride " + std::to_string(a.stride[0]) + " dilation " + std::to_string(a.dilation[0]) + " groups " + std::to_string(a.groups);
    s.push_back({label, {sample_values(x, {-1, 1}, seed), sample_values(w, {-1, 1}, seed + 1), bias ? sample_values({w[0]}, {-1, 1}, seed + 2) : Tensor{}, {}}, a});
    seed += 3;
  };
  add({1, 1, 1, 1}, {1, 1, 1, 1});
  add({2, 5, 4, 3}, {6, 1, 1, 3});
  add({1, 6, 5, 4}, {5, 3, 3, 4}, {.padding = same(3)});
  add({2, 7, 7, 3}, {4, 3, 3, 3}, {.stride = {2, 2}, .padding = same(3)});
  add({1, 8, 8, 2}, {3, 3, 3, 2}, {.stride = {2, 2}, .padding = {0, 1, 0, 1}});  // the VAE encoder's downsampling
  add({1, 9, 7, 2}, {3, 3, 2, 2}, {.stride = {1, 2}, .padding = {2, 0, 1, 3}});
  add({1, 9, 9, 2}, {2, 3, 3, 2}, {.padding = {2, 2, 2, 2}, .dilation = {2, 2}});
  add({1, 10, 11, 2}, {2, 3, 2, 2}, {.stride = {2, 3}, .padding = {1, 2, 0, 1}, .dilation = {3, 2}});
  add({1, 5, 5, 4}, {6, 3, 3, 2}, {.padding = same(3), .groups = 2});
  add({2, 4, 4, 4}, {4, 3, 3, 1}, {.padding = same(3), .groups = 4});
  add({0, 4, 4, 2}, {3, 3, 3, 2}, {.padding = same(3)});
  add({1, 3, 3, 1}, {1, 3, 3, 1}, {}, false);
  add({2, 6, 6, 5}, {7, 5, 5, 5}, {.padding = same(5)}, false);
  add({1, 5, 6, 3}, {4, 1, 1, 3}, {.stride = {2, 2}});
  add({1, 12, 13, 33}, {17, 3, 3, 33}, {.padding = same(3)});
  const auto fused = [&](std::string label, const Shape& x, const Shape& w, const Shape& bias, const Shape& residual, Attrs a) {
    const auto v = [&](const Shape& shape) { return shape.rank() ? sample_values(shape, {-1, 1}, seed++) : Tensor{}; };
    s.push_back({std::move(label), {v(x), v(w), v(bias), v(residual)}, a});
  };
  fused("a bias for each sample", {3, 5, 4, 3}, {6, 3, 3, 3}, {3, 6}, {}, {.padding = same(3)});
  fused("a bias for each sample, 1x1", {2, 3, 4, 5}, {4, 1, 1, 5}, {2, 4}, {2, 3, 4, 4}, {});
  fused("residual", {2, 5, 6, 4}, {5, 3, 3, 4}, {5}, {2, 5, 6, 5}, {.padding = same(3)});
  fused("residual without bias, groups", {2, 7, 6, 4}, {6, 3, 3, 2}, {}, {2, 4, 3, 6}, {.stride = {2, 2}, .padding = same(3), .groups = 2});
  fused("bias for each sample and residual, groups", {2, 5, 5, 4}, {6, 3, 3, 2}, {2, 6}, {2, 5, 5, 6}, {.padding = same(3), .groups = 2});
  return s;
}

std::vector<Bad> Conv2d::bad_samples() {
  const auto x = [](const Shape& s) { return zeros(s, DType::f32); };
  return {
      {"channels", [=] { conv2d(x({2, 8, 8, 6}), x({4, 3, 3, 3})); }, {"conv2d", "input channels do not match", "3 channels, because weight is [4, 3, 3, 3]", "6 channels", "[2, 8, 8, 6] f32", "block_out_channels"}},
      {"rank", [=] { conv2d(x({8, 8, 3}), x({4, 3, 3, 3})); }, {"four axes", "[8, 8, 3]"}},
      {"groups", [=] { conv2d(x({1, 8, 8, 6}), x({4, 3, 3, 2}), {}, {.groups = 3}); }, {"groups do not divide", "3 groups"}},
      {"small image", [=] { conv2d(x({1, 2, 2, 3}), x({4, 3, 3, 3})); }, {"larger than the padded image", "[3, 3]", "[2, 2]"}},
      {"stride", [=] { conv2d(x({1, 8, 8, 3}), x({4, 3, 3, 3}), {}, {.stride = {0, 1}}); }, {"below 1", "0"}},
      {"padding", [=] { conv2d(x({1, 8, 8, 3}), x({4, 3, 3, 3}), {}, {.padding = {-1, 0, 0, 0}}); }, {"negative padding", "-1"}},
      {"bias", [=] { conv2d(x({1, 8, 8, 3}), x({4, 3, 3, 3}), x({3})); }, {"bias does not fit", "[4]", "[3]"}},
      {"bias for each sample", [=] { conv2d(x({2, 8, 8, 3}), x({4, 3, 3, 3}), x({3, 4})); }, {"bias does not fit", "[4]", "[2, 4]", "[3, 4]"}},
      {"residual", [=] { conv2d(x({2, 8, 8, 3}), x({4, 3, 3, 3}), {}, {}, x({2, 8, 8, 4})); }, {"residual does not fit", "[2, 6, 6, 4]", "[2, 8, 8, 4]"}},
      {"dtypes", [=] { conv2d(x({1, 8, 8, 3}), zeros({4, 3, 3, 3}, DType::f64)); }, {"different dtypes", "f64"}},
  };
}

}  // namespace sspo
