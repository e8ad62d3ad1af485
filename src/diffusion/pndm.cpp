// PNDM (Liu et al. 2022): multistep rules over earlier model outputs (PLMS), optionally started by Runge-Kutta steps.
#include <cmath>

#include "diffusion/samplers.hpp"

namespace sspo {
namespace {

class Pndm {
 public:
  explicit Pndm(const StepContext& context) : c_(context), stride_(c_.config.num_train_timesteps / c_.steps) {}

  Tensor operator()(const Tensor& out, Index i, const Tensor& x, const Tensor&) {
    return !c_.config.skip_prk_steps && i < 12 ? runge_kutta(out, i, x) : multistep(out, i, x);
  }

 private:
  // Four calls a step of the classical rule: (k1 + 2 k2 + 2 k3 + k4) / 6. The first three give trial points.
  Tensor runge_kutta(const Tensor& out, Index i, const Tensor& x) {
    const Index from = c_.timestep(i / 4 * 4), to = c_.timestep(i) - (i % 2 ? 0 : stride_ / 2);
    if (i % 4 == 0) {
      outputs_.push_back(out);
      start_ = x;
      sum_ = 1.0 / 6 * out;
    } else if (i % 4 != 3) {
      sum_ = sum_ + 1.0 / 3 * out;
    } else {
      return moved(start_, from, to, sum_ + 1.0 / 6 * out);
    }
    return moved(start_, from, to, out);
  }

  // Adams-Bashforth of the order that there are outputs for, up to 4. Without a Runge-Kutta start call 1 repeats step 0 with
  // the mean of both ends' outputs.     PNDM eq. 9, 12, 13
  Tensor multistep(const Tensor& out, Index i, const Tensor& x) {
    const Index t = c_.timestep(i);
    if (i == 1) return moved(start_, t + stride_, t, (out + outputs_.back()) / 2.0);
    if (outputs_.size() > 3) outputs_.erase(outputs_.begin());
    outputs_.push_back(out);
    if (i == 0) start_ = x;
    const auto e = [this](std::size_t back) { return outputs_[outputs_.size() - back]; };
    switch (outputs_.size()) {
      case 1: return moved(x, t, t - stride_, out);
      case 2: return moved(x, t, t - stride_, (3.0 * e(1) - e(2)) / 2.0);
      case 3: return moved(x, t, t - stride_, (23.0 * e(1) - 16.0 * e(2) + 5.0 * e(3)) / 12.0);
      default: return moved(x, t, t - stride_, 1.0 / 24 * (55.0 * e(1) - 59.0 * e(2) + 37.0 * e(3) - 9.0 * e(4)));
    }
  }

  // x at t to s:  sqrt(ᾱ_s / ᾱ) x - (ᾱ_s - ᾱ) ε / (ᾱ sqrt(1 - ᾱ_s) + sqrt(ᾱ (1 - ᾱ) ᾱ_s))     PNDM eq. 9 rearranged
  Tensor moved(const Tensor& x, Index t, Index s, const Tensor& out) const {
    const float a = c_.alpha_bar(t), a_s = s >= 0 ? c_.alpha_bar(s) : c_.config.set_alpha_to_one ? 1.0f : c_.alpha_bar(0);
    const float b = 1.0f - a, b_s = 1.0f - a_s;
    const Tensor eps = c_.config.prediction_type == Prediction::v_prediction ? std::sqrt(a) * out + std::sqrt(b) * x : out;
    return std::sqrt(a_s / a) * x - (a_s - a) * eps / double(a * std::sqrt(b_s) + std::sqrt(a * b * a_s));
  }

  StepContext c_;
  Index stride_;
  Tensors outputs_;     // of the last four steps, newest last
  Tensor start_, sum_;  // where a step of several calls began; its weighted outputs so far
};

}  // namespace

Scheduler::Step pndm_step(const StepContext& context) { return Pndm(context); }

}  // namespace sspo
