#include "sspo/ops/norm.hpp"

#include "backend.hpp"
#include "ops/check.hpp"

namespace sspo {
namespace {

const void* raw(const Tensor& x) { return x.defined() ? x.raw() : nullptr; }
Tensor packed(const Tensor& x) { return x.defined() ? contiguous(x) : x; }
Tensor wide(const Tensor& x) { return x.defined() ? cast(x, DType::f32) : x; }
template <std::size_t N>
Grads<N> narrow(Grads<N> d) {
  for (Tensor& t : d)
    if (t.defined()) t = cast(t, DType::f16);
  return d;
}

}  // namespace

// --- group norm ------------------------------------------------------------------------------------

Tensor group_norm(Tensor x, Tensor gamma, Tensor beta, GroupNormAttrs attrs, Site at) {
  return apply<GroupNorm>(at, attrs, std::move(x), std::move(gamma), std::move(beta));
}

Kept<NormStats> GroupNorm::forward(const Attrs& attrs, const Tensor& x, const Tensor& gamma, const Tensor& beta, Site at) {
  check_same_floating("group_norm", {&x, &gamma, &beta}, at);
  if (x.rank() < 2) fail({.op = "group_norm", .what = "too few axes", .expected = "x [B, ..., C]", .got = x.str()}, at);
  const Index B = x.dim(0), C = x.dim(-1);
  if (attrs.groups < 1 || C % attrs.groups)
    fail({.op = "group_norm", .what = "the groups do not divide the channels", .expected = "a divisor of C = " + std::to_string(C) + " in " + x.str(),
          .got = std::to_string(attrs.groups) + " groups", .hint = "compare norm_num_groups with block_out_channels in the model's config"}, at);
  check_vector("group_norm", "gamma", gamma, C, at);
  check_vector("group_norm", "beta", beta, C, at);
  if (x.dtype() == DType::f16) {
    auto out = forward(attrs, wide(x), wide(gamma), wide(beta), at);
    return {cast(out.y, DType::f16), out.extra};
  }
  const bool ends_here = !x.tracked() && !gamma.tracked() && !beta.tracked() && x.storage().unique() && x.storage()->label.empty() && x.contiguous();
  Tensor y = ends_here ? x : Tensor::empty(x.shape(), x.dtype(), x.device());  // nobody will read x again: in its place
  NormStats stats{Tensor::empty({B, attrs.groups}, DType::f64, x.device()), Tensor::empty({B, attrs.groups}, DType::f64, x.device())};
  if (y.numel() == 0) return {y, stats};
  const Tensor xc = contiguous(x), gc = packed(gamma), bc = packed(beta);
  backend(x.device()).group_norm(x.dtype(), {.batch = B, .positions = x.numel() / (B * C), .channels = C, .groups = attrs.groups, .eps = attrs.eps,
                                             .silu = attrs.silu, .x = xc.raw(), .gamma = raw(gc), .beta = raw(bc), .y = y.mutable_raw(),
                                             .mean = stats.mean.mutable_data<double>(), .rstd = stats.rstd.mutable_data<double>()});
  return {y, stats};
}

Grads<3> GroupNorm::vjp(const Attrs& attrs, Needs need, const Tensor& g, const Tensor& x, const Tensor& gamma, const Tensor& beta, const NormStats& stats) {
  if (x.dtype() == DType::f16) return narrow(vjp(attrs, need, wide(g), wide(x), wide(gamma), wide(beta), stats));
  static constexpr OpInfo grad_info{"group_norm_grad"};
  const Tensor in[] = {g, x, gamma};
  detail::CallRecord call(grad_info, in, Site{});
  const Index B = x.dim(0), C = x.dim(-1);
  Grads<3> d{Tensor::empty(x.shape(), x.dtype(), x.device()), need[1] ? zeros({C}, x.dtype(), x.device()) : Tensor{},
             need[2] ? zeros({C}, x.dtype(), x.device()) : Tensor{}};
  if (x.numel() == 0) return d;
  const Tensor xc = contiguous(x), gc = contiguous(g), wc = packed(gamma), bc = packed(beta);
  backend(x.device()).group_norm_grad(x.dtype(), {.batch = B, .positions = x.numel() / (B * C), .channels = C, .groups = attrs.groups, .silu = attrs.silu,
                                                  .x = xc.raw(), .gamma = raw(wc), .beta = raw(bc), .g = gc.raw(), .mean = stats.mean.data<double>(), .rstd = stats.rstd.data<double>(),
                                                  .dx = d[0].mutable_raw(), .dgamma = const_cast<void*>(raw(d[1])), .dbeta = const_cast<void*>(raw(d[2]))});
  call.finish(d[0]);
  return d;
}

Tensor GroupNorm::reference(const Attrs& attrs, const Tensor& x, const Tensor& gamma, const Tensor& beta) {
  const Index B = x.dim(0), C = x.dim(-1), P = x.numel() == 0 ? 0 : x.numel() / (B * C), G = attrs.groups;
  const Tensor grouped = reshape(x, {B, P, G, C / G});                       // [B, P, G, D]
  const Tensor centred = grouped - mean(grouped, {1, 3}, true);
  const Tensor rstd = rsqrt(mean(square(centred), {1, 3}, true) + attrs.eps);  // [B, 1, G, 1]
  Tensor y = reshape(centred * rstd, x.shape());
  if (gamma.defined()) y = y * gamma;
  if (beta.defined()) y = y + beta;
  return attrs.silu ? silu(y) : y;
}

std::vector<Sample<GroupNormAttrs>> GroupNorm::samples() {
  std::vector<Sample<Attrs>> s;
  int seed = 1;
  const auto add = [&](const Shape& shape, Index groups, bool affine, bool silu) {
    const Index C = shape[-1];
    s.push_back({shape.str() + " groups " + std::to_string(groups) + (affine ? " affine" : "") + (silu ? " silu" : ""),
                 {sample_values(shape, {-2, 3}, seed), affine ? sample_values({C}, {0.5, 1.5}, seed + 1) : Tensor{}, affine ? sample_values({C}, {-1, 1}, seed + 2) : Tensor{}},
                 {.groups = groups, .eps = 1e-5, .silu = silu}});
    seed += 3;
  };
  for (bool silu : {false, true}) {
    add({1, 2, 2, 4}, 2, true, silu);
    add({2, 3, 5, 6}, 3, true, silu);
    add({1, 7, 1, 8}, 1, true, silu);
    add({3, 4, 4, 12}, 4, false, silu);
    add({2, 5, 32}, 32, true, silu);
    add({0, 3, 3, 4}, 2, true, silu);
    add({1, 33, 40}, 8, true, silu);
  }
  s.push_back({"gamma alone", {sample_values({2, 3, 4}, {}, 90), sample_values({4}, {}, 91), {}}, {.groups = 2}});
  return s;
}

std::vector<Bad> GroupNorm::bad_samples() {
  const auto x = [](const Shape& s) { return zeros(s, DType::f32); };
  return {
      {"groups", [=] { group_norm(x({1, 2, 2, 6}), {}, {}, {.groups = 4}); }, {"group_norm", "do not divide", "C = 6", "4 groups", "norm_num_groups"}},
      {"no groups", [=] { group_norm(x({1, 2, 2, 6}), {}, {}, {.groups = 0}); }, {"do not divide", "0 groups"}},
      {"gamma", [=] { group_norm(x({1, 2, 2, 6}), x({5}), {}, {.groups = 2}); }, {"gamma does not fit", "[6]", "[5]"}},
      {"rank", [=] { group_norm(x({6}), {}, {}, {.groups = 2}); }, {"too few axes"}},
      {"dtype", [=] { group_norm(zeros({1, 2, 6}, DType::i32), {}, {}, {.groups = 2}); }, {"floating-point", "i32"}},
  };
}

// --- layer norm ------------------------------------------------------------------------------------

Tensor layer_norm(Tensor x, Tensor gamma, Tensor beta, LayerNormAttrs attrs, Site at) {
  return apply<LayerNorm>(at, attrs, std::move(x), std::move(gamma), std::move(beta));
}

Kept<NormStats> LayerNorm::forward(const Attrs& attrs, const Tensor& x, const Tensor& gamma, const Tensor& beta, Site at) {
  check_same_floating("layer_norm", {&x, &gamma, &beta}, at);
  if (x.rank() < 1) fail({.op = "layer_norm", .what = "too few axes", .expected = "x [..., C]", .got = x.str()}, at);
  const Index C = x.dim(-1), rows = C ? x.numel() / C : 0;
  check_vector("layer_norm", "gamma", gamma, C, at);
  check_vector("layer_norm", "beta", beta, C, at);
  if (x.dtype() == DType::f16) {
    auto out = forward(attrs, wide(x), wide(gamma), wide(beta), at);
    return {cast(out.y, DType::f16), out.extra};
  }
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  NormStats stats{Tensor::empty({rows}, DType::f64, x.device()), Tensor::empty({rows}, DType::f64, x.device())};
  if (y.numel() == 0) return {y, stats};
  const Tensor xc = contiguous(x), gc = packed(gamma), bc = packed(beta);
  backend(x.device()).layer_norm(x.dtype(), {.rows = rows, .channels = C, .eps = attrs.eps, .x = xc.raw(), .gamma = raw(gc), .beta = raw(bc), .y = y.mutable_raw(),
                                             .mean = stats.mean.mutable_data<double>(), .rstd = stats.rstd.mutable_data<double>()});
  return {y, stats};
}

Grads<3> LayerNorm::vjp(const Attrs& attrs, Needs need, const Tensor& g, const Tensor& x, const Tensor& gamma, const Tensor& beta, const NormStats& stats) {
  if (x.dtype() == DType::f16) return narrow(vjp(attrs, need, wide(g), wide(x), wide(gamma), wide(beta), stats));
  static constexpr OpInfo grad_info{"layer_norm_grad"};
  const Tensor in[] = {g, x, gamma};
  detail::CallRecord call(grad_info, in, Site{});
  const Index C = x.dim(-1);
  Grads<3> d{Tensor::empty(x.shape(), x.dtype(), x.device()), need[1] ? zeros({C}, x.dtype(), x.device()) : Tensor{},
             need[2] ? zeros({C}, x.dtype(), x.device()) : Tensor{}};
  if (x.numel() == 0) return d;
  const Tensor xc = contiguous(x), gc = contiguous(g), wc = packed(gamma);
  backend(x.device()).layer_norm_grad(x.dtype(), {.rows = x.numel() / C, .channels = C, .x = xc.raw(), .gamma = raw(wc), .g = gc.raw(),
                                                  .mean = stats.mean.data<double>(), .rstd = stats.rstd.data<double>(), .dx = d[0].mutable_raw(),
                                                  .dgamma = const_cast<void*>(raw(d[1])), .dbeta = const_cast<void*>(raw(d[2]))});
  call.finish(d[0]);
  return d;
}

Tensor LayerNorm::reference(const Attrs& attrs, const Tensor& x, const Tensor& gamma, const Tensor& beta) {
  const Tensor centred = x - mean(x, {-1}, true);
  Tensor y = centred * rsqrt(mean(square(centred), {-1}, true) + attrs.eps);
  if (gamma.defined()) y = y * gamma;
  return beta.defined() ? y + beta : y;
}

std::vector<Sample<LayerNormAttrs>> LayerNorm::samples() {
  std::vector<Sample<Attrs>> s;
  int seed = 1;
  for (const Shape& shape : {Shape{4}, Shape{1, 2}, Shape{3, 5}, Shape{2, 3, 8}, Shape{0, 4}, Shape{7, 33}, Shape{2, 2, 2, 16}, Shape{65, 6}})
    for (bool affine : {false, true}) {
      const Index C = shape[-1];
      s.push_back({shape.str() + (affine ? " affine" : ""),
                   {sample_values(shape, {-2, 3}, seed), affine ? sample_values({C}, {0.5, 1.5}, seed + 1) : Tensor{}, affine ? sample_values({C}, {}, seed + 2) : Tensor{}},
                   {.eps = 1e-5}});
      seed += 3;
    }
  return s;
}

std::vector<Bad> LayerNorm::bad_samples() {
  const auto x = [](const Shape& s) { return zeros(s, DType::f32); };
  return {
      {"gamma", [=] { layer_norm(x({2, 6}), x({5})); }, {"layer_norm", "gamma does not fit", "[6]", "[5]"}},
      {"beta", [=] { layer_norm(x({2, 6}), x({6}), x({6, 1})); }, {"beta does not fit"}},
      {"scalar", [=] { layer_norm(x({})); }, {"too few axes"}},
  };
}

// --- GEGLU -----------------------------------------------------------------------------------------

Tensor geglu(Tensor h, Site at) { return apply<Geglu>(at, {}, std::move(h)); }

namespace {
Index half_width(const Tensor& h, Site at) {
  if (h.rank() < 1 || h.dim(-1) % 2)
    fail({.op = "geglu", .what = "the last axis has no halves", .expected = "h [..., 2F]", .got = h.str()}, at);
  return h.dim(-1) / 2;
}
}  // namespace

Tensor Geglu::forward(const Tensor& h, Site at) {
  check_same_floating("geglu", {&h}, at);
  const Index width = half_width(h, at);
  if (h.dtype() == DType::f16) return cast(forward(wide(h), at), DType::f16);
  Tensor y = Tensor::empty(h.shape().with(-1, width), h.dtype(), h.device());
  if (y.numel() == 0) return y;
  const Tensor hc = contiguous(h);
  backend(h.device()).geglu(h.dtype(), {.rows = y.numel() / width, .width = width, .h = hc.raw(), .y = y.mutable_raw()});
  return y;
}

Tensor Geglu::vjp(const Tensor& g, const Tensor& h) {
  if (h.dtype() == DType::f16) return cast(vjp(wide(g), wide(h)), DType::f16);
  static constexpr OpInfo grad_info{"geglu_grad"};
  const Tensor in[] = {g, h};
  detail::CallRecord call(grad_info, in, Site{});
  Tensor dh = Tensor::empty(h.shape(), h.dtype(), h.device());
  if (dh.numel() == 0) return dh;
  const Tensor hc = contiguous(h), gc = contiguous(g);
  backend(h.device()).geglu_grad(h.dtype(), {.rows = h.numel() / h.dim(-1), .width = h.dim(-1) / 2, .h = hc.raw(), .g = gc.raw(), .dh = dh.mutable_raw()});
  call.finish(dh);
  return dh;
}

std::vector<Sample<NoAttrs>> Geglu::samples() {
  std::vector<Sample<NoAttrs>> s;
  int seed = 1;
  for (const Shape& shape : {Shape{2}, Shape{1, 2}, Shape{3, 4}, Shape{0, 4}, Shape{2, 0}, Shape{2, 3, 6}, Shape{5, 34}, Shape{1, 64}, Shape{33, 10}, Shape{2, 2, 2, 8}, Shape{7, 130}, Shape{70, 2}})
    s.push_back({shape.str(), {sample_values(shape, {-4, 4}, seed++)}});
  return s;
}
std::vector<Bad> Geglu::bad_samples() {
  return {{"odd", [] { geglu(zeros({2, 5})); }, {"geglu", "no halves", "[2, 5]"}},
          {"dtype", [] { geglu(zeros({2, 4}, DType::i64)); }, {"floating-point"}}};
}

}  // namespace sspo
