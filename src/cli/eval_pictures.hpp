// The pictures of an evaluation: drawn by a model, or found in a folder.
#pragma once
#include <string>
#include <vector>

#include "cli/score.hpp"
#include "sspo/eval/prompts.hpp"
#include "sspo/eval/score_table.hpp"

namespace sspo::cli {

// The seed of one picture's noise: a function of the evaluation's seed and the prompt's number, below 2^53. `sspo sample --seed` with it
// draws the same picture.
std::uint64_t picture_seed(std::uint64_t seed, Index prompt);

// For each seed, each prompt in order: where its picture lies.
std::vector<PromptPicture> drawn_pictures(const ScoreOptions& o, const std::vector<Prompt>& prompts);   // OUT/pictures/SEED/00012.png
// In FOLDER/SEED, or in FOLDER itself where there is one seed: by metadata.jsonl, line by line (its text must be the prompt); else by the number
// their names end in, 0 or 1 first; of prompts in categories also FOLDER/CATEGORY/00000.jpg, as hpsv2 has them. Error{file}: as many as prompts are not there.
std::vector<PromptPicture> found_pictures(const ScoreOptions& o, const std::vector<Prompt>& prompts);
std::string digest_of(const std::vector<PromptPicture>& pictures);  // SHA-256 of names and contents

// How pictures are drawn, for eval.json: hashes of the weights, sampler, steps, ...
class Drawer {
 public:
  explicit Drawer(const ScoreOptions& o);  // loads the model
  ~Drawer();
  const io::Json& settings() const { return settings_; }
  // Those that are not there yet. A picture is whole or not there.
  void draw(const std::vector<PromptPicture>& pictures);

 private:
  struct Model;
  const ScoreOptions& o_;
  std::unique_ptr<Model> model_;
  io::Json settings_;
};

}  // namespace sspo::cli
