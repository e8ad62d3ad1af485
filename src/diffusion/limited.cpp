#include <algorithm>
#include <cmath>

#include "diffusion/samplers.hpp"

namespace sspo {
namespace {

// Between the two values around rank q (n - 1), as torch.quantile rounds.
float quantile(std::vector<float>& values, float q) {
  std::sort(values.begin(), values.end());
  const float rank = q * float(values.size() - 1), below = std::floor(rank), weight = rank - below;
  const float a = values[std::size_t(below)], b = values[std::min(std::size_t(std::ceil(rank)), values.size() - 1)];
  return weight < 0.5f ? a + weight * (b - a) : b - (b - a) * (1.0f - weight);
}

// s = the quantile, 1 <= s <= sample_max_value; x_0 clamped to [-s, s] and divided by s.     Saharia et al. 2022, section 2.3
Tensor dynamically_limited(const Tensor& x_0, const SchedulerConfig& c) {
  const Index samples = x_0.dim(0), size = samples ? x_0.numel() / samples : 0;
  if (size == 0) return x_0;
  const std::vector<float> all = x_0.to_vector<float>();
  std::vector<float> limits;
  for (Index b = 0; b < samples; ++b) {
    std::vector<float> magnitudes(all.begin() + b * size, all.begin() + (b + 1) * size);
    for (float& v : magnitudes) v = std::abs(v);
    limits.push_back(std::min(std::max(quantile(magnitudes, float(c.dynamic_thresholding_ratio)), 1.0f), float(c.sample_max_value)));
  }
  std::vector<Index> extents(std::size_t(x_0.rank()), 1);
  extents[0] = samples;
  const Tensor s = Tensor::from(limits, Shape(std::span<const Index>(extents)), x_0.device());
  return maximum(minimum(x_0, s), -s) / s;
}

}  // namespace

Tensor limited(const Tensor& x_0, const SchedulerConfig& c) {
  if (c.thresholding) return dynamically_limited(x_0, c);
  const bool clips = c.clip_sample && (c.kind == SchedulerKind::ddpm || c.kind == SchedulerKind::ddim);
  return clips ? clamp(x_0, -c.clip_sample_range, c.clip_sample_range) : x_0;
}

}  // namespace sspo
