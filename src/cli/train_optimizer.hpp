// The optimizer that a recipe asks for, and where its states and the f32 masters lie.
#pragma once
#include <memory>

#include "cli/recipe.hpp"
#include "sspo/train/optimizer.hpp"

namespace sspo::cli {

std::unique_ptr<Optimizer> make_optimizer(const Recipe& recipe, const Params& trained, const Keep& keep);  // keep null: memory
inline bool masters_on_disk(const Recipe& r) { return r.has("train.masters") && r.text("train.masters") == "disk"; }

}  // namespace sspo::cli
