#include "sspo/ops/softmax.hpp"

#include "backend.hpp"
#include "ops/check.hpp"

namespace sspo {
namespace {

template <class O>
Tensor over_axis(Tensor x, int axis, Site at) {
  if (!x.defined() || x.rank() == 0) fail({.op = std::string(O::info.name), .what = "nothing to normalise", .expected = "a tensor with an axis", .got = x.str()}, at);
  axis = normal_axis(axis, x.rank(), O::info.name.data(), at);
  if (axis == x.rank() - 1) return apply<O>(at, {}, std::move(x));
  return transpose(apply<O>(at, {}, transpose(std::move(x), axis, -1)), axis, -1);
}

Tensor run(const Tensor& x, bool log, Site at) {
  check_same_floating(log ? "log_softmax" : "softmax", {&x}, at);
  if (x.dtype() == DType::f16) return cast(run(cast(x, DType::f32), log, at), DType::f16);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  if (y.numel() == 0) return y;
  const Tensor xc = contiguous(x);
  backend(x.device()).softmax(x.dtype(), {.rows = x.numel() / x.dim(-1), .cols = x.dim(-1), .log = log, .x = xc.raw(), .y = y.mutable_raw()});
  return y;
}

Tensor run_grad(const Tensor& g, const Tensor& y, bool log) {
  if (y.dtype() == DType::f16) return cast(run_grad(cast(g, DType::f32), cast(y, DType::f32), log), DType::f16);
  static constexpr OpInfo grad_info{"softmax_grad"};
  const Tensor in[] = {g, y};
  detail::CallRecord call(grad_info, in, Site{});
  Tensor dx = Tensor::empty(y.shape(), y.dtype(), y.device());
  if (dx.numel() == 0) return dx;
  const Tensor gc = contiguous(g);
  backend(y.device()).softmax_grad(y.dtype(), {.rows = y.numel() / y.dim(-1), .cols = y.dim(-1), .log = log, .y = y.raw(), .g = gc.raw(), .dx = dx.mutable_raw()});
  call.finish(dx);
  return dx;
}

std::vector<Sample<NoAttrs>> row_samples() {
  std::vector<Sample<NoAttrs>> s;
  int seed = 1;
  for (const Shape& shape : {Shape{1}, Shape{5}, Shape{1, 1}, Shape{3, 4}, Shape{0, 4}, Shape{3, 0}, Shape{2, 3, 5}, Shape{7, 33}, Shape{1, 130}, Shape{65, 3}, Shape{2, 2, 2, 9}, Shape{4, 17}})
    s.push_back({shape.str(), {sample_values(shape, {-6, 6}, seed++)}, {}});
  return s;
}

}  // namespace

Tensor softmax(Tensor x, int axis, Site at) { return over_axis<Softmax>(std::move(x), axis, at); }
Tensor log_softmax(Tensor x, int axis, Site at) { return over_axis<LogSoftmax>(std::move(x), axis, at); }

Tensor Softmax::forward(const Tensor& x, Site at) { return run(x, false, at); }
// Kernels, unless the gradient is to be differentiated again.
Tensor Softmax::vjp(const Tensor& g, Meta, const Tensor& y) {
  if (g.tracked() || y.tracked()) return y * (g - sum(g * y, {-1}, true));
  return run_grad(g, y, false);
}
Tensor LogSoftmax::forward(const Tensor& x, Site at) { return run(x, true, at); }
Tensor LogSoftmax::vjp(const Tensor& g, Meta, const Tensor& y) {
  if (g.tracked() || y.tracked()) return g - exp(y) * sum(g, {-1}, true);
  return run_grad(g, y, true);
}

Tensor Softmax::reference(const Tensor& x) {
  if (x.dim(-1) == 0) return x;
  const Tensor e = exp(x - detach(max(x, {-1}, true)));
  return e / sum(e, {-1}, true);
}
Tensor LogSoftmax::reference(const Tensor& x) {
  if (x.dim(-1) == 0) return x;
  const Tensor shifted = x - detach(max(x, {-1}, true));
  return shifted - log(sum(exp(shifted), {-1}, true));
}

std::vector<Sample<NoAttrs>> Softmax::samples() { return row_samples(); }
std::vector<Sample<NoAttrs>> LogSoftmax::samples() { return row_samples(); }
std::vector<Bad> Softmax::bad_samples() {
  return {{"axis", [] { softmax(zeros({2, 3}), 2); }, {"softmax", "axis out of range", "axis 2", "rank 2"}},
          {"scalar", [] { softmax(zeros({})); }, {"nothing to normalise"}},
          {"dtype", [] { softmax(zeros({2, 3}, DType::i64)); }, {"floating-point"}}};
}

}  // namespace sspo
