#include <limits>

#include "sspo/base/shape.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

TEST_CASE("Shape: extents, negative positions, equality, text") {
  const Shape s{2, 16, 16, 64};
  CHECK(s.rank() == 4);
  CHECK(s.numel() == 32768);
  CHECK(s[-1] == 64);
  CHECK(s[-4] == 2);
  CHECK(s.str() == "[2, 16, 16, 64]");
  CHECK(Shape{}.numel() == 1);
  CHECK(Shape{}.str() == "[]");
  CHECK(Shape{3, 0, 5}.numel() == 0);
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK_FALSE(Shape{2, 3} == Shape{2, 3, 1});
  CHECK_FALSE(Shape{} == Shape{1});
  CHECK(s.with(-1, 3) == Shape{2, 16, 16, 3});
}

TEST_CASE("Shape: at most six dimensions, none negative, at most 2^62 elements") {
  check_error([] { Shape({1, 2, 3, 4, 5, 6, 7}); }, {"shape: too many dimensions", "at most 6", "[1, 2, 3, 4, 5, 6, 7]", "reshape"});
  check_error([] { Shape({2, -1}); }, {"shape: negative extent", "[2, -1]"});
  check_error([] { Shape({3, 4}).with(0, -2); }, {"negative extent", "[-2, 4]"});
  CHECK(Shape{Index(1) << 62}.numel() == Index(1) << 62);
  check_error([] { Shape({Index(1) << 62, 2}); }, {"too many elements", "2^62", "[4611686018427387904, 2]"});
  check_error([] { Shape({(Index(1) << 62) + 1}); }, {"too many elements"});
  check_error([] { Shape({std::numeric_limits<Index>::max(), std::numeric_limits<Index>::max(), 3}); }, {"too many elements"});
  // A factor of 0 does not hide the overflow of the strides.
  check_error([] { Shape({0, Index(1) << 40, Index(1) << 40}); }, {"too many elements"});
}

TEST_CASE("Shape: contiguous strides and layouts") {
  const Strides s = contiguous_strides({2, 3, 4});
  CHECK(s[0] == 12);
  CHECK(s[1] == 4);
  CHECK(s[2] == 1);
  CHECK(is_contiguous({{2, 3, 4}, s, 5}));
  CHECK(is_contiguous({{1, 3}, {77, 1}, 0}));     // the stride of an extent of 1 does not count
  CHECK(is_contiguous({{0, 3}, {1, 1}, 0}));
  CHECK_FALSE(is_contiguous({{3, 2}, {1, 3}, 0}));
  CHECK_FALSE(is_contiguous({{3}, {-1}, 2}));
  CHECK_FALSE(is_contiguous({{3}, {0}, 0}));
}

TEST_CASE("Shape: an axis out of range names op, axis and rank") {
  CHECK(normal_axis(-1, 3, "sum") == 2);
  CHECK(normal_axis(0, 3, "sum") == 0);
  check_error([] { normal_axis(3, 3, "sum"); }, {"sum: axis out of range", "from -3 to 2", "rank 3", "axis 3", "shape_test.cpp"});
  check_error([] { normal_axis(-4, 3, "sum"); }, {"axis -4"});
  check_error([] { normal_axis(0, 0, "sum"); }, {"no axis, because the tensor is a scalar"});
}

TEST_CASE("Shape: broadcasting") {
  CHECK(broadcast({2, 3}, {3}, "add") == Shape{2, 3});
  CHECK(broadcast({4, 1}, {1, 5}, "add") == Shape{4, 5});
  CHECK(broadcast({}, {2, 0}, "add") == Shape{2, 0});
  CHECK(broadcast({1}, {0}, "add") == Shape{0});
  check_error([] { broadcast({2, 3}, {2, 4}, "add"); }, {"add: operands do not broadcast", "[2, 3] and [2, 4]", "3 against 4", "axis -1"});
  check_error([] { broadcast({0}, {2}, "add"); }, {"0 against 2"});
  check_error([] { broadcast({Index(1) << 40, 1}, {1, Index(1) << 40}, "add"); }, {"too many elements"});
  const Layout wide = expand({{3, 1}, {1, 1}, 4}, {2, 3, 5}, "expand");
  CHECK(wide.strides[0] == 0);
  CHECK(wide.strides[1] == 1);
  CHECK(wide.strides[2] == 0);
  CHECK(wide.offset == 4);
  check_error([] { expand({{3, 2}, {2, 1}, 0}, {3, 4}, "expand"); }, {"expand: shape cannot be expanded", "[3, 2]", "[3, 4]"});
  check_error([] { expand({{3, 2}, {2, 1}, 0}, {2}, "expand"); }, {"cannot be expanded"});
}

TEST_CASE("Error: its text has op, what, expected, got, place and hint, in this order") {
  const std::string text = error_of([] { fail({.op = "conv2d", .what = "wrong", .expected = "a", .got = "b", .hint = "c"}); });
  const std::string line = std::to_string(__LINE__ - 1);
  CHECK(text == "conv2d: wrong\n  expected  a\n  got       b\n  at        shape_test.cpp:" + line + "\n  hint      c");
  CHECK(error_of([] { fail({.op = "x", .what = "y"}, Site{}); }) == "x: y");
}
