// Scorers: how well a picture fits its prompt, or how much people would like it, as the published models say, each with its own
// preprocessing, constants and scale.
//   const Scorer pick = load_scorer("pickscore", "weights/pickscore");       // weights are the user's: docs/reproduce.md
//   std::vector<Score> s = pick.score(pictures, prompts);                    // s[i] of picture i and its prompt i
// A score's full name holds what it depends on: "pickscore:v1:3f2a90c1d5".
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sspo/base/function.hpp"
#include "sspo/io/image.hpp"

namespace sspo {

struct Score {
  double raw = 0;    // what the network says: a cosine, or a head's output before its offset and scale
  double value = 0;  // as the scorer's publication reports it
};

struct Scorer {
  std::string name, version, hash;  // hash: the first ten digits of the SHA-256 of the weights
  std::uint64_t bytes = 0;          // of memory that its weights take
  Function<std::vector<Score>(std::span<const io::Image> pictures, std::span<const std::string> prompts)> score;  // as many as pictures
  std::string full_name() const { return name + ":" + version + ":" + hash; }
};

struct ScorerOptions {
  Device device = Device::cpu();
  DType dtype = DType::f32;  // of the arithmetic; bf16 keeps norms, softmax and scores in f32
};

// What there is to load: a row a scorer.
struct ScorerKind {
  std::string_view name;     // "pickscore": what --scorers takes
  std::string_view version;  // "v1"
  std::string_view measures; // one line
  std::string_view needs;    // files that must lie at `path`, and where people get them
  Scorer (*load)(const std::string& path, const ScorerOptions& options);
};
std::span<const ScorerKind> scorer_kinds();

// Throws Error: no scorer of that name (lists all); Error{file}: weights that are missing, damaged or another model's.
Scorer load_scorer(std::string_view name, const std::string& path, const ScorerOptions& options = {}, Site at = Site::current());

}  // namespace sspo
