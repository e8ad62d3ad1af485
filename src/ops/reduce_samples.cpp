// The inputs on which reductions are checked.
#include <algorithm>

#include "sspo/base/rng.hpp"
#include "sspo/ops/movement.hpp"
#include "sspo/ops/reduce.hpp"

namespace sspo {
namespace {

// Values far enough apart that a small step changes no order: multiples of 1/16, shuffled.
Tensor distinct(const Shape& shape) {
  const Index n = shape.numel();
  std::vector<double> values(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) values[std::size_t(i)] = double(i - n / 2) / 16;
  const Rng rng = Rng(3) / "shuffle";
  for (Index i = n; i > 1; --i) std::swap(values[std::size_t(i - 1)], values[std::size_t(rng.below(i, std::uint64_t(i)))]);
  return Tensor::from<double>(values, shape);
}

struct Case {
  Shape shape;
  std::vector<int> axes;
  bool keep = false;
};
const std::vector<Case>& cases() {  // none with an empty reduced axis
  static const std::vector<Case> table = {
      {{}, {}},
      {{1}, {0}},
      {{1, 1}, {0, 1}, true},
      {{7}, {0}},
      {{7}, {0}, true},
      {{0, 3}, {1}},
      {{2, 0, 3}, {0, 2}, true},
      {{3, 5}, {0}},
      {{3, 5}, {1}},
      {{3, 5}, {0, 1}},
      {{2, 3, 4}, {1}},
      {{2, 3, 4}, {0, 2}},          // two runs of reduced axes
      {{2, 3, 4}, {1, 2}, true},
      {{2, 3, 2, 5}, {0, 2}},
      {{2, 3, 2, 3, 2}, {0, 2, 4}},  // three
      {{2, 1, 3, 1}, {1, 3}},        // only extents of 1
      {{2, 3, 3, 37}, {1, 2}},
      {{1030}, {0}},
      {{70, 40}, {0}}};
  return table;
}

template <class A, class F>
std::vector<Sample<A>> samples_of(F&& values, const A& like = {}) {
  std::vector<Sample<A>> samples;
  const auto add = [&](std::string label, Tensor x, std::vector<int> axes, bool keep) {
    A attrs = like;
    attrs.axes = std::move(axes);
    attrs.keep = keep;
    samples.push_back({label + x.shape().str(), {x}, attrs});
  };
  for (const Case& c : cases()) add("", values(c.shape), c.axes, c.keep);
  add("turned ", transpose(values({4, 3})), {1}, false);
  add("thinned ", slice(values({3, 8}), 1, 0, 8, 2), {0}, true);
  add("stretched ", expand(values({3, 1}), Shape{3, 4}), {0}, false);
  return samples;
}
template <class A>
void add_empty(std::vector<Sample<A>>& samples, const A& like = {}) {
  A attrs = like;
  attrs.axes = {0};
  samples.push_back({"empty sum", {sample_values({0, 3})}, attrs});
}

}  // namespace

std::vector<Sample<ReduceAttrs>> Sum::samples() {
  auto samples = samples_of<Attrs>([](const Shape& s) { return sample_values(s); });
  add_empty(samples);
  return samples;
}
std::vector<Bad> Sum::bad_samples() {
  return {{"axis", [] { sum(sample_values({2, 3}), {2}); }, {"sum", "axis out of range", "axis 2"}},
          {"twice", [] { sum(sample_values({2, 3}), {1, -1}); }, {"sum", "axis 1 twice", "[2, 3]"}},
          {"undefined", [] { sum(Tensor{}); }, {"sum", "no tensor"}},
          {"mean of integers", [] { mean(arange(3, 0, 1, DType::i64)); }, {"mean", "not defined for integers", "[3] i64"}}};
}
std::vector<Sample<ReduceAttrs>> Mean::samples() {
  return samples_of<Attrs>([](const Shape& s) { return sample_values(s); });
}
std::vector<Sample<ReduceAttrs>> Max::samples() { return samples_of<Attrs>(distinct); }
std::vector<Bad> Max::bad_samples() {
  return {{"empty", [] { max(sample_values({2, 0})); }, {"max", "axis 1", "[2, 0]"}},
          {"empty axis", [] { max(sample_values({0, 3}), {0}); }, {"max", "axis 0", "[0, 3]"}},
          {"empty min", [] { min(sample_values({0})); }, {"min", "[0]"}},
          {"axis", [] { max(sample_values({3}), {1}); }, {"max", "axis out of range"}}};
}
std::vector<Sample<ReduceAttrs>> Min::samples() { return samples_of<Attrs>(distinct); }

std::vector<Sample<Var::Attrs>> Var::samples() {
  const auto values = [](const Shape& s) { return sample_values(s); };
  auto samples = samples_of<Attrs>(values, {{}, 0});
  for (const Shape& shape : {Shape{7}, Shape{3, 5}, Shape{2, 3, 4}})
    samples.push_back({"correction 1 " + shape.str(), {sample_values(shape)}, {{{0}, false}, 1}});
  samples.push_back({"mean 1000", {sample_values({5, 6}, {999, 1001})}, {{{1}, false}, 1}});
  return samples;
}
std::vector<Sample<ReduceAttrs>> Norm::samples() {
  return samples_of<Attrs>([](const Shape& s) { return sample_values(s, {.away_from = 0}); });
}

std::vector<Sample<ArgMax::Attrs>> ArgMax::samples() {
  std::vector<Sample<Attrs>> samples;
  for (const Case& c : cases())
    if (c.shape.rank() > 0 && !c.axes.empty()) samples.push_back({c.shape.str(), {distinct(c.shape)}, {c.axes[0], c.keep}});
  samples.erase(std::remove_if(samples.begin(), samples.end(), [](const auto& s) { return s.inputs[0].dim(s.attrs.axis) == 0; }), samples.end());
  samples.push_back({"turned", {transpose(distinct({4, 3}))}, {0, false}});
  samples.push_back({"equal", {zeros({3, 4}, DType::f64)}, {1, false}});
  return samples;
}
std::vector<Bad> ArgMax::bad_samples() {
  return {{"empty", [] { argmax(sample_values({2, 0}), 1); }, {"argmax", "axis 1", "[2, 0]"}},
          {"axis", [] { argmax(sample_values({2}), 1); }, {"argmax", "axis out of range"}}};
}

}  // namespace sspo
