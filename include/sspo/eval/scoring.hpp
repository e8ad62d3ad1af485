// Pictures through several scorers, stopped and gone on with at any instant.
//   const NamedScorer pick{"pickscore", file_bytes, [] { return load_scorer("pickscore", "weights/pickscore"); }};
//   ScoreTable t = score_pictures("out/base", pictures, [&](Index i) { return io::read_image(path_of(i)); }, {{pick}}, {.batch = 8});
//   io::write_file("out/base/scores.jsonl", score_lines(t));
#pragma once
#include <span>

#include "sspo/base/function.hpp"
#include "sspo/eval/score_table.hpp"

namespace sspo {

struct NamedScorer {
  std::string name;          // of its file, too: a plain word
  std::uint64_t bytes = 0;   // about what its weights will take, told before they are loaded
  Function<Scorer()> load;
};

struct ScoringOptions {
  Index batch = 8;           // pictures side by side; the last bits of scores depend on it
  std::uint64_t budget = 0;  // bytes of weights in memory at once; 0: one scorer after the other
  Index skip_bad = 0;        // pictures that are unreadable and passed over; the next one is an error
  Function<void(const std::string&)> say = {};  // of each of these
  Function<void(Index done, Index total, const std::string& scorers)> progress = {};  // after each batch; done counts pictures of each scorer. May throw
};

// Scorers that fit the budget together see the pictures in one pass, the others in turn; then their weights go.
// FOLDER/scores/NAME.jsonl holds a scorer's rows as they are finished, {"scorer": FULL NAME, "batch": 8} first: what a killed run left is gone on with,
// by whole batches, so that rows are the same in the end. A scorer with all its rows is not loaded again. read(i) throws Error for a picture that
// cannot be read.
// Error{file}: a score that is not finite (picture and scorer named), more bad pictures than may be skipped, rows of other weights or batches.
// Whatever is thrown, finished rows stay.
ScoreTable score_pictures(const std::string& folder, std::span<const PromptPicture> pictures, const Function<io::Image(Index)>& read, std::span<const NamedScorer> scorers,
                          const ScoringOptions& options = {});

// What there is so far: pictures that every one of these scorers has seen.
ScoreTable finished_scores(const std::string& folder, std::span<const PromptPicture> pictures, std::span<const NamedScorer> scorers);

}  // namespace sspo
