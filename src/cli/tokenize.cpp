#include "cli/tokenize.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "io/json.hpp"
#include "sspo/models/tokenizer.hpp"

namespace sspo::cli {
namespace {

constexpr std::size_t longest_line = 16u << 20, block = 1u << 20;

void print_ids(const ClipTokenizer& tokenizer, std::string_view text, bool json) {
  const std::vector<std::int32_t> ids = tokenizer.encode(text);
  if (!json) return fmt::print("{}\n", fmt::join(ids, " "));
  io::Json tokens = io::Json::array();
  for (const std::int32_t id : ids) tokens.push_back(tokenizer.token(id));
  fmt::print("{}\n", io::Json{{"ids", ids}, {"tokens", std::move(tokens)}}.dump());
}

// Calls on_line(line, place) for each line that is not blank: LF or CRLF, a BOM at the start is dropped (promise S5).
template <class OnLine>
void for_each_line(const io::File& file, const OnLine& on_line) {
  std::string pending, read(block, '\0');
  std::size_t number = 0;
  const auto finish = [&](std::string_view line) {
    const io::Place place{.path = file.path(), .at = ":" + std::to_string(++number)};
    if (number == 1 && line.substr(0, 3) == "\xEF\xBB\xBF") line.remove_prefix(3);
    if (line.size() > longest_line) io::bad_file(place, "the line is too long", "at most 16 MiB");
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) on_line(line, place);
  };
  for (std::uint64_t at = 0; at < file.size(); at += read.size()) {
    read.resize(std::size_t(std::min<std::uint64_t>(block, file.size() - at)));
    file.read(at, read.data(), read.size());
    std::size_t from = 0;
    for (std::size_t end; (end = read.find('\n', from)) != std::string::npos; from = end + 1) {
      pending.append(read, from, end - from);
      finish(pending);
      pending.clear();
    }
    pending.append(read, from);
    if (pending.size() > longest_line) finish(pending);  // throws
  }
  if (!pending.empty()) finish(pending);
}

}  // namespace

void tokenize(const TokenizeOptions& options) {
  const ClipTokenizer tokenizer =
      ClipTokenizer::open(options.tokenizer, {.flavour = options.flavour == "openai" ? ClipFlavour::openai : ClipFlavour::hf});
  if (options.jsonl.empty()) return print_ids(tokenizer, options.text, options.json);
  for_each_line(io::File(options.jsonl), [&](std::string_view line, const io::Place& place) {
    const io::Json object = io::parse_json(line, place);
    print_ids(tokenizer, io::Fields(object, place).text("text"), options.json);
  });
}

}  // namespace sspo::cli
