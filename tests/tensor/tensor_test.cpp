#include <limits>

#include "sspo/ops/all.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

TEST_CASE("Tensor: values in, values out, every dtype") {
  CHECK(Tensor::from<float>({1, 2, 3, 4}, {2, 2}).to_vector<float>() == std::vector<float>{1, 2, 3, 4});
  CHECK(Tensor::from<double>({0.1}, {}).item<double>() == 0.1);
  CHECK(Tensor::from<std::int64_t>({-5}, {1}).item<std::int64_t>() == -5);
  CHECK(Tensor::from<std::int32_t>({-5}, {1}).item<std::int32_t>() == -5);
  CHECK(Tensor::from<std::uint8_t>({255}, {1}).item<std::uint8_t>() == 255);
  CHECK(Tensor::from<bool>({true, false, true}, {3}).to_vector<bool>() == std::vector<bool>{true, false, true});
  CHECK(Tensor::from<bf16>({bf16(1.5f)}, {1}).item<bf16>().bits == bf16(1.5f).bits);
  CHECK(Tensor::from<f16>({f16(1.5f)}, {1}).item<f16>().bits == f16(1.5f).bits);
  CHECK(Tensor::from<float>({}, {0, 3}).to_vector<float>().empty());
  check_error([] { Tensor::from<float>({1, 2, 3}, {2, 2}); }, {"does not fill the shape", "4 values for [2, 2]", "3", "tensor_test.cpp"});
}

TEST_CASE("Tensor: a copy is a handle; a view shares storage") {
  const Tensor a = zeros({1000, 1000}), b = a;
  CHECK(a.storage() == b.storage());
  CHECK(transpose(a).storage() == a.storage());
  CHECK(reshape(a, {-1}).storage() == a.storage());
  CHECK(flip(slice(a, 0, 5, 900, 3), {1}).storage() == a.storage());
  CHECK_FALSE(contiguous(transpose(a)).storage() == a.storage());
  CHECK(contiguous(a).storage() == a.storage());
}

TEST_CASE("Tensor: item and to_vector go by row-major order, whatever the layout") {
  const Tensor x = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor t = transpose(x);  // [[1, 4], [2, 5], [3, 6]]
  CHECK_FALSE(t.contiguous());
  CHECK(t.to_vector<float>() == std::vector<float>{1, 4, 2, 5, 3, 6});
  CHECK(t.item<float>(1) == 4);
  CHECK(flip(x, {0, 1}).to_vector<float>() == std::vector<float>{6, 5, 4, 3, 2, 1});
  CHECK(slice(x, 1, 0, 3, 2).to_vector<float>() == std::vector<float>{1, 3, 4, 6});
  CHECK(expand(Tensor::from<float>({7, 8}, {2, 1}), Shape{2, 2}).to_vector<float>() == std::vector<float>{7, 7, 8, 8});
  CHECK(slice(x, 0, 1, 2).to_vector<float>() == std::vector<float>{4, 5, 6});
  CHECK(slice(x, 0, 1, 2).item<float>() == 4);
  check_error([&] { x.item<float>(6); }, {"item: element out of range", "below 6 in [2, 3] f32", "6", "tensor_test.cpp"});
  check_error([&] { x.item<float>(-1); }, {"out of range", "-1"});
  check_error([&] { x.item<float>(std::numeric_limits<Index>::max()); }, {"out of range"});
  check_error([] { zeros({0}).item<float>(); }, {"out of range", "[0] f32"});
}

TEST_CASE("Tensor: wrong dtype, wrong rank, no tensor: what, where, expected, got") {
  const Tensor x = zeros({2, 3}, DType::bf16);
  check_error([&] { x.item<float>(); }, {"read as the wrong type", "bf16, the dtype of [2, 3] bf16", "got       f32", "cast(x, DType::f32)", "tensor_test.cpp"});
  check_error([&] { x.to_vector<double>(); }, {"read as the wrong type", "f64", "tensor_test.cpp"});
  check_error([&] { (void)x.data<std::int64_t>(); }, {"i64", "tensor_test.cpp"});
  check_error([&] { x.dims<3>(); }, {"dims: wrong number of dimensions", "rank 3", "rank 2: [2, 3] bf16", "tensor_test.cpp"});
  check_error([] { Tensor{}.dims<1>(); }, {"an undefined tensor"});
  check_error([] { Tensor{}.item<float>(); }, {"no tensor here"});
  check_error([] { Tensor{}.to_vector<float>(); }, {"no tensor here"});
  const auto [rows, cols] = x.dims<2>();
  CHECK(rows == 2);
  CHECK(cols == 3);
  CHECK(Tensor{}.str() == "undefined");
  CHECK_FALSE(Tensor{});
}

TEST_CASE("Tensor: printing") {
  CHECK(to_string(Tensor::from<float>({1, 2, 3, 4}, {2, 2})) == "[[1, 2], [3, 4]]  [2, 2] f32");
  CHECK(to_string(transpose(Tensor::from<float>({1, 2, 3, 4}, {2, 2}))) == "[[1, 3], [2, 4]]  [2, 2] f32");
  CHECK(to_string(Tensor::from<bool>({true, false}, {2})) == "[true, false]  [2] bool");
  CHECK(to_string(Tensor::from<std::uint8_t>({65}, {1})) == "[65]  [1] u8");
  CHECK(to_string(full({}, 2.5, DType::bf16)) == "2.5  [] bf16");
  CHECK(to_string(zeros({0, 2})) == "[]  [0, 2] f32");
  CHECK(to_string(arange(10, 0, 1, DType::i64)) == "[0, 1, 2, ..., 7, 8, 9]  [10] i64");
  CHECK(to_string(arange(6, 0, 1, DType::i64)) == "[0, 1, 2, 3, 4, 5]  [6] i64");
  CHECK(to_string(zeros({1000000})).size() < 100);
  CHECK(to_string(Tensor{}) == "undefined");
}

TEST_CASE("Tensor: full and arange refuse what the dtype cannot hold") {
  CHECK(full({2}, 255, DType::u8).to_vector<std::uint8_t>() == std::vector<std::uint8_t>{255, 255});
  check_error([] { full({2}, 256, DType::u8); }, {"full: the value does not fit the dtype", "u8", "256"});
  check_error([] { full({2}, -1, DType::u8); }, {"-1"});
  check_error([] { full({2}, 1.5, DType::i32); }, {"whole number", "1.5"});
  check_error([] { full({2}, 9223372036854775808.0, DType::i64); }, {"does not fit"});
  CHECK(full({1}, -9223372036854775808.0, DType::i64).item<std::int64_t>() == std::numeric_limits<std::int64_t>::min());
  check_error([] { full({2}, NAN, DType::i64); }, {"does not fit"});
  check_error([] { arange(-1); }, {"arange: negative length", "-1"});
  CHECK(arange(3, 1, 0.5).to_vector<float>() == std::vector<float>{1, 1.5f, 2});
}
