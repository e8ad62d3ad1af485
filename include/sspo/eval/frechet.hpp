// Fréchet distance of two sets of features, taken as normal distributions (Dowson & Landau 1982); with Inception's features it
// is FID (Heusel et al. 2017).
//   FeatureStatistics real = feature_statistics(features);      // [N, D]
//   double d = frechet_distance(real, feature_statistics(drawn));
// In a build without Eigen (SSPO_EIGEN=OFF) this header is not there.
#pragma once
#include <vector>

#include "sspo/tensor/tensor.hpp"

namespace sspo {

struct FeatureStatistics {
  Index dim = 0;
  std::vector<double> mean;        // [D]
  std::vector<double> covariance;  // [D, D], divisor N - 1
};
// Throws Error: not [N, D] of real numbers, N < 2, a number that is not finite.
FeatureStatistics feature_statistics(const Tensor& features, Site at = Site::current());

// |μ_a - μ_b|² + tr(A + B - 2 (A B)^½), >= 0. Throws Error: different D.
double frechet_distance(const FeatureStatistics& a, const FeatureStatistics& b, Site at = Site::current());

}  // namespace sspo
