// Numbers that became NaN or infinite end a run (exit 76): a black picture would say nothing.
//   require_finite(x, "the latents", "after step 3 of 20");
#pragma once
#include <cmath>
#include <string>

#include "sspo/ops/elementwise.hpp"
#include "sspo/ops/movement.hpp"

namespace sspo::cli {

inline void require_finite(const Tensor& x, const std::string& what, const std::string& when) {
  const std::vector<double> values = cast(contiguous(x), DType::f64).to_vector<double>();
  std::size_t bad = 0;
  for (const double v : values) bad += !std::isfinite(v);
  if (bad == 0) return;
  fail({.op = "sample", .what = what + " are not finite " + when, .expected = "finite numbers",
        .got = std::to_string(bad) + " of " + std::to_string(values.size()) + " NaN or infinite",
        .hint = "the model's weights may hold NaN, or the type be too small: try --dtype f32", .kind = ErrorKind::non_finite}, Site{});
}

}  // namespace sspo::cli
