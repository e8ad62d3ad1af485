// Layers: parameters with a function. Names and shapes equal those of diffusers' checkpoints, but for
// convolution weights, which lie as [out, kh, kw, in] here (io/ permutes them at the file's door).
//   nn::Linear f(p / "to_out" / 0, 320, 320);      Tensor y = f(x);
#pragma once
#include "sspo/nn/lora.hpp"
#include "sspo/ops/all.hpp"

namespace sspo::nn {

struct Linear {
  Param weight;                 // [out, in]
  std::optional<Param> bias;    // [out]
  std::optional<LowRank> lora;  // where the scope's adapters want it
  struct Options { bool bias = true; };
  Linear(const Scope& p, Index in, Index out, Options o) : weight(p.param("weight", {out, in}, init::fan_in(in))), lora(low_rank(p, weight.shape())) {
    if (o.bias) bias = p.param("bias", {out}, init::fan_in(in));
  }
  Linear(const Scope& p, Index in, Index out) : Linear(p, in, out, Options{}) {}
  Tensor operator()(const Tensor& x, Activation activation = Activation::none, Site at = Site::current()) const { return run(x, activation, {}, at); }
  // residual + f(x), in one pass over memory.
  Tensor operator()(const Tensor& x, const Tensor& residual, Site at = Site::current()) const { return run(x, Activation::none, residual, at); }

 private:
  Tensor run(const Tensor& x, Activation activation, const Tensor& residual, Site at) const {
    Tensor y = linear(x, weight, bias ? Tensor(*bias) : Tensor{}, lora ? Activation::none : activation, residual, at);
    if (!lora) return y;
    return linear(lora->scaled(linear(x, lora->down, {}, Activation::none, {}, at)), lora->up, {}, activation, std::move(y), at);
  }
};

struct Conv2d {
  struct Options {
    Index kernel = 3;
    std::array<Index, 2> stride = {1, 1};
    std::array<Index, 4> padding = {0, 0, 0, 0};
    Index groups = 1;
    bool bias = true;
  };
  Param weight;                 // [out, kernel, kernel, in / groups]
  std::optional<Param> bias;    // [out]
  std::optional<LowRank> lora;  // as Linear's; none where there are groups
  Conv2dAttrs attrs;
  Conv2d(const Scope& p, Index in, Index out, Options o)
      : weight(p.param("weight", {out, o.kernel, o.kernel, in_of_group(in, o)}, init::fan_in(in_of_group(in, o) * o.kernel * o.kernel))),
        lora(o.groups == 1 ? low_rank(p, weight.shape()) : std::nullopt), attrs{.stride = o.stride, .padding = o.padding, .groups = o.groups} {
    if (o.bias) bias = p.param("bias", {out}, init::fan_in(in_of_group(in, o) * o.kernel * o.kernel));
  }
  Tensor operator()(const Tensor& x, Site at = Site::current()) const { return (*this)(x, Tensor{}, at); }
  // residual + f(x), in one pass over memory.
  Tensor operator()(const Tensor& x, const Tensor& residual, Site at = Site::current()) const {
    Tensor y = conv2d(x, weight, bias ? Tensor(*bias) : Tensor{}, attrs, residual, at);
    if (!lora) return y;
    return conv2d(lora->scaled(conv2d(x, lora->down, {}, attrs, {}, at)), lora->up, {}, {}, std::move(y), at);
  }

 private:
  static Index in_of_group(Index in, const Options& o) {
    if (o.groups < 1 || in % o.groups)
      fail({.op = "conv2d", .what = "the groups do not divide the input channels", .expected = "a divisor of " + std::to_string(in), .got = std::to_string(o.groups) + " groups"}, Site{});
    return in / o.groups;
  }
};

struct GroupNorm {
  Param weight, bias;  // [channels]
  GroupNormAttrs attrs;
  GroupNorm(const Scope& p, Index channels, GroupNormAttrs a)
      : weight(p.param("weight", {channels}, init::constant(1))), bias(p.param("bias", {channels}, init::constant(0))), attrs(a) {}
  Tensor operator()(Tensor x, Site at = Site::current()) const { return group_norm(std::move(x), weight, bias, attrs, at); }
};

struct LayerNorm {
  Param weight, bias;  // [channels]
  LayerNormAttrs attrs;
  LayerNorm(const Scope& p, Index channels, LayerNormAttrs a = {})
      : weight(p.param("weight", {channels}, init::constant(1))), bias(p.param("bias", {channels}, init::constant(0))), attrs(a) {}
  Tensor operator()(const Tensor& x, Site at = Site::current()) const { return layer_norm(x, weight, bias, attrs, at); }
};

struct Embedding {
  Param weight;  // [count, dim]
  Embedding(const Scope& p, Index count, Index dim) : weight(p.param("weight", {count, dim}, init::normal(1))) {}
  Tensor operator()(const Tensor& ids, Site at = Site::current()) const { return embedding(weight, ids, at); }
};

}  // namespace sspo::nn
