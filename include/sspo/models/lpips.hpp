// LPIPS (Zhang et al. 2018, version 0.1): how different two pictures look, by the features of AlexNet or VGG-16.
//   const LoadedLpips lpips = load_lpips(LpipsNet::alex, "alexnet.safetensors", "lpips_alex.safetensors");
//   Tensor d = lpips.model(a, b);                                    // pictures [B, H, W, 3] in [-1, 1] -> [B], 0: equal
// The reference is the package lpips, with lin layers, not spatial. Alex is what is usually reported.
#pragma once
#include <string>
#include <vector>

#include "sspo/models/weights.hpp"
#include "sspo/nn/layers.hpp"

namespace sspo {

enum class LpipsNet { alex, vgg };

class Lpips {
 public:
  struct Config {
    LpipsNet net = LpipsNet::alex;
  };
  // Parameters: torchvision's features.N.weight and features.N.bias, and lpips' lin0.model.1.weight, ...
  Lpips(const Scope& p, const Config& config);
  // Σ over layers of the mean over the plane of Σ_c w_c (â_c - b̂_c)²; â, b̂: features of length 1 at each place.  [B]
  Tensor operator()(const Tensor& a, const Tensor& b, Site at = Site::current()) const;

 private:
  struct Stage {
    Index pool = 0, pool_stride = 0;  // before the convolutions; 0: none
    std::vector<nn::Conv2d> convs;
    Param lin;                        // [1, 1, 1, C]
  };
  Tensors features(const Tensor& x) const;
  std::vector<Stage> stages_;
};

struct LoadedLpips {
  Lpips model;
  std::string hash;  // of both files' hashes: "3f2a90c1d5+77ab01c3e4"
};
// trunk: torchvision's alexnet or vgg16 (its classifier is passed over); lin: lpips' weights/v0.1/alex.pth or vgg.pth. Either as
// .safetensors or a file of torch.save. Throws Error{file} as fit_weights.
LoadedLpips load_lpips(LpipsNet net, const std::string& trunk, const std::string& lin, const LoadOptions& options = {});

}  // namespace sspo
