#include "sspo/ops/sample.hpp"

#include <cmath>

#include "sspo/base/rng.hpp"
#include "sspo/ops/elementwise.hpp"
#include "sspo/ops/movement.hpp"

namespace sspo {

Tensor sample_values(const Shape& shape, SampleRange range, int seed) {
  const Rng rng = Rng(std::uint64_t(seed)) / "sample";
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    double& v = values[i];
    v = range.low + (range.high - range.low) * (double(rng.bits(i) >> 11) * 0x1p-53);
    if (std::abs(v - range.away_from) < 0.05) v += v < range.away_from ? -0.05 : 0.05;
  }
  return Tensor::from<double>(values, shape);
}

namespace {

enum class Stored { plain, transposed, every_second, backwards };

// Values of the shape behind a layout that is not row-major.
Tensor stored(const Shape& shape, Stored how, SampleRange range, int seed) {
  if (shape.rank() == 0 || how == Stored::plain) return sample_values(shape, range, seed);
  if (how == Stored::backwards) return flip(sample_values(shape, range, seed), {-1});
  if (how == Stored::every_second) return slice(sample_values(shape.with(-1, 2 * shape[-1]), range, seed), -1, 0, 2 * shape[-1], 2);
  if (shape.rank() == 1) return sample_values(shape, range, seed);
  return transpose(sample_values(shape.with(-1, shape[-2]).with(-2, shape[-1]), range, seed));
}

struct Operands {
  Shape shapes[3];
  Stored how[3] = {};
};

const std::vector<Operands>& one_operand() {
  static const std::vector<Operands> table = {
      {{{}}}, {{{0}}}, {{{2, 0, 3}}}, {{{1}}}, {{{1, 1, 1}}}, {{{3}}}, {{{7}}}, {{{2, 3}}}, {{{5, 1, 3}}}, {{{3, 5, 7}}},
      {{{2, 1, 3, 2, 2}}}, {{{257}}}, {{{1030}}}, {{{4, 3}}, {Stored::transposed}}, {{{2, 3, 5}}, {Stored::every_second}},
      {{{9}}, {Stored::backwards}}};
  return table;
}

const std::vector<Operands>& several_operands() {
  static const std::vector<Operands> table = {
      {{{}, {}, {}}},
      {{{0}, {0}, {0}}},
      {{{2, 0, 3}, {3}, {1}}},                            // nothing, broadcast
      {{{1}, {1}, {1}}},
      {{{7}, {7}, {7}}},
      {{{2, 3}, {2, 3}, {2, 3}}},
      {{{2, 3}, {3}, {}}},                                // fewer axes at the right
      {{{3}, {2, 3}, {2, 1}}},                            // and at the left
      {{{}, {2, 3}, {3}}},
      {{{2, 3}, {}, {2, 3}}},
      {{{4, 1}, {1, 5}, {4, 5}}},                         // both stretch
      {{{2, 1, 3}, {4, 1}, {1, 4, 3}}},
      {{{2, 3, 3, 5}, {5}, {2, 1, 1, 5}}},                // a channel vector; one per sample
      {{{2, 3, 3, 5}, {2, 1, 1, 5}, {2, 3, 3, 1}}},
      {{{2, 1, 2, 1, 3}, {3, 1, 2, 1}, {1}}},
      {{{257}, {257}, {257}}},
      {{{1030}, {1}, {1030}}},
      {{{4, 3}, {4, 3}, {4, 3}}, {Stored::transposed, Stored::plain, Stored::backwards}},
      {{{3, 5}, {5}, {3, 1}}, {Stored::every_second, Stored::backwards, Stored::plain}},
      {{{2, 4, 3}, {4, 3}, {2, 4, 3}}, {Stored::plain, Stored::transposed, Stored::every_second}}};
  return table;
}

}  // namespace

std::vector<Tensors> sample_operands(const std::vector<SampleRange>& ranges) {
  std::vector<Tensors> result;
  for (const Operands& row : ranges.size() == 1 ? one_operand() : several_operands()) {
    Tensors operands;
    for (std::size_t k = 0; k < ranges.size(); ++k) operands.push_back(stored(row.shapes[k], row.how[k], ranges[k], 1 + int(k)));
    result.push_back(std::move(operands));
  }
  return result;
}

std::vector<Sample<NoAttrs>> Where::samples() {
  auto samples = elementwise_samples<NoAttrs>({{-1, 1}, {}, {}});
  for (auto& s : samples) s.inputs[0] = s.inputs[0] > 0.0;
  return samples;
}

// Differences of rounded numbers are no slopes, so the gradient is checked from f64 to f64.
std::vector<Sample<Cast::Attrs>> Cast::samples() {
  auto samples = elementwise_samples<Attrs>({{.away_from = 0}}, {DType::f64});
  for (const DType to : {DType::i64, DType::i32, DType::u8, DType::boolean})
    samples.push_back({"to " + std::string(name_of(to)), {sample_values({3, 5}, {-300, 300}, 3)}, {to}});
  return samples;
}

}  // namespace sspo
