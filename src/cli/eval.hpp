// `sspo eval`: how good a model is, by a judge that it was not trained with. Each name of the chosen rows is a prompt; what the model
// draws for it is held against the real pictures of that name in every style.
#pragma once
#include <string>
#include <vector>

#include "io/json.hpp"

namespace sspo::cli {

struct EvalOptions {
  std::string model, judge, data, out;
  std::string unet = {};                                          // folder of a UNet in place of the model's: RUN/pool/3/unet
  std::vector<std::string> where = {};                            // which rows' names are prompts: where.hpp
  std::vector<std::string> frechet_where = {"split=train"};       // which real pictures, of the preferred style, samples are compared with as a whole
  std::string prefer = "noto";                                    // a style
  std::string real = {};                                          // a style: its real pictures are scored, in place of a model's
  Index per_prompt = 1;
  std::uint64_t seed = 0;
  std::string scheduler = "ddim";
  Index steps = 20;
  double guidance = 3;
  Index batch = 32;
  int threads = 0;
  std::string isa = {};
  bool json = false;
};

// Scores of one picture: near_pixels, near_features: 1 if it is closer to the preferred style's picture of its name than to any other
// style's; style: the judge's probability of the preferred style; caption: the cosine of picture and caption; rank: 1 if that is the largest
// among the captions of all names.
// OUT holds eval.json (what the scores are a function of), latents/, pictures.png (48 names from the first to the last) and, at the end,
//   scores.jsonl    {"name", "split", "n", "seed", "near_pixels", "near_features", "style", "caption", "rank"}, a line a picture
//   summary.json    {"n", "names", "metrics": {NAME: {"n", "mean", "se", "low", "high"}, ..., "r1", "r5"}, "frechet", "seconds", ...}, n counts names
// The noise of a picture is a function of (seed, caption, n): the same for every model. An evaluation that was interrupted goes on where it
// was; OUT of another model, judge or setting is refused. Returns the summary.
io::Json evaluate(const EvalOptions& options);
void eval_and_tell(const EvalOptions& options);  // the verb: prints the summary

}  // namespace sspo::cli
