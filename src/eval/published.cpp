#include "sspo/eval/published.hpp"

#include "io/json.hpp"

namespace sspo {
namespace {

// Pick-a-Pic's split validation_unique: 500 prompts.
constexpr Protocol all_protocols[] = {
    {"paper", "the authors' own", "arXiv 2410.05255, tables of its experiments; sampler and steps from the authors' evaluation", "parquet", 500, "pndm", 50, 512, 7.5},
    {"lpo", "an independent measurement of released checkpoints", "the LPO paper; its guidance is not told in our source", "parquet", 500, "ddim", 20, 512, 0},
};

// The source tells no version of HPSv2; the figures are of the size of 2.0's.
constexpr PublishedFigure all_figures[] = {
    {"paper", "SFT", "pickscore", 21.32, 2},
    {"paper", "SPIN-Diffusion", "pickscore", 21.55, 2},
    {"paper", "SPIN-Diffusion", "hpsv2.0", 27.10, 2},
    {"paper", "SPIN-Diffusion", "imagereward", 0.484, 3},
    {"paper", "SSPO", "pickscore", 21.57, 2},
    {"paper", "SSPO", "hpsv2.0", 27.20, 2},
    {"paper", "SSPO", "imagereward", 0.615, 3},
    {"paper", "SSPO without the gate", "pickscore", 20.88, 2},
    {"paper", "SSPO without the gate", "hpsv2.0", 26.78, 2},
    {"paper", "SSPO, indicator gate", "pickscore", 21.56, 2},
    {"paper", "SSPO, reference initial", "pickscore", 21.41, 2},
    {"paper", "SSPO, reference latest", "pickscore", 21.34, 2},
    {"lpo", "Stable Diffusion 1.5", "pickscore", 20.56, 2},
    {"lpo", "Stable Diffusion 1.5", "hpsv2.0", 26.46, 2},
    {"lpo", "Stable Diffusion 1.5", "imagereward", 0.008, 3},
    {"lpo", "Diffusion-DPO", "pickscore", 20.99, 2},
    {"lpo", "Diffusion-DPO", "hpsv2.0", 27.03, 2},
    {"lpo", "Diffusion-DPO", "imagereward", 0.302, 3},
    {"lpo", "SSPO (released as SePPO)", "pickscore", 21.25, 2},
    {"lpo", "SSPO (released as SePPO)", "hpsv2.0", 27.56, 2},
    {"lpo", "SSPO (released as SePPO)", "imagereward", 0.508, 3},
};

constexpr std::string_view ocean = "a painting of an ocean with clouds and birds, day time, low depth field effect";
constexpr std::string_view image_reward = "README of THUDM/ImageReward, pictures in its assets/images";
constexpr ScorerFixture all_fixtures[] = {
    {"imagereward", "1.webp", ocean, 0.5811622738838196, 0.02, image_reward},
    {"imagereward", "2.webp", ocean, 0.2745276093482971, 0.02, image_reward},
    {"imagereward", "3.webp", ocean, -1.4131819009780884, 0.02, image_reward},
    {"imagereward", "4.webp", ocean, -2.029569625854492, 0.02, image_reward},
};

}  // namespace

std::span<const ScorerFixture> scorer_fixtures() { return all_fixtures; }
std::span<const Protocol> protocols() { return all_protocols; }
std::span<const PublishedFigure> published_figures() { return all_figures; }

std::vector<std::string> differences(const Protocol& p, const EvalSettings& s) {
  std::vector<std::string> all;
  const auto text = [](double v) { return io::Json(v).dump(); };
  const auto add = [&](const char* what, const std::string& there, const std::string& here) {
    if (there != here) all.push_back(std::string(what) + ": " + there + " there, " + here + " here");
  };
  add("prompts", std::to_string(p.prompts) + " of Pick-a-Pic (" + std::string(p.prompt_form) + ")", std::to_string(s.limit ? std::min(s.limit, s.prompts) : s.prompts) + (s.prompt_form == p.prompt_form ? " of Pick-a-Pic (" : " (") + s.prompt_form + ")");
  if (!s.drawn) {
    all.emplace_back("how the pictures were drawn is not known here: they lay in a folder");
    return all;
  }
  if (!p.sampler.empty()) add("sampler", std::string(p.sampler), s.sampler);
  if (p.steps) add("steps", std::to_string(p.steps), std::to_string(s.steps));
  if (p.guidance > 0) add("guidance", text(p.guidance), text(s.guidance));
  if (p.size) add("size", std::to_string(p.size) + " x " + std::to_string(p.size), std::to_string(s.width) + " x " + std::to_string(s.height));
  if (!s.negative_prompt.empty()) add("negative prompt", "none", "\"" + s.negative_prompt + "\"");
  return all;
}

}  // namespace sspo
