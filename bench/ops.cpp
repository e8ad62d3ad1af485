// Our side of the rows. The matrix products call the engine itself, as the rivals' are called; everything
// else goes through the public ops, with what that costs: checks, allocation, the graph where it is recorded.
#include <memory>

#include "bench.hpp"
#include "cpu/gemm.hpp"
#include "sspo/nn/params.hpp"
#include "sspo/ops/all.hpp"
#include "sspo/tensor/arena.hpp"
#include "sspo/train/optimizer.hpp"

namespace bench {
namespace {

using namespace sspo;

// A B with B a fresh matrix, packed in every call, as the rivals do.
struct Gemm {
  Arena arena{{}};
  cpu::Context ctx;
  kernels::GemmArgs args;
  std::vector<float> a, b, c;
  std::vector<bf16> a16, b16, c16;
};

std::vector<bf16> to_bf16(const std::vector<float>& x) {
  std::vector<bf16> y;
  y.reserve(x.size());
  for (const float v : x) y.emplace_back(v);
  return y;
}

Work gemm(const Row& row, int threads) {
  const Index m = row.shape[0], n = row.shape[1], k = row.shape[2];
  auto g = std::make_shared<Gemm>();
  g->ctx = {threads, cpu::default_isa(), &g->arena};
  const bool half = row.dtype == DType::bf16;
  g->a = values(m * k, 1), g->b = values(k * n, 2), g->c = values(m * n, 3);
  if (half) g->a16 = to_bf16(g->a), g->b16 = to_bf16(g->b), g->c16 = to_bf16(g->c);
  const auto pick = [&](auto& full, auto& small) -> void* { return half ? static_cast<void*>(small.data()) : full.data(); };
  const bool nt = row.kind == "gemm_nt";
  g->args = {.m = m, .n = n, .k = k, .a = {pick(g->a, g->a16), k, 1},
             .b = {pick(g->b, g->b16), nt ? 1 : n, nt ? k : 1}, .c = pick(g->c, g->c16), .ldc = n};
  const cpu::GemmKernels& kernels = cpu::gemm_kernels(g->ctx.isa);
  const auto multiply = half ? kernels.bf16.multiply : kernels.f32.multiply;
  return [=] { multiply(g->ctx, g->args); };
}

// The inputs of one row, on a device of its own.
struct Inputs {
  const Row& row;
  Device device;
  int count = 0;
  Inputs(const Row& r, int threads) : row(r), device(Device::cpu({.threads = threads})) {}
  Tensor operator()(const Shape& shape) { return uniform(Rng{1} / ++count, shape, -1, 1, device, row.dtype); }
};

// y = f(leaves...) and the gradients of every leaf.
template <class F, class... Leaf>
Work train(F f, const Tensor& g, const Leaf&... leaf) {
  return [=] { backward(f(track(leaf)...), {.seed = g}); };
}

Work conv(const Row& row, int threads) {
  const auto& s = row.shape;
  Inputs in(row, threads);
  const Shape image{s[0], s[1], s[2], s[3]};
  auto params = std::make_shared<Params>(in.device);
  Param w = params->add("w", in({s[4], 3, 3, s[3]}));  // a parameter: packed once, not in every call
  const Tensor x = in(image), g = in({s[0], s[1], s[2], s[4]});
  w.set_trainable(row.kind == "conv_weight");
  const auto y = [=](const Tensor& x) { return conv2d(x, w, {}, {.padding = same(3)}); };
  if (row.kind == "conv_forward") return [=] { y(x); };
  return [=, params = params, y = y(row.kind == "conv_data" ? track(x) : x)] { backward(y, {.seed = g}); };
}

Work group_norm_silu(const Row& row, int threads) {
  const auto& s = row.shape;
  Inputs in(row, threads);
  const Shape shape{s[0], s[1], s[2], s[3]};
  const Tensor x = in(shape), gamma = in({s[3]}), beta = in({s[3]}), g = in(shape);
  const Index groups = s[3] % 32 == 0 ? 32 : 16;
  const auto f = [=](const Tensor& x, const Tensor& gamma, const Tensor& beta) {
    return group_norm(x, gamma, beta, {.groups = groups, .silu = true});
  };
  if (row.kind == "group_norm_silu_train") return train(f, g, x, gamma, beta);
  return [=] { f(x, gamma, beta); };
}

Work layer_norm_row(const Row& row, int threads) {
  Inputs in(row, threads);
  const Shape shape{row.shape[0], row.shape[1]}, channels{row.shape[1]};
  const Tensor x = in(shape), gamma = in(channels), beta = in(channels), g = in(shape);
  const auto f = [](const Tensor& x, const Tensor& gamma, const Tensor& beta) { return layer_norm(x, gamma, beta); };
  if (row.kind == "layer_norm_train") return train(f, g, x, gamma, beta);
  return [=] { f(x, gamma, beta); };
}

Work geglu_row(const Row& row, int threads) {
  Inputs in(row, threads);
  const Tensor h = in({row.shape[0], row.shape[1]}), g = in({row.shape[0], row.shape[1] / 2});
  const auto f = [](const Tensor& h) { return geglu(h); };
  if (row.kind == "geglu_train") return train(f, g, h);
  return [=] { f(h); };
}

Work softmax_row(const Row& row, int threads) {
  Inputs in(row, threads);
  const Shape shape{row.shape[0], row.shape[1], row.shape[2]};
  const Tensor x = in(shape), g = in(shape);
  const auto f = [](const Tensor& x) { return softmax(x); };
  if (row.kind == "softmax_train") return train(f, g, x);
  return [=] { f(x); };
}

Work attention_row(const Row& row, int threads) {
  const auto& s = row.shape;  // batch, heads, queries, keys, head size
  Inputs in(row, threads);
  const Tensor q = in({s[0], s[2], s[1], s[4]}), k = in({s[0], s[3], s[1], s[4]}), v = in({s[0], s[3], s[1], s[4]});
  const Tensor g = in({s[0], s[2], s[1], s[4]});
  const auto f = [](const Tensor& q, const Tensor& k, const Tensor& v) { return attention(q, k, v); };
  const Work work = row.kind == "attention_train" ? train(f, g, q, k, v) : Work([=] { f(q, k, v); });
  in.device.reset_peak_memory();
  const std::size_t before = in.device.memory().in_use;
  work();
  report("peak_bytes", double(in.device.memory().peak - before));  // to show that it is linear in the tokens
  return work;
}

Work adamw(const Row& row, int threads) {
  Inputs in(row, threads);
  auto params = std::make_shared<Params>(in.device);
  const Param p = params->add("p", in({row.shape[0]}));
  auto optimizer = std::make_shared<AdamW>(*params, AdamW::Options{.lr = 1e-4});
  Gradients g;
  g.add(Tensor(p).node(), in({row.shape[0]}));
  return [=] { optimizer->step(g); };
}

// Against AdamW with f32 moments, ours: memory's traffic allows 28 / 16.06 of its speed.
Work adamw8bit(const Row& row, int threads) {
  Inputs in(row, threads);
  auto params = std::make_shared<Params>(in.device);
  const Param p = params->add("p", in({row.shape[0]}));
  auto optimizer = std::make_shared<AdamW8bit>(*params, AdamW::Options{.lr = 1e-4});
  Gradients g;
  g.add(Tensor(p).node(), in({row.shape[0]}));
  std::size_t states = 0;
  for (const auto& s : optimizer->slots()[0].states) states += std::size_t(s.kept.shape().numel()) * size_of(s.kept.dtype());
  report("state_bytes", double(states));
  report("traffic_bytes", double(row.shape[0]) * (16 + 16.0 / 256));  // the floor: p, both codes and scales read and written, g read
  return [=] { optimizer->step(g); };
}

}  // namespace

void add_sspo() {
  const auto add = [](std::initializer_list<const char*> kinds, Maker maker) {
    for (const char* kind : kinds) add_side("sspo", kind, maker);
  };
  add({"gemm_nn", "gemm_nt"}, gemm);
  add({"conv_forward", "conv_data", "conv_weight"}, conv);
  add({"group_norm_silu_forward", "group_norm_silu_train"}, group_norm_silu);
  add({"layer_norm_forward", "layer_norm_train"}, layer_norm_row);
  add({"geglu_forward", "geglu_train"}, geglu_row);
  add({"softmax_forward", "softmax_train"}, softmax_row);
  add({"adamw"}, adamw);
  add({"adamw8bit"}, adamw8bit);
  add({"attention_forward", "attention_train"}, attention_row);
}

}  // namespace bench
