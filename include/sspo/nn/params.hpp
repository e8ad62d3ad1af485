// Params and Scope: the numbers of a model, by name. A model is a plain struct of parameters and
// functions; its numbers live here, and only they ever change in place.
//   Params params(cpu, Rng{42});                       // a generator: asked-for parameters are created
//   Linear to_q(params / "mid" / "to_q", 320, 320);    // "mid.to_q.weight", "mid.to_q.bias"
#pragma once
#include <optional>

#include "sspo/base/rng.hpp"
#include "sspo/grad/backward.hpp"
#include "sspo/nn/state_tensor.hpp"
#include "sspo/ops/create.hpp"

namespace sspo {

// A named tensor that an optimizer may change. Cheap to copy; converts to the Tensor that ops take,
// tracked unless frozen.
class Param {
 public:
  const std::string& name() const { return state_->name; }
  const Shape& shape() const { return state_->value.shape(); }
  bool trainable() const { return state_->trainable; }
  void set_trainable(bool yes) { state_->trainable = yes; }
  Tensor value() const;                     // without its node: numbers alone
  Tensor master() const;                    // the f32 numbers that are trained: value(), or a copy of what Params::keep_masters took
  bool master_kept() const { return state_->master.has_value(); }
  operator Tensor() const;                  // NOLINT: tracked if trainable, in the compute dtype
  const Tensor* gradient(const Gradients& g) const { return g.find(state_->leaf.get()); }
  // New numbers (the master's, where it is kept elsewhere), in place. A graph that saved the old ones refuses to be differentiated afterwards.
  void assign(const Tensor& value, Site at = Site::current());
  void changed();                           // for those who wrote through value(): optimizers

 private:
  friend class Params;
  struct State {
    std::string name;
    Tensor value;
    Shared<const Node> leaf;
    std::optional<DType> compute;
    std::optional<StateTensor> master;
    bool trainable = true, used = false;
  };
  explicit Param(Shared<State> state) : state_(std::move(state)) {}
  Shared<State> state_;
};

class Scope;
namespace nn { class Adapters; }  // lora.hpp

class Params {
 public:
  // Given an Rng, parameters that a model asks for and that are not there are created from it; without
  // one, they must have been added (or loaded) before.
  explicit Params(Device device = Device::cpu(), std::optional<Rng> fresh = {}) : device_(std::move(device)), fresh_(fresh) {}

  // Without numbers: what a model built on these asks for is recorded, names and shapes, and costs no memory.
  static Params shapes_only(Device device = Device::cpu());

  Param add(const std::string& name, const Tensor& value, Site at = Site::current());  // throws if the name is taken
  Param adopt(const std::string& name, Tensor value, Site at = Site::current());       // the same without a copy if nobody else holds it
  // What a layer asks for. Throws Error: missing (with the nearest names), or of another shape.
  using Init = Function<Tensor(const Rng&, const Shape&, const Device&)>;
  Param get(const std::string& name, const Shape& shape, const Init& init, Site at = Site::current());
  Param operator[](const std::string& name) const;
  bool contains(const std::string& name) const { return find(name) != nullptr; }
  Scope operator/(const std::string& name);
  operator Scope();  // NOLINT: the root

  const Device& device() const { return device_; }
  std::size_t size() const { return all_.size(); }
  Index numel() const;
  auto begin() const { return all_.begin(); }
  auto end() const { return all_.end(); }

  Params snapshot() const;                         // a deep copy
  Params& frozen();                                // no gradient for any; returns itself
  void freeze(const std::string& prefix);          // every parameter whose name starts so
  // Models get copies in this dtype from now on; the numbers, their gradients and what optimizers see stay as they are:
  // f32 masters of a model that computes in bf16. Returns itself.
  Params& compute_in(DType dtype, Site at = Site::current());
  // Each parameter's f32 numbers go to `keep` and it holds their copy in `dtype` alone: models see the same bits as with compute_in,
  // and gradients are f32 as they are there. One parameter after the other: no second copy of all.
  Params& keep_masters(DType dtype, const Keep& keep, Site at = Site::current());
  void require_all_used(Site at = Site::current()) const;  // throws Error listing what no layer asked for
  std::string nearest(const std::string& name) const;      // "the nearest names are 'a', 'b', 'c'"

 private:
  std::size_t place(const std::string& name) const;  // in by_name_: where the name is, or would be
  const Param* find(const std::string& name) const;
  Param insert(const std::string& name, Tensor own, Site at);
  Device device_;
  std::optional<Rng> fresh_;
  bool shapes_only_ = false;
  std::vector<Param> all_;
  std::vector<std::size_t> by_name_;  // positions in all_, in the order of the names
};

// A path into Params: `/` extends it, param() asks for a leaf.
class Scope {
 public:
  Scope(Params& params, std::string path, nn::Adapters* adapters = nullptr) : params_(&params), path_(std::move(path)), adapters_(adapters) {}
  Scope operator/(const std::string& name) const { return {*params_, path_.empty() ? name : path_ + "." + name, adapters_}; }
  Scope operator/(Index i) const { return *this / std::to_string(i); }
  Param param(const std::string& name, const Shape& shape, const Params::Init& init, Site at = Site::current()) const {
    return params_->get(path_.empty() ? name : path_ + "." + name, shape, init, at);
  }
  const std::string& path() const { return path_; }
  // Layers built from here on ask these for a low-rank change of their weight: LoRA.
  Scope with(nn::Adapters& adapters) const { return {*params_, path_, &adapters}; }
  nn::Adapters* adapters() const { return adapters_; }

 private:
  Params* params_;
  std::string path_;
  nn::Adapters* adapters_;
};

namespace init {
Params::Init constant(double value);
Params::Init uniform(double bound);  // U(-bound, bound)
// U(-1/√fan_in, 1/√fan_in): PyTorch's default for the weights and biases of linear and conv layers.
Params::Init fan_in(Index n);
Params::Init normal(double std);
}  // namespace init

}  // namespace sspo
