#include "sspo/nn/params.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "backend.hpp"
#include "sspo/grad/call.hpp"
#include "sspo/ops/elementwise.hpp"
#include "sspo/ops/movement.hpp"

namespace sspo {
namespace {

// Steps of one letter between two names (Levenshtein), to say which one was probably meant.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({replace, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

// A buffer of its own: parameters change in place, so nobody else may see theirs.
Tensor own_copy(const Tensor& x, const Device& device) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), device);
  backend(device).copy(view(x), view(y));
  return y;
}

// As a cast of the f32 master would be recorded, without one: the numbers are there in the dtype already, the gradient becomes f32.
Tensor copy_of_master(const Tensor& x) {
  static constexpr OpInfo info{"master", "x, cast"};
  detail::CallRecord call(info, {&x, 1}, Site{});
  Tensor y = detach(x);
  if (call.tracked) {
    Shared<Node> node = detail::make_node(info, {&x, 1}, y);
    node->pullback = [](const PullArgs& p) { return Tensors{cast(p.g, DType::f32)}; };
    y = y.with_node(std::move(node));
  }
  call.finish(y);
  return y;
}

}  // namespace

Tensor Param::value() const {
  const Tensor& v = state_->value;
  return Tensor(v.storage(), v.layout(), v.dtype());
}

Tensor Param::master() const { return state_->master ? state_->master->load() : value(); }

Param::operator Tensor() const {
  const Tensor& v = state_->value;
  const Tensor own(v.storage(), v.layout(), v.dtype(), state_->trainable ? state_->leaf : nullptr);
  if (state_->master) return copy_of_master(own);
  return state_->compute ? cast(own, *state_->compute) : own;  // the same dtype: no copy
}

void Param::assign(const Tensor& value, Site at) {
  const DType wanted = state_->master ? state_->master->dtype() : state_->value.dtype();
  if (!value.defined() || !(value.shape() == shape()) || value.dtype() != wanted)
    fail({.op = "assign", .what = "the value does not fit the parameter '" + name() + "'", .expected = shape().str() + " " + std::string(name_of(wanted)), .got = value.str()}, at);
  if (state_->master) state_->master->store(value);
  // A view of the parameter itself, say its transpose, must be read before it is written.
  const Tensor from = value.storage() == state_->value.storage() ? own_copy(value, value.device()) : value;
  backend(state_->value.device()).copy(view(from), view(state_->value));
  changed();
}

void Param::changed() {
  state_->value.storage()->bump_version();
  state_->value.storage()->derived = nullptr;
}

Params Params::shapes_only(Device device) {
  Params params(std::move(device));
  params.shapes_only_ = true;
  return params;
}

std::size_t Params::place(const std::string& name) const {
  const auto before = [this](std::size_t i, const std::string& n) { return all_[i].name() < n; };
  return std::size_t(std::lower_bound(by_name_.begin(), by_name_.end(), name, before) - by_name_.begin());
}

const Param* Params::find(const std::string& name) const {
  const std::size_t at = place(name);
  return at < by_name_.size() && all_[by_name_[at]].name() == name ? &all_[by_name_[at]] : nullptr;
}

Param Params::insert(const std::string& name, Tensor own, Site at) {
  if (contains(name)) fail({.op = "params", .what = "the name is taken", .expected = "a new name", .got = "'" + name + "'"}, at);
  auto state = Shared<Param::State>::make();
  state->name = name;
  state->value = std::move(own);
  if (!shapes_only_) state->value.storage()->label = name;
  state->leaf = track(state->value, name).node();
  by_name_.insert(by_name_.begin() + std::ptrdiff_t(place(name)), all_.size());
  all_.push_back(Param(std::move(state)));
  return all_.back();
}

Param Params::add(const std::string& name, const Tensor& value, Site at) { return insert(name, own_copy(value, device_), at); }

Param Params::adopt(const std::string& name, Tensor value, Site at) {
  const bool alone = value.storage().unique() && value.contiguous() && value.device() == device_ &&
                     value.storage()->bytes() == std::size_t(value.numel()) * size_of(value.dtype());
  return insert(name, alone ? std::move(value) : own_copy(value, device_), at);
}

std::string Params::nearest(const std::string& name) const {
  std::vector<std::pair<std::size_t, const std::string*>> order;
  for (const Param& p : all_) order.push_back({distance(name, p.name()), &p.name()});
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text;
  for (std::size_t i = 0; i < order.size() && i < 3; ++i) text += (i ? ", '" : "'") + *order[i].second + "'";
  return text.empty() ? "there are no parameters" : "the nearest names are " + text;
}

Param Params::get(const std::string& name, const Shape& shape, const Init& init, Site at) {
  if (!contains(name)) {
    if (shapes_only_) insert(name, expand(full({}, 0, DType::f32, device_), shape), at);
    else if (!fresh_) fail({.op = "params", .what = "a parameter is missing", .expected = "'" + name + "' " + shape.str(), .got = nearest(name)}, at);
    else add(name, init(*fresh_ / name, shape, device_), at);
  }
  Param p = *find(name);
  if (!(p.shape() == shape))
    fail({.op = "params", .what = "a parameter has another shape", .expected = "'" + name + "' " + shape.str() + ", as the model's config asks",
          .got = p.shape().str(), .hint = "compare the config with the one these weights were made for"}, at);
  p.state_->used = true;
  return p;
}

Param Params::operator[](const std::string& name) const {
  if (const Param* p = find(name)) return *p;
  fail({.op = "params", .what = "no such parameter", .expected = "'" + name + "'", .got = nearest(name)}, Site{});
}

Scope Params::operator/(const std::string& name) { return {*this, name}; }
Params::operator Scope() { return {*this, ""}; }

Index Params::numel() const {
  Index n = 0;
  for (const Param& p : all_) n += p.shape().numel();
  return n;
}

Params Params::snapshot() const {
  Params copy(device_);
  for (const Param& p : all_) {
    const Param own = copy.add(p.name(), p.master());
    own.state_->trainable = p.trainable();
    own.state_->compute = p.state_->compute;
  }
  return copy;
}

Params& Params::frozen() {
  freeze("");
  return *this;
}

void Params::freeze(const std::string& prefix) {
  for (Param& p : all_)
    if (p.name().starts_with(prefix)) p.set_trainable(false);
}

Params& Params::compute_in(DType dtype, Site at) {
  if (!is_floating(dtype)) fail({.op = "params", .what = "no arithmetic in this dtype", .expected = "a floating-point dtype", .got = std::string(name_of(dtype))}, at);
  for (Param& p : all_) p.state_->compute = dtype;
  return *this;
}

Params& Params::keep_masters(DType dtype, const Keep& keep, Site at) {
  compute_in(dtype, at);
  for (Param& p : all_) {
    Param::State& s = *p.state_;
    if (s.master) fail({.op = "params", .what = "the masters are kept already", .got = "'" + p.name() + "'"}, at);
    if (s.value.dtype() != DType::f32) fail({.op = "params", .what = "no f32 master", .expected = "f32 numbers", .got = "'" + p.name() + "' " + s.value.str()}, at);
    const Tensor master = std::exchange(s.value, cast(p.value(), dtype));
    s.value.storage()->label = p.name(), s.value.storage()->derives = false;
    s.master = keep(master);
  }
  return *this;
}

void Params::require_all_used(Site at) const {
  std::string unused;
  int count = 0;
  for (const Param& p : all_)
    if (!p.state_->used && ++count <= 5) unused += (count > 1 ? ", '" : "'") + p.name() + "'";
  if (count)
    fail({.op = "params", .what = std::to_string(count) + " parameters were not asked for by the model", .expected = "every parameter to be used",
          .got = unused + (count > 5 ? ", ..." : ""), .hint = "the weights belong to another model or config"}, at);
}

namespace init {
Params::Init constant(double value) {
  return [value](const Rng&, const Shape& shape, const Device& device) { return full(shape, value, DType::f32, device); };
}
Params::Init uniform(double bound) {
  return [bound](const Rng& rng, const Shape& shape, const Device& device) { return sspo::uniform(rng, shape, -bound, bound, device); };
}
Params::Init fan_in(Index n) { return uniform(1.0 / std::sqrt(double(n > 1 ? n : 1))); }
Params::Init normal(double std) {
  return [std](const Rng& rng, const Shape& shape, const Device& device) { return sspo::normal(rng, shape, device) * std; };
}
}  // namespace init

}  // namespace sspo
