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

// What every optimizer of a training run is: a number of steps, and what it remembers of each parameter. Where that lies between steps,
// in memory or in files, `keep` says; with files, or masters in files (Params::keep_masters), a step goes from parameter to parameter
// and holds one's numbers at a time. The bits are the same.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = default;
  Optimizer(Optimizer&&) = default;
  Optimizer& operator=(const Optimizer&) = default;
  Optimizer& operator=(Optimizer&&) = default;
  virtual std::string_view kind() const = 0;  // "adamw": as recipes and checkpoints call it

  // Parameters without a gradient stay as they are. Throws Error for gradients that are not f32 of the
  // parameter's shape, before anything has changed.
  void step(const Gradients& g, std::optional<double> lr = {}, Site at = Site::current()) { apply(g, 1, lr, at); }
  void step(const ClippedGradients& g, std::optional<double> lr = {}, Site at = Site::current()) { apply(g.gradients, g.scale, lr, at); }

  Index steps() const { return steps_; }
  struct State { const char* name; StateTensor kept; };  // "m": in a checkpoint "m.conv_in.weight"
  struct Slot { Param param; std::vector<State> states; };
  const std::vector<Slot>& slots() const { return slots_; }
  // As after `steps` steps that left these states: value("m", parameter). Error: of another shape or dtype.
  void restore(Index steps, const Function<Tensor(const char* state, const Param&)>& value, Site at = Site::current());

 protected:
  // One state of a parameter to begin with: zeros.
  struct NewState { const char* name; Shape shape; DType dtype = DType::f32; };
  Optimizer(const char* kind, const Params& params, const Keep& keep, const Function<std::vector<NewState>(const Param&)>& states);
  struct Row { const Param* param; Tensor p, g; Tensors states; };  // p and states are changed in place
  virtual void update(const std::vector<Row>& rows, Index step, double lr, double grad_scale) = 0;
  virtual double usual_lr() const = 0;

 private:
  void apply(const Gradients& g, double scale, std::optional<double> lr, Site at);
  std::vector<Slot> slots_;
  bool all_in_memory_ = true;
  Index steps_ = 0;
};

// Decoupled weight decay (Loshchilov & Hutter 2019), as torch.optim.AdamW.
//   m = β1 m + (1-β1) g   v = β2 v + (1-β2) g²   p -= lr (wd p + m̂ / (√v̂ + ε)),  m̂ = m / (1-β1^t), v̂ = v / (1-β2^t)
class AdamW : public Optimizer {
 public:
  struct Options {
    double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
  };
  AdamW(const Params& params, Options options, const Keep& keep = {});
  explicit AdamW(const Params& params) : AdamW(params, Options{}) {}
  std::string_view kind() const override { return "adamw"; }

  Options options;
  struct Moments { Param param; Tensor m, v; };
  std::vector<Moments> moments() const;

 private:
  void update(const std::vector<Row>& rows, Index step, double lr, double grad_scale) override;
  double usual_lr() const override { return options.lr; }
};

// AdamW with moments of 8 bits, in blocks of 256 (Dettmers et al. 2021): 2.03 bytes a parameter in place of 8. kernels/optim.hpp says
// how they are rounded, docs/decisions/012 what it costs. Parameters of fewer than 4096 numbers (norms, biases) keep both in f32.
// States: m, v where in f32; m8, m8_scale and root_v8, root_v8_scale (of √v) else.
class AdamW8bit : public Optimizer {
 public:
  using Options = AdamW::Options;
  AdamW8bit(const Params& params, Options options, const Keep& keep = {});
  std::string_view kind() const override { return "adamw8bit"; }
  static constexpr Index smallest = 4096;

  Options options;

 private:
  void update(const std::vector<Row>& rows, Index step, double lr, double grad_scale) override;
  double usual_lr() const override { return options.lr; }
};

// Shazeer & Stern 2018, without a first moment, as transformers.Adafactor. Of a matrix, or a convolution's weight as the matrix
// [out, in kh kw], v is known by the means over its rows and columns (states row, column); of a vector whole (state v).
//   β = 1 - t^decay_rate   row = β row + (1-β) mean_j(g² + 1e-30), column alike   v = row ⊗ column / mean(row)
//   u = g / √v   p -= lr (wd p + u / max(1, rms(u) / clip_threshold)),   lr times max(1e-3, rms(p)) with scale_parameter
class Adafactor : public Optimizer {
 public:
  struct Options {
    double lr = 1e-3, clip_threshold = 1, decay_rate = -0.8, weight_decay = 0;
    bool scale_parameter = false;
    bool relative_step = false;  // lr = min(1e-2, 1/√t), whatever is given
  };
  Adafactor(const Params& params, Options options, const Keep& keep = {});
  std::string_view kind() const override { return "adafactor"; }

  Options options;

 private:
  void update(const std::vector<Row>& rows, Index step, double lr, double grad_scale) override;
  double usual_lr() const override { return options.lr; }
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
