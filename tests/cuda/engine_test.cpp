// Every op of the engine on cuda-sim (or, with SSPO_TEST_ON_GPU, a GPU), under the checks of sspo/testing.hpp: gradients, reference,
// parity, views, repeatability, and against the CPU.
#include <doctest/doctest.h>

#include "sspo/cuda.hpp"
#include "sspo/ops/all.hpp"
#include "sspo/testing.hpp"

using namespace sspo;

namespace {

template <class List>
void check_all() {
#if SSPO_TEST_ON_GPU
  static const Device device = cuda_device({.fill_with_nan = true});
#else
  static const Device device = cuda_sim_device({.fill_with_nan = true});
#endif
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
TEST_CASE("cuda: fused ops") { check_all<FusedOps>(); }
