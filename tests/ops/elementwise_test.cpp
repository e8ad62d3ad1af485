// What check_op (check_test.cpp) cannot see: exact integers, dtypes, numbers as operands, messages.
#include <limits>

#include "sspo/ops/all.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

TEST_CASE("integers: exact beyond 2^53, and closed under add, sub, mul") {
  const std::int64_t big = (std::int64_t(1) << 60) + 1;
  const Tensor x = Tensor::from<std::int64_t>({big, -big, 7}, {3});
  CHECK((x + x).to_vector<std::int64_t>() == std::vector<std::int64_t>{2 * big, -2 * big, 14});
  CHECK((x - 1.0).to_vector<std::int64_t>() == std::vector<std::int64_t>{big - 1, -big - 1, 6});
  CHECK((-x).to_vector<std::int64_t>()[0] == -big);
  CHECK(maximum(x, -x).to_vector<std::int64_t>()[1] == big);
  CHECK(equal(x, x - 1.0).to_vector<bool>() == std::vector<bool>{false, false, false});
  CHECK(sum(x).item<std::int64_t>() == 7);
  const Tensor bytes = Tensor::from<std::uint8_t>({250, 3}, {2});
  CHECK((bytes + bytes).to_vector<std::uint8_t>() == std::vector<std::uint8_t>{244, 6});  // modulo 256, as C has it
  check_error([&] { exp(x); }, {"exp: not defined for integers", "[3] i64", "cast"});
  check_error([&] { x / x; }, {"div: not defined for integers"});
}

TEST_CASE("a number takes the tensor's dtype; an integer tensor refuses one it cannot hold") {
  const Tensor x = Tensor::from<std::int64_t>({0, 1, 2}, {3});
  CHECK((x >= 1.0).to_vector<bool>() == std::vector<bool>{false, true, true});
  check_error([&] { (void)(x > 0.5); }, {"0.5", "i64"});
  check_error([&] { x * 1e300; }, {"i64"});
  check_error([&] { x + std::numeric_limits<double>::quiet_NaN(); }, {"i64"});
  CHECK((Tensor::from<bf16>({bf16(1.0f)}, {1}) * 0.1).dtype() == DType::bf16);
  CHECK((2.0 / Tensor::from<float>({4}, {1})).item<float>() == 0.5f);
  CHECK((1.0 - Tensor::from<float>({4}, {1})).item<float>() == -3);
  CHECK((3.0 * Tensor::from<double>({4}, {1})).item<double>() == 12);
}

TEST_CASE("errors of operators name op, both operands and the caller's line") {
  const Tensor a = zeros({2, 3}), b = zeros({4}), d = zeros({2, 3}, DType::f64);
  const std::string line = "elementwise_test.cpp:" + std::to_string(__LINE__ + 1);
  check_error([&] { a + b; }, {"add: operands do not broadcast", "[2, 3] and [4]", "3 against 4", line.c_str()});
  check_error([&] { a* d; }, {"mul: operands have different dtypes", "f32", "[2, 3] f64", "cast(x, DType::f32)", "elementwise_test.cpp"});
  check_error([&] { add(a, d); }, {"add", "elementwise_test.cpp"});
  check_error([&] { add(a, Tensor{}); }, {"add: an operand is undefined"});
  check_error([&] { add(Tensor{}, Tensor{}); }, {"add: no operand is defined"});
  check_error([&] { where(a, a, a); }, {"where: the condition is not bool", "x > 0.0", "[2, 3] f32"});
  check_error([&] { clamp(a, 2, 1); }, {"clamp: empty range", "low <= high"});
  check_error([&] { add(a, zeros({2, 3}, DType::f32, Device::cpu({.threads = 1}))); }, {"add: operands are on different devices"});
}

TEST_CASE("no op takes an undefined tensor further than its checks") {
  const Tensor none;
  const auto refused = [](auto&& f) { CHECK(error_of(f) != "(no error)"); };
  refused([&] { neg(none); });
  refused([&] { none + 1.0; });
  refused([&] { sum(none); });
  refused([&] { max(none); });
  refused([&] { argmax(none, 0); });
  refused([&] { reshape(none, {1}); });
  refused([&] { permute(none, {0}); });
  refused([&] { transpose(none); });
  refused([&] { expand(none, Shape{2}); });
  refused([&] { slice(none, 0, 0, 1); });
  refused([&] { flip(none, {0}); });
  refused([&] { cat({none, none}, 0); });
  refused([&] { cat({}, 0); });
  refused([&] { stack({}, 0); });
  refused([&] { pad(none, {{1, 1}}); });
  refused([&] { contiguous(none); });
  refused([&] { gather(none, zeros({1}, DType::i64), 0); });
  refused([&] { gather(zeros({1}), none, 0); });
  refused([&] { index_select(zeros({1}), none, 0); });
  refused([&] { embedding(none, zeros({1}, DType::i64)); });
  refused([&] { embedding(zeros({1, 1}), none); });
  refused([&] { resize(none, 1, 1, Resize::nearest); });
  refused([&] { avg_pool(none, 1); });
  refused([&] { matmul(none, zeros({1, 1})); });
  refused([&] { matmul(zeros({1, 1}), none); });
  refused([&] { linear(none, none); });
  refused([&] { conv2d(none, zeros({1, 1, 1, 1})); });
  refused([&] { conv2d(zeros({1, 1, 1, 1}), none); });
  refused([&] { attention(zeros({1, 1, 1, 1}), none, none); });
  refused([&] { attention(none, none, none); });
  refused([&] { softmax(none); });
  refused([&] { group_norm(none, {}, {}); });
  refused([&] { layer_norm(none); });
  refused([&] { geglu(none); });
  refused([&] { mse(none, none); });
  refused([&] { mse(zeros({1}), none); });
  refused([&] { cross_entropy(zeros({1, 1}), none); });
  refused([&] { cross_entropy(none, zeros({1}, DType::i64)); });
  refused([&] { dropout(none, 0.5, Rng{1}); });
  refused([&] { timestep_embedding(none, 4); });
  refused([&] { where(none, zeros({1}), zeros({1})); });
  refused([&] { cast(none, DType::f64); });
  refused([&] { zeros_like(none); });
}

TEST_CASE("cast: to 16 bits is one rounding, whatever the source") {
  const auto bf = [](double x) { return cast(Tensor::from<double>({x}, {1}), DType::bf16).item<bf16>().bits; };
  const auto hf = [](double x) { return cast(Tensor::from<double>({x}, {1}), DType::f16).item<f16>().bits; };
  for (double tiny : {0x1p-40, -0x1p-40, 0.0})
    for (double sign : {1.0, -1.0}) {
      const int s = sign < 0 ? 0x8000 : 0;
      CHECK(bf(sign * (1 + 0x1p-8 + tiny)) == (s | (tiny > 0 ? 0x3f81 : 0x3f80)));     // a tie goes to the even one
      CHECK(bf(sign * (1 + 3 * 0x1p-8 + tiny)) == (s | (tiny < 0 ? 0x3f81 : 0x3f82)));
      CHECK(hf(sign * (1 + 0x1p-11 + tiny)) == (s | (tiny > 0 ? 0x3c01 : 0x3c00)));
      CHECK(hf(sign * (0x1p-25 + tiny * 0x1p-30)) == (s | (tiny > 0 ? 1 : 0)));          // half of the smallest f16
    }
  const std::int64_t one = 1, tie = (one << 60) + (one << 52);
  const Tensor i = Tensor::from<std::int64_t>({tie, tie + 1, -tie, -tie - 1, 257, 259}, {6});
  const auto b = cast(i, DType::bf16).to_vector<bf16>();
  const int low = bf16(0x1p60f).bits;
  CHECK(b[0].bits == low);
  CHECK(b[1].bits == low + 1);
  CHECK(b[2].bits == (low | 0x8000));
  CHECK(b[3].bits == ((low + 1) | 0x8000));
  CHECK(to_float(b[4]) == 256);
  CHECK(to_float(b[5]) == 260);
}

TEST_CASE("cast: integers are cut towards zero; NaN to bool is true") {
  const Tensor x = Tensor::from<float>({-1.9f, 1.9f, 300, 0}, {4});
  CHECK(cast(x, DType::i64).to_vector<std::int64_t>() == std::vector<std::int64_t>{-1, 1, 300, 0});
  CHECK(cast(x, DType::i32).to_vector<std::int32_t>() == std::vector<std::int32_t>{-1, 1, 300, 0});
  CHECK(cast(x, DType::boolean).to_vector<bool>() == std::vector<bool>{true, true, true, false});
  CHECK(cast(Tensor::from<bool>({true, false}, {2}), DType::f32).to_vector<float>() == std::vector<float>{1, 0});
  const std::int64_t big = (std::int64_t(1) << 60) + 1;
  CHECK(cast(Tensor::from<std::int64_t>({big}, {1}), DType::i64).item<std::int64_t>() == big);
  CHECK(cast(Tensor::from<double>({0.1}, {1}), DType::f32).item<float>() == 0.1f);
  CHECK(cast(Tensor::from<std::int64_t>({16777217}, {1}), DType::f64).item<double>() == 16777217);
}

TEST_CASE("every dtype may be empty, one element, or a scalar") {
  for (DType t : all_dtypes) {
    const Tensor e = zeros({0, 3}, t), s = ones({}, t);
    CHECK(cast(e, DType::f32).numel() == 0);
    CHECK(numbers(cast(s, DType::f64))[0] == 1);
    CHECK(equal(s, s).item<bool>());
    CHECK(cat({e, e}, 0).shape() == Shape{0, 3});
    CHECK(numbers(where(equal(s, s), s, s))[0] == 1);
  }
}
