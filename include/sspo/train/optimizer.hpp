// Optimizers: the one place where numbers change in place. One pass over memory each.
//   AdamW adamw(params, {.weight_decay = 0.01});
//   const auto g = clip_norm(backward(loss), 1.0);
//   adamw.step(g, lr(step));            log(g.norm);
#pragma once
#include "sspo/nn/params.hpp"

namespace sspo {

// √Σ g² over all gradients, summed in double in a fixed order.
double global_norm(const Gradients& g);

// Gradients and the factor by which the optimizer multiplies them on the way: no pass of their own.
struct ClippedGradients {
  Gradients gradients;
  double norm;   // before clipping
  double scale;  // min(1, max_norm / norm)
};
ClippedGradients clip_norm(Gradients g, double max_norm, Site at = Site::current());

// Decoupled weight decay (Loshchilov & Hutter 2019), as torch.optim.AdamW.
//   m = β1 m + (1-β1) g   v = β2 v + (1-β2) g²   p -= lr (wd p + m̂ / (√v̂ + ε)),  m̂ = m / (1-β1^t), v̂ = v / (1-β2^t)
class AdamW {
 public:
  struct Options {
    double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
  };
  AdamW(const Params& params, Options options);
  explicit AdamW(const Params& params) : AdamW(params, Options{}) {}

  // Parameters without a gradient stay as they are. Throws Error for gradients that are not f32 of the
  // parameter's shape, before anything has changed.
  void step(const Gradients& g, std::optional<double> lr = {}, Site at = Site::current());
  void step(const ClippedGradients& g, std::optional<double> lr = {}, Site at = Site::current());

  Options options;
  Index steps() const { return steps_; }
  struct Moments { Param param; Tensor m, v; };
  const std::vector<Moments>& moments() const { return moments_; }
  // As after `steps` steps that left these moments: value("m", name), value("v", name). Error: of another shape or dtype.
  void restore(Index steps, const Function<Tensor(const char* moment, const Param&)>& value, Site at = Site::current());

 private:
  void apply(const Gradients& g, double scale, double lr, Site at);
  std::vector<Moments> moments_;
  Index steps_ = 0;
};

// u = μ u + g + wd p;   p -= lr u                                       as torch.optim.SGD
class Sgd {
 public:
  struct Options {
    double lr = 1e-2, momentum = 0, weight_decay = 0;
  };
  Sgd(const Params& params, Options options);
  void step(const Gradients& g, std::optional<double> lr = {}, Site at = Site::current());
  void step(const ClippedGradients& g, std::optional<double> lr = {}, Site at = Site::current());

  Options options;

 private:
  void apply(const Gradients& g, double scale, double lr, Site at);
  struct Velocity { Param param; Tensor u; };
  std::vector<Velocity> velocities_;
};

}  // namespace sspo
