// Every op of the engine on cuda-sim (or a GPU), under the checks of sspo/testing.hpp: gradients, reference,
// parity, views, repeatability, and against the CPU.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "device_under_test.hpp"
#include "small_training.hpp"
#include "sspo/ops/all.hpp"
#include "sspo/testing.hpp"

using namespace sspo;

namespace {

template <class List>
void check_all() {
  static const Device device = device_under_test({.fill_with_nan = true});
  List::for_each([]<class O>() {
    const testing::CheckReport report = testing::check_op<O>({.device = device});
    INFO(report.text());
    CHECK(report.ok());
    CHECK(report.checks > 0);
  });
}

}  // namespace

TEST_CASE("cuda: elementwise ops") { check_all<ElementwiseOps>(); }
TEST_CASE("cuda: cast") { check_all<OpList<Cast>>(); }
TEST_CASE("cuda: movement ops") { check_all<MovementOps>(); }
TEST_CASE("cuda: reductions") { check_all<ReduceOps>(); }
TEST_CASE("cuda: matmul") { check_all<OpList<Matmul>>(); }
TEST_CASE("cuda: conv2d") { check_all<OpList<Conv2d>>(); }
TEST_CASE("cuda: attention") { check_all<OpList<Attention>>(); }
TEST_CASE("cuda: attention as tf32 where the device's options allow it") {
  const auto numbers = [](bool tf32) {  // o and the gradients
    const Device device = device_under_test({.tf32 = tf32});
    const auto heads = [&](const char* name) { return track(normal(Rng{1} / name, {1, 40, 2, 40}, device), name); };
    const Tensor q = heads("q"), k = heads("k"), v = heads("v"), o = attention(q, k, v);
    const Gradients g = backward(o, {.seed = ones_like(o)});
    std::vector<float> all;
    for (const Tensor& x : {detach(o), g[q], g[k], g[v]})
      for (const float e : to_device(x, Device::cpu()).to_vector<float>()) all.push_back(e);
    return all;
  };
  const std::vector<float> as_tf32 = numbers(true), as_f32 = numbers(false);
  const std::size_t each = as_f32.size() / 4;
  for (std::size_t part = 0; part < 4; ++part) {
    double apart = 0, size = 0;
    for (std::size_t i = part * each; i < (part + 1) * each; ++i)
      apart += std::pow(as_tf32[i] - as_f32[i], 2), size += std::pow(as_f32[i], 2);
    INFO("o, dq, dk, dv: ", part);
    CHECK(apart > 0);
    CHECK(std::sqrt(apart / size) < 8 * 0x1p-11);
  }
}
TEST_CASE("cuda: fused ops") { check_all<FusedOps>(); }
TEST_CASE("cuda: training by graphs, the same bits") {
  const std::vector<float> plain = training(device_under_test({.fill_with_nan = true})), graphs = training(device_under_test({.graphs = true, .fill_with_nan = true}));
  REQUIRE(plain.size() == graphs.size());
  CHECK(std::memcmp(plain.data(), graphs.data(), plain.size() * sizeof(float)) == 0);
}
