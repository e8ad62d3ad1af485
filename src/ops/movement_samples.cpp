// The inputs on which movement ops are checked.
#include "sspo/ops/elementwise.hpp"
#include "sspo/ops/movement.hpp"

namespace sspo {
namespace {

Tensor x(const Shape& shape, int seed = 1) { return sample_values(shape, {}, seed); }
Tensor turned(const Shape& shape) { return transpose(x(shape)); }  // [.., b, a] behind a layout of [.., a, b]
Tensor thinned(const Shape& shape) { return slice(x(shape), -1, 0, shape[-1], 2); }
Tensor index(const std::vector<std::int64_t>& values) { return Tensor::from(values, {Index(values.size())}); }
Tensor index(const std::vector<std::int64_t>& values, const Shape& shape) { return Tensor::from(values, shape); }
Tensor random_index(const Shape& shape, Index extent) { return randint(Rng(5) / "index", shape, 0, extent); }

// Labelled by the shapes of the inputs.
template <class A>
std::vector<Sample<A>> labelled(std::vector<Sample<A>> samples) {
  for (auto& s : samples)
    for (const Tensor& t : s.inputs) s.label += (s.label.empty() ? "" : " ") + t.shape().str();
  return samples;
}

}  // namespace

std::vector<Sample<NoAttrs>> Contiguous::samples() { return elementwise_samples<NoAttrs>({{}}); }

std::vector<Sample<Reshape::Attrs>> Reshape::samples() {
  return labelled<Attrs>({{"", {x({})}, {{1, 1}}},
                          {"", {x({1, 1, 1})}, {{}}},
                          {"", {x({0})}, {{2, 0, 3}}},
                          {"", {x({2, 0})}, {{0}}},
                          {"", {x({6})}, {{2, 3}}},
                          {"", {x({2, 3})}, {{6}}},
                          {"", {x({2, 3, 4})}, {{6, 4}}},
                          {"", {x({2, 3, 4})}, {{2, 12}}},
                          {"", {x({4, 6})}, {{2, 2, 3, 1, 2}}},
                          {"", {x({1, 5, 1, 3})}, {{5, 3}}},
                          {"copies", {turned({3, 4})}, {{12}}},
                          {"view", {turned({3, 4})}, {{2, 2, 3}}},
                          {"view", {thinned({3, 8})}, {{3, 2, 2}}},
                          {"copies", {thinned({3, 8})}, {{4, 3}}},
                          {"stretched", {expand(x({3, 1}), Shape{3, 4})}, {{6, 2}}},
                          {"backwards", {flip(x({12}), {0})}, {{3, 4}}},
                          {"", {x({7, 11, 13})}, {{1001}}}});
}
std::vector<Bad> Reshape::bad_samples() {
  return {{"other count", [] { reshape(x({2, 3}), {4, 2}); }, {"reshape", "6 elements", "[4, 2]", "8 elements"}},
          {"two open extents", [] { reshape(x({2, 3}), {-1, -1}); }, {"reshape", "two extents are -1", "[-1, -1]"}},
          {"negative", [] { reshape(x({2, 3}), {-2, 3}); }, {"reshape", "negative extent", "[-2, 3]"}},
          {"no divisor", [] { reshape(x({2, 3}), {4, -1}); }, {"reshape", "-1 cannot be inferred", "divisor of 6"}},
          {"open beside 0", [] { reshape(x({0}), {0, -1}); }, {"reshape", "-1 cannot be inferred"}},
          {"overflow", [] { reshape(x({2, 3}), {Index(1) << 40, Index(1) << 40}); }, {"reshape", "too many elements"}},
          {"rank 7", [] { reshape(x({1}), {1, 1, 1, 1, 1, 1, 1}); }, {"too many dimensions"}},
          {"undefined", [] { reshape(Tensor{}, {1}); }, {"reshape", "undefined"}}};
}

std::vector<Sample<Permute::Attrs>> Permute::samples() {
  return labelled<Attrs>({{"", {x({})}, {{}}},
                          {"", {x({3})}, {{0}}},
                          {"", {x({0, 2})}, {{1, 0}}},
                          {"", {x({1, 1})}, {{1, 0}}},
                          {"", {x({2, 3})}, {{0, 1}}},
                          {"", {x({2, 3})}, {{1, 0}}},
                          {"", {x({2, 3, 4})}, {{0, 2, 1}}},
                          {"", {x({2, 3, 4})}, {{2, 0, 1}}},
                          {"", {x({2, 3, 4})}, {{2, 1, 0}}},
                          {"channels first", {x({2, 3, 5, 4})}, {{0, 3, 1, 2}}},
                          {"heads", {x({2, 7, 3, 4})}, {{0, 2, 1, 3}}},
                          {"", {x({1, 2, 1, 3, 2})}, {{4, 0, 3, 1, 2}}},
                          {"turned", {turned({3, 4})}, {{1, 0}}},
                          {"thinned", {thinned({2, 3, 8})}, {{2, 0, 1}}}});
}
std::vector<Bad> Permute::bad_samples() {
  return {{"too few", [] { permute(x({2, 3}), {0}); }, {"permute", "2 axes", "[2, 3]"}},
          {"twice", [] { permute(x({2, 3}), {1, -1}); }, {"permute", "axis 1 twice"}},
          {"out of range", [] { permute(x({2, 3}), {0, 2}); }, {"permute", "axis out of range", "axis 2"}},
          {"transpose of a line", [] { transpose(x({3})); }, {"transpose", "axis out of range"}}};
}

std::vector<Sample<Expand::Attrs>> Expand::samples() {
  return labelled<Attrs>({{"", {x({})}, {{3}}},
                          {"", {x({})}, {{2, 0}}},
                          {"", {x({1})}, {{1}}},
                          {"", {x({1})}, {{5}}},
                          {"", {x({3})}, {{2, 3}}},
                          {"", {x({2, 1})}, {{2, 4}}},
                          {"", {x({1, 3})}, {{4, 3}}},
                          {"", {x({1, 3})}, {{0, 3}}},
                          {"", {x({0, 1})}, {{0, 4}}},
                          {"", {x({2, 1, 3, 1})}, {{2, 5, 3, 4}}},
                          {"", {x({2, 1, 1, 5})}, {{2, 4, 3, 5}}},
                          {"", {x({3, 1})}, {{2, 1, 3, 4}}},
                          {"turned", {turned({3, 4})}, {{2, 4, 3}}},
                          {"thinned", {thinned({3, 1, 4})}, {{3, 5, 2}}}});
}
std::vector<Bad> Expand::bad_samples() {
  return {{"extent", [] { expand(x({2, 3}), Shape{2, 6}); }, {"expand", "[2, 3]", "[2, 6]"}},
          {"fewer axes", [] { expand(x({2, 3}), Shape{3}); }, {"expand", "[2, 3]"}}};
}

std::vector<Sample<Slice::Attrs>> Slice::samples() {
  return labelled<Attrs>({{"", {x({5})}, {0, 0, 5, 1}},
                          {"", {x({5})}, {0, 2, 2, 1}},
                          {"", {x({5})}, {0, 4, 5, 1}},
                          {"", {x({0, 3})}, {0, 0, 0, 1}},
                          {"", {x({3, 0})}, {0, 1, 3, 1}},
                          {"", {x({1})}, {0, 0, 1, 3}},
                          {"", {x({7})}, {0, 1, 6, 2}},
                          {"", {x({7})}, {0, 0, 7, 3}},
                          {"", {x({4, 6})}, {0, 1, 3, 1}},
                          {"", {x({4, 6})}, {1, 2, 5, 1}},
                          {"", {x({4, 6})}, {1, 0, 6, 4}},
                          {"half the channels", {x({2, 3, 3, 8})}, {3, 4, 8, 1}},
                          {"", {x({2, 5, 3})}, {1, 1, 4, 2}},
                          {"turned", {turned({5, 4})}, {1, 1, 4, 1}},
                          {"thinned", {thinned({3, 8})}, {1, 1, 4, 2}},
                          {"backwards", {flip(x({6}), {0})}, {0, 1, 5, 2}}});
}
std::vector<Bad> Slice::bad_samples() {
  return {{"beyond the end", [] { slice(x({2, 5}), 1, 0, 6); }, {"slice", "0 <= begin <= end <= 5", "axis 1", "0 to 6"}},
          {"before the start", [] { slice(x({2, 5}), 1, -6, 5); }, {"slice", "-6 to 5"}},
          {"backwards", [] { slice(x({2, 5}), 1, 4, 2); }, {"slice", "4 to 2"}},
          {"step 0", [] { slice(x({2, 5}), 1, 0, 5, 0); }, {"slice", "step below 1", "flip"}},
          {"axis", [] { slice(x({2, 5}), 2, 0, 1); }, {"slice", "axis out of range"}},
          {"scalar", [] { slice(x({}), 0, 0, 1); }, {"slice", "no axis, because the tensor is a scalar"}}};
}

std::vector<Sample<Unslice::Attrs>> Unslice::samples() {
  return labelled<Attrs>({{"", {x({5})}, {{0, 0, 5, 1}, 5}},
                          {"", {x({0})}, {{0, 2, 2, 1}, 5}},
                          {"", {x({1})}, {{0, 4, 5, 1}, 5}},
                          {"", {x({0, 3})}, {{0, 0, 0, 1}, 0}},
                          {"", {x({2, 0})}, {{0, 1, 3, 1}, 3}},
                          {"", {x({3})}, {{0, 1, 6, 2}, 7}},
                          {"", {x({3})}, {{0, 0, 7, 3}, 9}},
                          {"", {x({2, 6})}, {{0, 1, 3, 1}, 4}},
                          {"", {x({4, 3})}, {{1, 2, 5, 1}, 6}},
                          {"", {x({4, 2})}, {{1, 0, 6, 4}, 6}},
                          {"", {x({2, 3, 3, 4})}, {{3, 4, 8, 1}, 8}},
                          {"", {x({2, 2, 3})}, {{1, 1, 4, 2}, 5}},
                          {"turned", {turned({3, 4})}, {{1, 1, 4, 1}, 5}}});
}

std::vector<Sample<Flip::Attrs>> Flip::samples() {
  return labelled<Attrs>({{"", {x({})}, {{}}},
                          {"", {x({1})}, {{0}}},
                          {"", {x({0})}, {{0}}},
                          {"", {x({2, 0})}, {{0, 1}}},
                          {"", {x({5})}, {{0}}},
                          {"", {x({2, 3})}, {{}}},
                          {"", {x({2, 3})}, {{0}}},
                          {"", {x({2, 3})}, {{1}}},
                          {"", {x({2, 3})}, {{0, 1}}},
                          {"mirror", {x({2, 3, 5, 2})}, {{2}}},
                          {"", {x({2, 3, 4})}, {{2, 0}}},
                          {"turned", {turned({3, 4})}, {{0}}},
                          {"thinned", {thinned({2, 6})}, {{1}}},
                          {"", {x({1030})}, {{0}}}});
}
std::vector<Bad> Flip::bad_samples() {
  return {{"axis", [] { flip(x({2, 3}), {2}); }, {"flip", "axis out of range", "axis 2"}},
          {"twice", [] { flip(x({2, 3}), {0, -2}); }, {"flip", "axis 0 twice"}}};
}

std::vector<Sample<Cat::Attrs>> Cat::samples() {
  return labelled<Attrs>({{"", {x({3})}, {0}},
                          {"", {x({3}), x({2}, 2)}, {0}},
                          {"", {x({1}), x({1}, 2), x({1}, 3)}, {0}},
                          {"", {x({0}), x({2}, 2)}, {0}},
                          {"", {x({2, 0}), x({2, 0}, 2)}, {0}},
                          {"", {x({2, 3}), x({4, 3}, 2)}, {0}},
                          {"", {x({2, 3}), x({2, 1}, 2)}, {1}},
                          {"", {x({2, 3, 4}), x({2, 2, 4}, 2), x({2, 1, 4}, 3)}, {1}},
                          {"skip connection", {x({2, 4, 4, 6}), x({2, 4, 4, 3}, 2)}, {3}},
                          {"five parts", {x({2, 1}), x({2, 2}, 2), x({2, 3}, 3), x({2, 4}, 4), x({2, 5}, 5)}, {1}},
                          {"turned", {turned({3, 4}), x({2, 3}, 2)}, {0}},
                          {"thinned", {thinned({3, 8}), turned({5, 3})}, {1}},
                          {"", {x({1, 7, 1}), x({1, 7, 2}, 2)}, {2}}});
}
std::vector<Bad> Cat::bad_samples() {
  return {{"nothing", [] { cat({}, 0); }, {"cat", "nothing to join"}},
          {"extents", [] { cat({x({2, 3}), x({2, 4})}, 0); }, {"cat", "[2, 3]", "[2, 4] f64 as part 1", "but on axis 0"}},
          {"ranks", [] { cat({x({2, 3}), x({3})}, 0); }, {"cat", "[3] f64 as part 1"}},
          {"dtypes", [] { cat({x({2}), cast(x({2}), DType::f32)}, 0); }, {"cat", "dtype", "f32 as part 1"}},
          {"axis", [] { cat({x({2})}, 1); }, {"cat", "axis out of range"}},
          {"undefined", [] { cat({x({2}), Tensor{}}, 0); }, {"cat", "undefined"}},
          {"stack of shapes", [] { stack({x({2}), x({3})}, 0); }, {"stack", "[2]", "[3]"}},
          {"stack axis", [] { stack({x({2})}, 2); }, {"stack", "axis out of range"}}};
}

std::vector<Sample<Pad::Attrs>> Pad::samples() {
  return labelled<Attrs>({{"", {x({})}, {{}, 0}},
                          {"", {x({3})}, {{{0, 0}}, 0}},
                          {"", {x({3})}, {{{1, 2}}, 0}},
                          {"", {x({0})}, {{{1, 2}}, 1.5}},
                          {"", {x({2, 0})}, {{{1, 0}, {0, 0}}, 0}},
                          {"", {x({1})}, {{{3, 0}}, -1}},
                          {"", {x({2, 3})}, {{{1, 1}, {0, 0}}, 0}},
                          {"", {x({2, 3})}, {{{0, 0}, {2, 1}}, 0.25}},
                          {"", {x({2, 3})}, {{{1, 2}, {3, 4}}, 7}},
                          {"image", {x({2, 3, 4, 2})}, {{{0, 0}, {1, 1}, {1, 1}, {0, 0}}, 0}},
                          {"bottom right", {x({1, 5, 5, 3})}, {{{0, 0}, {0, 1}, {0, 1}, {0, 0}}, 0}},
                          {"turned", {turned({3, 4})}, {{{1, 0}, {0, 2}}, 0}},
                          {"thinned", {thinned({3, 8})}, {{{0, 1}, {1, 1}}, 3}}});
}
std::vector<Bad> Pad::bad_samples() {
  return {{"negative", [] { pad(x({2, 3}), {{-1, 0}}); }, {"pad", "negative amount", "{-1, 0}"}},
          {"too many", [] { pad(x({3}), {{1, 1}, {1, 1}}); }, {"pad", "at most 1"}}};
}

std::vector<Sample<Gather::Attrs>> Gather::samples() {
  return labelled<Attrs>({{"", {x({5}), index({4, 0, 0, 2})}, {0}},
                          {"", {x({1}), index({0, 0, 0})}, {0}},
                          {"", {x({5}), index({})}, {0}},
                          {"", {x({0, 3}), index({}, {0, 3})}, {0}},
                          {"", {x({3, 0}), index({}, {2, 0})}, {0}},
                          {"", {x({2, 3}), random_index({4, 3}, 2)}, {0}},
                          {"", {x({2, 3}), random_index({2, 5}, 3)}, {1}},
                          {"", {x({3, 4, 5}), random_index({3, 2, 5}, 4)}, {1}},
                          {"", {x({3, 4, 5}), random_index({3, 4, 1}, 5)}, {2}},
                          {"", {x({2, 3, 2, 3}), random_index({2, 3, 4, 3}, 2)}, {2}},
                          {"turned", {turned({3, 4}), random_index({4, 2}, 3)}, {1}},
                          {"turned index", {x({4, 3}), transpose(random_index({3, 6}, 4))}, {0}},
                          {"stretched index", {x({4, 3}), expand(index({3, 0, 3}, {3, 1}), Shape{3, 3})}, {0}},
                          {"stretched index", {x({4, 3}), expand(index({2, 0}), Shape{4, 2})}, {1}}});
}
std::vector<Bad> Gather::bad_samples() {
  return {{"too large", [] { gather(x({2, 3}), index({0, 2, 3, 1}, {2, 2}), 1); }, {"gather", "0 <= index < 3", "axis 1", "index 3 at element 2"}},
          {"negative", [] { gather(x({3}), index({0, -1}), 0); }, {"gather", "index -1 at element 1"}},
          {"empty axis", [] { gather(x({0}), index({0}), 0); }, {"gather", "0 <= index < 0"}},
          {"shape", [] { gather(x({2, 3}), index({0, 1}, {1, 2}), 1); }, {"gather", "[2, 3]", "an index of [1, 2]"}},
          {"rank", [] { gather(x({2, 3}), index({0}), 1); }, {"gather", "an index of [1]"}},
          {"real index", [] { gather(x({3}), x({3}), 0); }, {"gather", "i64 or i32", "[3] f64"}},
          {"axis", [] { gather(x({3}), index({0}), 1); }, {"gather", "axis out of range"}}};
}

std::vector<Sample<ScatterAdd::Attrs>> ScatterAdd::samples() {
  return labelled<Attrs>({{"", {x({4}), index({4, 0, 0, 2})}, {0, 5}},
                          {"", {x({3}), index({0, 0, 0})}, {0, 1}},
                          {"", {x({0}), index({})}, {0, 5}},
                          {"", {x({0}), index({})}, {0, 0}},
                          {"", {x({2, 0}), index({}, {2, 0})}, {0, 3}},
                          {"", {x({4, 3}), random_index({4, 3}, 2)}, {0, 2}},
                          {"", {x({2, 5}), random_index({2, 5}, 3)}, {1, 3}},
                          {"", {x({3, 2, 5}), random_index({3, 2, 5}, 4)}, {1, 4}},
                          {"", {x({3, 4, 1}), random_index({3, 4, 1}, 5)}, {2, 5}},
                          {"", {x({2, 3, 4, 3}), random_index({2, 3, 4, 3}, 2)}, {2, 2}},
                          {"turned", {turned({2, 4}), random_index({4, 2}, 3)}, {1, 3}},
                          {"turned index", {x({6, 3}), transpose(random_index({3, 6}, 4))}, {0, 4}},
                          {"stretched index", {x({3, 3}), expand(index({3, 0, 3}, {3, 1}), Shape{3, 3})}, {0, 4}}});
}
std::vector<Bad> ScatterAdd::bad_samples() {
  return {{"too large", [] { scatter_add(x({3}), index({0, 2, 1}), 0, 2); }, {"scatter_add", "0 <= index < 2", "index 2 at element 1"}},
          {"count", [] { scatter_add(x({3}), index({0, 1}), 0, 2); }, {"scatter_add", "does not fit", "[3]", "[2]"}},
          {"bool", [] { scatter_add(x({2}) > 0.0, index({0, 1}), 0, 2); }, {"scatter_add", "truth values"}},
          {"extent", [] { scatter_add(x({2}), index({0, 1}), 0, -1); }, {"scatter_add", "negative extent"}}};
}

std::vector<Sample<IndexSelect::Attrs>> IndexSelect::samples() {
  return labelled<Attrs>({{"", {x({5}), index({4, 0, 0, 2})}, {0}},
                          {"", {x({1}), index({0, 0})}, {0}},
                          {"", {x({5}), index({})}, {0}},
                          {"", {x({3, 0}), index({2, 0})}, {0}},
                          {"", {x({0, 3}), index({})}, {0}},
                          {"", {x({2, 3}), index({1, 1, 0, 1})}, {0}},
                          {"", {x({2, 3}), index({2})}, {1}},
                          {"", {x({3, 4, 5}), index({3, 0, 3})}, {1}},
                          {"", {x({3, 4, 5}), index({0, 4, 1, 1, 2, 3})}, {2}},
                          {"rows of a table", {x({11, 6}), random_index({17}, 11)}, {0}},
                          {"turned", {turned({3, 4}), index({3, 1, 1})}, {0}},
                          {"backwards index", {x({4, 3}), flip(index({0, 1, 3}), {0})}, {0}},
                          {"thinned index", {x({4, 3}), slice(index({0, 9, 3, 9}), 0, 0, 4, 2)}, {0}}});
}
std::vector<Bad> IndexSelect::bad_samples() {
  return {{"too large", [] { index_select(x({2, 3}), index({0, 3}), 1); }, {"index_select", "0 <= index < 3", "index 3 at element 1"}},
          {"negative", [] { index_select(x({2, 3}), index({-2}), 0); }, {"index_select", "index -2 at element 0"}},
          {"square index", [] { index_select(x({3}), index({0}, {1, 1}), 0); }, {"index_select", "rank 1", "[1, 1]"}},
          {"embedding of a line", [] { embedding(x({3}), index({0})); }, {"embedding", "[V, D]", "[3] f64"}},
          {"unknown id", [] { embedding(x({3, 2}), index({1, 3, 0, 0}, {2, 2})); }, {"0 <= index < 3", "index 3 at element 1"}}};
}

std::vector<Sample<IndexAdd::Attrs>> IndexAdd::samples() {
  return labelled<Attrs>({{"", {x({4}), index({4, 0, 0, 2})}, {0, 5}},
                          {"", {x({2}), index({0, 0})}, {0, 1}},
                          {"", {x({0}), index({})}, {0, 5}},
                          {"", {x({2, 0}), index({2, 0})}, {0, 3}},
                          {"", {x({0, 3}), index({})}, {0, 0}},
                          {"", {x({4, 3}), index({1, 1, 0, 1})}, {0, 2}},
                          {"", {x({2, 1}), index({2})}, {1, 3}},
                          {"", {x({3, 3, 5}), index({3, 0, 3})}, {1, 4}},
                          {"", {x({3, 4, 6}), index({0, 4, 1, 1, 2, 3})}, {2, 5}},
                          {"rows of a table", {x({17, 6}), random_index({17}, 11)}, {0, 11}},
                          {"wide", {x({5, 300}), index({1, 0, 1, 1, 0})}, {0, 2}},
                          {"turned", {turned({3, 4}), index({3, 1, 1, 0})}, {0, 4}},
                          {"backwards index", {x({3, 3}), flip(index({0, 1, 3}), {0})}, {0, 4}}});
}

std::vector<Sample<ResizeOp::Attrs>> ResizeOp::samples() {
  std::vector<Sample<Attrs>> samples;
  for (const Resize mode : {Resize::nearest, Resize::bilinear}) {
    const std::string name = mode == Resize::nearest ? "nearest" : "bilinear";
    for (const auto& [shape, height, width] : std::vector<std::tuple<Shape, Index, Index>>{
             {{0, 2, 2, 3}, 4, 4}, {{1, 1, 1, 1}, 1, 1}, {{1, 1, 1, 2}, 3, 5}, {{2, 3, 4, 2}, 6, 8}, {{1, 3, 3, 5}, 7, 4}, {{1, 7, 5, 3}, 3, 2}, {{2, 4, 4, 0}, 2, 2}, {{1, 2, 3, 67}, 4, 6}})
      samples.push_back({name, {x(shape)}, {height, width, mode}});
    samples.push_back({name + " turned", {permute(x({2, 3, 4, 5}), {0, 2, 3, 1})}, {5, 7, mode}});
  }
  return labelled<Attrs>(std::move(samples));
}
std::vector<Bad> ResizeOp::bad_samples() {
  return {{"no pixels", [] { resize(x({1, 2, 2, 1}), 0, 2, Resize::nearest); }, {"resize", "1 or more", "0 x 2"}},
          {"empty image", [] { resize(x({1, 0, 2, 1}), 2, 2, Resize::bilinear); }, {"resize", "[1, 0, 2, 1]"}},
          {"rank", [] { resize(x({2, 2, 1}), 2, 2, Resize::nearest); }, {"resize", "[B, H, W, C]", "[2, 2, 1]"}},
          {"integers", [] { resize(cast(x({1, 2, 2, 1}), DType::i64), 2, 2, Resize::nearest); }, {"resize", "i64"}}};
}

std::vector<Sample<ResizeAdjoint::Attrs>> ResizeAdjoint::samples() {
  std::vector<Sample<Attrs>> samples;
  for (const Resize mode : {Resize::nearest, Resize::bilinear})
    for (const auto& [shape, height, width] : std::vector<std::tuple<Shape, Index, Index>>{
             {{0, 4, 4, 3}, 2, 2}, {{1, 1, 1, 1}, 1, 1}, {{1, 3, 5, 2}, 1, 1}, {{2, 6, 8, 2}, 3, 4}, {{1, 7, 4, 5}, 3, 3}, {{1, 3, 2, 3}, 7, 5}, {{1, 4, 6, 67}, 2, 3}})
      samples.push_back({mode == Resize::nearest ? "nearest" : "bilinear", {x(shape)}, {height, width, mode}});
  return labelled<Attrs>(std::move(samples));
}

std::vector<Sample<AvgPool::Attrs>> AvgPool::samples() {
  return labelled<Attrs>({{"", {x({1, 1, 1, 1})}, {1, 1}},
                          {"", {x({0, 4, 4, 3})}, {2, 2}},
                          {"", {x({1, 4, 4, 0})}, {2, 2}},
                          {"", {x({1, 2, 2, 3})}, {2, 2}},
                          {"", {x({2, 4, 6, 3})}, {2, 2}},
                          {"rest left out", {x({1, 5, 7, 2})}, {2, 2}},
                          {"overlap", {x({1, 5, 5, 2})}, {3, 1}},
                          {"overlap", {x({1, 7, 6, 2})}, {3, 2}},
                          {"gaps", {x({1, 7, 8, 2})}, {2, 3}},
                          {"", {x({1, 3, 4, 1})}, {3, 3}},
                          {"wide", {x({1, 4, 4, 67})}, {2, 2}},
                          {"", {x({2, 3, 3, 2})}, {1, 1}},
                          {"turned", {permute(x({2, 3, 4, 4}), {0, 2, 3, 1})}, {2, 2}}});
}
std::vector<Bad> AvgPool::bad_samples() {
  return {{"kernel", [] { avg_pool(x({1, 2, 4, 1}), 3); }, {"avg_pool", "kernel 3", "[1, 2, 4, 1]"}},
          {"no kernel", [] { avg_pool(x({1, 2, 4, 1}), 0); }, {"avg_pool", "kernel 0"}},
          {"stride", [] { avg_pool(x({1, 2, 4, 1}), 2, -1); }, {"avg_pool", "stride -1"}},
          {"rank", [] { avg_pool(x({2, 4, 1}), 2); }, {"avg_pool", "[B, H, W, C]"}}};
}

std::vector<Sample<AvgPoolAdjoint::Attrs>> AvgPoolAdjoint::samples() {
  return labelled<Attrs>({{"", {x({1, 1, 1, 1})}, {1, 1, 1, 1}},
                          {"", {x({0, 2, 2, 3})}, {2, 2, 4, 4}},
                          {"", {x({1, 2, 2, 0})}, {2, 2, 4, 4}},
                          {"", {x({1, 1, 1, 3})}, {2, 2, 2, 2}},
                          {"", {x({2, 2, 3, 3})}, {2, 2, 4, 6}},
                          {"rest left out", {x({1, 2, 3, 2})}, {2, 2, 5, 7}},
                          {"overlap", {x({1, 3, 3, 2})}, {3, 1, 5, 5}},
                          {"overlap", {x({1, 3, 2, 2})}, {3, 2, 7, 6}},
                          {"gaps", {x({1, 2, 3, 2})}, {2, 3, 7, 8}},
                          {"", {x({1, 1, 1, 1})}, {3, 3, 3, 4}},
                          {"wide", {x({1, 2, 2, 67})}, {2, 2, 4, 4}},
                          {"", {x({2, 3, 3, 2})}, {1, 1, 3, 3}}});
}

}  // namespace sspo
