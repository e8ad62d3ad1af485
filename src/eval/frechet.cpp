#include "sspo/eval/frechet.hpp"

#include <Eigen/Eigenvalues>

#include "sspo/ops/elementwise.hpp"
#include "sspo/ops/movement.hpp"

namespace sspo {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Eigen::VectorXd;

Eigen::Map<const Matrix> matrix(const std::vector<double>& values, Index dim) { return {values.data(), dim, dim}; }

// The square root of a symmetric matrix; what rounding left below 0 counts as 0.
Matrix square_root(const Matrix& m) {
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(m);
  const VectorXd roots = solver.eigenvalues().cwiseMax(0).cwiseSqrt();
  return solver.eigenvectors() * roots.asDiagonal() * solver.eigenvectors().transpose();
}

}  // namespace

FeatureStatistics feature_statistics(const Tensor& features, Site at) {
  if (features.rank() != 2 || features.dim(0) < 2 || features.dim(1) < 1 || !is_floating(features.dtype()))
    fail({.op = "feature_statistics", .what = "no features", .expected = "[N, D] of real numbers, N >= 2", .got = features.str()}, at);
  const Index n = features.dim(0), dim = features.dim(1);
  const std::vector<double> values = cast(contiguous(detach(features)), DType::f64).to_vector<double>();
  const Eigen::Map<const Matrix> x(values.data(), n, dim);
  if (!x.allFinite()) fail({.op = "feature_statistics", .what = "a feature is not finite", .expected = "finite numbers", .got = features.str()}, at);
  const VectorXd mean = x.colwise().mean();
  const Matrix centred = x.rowwise() - mean.transpose();
  const Matrix covariance = centred.transpose() * centred / double(n - 1);
  return {dim, {mean.data(), mean.data() + dim}, {covariance.data(), covariance.data() + dim * dim}};
}

// tr (A B)^½ = tr (A^½ B A^½)^½, whose matrix is symmetric.
double frechet_distance(const FeatureStatistics& a, const FeatureStatistics& b, Site at) {
  if (a.dim != b.dim || a.dim < 1)
    fail({.op = "frechet_distance", .what = "the features differ in size", .expected = std::to_string(a.dim) + " numbers", .got = std::to_string(b.dim)}, at);
  const Matrix root = square_root(matrix(a.covariance, a.dim));
  const Matrix inner = root * matrix(b.covariance, b.dim) * root;
  const double cross = Eigen::SelfAdjointEigenSolver<Matrix>((inner + inner.transpose()) / 2, Eigen::EigenvaluesOnly).eigenvalues().cwiseMax(0).cwiseSqrt().sum();
  double distance = matrix(a.covariance, a.dim).trace() + matrix(b.covariance, b.dim).trace() - 2 * cross;
  for (Index i = 0; i < a.dim; ++i) distance += (a.mean[std::size_t(i)] - b.mean[std::size_t(i)]) * (a.mean[std::size_t(i)] - b.mean[std::size_t(i)]);
  return distance > 0 ? distance : 0;  // rounding may leave equal sets a little below
}

}  // namespace sspo
