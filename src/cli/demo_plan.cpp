#include "cli/demo_plan.hpp"

#include <algorithm>

#include "sspo/base/error.hpp"

namespace sspo::cli {

const DemoSize& demo_size(const std::string& name) {
  static const std::vector<DemoSize> sizes = {
      {.name = "full", .vae = {}, .judge = {}, .base = {}, .few = {}, .all = {"preference.phases=3", "preference.prompts=64"}, .seeds = 3, .counter_seeds = 1, .curve_every = 4,
       .shapes = 1100, .judged = {"quarter!=4"}, .steps = 10, .draws = 64, .vae_s = 83, .judge_s = 75, .base_s = 221, .align_s = 35, .score_s = 5},
      {.name = "quick",
       .vae = {"train.steps=300"}, .judge = {"train.steps=60"}, .base = {"train.steps=250"},
       .few = {"preference.phases=2", "preference.updates=10", "preference.prompts=32"}, .all = {}, .seeds = 1, .counter_seeds = 0, .curve_every = 0,
       .shapes = 400, .judged = {"quarter=2"}, .steps = 10, .draws = 16, .vae_s = 20, .judge_s = 12, .base_s = 30, .align_s = 8, .score_s = 3},
      {.name = "smoke",
       .vae = {"train.steps=2", "train.batch=2"}, .judge = {"train.steps=2", "train.batch=16"}, .base = {"train.steps=2", "train.batch=4"},
       .few = {"preference.phases=2", "preference.updates=1", "preference.prompts=4", "train.batch=2", "sampling.steps=2"}, .all = {}, .seeds = 1, .counter_seeds = 0, .curve_every = 1,
       .shapes = 60, .judged = {"quarter=2"}, .steps = 2, .draws = 2, .vae_s = 1, .judge_s = 1, .base_s = 1, .align_s = 1, .score_s = 1},
  };
  const auto at = std::find_if(sizes.begin(), sizes.end(), [&](const DemoSize& s) { return s.name == name; });
  if (at == sizes.end()) fail({.op = "demo", .what = "no such size", .expected = "full, quick or smoke", .got = name}, Site{});
  return *at;
}

const std::vector<Method>& demo_methods() {
  static const std::vector<Method> methods = {{"sft", 0.3}, {"dpo", 0.75}, {"spin", 1}, {"sspo", 1}};
  return methods;
}

}  // namespace sspo::cli
