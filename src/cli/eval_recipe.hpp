// Protocols as files: the options of `sspo eval`, in a table [eval], with _ for -.
//   [eval]
//   prompts = "PartiPrompts.tsv"
//   scorers = ["pickscore", "hpsv2"]
//   steps = 50
#pragma once
#include "cli/score.hpp"

namespace sspo::cli {

bool is_eval_recipe(const std::string& path);  // TOML with a table eval
// The recipe's values, and over them the options of the command line and `settings` (eval.steps=20). Error{file}: line and key. Without a recipe: as given.
ScoreOptions with_recipe(const ScoreOptions& given, const std::vector<std::string>& settings = {});

}  // namespace sspo::cli
