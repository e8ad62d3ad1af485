// Attention against plain loops in double, written from the formulas: values, all three gradients, masks,
// layouts, storage types, instruction sets, thread counts.
#include "cpu/attention.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "sspo/base/half.hpp"
#include "sspo/tensor/arena.hpp"

using namespace sspo;
using namespace sspo::cpu;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

enum class MaskKind { none, keys, full, rows_hidden };

struct Case {
  Index batch, heads, queries, keys, head_dim;
  bool causal = false;
  MaskKind mask = MaskKind::none;
  bool fused = false;   // q, k and v are slices of one buffer [B, N, 3, H, D]
  double spread = 1;    // the size of q: large ones make a sharp softmax
};

std::string name_of(const Case& c) {
  return "B" + std::to_string(c.batch) + " H" + std::to_string(c.heads) + " N" + std::to_string(c.queries) + " M" +
         std::to_string(c.keys) + " D" + std::to_string(c.head_dim) + (c.causal ? " causal" : "") + " mask " +
         std::to_string(int(c.mask)) + (c.fused ? " fused" : "");
}

struct Random {
  std::uint64_t state = 88172645463325252ull;
  double operator()() {  // uniform in [-1, 1)
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return double(state >> 11) * 0x1p-52 - 1;
  }
};

double widen(double x) { return x; }
double widen(float x) { return x; }
double widen(bf16 x) { return to_float(x); }
template <class T> T narrow(double x) { return T(float(x)); }
template <> double narrow<double>(double x) { return x; }

template <class T> struct ComputeOf { using type = T; };
template <> struct ComputeOf<bf16> { using type = float; };

// Inputs and outputs of one case in memory, as the kernels see them. Outputs start as NaN.
template <class T>
struct Problem {
  using C = typename ComputeOf<T>::type;
  Case c;
  HeadStrides sq, sk;
  std::vector<T> q, k, v, o, d_o, dq, dk, dv;  // fused: q holds all three, k and v are empty
  std::vector<C> lse, mask;
  AttentionArgs forward;
  AttentionGradArgs backward;

  explicit Problem(const Case& x) : c(x) {
    const Index B = c.batch, H = c.heads, N = c.queries, M = c.keys, D = c.head_dim, parts = c.fused ? 3 : 1;
    Random random;
    const auto fill = [&](std::vector<T>& t, Index n, double size) {
      t.resize(std::size_t(n));
      for (T& e : t) e = narrow<T>(size * random());
    };
    sq = {N * parts * H * D, parts * H * D, D}, sk = {M * parts * H * D, parts * H * D, D};
    fill(q, B * N * parts * H * D, c.spread);
    if (!c.fused) fill(k, B * M * H * D, 1), fill(v, B * M * H * D, 1);
    fill(d_o, B * N * parts * H * D, 1);
    o.assign(q.size(), narrow<T>(nan)), dq.assign(q.size(), narrow<T>(nan));
    dk.assign(std::size_t(B * M * parts * H * D), narrow<T>(nan)), dv = dk;
    lse.assign(std::size_t(B * H * N), C(nan));
    AttentionMask m;
    if (c.mask == MaskKind::keys) {  // [B, 1, 1, M], the last third hidden
      mask.resize(std::size_t(B * M));
      for (Index i = 0; i < B * M; ++i) mask[std::size_t(i)] = i % M >= M - M / 3 ? C(-inf) : C(random());
      m = {mask.data(), M, 0, 0};
    } else if (c.mask != MaskKind::none) {  // [B, H, N, M]; some queries see nothing
      mask.resize(std::size_t(B * H * N * M));
      for (Index i = 0; i < Index(mask.size()); ++i) {
        const bool hidden = c.mask == MaskKind::rows_hidden ? i / M % N % 3 == 1 : random() > 0.5;
        mask[std::size_t(i)] = hidden ? C(-inf) : C(2 * random());
      }
      m = {mask.data(), H * N * M, N * M, M};
    }
    const T* base = q.data();
    const Heads qh{base, sq}, kh{c.fused ? base + H * D : k.data(), sk}, vh{c.fused ? base + 2 * H * D : v.data(), sk};
    const double scale = 1 / std::sqrt(double(D));
    forward = {B, H, N, M, D, qh, kh, vh, m, scale, c.causal, {o.data(), sq}, lse.data()};
    backward = {B, H, N, M, D, qh, kh, vh, {o.data(), sq}, {d_o.data(), sq}, m, scale, c.causal, lse.data(),
                {dq.data(), sq}, {dk.data(), sk}, {dv.data(), sk}};
  }
};

template <class T> AttentionOf kernels_of(Isa isa) {
  if constexpr (std::is_same_v<T, float>) return attention_kernels(isa).f32;
  else if constexpr (std::is_same_v<T, double>) return attention_kernels(isa).f64;
  else return attention_kernels(isa).bf16;
}

template <class T> double at(const Heads& x, Index b, Index row, Index h, Index d) {
  return widen(static_cast<const T*>(x.data)[b * x.strides.batch + row * x.strides.row + h * x.strides.head + d]);
}
template <class T> double at(const HeadsOut& x, Index b, Index row, Index h, Index d) {
  return at<T>(Heads{x.data, x.strides}, b, row, h, d);
}

// The largest error of each result, relative to the largest entry that it could have had.
struct Errors {
  double o = 0, lse = 0, dq = 0, dk = 0, dv = 0;
};

template <class T>
Errors errors(const Problem<T>& p) {
  using C = typename ComputeOf<T>::type;
  const AttentionArgs& f = p.forward;
  const AttentionGradArgs& g = p.backward;
  const Index N = f.queries, M = f.keys, D = f.head_dim;
  Errors worst;
  const auto compare = [](double& e, double got, double want, double size) {
    if (!(std::abs(got - want) <= e * size)) e = got == want ? e : std::isnan(got) ? inf : std::abs(got - want) / size;
  };
  for (Index b = 0; b < f.batch; ++b)
    for (Index h = 0; h < f.heads; ++h) {
      std::vector<double> dk(std::size_t(M * D)), dv(std::size_t(M * D));
      std::vector<double> P(static_cast<std::size_t>(M)), dP(static_cast<std::size_t>(M));
      for (Index i = 0; i < N; ++i) {
        double top = -inf, sum = 0;
        for (Index j = 0; j < M; ++j) {
          double s = 0;
          for (Index d = 0; d < D; ++d) s += at<T>(f.q, b, i, h, d) * at<T>(f.k, b, j, h, d);
          s *= f.scale;
          const C* mask = static_cast<const C*>(f.mask.data);
          if (mask) s += double(mask[b * f.mask.batch + h * f.mask.head + i * f.mask.query + j]);
          if (f.causal && j > i) s = -inf;
          P[std::size_t(j)] = s, top = std::max(top, s);
        }
        for (double& s : P) s = top == -inf ? 0 : std::exp(s - top), sum += s;
        for (double& s : P) s = sum == 0 ? 0 : s / sum;
        compare(worst.lse, double(p.lse[std::size_t((b * f.heads + h) * N + i)]), top + std::log(sum),
                std::max(1.0, std::abs(top)));
        double delta = 0;
        for (Index d = 0; d < D; ++d) {
          double o = 0;
          for (Index j = 0; j < M; ++j) o += P[std::size_t(j)] * at<T>(f.v, b, j, h, d);
          compare(worst.o, at<T>(f.o, b, i, h, d), o, 1);
          delta += o * at<T>(g.d_o, b, i, h, d);
        }
        for (Index j = 0; j < M; ++j) {
          double& x = dP[std::size_t(j)] = 0;
          for (Index d = 0; d < D; ++d) x += at<T>(g.d_o, b, i, h, d) * at<T>(f.v, b, j, h, d);
        }
        for (Index d = 0; d < D; ++d) {
          double dq = 0;
          for (Index j = 0; j < M; ++j) {
            const double dS = P[std::size_t(j)] * (dP[std::size_t(j)] - delta);
            dq += f.scale * dS * at<T>(f.k, b, j, h, d);
            dk[std::size_t(j * D + d)] += f.scale * dS * at<T>(f.q, b, i, h, d);
            dv[std::size_t(j * D + d)] += P[std::size_t(j)] * at<T>(g.d_o, b, i, h, d);
          }
          if (g.dq.data) compare(worst.dq, at<T>(g.dq, b, i, h, d), dq, 1);
        }
      }
      double dk_size = 1, dv_size = 1;
      for (double x : dk) dk_size = std::max(dk_size, std::abs(x));
      for (double x : dv) dv_size = std::max(dv_size, std::abs(x));
      for (Index j = 0; j < M; ++j)
        for (Index d = 0; d < D; ++d) {
          if (g.dk.data) compare(worst.dk, at<T>(g.dk, b, j, h, d), dk[std::size_t(j * D + d)], dk_size);
          if (g.dv.data) compare(worst.dv, at<T>(g.dv, b, j, h, d), dv[std::size_t(j * D + d)], dv_size);
        }
    }
  return worst;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T>
Problem<T> run(const Case& c, Isa isa, int threads, Arena& arena) {
  Problem<T> p(c);
  const Context ctx{threads, isa, &arena};
  kernels_of<T>(isa).forward(ctx, p.forward);
  kernels_of<T>(isa).backward(ctx, p.backward);
  return p;
}

template <class T>
void check(const Case& c, double tolerance) {
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (!isa_supported(isa)) continue;
    INFO(name_of(c) << ", " << isa_name(isa) << ", " << sizeof(T) << " bytes");
    Arena arena(Arena::Options{});
    const Problem<T> one = run<T>(c, isa, 1, arena);
    const Errors e = errors(one);
    CHECK(e.o <= tolerance);
    CHECK(e.lse <= tolerance);
    CHECK(e.dq <= tolerance);
    CHECK(e.dk <= tolerance);
    CHECK(e.dv <= tolerance);
    for (const int threads : {2, 3}) {
      const Problem<T> many = run<T>(c, isa, threads, arena);
      CHECK(same_bits(one.o, many.o));
      CHECK(same_bits(one.lse, many.lse));
      CHECK(same_bits(one.dq, many.dq));
      CHECK(same_bits(one.dk, many.dk));
      CHECK(same_bits(one.dv, many.dv));
    }
    CHECK(arena.stats().in_use == 0);
  }
}

void check_all(const Case& c) {
  check<float>(c, 3e-6);
  check<double>(c, 1e-14);
  check<bf16>(c, 1.2e-2);  // results round to 8 bits, and the backward pass reads a rounded O
}

}  // namespace

TEST_CASE("attention: odd shapes") {
  check_all({1, 1, 1, 1, 1});
  check_all({1, 1, 1, 5, 3});
  check_all({2, 3, 17, 29, 5});
  check_all({1, 2, 33, 77, 8});
  check_all({1, 2, 70, 65, 40});
  check_all({1, 1, 130, 131, 7});
  check_all({1, 1, 9, 70, 80});
  check_all({3, 1, 16, 8, 160});
}

TEST_CASE("attention: wide heads") {
  check_all({1, 1, 70, 50, 257});
  check_all({1, 2, 35, 40, 512});
}

TEST_CASE("attention: several segments of queries and keys") {
  check_all({1, 1, 700, 513, 4});
  check_all({1, 1, 530, 790, 3, true});
}

TEST_CASE("attention: causal") {
  check_all({1, 2, 77, 77, 8, true});
  check_all({1, 1, 150, 150, 5, true});
  check_all({1, 1, 20, 150, 4, true});  // keys that no query sees have gradient 0
  check_all({1, 1, 150, 20, 4, true});
}

TEST_CASE("attention: masks") {
  for (const bool causal : {false, true}) {
    check_all({2, 2, 37, 77, 8, causal, MaskKind::keys});
    check_all({2, 2, 70, 41, 6, causal, MaskKind::full});
    check_all({1, 2, 70, 90, 9, causal, MaskKind::rows_hidden});
  }
}

TEST_CASE("attention: slices of one buffer, sharp softmax") {
  check_all({2, 3, 40, 40, 12, false, MaskKind::none, true});
  check_all({2, 3, 40, 40, 8, true, MaskKind::none, true});
  check<float>({1, 1, 40, 200, 16, false, MaskKind::none, false, 100}, 1e-4);  // |S| up to 100: 2^-24 of it
  check<double>({1, 1, 40, 200, 16, false, MaskKind::none, false, 1000}, 1e-12);
}

TEST_CASE("attention: a query that sees no key has output and gradients 0") {
  Arena arena(Arena::Options{});
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (!isa_supported(isa)) continue;
    const Problem<float> p = run<float>({1, 1, 40, 20, 8, false, MaskKind::rows_hidden}, isa, 1, arena);
    for (Index i = 1; i < 40; i += 3) {
      CHECK(p.lse[std::size_t(i)] == -std::numeric_limits<float>::infinity());
      for (Index d = 0; d < 8; ++d) {
        CHECK(p.o[std::size_t(i * 8 + d)] == 0);
        CHECK(p.dq[std::size_t(i * 8 + d)] == 0);
      }
    }
  }
}

TEST_CASE("attention: NaN and infinity reach what they touch, and nothing else") {
  Arena arena(Arena::Options{});
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (!isa_supported(isa)) continue;
    for (const std::uint32_t bits : {0x7fc00000u, 0xffc00000u, 0x7f800001u, 0x7fffffffu, 0x7f800000u}) {
      Problem<float> p({1, 1, 40, 20, 8});
      p.q[3 * 8 + 2] = std::bit_cast<float>(bits);
      kernels_of<float>(isa).forward({1, isa, &arena}, p.forward);
      for (Index i = 0; i < 40; ++i) CHECK(std::isnan(p.o[std::size_t(i * 8)]) == (i == 3));
    }
  }
}

TEST_CASE("attention: sizes of zero, gradients not wanted") {
  Arena arena(Arena::Options{});
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (!isa_supported(isa)) continue;
    for (const Case& c : {Case{0, 2, 4, 4, 8}, Case{2, 0, 4, 4, 8}, Case{1, 1, 0, 4, 8}, Case{1, 1, 4, 0, 8},
                          Case{1, 1, 4, 4, 0}}) {
      const Problem<float> p = run<float>(c, isa, 2, arena);
      for (const float x : p.o) CHECK(x == 0);   // no key: 0
      for (const float x : p.dq) CHECK(x == 0);
      for (const float x : p.dk) CHECK(x == 0);
      for (const float x : p.dv) CHECK(x == 0);
    }
    const Case c{1, 2, 600, 530, 12};
    const Problem<float> all = run<float>(c, isa, 1, arena);
    Problem<float> no_lse(c);
    no_lse.forward.lse = nullptr;
    kernels_of<float>(isa).forward({1, isa, &arena}, no_lse.forward);
    CHECK(same_bits(no_lse.o, all.o));
    for (int wanted = 0; wanted < 8; ++wanted) {
      Problem<float> p(c);
      p.o = all.o, p.lse = all.lse;
      p.backward.o.data = p.o.data(), p.backward.lse = p.lse.data();
      if (!(wanted & 1)) p.backward.dq.data = nullptr;
      if (!(wanted & 2)) p.backward.dk.data = nullptr;
      if (!(wanted & 4)) p.backward.dv.data = nullptr;
      kernels_of<float>(isa).backward({2, isa, &arena}, p.backward);
      CHECK(same_bits(p.dq, all.dq) == bool(wanted & 1));
      CHECK(same_bits(p.dk, all.dk) == bool(wanted & 2));
      CHECK(same_bits(p.dv, all.dv) == bool(wanted & 4));
    }
  }
}

TEST_CASE("attention: gradients are the slopes of the forward pass") {
  Arena arena(Arena::Options{});
  const Case c{1, 2, 23, 31, 6, true, MaskKind::keys};
  const Isa isa = default_isa();
  const Problem<double> p = run<double>(c, isa, 1, arena);
  const auto value = [&](std::vector<double> Problem<double>::* input, double step, double& slope,
                         std::vector<double> Problem<double>::* gradient) {
    Problem<double> moved(c);
    Random direction{12345};
    slope = 0;
    for (std::size_t i = 0; i < (moved.*input).size(); ++i) {
      const double u = direction();
      (moved.*input)[i] += step * u, slope += u * (p.*gradient)[i];
    }
    kernels_of<double>(isa).forward({1, isa, &arena}, moved.forward);
    double sum = 0;
    for (std::size_t i = 0; i < moved.o.size(); ++i) sum += moved.o[i] * moved.d_o[i];
    return sum;
  };
  using P = Problem<double>;
  const auto slope_matches = [&](std::vector<double> P::* input, std::vector<double> P::* gradient) {
    const double h = 1e-5;
    double slope;
    const double up = value(input, h, slope, gradient), down = value(input, -h, slope, gradient);
    CHECK((up - down) / (2 * h) == doctest::Approx(slope).epsilon(1e-7));
  };
  slope_matches(&P::q, &P::dq);
  slope_matches(&P::k, &P::dk);
  slope_matches(&P::v, &P::dv);
}

TEST_CASE("attention: workspace is linear in queries and keys") {
  const auto peak = [](Index n) {
    Arena arena(Arena::Options{});
    run<float>({1, 1, n, n, 8}, default_isa(), 1, arena);
    return double(arena.stats().peak);
  };
  const double p1 = peak(1024), p2 = peak(2048), p4 = peak(4096);
  CHECK(p4 - p2 <= 2.1 * (p2 - p1));
  CHECK(p4 < 4096 * 8 * 4 * 8.0 + 1e6);
}
