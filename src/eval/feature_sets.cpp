// Two sets of features: the kernel distance, precision and recall. Products are the engine's, in f64, some rows at a time.
#include <algorithm>
#include <cmath>

#include "sspo/eval/image_metrics.hpp"
#include "sspo/ops/matmul.hpp"

namespace sspo {
namespace {

constexpr Index entries_at_once = 1 << 23;  // of a block of products: 64 MiB

// f64, on the CPU, checked.
Tensor checked(const char* op, const Tensor& features, Site at) {
  if (features.rank() != 2 || features.dim(0) < 2 || features.dim(1) < 1 || !is_floating(features.dtype()))
    fail({.op = op, .what = "no features", .expected = "[N, D] of real numbers, N >= 2", .got = features.str()}, at);
  const Tensor x = cast(to_device(contiguous(detach(features)), Device::cpu()), DType::f64);
  const double* v = x.data<double>();
  if (!std::all_of(v, v + x.numel(), [](double n) { return std::isfinite(n); }))
    fail({.op = op, .what = "a feature is not finite", .expected = "finite numbers", .got = features.str()}, at);
  return x;
}

void check_width(const char* op, const Tensor& a, const Tensor& b, Site at) {
  if (a.dim(1) != b.dim(1))
    fail({.op = op, .what = "features of different lengths", .expected = std::to_string(a.dim(1)) + " numbers a feature", .got = std::to_string(b.dim(1))}, at);
}

// f(i, row of a[i] · b[j] over j) for each i.
template <class F>
void for_each_row_of_products(const Tensor& a, const Tensor& b, F&& f) {
  const Index n = a.dim(0), m = b.dim(0), step = std::max<Index>(entries_at_once / m, 1);
  for (Index first = 0; first < n; first += step) {
    const Index count = std::min(step, n - first);
    const Tensor products = matmul(slice(a, 0, first, first + count), transpose(b));
    for (Index i = 0; i < count; ++i) f(first + i, products.data<double>() + i * m);
  }
}

// Σ (a_i · b_j / D + 1)³; others: only over i != j.
double kernel_sum(const Tensor& a, const Tensor& b, bool others) {
  const Index m = b.dim(0);
  const double d = double(a.dim(1));
  double total = 0;
  for_each_row_of_products(a, b, [&](Index i, const double* row) {
    double sum = 0;
    for (Index j = 0; j < m; ++j) {
      const double k = row[j] / d + 1;
      if (!others || j != i) sum += k * k * k;
    }
    total += sum;
  });
  return total;
}

double mmd(const Tensor& a, const Tensor& b) {
  const double n = double(a.dim(0)), m = double(b.dim(0));
  return kernel_sum(a, a, true) / (n * (n - 1)) + kernel_sum(b, b, true) / (m * (m - 1)) - 2 * kernel_sum(a, b, false) / (n * m);
}

// `count` of n, in the order they are drawn (Fisher and Yates, cut short).
Tensor draw(const Rng& rng, Index n, Index count) {
  std::vector<std::int64_t> all;
  for (Index i = 0; i < n; ++i) all.push_back(i);
  for (Index i = 0; i < count; ++i) std::swap(all[std::size_t(i)], all[std::size_t(i + rng.below(n - i, std::uint64_t(i)))]);
  all.resize(std::size_t(count));
  return Tensor::from(all, {count});
}

std::vector<double> squared_norms(const Tensor& x) { return sum(square(x), {1}).to_vector<double>(); }

// |a_i - b_j|², no less than 0.
double squared_distance(double norm_a, double norm_b, double product) { return std::max(norm_a + norm_b - 2 * product, 0.0); }

// Of each feature, the squared distance of its k-th neighbour in the same set.
std::vector<double> radii(const Tensor& x, Index k) {
  const std::vector<double> norms = squared_norms(x);
  const Index n = x.dim(0);
  std::vector<double> radius, to_others(std::size_t(n - 1));
  for_each_row_of_products(x, x, [&](Index i, const double* row) {
    for (Index j = 0, out = 0; j < n; ++j)
      if (j != i) to_others[std::size_t(out++)] = squared_distance(norms[std::size_t(i)], norms[std::size_t(j)], row[j]);
    std::nth_element(to_others.begin(), to_others.begin() + (k - 1), to_others.end());
    radius.push_back(to_others[std::size_t(k - 1)]);
  });
  return radius;
}

// The share of `asked` that lies in the union of the balls around `centres`.
double share_inside(const Tensor& asked, const Tensor& centres, Index k, double slack) {
  const std::vector<double> radius = radii(centres, k), norms = squared_norms(centres), own = squared_norms(asked);
  Index inside = 0;
  for_each_row_of_products(asked, centres, [&](Index i, const double* row) {
    bool found = false;
    for (std::size_t j = 0; j < radius.size() && !found; ++j) found = squared_distance(own[std::size_t(i)], norms[j], row[j]) <= radius[j] + slack;
    inside += found;
  });
  return double(inside) / double(asked.dim(0));
}

}  // namespace

double squared_mmd(const Tensor& a, const Tensor& b, Site at) {
  const Tensor x = checked("squared_mmd", a, at), y = checked("squared_mmd", b, at);
  check_width("squared_mmd", x, y, at);
  return mmd(x, y);
}

KernelDistance kernel_distance(const Tensor& a, const Tensor& b, const Rng& rng, KernelDistanceOptions o, Site at) {
  const Tensor x = checked("kernel_distance", a, at), y = checked("kernel_distance", b, at);
  check_width("kernel_distance", x, y, at);
  if (o.subsets < 1 || o.subset_size < 2)
    fail({.op = "kernel_distance", .what = "no subsets to average over", .expected = "1 or more, of 2 features or more",
          .got = std::to_string(o.subsets) + " of " + std::to_string(o.subset_size)}, at);
  const Index size = std::min({o.subset_size, x.dim(0), y.dim(0)});
  KernelDistance result{.subsets = o.subsets, .subset_size = size};
  std::vector<double> values;
  for (Index s = 0; s < o.subsets; ++s) {
    const Rng path = rng / s;
    values.push_back(mmd(index_select(x, draw(path / "a", x.dim(0), size), 0), index_select(y, draw(path / "b", y.dim(0), size), 0)));
    result.mean += values.back() / double(o.subsets);
  }
  for (const double v : values) result.deviation += (v - result.mean) * (v - result.mean) / double(o.subsets);
  result.deviation = std::sqrt(result.deviation);
  return result;
}

PrecisionRecall precision_recall(const Tensor& real, const Tensor& drawn, Index k, Site at) {
  Tensor x = checked("precision_recall", real, at), y = checked("precision_recall", drawn, at);
  check_width("precision_recall", x, y, at);
  const Index least = std::min(x.dim(0), y.dim(0));
  if (k < 1 || k >= least)
    fail({.op = "precision_recall", .what = "no such neighbour", .expected = "1 <= k <= " + std::to_string(least - 1) + ", the other features of the smaller set", .got = std::to_string(k)}, at);
  const Tensor middle = mean(x, {0}, true);  // distances stay, and numbers get smaller
  x = x - middle, y = y - middle;
  const double slack = 1e-10 * (mean(square(x)).item<double>() + mean(square(y)).item<double>()) * double(x.dim(1));
  return {.precision = share_inside(y, x, k, slack), .recall = share_inside(x, y, k, slack)};
}

}  // namespace sspo
