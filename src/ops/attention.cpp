#include "sspo/ops/attention.hpp"

#include <cmath>
#include <limits>

#include "backend.hpp"
#include "ops/check.hpp"

namespace sspo {

Tensor attention(Tensor q, Tensor k, Tensor v, Tensor mask, AttentionAttrs attrs, Site at) {
  if (mask.defined() && mask.dtype() == DType::boolean) {
    const DType t = compute_type(q.dtype());
    mask = where(mask, full({}, 0, t, mask.device()), full({}, -std::numeric_limits<double>::infinity(), t, mask.device()));
  } else if (mask.defined()) {
    mask = cast(mask, compute_type(q.dtype()));
  }
  return apply<Attention>(at, attrs, std::move(q), std::move(k), std::move(v), std::move(mask));
}

namespace {

// Heads are read in place if a token's features are contiguous, whatever the strides between tokens.
Tensor rows_contiguous(const Tensor& x) { return x.dim(-1) <= 1 || x.layout().strides[3] == 1 ? x : contiguous(x); }

template <class H>
H heads(const Tensor& x) {
  const Strides& s = x.layout().strides;
  return {const_cast<void*>(x.raw()), {.batch = x.dim(0) == 1 ? 0 : s[0], .row = s[1], .head = s[2]}};
}

// The mask in the type in which scores are computed, its keys contiguous.
Tensor mask_rows(const Tensor& mask, DType compute) {
  if (!mask.defined()) return mask;
  const Tensor m = cast(mask, compute);
  return m.dim(3) > 1 && m.layout().strides[3] != 1 ? contiguous(m) : m;
}

kernels::AttentionMask mask_view(const Tensor& mask) {
  if (!mask.defined()) return {};
  const auto stride = [&](int axis) { return mask.dim(axis) == 1 ? 0 : mask.layout().strides[std::size_t(axis)]; };
  return {mask.raw(), stride(0), stride(1), stride(2)};
}

double scale_of(const AttentionAttrs& a, const Tensor& q) { return a.scale ? *a.scale : 1 / std::sqrt(double(std::max<Index>(q.dim(3), 1))); }

}  // namespace

Kept<Attention::Extra> Attention::forward(const Attrs& attrs, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, Site at) {
  check_same_floating("attention", {&q, &k, &v}, at);
  const auto refuse = [&](const std::string& what, const std::string& expected) {
    fail({.op = "attention", .what = what, .expected = expected,
          .got = "q " + q.str() + ", k " + k.str() + ", v " + v.str() + (mask.defined() ? ", mask " + mask.str() : ""),
          .hint = "reshape a projection [B, N, H*D] to [B, N, H, D]"}, at);
  };
  if (q.rank() != 4 || k.rank() != 4 || v.rank() != 4) refuse("operands need four axes", "q [B, N, H, D], k and v [B, M, H, D]");
  const auto [B, N, H, D] = q.dims<4>();
  const Index M = k.dim(1);
  if (!(k.shape() == Shape{B, M, H, D}) || !(v.shape() == k.shape())) refuse("keys or values do not match the queries", "k and v [" + std::to_string(B) + ", M, " + std::to_string(H) + ", " + std::to_string(D) + "]");
  if (D == 0) refuse("the head size is 0", "D of 1 or more");
  const DType compute = compute_type(q.dtype());
  if (mask.defined()) {
    if (mask.rank() != 4 || mask.dim(3) != M || (mask.dim(0) != 1 && mask.dim(0) != B) || (mask.dim(1) != 1 && mask.dim(1) != H) || (mask.dim(2) != 1 && mask.dim(2) != N))
      refuse("the mask does not fit", "[B or 1, H or 1, N or 1, M] = [" + std::to_string(B) + ", " + std::to_string(H) + ", " + std::to_string(N) + ", " + std::to_string(M) + "]");
    if (!is_floating(mask.dtype())) refuse("the mask has another dtype", std::string(name_of(compute)) + " or bool");
    if (mask.tracked()) refuse("the mask is tracked", "a mask without gradient: detach(mask)");
  }
  if (q.dtype() == DType::f16) {
    const auto wide = [](const Tensor& x) { return cast(x, DType::f32); };
    auto out = forward(attrs, wide(q), wide(k), wide(v), mask, at);
    return {cast(out.y, DType::f16), out.extra};
  }
  Tensor o = Tensor::empty(q.shape(), q.dtype(), q.device()), lse = Tensor::empty({B, H, N}, compute, q.device());
  if (o.numel() == 0) return {o, {lse}};
  const Tensor qc = rows_contiguous(q), kc = rows_contiguous(k), vc = rows_contiguous(v);
  const Tensor mc = mask_rows(mask, compute);
  backend(q.device()).attention(q.dtype(), {.batch = B, .heads = H, .queries = N, .keys = M, .head_dim = D,
                                            .q = heads<kernels::Heads>(qc), .k = heads<kernels::Heads>(kc), .v = heads<kernels::Heads>(vc), .mask = mask_view(mc),
                                            .scale = scale_of(attrs, q), .causal = attrs.causal, .o = heads<kernels::HeadsOut>(o), .lse = lse.mutable_raw()});
  return {o, {lse}};
}

Grads<4> Attention::vjp(const Attrs& attrs, Needs need, const Tensor& g, const Tensor& q, const Tensor& k, const Tensor& v,
                        const Tensor& mask, const Tensor& y, const Extra& extra) {
  if (q.dtype() == DType::f16) {
    const auto wide = [](const Tensor& x) { return cast(x, DType::f32); };
    Grads<4> d = vjp(attrs, need, wide(g), wide(q), wide(k), wide(v), mask, wide(y), extra);
    for (Tensor& t : d)
      if (t.defined()) t = cast(t, DType::f16);
    return d;
  }
  static constexpr OpInfo grad_info{"attention_grad"};
  const Tensor in[] = {q, k, v, y, g};
  detail::CallRecord call(grad_info, in, Site{});
  const auto [B, N, H, D] = q.dims<4>();
  Grads<4> d;
  if (need[0]) d[0] = Tensor::empty(q.shape(), q.dtype(), q.device());
  if (need[1]) d[1] = Tensor::empty(k.shape(), k.dtype(), k.device());
  if (need[2]) d[2] = Tensor::empty(v.shape(), v.dtype(), v.device());
  const Tensor qc = rows_contiguous(q), kc = rows_contiguous(k), vc = rows_contiguous(v), gc = rows_contiguous(g);
  const Tensor mc = mask_rows(mask, compute_type(q.dtype()));
  const auto out = [](const Tensor& t) { return t.defined() ? heads<kernels::HeadsOut>(t) : kernels::HeadsOut{}; };
  backend(q.device()).attention_grad(q.dtype(), {.batch = B, .heads = H, .queries = N, .keys = k.dim(1), .head_dim = D,
                                                 .q = heads<kernels::Heads>(qc), .k = heads<kernels::Heads>(kc), .v = heads<kernels::Heads>(vc), .o = heads<kernels::Heads>(y), .d_o = heads<kernels::Heads>(gc),
                                                 .mask = mask_view(mc), .scale = scale_of(attrs, q), .causal = attrs.causal, .lse = extra.log_sum_exp.raw(),
                                                 .dq = out(d[0]), .dk = out(d[1]), .dv = out(d[2])});
  call.finish(d[0].defined() ? d[0] : d[1].defined() ? d[1] : d[2]);
  return d;
}

// The same in plain ops, scores and all: O(N M) memory.
Tensor Attention::reference(const Attrs& attrs, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask) {
  const Index N = q.dim(1), M = k.dim(1);
  const auto by_head = [](const Tensor& x) { return permute(x, {0, 2, 1, 3}); };       // [B, H, N, D]
  Tensor s = scale_of(attrs, q) * matmul(by_head(q), transpose(by_head(k)));           // [B, H, N, M]
  if (mask.defined()) s = s + mask;
  const Tensor never = full({}, -std::numeric_limits<double>::infinity(), s.dtype(), s.device());
  if (attrs.causal) {
    const Tensor i = reshape(arange(N, 0, 1, s.dtype(), s.device()), {N, 1}), j = arange(M, 0, 1, s.dtype(), s.device());
    s = where(j <= i, s, never);
  }
  if (M == 0) return zeros_like(q);
  const Tensor top = detach(max(s, {-1}, true));                                       // [B, H, N, 1]
  const Tensor seen = top > -1e300;                                                    // false: the query sees no key
  const Tensor zero = number_like(s, 0), one = number_like(s, 1);
  const Tensor e = where(seen, exp(where(seen, s, zero) - where(seen, top, zero)), zero);
  return by_head(matmul(e / where(seen, sum(e, {-1}, true), one), by_head(v)));        // [B, N, H, D]
}

std::vector<Sample<Attention::Attrs>> Attention::samples() {
  std::vector<Sample<Attrs>> s;
  int seed = 1;
  const auto v = [&](const Shape& shape) { return sample_values(shape, {-1.5, 1.5}, seed++); };
  const auto plain = [&](Index B, Index N, Index M, Index H, Index D, Attrs a = {}, const Shape& mask = {}) {
    Tensor m;
    if (mask.rank()) m = sample_values(mask, {-2, 2}, seed++);
    s.push_back({Shape{B, N, M, H, D}.str() + (a.causal ? " causal" : "") + (mask.rank() ? " mask " + mask.str() : ""),
                 {v({B, N, H, D}), v({B, M, H, D}), v({B, M, H, D}), m}, a});
  };
  plain(1, 1, 1, 1, 1);
  plain(1, 3, 2, 1, 2);
  plain(2, 5, 5, 3, 8);
  plain(1, 7, 77, 2, 5);
  plain(0, 4, 4, 2, 8);
  plain(2, 0, 4, 2, 8);
  plain(1, 70, 65, 1, 40);
  plain(1, 4, 9, 1, 160);
  plain(1, 6, 6, 2, 4, {.causal = true});
  plain(1, 66, 66, 1, 3, {.causal = true});
  plain(1, 5, 9, 1, 4, {.causal = true, .scale = 0.3});
  plain(2, 5, 6, 2, 4, {}, {2, 2, 5, 6});
  plain(2, 5, 6, 2, 4, {}, {1, 1, 1, 6});
  plain(2, 5, 6, 2, 4, {}, {2, 1, 5, 6});
  plain(1, 3, 3, 1, 4, {.scale = 2.0});
  Tensor hidden = full({1, 1, 3, 4}, -std::numeric_limits<double>::infinity(), DType::f64);  // row 1 sees nothing
  for (Index i : {0, 1, 2, 3, 8, 10}) hidden.mutable_data<double>()[i] = 0;
  s.push_back({"a row without keys", {v({1, 3, 2, 4}), v({1, 4, 2, 4}), v({1, 4, 2, 4}), hidden}, {}});
  return s;
}

std::vector<Bad> Attention::bad_samples() {
  const auto x = [](const Shape& s) { return zeros(s, DType::f32); };
  return {
      {"rank", [=] { attention(x({2, 3, 8}), x({2, 3, 8}), x({2, 3, 8})); }, {"attention", "four axes", "[2, 3, 8]"}},
      {"heads", [=] { attention(x({2, 3, 2, 8}), x({2, 3, 4, 8}), x({2, 3, 4, 8})); }, {"do not match the queries", "[2, M, 2, 8]"}},
      {"values", [=] { attention(x({2, 3, 2, 8}), x({2, 5, 2, 8}), x({2, 4, 2, 8})); }, {"do not match"}},
      {"mask", [=] { attention(x({2, 3, 2, 8}), x({2, 5, 2, 8}), x({2, 5, 2, 8}), x({2, 3, 5})); }, {"mask does not fit", "[2, 2, 3, 5]"}},
      {"dtypes", [=] { attention(x({2, 3, 2, 8}), x({2, 5, 2, 8}), zeros({2, 5, 2, 8}, DType::bf16)); }, {"different dtypes"}},
  };
}

}  // namespace sspo
