// FiniteWatch: which op first made a number that is not finite, while the object lives, on the thread that made it.
//   FiniteWatch watch;
//   backward(loss(x));                          // each op's result is looked at: slow
//   if (watch.first()) print(watch.first()->op, watch.first()->output.str());
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sspo/grad/node.hpp"

namespace sspo {

struct Statistics {
  Index count = 0, nan = 0, infinite = 0;
  double min = 0, max = 0, mean = 0;  // of the finite ones
  std::string str() const;
};
Statistics statistics_of(const Tensor& x);

class FiniteWatch {
 public:
  struct Operand {
    std::string tensor;  // "[4, 8] f32"
    std::string name;    // a parameter's; else empty
    Statistics statistics;
  };
  struct Finding {
    std::string op;
    std::vector<Operand> inputs;    // an input whose buffer the result took over is left out
    Operand output;
    std::string nearest_parameter;  // the last one an op has read: where in the model this is
  };
  FiniteWatch();
  ~FiniteWatch();
  FiniteWatch(const FiniteWatch&) = delete;
  FiniteWatch& operator=(const FiniteWatch&) = delete;
  const std::optional<Finding>& first() const { return first_; }
  static FiniteWatch* current();                                                     // on this thread, or null
  void look(std::string_view op, std::span<const Tensor> inputs, const Tensor& y);  // called by every op

 private:
  FiniteWatch* outer_;
  std::optional<Finding> first_;
  std::string parameter_;
};

}  // namespace sspo
