// Which rows of a data set: "split=train", "quarter!=1", all of them together.
#pragma once
#include <string>
#include <vector>

#include "sspo/io/dataset.hpp"

namespace sspo::cli {

class Where {
 public:
  Where() = default;
  // Error{input}: is no condition; `place` says where it stands.
  Where(const std::vector<std::string>& conditions, const io::Place& place);
  bool holds(const io::Row& row) const;

 private:
  struct Condition {
    std::string field, value;
    bool equal;
  };
  std::vector<Condition> conditions_;
};

}  // namespace sspo::cli
