// AdamW, SGD and EMA on the device: the bits of the CPU, many tensors at once, odd sizes and alignments, traffic.
#include "optim.hpp"

#include <memory>

#include "cpu/isa.hpp"
#include "streaming_test.hpp"

namespace {
using namespace sspo;
using namespace sspo::cuda;
using namespace sspo::cuda::streaming;
using namespace sspo::kernels;

// The CPU's baseline has no fma, so its bits are others; the tolerance is for it.
void check_equal(const Doubles& got, const Doubles& truth) {
  if (sspo::cpu::default_isa() == sspo::cpu::Isa::baseline) CHECK(error(got, truth) <= 1e-6);
  else CHECK(got == truth);
}

// More tensors than a launch takes; every third begins one element off a multiple of 16 bytes.
struct Model {
  std::vector<std::vector<float>> p, g, a, b;
  Model() {
    unsigned seed = 1;
    const Index sizes[] = {1, 0, 7, 64, 1000, 7001, 4096};
    for (int i = 0; i < tensors_per_launch + 10; ++i) {
      const Index n = i < 7 ? sizes[i] : 3 + i;
      p.push_back(randn<float>(n, seed++));
      g.push_back(randn<float>(n, seed++, 0, 0.1));
      a.push_back(std::vector<float>(std::size_t(n)));
      b.push_back(a.back());
    }
  }
};
using Arrays = std::vector<std::unique_ptr<Placed<float>>>;
template <class T> std::vector<std::unique_ptr<Placed<T>>> on_device(TestDevice& d, const std::vector<std::vector<T>>& all) {
  std::vector<std::unique_ptr<Placed<T>>> out;
  for (std::size_t i = 0; i < all.size(); ++i) out.push_back(std::make_unique<Placed<T>>(d, all[i], i % 3 == 2));
  return out;
}
template <class T> Doubles joined(const std::vector<std::unique_ptr<Placed<T>>>& all) {
  Doubles y;
  for (const auto& x : all)
    for (double v : x->host()) y.push_back(v);
  return y;
}
template <class T> Doubles joined(const std::vector<std::vector<T>>& all) {
  Doubles y;
  for (const auto& x : all) y.insert(y.end(), x.begin(), x.end());
  return y;
}
template <class Tensor, class F> std::vector<Tensor> list(std::size_t n, F of) {
  std::vector<Tensor> t;
  for (std::size_t i = 0; i < n; ++i) t.push_back(of(i));
  return t;
}

TEST_CASE("adamw: the CPU's bits, at the first step and the millionth") {
  TestDevice d;
  for (Index start : {Index(1), Index(1000000)}) {
    Model host;
    const std::size_t n = host.p.size();
    const Results got = repeatable([&] {
      const Model fresh;
      const Arrays p = on_device(d, fresh.p), g = on_device(d, fresh.g), m = on_device(d, fresh.a), v = on_device(d, fresh.b);
      const auto t = list<AdamWTensor>(n, [&](std::size_t i) { return AdamWTensor{p[i]->data(), g[i]->data(), m[i]->data(), v[i]->data(), Index(fresh.p[i].size()), i % 2 ? 0 : 0.1}; });
      for (Index step = start; step < start + 3; ++step) adamw(d.ctx, {t.data(), Index(n), 1e-2, 0.9, 0.999, 1e-8, step, 0.5});
      return Results{joined(p), joined(m), joined(v)};
    });
    const auto t = list<AdamWTensor>(n, [&](std::size_t i) { return AdamWTensor{host.p[i].data(), host.g[i].data(), host.a[i].data(), host.b[i].data(), Index(host.p[i].size()), i % 2 ? 0 : 0.1}; });
    for (Index step = start; step < start + 3; ++step) on_cpu().adamw({t.data(), Index(n), 1e-2, 0.9, 0.999, 1e-8, step, 0.5});
    check_equal(got[0], joined(host.p));
    check_equal(got[1], joined(host.a));
    check_equal(got[2], joined(host.b));
  }
}

TEST_CASE("adamw8bit: the CPU's bits: parameters, codes and scales, at the first step and the millionth; gradients of every size, blocks of zeros") {
  TestDevice d;
  for (Index start : {Index(1), Index(1000000)}) {
    Model host;
    const std::size_t n = host.p.size();
    for (auto& g : host.g)
      for (std::size_t i = 0; i < g.size(); ++i) g[i] = i / 256 % 3 == 1 ? 0 : g[i] * std::pow(10.f, -float(i % 9));
    std::vector<std::vector<std::uint8_t>> m, r;
    std::vector<std::vector<float>> m_scale, r_scale;
    for (const auto& p : host.p) {
      m.push_back(std::vector<std::uint8_t>(p.size())), r.push_back(m.back());
      m_scale.push_back(std::vector<float>((p.size() + std::size_t(moments_block) - 1) / std::size_t(moments_block))), r_scale.push_back(m_scale.back());
    }
    const Results got = repeatable([&] {
      const Model fresh;
      const auto p = on_device(d, fresh.p), g = on_device(d, host.g), ms = on_device(d, m_scale), rs = on_device(d, r_scale);
      const auto m8 = on_device(d, m), r8 = on_device(d, r);
      const auto t = list<AdamW8bitTensor>(n, [&](std::size_t i) {
        return AdamW8bitTensor{p[i]->data(), g[i]->data(), m8[i]->data(), r8[i]->data(), ms[i]->data(), rs[i]->data(), Index(fresh.p[i].size()), i % 2 ? 0 : 0.1};
      });
      for (Index step = start; step < start + 3; ++step) adamw8bit(d.ctx, {t.data(), Index(n), 1e-2, 0.9, 0.999, 1e-8, step, 0.5});
      return Results{joined(p), joined(m8), joined(r8), joined(ms), joined(rs)};
    });
    const auto t = list<AdamW8bitTensor>(n, [&](std::size_t i) {
      return AdamW8bitTensor{host.p[i].data(), host.g[i].data(), m[i].data(), r[i].data(), m_scale[i].data(), r_scale[i].data(), Index(host.p[i].size()), i % 2 ? 0 : 0.1};
    });
    for (Index step = start; step < start + 3; ++step) on_cpu().adamw8bit({t.data(), Index(n), 1e-2, 0.9, 0.999, 1e-8, step, 0.5});
    if (sspo::cpu::default_isa() == sspo::cpu::Isa::baseline) {  // a number halfway between two may fall to either side there
      CHECK(error(got[0], joined(host.p)) <= 1e-3);
      continue;
    }
    CHECK(got[0] == joined(host.p));
    CHECK(got[1] == joined(m));
    CHECK(got[2] == joined(r));
    CHECK(got[3] == joined(m_scale));
    CHECK(got[4] == joined(r_scale));
  }
}

TEST_CASE("sgd: with and without momentum, the CPU's bits") {
  TestDevice d;
  for (double momentum : {0.0, 0.9})
    for (bool nesterov : {false, true}) {
      Model host;
      const std::size_t n = host.p.size();
      const auto has_momentum = [&](std::size_t i) { return momentum > 0 && i % 5 != 4; };
      const Results got = repeatable([&] {
        const Model fresh;
        const Arrays p = on_device(d, fresh.p), g = on_device(d, fresh.g), u = on_device(d, fresh.a);
        const auto t = list<SgdTensor>(n, [&](std::size_t i) { return SgdTensor{p[i]->data(), g[i]->data(), has_momentum(i) ? u[i]->data() : nullptr, Index(fresh.p[i].size()), 0.01}; });
        for (int step = 0; step < 3; ++step) sgd(d.ctx, {t.data(), Index(n), 0.1, momentum, nesterov, 2});
        return Results{joined(p), joined(u)};
      });
      const auto t = list<SgdTensor>(n, [&](std::size_t i) { return SgdTensor{host.p[i].data(), host.g[i].data(), has_momentum(i) ? host.a[i].data() : nullptr, Index(host.p[i].size()), 0.01}; });
      for (int step = 0; step < 3; ++step) on_cpu().sgd({t.data(), Index(n), 0.1, momentum, nesterov, 2});
      check_equal(got[0], joined(host.p));
      check_equal(got[1], joined(host.a));
    }
}

TEST_CASE("ema: the CPU's bits; what is reached stays; nothing to do") {
  TestDevice d;
  Model host;
  const std::size_t n = host.p.size();
  const Arrays p = on_device(d, host.p), e = on_device(d, host.g);
  const auto on = list<EmaTensor>(n, [&](std::size_t i) { return EmaTensor{e[i]->data(), p[i]->data(), Index(host.p[i].size())}; });
  const auto off = list<EmaTensor>(n, [&](std::size_t i) { return EmaTensor{host.g[i].data(), host.p[i].data(), Index(host.p[i].size())}; });
  for (int step = 0; step < 3; ++step) ema(d.ctx, {on.data(), Index(n), 0.99}), on_cpu().ema({off.data(), Index(n), 0.99});
  check_equal(joined(e), joined(host.g));
  const Placed<float> same(d, host.p[5]);
  const EmaTensor fixed{same.data(), p[5]->data(), Index(host.p[5].size())};
  const Doubles before = p[5]->host();
  ema(d.ctx, {&fixed, 1, 0.9999});
  CHECK(same.host() == before);
  ema(d.ctx, {nullptr, 0, 0.9});
  adamw(d.ctx, {nullptr, 0, 1e-2, 0.9, 0.999, 1e-8, 1});
  adamw8bit(d.ctx, {nullptr, 0, 1e-2, 0.9, 0.999, 1e-8, 1});
  sgd(d.ctx, {nullptr, 0, 1e-2, 0.9});
  no_findings();
}

TEST_CASE("optimizers: traffic" * doctest::skip(!checking())) {
  TestDevice d;
  const Index n = 3 * 4096;
  const Placed<float> p(d, randn<float>(n, 1)), g(d, randn<float>(n, 2)), m(d, std::vector<float>(std::size_t(n))), v(d, std::vector<float>(std::size_t(n)));
  const AdamWTensor t{p.data(), g.data(), m.data(), v.data(), n, 0.1};
  reset_counters();
  adamw(d.ctx, {&t, 1, 1e-2, 0.9, 0.999, 1e-8, 1});
  check_traffic("adamw", 16.0 * n, 12.0 * n);
  // Moments of 8 bits: 16 bytes a number, and two scales, read and written, a block.
  const Placed<std::uint8_t> m8(d, std::vector<std::uint8_t>(std::size_t(n))), r8(d, std::vector<std::uint8_t>(std::size_t(n)));
  const Placed<float> m_scale(d, std::vector<float>(std::size_t(n / moments_block))), r_scale(d, std::vector<float>(std::size_t(n / moments_block)));
  const AdamW8bitTensor t8{p.data(), g.data(), m8.data(), r8.data(), m_scale.data(), r_scale.data(), n, 0.1};
  reset_counters();
  adamw8bit(d.ctx, {&t8, 1, 1e-2, 0.9, 0.999, 1e-8, 1});
  check_traffic("adamw8bit", 10.0 * n + 8.0 * double(n / moments_block), 6.0 * n + 8.0 * double(n / moments_block));
  // One large tensor, odd sizes, many small ones: the floor is each array once.
  for (const std::vector<Index>& sizes : {std::vector<Index>{1 << 16}, {4099, 320, 64 * 77}, std::vector<Index>(40, 320)}) {
    std::vector<std::unique_ptr<Placed<float>>> arrays;
    std::vector<AdamWTensor> tensors;
    std::vector<SgdTensor> plain;
    std::vector<EmaTensor> averages;
    Index all = 0;
    for (Index size : sizes) {
      float* at[4];
      for (float*& a : at) arrays.push_back(std::make_unique<Placed<float>>(d, randn<float>(size, 1, 1, 0.1))), a = arrays.back()->data();
      tensors.push_back({at[0], at[1], at[2], at[3], size, 0.1});
      plain.push_back({at[0], at[1], at[2], size, 0.1});
      averages.push_back({at[0], at[1], size});
      all += size;
    }
    CAPTURE(sizes.size());
    reset_counters();
    adamw(d.ctx, {tensors.data(), Index(sizes.size()), 1e-2, 0.9, 0.999, 1e-8, 1});
    check_all_traffic(7 * 4.0 * double(all));
    reset_counters();
    sgd(d.ctx, {plain.data(), Index(sizes.size()), 1e-2, 0.9});
    check_all_traffic(5 * 4.0 * double(all));
    reset_counters();
    ema(d.ctx, {averages.data(), Index(sizes.size()), 0.99});
    check_all_traffic(3 * 4.0 * double(all));
  }
  no_findings();
}

}  // namespace
