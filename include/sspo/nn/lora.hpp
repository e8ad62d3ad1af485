// LoRA (Hu et al. 2021, arXiv 2106.09685): weights that stay as they are, beside low-rank changes that are trained.
//   y = W x + b + (alpha / rank) B (A x)          A [rank, in], B [out, rank]
//   Params   numbers(device, rng);
//   Adapters theta(numbers / "unet", {.rank = 8, .alpha = 8, .targets = {"to_q", "to_v"}});
//   UNet     policy(Scope(base.frozen()).with(theta), config);        theta.require_all_matched();
//   UNet     reference(Scope(base).with(old), config);                // another set of A and B upon the one copy of W
// A layer asks for its change while it is built; models know nothing of it. B begins as zeros and then adds exactly 0.
#pragma once
#include <set>
#include <vector>

#include "sspo/nn/params.hpp"
#include "sspo/ops/elementwise.hpp"

namespace sspo::nn {

struct LoraOptions {
  Index rank = 4;
  double alpha = 4;
  // Modules, by their whole name or the end of it behind a dot, as peft's target_modules.
  std::vector<std::string> targets = {"to_q", "to_k", "to_v", "to_out.0"};
};

// The change of one weight. Of a convolution A is one as well, of the same kernel, stride and padding, and B is 1x1, as in peft.
struct LowRank {
  Param down, up;  // A [rank, in], B [out, rank]; or [rank, kh, kw, in], [out, 1, 1, rank]
  double scale;    // alpha / rank
  Tensor scaled(const Tensor& h) const { return scale == 1 ? h : h * scale; }
};

class Adapters {
 public:
  // A and B of a module are parameters of `numbers`: MODULE.lora_A.weight and MODULE.lora_B.weight. Where they are made, A is
  // N(0, 1 / rank²), which peft calls "gaussian" and diffusers' training scripts take, and B is 0. Error: no rank, no target.
  Adapters(Scope numbers, LoraOptions options, Site at = Site::current());
  // Of the module at `path` with a weight [out, in] or [out, kh, kw, in], if it is a target.
  std::optional<LowRank> of(const std::string& path, const Shape& weight);
  // Once a model is built. Error: a target that was no module's name, with what there is.
  void require_all_matched(Site at = Site::current()) const;
  std::string unmatched() const;  // the first such target, or ""
  std::string endings() const;    // of the modules that asked: "conv1, ff.net.2, to_q", each that a target could be
  const LoraOptions& options() const { return options_; }

 private:
  Scope numbers_;
  LoraOptions options_;
  std::set<std::string> seen_, matched_;  // modules; targets
};

// What a layer's constructor asks: nothing without adapters.
std::optional<LowRank> low_rank(const Scope& p, const Shape& weight);

}  // namespace sspo::nn
