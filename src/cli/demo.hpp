// `sspo demo`: the main job. Captioned pictures in two styles; a latent diffusion model from nothing; SSPO beside SFT, SPIN and DPO
// from winners for a quarter of the names, over seeds; a judge that none of them was trained with; a report.
#pragma once
#include <string>

#include "sspo/base/config.hpp"

namespace sspo::cli {

struct DemoOptions {
  std::string out;
  std::string data = "auto";  // emoji, shapes; auto: emoji where their packages are
  std::string size = "full";  // quick: everything once, in about two minutes; smoke: everything in seconds, nothing is learned
  Index seeds = 0;            // of each method; 0: as many as the size has
  int threads = 0;
  std::string isa;
  bool json = false;
};

// OUT holds in the end: data/, the runs vae/, judge/, base/ and runs/SETTING-METHOD-SEED/, scores/NAME/, recipes/, demo.json, report.html.
// What an interrupted demo left is gone on with. Error{input}: OUT holds a demo of other options, or something else.
void demo(const DemoOptions& options);

}  // namespace sspo::cli
