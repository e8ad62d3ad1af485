#include "sspo/ops/reduce.hpp"

#include <algorithm>
#include <cmath>

#include "backend.hpp"
#include "sspo/ops/movement.hpp"

namespace sspo {
namespace {

// --- which axes ------------------------------------------------------------------------------------

const Tensor& defined(const Tensor& x, const char* op, Site at) {
  if (!x.defined()) fail({.op = op, .what = "no tensor to reduce", .expected = "a tensor", .got = "Tensor{}"}, at);
  return x;
}

// Normal, ascending, without doubles; none given: all.
std::vector<int> normal_axes(const Tensor& x, std::vector<int> axes, const char* op, Site at) {
  if (axes.empty())
    for (int a = 0; a < x.rank(); ++a) axes.push_back(a);
  for (int& a : axes) a = normal_axis(a, x.rank(), op, at);
  std::sort(axes.begin(), axes.end());
  for (std::size_t i = 1; i < axes.size(); ++i)
    if (axes[i] == axes[i - 1])
      fail({.op = op, .what = "an axis is named twice", .expected = "each axis at most once", .got = "axis " + std::to_string(axes[i]) + " twice, in " + x.str()}, at);
  return axes;
}

ReduceAttrs attrs_for(const Tensor& x, std::vector<int> axes, bool keep, const char* op, Site at) {
  return {normal_axes(defined(x, op, at), std::move(axes), op, at), keep};
}

void check_floating(const Tensor& x, const char* op, Site at) {
  if (!is_floating(x.dtype()))
    fail({.op = op, .what = "not defined for integers", .expected = "f32, f64, bf16 or f16", .got = x.str(), .hint = "cast(x, DType::f32) converts"}, at);
}

// There is no largest of no elements.
void check_not_empty(const Tensor& x, const std::vector<int>& axes, const char* op, Site at) {
  for (int a : axes)
    if (x.dim(a) == 0)
      fail({.op = op, .what = "an empty axis has no such element", .expected = "an extent of 1 or more on axis " + std::to_string(a), .got = x.str()}, at);
}

bool reduced(const ReduceAttrs& a, int axis) { return std::find(a.axes.begin(), a.axes.end(), axis) != a.axes.end(); }

// The result's shape: reduced axes 1 (kept) or gone.
Shape result_shape(const Shape& x, const ReduceAttrs& a, bool keep) {
  std::vector<Index> extents;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (!reduced(a, axis)) extents.push_back(x[axis]);
    else if (keep) extents.push_back(1);
  }
  return Shape(extents);
}
// A result (or its gradient) with the reduced axes there again, as 1: it broadcasts against x.
Tensor with_axes(const Tensor& y, const Shape& x, const ReduceAttrs& a) { return reshape(y, result_shape(x, a, true)); }

Index reduced_count(const Shape& x, const ReduceAttrs& a) {
  Index n = 1;
  for (int axis : a.axes) n *= x[axis];
  return n;
}

// --- doing it --------------------------------------------------------------------------------------

// x as one block of memory in a dtype that the kernels reduce: f32, f64, bf16, i64.
Tensor packed(const Tensor& x) {
  const DType t = x.dtype() == DType::f16 ? DType::f32 : is_floating(x.dtype()) ? x.dtype() : DType::i64;
  if (t == x.dtype() && x.contiguous()) return x;
  Tensor y = Tensor::empty(x.shape(), t, x.device());
  backend(x.device()).copy(view(x), view(y));
  return y;
}
Tensor converted(Tensor x, DType to) {
  if (x.dtype() == to) return x;
  Tensor y = Tensor::empty(x.shape(), to, x.device());
  backend(x.device()).copy(view(x), view(y));
  return y;
}
Tensor reshaped(const Tensor& x, const Shape& shape) {  // x contiguous
  return Tensor(x.storage(), {shape, contiguous_strides(shape), x.layout().offset}, x.dtype());
}

// Neighbouring axes merge; what is left alternates between kept and reduced extents: [.., R, I], innermost last.
struct Runs {
  std::vector<Index> extent;
  std::vector<bool> reduces;
};
Runs runs_of(const Shape& x, const ReduceAttrs& a) {
  Runs runs;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (x[axis] == 1) continue;
    const bool r = reduced(a, axis);
    if (!runs.extent.empty() && runs.reduces.back() == r) runs.extent.back() *= x[axis];
    else {
      runs.extent.push_back(x[axis]);
      runs.reduces.push_back(r);
    }
  }
  return runs;
}
Index product(const std::vector<Index>& extents, std::size_t first, std::size_t end) {
  Index n = 1;
  for (std::size_t i = first; i < end; ++i) n *= extents[i];
  return n;
}

// One pass per run of reduced axes, the innermost first; the result is in the compute type.
Tensor reduce(Reduction kind, const Tensor& x, const ReduceAttrs& a, double divisor = 1) {
  Tensor t = packed(x);
  const DType compute = compute_type(t.dtype());
  Runs runs = runs_of(x.shape(), a);
  const auto last_run = [&] { return std::find(runs.reduces.rbegin(), runs.reduces.rend(), true); };
  if (last_run() == runs.reduces.rend()) {  // only extents of 1: still the squares and the divisor
    runs.extent.push_back(1);
    runs.reduces.push_back(true);
  }
  while (last_run() != runs.reduces.rend()) {
    const std::size_t r = std::size_t(runs.reduces.rend() - last_run()) - 1;
    const Index outer = product(runs.extent, 0, r), inner = product(runs.extent, r + 1, runs.extent.size());
    const bool final = std::find(runs.reduces.begin(), runs.reduces.begin() + std::ptrdiff_t(r), true) == runs.reduces.begin() + std::ptrdiff_t(r);
    Tensor y = Tensor::empty({outer, inner}, compute, x.device());
    backend(x.device()).reduce(kind, t.dtype(), compute, {outer, runs.extent[r], inner, t.raw(), y.mutable_raw(), nullptr, final ? divisor : 1});
    if (kind == Reduction::sum_squares) kind = Reduction::sum;
    t = std::move(y);
    runs.extent.erase(runs.extent.begin() + std::ptrdiff_t(r));
    runs.reduces.erase(runs.reduces.begin() + std::ptrdiff_t(r));
  }
  return reshaped(t, result_shape(x.shape(), a, a.keep));
}

}  // namespace

// --- what users call -------------------------------------------------------------------------------

Tensor sum(Tensor x, std::vector<int> axes, bool keep_axes, Site at) {
  ReduceAttrs a = attrs_for(x, std::move(axes), keep_axes, "sum", at);
  return apply<Sum>(at, a, std::move(x));
}
Tensor mean(Tensor x, std::vector<int> axes, bool keep_axes, Site at) {
  ReduceAttrs a = attrs_for(x, std::move(axes), keep_axes, "mean", at);
  check_floating(x, "mean", at);
  return apply<Mean>(at, a, std::move(x));
}
Tensor max(Tensor x, std::vector<int> axes, bool keep_axes, Site at) {
  ReduceAttrs a = attrs_for(x, std::move(axes), keep_axes, "max", at);
  check_not_empty(x, a.axes, "max", at);
  return apply<Max>(at, a, std::move(x));
}
Tensor min(Tensor x, std::vector<int> axes, bool keep_axes, Site at) {
  ReduceAttrs a = attrs_for(x, std::move(axes), keep_axes, "min", at);
  check_not_empty(x, a.axes, "min", at);
  return apply<Min>(at, a, std::move(x));
}
Tensor var(Tensor x, std::vector<int> axes, bool keep_axes, double correction, Site at) {
  ReduceAttrs a = attrs_for(x, std::move(axes), keep_axes, "var", at);
  check_floating(x, "var", at);
  return apply<Var>(at, {a, correction}, std::move(x));
}
Tensor norm(Tensor x, std::vector<int> axes, bool keep_axes, Site at) {
  ReduceAttrs a = attrs_for(x, std::move(axes), keep_axes, "norm", at);
  check_floating(x, "norm", at);
  return apply<Norm>(at, a, std::move(x));
}
Tensor argmax(Tensor x, int axis, bool keep_axis, Site at) {
  axis = normal_axis(axis, defined(x, "argmax", at).rank(), "argmax", at);
  check_not_empty(x, {axis}, "argmax", at);
  if (x.dim(axis) >= Index(1) << 31)
    fail({.op = "argmax", .what = "the axis is too long", .expected = "fewer than 2^31 elements", .got = x.str()}, at);
  return apply<ArgMax>(at, {axis, keep_axis}, std::move(x));
}

// --- the ops ---------------------------------------------------------------------------------------

Tensor Sum::forward(const Attrs& a, const Tensor& x) {
  return converted(reduce(Reduction::sum, x, a), is_floating(x.dtype()) ? x.dtype() : DType::i64);
}
Tensor Sum::vjp(const Attrs& a, const Tensor& g, Meta x) { return expand(with_axes(g, x.shape, a), x.shape); }

Tensor Mean::forward(const Attrs& a, const Tensor& x) {
  return converted(reduce(Reduction::sum, x, a, double(reduced_count(x.shape(), a))), x.dtype());
}
Tensor Mean::vjp(const Attrs& a, const Tensor& g, Meta x) {
  return expand(with_axes(g, x.shape, a) / double(reduced_count(x.shape, a)), x.shape);
}

// The gradient goes where x equals the extreme, in equal parts.
static Tensor extreme_vjp(const ReduceAttrs& a, const Tensor& g, const Tensor& x, const Tensor& y) {
  const Tensor best = equal(x, with_axes(y, x.shape(), a));
  const Tensor share = with_axes(g, x.shape(), a) / sum(cast(best, x.dtype()), a.axes, true);
  return where(best, share, number_like(g, 0));
}

Tensor Max::forward(const Attrs& a, const Tensor& x) { return converted(reduce(Reduction::max, x, a), x.dtype()); }
Tensor Max::vjp(const Attrs& a, const Tensor& g, const Tensor& x, const Tensor& y) { return extreme_vjp(a, g, x, y); }
Tensor Min::forward(const Attrs& a, const Tensor& x) { return converted(reduce(Reduction::min, x, a), x.dtype()); }
Tensor Min::vjp(const Attrs& a, const Tensor& g, const Tensor& x, const Tensor& y) { return extreme_vjp(a, g, x, y); }

// Two passes, no cancellation. Several runs of reduced axes are first brought side by side.
// In f64: an f32 mean is off by up to half a unit in its last place, which for data far from 0 is no
// less than their spread. The variance of a constant is 0.
Tensor Var::forward(const Attrs& a, const Tensor& x) {
  const Runs runs = runs_of(x.shape(), a);
  const auto run = std::find(runs.reduces.begin(), runs.reduces.end(), true);
  const std::size_t r = std::size_t(run - runs.reduces.begin()), end = runs.extent.size();
  Index outer = product(runs.extent, 0, r), inner = product(runs.extent, std::min(r + 1, end), end);
  Tensor t = x.with_node(nullptr);
  if (std::count(run, runs.reduces.end(), true) > 1) {
    std::vector<int> order;
    for (int axis = 0; axis < x.rank(); ++axis)
      if (!reduced(a, axis)) order.push_back(axis);
    order.insert(order.end(), a.axes.begin(), a.axes.end());
    t = permute(t, order);
    outer = result_shape(x.shape(), a, false).numel();
    inner = 1;
  }
  const Index n = reduced_count(x.shape(), a);
  const DType compute = DType::f64;
  t = packed(converted(t, compute));
  Tensor mu = Tensor::empty({outer, inner}, compute, x.device()), y = Tensor::empty({outer, inner}, compute, x.device());
  Backend& device = backend(x.device());
  device.reduce(Reduction::sum, t.dtype(), compute, {outer, n, inner, t.raw(), mu.mutable_raw(), nullptr, double(n)});
  device.reduce(Reduction::sum_squares, t.dtype(), compute, {outer, n, inner, t.raw(), y.mutable_raw(), mu.raw(), std::max(0.0, double(n) - a.correction)});
  return converted(reshaped(y, result_shape(x.shape(), a, a.keep)), x.dtype());
}
Tensor Var::vjp(const Attrs& a, const Tensor& g, const Tensor& x) {  // 2 (x - mean) / (n - correction)
  const double freedom = std::max(0.0, double(reduced_count(x.shape(), a)) - a.correction);
  const Tensor d = x - mean(x, a.axes, true);  // the mean once more, of small numbers: what rounding left in the first
  return with_axes(g, x.shape(), a) * (2 / freedom) * (d - mean(d, a.axes, true));
}

Tensor Norm::forward(const Attrs& a, const Tensor& x) { return converted(sqrt(reduce(Reduction::sum_squares, x, a)), x.dtype()); }
Tensor Norm::vjp(const Attrs& a, const Tensor& g, const Tensor& x, const Tensor& y) {  // x / y
  const Tensor safe = where(equal(y, number_like(y, 0)), number_like(y, 1), y);
  return with_axes(g / safe, x.shape(), a) * x;
}

Tensor ArgMax::forward(const Attrs& a, const Tensor& x) {
  const ReduceAttrs axis{{a.axis}, a.keep};
  Index outer = 1, inner = 1;
  for (int i = 0; i < x.rank(); ++i) (i < a.axis ? outer : inner) *= i == a.axis ? 1 : x.dim(i);
  const Tensor t = packed(x);
  Tensor y = Tensor::empty({outer, inner}, DType::i64, x.device());
  backend(x.device()).reduce(Reduction::argmax, t.dtype(), DType::i64, {outer, x.dim(a.axis), inner, t.raw(), y.mutable_raw(), nullptr, 1});
  return reshaped(y, result_shape(x.shape(), axis, a.keep));
}

}  // namespace sspo
