// AdamW, SGD and EMA against the formulas in double, many tensors at once, and at step 1 and 1e6.
#include <cmath>

#include "cpu/optim.hpp"
#include "kernel_test.hpp"

namespace {
using namespace sspo;
using namespace sspo::cpu;
using namespace sspo::testing;

const Index sizes[] = {1, 0, 7, 64, 1000, 70001, 32768};

struct Model {
  std::vector<std::vector<float>> p, g, a, b;
  explicit Model(unsigned seed) {
    for (Index n : sizes) {
      p.push_back(rounded<float>(randn(n, seed++)));
      g.push_back(rounded<float>(randn(n, seed++, 0, 0.1)));
      a.emplace_back(std::size_t(n));
      b.emplace_back(std::size_t(n));
    }
  }
};
Doubles joined(const std::vector<std::vector<float>>& parts) {
  Doubles all;
  for (const auto& v : parts) all.insert(all.end(), v.begin(), v.end());
  return all;
}

TEST_CASE("adamw: ten steps within 1e-6 of double arithmetic, equal bits for any thread count") {
  Arena arena({});
  for_each_isa([&](Isa isa) {
    for (Index start : {Index(1), Index(1000000)}) {
      std::vector<std::vector<float>> one;
      for (int threads : {1, 2, 3}) {
        const Context ctx{threads, isa, &arena};
        Model model(1);
        Doubles p = joined(model.p), m(p.size()), v(p.size());
        const Doubles g = joined(model.g);
        const double lr = 1e-2, b1 = 0.9, b2 = 0.999, eps = 1e-8, scale = 0.5;
        for (Index step = start; step < start + 10; ++step) {
          std::vector<AdamWTensor> t;
          for (std::size_t k = 0; k < model.p.size(); ++k)
            t.push_back({model.p[k].data(), model.g[k].data(), model.a[k].data(), model.b[k].data(), Index(model.p[k].size()), k % 2 ? 0.0 : 0.1});
          optim_kernels(isa).adamw(ctx, {t.data(), Index(t.size()), lr, b1, b2, eps, step, scale});
          std::size_t i = 0;
          for (std::size_t k = 0; k < model.p.size(); ++k)
            for (std::size_t j = 0; j < model.p[k].size(); ++j, ++i) {
              const double d = g[i] * scale;
              p[i] *= 1 - lr * (k % 2 ? 0.0 : 0.1);
              m[i] = b1 * m[i] + (1 - b1) * d;
              v[i] = b2 * v[i] + (1 - b2) * d * d;
              p[i] -= lr / (1 - std::pow(b1, double(step))) * m[i] / (std::sqrt(v[i]) / std::sqrt(1 - std::pow(b2, double(step))) + eps);
            }
        }
        if (threads == 1) {
          CHECK(error(joined(model.p), p) <= 1e-6);
          CHECK(error(joined(model.a), m) <= 1e-6);
          CHECK(error(joined(model.b), v) <= 1e-6);
          one = model.p;
        } else {
          CHECK(one == model.p);
        }
      }
    }
  });
}

TEST_CASE("sgd and ema") {
  Arena arena({});
  for_each_isa([&](Isa isa) {
    const Context ctx{2, isa, &arena};
    for (double momentum : {0.0, 0.9})
      for (bool nesterov : {false, true}) {
        Model model(100);
        Doubles p = joined(model.p), u(p.size());
        const Doubles g = joined(model.g);
        for (int step = 0; step < 5; ++step) {
          std::vector<SgdTensor> t;
          for (std::size_t k = 0; k < model.p.size(); ++k)
            t.push_back({model.p[k].data(), model.g[k].data(), momentum > 0 ? model.a[k].data() : nullptr, Index(model.p[k].size()), 0.01});
          optim_kernels(isa).sgd(ctx, {t.data(), Index(t.size()), 0.1, momentum, nesterov && momentum > 0, 2});
          for (std::size_t i = 0; i < p.size(); ++i) {
            const double d = 2 * g[i] + 0.01 * p[i];
            u[i] = momentum * u[i] + d;
            p[i] -= 0.1 * (nesterov && momentum > 0 ? d + momentum * u[i] : u[i]);
          }
        }
        CHECK(error(joined(model.p), p) <= 1e-6);
      }
    Model model(200);
    std::vector<EmaTensor> t;
    for (std::size_t k = 0; k < model.p.size(); ++k) t.push_back({model.g[k].data(), model.p[k].data(), Index(model.p[k].size())});
    Doubles e = joined(model.g);
    const Doubles p = joined(model.p);
    for (int step = 0; step < 5; ++step) {
      optim_kernels(isa).ema(ctx, {t.data(), Index(t.size()), 0.99});
      for (std::size_t i = 0; i < e.size(); ++i) e[i] = 0.99 * e[i] + 0.01 * p[i];
    }
    CHECK(error(joined(model.g), e) <= 1e-6);
    std::vector<float> same = model.p[5];
    const EmaTensor fixed{same.data(), model.p[5].data(), Index(same.size())};
    optim_kernels(isa).ema(ctx, {&fixed, 1, 0.9999});
    CHECK(same == model.p[5]);
    optim_kernels(isa).ema(ctx, {nullptr, 0, 0.9});
  });
}

}  // namespace
