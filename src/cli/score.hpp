// `sspo eval --scorers`: published scorers over pictures for a file of prompts; the pictures are drawn by a model, or lie in a folder.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "cli/sample.hpp"
#include "io/json.hpp"

namespace sspo::cli {

struct ScoreOptions {
  SampleOptions draw;                 // the model and how it draws; what the command line shares with `sspo sample`
  std::string unet;                   // folder of a UNet in place of the model's: RUN/pool/3/unet
  std::string recipe;                 // TOML, see eval_recipe.hpp
  std::string prompts;                // sspo/eval/prompts.hpp
  std::string pictures;               // a folder, in place of a model; see eval_pictures.hpp
  std::vector<std::string> scorers;   // names
  std::string weights = "weights";    // a scorer's lie in WEIGHTS/NAME
  std::vector<std::uint64_t> seeds = {0};
  std::string out, max_memory;
  Index limit = 0;                    // only the first so many prompts; 0: all
  Index skip_bad = 0;                 // pictures that cannot be read and are passed over
  std::set<std::string> given;        // options that stood on the command line: a recipe does not change them
  bool json = false;
};

// OUT holds
//   eval.json         what the scores are a function of: prompts, pictures or the model and how it draws, arithmetic; and the scorers' full names
//   pictures/SEED/N.png   of a model: prompt N with a seed, drawn once
//   scores/NAME.jsonl     a scorer's rows as they are finished
//   scores.jsonl      a line a prompt and seed: sspo/eval/score_table.hpp
//   summary.json      {"prompts", "seeds", "pictures", "bad": [...], "scorers": {FULL NAME: {"n", "mean", "sd", "low", "high", "median", "seed_sd", "categories": {...}}}}
// An evaluation that was stopped, killed or ended by an error keeps pictures and rows, and goes on with them. Further scorers may be asked
// for later; OUT of other prompts, pictures or settings is refused. Returns the summary.
io::Json score(const ScoreOptions& options);
void score_and_tell(const ScoreOptions& options);  // the verb: prints the summary

}  // namespace sspo::cli
