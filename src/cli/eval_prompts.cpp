#include "cli/eval_prompts.hpp"

#include <fmt/format.h>

#include <map>
#include <optional>

#include "io/json.hpp"
#include "sspo/eval/prompts.hpp"
#include "sspo/models/tokenizer.hpp"

namespace sspo::cli {

void eval_prompts(const EvalPromptsOptions& o) {
  const PromptSet set = read_prompts(o.path);
  std::map<std::string_view, Index> times, categories;
  for (const Prompt& p : set.prompts) ++times[p.text], ++categories[p.category];
  io::Json duplicates = io::Json::array();  // once each, as they come first
  for (const Prompt& p : set.prompts)
    if (Index& n = times[p.text]; n > 1) duplicates.push_back({{"prompt", p.text}, {"times", n}, {"at", p.at}}), n = 0;
  io::Json by_category = io::Json::object();
  for (const std::string& c : set.categories()) by_category[c] = categories[c];
  io::Json summary = {{"path", io::printable(o.path, 4096)}, {"form", name_of(set.form)}, {"prompts", set.prompts.size()}, {"categories", by_category}, {"duplicates", duplicates}, {"digest", set.digest}};
  if (!o.tokenizer.empty()) {
    const ClipTokenizer tokenizer = ClipTokenizer::open(o.tokenizer);
    std::size_t longest = 0, cut = 0;
    const Prompt* which = nullptr;
    for (const Prompt& p : set.prompts) {
      const std::size_t n = tokenizer.encode(p.text).size();
      if (n > longest) longest = n, which = &p;
      cut += n > std::size_t(tokenizer.max_length());
    }
    summary["longest"] = {{"tokens", longest}, {"prompt", which->text}, {"at", which->at}, {"room", tokenizer.max_length()}, {"cut", cut}};
  }
  if (o.json) {
    fmt::print("{}\n", summary.dump(2));
    return;
  }
  fmt::print("{} prompts ({})\n", set.prompts.size(), title_of(set.form));
  for (const auto& [name, n] : by_category.items()) fmt::print("  {:<24}{:>6}\n", io::printable(name, 200), n.get<Index>());
  if (duplicates.empty()) fmt::print("no duplicates\n");
  else fmt::print("{} prompts stand there more than once\n", duplicates.size());
  for (std::size_t i = 0; i < std::min<std::size_t>(10, duplicates.size()); ++i)
    fmt::print("  {} times, first at {}: {}\n", duplicates[i]["times"].get<Index>(), duplicates[i]["at"].get<std::string>(), io::printable(duplicates[i]["prompt"].get<std::string>()));
  if (summary.contains("longest"))
    fmt::print("longest: {} tokens, start and end included, at {}; {} prompts are cut at {}\n", summary["longest"]["tokens"].get<Index>(), summary["longest"]["at"].get<std::string>(),
               summary["longest"]["cut"].get<Index>(), summary["longest"]["room"].get<Index>());
}

}  // namespace sspo::cli
