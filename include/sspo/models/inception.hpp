// Inception-v3 (Szegedy et al. 2016) as the Fréchet Inception distance uses it: features of pictures, not classes.
//   const LoadedInception net = load_inception("pt_inception-2015-12-05-6726825d.safetensors");
//   Tensor f = net.model(io::to_tensor(pictures) * 0.5 + 0.5);       // [B, H, W, 3] in [0, 1] -> [B, 2048]
// The reference is pytorch-fid, whose network differs from torchvision's: average pools leave the padding out, and the last block
// takes a maximum. Batch norm is folded into the convolutions when weights are read: this network is not trained.
#pragma once
#include <string>
#include <vector>

#include "sspo/models/weights.hpp"
#include "sspo/nn/layers.hpp"

namespace sspo {

// relu(conv(x)), a batch norm's scale and shift inside. Parameters conv.weight [out, kh, kw, in] and conv.bias [out].
struct InceptionConv {
  Param weight, bias;
  Conv2dAttrs attrs;
  struct Options {
    std::array<Index, 2> kernel = {1, 1};
    Index stride = 1;
    bool same = false;  // padded so that the picture keeps its size
  };
  InceptionConv(const Scope& p, Index in, Index out, Options o);
  Tensor operator()(const Tensor& x) const { return relu(conv2d(x, weight, bias, attrs)); }
};

// Branches of convolutions one after the other, side by side; the last may branch once more into two. What a pool gives goes through
// one convolution, or none, and comes last.
class InceptionBlock {
 public:
  enum class Pool { average, max, max_halving };
  struct Step {
    const char* name;  // "branch5x5_1"
    Index out;
    InceptionConv::Options options;
  };
  struct Branch {
    std::vector<Step> steps;
    std::vector<Step> split = {};  // both of these on what the steps give
  };
  InceptionBlock(const Scope& p, Index in, const std::vector<Branch>& branches, Pool pool, Index pool_features);
  Tensor operator()(const Tensor& x) const;
  Index out() const { return out_; }

 private:
  struct Built {
    std::vector<InceptionConv> steps, split;
  };
  std::vector<Built> branches_;
  Pool pool_;
  std::vector<InceptionConv> after_pool_;  // one or none
  Index out_ = 0;
};

class Inception {
 public:
  struct Config {};  // there is one shape
  // Parameters as the checkpoint names them, batch norms folded: Conv2d_1a_3x3.conv.weight, Mixed_5b.branch1x1.conv.bias, ...
  explicit Inception(const Scope& p, const Config& = {});
  // x [B, H, W, 3] in [0, 1], resized to 299 x 299 (bilinear) -> [B, features]. features: 2048; or 768, 192, 64, the means of earlier layers.
  Tensor operator()(const Tensor& x, Index features = 2048, Site at = Site::current()) const;

 private:
  std::vector<InceptionConv> stem_;      // Conv2d_1a, 2a, 2b | 3b, 4a
  std::vector<InceptionBlock> blocks_;   // Mixed_5b ... 6e | 7a, 7b, 7c
};

// scale = γ / √(σ² + 1e-3):  w <- scale w,  b = β - scale μ, for each conv and bn of the file. Throws Error{file} as fit_weights.
Params fold_inception(const io::Weights& weights, const std::string& path, const LoadOptions& options = {});

struct LoadedInception {
  Inception model;
  std::string hash;  // of the weights
};
// pytorch-fid's weights, as .safetensors or a file of torch.save. Throws Error{file}: missing, damaged, another model's.
LoadedInception load_inception(const std::string& path, const LoadOptions& options = {});

}  // namespace sspo
