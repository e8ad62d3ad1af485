// Values of the reductions against loops in double; gradients are checked by check_test.cpp.
#include "sspo/ops/reduce.hpp"

#include <algorithm>
#include <limits>

#include "sspo/grad/backward.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

// The elements of x that meet in each element of the result, axes in `mask` reduced.
std::vector<std::vector<double>> groups_of(const Tensor& x, unsigned mask) {
  const auto values = numbers(x);
  Index results = 1;
  for (int a = 0; a < x.rank(); ++a)
    if (!(mask >> a & 1)) results *= x.dim(a);
  std::vector<std::vector<double>> groups(static_cast<std::size_t>(results));
  for (Index i = 0; i < x.numel(); ++i) {
    Index place = 0, rest = i, step = 1;
    for (int a = x.rank() - 1; a >= 0; --a) {
      if (!(mask >> a & 1)) {
        place += rest % x.dim(a) * step;
        step *= x.dim(a);
      }
      rest /= x.dim(a);
    }
    groups[std::size_t(place)].push_back(values[std::size_t(i)]);
  }
  return groups;
}

template <class F>
void check_close(const Tensor& got, const std::vector<std::vector<double>>& groups, double unit, F&& truth) {
  const auto y = numbers(got);
  REQUIRE(y.size() == groups.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double want = double(truth(groups[i]));
    double scale = std::abs(want);
    for (double v : groups[i]) scale = std::max(scale, std::abs(v));
    if (std::isnan(want)) CHECK(std::isnan(y[i]));
    else CHECK(std::abs(y[i] - want) <= unit * scale * (4 + std::log2(1 + double(groups[i].size()))));
  }
}

long double sum_of(const std::vector<double>& v) {  // the truth has to be better than what it judges
  long double s = 0;
  for (double x : v) s += x;
  return s;
}

}  // namespace

TEST_CASE_TEMPLATE("every set of axes, kept and dropped, plain and turned", T, float, double, bf16, f16) {
  const DType t = dtype_of<T>;
  const double unit = t == DType::f64 ? 0x1p-52 : t == DType::f32 ? 0x1p-23 : t == DType::bf16 ? 0x1p-8 : 0x1p-11;
  for (const Shape& shape : {Shape{}, Shape{7}, Shape{1, 1}, Shape{5, 3}, Shape{3, 1, 4}, Shape{2, 3, 2, 5}, Shape{2, 2, 3, 1, 3, 2}, Shape{33, 70}})
    for (unsigned mask = 0; mask < 1u << shape.rank(); ++mask)
      for (const bool turned : {false, true}) {
        if (shape.rank() > 0 && mask == 0) continue;  // no axes would mean all
        std::vector<int> axes;
        for (int a = 0; a < shape.rank(); ++a)
          if (mask >> a & 1) axes.push_back(a % 2 ? a : a - shape.rank());
        Tensor x = cast(sample_values(shape), t);
        if (turned && shape.rank() >= 2) x = transpose(contiguous(transpose(x)));
        const auto groups = groups_of(x, mask);
        check_close(sum(x, axes), groups, unit, sum_of);
        check_close(mean(x, axes), groups, unit, [](const auto& v) { return sum_of(v) / (long double)(v.size()); });
        check_close(max(x, axes), groups, 0, [](const auto& v) { return *std::max_element(v.begin(), v.end()); });
        check_close(min(x, axes), groups, 0, [](const auto& v) { return *std::min_element(v.begin(), v.end()); });
        check_close(norm(x, axes), groups, unit, [](const auto& v) {
          long double s = 0;
          for (long double x : v) s += x * x;
          return std::sqrt(s);
        });
        for (const double correction : {0.0, 1.0})
          check_close(var(x, axes, false, correction), groups, unit, [&](const auto& v) {
            const long double mu = sum_of(v) / (long double)(v.size());
            long double s = 0;
            for (double x : v) s += (x - mu) * (x - mu);
            return s / ((long double)(v.size()) - correction);
          });
        const Tensor kept = sum(x, axes, true);
        CHECK(kept.rank() == shape.rank());
        for (int a = 0; a < shape.rank(); ++a) CHECK(kept.dim(a) == (mask >> a & 1 ? 1 : shape[a]));
        CHECK(same_bits(reshape(kept, sum(x, axes).shape()), sum(x, axes)));
        CHECK(kept.dtype() == t);
      }
}

TEST_CASE("no axes: all; integers sum to i64, and keep their dtype in max and min") {
  CHECK(sum(sample_values({2, 3})).shape() == Shape{});
  CHECK(sum(sample_values({2, 3}), {}, true).shape() == Shape{1, 1});
  CHECK(sum(full({1000}, 200, DType::u8)).item<std::int64_t>() == 200000);
  CHECK(sum(arange(10) > 3.0).item<std::int64_t>() == 6);
  CHECK(max(Tensor::from<std::int32_t>({3, -5, 2}, {3})).item<std::int32_t>() == 3);
  CHECK(min(Tensor::from<std::int32_t>({3, -5, 2}, {3})).item<std::int32_t>() == -5);
  CHECK(max(arange(4) > 2.0).item<bool>());
  CHECK_FALSE(min(arange(4) > 2.0).item<bool>());
  const std::int64_t large = (Index(1) << 53) + 1;
  CHECK(max(Tensor::from<std::int64_t>({large, 5}, {2})).item<std::int64_t>() == large);
  check_error([] { var(arange(3, 0, 1, DType::i32)); }, {"var", "not defined for integers", "[3] i32", "reduce_test.cpp"});
  check_error([] { norm(arange(3, 0, 1, DType::i64)); }, {"norm", "integers"});
}

TEST_CASE("nothing to reduce: the sum is 0, the mean NaN, a largest does not exist") {
  const Tensor none = zeros({2, 0, 3});
  CHECK(numbers(sum(none, {1})) == std::vector<double>(6, 0));
  CHECK(numbers(norm(none, {1})) == std::vector<double>(6, 0));
  for (double v : numbers(mean(none, {1}))) CHECK(std::isnan(v));
  for (double v : numbers(var(none, {1}))) CHECK(std::isnan(v));
  CHECK(std::isnan(mean(zeros({0})).item<float>()));
  CHECK(std::isnan(var(ones({1})).item<float>()));       // one value has no spread to estimate
  CHECK(var(ones({1}), {}, false, 0).item<float>() == 0);
  CHECK(max(none, {2}).shape() == Shape{2, 0});           // nothing is asked of the empty axis
  check_error([&] { max(none, {1}); }, {"max", "axis 1", "[2, 0, 3]"});
  check_error([&] { min(none); }, {"min", "axis 1"});
  check_error([&] { argmax(none, 1); }, {"argmax", "axis 1"});
}

TEST_CASE("max, min, argmax: NaN wins; the first of equals; ties share the gradient") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const Tensor x = Tensor::from<float>({1, 5, 5, nan, 9, nan, -inf, -inf, -inf}, {3, 3});
  const auto largest = max(x, {1}).to_vector<float>(), smallest = min(x, {1}).to_vector<float>();
  CHECK(largest[0] == 5);
  CHECK(std::isnan(largest[1]));
  CHECK(largest[2] == -inf);
  CHECK(smallest[0] == 1);
  CHECK(std::isnan(smallest[1]));
  CHECK(argmax(x, 1).to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 0, 0});
  CHECK(argmax(x, 0, true).shape() == Shape{1, 3});
  CHECK(argmax(x, 0).to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 1, 1});
  CHECK(argmax(arange(5, 0, 1, DType::i64), 0).item<std::int64_t>() == 4);
  const Tensor tied = track(Tensor::from<float>({5, 1, 5, 5}, {4}));
  const float third = 1.0f / 3;
  CHECK(backward(max(tied))[tied].to_vector<float>() == std::vector<float>{third, 0, third, third});
}

TEST_CASE("norm: slope 0 where it is 0") {
  const Tensor x = track(Tensor::from<float>({0, 0, 3, 4}, {2, 2}));
  const Tensor y = norm(x, {1});
  CHECK(y.to_vector<float>() == std::vector<float>{0, 5});
  CHECK(backward(sum(y))[x].to_vector<float>() == std::vector<float>{0, 0, 0.6f, 0.8f});
}

TEST_CASE("equal bits for any number of threads, over any axes") {
  for (const std::vector<int>& axes : {std::vector<int>{}, {0}, {1}, {2}, {0, 2}, {1, 2}}) {
    Tensors first;
    for (int threads : {1, 2, 3}) {
      const Device device = Device::cpu({.threads = threads});
      Tensors all;
      for (const DType t : {DType::f32, DType::bf16}) {
        const Tensor x = normal(Rng{4} / "x", {37, 130, 65}, device, t);
        for (const Tensor& y : {sum(x, axes), mean(x, axes), var(x, axes), norm(x, axes), max(x, axes)}) all.push_back(y);
      }
      if (first.empty()) first = all;
      for (std::size_t i = 0; i < all.size(); ++i) CHECK(same_bits(all[i], first[i]));
    }
  }
}
