// Every op of the engine under the checks of sspo/testing.hpp: gradients, reference, parity, views,
// repeatability, bad input.
#include <doctest/doctest.h>

#include "sspo/ops/all.hpp"
#include "sspo/testing.hpp"

using namespace sspo;

namespace {

template <class List>
void check_all() {
  List::for_each([]<class O>() {
    const testing::CheckReport report = testing::check_op<O>();
    INFO(report.text());
    CHECK(report.ok());
    CHECK(report.checks > 0);
  });
}

}  // namespace

TEST_CASE("elementwise ops") { check_all<ElementwiseOps>(); }
TEST_CASE("cast") { check_all<OpList<Cast>>(); }
TEST_CASE("movement ops") { check_all<MovementOps>(); }
TEST_CASE("reductions") { check_all<ReduceOps>(); }
TEST_CASE("matmul") { check_all<OpList<Matmul>>(); }
TEST_CASE("conv2d") { check_all<OpList<Conv2d>>(); }
TEST_CASE("attention") { check_all<OpList<Attention>>(); }
TEST_CASE("fused ops") { check_all<FusedOps>(); }
