// sspo plan, of an evaluation: what its recipe needs and whether it is there: prompts, model, scorers' weights; pictures, disk, memory, arithmetic.
#pragma once
#include "cli/plan.hpp"

namespace sspo::cli {

// What is missing is told, not an error. Without the model, Stable Diffusion 1.5's shapes are planned for; without the prompts, --samples of them.
void plan_eval(const PlanCommand& command);

}  // namespace sspo::cli
