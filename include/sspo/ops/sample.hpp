// Samples: the inputs on which an op is checked (sspo/testing.hpp), timed and documented. They stand in
// the op's own struct, so that no op is without them: an elementwise op without attributes names a range per operand,
//   static constexpr SampleRange samples[] = {{.low = -8, .high = 8}};
// any other is asked for a list: static std::vector<Sample<Attrs>> samples().
#pragma once
#include "sspo/grad/node.hpp"

namespace sspo {

template <class A>
struct Sample {
  std::string label;
  Tensors inputs;  // floating inputs are f64 on the CPU; undefined: that option is absent
  A attrs{};
};

// A call that must fail, and what its message must contain.
struct Bad {
  std::string label;
  Function<void()> call;
  std::vector<std::string> says;
};

struct SampleRange {
  double low = -3, high = 3;
  double away_from = 1e300;  // values closer than 0.05 to this point are pushed off it (a kink)
};
// Pseudo-random f64 values in the range, the same in every run.
Tensor sample_values(const Shape& shape, SampleRange range = {}, int seed = 1);
// The shapes every elementwise op is tried on: empty, scalar, one element, odd, long, and, for two and
// three operands, every kind of broadcast. One range per operand.
std::vector<Tensors> sample_operands(const std::vector<SampleRange>& ranges);

template <class A>
std::vector<Sample<A>> elementwise_samples(const std::vector<SampleRange>& ranges, A attrs = {}) {
  std::vector<Sample<A>> samples;
  for (Tensors& in : sample_operands(ranges)) {
    std::string label;
    for (const Tensor& x : in) label += x.shape().str();
    samples.push_back({label, std::move(in), attrs});
  }
  return samples;
}

}  // namespace sspo
