// A training that calls every family of kernels, for devices that must give the same bits.
#pragma once
#include <vector>

#include "sspo/grad/backward.hpp"
#include "sspo/nn/params.hpp"
#include "sspo/ops/all.hpp"
#include "sspo/train/optimizer.hpp"

namespace sspo {

// Three steps of a small network of every family of kernels; losses, norms of gradients, parameters.
inline std::vector<float> training(const Device& device) {
  Params params(device, Rng{3});
  const auto weight = [&](const char* name, const Shape& shape) { return params.get(name, shape, [](const Rng& rng, const Shape& s, const Device& on) { return 0.2 * normal(rng, s, on); }); };
  const Param table = weight("table", {10, 8}), conv = weight("conv", {8, 3, 3, 8}), gamma = weight("gamma", {8}), beta = weight("beta", {8});
  const Param query = weight("query", {8, 8}), out = weight("out", {8, 4});
  AdamW adamw(params, {.lr = 1e-2});
  std::vector<float> all;
  const auto keep = [&](const Tensor& x) {
    for (const float v : detach(x).to_vector<float>()) all.push_back(v);
  };
  for (Index step = 0; step < 3; ++step) {
    const Tensor ids = randint(Rng{5} / step, {2, 4, 4}, 0, 10, device), target = normal(Rng{6} / step, {2, 16, 4}, device);
    Tensor h = embedding(table, ids);                                     // [2, 4, 4, 8]
    h = h + group_norm(conv2d(h, conv, {}, {.padding = same(3)}), gamma, beta, {.groups = 2, .silu = true});
    h = reshape(h, {2, 16, 2, 4});
    h = reshape(attention(reshape(matmul(reshape(h, {2, 16, 8}), query), {2, 16, 2, 4}), h, h), {2, 16, 8});
    const Tensor loss = mean(square(matmul(h, out) - target));
    const Gradients g = backward(loss);
    const ClippedGradients clipped = clip_norm(g, 0.1);
    all.push_back(float(clipped.norm));
    adamw.step(clipped);
    keep(loss);
  }
  for (const Param& p : params) keep(p.value());
  return all;
}

}  // namespace sspo
