// A consumer of the library: one step down the slope of |x w|² / 2, on parameters of its own.
#include <sspo/sspo.hpp>

#include <cstdio>

int main() {
  using namespace sspo;
  std::printf("sspo %d.%d.%d\n", version_major, version_minor, version_patch);

  const Rng rng{42};
  Params params;
  Param w = params.add("w", normal(rng / "w", {8, 3}));
  const Tensor x = normal(rng / "x", {4, 8});                          // [4, 8]
  const auto loss = [&] { return 0.5 * sum(square(matmul(x, w))); };   // []
  const float before = loss().item<float>();
  const Gradients g = backward(loss());
  w.assign(w.value() - 0.02 * *w.gradient(g));
  const float after = loss().item<float>();
  std::printf("loss %.4f -> %.4f\n", before, after);
  return after < before ? 0 : 1;
}
