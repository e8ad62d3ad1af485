// Values of the movement ops against loops over indices; gradients are checked by check_test.cpp.
#include "sspo/ops/movement.hpp"

#include <algorithm>
#include <numeric>

#include "sspo/ops/reduce.hpp"
#include "sspo/testing.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

Tensor counting(const Shape& shape, DType t = DType::f32) { return reshape(arange(shape.numel(), 0, 1, t), shape); }

// A dense array of doubles with an index: the slow and obvious way.
struct Array {
  Shape shape;
  std::vector<double> values;
  explicit Array(const Shape& s) : shape(s), values(std::size_t(s.numel())) {}
  explicit Array(const Tensor& x) : shape(x.shape()), values(numbers(x)) {}
  double& at(const std::vector<Index>& index) {
    Index i = 0;
    for (int a = 0; a < shape.rank(); ++a) i = i * shape[a] + index[std::size_t(a)];
    return values[std::size_t(i)];
  }
  template <class F>
  void each(F&& f) const {  // f(index) in row-major order
    std::vector<Index> index(std::size_t(shape.rank()));
    for (Index i = 0; i < shape.numel(); ++i) {
      f(index);
      for (int a = shape.rank() - 1; a >= 0 && ++index[std::size_t(a)] == shape[a]; --a) index[std::size_t(a)] = 0;
    }
  }
};
void check_equal(const Tensor& got, const Array& want) {
  CHECK(got.shape() == want.shape);
  CHECK(numbers(got) == want.values);
}

}  // namespace

TEST_CASE("views: any chain of permute, slice, flip, expand and reshape moves the right elements") {
  const Rng rng = Rng{11} / "chains";
  for (int chain = 0; chain < 200; ++chain) {
    const Rng r = rng / chain;
    Tensor x = counting(chain % 2 ? Shape{3, 4, 2, 5} : Shape{6, 1, 4});
    for (int step = 0; step < 5; ++step) {
      Array before(x);
      const auto pick = [&](Index n, int k) { return (r / step).below(n, std::uint64_t(k)); };
      const int axis = int(pick(x.rank(), 0));
      switch (pick(5, 1)) {
        case 0: {
          std::vector<int> order(std::size_t(x.rank()));
          std::iota(order.begin(), order.end(), 0);
          for (int i = x.rank(); i > 1; --i) std::swap(order[std::size_t(i - 1)], order[std::size_t(pick(i, 2 + i))]);
          x = permute(x, order);
          Array want(x.shape());
          want.each([&](const std::vector<Index>& to) {
            std::vector<Index> from(to.size());
            for (std::size_t a = 0; a < to.size(); ++a) from[std::size_t(order[a])] = to[a];
            want.at(to) = before.at(from);
          });
          check_equal(x, want);
          break;
        }
        case 1: {
          const Index begin = pick(x.dim(axis), 2), end = begin + 1 + pick(x.dim(axis) - begin, 3), by = 1 + pick(3, 4);
          x = slice(x, axis, begin, end, by);
          Array want(x.shape());
          want.each([&](std::vector<Index> to) {
            std::vector<Index> from = to;
            from[std::size_t(axis)] = begin + to[std::size_t(axis)] * by;
            want.at(to) = before.at(from);
          });
          CHECK(x.dim(axis) == (end - begin + by - 1) / by);
          check_equal(x, want);
          break;
        }
        case 2: {
          x = flip(x, {axis});
          Array want(x.shape());
          want.each([&](std::vector<Index> to) {
            std::vector<Index> from = to;
            from[std::size_t(axis)] = x.dim(axis) - 1 - to[std::size_t(axis)];
            want.at(to) = before.at(from);
          });
          check_equal(x, want);
          break;
        }
        case 3: {
          if (x.rank() == max_rank || x.numel() > 2000) break;
          Shape wide = x.shape();
          if (x.dim(axis) == 1) wide = wide.with(axis, 3);
          std::vector<Index> extents(wide.begin(), wide.end());
          extents.insert(extents.begin(), 2);
          x = expand(x, Shape(extents));
          Array want(x.shape());
          want.each([&](std::vector<Index> to) {
            std::vector<Index> from(to.begin() + 1, to.end());
            for (std::size_t a = 0; a < from.size(); ++a) from[a] = std::min(from[a], before.shape[int(a)] - 1);
            want.at(to) = before.at(from);
          });
          check_equal(x, want);
          break;
        }
        default: {  // two neighbours into one, or an axis in two
          std::vector<Index> extents(x.shape().begin(), x.shape().end());
          if (axis + 1 < x.rank() && pick(2, 2)) {
            extents[std::size_t(axis)] *= extents[std::size_t(axis) + 1];
            extents.erase(extents.begin() + axis + 1);
          } else if (x.rank() < max_rank) {
            Index factor = 1 + pick(3, 3);
            if (x.dim(axis) % factor) factor = 1;
            extents[std::size_t(axis)] /= factor;
            extents.insert(extents.begin() + axis, factor);
          }
          const Array same(x);
          x = reshape(x, extents);
          CHECK(numbers(x) == same.values);
          CHECK(x.shape() == Shape(extents));
        }
      }
    }
  }
}

TEST_CASE("reshape: a view wherever the layout allows it; -1 is the rest") {
  const Tensor x = counting({4, 6});
  const auto shares = [](const Tensor& a, const Tensor& b) { return a.storage() == b.storage(); };
  CHECK(shares(reshape(x, {2, 2, 3, 2}), x));
  CHECK(shares(reshape(x, {24}), x));
  CHECK(shares(reshape(transpose(x), {3, 2, 4}), x));           // cuts an axis
  CHECK_FALSE(shares(reshape(transpose(x), {24}), x));          // joins what does not lie in line
  CHECK(shares(reshape(slice(x, 1, 0, 4), {4, 2, 2}), x));
  CHECK_FALSE(shares(reshape(slice(x, 1, 0, 4), {16}), x));
  CHECK(shares(reshape(slice(x, 0, 1, 3), {12}), x));
  CHECK(shares(reshape(slice(x, 1, 0, 6, 2), {4, 1, 3, 1}), x));
  CHECK(shares(reshape(slice(x, 1, 0, 6, 2), {12}), x));        // every second element of all: one line
  CHECK(shares(reshape(flip(x, {0, 1}), {24}), x));             // all backwards: one line
  CHECK(shares(reshape(expand(counting({}), Shape{3, 4}), {2, 6}), x) == false);
  const Tensor one = counting({1});
  CHECK(shares(reshape(expand(one, Shape{3, 4}), {2, 6}), one));  // stride 0 throughout
  CHECK(reshape(x, {-1}).shape() == Shape{24});
  CHECK(reshape(x, {3, -1, 2}).shape() == Shape{3, 4, 2});
  CHECK(reshape(counting({0, 4}), {-1, 2}).shape() == Shape{0, 2});
  CHECK(reshape(counting({1}), {}).shape() == Shape{});
  CHECK(reshape(x, std::vector<Index>{6, -1}).shape() == Shape{6, 4});
  CHECK(shares(reshape(x, {4, 6}), x));
  CHECK(shares(contiguous(x), x));
  CHECK_FALSE(shares(contiguous(transpose(x)), x));
}

TEST_CASE("six axes: permute, slice, flip and copy") {
  const Tensor x = counting({2, 3, 1, 2, 3, 2});
  const Tensor y = slice(flip(permute(x, {5, 3, 0, 4, 2, 1}), {0, 3}), 5, 0, 3, 2);
  Array from(x), want(y.shape());
  want.each([&](const std::vector<Index>& t) { want.at(t) = from.at({t[2], 2 * t[5], t[4], t[1], 2 - t[3], 1 - t[0]}); });
  check_equal(y, want);
  check_equal(contiguous(y), want);
}

TEST_CASE("cat, stack, pad: every dtype, views as parts") {
  for (const DType t : all_dtypes) {
    const Tensor a = cast(counting({2, 3}), t), b = cast(counting({3, 2}), t);
    const Tensor y = cat({a, transpose(b), slice(a, 1, 1, 2)}, -1);
    const auto x = numbers(a), z = numbers(b);
    CHECK(y.dtype() == t);
    CHECK(numbers(y) == std::vector<double>{x[0], x[1], x[2], z[0], z[2], z[4], x[1], x[3], x[4], x[5], z[1], z[3], z[5], x[4]});
    CHECK(numbers(stack({a, a}, 1)) == std::vector<double>{x[0], x[1], x[2], x[0], x[1], x[2], x[3], x[4], x[5], x[3], x[4], x[5]});
    CHECK(numbers(pad(a, {{1, 0}, {0, 2}}, 1)) == std::vector<double>{1, 1, 1, 1, 1, x[0], x[1], x[2], 1, 1, x[3], x[4], x[5], 1, 1});
    CHECK(pad(a, {{0, 2}}).shape() == Shape{2, 5});
  }
  CHECK(stack({counting({})}, 0).shape() == Shape{1});
  CHECK(stack({counting({2}), counting({2})}, -1).shape() == Shape{2, 2});
}

TEST_CASE("cat: its samples and its bad samples") {
  CheckReport report{"cat", 0, 0, {}};
  for (const auto& s : Cat::samples()) {
    ++report.samples;
    sspo::testing::detail::check_case({s.label, s.inputs, [axis = s.attrs.axis](const Tensors& parts) { return cat(parts, axis); }, nullptr, nullptr, true}, report, {});
  }
  for (const Bad& bad : Cat::bad_samples()) sspo::testing::detail::check_bad(bad, report);
  INFO(report.text());
  CHECK(report.ok());
  CHECK(report.samples >= 12);
}

TEST_CASE_TEMPLATE("gather, scatter_add, index_select and its adjoint against loops", T, float, double, bf16, std::int64_t, std::int32_t, std::uint8_t) {
  const DType t = dtype_of<T>;
  for (const Shape& shape : {Shape{5}, Shape{4, 3}, Shape{3, 1, 7}, Shape{2, 3, 4, 2}, Shape{2, 600}})
    for (int axis = 0; axis < shape.rank(); ++axis)
      for (const Index count : {0, 1, 6}) {
        const Rng rng = Rng{5} / shape.numel() / axis / count;
        const Tensor x = cast(randint(rng / "x", shape, 0, 9), t);
        const Tensor index = randint(rng / "index", shape.with(axis, count), 0, shape[axis]);
        Array from(x), places(index), want(index.shape());
        const auto at = [&](std::vector<Index> i, double place) {
          i[std::size_t(axis)] = Index(place);
          return i;
        };
        want.each([&](const std::vector<Index>& i) { want.at(i) = from.at(at(i, places.at(i))); });
        check_equal(gather(x, index, axis), want);
        check_equal(gather(x, cast(index, DType::i32), axis), want);

        const Tensor v = cast(randint(rng / "v", index.shape(), 0, 4), t);
        Array values(v), sums(shape);
        values.each([&](const std::vector<Index>& i) { sums.at(at(i, places.at(i))) += values.at(i); });
        check_equal(scatter_add(v, index, axis, shape[axis]), sums);

        const Tensor line = randint(rng / "line", {count}, 0, shape[axis]);
        Array picks(line), chosen(shape.with(axis, count)), back(shape);
        chosen.each([&](const std::vector<Index>& i) { chosen.at(i) = from.at(at(i, picks.at({i[std::size_t(axis)]}))); });
        check_equal(index_select(x, line, axis), chosen);
        values.each([&](const std::vector<Index>& i) { back.at(at(i, picks.at({i[std::size_t(axis)]}))) += values.at(i); });
        check_equal(apply<IndexAdd>(Site{}, {axis, shape[axis]}, v, line), back);
      }
}

TEST_CASE("scatter_add: 16-bit floats are summed in f32; equal bits for any number of threads") {
  const Tensor many = expand(full({}, 1, DType::bf16), Shape{1024});
  CHECK(numbers(scatter_add(many, zeros({1024}, DType::i64), 0, 1)) == std::vector<double>{1024});  // in bf16 it would stop at 256
  Tensor first;
  for (int threads : {1, 2, 3}) {
    const Device device = Device::cpu({.threads = threads});
    const Tensor x = normal(Rng{1} / "x", {300, 700}, device), index = randint(Rng{1} / "i", {300}, 0, 5, device);
    const Tensor y = apply<IndexAdd>(Site{}, {0, Index(5)}, x, index);
    if (threads == 1) first = y;
    CHECK(y.to_vector<float>() == first.to_vector<float>());
  }
}

TEST_CASE("indices out of range: the first one is named, however many threads look") {
  for (int threads : {1, 2, 3}) {
    const Device device = Device::cpu({.threads = threads});
    std::vector<std::int64_t> ids(200000, 1);
    ids[150001] = 7;
    ids[150003] = -2;
    ids[199999] = 9;
    const Tensor index = Tensor::from(ids, {200000}, device), table = zeros({7, 2}, DType::f32, device);
    check_error([&] { index_select(table, index, 0); }, {"0 <= index < 7, the extent of axis 0", "index 7 at element 150001", "movement_test.cpp"});
    check_error([&] { gather(zeros({7, 200000}, DType::f32, device), reshape(index, {1, 200000}), 0); }, {"index 7 at element 150001"});
  }
}

TEST_CASE("embedding: rows of the table, ids of any shape; repeated ids add up in the gradient") {
  const Tensor table = track(counting({5, 3}), "table");
  const Tensor ids = Tensor::from<std::int32_t>({4, 0, 4, 1}, {2, 2});
  const Tensor y = embedding(table, ids);
  CHECK(y.shape() == Shape{2, 2, 3});
  CHECK(numbers(y) == std::vector<double>{12, 13, 14, 0, 1, 2, 12, 13, 14, 3, 4, 5});
  CHECK(numbers(backward(sum(y))[table]) == std::vector<double>{1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 2, 2, 2});
  CHECK(embedding(table, Tensor::from<std::int64_t>({3}, {})).shape() == Shape{3});
  CHECK(embedding(table, zeros({2, 0}, DType::i64)).shape() == Shape{2, 0, 3});
}

// torch.nn.functional.interpolate(x, size, mode, align_corners=False)
TEST_CASE("resize: nearest and bilinear as in PyTorch") {
  const Tensor square = Tensor::from<float>({1, 2, 3, 4}, {1, 2, 2, 1});
  CHECK(numbers(resize(square, 4, 4, Resize::bilinear)) ==
        std::vector<double>{1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3, 3.25, 3.75, 4});
  CHECK(numbers(resize(square, 4, 4, Resize::nearest)) == std::vector<double>{1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4});
  CHECK(numbers(resize(counting({1, 1, 5, 1}), 1, 3, Resize::nearest)) == std::vector<double>{0, 1, 3});
  CHECK(numbers(resize(counting({1, 1, 4, 1}), 1, 2, Resize::bilinear)) == std::vector<double>{0.5, 2.5});  // no antialiasing
  for (const DType t : {DType::f32, DType::f64, DType::bf16, DType::f16})
    for (const auto& c : std::vector<std::array<Index, 5>>{{3, 5, 7, 4, 2}, {8, 8, 16, 16, 33}, {7, 3, 2, 3, 1}, {1, 4, 5, 9, 70}}) {
      const Index h = c[0], w = c[1], H = c[2], W = c[3], C = c[4];  // clang 14 captures no structured bindings
      const Tensor x = cast(sample_values({2, h, w, C}), t);
      Array from(x), nearest({2, H, W, C}), bilinear({2, H, W, C});
      nearest.each([&](const std::vector<Index>& i) { nearest.at(i) = from.at({i[0], i[1] * h / H, i[2] * w / W, i[3]}); });
      check_equal(resize(x, H, W, Resize::nearest), nearest);
      bilinear.each([&](const std::vector<Index>& i) {
        const auto hat = [](double at, double center) { return std::max(0.0, 1 - std::abs(at - center)); };
        const auto place = [](Index p, Index n, Index N) { return std::min(double(n - 1), std::max(0.0, (double(p) + 0.5) * double(n) / double(N) - 0.5)); };
        double sum = 0;
        for (Index a = 0; a < h; ++a)
          for (Index b = 0; b < w; ++b) sum += hat(place(i[1], h, H), double(a)) * hat(place(i[2], w, W), double(b)) * from.at({i[0], a, b, i[3]});
        bilinear.at(i) = sum;
      });
      const double unit = t == DType::f64 ? 0x1p-50 : t == DType::f32 ? 0x1p-22 : t == DType::f16 ? 0x1p-11 : 0x1p-8;
      const auto got = numbers(resize(x, H, W, Resize::bilinear));
      for (std::size_t i = 0; i < got.size(); ++i) REQUIRE(std::abs(got[i] - bilinear.values[i]) <= 3 * unit);
    }
}

TEST_CASE("avg_pool: means of windows; what does not fill one is left out") {
  CHECK(numbers(avg_pool(counting({1, 2, 4, 1}), 2)) == std::vector<double>{2.5, 4.5});
  for (const auto& c : std::vector<std::array<Index, 5>>{{4, 6, 2, 2, 3}, {5, 7, 3, 1, 70}, {7, 6, 2, 3, 1}, {5, 5, 5, 5, 2}}) {
    const Index h = c[0], w = c[1], k = c[2], s = c[3], C = c[4];
    const Tensor x = sample_values({2, h, w, C});
    const Index H = (h - k) / s + 1, W = (w - k) / s + 1;
    Array from(x), want({2, H, W, C});
    want.each([&](const std::vector<Index>& i) {
      for (Index a = 0; a < k; ++a)
        for (Index b = 0; b < k; ++b) want.at(i) += from.at({i[0], i[1] * s + a, i[2] * s + b, i[3]});
      want.at(i) /= double(k * k);
    });
    const Tensor y = avg_pool(x, k, s);
    CHECK(y.shape() == want.shape);
    const auto got = numbers(y);
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(want.values[i]).epsilon(1e-13));
  }
}
