#include "models/pooling.hpp"

#include <limits>

namespace sspo {
namespace {

// Along one axis; the other one's turn comes next.
Tensor max_along(const Tensor& x, int axis, Index kernel, Index stride) {
  const Index last = x.dim(axis) - kernel;                             // where the last window may begin
  Tensor y;
  for (Index i = 0; i < kernel; ++i) {
    const Tensor shifted = slice(x, axis, i, last + i + 1, stride);
    y = y.defined() ? maximum(std::move(y), shifted) : shifted;
  }
  return y;
}

}  // namespace

Tensor max_pool(Tensor x, Index kernel, Index stride, Index padding, Site at) {
  if (x.rank() != 4 || x.dim(1) + 2 * padding < kernel || x.dim(2) + 2 * padding < kernel)
    fail({.op = "max_pool", .what = "the window does not fit", .expected = "[B, H, W, C], " + std::to_string(kernel) + " pixels or more a side", .got = x.str(),
          .hint = "the picture is too small for this network"}, at);
  if (padding) x = pad(std::move(x), {{padding, padding}, {padding, padding}, {}}, -std::numeric_limits<double>::infinity(), at);
  return max_along(max_along(x, 1, kernel, stride), 2, kernel, stride);
}

Tensor avg_pool_same3(const Tensor& x) {
  const Index h = x.dim(1), w = x.dim(2);
  std::vector<float> shares;                                           // 9 / how many of the window's pixels are there
  for (Index i = 0; i < h; ++i)
    for (Index j = 0; j < w; ++j) shares.push_back(9.0f / float((3 - (i == 0) - (i + 1 == h)) * (3 - (j == 0) - (j + 1 == w))));
  const Tensor scale = cast(Tensor::from(shares, {1, h, w, 1}, x.device()), x.dtype());
  return avg_pool(pad(x, {{1, 1}, {1, 1}, {}}), 3, 1) * scale;
}

}  // namespace sspo
