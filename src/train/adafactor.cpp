// Adafactor in plain ops: every device has them, and their sums are made in a fixed order.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backend.hpp"
#include "sspo/ops/elementwise.hpp"
#include "sspo/ops/movement.hpp"
#include "sspo/ops/reduce.hpp"
#include "sspo/train/optimizer.hpp"

namespace sspo {
namespace {

bool factored(const Shape& s) { return s.rank() >= 2; }
Shape as_matrix(const Shape& s) { return {s[0], s[0] ? s.numel() / s[0] : 0}; }  // in OHWI, too: the same rows, columns in another order

constexpr double most = std::numeric_limits<double>::infinity();

void put(const Tensor& value, const Tensor& into) { backend(into.device()).copy(view(reshape(value, into.shape())), view(into)); }
Tensor rms(const Tensor& x) { return sqrt(mean(square(x))); }

}  // namespace

Adafactor::Adafactor(const Params& params, Options o, const Keep& keep)
    : Optimizer("adafactor", params, keep,
                [](const Param& p) {
                  if (!factored(p.shape())) return std::vector<NewState>{{"v", p.shape()}};
                  const Shape matrix = as_matrix(p.shape());
                  return std::vector<NewState>{{"row", {matrix[0]}}, {"column", {matrix[1]}}};
                }),
      options(o) {}

void Adafactor::update(const std::vector<Row>& rows, Index step, double lr, double scale) {
  if (options.relative_step) lr = std::min(1e-2, 1 / std::sqrt(double(step)));
  const double old = 1 - std::pow(double(step), options.decay_rate);  // β
  for (const Row& r : rows) {
    if (r.p.numel() == 0) continue;
    const Shape shape = factored(r.p.shape()) ? as_matrix(r.p.shape()) : Shape{r.p.numel()};
    const Tensor p = reshape(r.p, shape), g = reshape(r.g, shape) * scale;
    const auto average = [&](const Tensor& state, const Tensor& seen) { return reshape(state, seen.shape()) * old + seen * (1 - old); };
    Tensor u;
    {
      const Tensor seen = square(g) + 1e-30;
      if (factored(r.p.shape())) {
        const Tensor row = average(r.states[0], mean(seen, {1}, true)), column = average(r.states[1], mean(seen, {0}, true));
        u = g * rsqrt(row / mean(row)) * rsqrt(column);
        put(row, r.states[0]), put(column, r.states[1]);
      } else {
        const Tensor v = average(r.states[0], seen);
        u = g * rsqrt(v);
        put(v, r.states[0]);
      }
    }
    Tensor rate = lr / clamp(rms(u) / options.clip_threshold, 1, most);
    Tensor kept = p * (1 - lr * options.weight_decay);
    if (options.scale_parameter) {
      const Tensor size = clamp(rms(p), 1e-3, most);
      rate = rate * size;
      kept = p * (1.0 - size * (lr * options.weight_decay));
    }
    put(kept - u * rate, r.p);
  }
}

}  // namespace sspo
