// sspo forward PART: one component of a model on given inputs, exactly: to compare with any other implementation.
// Files hold images and latents as [B, C, H, W]; outputs are f32 (f64 with --dtype f64).
#pragma once
#include <string>

namespace sspo::cli {

// Of every verb that runs a model.
struct DeviceOptions {
  std::string device = "cpu", dtype = "f32", isa;
  int threads = 0;    // 0: all cores; results do not depend on it
  // Of cuda and cuda-sim: f32 products in tf32, launches as CUDA graphs, and whose kernels: own, cublas, cudnn.
  bool tf32 = false, cuda_graphs = false;
  std::string matmul = "own", conv = "own", attention = "own";
};

struct ForwardOptions {
  std::string part;  // text, unet, vae-encode, vae-decode, clip-image, clip-text
  std::string model, variant, in, out;
  std::string activation;  // of a CLIP whose files do not say: quick_gelu, gelu
  bool grad = false, force = false;
  bool vae_tiling = false, vae_slicing = false;  // of the autoencoder's parts
  DeviceOptions device;
};
void forward(const ForwardOptions& options);

}  // namespace sspo::cli
