// What a recipe trains on: captioned pictures, from a folder or generated.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "cli/recipe.hpp"
#include "cli/where.hpp"
#include "sspo/io/image.hpp"

namespace sspo::cli {

struct TrainData {
  std::vector<std::string> captions;
  std::vector<io::Row> rows;  // of the data set, one a caption; empty: generated
  std::vector<std::vector<std::string>> keywords = {};  // of each sample
  std::vector<std::string> texts = {};                  // captions and keywords of all rows, chosen or not: what a vocabulary is learned from
  bool pairs = false;        // each has a loser
  std::string digest;        // of names, sizes and captions: another data set is another run
  std::function<io::Image(Index i, Index side)> picture, loser;
  Index size() const { return Index(captions.size()); }
};
struct TrainDataOptions {
  std::string_view where = "data.where";  // the key whose conditions choose the rows
  bool decode = false;                    // every picture is looked at now, so that a damaged one shows before anything was made
};
// Bad samples are told through `say` and passed over, up to data.skip_bad of them; then an Error names the next.
TrainData open_train_data(const Recipe& recipe, const std::function<void(const std::string&)>& say, TrainDataOptions options = {});
Where where_of(const Recipe& recipe, std::string_view key);  // the conditions it holds; none if it is not set

}  // namespace sspo::cli
