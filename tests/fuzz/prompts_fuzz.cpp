// The bytes are a file of prompts, under names that say its form and one that does not. Accepted means: texts are UTF-8 and not empty, and
// written as a JSON list they read the same.
#include <cstdlib>
#include <string_view>

#include "io/json.hpp"
#include "io/text.hpp"
#include "sspo/eval/prompts.hpp"

using namespace sspo;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void read(std::string_view bytes, const char* name) {
  try {
    const PromptSet set = parse_prompts(bytes, {.path = name});
    require(!set.prompts.empty() && set.digest.size() == 64);
    io::Json list = io::Json::array();
    for (const Prompt& p : set.prompts) {
      require(!p.text.empty() && io::find_bad_utf8(p.text) == std::string_view::npos && io::find_bad_utf8(p.category) == std::string_view::npos && !p.at.empty());
      list.push_back(p.text);
    }
    const std::string again = list.dump();
    if (again.size() > (4u << 20)) return;
    const PromptSet back = parse_prompts(again, {.path = "f.json"});
    require(back.prompts.size() == set.prompts.size());
    for (std::size_t i = 0; i < set.prompts.size(); ++i) require(back.prompts[i].text == set.prompts[i].text);
  } catch (const Error& e) {
    require(e.info().kind == ErrorKind::file && std::string_view(e.what()).find('\n') == std::string_view::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const char* name : {"f", "f.tsv", "f.json", "f.jsonl", "f.txt"}) read(bytes, name);
  return 0;
}
