// What a caption claims, in words and back.
#include <algorithm>

#include "eval/scenes.hpp"

namespace sspo::scenes {
namespace {

template <std::size_t N>
int index_of(const std::array<std::string_view, N>& list, std::string_view word) {
  const auto it = std::find(list.begin(), list.end(), word);
  return it == list.end() ? -1 : int(it - list.begin());
}

class Words {
 public:
  explicit Words(std::string_view caption) : caption_(caption), rest_(caption) {}
  bool end() const { return rest_.empty(); }
  bool take(std::string_view words) {  // whole ones
    if (!rest_.starts_with(words) || (rest_.size() > words.size() && rest_[words.size()] != ' ')) return false;
    rest_.remove_prefix(std::min(words.size() + 1, rest_.size()));
    return true;
  }
  template <std::size_t N>
  int take_one(const std::array<std::string_view, N>& list) {
    for (const std::string_view words : list)
      if (take(words)) return index_of(list, words);
    return -1;
  }
  template <std::size_t N>
  int need(const char* what, const std::array<std::string_view, N>& list) {
    const int i = take_one(list);
    if (i >= 0) return i;
    std::string among;
    for (const std::string_view words : list) among += (among.empty() ? "" : ", ") + std::string(words);
    wrong(std::string("no ") + what, "one of " + among);
  }
  [[noreturn]] void wrong(std::string what, std::string expected) const {
    fail({.op = "caption '" + io::printable(caption_) + "'", .what = std::move(what), .expected = std::move(expected),
          .got = end() ? "the end" : "'" + io::printable(rest_.substr(0, rest_.find(' '))) + "'"}, Site{});
  }

 private:
  std::string_view caption_, rest_;
};

Claim::Thing parse_thing(Words& words) {
  if (!words.take("a") && !words.take("an")) words.wrong("a thing is missing", "a or an");
  const int size = words.take_one(sizes), colour = words.need("colour", colours);
  return {size, colour, words.need("shape", shapes)};
}

}  // namespace

std::string Claim::text() const {
  std::string words;
  for (const Thing& t : things) {
    if (!words.empty()) words += " " + std::string(relations[std::size_t(relation)]) + " ";
    words += name_of(t.size, t.colour, t.shape);
  }
  return words;
}

Claim parse_claim(std::string_view caption) {
  Words words(caption);
  Claim claim{{parse_thing(words)}};
  if (!words.end()) {
    claim.relation = words.need("relation", relations);
    claim.things.push_back(parse_thing(words));
    if (!words.end()) words.wrong("too many words", "one thing or two");
  }
  if (claim.text() != caption) words.wrong("not the form expected", "'" + claim.text() + "'");
  return claim;
}

std::vector<Claim> one_change(const Claim& claim) {
  std::vector<Claim> others;
  Claim c = claim;
  const auto vary = [&](int& value, std::size_t count) {  // value: an attribute of c
    const int was = value;
    for (value = 0; value < int(count); ++value)
      if (value != was) others.push_back(c);
    value = was;
  };
  for (Claim::Thing& t : c.things) {
    if (t.size >= 0) vary(t.size, sizes.size());
    vary(t.colour, colours.size());
    vary(t.shape, shapes.size());
  }
  if (c.relation >= 0) vary(c.relation, relations.size());
  return others;
}

}  // namespace sspo::scenes
