#include "sspo/diffusion/guidance.hpp"

#include <algorithm>
#include <numeric>

namespace sspo {

Tensor rescale_guided(const Tensor& guided, const Tensor& conditional, double phi, Site at) {
  if (guided.rank() < 2 || !(guided.shape() == conditional.shape()) || !(phi >= 0 && phi <= 1))
    fail({.op = "rescale_guided", .what = "the arguments do not fit together",
          .expected = "two tensors [B, ...] of one shape, phi in [0, 1]",
          .got = guided.str() + ", " + conditional.str() + ", phi " + std::to_string(phi)}, at);
  std::vector<int> axes(std::size_t(guided.rank() - 1));
  std::iota(axes.begin(), axes.end(), 1);
  const auto deviation = [&](const Tensor& x) { return sqrt(var(x, axes, true, 1, at), at); };
  const Tensor rescaled = guided * (deviation(conditional) / deviation(guided));
  return phi * rescaled + (1 - phi) * guided;
}

}  // namespace sspo
