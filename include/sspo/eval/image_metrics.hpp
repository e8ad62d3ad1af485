// How near two pictures are (PSNR, SSIM), and how near two sets of pictures are by their features (KID, precision and recall); the
// Fréchet distance is in frechet.hpp, LPIPS and Inception's features are models (models/lpips.hpp, models/inception.hpp).
//   double dB = psnr(a, b);      double s = ssim(a, b);                       // RGB pictures of one size
//   KernelDistance kid = kernel_distance(real, drawn, rng / "kid");           // features [N, D], [M, D]
//   PrecisionRecall pr = precision_recall(real, drawn);
// Everything is computed in double.
#pragma once
#include "sspo/base/rng.hpp"
#include "sspo/io/image.hpp"

namespace sspo {

// 10 log10(255² / mean squared difference) over all pixels and channels, in dB; infinite for equal pictures.
// Throws Error: pictures of different sizes, or without pixels.
double psnr(const io::Image& a, const io::Image& b, Site at = Site::current());

// Structural similarity (Wang et al. 2004): the mean over channels and over all 11x11 windows that lie inside, weighted by a Gaussian of
// deviation 1.5, K1 = 0.01, K2 = 0.03, L = 255. The reference is scikit-image's structural_similarity(a, b, channel_axis=-1,
// gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255), which follows the authors' program.
// Throws Error: as psnr; a side below 11.
double ssim(const io::Image& a, const io::Image& b, Site at = Site::current());

struct KernelDistanceOptions {
  Index subsets = 100, subset_size = 1000;  // a size above that of either set becomes the smaller set's
};
struct KernelDistance {
  double mean = 0, deviation = 0;  // over subsets; divisor: their number
  Index subsets = 0, subset_size = 0;
};
// KID (Binkowski et al. 2018): the unbiased squared MMD under the kernel (x·y / D + 1)³, averaged over subsets that `rng` draws without
// putting back. Throws Error: not [N, D] of real, finite numbers, N < 2; different D; no subsets, a size below 2.
KernelDistance kernel_distance(const Tensor& a, const Tensor& b, const Rng& rng, KernelDistanceOptions options = {}, Site at = Site::current());
// Of two sets, whole: Σ_{i≠j} k(a_i, a_j) / (n (n - 1)) + Σ_{i≠j} k(b_i, b_j) / (m (m - 1)) - 2 Σ k(a_i, b_j) / (n m).
double squared_mmd(const Tensor& a, const Tensor& b, Site at = Site::current());

struct PrecisionRecall {
  double precision = 0;  // the share of drawn features that lie within the k-th neighbour's distance of a real one
  double recall = 0;     // the share of real features that lie so near a drawn one
};
// Kynkäänniemi et al. 2019. A feature is no neighbour of itself; distances that differ by less than 1e-10 of the mean squared norm
// (about the real features' mean) count as equal. Throws Error as kernel_distance; k outside [1, N - 1] of either set.
PrecisionRecall precision_recall(const Tensor& real, const Tensor& drawn, Index k = 3, Site at = Site::current());

}  // namespace sspo
