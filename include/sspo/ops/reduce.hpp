// Reductions over any axes; no axes: over all of them.
//   Tensor m = mean(x, {1, 2}, true);      // [B, H, W, C] -> [B, 1, 1, C]
// Sums run in a fixed tree: the same bits for any number of threads. 16-bit floats are summed in f32.
#pragma once
#include "sspo/ops/elementwise.hpp"

namespace sspo {

Tensor sum(Tensor x, std::vector<int> axes = {}, bool keep_axes = false, Site at = Site::current());
Tensor mean(Tensor x, std::vector<int> axes = {}, bool keep_axes = false, Site at = Site::current());
Tensor max(Tensor x, std::vector<int> axes = {}, bool keep_axes = false, Site at = Site::current());
Tensor min(Tensor x, std::vector<int> axes = {}, bool keep_axes = false, Site at = Site::current());
// Mean squared deviation; the divisor is n - correction.
Tensor var(Tensor x, std::vector<int> axes = {}, bool keep_axes = false, double correction = 1, Site at = Site::current());
Tensor norm(Tensor x, std::vector<int> axes = {}, bool keep_axes = false, Site at = Site::current());  // sqrt(Σ x²)
Tensor argmax(Tensor x, int axis, bool keep_axis = false, Site at = Site::current());  // i64; the first of equals

struct ReduceAttrs {
  std::vector<int> axes;  // normal and ascending
  bool keep = false;
};

struct Sum {
  using Attrs = ReduceAttrs;
  static constexpr OpInfo info{"sum", "Σ x"};
  static Tensor forward(const Attrs& a, const Tensor& x);
  static Tensor vjp(const Attrs& a, const Tensor& g, Meta x);
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct Mean {
  using Attrs = ReduceAttrs;
  static constexpr OpInfo info{"mean", "Σ x / n"};
  static Tensor forward(const Attrs& a, const Tensor& x);
  static Tensor vjp(const Attrs& a, const Tensor& g, Meta x);
  static std::vector<Sample<Attrs>> samples();
};

struct Max {
  using Attrs = ReduceAttrs;
  static constexpr OpInfo info{"max", "the largest; equal ones share the gradient"};
  static Tensor forward(const Attrs& a, const Tensor& x);
  static Tensor vjp(const Attrs& a, const Tensor& g, const Tensor& x, const Tensor& y);
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct Min {
  using Attrs = ReduceAttrs;
  static constexpr OpInfo info{"min", "the smallest; equal ones share the gradient"};
  static Tensor forward(const Attrs& a, const Tensor& x);
  static Tensor vjp(const Attrs& a, const Tensor& g, const Tensor& x, const Tensor& y);
  static std::vector<Sample<Attrs>> samples();
};

struct Var {
  struct Attrs : ReduceAttrs { double correction = 1; };
  static constexpr OpInfo info{"var", "Σ (x - mean)² / (n - correction)"};
  static Tensor forward(const Attrs& a, const Tensor& x);
  static Tensor vjp(const Attrs& a, const Tensor& g, const Tensor& x);
  static std::vector<Sample<Attrs>> samples();
};

struct Norm {
  using Attrs = ReduceAttrs;
  static constexpr OpInfo info{"norm", "√Σ x²; slope 0 where it is 0"};
  static Tensor forward(const Attrs& a, const Tensor& x);
  static Tensor vjp(const Attrs& a, const Tensor& g, const Tensor& x, const Tensor& y);
  static std::vector<Sample<Attrs>> samples();
};

struct ArgMax {
  struct Attrs { int axis; bool keep; };
  static constexpr OpInfo info{"argmax", "where the largest is; the first of equals"};
  static constexpr std::string_view no_vjp = "indices are integers";
  static Tensor forward(const Attrs& a, const Tensor& x);
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

}  // namespace sspo
