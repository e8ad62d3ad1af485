// What a recipe trains on: captioned pictures, from a folder or generated.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "cli/recipe.hpp"
#include "sspo/io/dataset.hpp"
#include "sspo/io/image.hpp"

namespace sspo::cli {

struct TrainData {
  std::vector<std::string> captions;
  std::vector<io::Row> rows;  // of the data set, one a caption; empty: generated
  bool pairs = false;        // each has a loser
  std::string digest;        // of names, sizes and captions: another data set is another run
  std::function<io::Image(Index i, Index side)> picture, loser;
  Index size() const { return Index(captions.size()); }
};
// Bad samples are told through `say` and passed over, up to data.skip_bad of them; then an Error names the next.
TrainData open_train_data(const Recipe& recipe, const std::function<void(const std::string&)>& say);
TrainData open_split(const Recipe& recipe, const std::string& split, const std::function<void(const std::string&)>& say);  // in place of data.split
// What a vocabulary is learned from: captions and keywords.
std::vector<std::string> texts_of(const TrainData& data);

}  // namespace sspo::cli
