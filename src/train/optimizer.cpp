#include "sspo/train/optimizer.hpp"

#include <cmath>
#include <numeric>

#include "backend.hpp"
#include "sspo/ops/elementwise.hpp"
#include "sspo/ops/movement.hpp"
#include "sspo/train/ema.hpp"

namespace sspo {
namespace {

float* numbers(const Tensor& x) { return static_cast<float*>(const_cast<void*>(x.raw())); }

// The gradient of each of `states`' parameters, contiguous, or undefined where nothing flowed. Checked
// whole before anything is changed.
template <class State>
Tensors gradients_for(const char* op, const std::vector<State>& states, const Gradients& g, Site at) {
  Tensors out;
  for (const State& s : states) {
    const Tensor* found = s.param.gradient(g);
    out.push_back(found ? *found : Tensor{});
    if (!found) continue;
    if (found->dtype() != DType::f32 || !(found->shape() == s.param.shape()))
      fail({.op = op, .what = "the gradient does not fit the parameter '" + s.param.name() + "'", .expected = s.param.value().str(), .got = found->str()}, at);
    if (found->contiguous() && found->storage()->label.empty()) continue;
    // Not in one piece, or a parameter's own numbers, which this step may change before it reads them.
    out.back() = Tensor::empty(found->shape(), found->dtype(), found->device());
    backend(found->device()).copy(view(*found), view(out.back()));
  }
  return out;
}

void check_trainable(const char* op, const Param& p) {
  if (p.value().dtype() != DType::f32)
    fail({.op = op, .what = "only f32 parameters are optimized", .expected = "f32 masters; cast() lends copies in other dtypes", .got = "'" + p.name() + "' " + p.value().str()});
}

}  // namespace

double global_norm(const Gradients& g) {
  std::vector<double> sums(g.size());
  std::vector<View> together;  // those of one device that need no copy
  std::vector<std::size_t> places;
  std::size_t place = 0;
  for (const auto& e : g) {
    Tensor x = contiguous(detach(e.value));
    if (x.dtype() == DType::f16) x = cast(x, DType::f32);
    const View all = view(x);
    if (x.numel() > 0 && x.storage() == e.value.storage() && x.device() == g.begin()->value.device()) together.push_back(all), places.push_back(place);
    else if (x.numel() > 0) backend(x.device()).sums_of_squares({&all, 1}, &sums[place]);
    ++place;
  }
  if (!together.empty()) {
    std::vector<double> found(together.size());
    backend(g.begin()->value.device()).sums_of_squares(together, found.data());
    for (std::size_t i = 0; i < places.size(); ++i) sums[places[i]] = found[i];
  }
  return std::sqrt(std::accumulate(sums.begin(), sums.end(), 0.0));
}

ClippedGradients clip_norm(Gradients g, double max_norm, Site at) {
  if (!(max_norm > 0)) fail({.op = "clip_norm", .what = "the bound is not positive", .expected = "max_norm > 0", .got = std::to_string(max_norm)}, at);
  const double norm = global_norm(g);
  return {std::move(g), norm, norm > max_norm ? max_norm / norm : 1.0};
}

// --- AdamW -----------------------------------------------------------------------------------------

AdamW::AdamW(const Params& params, Options o) : options(o) {
  for (const Param& p : params) {
    if (!p.trainable()) continue;
    check_trainable("adamw", p);
    moments_.push_back({p, zeros(p.shape(), DType::f32, params.device()), zeros(p.shape(), DType::f32, params.device())});
  }
}

void AdamW::restore(Index steps, const Function<Tensor(const char*, const Param&)>& value, Site at) {
  if (steps < 0) fail({.op = "adamw", .what = "no number of steps", .expected = "0 or more", .got = std::to_string(steps)}, at);
  for (const Moments& s : moments_)
    for (const auto& [name, own] : {std::pair{"m", &s.m}, std::pair{"v", &s.v}}) {
      const Tensor x = value(name, s.param);
      if (!x.defined() || !(x.shape() == own->shape()) || x.dtype() != DType::f32)
        fail({.op = "adamw", .what = std::string("the moment ") + name + " does not fit the parameter '" + s.param.name() + "'", .expected = own->str(), .got = x.defined() ? x.str() : "none"}, at);
      backend(own->device()).copy(view(x), view(*own));
    }
  steps_ = steps;
}

void AdamW::step(const Gradients& g, std::optional<double> lr, Site at) { apply(g, 1, lr.value_or(options.lr), at); }
void AdamW::step(const ClippedGradients& g, std::optional<double> lr, Site at) { apply(g.gradients, g.scale, lr.value_or(options.lr), at); }

void AdamW::apply(const Gradients& g, double scale, double lr, Site at) {
  const Tensors grads = gradients_for("adamw", moments_, g, at);
  std::vector<kernels::AdamWTensor> rows;
  for (std::size_t i = 0; i < moments_.size(); ++i)
    if (grads[i].defined())
      rows.push_back({numbers(moments_[i].param.value()), grads[i].data<float>(), numbers(moments_[i].m), numbers(moments_[i].v), grads[i].numel(), options.weight_decay});
  if (rows.empty()) {
    ++steps_;
    return;
  }
  backend(moments_[0].m.device()).adamw({.tensors = rows.data(), .count = Index(rows.size()), .lr = lr, .beta1 = options.beta1, .beta2 = options.beta2,
                                         .eps = options.eps, .step = steps_ + 1, .grad_scale = scale});
  ++steps_;
  for (std::size_t i = 0; i < moments_.size(); ++i)
    if (grads[i].defined()) moments_[i].param.changed();
}

// --- SGD -------------------------------------------------------------------------------------------

Sgd::Sgd(const Params& params, Options o) : options(o) {
  for (const Param& p : params) {
    if (!p.trainable()) continue;
    check_trainable("sgd", p);
    velocities_.push_back({p, o.momentum != 0 ? zeros(p.shape(), DType::f32, params.device()) : Tensor{}});
  }
}

void Sgd::step(const Gradients& g, std::optional<double> lr, Site at) { apply(g, 1, lr.value_or(options.lr), at); }
void Sgd::step(const ClippedGradients& g, std::optional<double> lr, Site at) { apply(g.gradients, g.scale, lr.value_or(options.lr), at); }

void Sgd::apply(const Gradients& g, double scale, double lr, Site at) {
  const Tensors grads = gradients_for("sgd", velocities_, g, at);
  std::vector<kernels::SgdTensor> rows;
  for (std::size_t i = 0; i < velocities_.size(); ++i)
    if (grads[i].defined())
      rows.push_back({numbers(velocities_[i].param.value()), grads[i].data<float>(), velocities_[i].u.defined() ? numbers(velocities_[i].u) : nullptr,
                      grads[i].numel(), options.weight_decay});
  if (rows.empty()) return;
  backend(grads[0].defined() ? grads[0].device() : velocities_[0].param.value().device())
      .sgd({.tensors = rows.data(), .count = Index(rows.size()), .lr = lr, .momentum = options.momentum, .grad_scale = scale});
  for (std::size_t i = 0; i < velocities_.size(); ++i)
    if (grads[i].defined()) velocities_[i].param.changed();
}

// --- EMA -------------------------------------------------------------------------------------------

void Ema::update(const Params& params, Site at) {
  if (params.size() != average_.size())
    fail({.op = "ema", .what = "other parameters than the average's", .expected = std::to_string(average_.size()) + " parameters", .got = std::to_string(params.size())}, at);
  std::vector<kernels::EmaTensor> rows;
  auto mine = average_.begin();
  for (const Param& p : params) {
    if (p.name() != mine->name() || !(p.shape() == mine->shape()) || p.value().dtype() != DType::f32)
      fail({.op = "ema", .what = "a parameter does not fit the average", .expected = "'" + mine->name() + "' " + mine->value().str(), .got = "'" + p.name() + "' " + p.value().str()}, at);
    rows.push_back({numbers(mine->value()), p.value().data<float>(), p.shape().numel()});
    ++mine;
  }
  if (rows.empty()) return;
  backend(average_.device()).ema({.tensors = rows.data(), .count = Index(rows.size()), .decay = decay_});
  for (Param p : average_) p.changed();
}

}  // namespace sspo
