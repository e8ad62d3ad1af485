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
      fail({.op = op, .what = "the gradient does not fit the parameter '" + s.param.name() + "'", .expected = s.param.shape().str() + " f32", .got = found->str()}, at);
    if (found->contiguous() && found->storage()->label.empty()) continue;
    // Not in one piece, or a parameter's own numbers, which this step may change before it reads them.
    out.back() = Tensor::empty(found->shape(), found->dtype(), found->device());
    backend(found->device()).copy(view(*found), view(out.back()));
  }
  return out;
}

void check_trainable(const char* op, const Param& p) {
  if (!p.master_kept() && p.value().dtype() != DType::f32)
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

// --- what all have in common -----------------------------------------------------------------------

Optimizer::Optimizer(const char* kind, const Params& params, const Keep& keep, const Function<std::vector<NewState>(const Param&)>& states) {
  for (const Param& p : params) {
    if (!p.trainable()) continue;
    check_trainable(kind, p);
    Slot slot{p, {}};
    for (const NewState& s : states(p)) {
      const Tensor zero = zeros(s.shape, s.dtype, params.device());
      slot.states.push_back({s.name, keep ? keep(zero) : StateTensor(zero)});
      all_in_memory_ = all_in_memory_ && slot.states.back().kept.in_memory();
    }
    all_in_memory_ = all_in_memory_ && !p.master_kept();
    slots_.push_back(std::move(slot));
  }
}

void Optimizer::restore(Index steps, const Function<Tensor(const char*, const Param&)>& value, Site at) {
  const std::string op(kind());
  if (steps < 0) fail({.op = op, .what = "no number of steps", .expected = "0 or more", .got = std::to_string(steps)}, at);
  for (const Slot& slot : slots_)
    for (const State& s : slot.states) {
      const Tensor x = value(s.name, slot.param);
      if (!x.defined() || !(x.shape() == s.kept.shape()) || x.dtype() != s.kept.dtype())
        fail({.op = op, .what = std::string("the state ") + s.name + " does not fit the parameter '" + slot.param.name() + "'", .expected = s.kept.str(), .got = x.defined() ? x.str() : "none"}, at);
      if (s.kept.in_memory()) backend(slot.param.value().device()).copy(view(x), view(s.kept.load()));
      else s.kept.store(x);
    }
  steps_ = steps;
}

void Optimizer::apply(const Gradients& g, double scale, std::optional<double> rate, Site at) {
  const std::string op(kind());
  Tensors grads = gradients_for(op.c_str(), slots_, g, at);
  const double lr = rate.value_or(usual_lr());
  std::vector<Row> rows;
  std::vector<const Slot*> stepped;
  const auto step = [&] {
    if (rows.empty()) return;
    update(rows, steps_ + 1, lr, scale);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t k = 0; k < rows[i].states.size(); ++k) stepped[i]->states[k].kept.store(rows[i].states[k]);
      Param p = stepped[i]->param;
      if (p.master_kept()) p.assign(rows[i].p, at);
      else p.changed();
    }
    rows.clear(), stepped.clear();
  };
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!grads[i].defined()) continue;
    Row row{&slots_[i].param, slots_[i].param.master(), std::move(grads[i]), {}};
    for (const State& s : slots_[i].states) row.states.push_back(s.kept.load());
    rows.push_back(std::move(row)), stepped.push_back(&slots_[i]);
    if (!all_in_memory_) step();
  }
  step();
  ++steps_;
}

// --- AdamW -----------------------------------------------------------------------------------------

AdamW::AdamW(const Params& params, Options o, const Keep& keep)
    : Optimizer("adamw", params, keep, [](const Param& p) { return std::vector<NewState>{{"m", p.shape()}, {"v", p.shape()}}; }), options(o) {}

std::vector<AdamW::Moments> AdamW::moments() const {
  std::vector<Moments> all;
  for (const Slot& s : slots()) all.push_back({s.param, s.states[0].kept.load(), s.states[1].kept.load()});
  return all;
}

void AdamW::update(const std::vector<Row>& rows, Index step, double lr, double scale) {
  std::vector<kernels::AdamWTensor> tensors;
  for (const Row& r : rows) tensors.push_back({numbers(r.p), r.g.data<float>(), numbers(r.states[0]), numbers(r.states[1]), r.g.numel(), options.weight_decay});
  backend(rows[0].p.device()).adamw({.tensors = tensors.data(), .count = Index(tensors.size()), .lr = lr, .beta1 = options.beta1, .beta2 = options.beta2,
                                     .eps = options.eps, .step = step, .grad_scale = scale});
}

// --- AdamW, 8 bits ---------------------------------------------------------------------------------

AdamW8bit::AdamW8bit(const Params& params, Options o, const Keep& keep)
    : Optimizer("adamw8bit", params, keep,
                [](const Param& p) {
                  if (p.shape().numel() < smallest) return std::vector<NewState>{{"m", p.shape()}, {"v", p.shape()}};
                  const Shape blocks{(p.shape().numel() + kernels::moments_block - 1) / kernels::moments_block};
                  return std::vector<NewState>{{"m8", p.shape(), DType::u8}, {"m8_scale", blocks}, {"root_v8", p.shape(), DType::u8}, {"root_v8_scale", blocks}};
                }),
      options(o) {}

void AdamW8bit::update(const std::vector<Row>& rows, Index step, double lr, double scale) {
  std::vector<kernels::AdamWTensor> small;
  std::vector<kernels::AdamW8bitTensor> large;
  const auto codes = [](const Tensor& x) { return static_cast<std::uint8_t*>(const_cast<void*>(x.raw())); };
  for (const Row& r : rows)
    if (const Tensors& s = r.states; s.size() == 2) small.push_back({numbers(r.p), r.g.data<float>(), numbers(s[0]), numbers(s[1]), r.g.numel(), options.weight_decay});
    else large.push_back({numbers(r.p), r.g.data<float>(), codes(s[0]), codes(s[2]), numbers(s[1]), numbers(s[3]), r.g.numel(), options.weight_decay});
  Backend& on = backend(rows[0].p.device());
  if (!small.empty())
    on.adamw({.tensors = small.data(), .count = Index(small.size()), .lr = lr, .beta1 = options.beta1, .beta2 = options.beta2, .eps = options.eps, .step = step, .grad_scale = scale});
  if (!large.empty())
    on.adamw8bit({.tensors = large.data(), .count = Index(large.size()), .lr = lr, .beta1 = options.beta1, .beta2 = options.beta2, .eps = options.eps, .step = step, .grad_scale = scale});
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
  Tensors masters;
  const auto step = [&] {
    if (!rows.empty()) backend(average_.device()).ema({.tensors = rows.data(), .count = Index(rows.size()), .decay = decay_});
    rows.clear(), masters.clear();
  };
  auto mine = average_.begin();
  for (const Param& p : params) {
    if (p.name() != mine->name() || !(p.shape() == mine->shape()) || (!p.master_kept() && p.value().dtype() != DType::f32))
      fail({.op = "ema", .what = "a parameter does not fit the average", .expected = "'" + mine->name() + "' " + mine->value().str(), .got = "'" + p.name() + "' " + p.value().str()}, at);
    masters.push_back(p.master());
    rows.push_back({numbers(mine->value()), masters.back().data<float>(), p.shape().numel()});
    if (p.master_kept()) step();  // one at a time
    ++mine;
  }
  step();
  for (Param p : average_) p.changed();
}

}  // namespace sspo
