// Attention on the device against plain loops in double. Errors are held against the sums of the absolute terms, each element's:
//   rounding   what bf16 rounds: a weight (P or dS) and the result, 2^-8 each, of the terms
//   noise      what the compute type loses: a few units of its last place, of everything that was added up or cancelled
//   factors    tf32 keeps 10 bits of fraction: each factor of a product is off by 2^-11. Of one sum these errors are independent, as in
//              gemm_test.cpp: five times their size is 5 * 2^-11 of the root of the terms' squares. What a score is off by, its weight is too.
#include "attention.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <string>

#include "backend.hpp"
#include "device_test.hpp"
#include "sspo/base/error.hpp"

using namespace sspo;
using namespace sspo::cuda;
using namespace sspo::kernels;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity(), not_a_number = std::numeric_limits<double>::quiet_NaN();

enum class MaskKind { none, keys, full, rows_hidden };
struct Case {
  Index batch, heads, queries, keys, head_dim;
  bool causal = false;
  MaskKind mask = MaskKind::none;
  bool fused = false;  // q, k and v are slices of one buffer [B, N, 3, H, D], and so are their gradients
  Index skip = 0;      // elements in front of each array: views may start anywhere
  bool tf32 = false;
  double factors() const { return tf32 ? 0x1p-11 : 0; }
};
Case in_tf32(Case c) {
  c.tf32 = true;
  return c;
}
std::string name_of(const Case& c) {
  const auto n = [](Index i) { return std::to_string(i) + " "; };
  return "B " + n(c.batch) + "H " + n(c.heads) + "N " + n(c.queries) + "M " + n(c.keys) + "D " + n(c.head_dim) +
         (c.causal ? "causal " : "") + "mask " + n(int(c.mask)) + (c.fused ? "fused " : "") + (c.tf32 ? "tf32 " : "") + "skip " + n(c.skip);
}

template <class T> struct ComputeType { using type = T; };
template <> struct ComputeType<bf16> { using type = float; };
double widen(double x) { return x; }
double widen(float x) { return x; }
double widen(bf16 x) { return to_float(x); }
template <class T> T narrow(double x) {
  if constexpr (sizeof(T) == 8) return x;
  else return T(float(x));
}
template <class T> struct Tolerance { static constexpr double rounding = 0, noise = 4e-6; };
template <> struct Tolerance<double> { static constexpr double rounding = 0, noise = 1e-14; };
template <> struct Tolerance<bf16> { static constexpr double rounding = 1.01 / 128, noise = 4e-6; };

void require_no_findings() {
  std::string all;
  for (const Finding& f : findings()) all += f.text() + "\n";
  INFO(all);
  REQUIRE(findings().empty());
}
KernelCounters counters_of(const std::string& kernel) {
  for (const KernelCounters& c : counters())
    if (c.kernel == kernel) return c;
  return {};
}

// Inputs of one case, on the host.
template <class T> struct Inputs {
  using C = typename ComputeType<T>::type;
  Case c;
  HeadStrides sq, sk;
  std::vector<T> q, k, v, d_o;  // fused: q holds all three, k and v are empty
  std::vector<C> mask;
  double scale;

  explicit Inputs(const Case& x, double spread = 1) : c(x), scale(1 / std::sqrt(double(std::max<Index>(1, x.head_dim)))) {
    const Index H = c.heads, N = c.queries, M = c.keys, D = c.head_dim, parts = c.fused ? 3 : 1;
    std::mt19937 rng(7);
    std::normal_distribution<double> normal;
    const auto fill = [&](std::vector<T>& t, Index n, double size) {
      t.resize(std::size_t(n + c.skip));
      for (T& e : t) e = narrow<T>(size * normal(rng));
    };
    sq = {N * parts * H * D, parts * H * D, D}, sk = {M * parts * H * D, parts * H * D, D};
    fill(q, c.batch * N * parts * H * D, spread);
    if (!c.fused) fill(k, c.batch * M * H * D, 1), fill(v, c.batch * M * H * D, 1);
    fill(d_o, c.batch * N * parts * H * D, 1);
    if (c.mask == MaskKind::keys) {  // [B, 1, 1, M], the last third hidden
      for (Index i = 0; i < c.batch * M; ++i) mask.push_back(i % M >= M - M / 3 ? C(-inf) : C(normal(rng)));
    } else if (c.mask != MaskKind::none) {  // [B, H, N, M]; some queries see nothing
      for (Index i = 0; i < c.batch * H * N * M; ++i)
        mask.push_back((c.mask == MaskKind::rows_hidden ? i / M % N % 3 == 1 : normal(rng) > 0) ? C(-inf) : C(normal(rng)));
    }
  }
  AttentionMask mask_at(const C* data) const {
    if (c.mask == MaskKind::none) return {};
    if (c.mask == MaskKind::keys) return {data, c.keys, 0, 0};
    return {data, c.heads * c.queries * c.keys, c.queries * c.keys, c.keys};
  }
  AttentionArgs forward(const T* q_, const T* k_, const T* v_, const C* mask_, T* o, C* lse) const {
    const Index part = c.heads * c.head_dim;
    const T* const base = q_ + c.skip;
    const Heads k_at{c.fused ? base + part : k_ + c.skip, sk}, v_at{c.fused ? base + 2 * part : v_ + c.skip, sk};
    return {c.batch, c.heads, c.queries, c.keys, c.head_dim, {base, sq}, k_at, v_at, mask_at(mask_), scale, c.causal, {o + c.skip, sq},
            lse};
  }
};

template <class T> struct Outputs {
  std::vector<T> o, dq, dk, dv;  // in the layouts of the inputs; what no view covers stays NaN
  std::vector<typename ComputeType<T>::type> lse;
};
template <class T> bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(T)));
}

// Forward, then backward from `o` and `lse` of another (the truth's, rounded), so that each is tested by itself.
struct Wanted {
  bool lse = true, dq = true, dk = true, dv = true;
};
template <class T> Outputs<T> on_device(const Inputs<T>& in, const std::optional<Outputs<T>>& given = {}, Wanted want = {}) {
  using C = typename ComputeType<T>::type;
  TestDevice d;
  const Case& c = in.c;
  const Context ctx{d.stream, d.scratch, c.tf32};
  const std::vector<T> blank_q(in.d_o.size(), narrow<T>(not_a_number)), blank_k(in.k.size(), narrow<T>(not_a_number));
  const std::size_t rows = std::size_t(c.batch * c.heads * c.queries);
  const DeviceArray<T> q(d, in.q), k(d, in.k), v(d, in.v), d_o(d, in.d_o);
  const DeviceArray<T> o(d, blank_q), dq(d, blank_q), dk(d, blank_k), dv(d, blank_k);
  const DeviceArray<C> mask(d, in.mask), lse(d, std::vector<C>(rows, C(not_a_number)));
  AttentionArgs f = in.forward(q.data(), k.data(), v.data(), mask.data(), o.data(), lse.data());
  if (!want.lse) f.lse = nullptr;
  attention(ctx, dtype_of<T>, f);
  Outputs<T> out;
  out.o = o.host(), out.lse = lse.host();
  if (given) {
    const DeviceArray<T> o_given(d, given->o);
    const DeviceArray<C> lse_given(d, given->lse);
    const Index part = c.heads * c.head_dim;
    T* const gradients = dq.data() + c.skip;
    T *const dk_at = c.fused ? gradients + part : dk.data() + c.skip, *const dv_at = c.fused ? gradients + 2 * part : dv.data() + c.skip;
    attention_grad(ctx, dtype_of<T>,
                   {c.batch, c.heads, c.queries, c.keys, c.head_dim, f.q, f.k, f.v, {o_given.data() + c.skip, in.sq},
                    {d_o.data() + c.skip, in.sq}, f.mask, f.scale, c.causal, lse_given.data(), {want.dq ? gradients : nullptr, in.sq},
                    {want.dk ? dk_at : nullptr, in.sk}, {want.dv ? dv_at : nullptr, in.sk}});
    out.dq = dq.host(), out.dk = dk.host(), out.dv = dv.host();
  }
  return out;
}

// The truth of one (sample, head) in double, with what each result may be off by.
struct Matrix {
  Index columns;
  std::vector<double> x, off;
  Matrix(Index rows, Index c) : columns(c), x(std::size_t(rows * c)), off(x.size()) {}
  void add(Index i, Index j, double term, double error) {
    const std::size_t at = std::size_t(i * columns + j);
    x[at] += term, off[at] += error;
  }
};
template <class T, class F>
void each(const std::vector<T>& data, Index skip, const HeadStrides& s, Index b, Index h, Index rows, Index columns, F f) {
  for (Index i = 0; i < rows; ++i)
    for (Index d = 0; d < columns; ++d) f(i, d, data[std::size_t(skip + b * s.batch + i * s.row + h * s.head + d)]);
}
template <class T>
Matrix read(const std::vector<T>& data, Index skip, const HeadStrides& s, Index b, Index h, Index rows, Index columns) {
  Matrix m(rows, columns);
  each(data, skip, s, b, h, rows, columns, [&](Index i, Index d, T x) { m.add(i, d, widen(x), 0); });
  return m;
}

template <class T> struct Truth {
  Inputs<T> in;
  Outputs<T> rounded;  // O and lse, as the backward pass is given them
  std::vector<Matrix> o, dq, dk, dv;
  std::vector<double> lse, lse_off;

  explicit Truth(const Inputs<T>& inputs) : in(inputs) {
    const Case& c = in.c;
    rounded.o.assign(in.d_o.size(), narrow<T>(0));
    for (Index b = 0; b < c.batch; ++b)
      for (Index h = 0; h < c.heads; ++h) head(b, h);
  }
  void head(Index b, Index h) {
    using Tol = Tolerance<T>;
    const Case& c = in.c;
    const Index N = c.queries, M = c.keys, D = c.head_dim, part = c.heads * c.head_dim;
    const Matrix q = read(in.q, c.skip, in.sq, b, h, N, D), d_o = read(in.d_o, c.skip, in.sq, b, h, N, D);
    const Matrix k = read(c.fused ? in.q : in.k, c.skip + (c.fused ? part : 0), in.sk, b, h, M, D);
    const Matrix v = read(c.fused ? in.q : in.v, c.skip + (c.fused ? 2 * part : 0), in.sk, b, h, M, D);
    const auto at = [&](const Matrix& m, Index i, Index d) { return m.x[std::size_t(i * D + d)]; };
    Matrix O(N, D), dQ(N, D), dK(M, D), dV(M, D);
    const AttentionMask mask = in.mask_at(in.mask.data());
    std::vector<double> P(static_cast<std::size_t>(M)), score_off(P.size());
    const double factors = c.factors();
    for (Index i = 0; i < N; ++i) {
      double top = -inf, sum = 0, largest = 1, delta = 0, delta_size = 0, row_off = 0;
      for (Index j = 0; j < M; ++j) {
        double s = 0, size = 0, squares = 0;
        for (Index d = 0; d < D; ++d) {
          const double term = at(q, i, d) * at(k, j, d);
          s += term, size += std::abs(term), squares += term * term;
        }
        s *= in.scale, largest = std::max(largest, in.scale * size / 4);
        row_off = std::max(row_off, score_off[std::size_t(j)] = 5 * factors * in.scale * std::sqrt(squares));
        if (mask.data) s += widen(in.mask[std::size_t(b * mask.batch + h * mask.head + i * mask.query + j)]);
        if (c.causal && j > i) s = -inf;
        P[std::size_t(j)] = s, top = std::max(top, s);
      }
      for (double& s : P) s = top == -inf ? 0 : std::exp(s - top), sum += s;
      for (double& s : P) s = sum == 0 ? 0 : s / sum;
      const double noise = Tol::noise * largest;
      lse.push_back(top + std::log(sum)), lse_off.push_back(noise + row_off);
      rounded.lse.push_back(typename ComputeType<T>::type(lse.back()));
      for (Index d = 0; d < D; ++d) {
        for (Index j = 0; j < M; ++j) {
          const double term = P[std::size_t(j)] * at(v, j, d);
          O.add(i, d, term, std::abs(term) * (Tol::rounding + noise + score_off[std::size_t(j)] + row_off + 2 * factors));
        }
        T& r = rounded.o[std::size_t(c.skip + b * in.sq.batch + i * in.sq.row + h * in.sq.head + d)];
        r = narrow<T>(at(O, i, d));
        delta += widen(r) * at(d_o, i, d), delta_size += std::abs(widen(r) * at(d_o, i, d));
      }
      for (Index j = 0; j < M; ++j) {
        const double p = P[std::size_t(j)], p_off = noise + score_off[std::size_t(j)];
        double dP = 0, size = delta_size, squares = 0;
        for (Index d = 0; d < D; ++d) {
          const double term = at(d_o, i, d) * at(v, j, d);
          dP += term, size += std::abs(term), squares += term * term;
        }
        const double dS = in.scale * p * (dP - delta);
        const double off = std::abs(dS) * (Tol::rounding + score_off[std::size_t(j)] + 2 * factors) +
                           in.scale * p * (noise * size + 5 * factors * std::sqrt(squares));
        for (Index d = 0; d < D; ++d) {
          dQ.add(i, d, dS * at(k, j, d), off * std::abs(at(k, j, d)));
          dK.add(j, d, dS * at(q, i, d), off * std::abs(at(q, i, d)));
          dV.add(j, d, p * at(d_o, i, d), p * std::abs(at(d_o, i, d)) * (Tol::rounding + p_off + 2 * factors));
        }
      }
    }
    o.push_back(std::move(O)), dq.push_back(std::move(dQ)), dk.push_back(std::move(dK)), dv.push_back(std::move(dV));
  }

  // The largest error over what it may be.
  static constexpr double underflow = 1e3 * double(std::numeric_limits<typename ComputeType<T>::type>::min());
  double worst(const std::vector<T>& got, Index part, const HeadStrides& s, Index rows, const std::vector<Matrix>& truth) const {
    double worst = 0;
    for (Index b = 0; b < in.c.batch; ++b)
      for (Index h = 0; h < in.c.heads; ++h) {
        const Matrix& m = truth[std::size_t(b * in.c.heads + h)];
        each(got, in.c.skip + part * in.c.heads * in.c.head_dim, s, b, h, rows, in.c.head_dim, [&](Index i, Index d, T x) {
          const std::size_t at = std::size_t(i * in.c.head_dim + d);
          const double error = std::abs(widen(x) - m.x[at]);
          if (error != 0) worst = std::isnan(error) ? inf : std::max(worst, error / (m.off[at] + underflow));
        });
      }
    return worst;
  }
  void compare(const Outputs<T>& got) const {
    const Case& c = in.c;
    CHECK(worst(got.o, 0, in.sq, c.queries, o) <= 1);
    CHECK(worst(got.dq, 0, in.sq, c.queries, dq) <= 1);
    CHECK(worst(c.fused ? got.dq : got.dk, c.fused ? 1 : 0, in.sk, c.keys, dk) <= 1);
    CHECK(worst(c.fused ? got.dq : got.dv, c.fused ? 2 : 0, in.sk, c.keys, dv) <= 1);
    double lse_worst = 0;
    for (std::size_t i = 0; i < lse.size(); ++i)
      if (!(double(got.lse[i]) == lse[i])) lse_worst = std::max(lse_worst, std::abs(double(got.lse[i]) - lse[i]) / lse_off[i]);
    CHECK(lse_worst <= 1);
  }
};

template <class T> void check(const Case& c, double spread = 1) {
  INFO(name_of(c) << ", " << sizeof(T) << " bytes");
  const Truth<T> truth(Inputs<T>(c, spread));
  truth.compare(on_device<T>(truth.in, truth.rounded));
  require_no_findings();
}
void check_all(const Case& c) {
  check<float>(c);
  check<float>(in_tf32(c));
  check<double>(c);
  check<bf16>(c);
}

}  // namespace

TEST_CASE("attention: odd shapes, every width") {
  check_all({1, 1, 1, 1, 1});
  check_all({1, 1, 1, 5, 3});
  check_all({2, 2, 17, 29, 5});
  check_all({1, 1, 70, 65, 40});
  check_all({1, 1, 18, 77, 64});
  check_all({1, 1, 33, 68, 80});
  check_all({1, 1, 17, 18, 160});
  check<float>({1, 1, 9, 34, 257});
  check<float>(in_tf32({1, 1, 9, 34, 257}));
  check<bf16>({1, 1, 9, 34, 257});
}

TEST_CASE("attention: the autoencoder's head") {
  check<float>({1, 1, 35, 34, 512});
  check<float>(in_tf32({1, 1, 35, 66, 512}));
  check<double>({1, 1, 9, 17, 512});
  check<bf16>({1, 1, 35, 66, 512});
}

TEST_CASE("attention: causal") {
  check_all({1, 1, 77, 77, 8, true});
  check_all({1, 1, 20, 70, 4, true});  // keys that no query sees have gradient 0
  check_all({1, 1, 130, 20, 4, true});
  check<bf16>({1, 1, 70, 70, 512, true});
  check<float>(in_tf32({1, 1, 70, 70, 512, true}));
}

TEST_CASE("attention: masks") {
  for (const bool causal : {false, true}) {
    check_all({2, 1, 37, 77, 8, causal, MaskKind::keys});
    check_all({1, 2, 34, 41, 6, causal, MaskKind::full});
    check<bf16>({1, 1, 40, 35, 8, causal, MaskKind::rows_hidden});
    check<float>(in_tf32({1, 1, 40, 35, 8, causal, MaskKind::rows_hidden}));
  }
  check<bf16>({1, 1, 34, 40, 272, false, MaskKind::full});
  check<float>(in_tf32({1, 1, 34, 40, 272, false, MaskKind::full}));
}

TEST_CASE("attention: slices of one buffer, views that start anywhere") {
  check_all({2, 2, 20, 20, 8, false, MaskKind::none, true});
  check_all({1, 2, 40, 40, 7, true, MaskKind::none, true});
  check_all({1, 2, 17, 41, 16, false, MaskKind::none, false, 1});
  check_all({1, 1, 40, 40, 48, true, MaskKind::full, true, 3});
}

TEST_CASE("attention: a sharp softmax") {
  check<float>({1, 1, 40, 200, 16}, 30);
  check<double>({1, 1, 40, 100, 16}, 1000);
}

TEST_CASE("attention: a query that sees no key has output and gradients 0, and lse -inf") {
  const auto run = [&]<class T>(T, Case c = {1, 1, 40, 20, 8, false, MaskKind::rows_hidden}) {
    const Truth<T> truth(Inputs<T>{c});
    const Outputs<T> got = on_device<T>(truth.in, truth.rounded);
    for (std::size_t i = 1; i < 40; i += 3) {
      CHECK(double(got.lse[i]) == -inf);
      const std::size_t D = std::size_t(c.head_dim);
      for (std::size_t d = 0; d < D; ++d) CHECK((widen(got.o[i * D + d]) == 0 && widen(got.dq[i * D + d]) == 0));
    }
  };
  run(float{}), run(double{}), run(bf16{});
  for (const Index head_dim : {8, 160, 512}) run(float{}, in_tf32({1, 1, 40, 20, head_dim, false, MaskKind::rows_hidden}));
}

TEST_CASE("attention: NaN and infinity reach the query they touch, and no other") {
  const auto run = [&]<class T>(T, bool tf32 = false) {
    for (const double bad : {not_a_number, inf, -inf}) {
      Inputs<T> in({.batch = 1, .heads = 1, .queries = 40, .keys = 20, .head_dim = 8, .tf32 = tf32});
      in.q[3 * 8 + 2] = narrow<T>(bad);
      const Outputs<T> got = on_device<T>(in);
      for (std::size_t i = 0; i < 40; ++i) CHECK(std::isnan(widen(got.o[i * 8])) == (i == 3));
    }
  };
  run(float{}), run(float{}, true), run(double{}), run(bf16{});
}

TEST_CASE("attention: as the CPU") {
  const Inputs<float> in({2, 2, 45, 77, 40, false, MaskKind::keys});
  std::vector<float> o(in.q.size()), lse(2 * 2 * 45);
  static const Device* const cpu = new Device(Device::cpu());  // kept: the checking build lacks the atomic that counts its users
  backend(*cpu).attention(DType::f32, in.forward(in.q.data(), in.k.data(), in.v.data(), in.mask.data(), o.data(), lse.data()));
  const Outputs<float> got = on_device<float>(in);
  for (std::size_t i = 0; i < o.size(); ++i) CHECK(std::abs(got.o[i] - o[i]) <= 1e-5);
  for (std::size_t i = 0; i < lse.size(); ++i) CHECK(std::abs(got.lse[i] - lse[i]) <= 1e-5);
}

TEST_CASE("attention: sizes of zero") {
  const auto run = [&]<class T>(T, bool tf32 = false) {
    const Case cases[] = {{0, 2, 4, 4, 8}, {2, 0, 4, 4, 8}, {1, 1, 0, 4, 8}, {1, 1, 4, 0, 8}, {1, 1, 4, 4, 0}};
    for (Case c : cases) {
      c.tf32 = tf32;
      INFO(name_of(c));
      const Truth<T> truth(Inputs<T>{c});
      const Outputs<T> got = on_device<T>(truth.in, truth.rounded);
      for (const auto* x : {&got.o, &got.dq, &got.dk, &got.dv})
        for (const T e : *x) CHECK(widen(e) == 0);
      if (c.keys == 0)
        for (const auto e : got.lse) CHECK(double(e) == -inf);
      else if (c.head_dim == 0)
        for (const auto e : got.lse) CHECK(std::abs(double(e) - std::log(4.0)) < 1e-6);
    }
  };
  run(float{}), run(float{}, true), run(double{}), run(bf16{});
  require_no_findings();
}

TEST_CASE("attention: results not wanted") {
  const auto run = [&]<class T>(T, const Case& c = {1, 1, 35, 20, 8}) {
    const Truth<T> truth(Inputs<T>{c});
    const Outputs<T> all = on_device<T>(truth.in, truth.rounded);
    for (int wanted = 0; wanted < 8; ++wanted) {
      const Wanted w{false, bool(wanted & 1), bool(wanted & 2), bool(wanted & 4)};
      const Outputs<T> some = on_device<T>(truth.in, truth.rounded, w);
      CHECK(same_bits(some.o, all.o));
      CHECK(same_bits(some.dq, all.dq) == w.dq);
      CHECK(same_bits(some.dk, all.dk) == w.dk);
      CHECK(same_bits(some.dv, all.dv) == w.dv);
      CHECK(std::isnan(double(some.lse[0])));
    }
  };
  run(float{}), run(bf16{}), run(float{}, in_tf32({1, 1, 35, 20, 8}));
}

TEST_CASE("attention: the same bits in every schedule") {
  const auto run = [&]<class T>(T, const Case& c) {
    const Truth<T> truth(Inputs<T>{c});
    const Outputs<T> first = on_device<T>(truth.in, truth.rounded);
    for (const std::uint64_t seed : {1, 2}) {
      set_schedule(seed);
      const Outputs<T> again = on_device<T>(truth.in, truth.rounded);
      CHECK(same_bits(first.o, again.o));
      CHECK(same_bits(first.lse, again.lse));
      CHECK(same_bits(first.dq, again.dq));
      CHECK(same_bits(first.dk, again.dk));
      CHECK(same_bits(first.dv, again.dv));
    }
    set_schedule(0);
    require_no_findings();
  };
  run(float{}, {1, 1, 40, 35, 8});
  run(double{}, {1, 1, 17, 17, 8});
  run(bf16{}, {1, 2, 35, 70, 40});
  run(bf16{}, {1, 1, 40, 40, 160});
  run(bf16{}, {1, 1, 40, 40, 512});
  run(float{}, in_tf32({1, 2, 35, 70, 40}));
  run(float{}, in_tf32({1, 1, 40, 40, 160}));
  run(float{}, in_tf32({1, 1, 40, 40, 512, true}));
}

TEST_CASE("attention: what has no kernel is one clear error") {
  TestDevice d;
  const auto refused = [&](DType type, Index head_dim, const char* says) {
    std::string text;
    try {
      AttentionArgs a;
      a.batch = a.heads = 1, a.queries = a.keys = 4, a.head_dim = head_dim;
      attention(d.ctx, type, a);
    } catch (const Error& e) {
      text = e.what();
    }
    CAPTURE(text);
    CHECK(text.find("attention") != std::string::npos);
    CHECK(text.find(says) != std::string::npos);
  };
  refused(DType::f32, 513, "513");
  refused(DType::f16, 64, "f16");
}

TEST_CASE("attention: the widest heads within 99 KiB of shared memory; what wants more is one clear error" * doctest::skip(!counts)) {
  struct Smaller {
    const DeviceLimits whole = limits();
    explicit Smaller(std::size_t bytes) {
      DeviceLimits l = whole;
      l.shared_per_block = bytes;
      set_limits(l);
    }
    ~Smaller() { set_limits(whole); }
  };
  const auto said = [](auto&& run) -> std::string {
    try {
      run();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  {
    const Smaller card(99 * 1024);
    for (const Index head_dim : {160, 512}) {
      const Case c{1, 1, 20, 18, head_dim};
      check<float>(c), check<bf16>(c), check<float>(in_tf32(c));
    }
    check<double>({1, 1, 20, 18, 160});
    const Truth<double> truth(Inputs<double>({1, 1, 3, 3, 512}));
    const std::string text = said([&] { on_device<double>(truth.in); });
    for (const char* part : {"attention", "heads of 512 in f64", "165504 bytes", "101376 on", "Attention::reference"}) {
      CAPTURE(text);
      CHECK(text.find(part) != std::string::npos);
    }
  }
  const Smaller card(163 * 1024);  // compute capability 8.0: forward fits, backward does not
  const Truth<double> truth(Inputs<double>({1, 1, 3, 3, 512}));
  const std::string text = said([&] { on_device<double>(truth.in, truth.rounded); });
  for (const char* part : {"attention_grad", "heads of 512 in f64", "199680 bytes", "166912 on", "Attention::reference"}) {
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
  }
}

// How a kernel cuts its work: rows of a block, rows of the other side a tile, and whether heads come in slices.
struct Cut {
  Index rows, others;
  bool sliced = false;
};

TEST_CASE("attention: whole sectors, no bank conflicts, arrays moved as often as promised" * doctest::skip(!checking())) {
  // Rows of 10, 12 or 20 pieces of 16 bytes leave some of a row's 8 threads idle on their way into and out of shared memory.
  const auto run = [&]<class T>(T, const Case& c, const char* unit, Cut forward, Cut keys, Cut queries, double wavefronts = 1) {
    INFO(name_of(c) << std::string(unit));
    reset_counters();
    const Truth<T> truth(Inputs<T>{c});
    on_device<T>(truth.in, truth.rounded);
    INFO(counters_table());
    const auto rows = std::uint64_t(c.batch * c.heads * c.queries);
    const std::uint64_t one = rows * std::uint64_t(c.head_dim) * sizeof(T) / 32;  // sectors of q; N = M
    const std::uint64_t terms = rows * sizeof(typename ComputeType<T>::type) / 32;
    const auto tiles = [&](Index of) { return std::uint64_t((c.queries + of - 1) / of); };
    const std::string tail = std::string("_") + unit;
    const auto moved = [&](const std::string& kernel, std::uint64_t distinct, std::uint64_t read, std::uint64_t written) {
      INFO(kernel);
      const KernelCounters n = counters_of(kernel);
      REQUIRE(n.launches == 1);
      CHECK(n.sectors_read + n.sectors_written == n.sectors_fewest);
      CHECK(double(n.wavefronts) <= wavefronts * double(n.wavefronts_fewest));
      CHECK(n.unique_read == distinct);
      CHECK(n.unique_written == written);
      // Of a row's own numbers (lse, δ) a warp moves a few at a time: their sectors up to 9 times. A head has 40 numbers or more a row.
      CHECK((n.sectors_read >= read && n.sectors_read <= read + 8 * terms));
      CHECK((n.sectors_written >= written && n.sectors_written <= written + 4 * terms));
    };
    moved("attention_forward" + tail, 3 * one, one + 2 * one * tiles(forward.rows), one + terms);
    moved("attention_row_terms", 2 * one + terms, 2 * one + terms, 2 * terms);
    const auto own = [&](Cut cut) { return 2 * one * (cut.sliced ? tiles(cut.others) : 1); };
    moved("attention_keys_grad" + tail, 4 * one + 2 * terms, own(keys) + ((keys.sliced ? 4 : 2) * one + 2 * terms) * tiles(keys.rows), 2 * one);
    moved("attention_queries_grad" + tail, 4 * one + 2 * terms, own(queries) + (queries.sliced ? 3 : 2) * one * tiles(queries.rows) + 2 * terms, one);
  };
  run(bf16{}, {1, 1, 128, 128, 64}, "mma", {128, 64}, {64, 64}, {128, 32});
  run(bf16{}, {1, 1, 64, 64, 80}, "mma", {128, 64}, {64, 32}, {128, 32}, 1.07);
  run(bf16{}, {1, 1, 64, 64, 160}, "mma", {64, 64}, {64, 32}, {64, 32}, 1.07);
  run(bf16{}, {1, 1, 64, 64, 512}, "mma", {64, 32}, {32, 32, true}, {32, 32, true});
  run(float{}, in_tf32({1, 1, 128, 128, 40}), "mma", {128, 64}, {128, 32}, {64, 32}, 1.08);
  run(float{}, in_tf32({1, 1, 128, 128, 64}), "mma", {128, 64}, {64, 32}, {64, 32});
  run(float{}, in_tf32({1, 1, 64, 64, 80}), "mma", {128, 32}, {64, 16}, {64, 16}, 1.07);
  run(float{}, in_tf32({1, 1, 64, 64, 160}), "mma", {64, 32}, {32, 16}, {32, 16});
  run(float{}, in_tf32({1, 1, 64, 64, 512}), "mma", {32, 32}, {32, 32, true}, {32, 32, true});
  run(float{}, {1, 1, 64, 64, 64}, "simt", {64, 32}, {64, 32}, {64, 32});
  run(float{}, {1, 1, 32, 32, 160}, "simt", {32, 32}, {32, 32}, {32, 32});
  run(float{}, {1, 1, 32, 32, 512}, "simt", {16, 16}, {8, 16}, {8, 16});
  run(double{}, {1, 1, 32, 32, 64}, "simt", {32, 32}, {32, 32}, {32, 32});
}

TEST_CASE("attention: products on tensor cores: 2 forward and 7 backward, by counting" * doctest::skip(!counts)) {
  const auto run = [&]<class T>(T, const Case& c) {
    INFO(name_of(c));
    reset_counters();
    const Truth<T> truth(Inputs<T>{c});
    on_device<T>(truth.in, truth.rounded);
    const std::uint64_t product = 2ull * 128 * 128 * std::uint64_t(c.head_dim);  // FLOPs
    CHECK(counters_of("attention_forward_mma").mma_flops == 2 * product);
    CHECK(counters_of("attention_keys_grad_mma").mma_flops == 4 * product);
    CHECK(counters_of("attention_queries_grad_mma").mma_flops == 3 * product);
  };
  for (const Index head_dim : {64, 80, 160, 512}) run(bf16{}, {1, 1, 128, 128, head_dim}), run(float{}, in_tf32({1, 1, 128, 128, head_dim}));
}
