// The tokenizer's files and prompts from any bytes. The input is merges.txt, tokenizer_config.json, special_tokens_map.json,
// added_tokens.json and a prompt, separated by 0xFF; or, if it begins with '{', vocab.json alone. Where the files are accepted:
// parse(files()) is the same again; encoding stays in range, equals plain merging, and splits at a blank as the text does.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <set>

#include "models/bpe.hpp"
#include "sspo/base/error.hpp"
#include "sspo/models/bpe_trainer.hpp"

using namespace sspo;
using Ids = std::vector<std::int32_t>;

namespace {

void require(bool good) {
  if (!good) std::abort();
}

const ClipTokenizerFiles& base() {
  static const ClipTokenizerFiles files =
      train_bpe(std::vector<std::string>{"the lighthouse in the night", "aaaa aaab abab", "!!! 0 été 日本"}, {.fewest = 1}).files();
  return files;
}

// Merging as it is defined: the pair of lowest rank, the leftmost of equals, again and again. Quadratic.
Ids merged_plainly(Ids word, const clip::Merges& merges) {
  for (;;) {
    const clip::Merges::Entry* best = nullptr;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < word.size(); ++i) {
      const clip::Merges::Entry* const e = merges.find(word[i], word[i + 1]);
      if (e && (!best || e->rank < best->rank)) best = e, at = i;
    }
    if (!best) return word;
    word[at] = best->joined;
    word.erase(word.begin() + std::ptrdiff_t(at) + 1);
  }
}

// Any table of merges over a few tokens, each token made by one merge.
void check_merging(std::string_view bytes) {
  std::vector<clip::Merge> list;
  std::set<std::pair<int, int>> pairs;
  clip::Token next = 4;
  std::size_t i = 0;
  for (; i + 1 < bytes.size() && list.size() < 40; i += 2) {
    const int left = static_cast<unsigned char>(bytes[i]) % next, right = static_cast<unsigned char>(bytes[i + 1]) % next;
    if (pairs.insert({left, right}).second) list.push_back({left, right, next++});
  }
  Ids word, ids;
  for (; i < bytes.size() && word.size() < 300; ++i) word.push_back(static_cast<unsigned char>(bytes[i]) % 4);
  const clip::Merges merges(list);
  clip::WordMerger merger(merges);
  merger.append(word, ids);
  require(ids == merged_plainly(word, merges));
}

void check_accepted(const ClipTokenizer& t, const std::string& prompt) {
  const ClipTokenizerFiles files = t.files();
  const ClipTokenizer again = ClipTokenizer::parse(files, "again");
  const ClipTokenizerFiles same = again.files();
  require(files.vocab == same.vocab && files.merges == same.merges && files.config == same.config && files.specials == same.specials);
  const Ids ids = t.encode(prompt);
  require(ids == again.encode(prompt));
  require(ids.front() == t.start() && ids.back() == t.end());
  require(std::all_of(ids.begin(), ids.end(), [&](std::int32_t id) { return id >= 0 && id < t.size(); }));
  t.decode(ids);
  Ids padded = t.padded(prompt, 9);
  require(padded.size() == 9 && std::equal(padded.begin(), padded.begin() + std::ptrdiff_t(std::min<std::size_t>(ids.size(), 9) - 1), ids.begin()));
}

void check_prompt(const std::string& prompt) {
  static const ClipTokenizer hf = ClipTokenizer::parse(base(), "base");
  static const ClipTokenizer openai = ClipTokenizer::parse(base(), "base", {.flavour = ClipFlavour::openai});
  const std::size_t half = prompt.size() / 2;
  const std::string left = prompt.substr(0, half), right = prompt.substr(half);
  Ids joined = hf.encode(left), second = hf.encode(right);
  joined.pop_back();
  joined.insert(joined.end(), second.begin() + 1, second.end());
  require(hf.encode(left + " " + right) == joined);
  require(hf.encode("\t" + prompt + "\n") == hf.encode(prompt));
  static const ClipTokenizer ftfy = ClipTokenizer::parse(base(), "base", {.flavour = ClipFlavour::ftfy});
  for (const ClipTokenizer* t : {&openai, &ftfy}) require(t->encode(" " + prompt + " ").back() == t->end());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  ClipTokenizerFiles files = base();
  std::string prompt;
  if (!rest.empty() && rest[0] == '{') {
    files.vocab = std::string(rest);
  } else {
    const auto next = [&] {
      const std::size_t end = std::min(rest.find('\xFF'), rest.size());
      const std::string part(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      return part;
    };
    const auto optional = [](std::string text) { return text.empty() ? std::nullopt : std::optional(std::move(text)); };
    if (std::string merges = next(); !merges.empty()) files.merges = std::move(merges);
    files.config = optional(next());
    files.specials = optional(next());
    files.added = optional(next());
    prompt = std::string(rest);
    check_merging(prompt);
    check_prompt(prompt);
    if (prompt.size() % 8 == 1) check_accepted(train_bpe(std::vector<std::string>{prompt}, {.size = 560, .fewest = 1}), prompt);  // now and then: slow
  }
  try {
    check_accepted(ClipTokenizer::parse(files, "fuzz"), prompt);
  } catch (const Error& e) {
    require(e.info().kind == ErrorKind::file);
  }
  return 0;
}
