// vocab.json and merges.txt, checked (promise S6).
#include <algorithm>
#include <numeric>

#include "io/json.hpp"
#include "models/tokenizer_parts.hpp"

namespace sspo::clip {
namespace {

using io::bad_file;
using io::Json;
using io::Place;

constexpr std::size_t most_tokens = 1u << 20;

// One line: two known tokens with a blank between them, and the token they make known, too.
Merge read_merge(std::string_view line, const TokenIndex& index, const Place& place) {
  const std::size_t blank = line.find(' ');
  const std::string_view left = line.substr(0, blank), right = blank < line.size() ? line.substr(blank + 1) : std::string_view{};
  if (left.empty() || right.empty() || right.find(' ') != std::string_view::npos)
    bad_file(place, "not a merge", "two tokens with one blank between them", "\"" + std::string(line) + "\"");
  const auto known = [&](std::string_view token, const char* what) {
    const Token t = index.find(token);
    if (t < 0) bad_file(place, what, "a token of vocab.json", "\"" + std::string(token) + "\"");
    return t;
  };
  const Token a = known(left, "the left part is no token"), b = known(right, "the right part is no token");
  return {a, b, known(std::string(left).append(right), "the merged token is unknown")};
}

void check_no_pair_twice(const std::vector<Merge>& merges, std::size_t first_line, Place place) {
  std::vector<std::uint32_t> order(merges.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto key = [&](std::uint32_t i) { return std::pair(merges[i].left, merges[i].right); };
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return key(a) != key(b) ? key(a) < key(b) : a < b; });
  const auto twice = std::adjacent_find(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return key(a) == key(b); });
  if (twice == order.end()) return;
  place.at = ":" + std::to_string(first_line + *(twice + 1));
  bad_file(place, "the merge is there twice", {}, "the same as line " + std::to_string(first_line + *twice));
}

}  // namespace

TokenIndex::TokenIndex(const std::vector<std::string>& tokens) : tokens_(tokens), order_(tokens.size()) {
  std::iota(order_.begin(), order_.end(), 0);
  std::sort(order_.begin(), order_.end(), [this](Token a, Token b) { return text(a) < text(b); });
}

Token TokenIndex::find(std::string_view key) const {
  const auto before = [this](Token t, std::string_view k) { return text(t) < k; };
  const auto found = std::lower_bound(order_.begin(), order_.end(), key, before);
  return found != order_.end() && text(*found) == key ? *found : -1;
}

std::vector<std::string> read_vocabulary(std::string_view json, const Place& place) {
  const Json root = io::parse_json(json, place, 1);
  if (!root.is_object()) bad_file(place, "not an object", "{\"token\": id, ...}");
  const std::size_t n = root.size();
  if (n > most_tokens) bad_file(place, "too many tokens", "at most " + std::to_string(most_tokens), std::to_string(n));
  std::vector<std::string> tokens(n);
  std::vector<bool> taken(n, false);
  for (const auto& [token, id] : root.items()) {
    const bool good = id.is_number_unsigned() && id.get<std::uint64_t>() < n;
    if (!good) bad_file(place.in(token), "the ids are not 0 to the number of tokens - 1", "an id below " + std::to_string(n), id.dump());
    const std::size_t i = id.get<std::size_t>();
    if (taken[i]) bad_file(place.in(token), "the id belongs to another token, too", {}, id.dump() + ", which is \"" + tokens[i] + "\"");
    taken[i] = true;
    tokens[i] = token;
  }
  return tokens;
}

std::vector<Merge> read_merges(std::string_view text, const TokenIndex& index, const Place& place) {
  std::vector<Merge> merges;
  std::size_t number = 1, first_line = 1;
  for (; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (number == 1 && line.substr(0, 8) == "#version") {
      first_line = 2;
      continue;
    }
    if (line.empty() && text.empty()) break;  // a blank last line
    Place here = place;
    here.at = ":" + std::to_string(number);
    if (merges.size() == most_tokens) bad_file(here, "too many merges", "at most " + std::to_string(most_tokens));
    merges.push_back(read_merge(line, index, here));
  }
  check_no_pair_twice(merges, first_line, place);
  return merges;
}

void find_bytes(Tables& t, const TokenIndex& index, const Place& place) {
  for (std::size_t b = 0; b < 256; ++b)
    for (const bool is_last : {false, true}) {
      const std::string token = byte_spelling()[b] + (is_last ? std::string(end_of_word) : "");
      (is_last ? t.last : t.inside)[b] = index.find(token);
      if (index.find(token) < 0)
        bad_file(place, "the token of a byte is missing", "\"" + token + "\" for byte " + std::to_string(b));
    }
}

}  // namespace sspo::clip
