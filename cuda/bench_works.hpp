// Works of the engine whose kernels' traffic bench.cpp counts.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sspo/cuda.hpp"
#include "sspo/grad/backward.hpp"
#include "sspo/ops/all.hpp"
#include "sspo/train/optimizer.hpp"

namespace sspo::cuda_bench {

struct Work {
  std::string name;
  double floor_bytes, floor_flops;
  std::function<void(const std::function<void()>& begin)> run;  // calls begin() once, ahead of what counts
};

inline double bytes(std::initializer_list<Tensor> all) {
  double sum = 0;
  for (const Tensor& x : all) sum += double(x.numel()) * double(size_of(x.dtype()));
  return sum;
}

// The op, and its gradient for all inputs.
inline void both(std::vector<Work>& all, const std::string& name, double flops, std::vector<Tensor> in, const std::function<Tensor(const std::vector<Tensor>&)>& op) {
  double read = 0;
  for (const Tensor& x : in) read += bytes({x});
  const Tensor y = op(in);
  all.push_back({name, read + bytes({y}), flops, [=](const auto& begin) {
                   begin();
                   op(in);
                 }});
  all.push_back({name + ", gradient", 2 * read + bytes({y}), 2 * flops, [=](const auto& begin) {
                   std::vector<Tensor> tracked;
                   for (const Tensor& x : in) tracked.push_back(track(x, "x"));
                   const Tensor out = op(tracked), g = ones_like(y);
                   begin();
                   backward(out, {.seed = g});
                 }});
}

inline std::vector<Work> works(const Device& device, const Device& tf32) {
  std::vector<Work> all;
  const auto numbers = [](const Shape& shape, DType t, const Device& d) { return cast(normal(Rng{1}, shape, d), t); };
  const Index n = 256, batch = 2, rows = 256;
  const double square = double(n) * double(n), pairs = double(rows) * double(rows);
  const auto product = [&](DType t, const Device& d, const std::string& type) {
    const Tensor a = numbers({n, n}, t, d);
    both(all, "matmul " + a.shape().str() + " x " + a.shape().str() + " " + type, 2 * square * double(n), {a, a}, [](const auto& in) { return matmul(in[0], in[1]); });
  };
  const auto attend = [&](DType t, const Device& d, const std::string& type) {
    const Shape heads{1, rows, 2, 64};
    both(all, "attention " + heads.str() + " " + type, 4.0 * 2 * pairs * 64,
         {numbers(heads, t, d), numbers(heads, t, d), numbers(heads, t, d)}, [](const auto& in) { return attention(in[0], in[1], in[2]); });
  };
  for (const DType t : {DType::f32, DType::bf16}) {
    const std::string type(name_of(t));
    const auto add = [&](const std::string& what, const std::vector<Shape>& shapes, double flops, const std::function<Tensor(const std::vector<Tensor>&)>& op) {
      std::vector<Tensor> in;
      for (const Shape& s : shapes) in.push_back(numbers(s, t, device));
      both(all, what + " " + shapes[0].str() + " " + type, flops, in, op);
    };
    product(t, device, type);
    add("conv2d 3x3, 64 channels,", {{batch, 16, 16, 64}, {64, 3, 3, 64}}, 2.0 * double(batch) * 256 * 64 * 64 * 9,
        [](const auto& in) { return conv2d(in[0], in[1], {}, {.padding = same(3)}); });
    attend(t, device, type);
    add("group_norm + silu", {{batch, 16, 16, 64}, {64}, {64}}, 8.0 * double(batch) * 256 * 64,
        [](const auto& in) { return group_norm(in[0], in[1], in[2], {.groups = 32, .silu = true}); });
    add("layer_norm", {{rows, 320}, {320}, {320}}, 8.0 * double(rows) * 320, [](const auto& in) { return layer_norm(in[0], in[1], in[2]); });
    add("softmax", {{rows, 512}}, 4.0 * double(rows) * 512, [](const auto& in) { return softmax(in[0]); });
    add("geglu", {{rows, 640}}, 16.0 * double(rows) * 320, [](const auto& in) { return geglu(in[0]); });
    add("add a row to", {{rows, 512}, {512}}, double(rows) * 512, [](const auto& in) { return in[0] + in[1]; });
  }
  product(DType::f32, tf32, "tf32"), attend(DType::f32, tf32, "tf32");
  const Index size = 65536;
  const auto params = std::make_shared<Params>(device);
  params->add("p", normal(Rng{2}, {size}, device));
  const auto adamw = std::make_shared<AdamW>(*params, AdamW::Options{.lr = 1e-3});
  all.push_back({"adamw " + Shape{size}.str(), 7.0 * 4 * double(size), 12.0 * double(size), [=](const auto& begin) {  // reads p, g, m, v, writes p, m, v
                   const Gradients g = backward(sum((*params)["p"] * 2.0));
                   begin();
                   adamw->step(g);
                 }});
  const auto eight = std::make_shared<AdamW8bit>(*params, AdamW::Options{.lr = 1e-3});
  all.push_back({"adamw8bit " + Shape{size}.str(), (16 + 16.0 / 256) * double(size), 20.0 * double(size), [=](const auto& begin) {  // reads p, g, both codes, writes p, both codes
                   const Gradients g = backward(sum((*params)["p"] * 2.0));
                   begin();
                   eight->step(g);
                 }});
  return all;
}

}  // namespace sspo::cuda_bench
