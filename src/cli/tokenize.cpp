#include "cli/tokenize.hpp"

#include <fmt/format.h>

#include "cli/lines.hpp"
#include "io/json.hpp"
#include "sspo/models/tokenizer.hpp"

namespace sspo::cli {
namespace {

void print_ids(const ClipTokenizer& tokenizer, std::string_view text, bool json) {
  const std::vector<std::int32_t> ids = tokenizer.encode(text);
  if (!json) return fmt::print("{}\n", fmt::join(ids, " "));
  io::Json tokens = io::Json::array();
  for (const std::int32_t id : ids) tokens.push_back(tokenizer.token(id));
  fmt::print("{}\n", io::Json{{"ids", ids}, {"tokens", std::move(tokens)}}.dump());
}

}  // namespace

void tokenize(const TokenizeOptions& options) {
  const ClipFlavour flavour = options.flavour == "openai" ? ClipFlavour::openai : options.flavour == "ftfy" ? ClipFlavour::ftfy : ClipFlavour::hf;
  const ClipTokenizer tokenizer = ClipTokenizer::open(options.tokenizer, {.flavour = flavour});
  if (options.jsonl.empty()) return print_ids(tokenizer, options.text, options.json);
  for_each_line(io::File(options.jsonl), [&](std::string_view line, const io::Place& place) {
    const io::Json object = io::parse_json(line, place);
    print_ids(tokenizer, io::Fields(object, place).text("text"), options.json);
  });
}

}  // namespace sspo::cli
