// Numbers that became NaN or infinite end a run (exit 76): a black picture would say nothing.
//   require_finite(x, "the latents", "after step 3 of 20");
#pragma once
#include <cmath>
#include <stdexcept>
#include <string>

#include "sspo/ops/elementwise.hpp"
#include "sspo/ops/movement.hpp"

namespace sspo::cli {

struct NotFinite : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void require_finite(const Tensor& x, const std::string& what, const std::string& when) {
  const std::vector<double> values = cast(contiguous(x), DType::f64).to_vector<double>();
  std::size_t bad = 0;
  for (const double v : values) bad += !std::isfinite(v);
  if (bad == 0) return;
  throw NotFinite("sample: " + what + " are not finite " + when + " (" + std::to_string(bad) + " of " + std::to_string(values.size()) +
                  " numbers); the model's weights may hold NaN, or the type be too small: try --dtype f32");
}

}  // namespace sspo::cli
