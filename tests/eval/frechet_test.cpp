#if defined(SSPO_EIGEN)
#include "sspo/eval/frechet.hpp"
#include "sspo/ops/create.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

Tensor features(Index n, Index dim, double shift, double weight) {
  std::vector<double> x;
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < dim; ++j) x.push_back(std::sin(1.7 * double(i) + 2.3 * double(j) + shift) + weight * std::cos(0.9 * double(i) * double(j + 1) + shift));
  return Tensor::from<double>(x, {n, dim});
}

}  // namespace

TEST_CASE("frechet: equal to NumPy's, from the eigenvalues of A B") {
  const double d = frechet_distance(feature_statistics(features(40, 5, 0.0, 0.5)), feature_statistics(features(31, 5, 0.4, 0.9)));
  CHECK(d == doctest::Approx(0.4974328158082013).epsilon(1e-10));
  // Fewer samples than features: covariances without full rank.
  const double low = frechet_distance(feature_statistics(features(4, 6, 0.0, 0.5)), feature_statistics(features(9, 6, 1.0, 0.2)));
  CHECK(low == doctest::Approx(1.1969061976567996).epsilon(1e-6));
}

TEST_CASE("frechet: closed forms") {
  FeatureStatistics a{2, {0, 0}, {4, 0, 0, 9}}, b{2, {3, 4}, {1, 0, 0, 16}};
  CHECK(frechet_distance(a, b) == doctest::Approx(25 + 1 + 1));  // |μ|² + Σ (σ_a - σ_b)²
  CHECK(frechet_distance(b, a) == doctest::Approx(27));
  CHECK(frechet_distance(a, a) == doctest::Approx(0).epsilon(1e-12));
  const FeatureStatistics own = feature_statistics(cast(features(50, 4, 0, 1), DType::f32));
  CHECK(frechet_distance(own, own) < 1e-12);
}

TEST_CASE("frechet: bad features are refused") {
  check_error([] { feature_statistics(ones({3})); }, {"feature_statistics", "[N, D]", "[3] f32"});
  check_error([] { feature_statistics(ones({1, 3})); }, {"N >= 2"});
  check_error([] { feature_statistics(ones({2, 3}, DType::i64)); }, {"real numbers", "i64"});
  check_error([] { feature_statistics(full({2, 3}, INFINITY)); }, {"not finite"});
  check_error([] { frechet_distance(feature_statistics(features(5, 2, 0, 1)), feature_statistics(features(5, 3, 0, 1))); }, {"2 numbers", "3"});
}
#endif
