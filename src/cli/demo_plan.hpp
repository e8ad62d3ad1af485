// How much a demo does.
#pragma once
#include <string>
#include <vector>

#include "sspo/base/config.hpp"

namespace sspo::cli {

using Settings = std::vector<std::string>;  // of a recipe: "a.b=c"

struct DemoSize {
  std::string name;
  Settings vae, judge, base, few, all;  // on top of recipes/emoji. few: winners for a quarter of the names; all: for each of them
  Index seeds, counter_seeds;           // runs of each method, in either setting
  Index curve_every;                    // so many phases apart, runs of the first seed are judged on their way; 0: never
  Index shapes;                         // generated scenes, where there are no emoji
  Settings judged;                      // on the names of which rows models are judged, beside those of the theme without winners
  Index steps, draws;                   // of the sampler, for judging; of noise, for the mean that one draw's sign is compared with
  double vae_s, judge_s, base_s, align_s, score_s;  // seconds, about, on two slow cores: for the time that is left
};
const DemoSize& demo_size(const std::string& name);  // full, quick, smoke

struct Method {
  std::string name;
  double cost;  // of a run, SSPO's being 1
};
const std::vector<Method>& demo_methods();  // each by its own recipe in recipes/emoji, with its own rate and kappa

}  // namespace sspo::cli
