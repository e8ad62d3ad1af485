// Emoji by name, from the annotations of Unicode's CLDR (Debian: unicode-cldr-core).
#pragma once
#include <string>
#include <vector>

namespace sspo::cli::emoji {

struct Name {
  std::u32string code;  // one character or a sequence, without U+FE0F
  std::string text;     // "grinning face": lower case
  std::vector<std::string> keywords;
  bool theme;           // faces, hearts, animals, plants, food
};
// In the files' order: common/annotations/en.xml, then what is derived from it. Without skin tones, flags and keycaps.
std::vector<Name> read_names(const std::string& folder);

}  // namespace sspo::cli::emoji
