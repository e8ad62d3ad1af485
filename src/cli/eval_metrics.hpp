// `sspo eval metrics`: pictures against real ones, as two sets (FID, KID, precision and recall) or pair by pair (LPIPS, SSIM, PSNR).
#pragma once
#include <string>
#include <vector>

#include "cli/forward.hpp"
#include "io/json.hpp"

namespace sspo::cli {

struct EvalMetricsOptions {
  std::string pictures, real;        // folders; pairs are files of one name, whatever their endings
  std::vector<std::string> metrics;  // fid, kid, precision-recall; lpips-alex, lpips-vgg, ssim, psnr
  std::string weights = "weights";   // WEIGHTS/inception, WEIGHTS/lpips
  Index batch = 16, skip_bad = 0;
  std::uint64_t seed = 0;            // of KID's subsets and of the intervals
  std::string out;                   // a file for the summary; empty: none
  DeviceOptions device;
  bool force = false, json = false;
};
// {"pictures", "real", "weights": {NAME: HASH}, "fid", "kid": {"mean", "sd", ...}, "precision", "recall", "lpips-alex": {"n", "mean", "sd", "low", "high"}, ...}
// Error{file}: too few pictures, weights that are missing, a picture without its pair, pairs of different sizes.
io::Json eval_metrics(const EvalMetricsOptions& options);
void eval_metrics_and_tell(const EvalMetricsOptions& options);

}  // namespace sspo::cli
