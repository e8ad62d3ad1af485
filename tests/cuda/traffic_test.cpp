// Bars of traffic at the shapes of Stable Diffusion and of the demo's models, small ones too: all sectors that the warps of one call ask
// for, repeated ones counted again, within 1.1 of each input read once and each output written once; wavefronts within 1.1 of conflict-free.
#include "elementwise.hpp"
#include "norm.hpp"

#include <deque>

#include "sspo/ops/elementwise.hpp"
#include "streaming_test.hpp"
#include "twin.hpp"

namespace {
using namespace sspo;
using namespace sspo::cuda;
using namespace sspo::cuda::streaming;

template <class T> std::vector<T> ramp(Index n) {
  std::vector<T> x;
  for (Index i = 0; i < n; ++i) x.push_back(make<T>(double(i % 17) / 8 - 1));
  return x;
}

template <class T> void layer_norm_both(Index rows, Index C) {
  TestDevice d;
  CAPTURE(sizeof(T)); CAPTURE(rows); CAPTURE(C);
  const DeviceArray<T> x(d, ramp<T>(rows * C)), w(d, ramp<T>(C)), y(d, std::size_t(rows * C)), dw(d, std::size_t(C)), db(d, std::size_t(C));
  const DeviceArray<double> mean(d, std::size_t(rows)), rstd(d, std::size_t(rows));
  const double row = double(C) * sizeof(T);
  reset_counters();
  layer_norm(d.ctx, dtype_of<T>, {rows, C, 1e-5, x.data(), w.data(), w.data(), y.data(), mean.data(), rstd.data()});
  check_all_traffic(double(rows) * (2 * row + 16) + 2 * row);
  reset_counters();
  layer_norm_grad(d.ctx, dtype_of<T>, {rows, C, x.data(), w.data(), x.data(), mean.data(), rstd.data(), y.data(), dw.data(), db.data()});
  check_all_traffic(double(rows) * (2 * row + 16) + double(rows) * row + 3 * row);
}
template <class T> void layer_norms() {
  for (const Index C : {320, 640, 768, 1280})
    for (const Index rows : {77, 256}) layer_norm_both<T>(rows, C);
  for (const Index rows : {154, 448, 1024, 4096}) layer_norm_both<T>(rows, 320);
}
TEST_CASE("traffic: layer norm of 77 to 4096 rows, forward and gradient" * doctest::skip(!checking())) {
  layer_norms<float>();
  layer_norms<bf16>();
  no_findings();
}

template <class T> void long_layer_norms() {
  for (const Index C : {2304, 4104, 8192, 10000}) layer_norm_both<T>(C == 2304 ? 77 : 18, C);
  layer_norm_both<T>(5, 16384);
  for (const Index C : {385, 513, 1001, 2049, 5001, 16001}) layer_norm_both<T>(C < 2000 ? 77 : 18, C);  // rows that packs do not fit
}
TEST_CASE("traffic: layer norm of rows that packs do not fit, forward and gradient" * doctest::skip(!checking())) {
  for (const Index C : {33, 40, 60, 77, 100, 129, 255, 257, 511})
    for (const Index rows : {77, 200}) layer_norm_both<float>(rows, C), layer_norm_both<bf16>(rows, C);
  no_findings();
}
TEST_CASE("traffic: layer norm of long rows, forward and gradient" * doctest::skip(!checking())) {
  long_layer_norms<float>();
  long_layer_norms<bf16>();
  no_findings();
}

template <class T> void group_norm_both(Index B, Index P, Index C) {
  TestDevice d;
  CAPTURE(sizeof(T)); CAPTURE(B); CAPTURE(P); CAPTURE(C);
  const Index G = 32;
  const std::size_t n = std::size_t(B * P * C);
  const DeviceArray<T> x(d, ramp<T>(B * P * C)), w(d, ramp<T>(C)), y(d, n), dw(d, std::size_t(C)), db(d, std::size_t(C));
  const DeviceArray<double> mean(d, std::size_t(B * G)), rstd(d, std::size_t(B * G));
  const double size = double(n * sizeof(T)), channels = double(C) * sizeof(T), statistics = 16.0 * double(B * G);
  reset_counters();
  group_norm(d.ctx, dtype_of<T>, {B, P, C, G, 1e-5, true, x.data(), w.data(), w.data(), y.data(), mean.data(), rstd.data()});
  check_all_traffic(2 * size + 2 * channels + statistics);
  reset_counters();
  group_norm_grad(d.ctx, dtype_of<T>, {B, P, C, G, true, x.data(), w.data(), w.data(), x.data(), mean.data(), rstd.data(), y.data(), dw.data(), db.data()});
  check_all_traffic(3 * size + 4 * channels + statistics);
}
TEST_CASE("traffic: group norm of few positions, forward and gradient" * doctest::skip(!checking())) {
  for (const Index B : {1, 2, 3, 4, 7}) {
    group_norm_both<float>(B, 16, 1280), group_norm_both<bf16>(B, 16, 1280);  // 4x4x1280
    if (B == 3 || B == 7) continue;
    group_norm_both<float>(B, 64, 1280), group_norm_both<bf16>(B, 64, 1280);  // 8x8x1280
  }
  group_norm_both<float>(1, 256, 640), group_norm_both<bf16>(1, 256, 640);    // 16x16x640
  group_norm_both<bf16>(4, 256, 640);
  no_findings();
}

TEST_CASE("traffic: group norm of a batch at one to nine positions, forward and gradient" * doctest::skip(!checking())) {
  for (const Index B : {1, 2, 5, 16, 33, 95})
    for (const Index P : {1, 2, 3, 4, 6, 9}) {
      if (B == 95 && P > 2) continue;
      for (const Index C : {320, 640}) group_norm_both<float>(B, P, C), group_norm_both<bf16>(B, P, C);
    }
  group_norm_both<float>(16, 1, 1280), group_norm_both<bf16>(16, 1, 1280);
  no_findings();
}

// One op on operands of `shapes` that are broadcast to `shape`. The floor: each operand and the result once, in whole sectors.
template <class O> void broadcast(const Shape& shape, std::initializer_list<Shape> shapes, DType t) {
  TestDevice d;
  std::deque<Twin> x;
  std::vector<View> in;
  const DType out = detail::rule<O>() == detail::ResultRule::predicate ? DType::boolean : t;
  const Twin y(d, out, shape.numel(), 9);
  const auto sectors = [](Index n, DType of) { return double((n * Index(size_of(of)) + 31) / 32); };
  double floor = sectors(shape.numel(), out);
  std::string text = shape.str() + " " + std::string(name_of(t));
  for (const Shape& s : shapes) {
    const DType own = x.empty() && detail::rule<O>() == detail::ResultRule::condition ? DType::boolean : t;
    const Strides lying = contiguous_strides(s);
    Strides strides{};
    const int ahead = shape.rank() - s.rank();
    for (int a = ahead; a < shape.rank(); ++a)
      if (s[a - ahead] != 1) strides[std::size_t(a)] = lying[std::size_t(a - ahead)];
    x.emplace_back(d, own, s.numel(), unsigned(x.size()) + 1);
    in.push_back(x.back().device(shape, strides));
    floor += sectors(s.numel(), own);
    text += ", " + s.str();
  }
  CAPTURE(text);
  reset_counters();
  elementwise(d.ctx, detail::builtin_index<O>, nullptr, in, y.device(shape), compute_type(t));
  check_all_traffic(32 * floor);
}
template <class O> void either_first(const Shape& shape, const Shape& other, DType t) {
  broadcast<O>(shape, {shape, other}, t);
  broadcast<O>(shape, {other, shape}, t);
}
TEST_CASE("traffic: operands that are broadcast" * doctest::skip(!checking())) {
  for (const DType t : {DType::f32, DType::bf16}) {
    for (const Shape& s : {Shape{77, 768}, Shape{256, 512}, Shape{12, 320}, Shape{1000, 64}, Shape{33, 1280}, Shape{10, 4096}}) {
      either_first<Add>(s, {s[1]}, t);     // a bias
      either_first<Mul>(s, {s[0], 1}, t);  // each row by its own number
    }
    for (const Shape& s : {Shape{1, 8, 8, 1280}, Shape{2, 8, 8, 1280}, Shape{4, 4, 4, 1280}, Shape{3, 16, 16, 64}, Shape{2, 16, 16, 640}}) {
      either_first<Add>(s, {s[0], 1, 1, s[3]}, t);  // a time step's channels to every position
      either_first<Add>(s, {s[3]}, t);
    }
    for (const Shape& s : {Shape{2, 8, 8, 320}, Shape{3, 77, 64}, Shape{5, 77, 64}, Shape{5, 77, 63}, Shape{7, 9, 129}})
      either_first<Add>(s, s.rank() == 4 ? Shape{s[1], s[2], s[3]} : Shape{s[1], s[2]}, t);
    broadcast<Mul>({64, 512}, {Shape{64, 512}, Shape{}}, t);  // a number
  }
  broadcast<Add>({4096, 320}, {{4096, 320}, {320}}, DType::f32);
  broadcast<Add>({64, 128}, {{64, 128}, {128}}, DType::f64);
  require_no_findings();
}
TEST_CASE("traffic: operands that are broadcast to rows of any length" * doctest::skip(!checking())) {
  for (const DType t : {DType::f32, DType::bf16, DType::f64})
    for (const Index C : {2, 3, 5, 8, 12, 20, 28, 31, 33, 36, 50, 63, 77, 96, 100, 129, 255, 324, 511, 1000, 1023, 1025, 1281, 2500}) {
      const Index rows = 20000 / C;
      for (const Index R : {rows, Index(2), Index(5)}) {
        const Index L = rows / R;
        either_first<Add>({L, R, C}, {L, 1, C}, t);
        either_first<Mul>({L, R, C}, {L, R, 1}, t);
        if (L > 1) either_first<Mul>({L, R, C}, {R, 1}, t);
        if (L > 1) either_first<Mul>({L, R, C}, {L, 1, 1}, t);
      }
    }
  require_no_findings();
}
TEST_CASE("traffic: results larger than their operands" * doctest::skip(!checking())) {
  for (const DType t : {DType::f32, DType::bf16}) {
    for (const Index R : {64, 77, 300})
      for (const Index C : {64, 77, 320, 1281}) {
        broadcast<Add>({R, C}, {{R, 1}, {C}}, t);
        broadcast<Less>({R, C}, {{R, 1}, {C}}, t);  // a byte of the result for each element
        broadcast<Where>({R, C}, {{R, C}, {C}, {R, 1}}, t);
        broadcast<Where>({R, C}, {{R, C}, Shape{}, {R, 1}}, t);
        broadcast<Where>({R, C}, {{R, 1}, {R, C}, {C}}, t);
        broadcast<Exp>({R, C}, {Shape{}}, t);
      }
    for (const Shape& s : {Shape{20, 77, 64}, Shape{33, 40, 77}}) {
      broadcast<Add>(s, {{1, s[1], s[2]}, {s[0], 1, s[2]}}, t);  // a place's numbers and a sample's
      broadcast<Add>(s, {{s[0], 1, 1}, {s[1], s[2]}}, t);
      broadcast<Add>(s, {{s[0], s[1], 1}, {s[0], 1, s[2]}}, t);
    }
  }
  require_no_findings();
}

}  // namespace
