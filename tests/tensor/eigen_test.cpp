#if defined(SSPO_EIGEN)
#include "sspo/eigen.hpp"

#include "sspo/ops/all.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

TEST_CASE("as_eigen: a matrix without a copy, row-major") {
  const Tensor x = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  const auto m = as_eigen(x);
  CHECK(m.rows() == 2);
  CHECK(m.cols() == 3);
  CHECK(m(1, 0) == 4);
  CHECK(m.data() == x.data<float>());
  const Tensor w = Tensor::from<float>({1, 0, 2, 1, 0, 1}, {3, 2});
  const Eigen::MatrixXf product = m * as_eigen(w);
  const auto y = matmul(x, w).to_vector<float>();
  for (int i = 0; i < 4; ++i) CHECK(product(i / 2, i % 2) == y[std::size_t(i)]);
}

TEST_CASE("as_eigen: n axes are [all but the last, last]; vectors and scalars are one row; offsets and empties work") {
  const Tensor x = arange(24, 0, 1, DType::f64);
  CHECK(as_eigen<double>(reshape(x, {2, 3, 4})).rows() == 6);
  CHECK(as_eigen<double>(reshape(x, {2, 3, 4}))(5, 3) == 23);
  CHECK(as_eigen<double>(x).rows() == 1);
  CHECK(as_eigen<double>(x).cols() == 24);
  CHECK(as_eigen<double>(full({}, 3, DType::f64))(0, 0) == 3);
  CHECK(as_eigen<double>(slice(x, 0, 5, 9))(0, 0) == 5);
  CHECK(as_eigen(zeros({0, 3})).rows() == 0);
  CHECK(as_eigen(zeros({3, 0})).rows() == 3);
  CHECK(as_eigen<std::int64_t>(arange(4, 0, 1, DType::i64)).sum() == 6);
}

TEST_CASE("as_eigen: another dtype, a layout that is not row-major and no tensor are errors at the caller's line") {
  check_error([] { as_eigen(zeros({2, 3}, DType::f64)); }, {"wrong type", "[2, 3] f64", "got       f32", "eigen_test.cpp"});
  check_error([] { const Tensor x = zeros({2, 3}); as_eigen(transpose(x)); }, {"as_eigen: not one row-major block", "[3, 2] f32", "contiguous(x)", "eigen_test.cpp"});
  check_error([] { as_eigen(Tensor{}); }, {"no tensor here", "eigen_test.cpp"});
}
#endif
