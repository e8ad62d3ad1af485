// Group norm and layer norm on the device against f64 on the CPU: odd shapes, both ways to cut, any schedule, traffic.
#include "norm.hpp"

#include "streaming_test.hpp"

namespace {
using namespace sspo;
using namespace sspo::cuda;
using namespace sspo::cuda::streaming;
using namespace sspo::kernels;

template <class T> double tolerance() { return sizeof(T) == 8 ? 1e-12 : sizeof(T) == 4 ? 2e-6 : 6e-3; }  // bf16: half an ulp is 2^-8 at worst

struct Shape { Index B, P, C, G; bool silu = false, affine = true; Index offset = 0; };

// y, mean, rstd of group norm by `launch(args)`; the same of the CPU in f64
template <class T> Results group_norm_on(TestDevice& d, const Shape& s, const std::vector<T>& x, const std::vector<T>& gamma, const std::vector<T>& beta, double eps) {
  const Placed<T> dx(d, x, s.offset), dg(d, gamma), db(d, beta), dy(d, nans<T>(Index(x.size())), s.offset);
  const Placed<double> mean(d, nans<double>(s.B * s.G)), rstd(d, nans<double>(s.B * s.G));
  group_norm(d.ctx, dtype_of<T>, {s.B, s.P, s.C, s.G, eps, s.silu, dx.data(), s.affine ? dg.data() : nullptr, s.affine ? db.data() : nullptr, dy.data(), mean.data(), rstd.data()});
  return {dy.host(), mean.host(), rstd.host()};
}
template <class T> Results group_norm_truth(const Shape& s, const std::vector<T>& x_, const std::vector<T>& gamma_, const std::vector<T>& beta_, double eps) {
  const Doubles x = numbers(x_), gamma = numbers(gamma_), beta = numbers(beta_);
  Doubles y(x.size()), mean(std::size_t(s.B * s.G)), rstd(mean);
  on_cpu().group_norm(DType::f64, {s.B, s.P, s.C, s.G, eps, s.silu, x.data(), s.affine ? gamma.data() : nullptr, s.affine ? beta.data() : nullptr, y.data(), mean.data(), rstd.data()});
  return {y, mean, rstd};
}

const Shape shapes[] = {{1, 1, 1, 1}, {2, 3, 4, 2, true}, {1, 5, 7, 7}, {3, 17, 24, 3, true, false}, {1, 33, 64, 32}, {2, 25, 320, 32, true}, {2, 130, 66, 6, true},
                        {70, 9, 40, 4, true}, {21, 1, 96, 12, true}, {33, 2, 66, 6}, {1, 900, 40, 1, true}, {1, 5, 5000, 4, true}, {1, 3, 2700, 2}, {1, 500, 66, 6, false, true, 1}, {2, 16, 64, 8, true, true, 1}};

TEST_CASE_TEMPLATE("group norm: odd shapes", T, float, double, bf16) {
  TestDevice d;
  for (const Shape& s : shapes) {
    CAPTURE(s.B); CAPTURE(s.P); CAPTURE(s.C); CAPTURE(s.G); CAPTURE(s.offset);
    const auto x = randn<T>(s.B * s.P * s.C, 1, 0.5), gamma = randn<T>(s.C, 3, 1, 0.3), beta = randn<T>(s.C, 4, 0, 0.5);
    const Results got = repeatable([&] { return group_norm_on(d, s, x, gamma, beta, 1e-5); });
    const Results truth = group_norm_truth(s, x, gamma, beta, 1e-5);
    CHECK(error(got[0], truth[0]) <= tolerance<T>());
    CHECK(error(got[1], truth[1], 1) <= (sizeof(T) == 8 ? 1e-14 : 1e-7));
    CHECK(error(got[2], truth[2]) <= (sizeof(T) == 8 ? 1e-13 : 2e-7));
  }
}

TEST_CASE("group norm: tiles") {
  DeviceLimits limits;
  const auto cut = [&](Index B, Index P, Index C, Index G, int bytes, int arrays = 1) { return group_norm_tiles(B, P, C, G, bytes, arrays, C * bytes % 16 == 0, limits); };
  for (const Shape& s : shapes)
    for (int bytes : {2, 4, 8}) {
      const GroupTiles t = cut(s.B, s.P, s.C, s.G, bytes);
      CHECK(t.across * t.width >= s.C);
      CHECK(t.down * t.rows >= s.P);
      CHECK((t.pieces > 1 || t.width % t.group == 0));
      CHECK(t.columns <= t.threads);
    }
  CHECK(cut(4, 1024, 640, 32, 4).one_read);        // two groups of 20 channels: 160 bytes a position, 160 KiB in all
  CHECK(cut(4, 1024, 640, 32, 4).width == 40);
  CHECK(!cut(4, 4096, 320, 32, 4).one_read);       // only single groups would fit: runs of 40 bytes waste too much
  CHECK(cut(4, 4096, 320, 32, 4).width == 320);
  CHECK(cut(8, 64, 1280, 32, 2).one_read);
  CHECK(!cut(1, 256, 1280, 8, 4).one_read);        // eight blocks would leave a GPU idle
  CHECK(cut(1, 16, 9000, 1, 4).pieces == 9);
  CHECK(cut(4, 16, 1280, 32, 2, 2).samples == 4);  // a block of the gradient takes all samples, as positions are few
  CHECK(cut(4, 16, 1280, 32, 4, 2).samples == 2);
  CHECK(cut(70, 9, 40, 4, 2, 2).samples == 7);     // each of eleven
  CHECK(cut(70, 9, 40, 4, 2, 1).samples == 2);     // forward only γ and β weigh
  CHECK(cut(90, 1, 1280, 32, 2, 1).samples == 15);
  CHECK(cut(90, 1, 1280, 32, 2, 2).samples == 90);
  CHECK(cut(90, 1, 1280, 32, 2, 1).width == 160);  // four groups: a sector of means
  CHECK(cut(4, 64, 1280, 32, 2, 2).samples == 1);
  CHECK(cut(4, 16, 1280, 32, 2, 1).samples == 1);
  limits.shared_per_block = 99 * 1024;
  CHECK(!cut(4, 1024, 640, 32, 4).one_read);
}

template <class T> void hard_statistics() {
  TestDevice d;
  for (const Shape& s : {Shape{70, 20, 16, 2, false, false}, Shape{1, 900, 40, 2, false, false}}) {
    const Index n = s.B * s.P * s.C;
    const std::vector<T> none;
    for (int kind = 0; kind < 2; ++kind) {
      auto x = randn<T>(n, 5, 1e4, 1e-2);
      if (kind == 1)
        for (Index c = 0; c < s.C; ++c) x[std::size_t(c)] = make<T>(0);  // the origin of the sums, far from all others
      const Results got = group_norm_on(d, s, x, none, none, 1e-12), truth = group_norm_truth(s, x, none, none, 1e-12);
      CHECK(error(got[0], truth[0]) <= 1e-5);
      CHECK(error(got[1], truth[1]) <= 1e-12);
      CHECK(error(got[2], truth[2]) <= 2e-7);
    }
    for (double constant : {-3.3333, 12345.678}) {
      const Results got = group_norm_on(d, s, std::vector<T>(std::size_t(n), make<T>(constant)), none, none, 1.0 / 16);
      for (double r : got[2]) REQUIRE(r == 4);
      for (double y : got[0]) REQUIRE(y == 0);
    }
  }
  no_findings();
}
TEST_CASE_TEMPLATE("group norm: mean 1e4 with std 1e-2, outliers first, constants", T, float, double) { hard_statistics<T>(); }

template <class T> Results layer_norm_on(TestDevice& d, Index rows, Index C, const std::vector<T>& x, const T* gamma, const T* beta, double eps, Index offset = 0) {
  const auto weights = [&](const T* p) { return p ? std::vector<T>(p, p + C) : std::vector<T>(); };
  const Placed<T> dx(d, x, offset), dg(d, weights(gamma)), db(d, weights(beta)), dy(d, nans<T>(rows * C), offset);
  const Placed<double> mean(d, nans<double>(rows)), rstd(d, nans<double>(rows));
  layer_norm(d.ctx, dtype_of<T>, {rows, C, eps, dx.data(), gamma ? dg.data() : nullptr, beta ? db.data() : nullptr, dy.data(), mean.data(), rstd.data()});
  return {dy.host(), mean.host(), rstd.host()};
}
template <class T> Results layer_norm_truth(Index rows, Index C, const std::vector<T>& x_, const T* gamma, const T* beta, double eps) {
  const Doubles x = numbers(x_), dg = gamma ? numbers(std::vector<T>(gamma, gamma + C)) : Doubles(), db = beta ? numbers(std::vector<T>(beta, beta + C)) : Doubles();
  Doubles y(x.size()), mean(std::size_t(rows), 0), rstd(mean);
  on_cpu().layer_norm(DType::f64, {rows, C, eps, x.data(), gamma ? dg.data() : nullptr, beta ? db.data() : nullptr, y.data(), mean.data(), rstd.data()});
  return {y, mean, rstd};
}

TEST_CASE_TEMPLATE("layer norm: odd shapes", T, float, double, bf16) {
  TestDevice d;
  struct { Index rows, C, offset; } const all[] = {{1, 1, 0}, {3, 5, 0}, {7, 64, 0}, {20, 77, 0}, {9, 320, 0}, {9, 320, 1}, {3, 1280, 0}, {1, 5000, 0}, {3, 5001, 0}, {19, 1027, 0}, {2, 2048, 1}, {2, 8200, 0}, {1, 17001, 0}, {1, 33000, 0}};
  for (const auto& s : all)
    for (bool affine : {true, false}) {
      CAPTURE(s.rows); CAPTURE(s.C); CAPTURE(s.offset);
      const auto x = randn<T>(s.rows * s.C, 1, 0.5), gamma = randn<T>(s.C, 3, 1, 0.3), beta = randn<T>(s.C, 4, 0, 0.5);
      const T *g = affine ? gamma.data() : nullptr, *b = affine ? beta.data() : nullptr;
      const Results got = repeatable([&] { return layer_norm_on(d, s.rows, s.C, x, g, b, 1e-5, s.offset); });
      const Results truth = layer_norm_truth(s.rows, s.C, x, g, b, 1e-5);
      CHECK(error(got[0], truth[0]) <= tolerance<T>());
      CHECK(error(got[1], truth[1], 1) <= (sizeof(T) == 8 ? 1e-14 : 1e-7));
      CHECK(error(got[2], truth[2]) <= (sizeof(T) == 8 ? 1e-13 : 2e-7));
    }
}

// dx, dγ, dβ from the mean and rstd that the CPU found
template <class T> Results group_norm_grad_on(TestDevice& d, const Shape& s, const std::vector<T>& x, const std::vector<T>& gamma, const std::vector<T>& beta,
                                              const std::vector<T>& g, const Doubles& mean, const Doubles& rstd) {
  const Placed<T> dx(d, x, s.offset), dgamma(d, gamma), dbeta(d, beta), dg(d, g, s.offset), out(d, nans<T>(Index(x.size())), s.offset), a(d, nans<T>(s.C)), b(d, nans<T>(s.C));
  const Placed<double> dmean(d, mean), drstd(d, rstd);
  group_norm_grad(d.ctx, dtype_of<T>, {s.B, s.P, s.C, s.G, s.silu, dx.data(), s.affine ? dgamma.data() : nullptr, s.affine ? dbeta.data() : nullptr, dg.data(), dmean.data(),
                                       drstd.data(), out.data(), a.data(), b.data()});
  return {out.host(), a.host(), b.host()};
}
TEST_CASE_TEMPLATE("group norm gradient: odd shapes", T, float, double, bf16) {
  TestDevice d;
  for (const Shape& s : shapes) {
    CAPTURE(s.B); CAPTURE(s.P); CAPTURE(s.C); CAPTURE(s.G); CAPTURE(s.offset);
    const auto x = randn<T>(s.B * s.P * s.C, 1, 0.5), g = randn<T>(s.B * s.P * s.C, 2), gamma = randn<T>(s.C, 3, 1, 0.3), beta = randn<T>(s.C, 4, 0, 0.5);
    const Results stats = group_norm_truth(s, x, gamma, beta, 1e-5);
    const Results got = repeatable([&] { return group_norm_grad_on(d, s, x, gamma, beta, g, stats[1], stats[2]); });
    const Doubles dx = numbers(x), dgm = numbers(gamma), db = numbers(beta), dg = numbers(g);
    Doubles truth(x.size()), tg(std::size_t(s.C)), tb(tg);
    on_cpu().group_norm_grad(DType::f64, {s.B, s.P, s.C, s.G, s.silu, dx.data(), s.affine ? dgm.data() : nullptr, s.affine ? db.data() : nullptr, dg.data(), stats[1].data(),
                                       stats[2].data(), truth.data(), tg.data(), tb.data()});
    CHECK(error(got[0], truth, *std::max_element(stats[2].begin(), stats[2].end())) <= 2 * tolerance<T>());  // dx = r (differences of ~1)
    CHECK(error(got[1], tg, 1) <= tolerance<T>());
    CHECK(error(got[2], tb, 1) <= tolerance<T>());
  }
}

template <class T> Results layer_norm_grad_on(TestDevice& d, Index rows, Index C, const std::vector<T>& x, const T* gamma, const std::vector<T>& g, const Doubles& mean,
                                              const Doubles& rstd, Index offset = 0) {
  const Placed<T> dx(d, x, offset), dgamma(d, gamma ? std::vector<T>(gamma, gamma + C) : std::vector<T>()), dg(d, g, offset), out(d, nans<T>(rows * C), offset), a(d, nans<T>(C)), b(d, nans<T>(C));
  const Placed<double> dmean(d, mean), drstd(d, rstd);
  layer_norm_grad(d.ctx, dtype_of<T>, {rows, C, dx.data(), gamma ? dgamma.data() : nullptr, dg.data(), dmean.data(), drstd.data(), out.data(), a.data(), b.data()});
  return {out.host(), a.host(), b.host()};
}
TEST_CASE_TEMPLATE("layer norm gradient: odd shapes", T, float, double, bf16) {
  TestDevice d;
  struct { Index rows, C, offset; } const all[] = {{1, 1, 0}, {3, 5, 0}, {300, 64, 0}, {20, 77, 0}, {9, 320, 0}, {9, 320, 1}, {6, 1280, 0}, {2, 3001, 0}, {90, 303, 0}, {5, 2400, 0}, {85, 2052, 0}, {3, 4104, 0}, {2, 2048, 1}, {1, 17001, 0}, {1, 17000, 0}};
  for (const auto& s : all)
    for (bool affine : {true, false}) {
      CAPTURE(s.rows); CAPTURE(s.C); CAPTURE(s.offset);
      const auto x = randn<T>(s.rows * s.C, 1, 0.5), g = randn<T>(s.rows * s.C, 2), gamma = randn<T>(s.C, 3, 1, 0.3);
      const T* const w = affine ? gamma.data() : nullptr;
      const Results stats = layer_norm_truth<T>(s.rows, s.C, x, w, nullptr, 1e-5);
      const Results got = repeatable([&] { return layer_norm_grad_on(d, s.rows, s.C, x, w, g, stats[1], stats[2], s.offset); });
      const Doubles dx = numbers(x), dw = numbers(gamma), dg = numbers(g);
      Doubles truth(x.size()), tg(std::size_t(s.C)), tb(tg);
      on_cpu().layer_norm_grad(DType::f64, LayerNormGradArgs{s.rows, s.C, dx.data(), affine ? dw.data() : nullptr, dg.data(), stats[1].data(), stats[2].data(), truth.data(), tg.data(), tb.data()});
      CHECK(error(got[0], truth, *std::max_element(stats[2].begin(), stats[2].end())) <= 2 * tolerance<T>());
      CHECK(error(got[1], tg, 1) <= tolerance<T>());
      CHECK(error(got[2], tb, 1) <= tolerance<T>());
    }
}

TEST_CASE("norms: empty, in place, NaN, no weight gradients") {
  TestDevice d;
  const std::vector<float> none;
  for (Shape s : {Shape{0, 4, 6, 2}, Shape{2, 0, 6, 2}}) {
    group_norm_on(d, s, none, randn<float>(6, 1), randn<float>(6, 2), 1e-5);
    s.affine = false;
    CHECK(group_norm_grad_on(d, s, none, none, none, none, Doubles(4), Doubles(4))[1] == Doubles(6));
  }
  layer_norm_on<float>(d, 0, 6, none, nullptr, nullptr, 1e-5);
  CHECK(layer_norm_grad_on<float>(d, 0, 6, none, nullptr, none, {}, {})[2] == Doubles(6));
  for (const Shape& s : {Shape{1, 900, 40, 2, true, false}, Shape{70, 10, 32, 4, true, false}}) {
    auto x = randn<float>(s.B * s.P * s.C, 8), g = randn<float>(s.B * s.P * s.C, 9);
    const Results apart = group_norm_on(d, s, x, none, none, 1e-5), grads = group_norm_grad_on(d, s, x, none, none, g, apart[1], apart[2]);
    const Placed<float> y(d, x), dx(d, x), dg(d, g);
    const Placed<double> mean(d, apart[1]), rstd(d, apart[2]);
    group_norm_grad(d.ctx, DType::f32, {s.B, s.P, s.C, s.G, true, dx.data(), nullptr, nullptr, dg.data(), mean.data(), rstd.data(), dg.data(), nullptr, nullptr});
    group_norm(d.ctx, DType::f32, {s.B, s.P, s.C, s.G, 1e-5, true, y.data(), nullptr, nullptr, y.data(), mean.data(), rstd.data()});
    CHECK(dg.host() == grads[0]);
    CHECK(y.host() == apart[0]);
    x[std::size_t(5 * s.C + s.C / s.G)] = NAN;  // group 1 of sample 0 alone
    const Doubles bad = group_norm_on(d, s, x, none, none, 1e-5)[0];
    for (Index i = 0; i < s.B * s.P * s.C; ++i) REQUIRE(std::isnan(bad[std::size_t(i)]) == (i < s.P * s.C && i % s.C / (s.C / s.G) == 1));
  }
  for (Index C : {320, 2400}) {  // dx may be x, too
    const auto x = randn<float>(3 * C, 1), g = randn<float>(3 * C, 2);
    const Doubles mean(3, 0.1), rstd(3, 1.1);
    const Results apart = layer_norm_grad_on<float>(d, 3, C, x, nullptr, g, mean, rstd);
    const Placed<double> dmean(d, mean), drstd(d, rstd);
    for (bool over_x : {true, false}) {
      const Placed<float> dx(d, x), dg(d, g), a(d, g), b(d, g);
      layer_norm_grad(d.ctx, DType::f32, {3, C, dx.data(), nullptr, dg.data(), dmean.data(), drstd.data(), over_x ? dx.data() : dg.data(), a.data(), b.data()});
      CHECK((over_x ? dx : dg).host() == apart[0]);
    }
  }
  no_findings();
}

TEST_CASE("norms: traffic" * doctest::skip(!checking())) {
  TestDevice d;
  const auto group = [&](auto type, Shape s) {
    using T = decltype(type);
    const auto x = randn<T>(s.B * s.P * s.C, 1), w = randn<T>(s.C, 2);
    reset_counters();
    group_norm_on(d, s, x, w, w, 1e-5);
    return double(x.size() * sizeof(T));
  };
  for (int i = 0; i < 2; ++i) {
    const double bytes = i ? group(bf16(), {18, 64, 160, 16}) : group(float(), {18, 64, 80, 8});  // groups of 10 channels, by fours or eights
    check_traffic("group_norm_one_read", bytes * 1.1, bytes + 18 * 16 * 16);                      // γ and β once a block
  }
  const double bytes = group(float(), {1, 600, 320, 32});
  check_traffic("group_norm_moments", bytes * 1.02, bytes * 0.04);
  check_traffic("group_norm_write", bytes * 1.04, bytes);  // γ, β, μ, 1/σ once a tile
  reset_counters();
  const auto x = randn<float>(64 * 1280, 1), w = randn<float>(1280, 2);
  layer_norm_on(d, 64, 1280, x, w.data(), w.data(), 1e-5);
  check_traffic("layer_norm_strips", (64 + 2 * 4) * 1280 * 4, 64 * 1280 * 4 + 64 * 16);  // four blocks read γ and β
  layer_norm_on(d, 64, 320, randn<float>(64 * 320, 1), w.data(), w.data(), 1e-5);
  check_traffic("layer_norm_rows", (64 + 2 * 4) * 320 * 4, 64 * 320 * 4 + 64 * 16);
  no_findings();

  reset_counters();
  const Shape few{18, 64, 80, 8, true}, tall{1, 600, 320, 32, true};
  for (const Shape& s : {few, tall}) {
    const auto v = randn<float>(s.B * s.P * s.C, 1), weights = randn<float>(s.C, 2);
    const Doubles mean(std::size_t(s.B * s.G), 0), rstd(mean.size(), 1);
    group_norm_grad_on(d, s, v, weights, weights, v, mean, rstd);
  }
  const double small = 18 * 64 * 80 * 4, large = 600 * 320 * 4;
  check_traffic("group_norm_grad_one_read", 2 * small * 1.3, small * 1.5);  // dγ's and dβ's parts: 32 bytes for 64 positions
  check_traffic("group_norm_grad_sums", 2 * large * 1.1, large * 0.25);  // few rows a tile, so sums weigh
  check_traffic("group_norm_grad_write", 2 * large * 1.3, large);
  reset_counters();
  const Doubles zeros(600, 0), ones(600, 1);
  layer_norm_grad_on(d, 600, 320, randn<float>(600 * 320, 1), w.data(), randn<float>(600 * 320, 2), zeros, ones);
  check_traffic("layer_norm_grad_strips", 2 * large * 1.1, large * 1.3);  // strips of 8 rows, as there are few: their shares weigh a quarter of dx
  no_findings();
}

// The floor: each input read once and each output written once; x, and g, twice where a group does not fit on a multiprocessor.
template <class T> void group_norm_floor(const Shape& s, int passes) {
  TestDevice d;
  CAPTURE(sizeof(T)); CAPTURE(s.B); CAPTURE(s.P); CAPTURE(s.C); CAPTURE(s.G);
  const auto x = randn<T>(s.B * s.P * s.C, 1), w = randn<T>(s.C, 2);
  const double size = double(x.size() * sizeof(T)), channels = double(s.C) * sizeof(T), statistics = 16.0 * double(s.B * s.G);
  reset_counters();
  group_norm_on(d, s, x, w, w, 1e-5);
  check_all_traffic((passes + 1) * size + 2 * channels + statistics);
  const Doubles mean(std::size_t(s.B * s.G), 0), rstd(mean.size(), 1);
  reset_counters();
  group_norm_grad_on(d, s, x, w, w, x, mean, rstd);
  check_all_traffic((2 * passes + 1) * size + 4 * channels + statistics);
}
template <class T> void layer_norm_floor(Index rows, Index C, Index grad_rows) {
  TestDevice d;
  CAPTURE(sizeof(T)); CAPTURE(rows); CAPTURE(C);
  const auto w = randn<T>(C, 2);
  const double row = double(C) * sizeof(T);
  const auto x = randn<T>(rows * C, 1), g = randn<T>(grad_rows * C, 1);
  reset_counters();
  layer_norm_on(d, rows, C, x, w.data(), w.data(), 1e-5);
  check_all_traffic(double(rows) * (2 * row + 16) + 2 * row);
  const Doubles mean(std::size_t(grad_rows), 0), rstd(mean.size(), 1);
  reset_counters();
  layer_norm_grad_on(d, grad_rows, C, g, w.data(), g, mean, rstd);
  check_all_traffic(double(grad_rows) * (3 * row + 16) + 3 * row);
}
TEST_CASE("norms: all sectors within 1.1 of the floor" * doctest::skip(!checking())) {
  group_norm_floor<float>({4, 256, 64, 32, true}, 1);   // as (32, 16, 16, 64)
  group_norm_floor<bf16>({4, 256, 64, 32, true}, 1);
  group_norm_floor<float>({1, 256, 320, 8, true}, 1);   // as (1, 16, 16, 1280): groups of 40 channels
  group_norm_floor<bf16>({1, 256, 320, 8, true}, 1);
  group_norm_floor<float>({2, 64, 320, 8}, 1);
  group_norm_floor<bf16>({2, 64, 320, 8}, 1);
  group_norm_floor<float>({1, 1100, 320, 32, true}, 2);  // as (1, 64, 64, 320): four groups of 10 channels fill whole sectors, and do not fit
  group_norm_floor<bf16>({1, 2100, 320, 32, true}, 2);
  layer_norm_floor<float>(64, 320, 512);
  layer_norm_floor<bf16>(64, 320, 800);
  layer_norm_floor<float>(64, 64, 600);
  layer_norm_floor<bf16>(96, 1280, 800);
  layer_norm_floor<float>(32, 1280, 448);  // by strips forward, too
  no_findings();
}

}  // namespace
