// Bars of traffic at the shapes of Stable Diffusion and of the demo's models, small ones too: all sectors that the warps of one call ask
// for, repeated ones counted again, within 1.1 of each input read once and each output written once; wavefronts within 1.1 of conflict-free.
#include "elementwise.hpp"
#include "norm.hpp"
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

template <class O> void broadcast(const Shape& shape, const Shape& other, bool first, DType t) {
  CAPTURE(shape.str()); CAPTURE(other.str()); CAPTURE(first); CAPTURE(name_of(t));
  TestDevice d;
  const Index n = shape.numel(), m = other.numel();
  const Twin x(d, t, n, 1), b(d, t, m, 2), y(d, t, n, 3);
  Strides strides = contiguous_strides(shape), few = contiguous_strides(other), wide{};
  const int ahead = shape.rank() - other.rank();
  for (int a = ahead; a < shape.rank(); ++a)
    if (other[a - ahead] != 1) wide[std::size_t(a)] = few[std::size_t(a - ahead)];
  const View whole = x.device(shape, strides), part = b.device(shape, wide);
  const View in[] = {first ? part : whole, first ? whole : part};
  reset_counters();
  elementwise(d.ctx, detail::builtin_index<O>, nullptr, in, y.device(shape), compute_type(t));
  check_all_traffic(double(2 * n + m) * double(size_of(t)));
}
TEST_CASE("traffic: operands that are broadcast" * doctest::skip(!checking())) {
  for (const DType t : {DType::f32, DType::bf16}) {
    for (const bool first : {false, true}) {
      for (const Shape& s : {Shape{77, 768}, Shape{256, 512}, Shape{12, 320}, Shape{1000, 64}, Shape{33, 1280}}) {
        broadcast<Add>(s, {s[1]}, first, t);     // a bias
        broadcast<Mul>(s, {s[0], 1}, first, t);  // each row by its own number
      }
      for (const Shape& s : {Shape{1, 8, 8, 1280}, Shape{2, 8, 8, 1280}, Shape{4, 4, 4, 1280}, Shape{3, 16, 16, 64}, Shape{2, 16, 16, 640}}) {
        broadcast<Add>(s, {s[0], 1, 1, s[3]}, first, t);  // a time step's channels to every position
        broadcast<Add>(s, {s[3]}, first, t);
      }
    }
    broadcast<Add>({2, 8, 8, 320}, {8, 8, 320}, false, t);  // one picture to each of two, three, five
    broadcast<Add>({3, 77, 64}, {77, 64}, false, t);
    broadcast<Add>({5, 77, 64}, {77, 64}, false, t);
    broadcast<Mul>({64, 512}, {}, false, t);                // a number
  }
  broadcast<Add>({4096, 320}, {320}, false, DType::f32);
  broadcast<Add>({64, 128}, {128}, false, DType::f64);
  require_no_findings();
}

}  // namespace
