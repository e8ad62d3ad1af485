// AdamW, SGD and EMA against the formulas in double, many tensors at once, and at step 1 and 1e6.
#include <cmath>

#include "cpu/optim.hpp"
#include "kernel_test.hpp"
#include "kernels/moment_map.hpp"

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

// --- moments of 8 bits

// The definition, one element after the other; fma as the set rounds it.
constexpr SignedMap signed_map{};
constexpr PositiveMap positive_map{};
struct Moments8 {
  std::vector<std::uint8_t> m, r;
  std::vector<float> m_scale, r_scale;
  explicit Moments8(Index n) : m(std::size_t(n)), r(m.size()), m_scale(std::size_t((n + moments_block - 1) / moments_block)), r_scale(m_scale.size()) {}
  void round(std::size_t block, std::size_t begin, std::size_t end, const std::vector<float>& ms, const std::vector<float>& rs, float most_m, float most_r) {
    const float m_share = most_m < 1e-36f ? 0 : 1 / most_m, r_share = most_r == 0 ? 0 : 1 / most_r;
    m_scale[block] = most_m < 1e-36f ? 0 : most_m, r_scale[block] = most_r;
    for (std::size_t i = begin; i < end; ++i) {
      const float x = ms[i - begin] * m_share, y = rs[i - begin] * r_share;
      m[i] = std::uint8_t(signed_map.nearest(std::fabs(x)) | (std::signbit(x) ? 128 : 0));
      r[i] = std::uint8_t(y > 0 ? std::max(1, positive_map.nearest(y)) : 0);
    }
  }
};
void reference_step(std::vector<float>& p, const std::vector<float>& g, Moments8& s, double lr, double b1, double b2, double eps, double decay, Index step, double scale, bool fused) {
  const auto fma = [&](float a, float b, float c) { volatile float ab = a * b; return fused ? std::fma(a, b, c) : ab + c; };
  const double bias1 = 1 - std::pow(b1, double(step)), bias2 = 1 - std::pow(b2, double(step));
  for (std::size_t block = 0; block < s.m_scale.size(); ++block) {
    const std::size_t begin = block * moments_block, end = std::min(p.size(), begin + moments_block);
    std::vector<float> ms, rs;
    float most_m = 0, most_r = 0;
    for (std::size_t i = begin; i < end; ++i) {
      const float gi = g[i] * float(scale), m0 = (s.m[i] & 128 ? -1.f : 1.f) * signed_map.value[s.m[i] & 127] * s.m_scale[block], r0 = positive_map.value[s.r[i]] * s.r_scale[block];
      const float m = fma(gi - m0, float(1 - b1), m0), v = fma(gi * gi, float(1 - b2), r0 * r0 * float(b2)), r = std::sqrt(v);
      p[i] = p[i] * float(1 - lr * decay) - float(lr / bias1) * m / fma(r, float(1 / std::sqrt(bias2)), float(eps));
      ms.push_back(m), rs.push_back(r);
      most_m = std::max(most_m, std::fabs(m)), most_r = std::max(most_r, r);
    }
    s.round(block, begin, end, ms, rs, most_m, most_r);
  }
}

TEST_CASE("moment maps: ascending to 1, the nearest number, steps as the decades have them") {
  const auto check = [](const auto& map, int bits, double smallest) {
    CHECK(map.value[0] == 0);
    CHECK(map.value[1] == float(smallest));
    CHECK(map.value[std::size_t(map.top)] == 1);
    for (int c = 1; c <= map.top; ++c) {
      const double x = map.value[std::size_t(c)], below = map.value[std::size_t(c - 1)];
      CHECK(x > below);
      CHECK(map.nearest(float(x)) == c);
      const int decade = -int(std::floor(std::log10(x) - 1e-6)) - 1;  // x in (10^-(decade + 1), 10^-decade]
      if (c > 1) CHECK(x - below <= 1.001 * 0.9 * std::pow(10, -decade) / double(1 << (bits - decade)));
    }
  };
  check(signed_map, 6, 1e-6);
  check(positive_map, 7, 1e-7);
  for (double x = 1e-9; x < 1; x *= 1.01)
    for (int c = 0; c <= 255; ++c) CHECK(std::fabs(positive_map.value[std::size_t(positive_map.nearest(float(x)))] - x) <= std::fabs(positive_map.value[std::size_t(c)] - x) * 1.000001 + 1e-16);
}

TEST_CASE("adamw8bit: the definition's bits, equal for any thread count; numbers of every size, blocks of zeros, ends of blocks") {
  Arena arena({});
  for_each_isa([&](Isa isa) {
    for (Index start : {Index(1), Index(1000000)}) {
      std::vector<std::vector<float>> one;
      for (int threads : {1, 2, 3}) {
        const Context ctx{threads, isa, &arena};
        Model model(1), expected(1);
        std::vector<Moments8> got, truth;
        for (const auto& p : model.p) got.emplace_back(Index(p.size())), truth.emplace_back(Index(p.size()));
        for (Index step = start; step < start + 6; ++step) {
          for (std::size_t k = 0; k < model.g.size(); ++k)
            for (std::size_t i = 0; i < model.g[k].size(); ++i) {  // gradients over nine decades; a whole block of zeros; one that vanishes later
              const float size = std::pow(10.f, -float((i * 7 + std::size_t(step)) % 10));
              model.g[k][i] = i / 256 % 5 == 1 ? 0 : i / 256 % 5 == 2 && step > start ? 0 : expected.g[k][i] * size * (step % 2 ? 1.f : -0.3f);
            }
          std::vector<AdamW8bitTensor> t;
          for (std::size_t k = 0; k < model.p.size(); ++k)
            t.push_back({model.p[k].data(), model.g[k].data(), got[k].m.data(), got[k].r.data(), got[k].m_scale.data(), got[k].r_scale.data(), Index(model.p[k].size()), k % 2 ? 0.0 : 0.1});
          optim_kernels(isa).adamw8bit(ctx, {t.data(), Index(t.size()), 1e-2, 0.9, 0.999, 1e-8, step, 0.5});
          for (std::size_t k = 0; k < model.p.size(); ++k)
            reference_step(expected.p[k], model.g[k], truth[k], 1e-2, 0.9, 0.999, 1e-8, k % 2 ? 0.0 : 0.1, step, 0.5, isa != Isa::baseline);
        }
        for (std::size_t k = 0; k < model.p.size(); ++k) {
          CHECK(got[k].m == truth[k].m);
          CHECK(got[k].r == truth[k].r);
          CHECK(got[k].m_scale == truth[k].m_scale);
          CHECK(got[k].r_scale == truth[k].r_scale);
          CHECK(error(values(model.p[k]), values(expected.p[k])) <= 1e-7);  // 1 / sqrt of the bias in double by another power
        }
        if (threads == 1) one = model.p;
        else CHECK(one == model.p);
      }
    }
  });
}

TEST_CASE("adamw8bit: what a step is off by, against moments of f32: rounded once, and rounded in all steps before") {
  // Gradients as training has them: noise of its own size for each parameter, over three decades within a block, around a mean of a third.
  Arena arena({});
  const Context ctx{2, default_isa(), &arena};
  const Index n = 1 << 14;
  const Doubles size = randn(n, 5), mean = randn(n, 6);
  std::vector<float> g(std::size_t(n), 0.f), m = g, v = g;
  Moments8 always(n);
  struct Off { double squares = 0, all = 0, most = 0; double share() const { return std::sqrt(squares / all); } } once, all_steps;
  const auto step_of = [&](Moments8& s, Index step) {
    std::vector<float> p(g.size(), 0.f);
    const AdamW8bitTensor t{p.data(), g.data(), s.m.data(), s.r.data(), s.m_scale.data(), s.r_scale.data(), n, 0};
    optim_kernels(ctx.isa).adamw8bit(ctx, {&t, 1, 1, 0.9, 0.999, 1e-8, step, 1});
    return p;
  };
  for (Index step = 1; step <= 200; ++step) {
    const Doubles noise = randn(n, 100 + unsigned(step));
    for (std::size_t i = 0; i < g.size(); ++i) g[i] = float(std::pow(10, size[i] / 2) * (noise[i] + mean[i] / 3));
    Moments8 rounded_now(n);
    for (std::size_t begin = 0; begin < g.size(); begin += moments_block) {
      std::vector<float> ms, rs;
      for (std::size_t i = begin; i < begin + moments_block; ++i) ms.push_back(m[i]), rs.push_back(std::sqrt(v[i]));
      const auto larger = [](float a, float b) { return std::fabs(a) < std::fabs(b); };
      rounded_now.round(begin / moments_block, begin, begin + moments_block, ms, rs, std::fabs(*std::max_element(ms.begin(), ms.end(), larger)), *std::max_element(rs.begin(), rs.end()));
    }
    std::vector<float> p(g.size(), 0.f);
    const AdamWTensor full{p.data(), g.data(), m.data(), v.data(), n, 0};
    optim_kernels(ctx.isa).adamw(ctx, {&full, 1, 1, 0.9, 0.999, 1e-8, step, 1});
    for (const auto& [off, steps] : {std::pair{&once, step_of(rounded_now, step)}, {&all_steps, step_of(always, step)}})
      for (std::size_t i = 0; i < g.size(); ++i) {
        const double d = double(steps[i]) - double(p[i]);
        off->squares += d * d, off->all += double(p[i]) * double(p[i]), off->most = std::max(off->most, std::fabs(d));
      }
  }
  MESSAGE("adamw8bit: of a step's root mean square, moments rounded once move it by " << once.share() << " (at most " << once.most << " lr), rounded in every step by "
          << all_steps.share() << " (" << all_steps.most << " lr)");
  CHECK(once.share() <= 0.04);
  CHECK(once.most <= 0.4);
  CHECK(all_steps.share() <= 0.12);
  CHECK(all_steps.most <= 1);
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
