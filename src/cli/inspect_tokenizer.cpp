#include <fmt/format.h>

#include <algorithm>

#include "cli/inspection.hpp"
#include "sspo/models/tokenizer.hpp"

namespace sspo::cli {

Inspection inspect_tokenizer(const std::string& folder) {
  const ClipTokenizer t = ClipTokenizer::open(folder);
  const std::string merge_list = t.files().merges;  // a line of version, then one a merge
  const auto merges = std::count(merge_list.begin(), merge_list.end(), '\n') - 1;
  const auto token = [&](std::int32_t id) { return io::Json{{"id", id}, {"token", t.token(id)}}; };
  const auto text = [&](std::int32_t id) { return fmt::format("{} {}", id, io::printable(t.token(id))); };
  Inspection r;
  r.json = {{"kind", "tokenizer"}, {"path", io::printable(folder, 4096)}, {"tokens", t.size()}, {"merges", merges}, {"max_length", t.max_length()},
            {"start", token(t.start())}, {"end", token(t.end())}, {"pad", token(t.pad())}};
  r.text = fmt::format("{}: CLIP tokenizer, {} tokens, {} merges, at most {} ids a text\nstart     {}\nend       {}\npadding   {}\n", io::printable(folder, 4096), t.size(),
                       merges, t.max_length(), text(t.start()), text(t.end()), text(t.pad()));
  return r;
}

}  // namespace sspo::cli
