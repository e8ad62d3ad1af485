// A product on cuda-sim is the CPU's, within rounding; a GPU is a device, or its absence an error in words. Prints the version, as
// tests/install/run expects.
#include <sspo/cuda.hpp>
#include <sspo/sspo.hpp>

#include <cstdio>

int main() {
  using namespace sspo;
  std::printf("sspo %d.%d.%d\n", version_major, version_minor, version_patch);
  const Rng rng{7};
  const Tensor a = normal(rng / "a", {5, 9}), b = normal(rng / "b", {9, 3});
  const Device sim = cuda_sim_device();
  const Tensor difference = to_device(matmul(to_device(a, sim), to_device(b, sim)), Device::cpu()) - matmul(a, b);
  if (!(max(abs(difference)).item<float>() < 1e-5f)) return 1;
  try {
    std::fprintf(stderr, "GPU: %s\n", cuda_device().name().c_str());
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return e.info().kind == ErrorKind::internal && !e.info().hint.empty() ? 0 : 1;
  }
  return 0;
}
