// softmax and log_softmax: over the last axis, or a given one; stable for any finite input.
#pragma once
#include "sspo/ops/matmul.hpp"

namespace sspo {

Tensor softmax(Tensor x, int axis = -1, Site at = Site::current());
Tensor log_softmax(Tensor x, int axis = -1, Site at = Site::current());

struct Softmax {  // over the last axis
  static constexpr OpInfo info{"softmax", "e^x / Σ e^x"};
  static Tensor forward(const Tensor& x, Site at);
  static Tensor vjp(const Tensor& g, Meta x, const Tensor& y);
  static Tensor reference(const Tensor& x);
  static std::vector<Sample<NoAttrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct LogSoftmax {
  static constexpr OpInfo info{"log_softmax", "x - ln Σ e^x"};
  static Tensor forward(const Tensor& x, Site at);
  static Tensor vjp(const Tensor& g, Meta x, const Tensor& y);
  static Tensor reference(const Tensor& x);
  static std::vector<Sample<NoAttrs>> samples();
};

}  // namespace sspo
