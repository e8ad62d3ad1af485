// WordPiece's vocabulary and prompts from any bytes. The input is vocab.txt and a prompt, separated by 0xFF; a vocabulary that is refused is
// replaced by a small one. Encoding stays in range, is cut as it says, and splits at a blank as the text does.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>

#include "sspo/models/wordpiece.hpp"

using namespace sspo;
using Ids = std::vector<std::int32_t>;

namespace {

void require(bool good) {
  if (!good) std::abort();
}

void check(const WordPiece& t, const std::string& prompt) {
  const Ids ids = t.encode(prompt), cut = t.encode(prompt, 5);
  require(ids.size() >= 2 && t.token(ids.front()) == "[CLS]" && t.token(ids.back()) == "[SEP]" && t.token(t.pad()) == "[PAD]");
  require(std::all_of(ids.begin(), ids.end(), [&](std::int32_t id) { return id >= 0 && id < t.size(); }));
  require(cut.size() == std::min<std::size_t>(ids.size(), 5) && cut.back() == ids.back() && std::equal(cut.begin(), cut.end() - 1, ids.begin()));
  const std::size_t half = prompt.size() / 2;
  Ids joined = t.encode(prompt.substr(0, half));
  const Ids second = t.encode(prompt.substr(half));
  joined.pop_back();
  joined.insert(joined.end(), second.begin() + 1, second.end());
  require(t.encode(prompt.substr(0, half) + " " + prompt.substr(half)) == joined);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const WordPiece small = WordPiece::parse("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\na\n##a\ne\n##e\n\xCF\x83\n", {.path = "small"});
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(bytes.find('\xFF'), size);
  const std::string prompt(bytes.substr(std::min(end + 1, size)));
  std::optional<WordPiece> given;
  try {
    given = WordPiece::parse(bytes.substr(0, end), {.path = "fuzz"});
  } catch (const Error& e) {
    require(e.info().kind == ErrorKind::file && std::string_view(e.what()).find('\n') == std::string_view::npos);
  }
  check(given ? *given : small, prompt);
  return 0;
}
