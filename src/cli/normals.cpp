#include "cli/normals.hpp"

#include "cli/layout.hpp"
#include "sspo/ops/create.hpp"

namespace sspo::cli {
namespace {

std::variant<Rng, TorchCpuGenerator, TorchCudaGenerator> generator_of(const std::string& rng, std::uint64_t seed) {
  if (rng == "torch-cpu") return TorchCpuGenerator(seed);
  if (rng == "torch-cuda") return TorchCudaGenerator(seed);
  return Rng(seed) / "sample";
}

}  // namespace

Normals::Normals(const std::string& rng, std::uint64_t seed) : generator_(generator_of(rng, seed)) {}

Tensor Normals::next(const Shape& nhwc, const Device& device) {
  const Shape nchw{nhwc[0], nhwc[3], nhwc[1], nhwc[2]};
  const Index draw = draws_++;
  const auto numbers = [&](auto& generator) {
    if constexpr (std::is_same_v<std::decay_t<decltype(generator)>, Rng>) return normal(generator / draw, nchw, device);
    else return Tensor::from(generator.normal(nchw.numel()), nchw, device);
  };
  return to_nhwc(std::visit(numbers, generator_));
}

}  // namespace sspo::cli
