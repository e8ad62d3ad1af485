// dims<N>() binds exactly N names.
// expect: (structured binding|decomposes|names)
#include <sspo/tensor/tensor.hpp>

long f(const sspo::Tensor& x) {
#if defined(MISTAKE)
  const auto [rows, cols, depth] = x.dims<2>();
  return rows + cols + depth;
#else
  const auto [rows, cols] = x.dims<2>();
  return rows + cols;
#endif
}
