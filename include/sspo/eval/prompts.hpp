// Files of prompts, as the benchmarks publish them: what a model is asked to draw.
//   PromptSet set = read_prompts("PartiPrompts.tsv");    // set.prompts[0].text == "bond", .category == "Abstract"
// Which form a file has, its name or its first bytes tell:
//   parti     NAME.tsv, or a first line of Prompt, Category, Challenge, Note with tabs between: four fields a line, category the second
//   hpsv2     NAME.json, or a list in brackets: texts; or a folder of such lists, anime.json, concept-art.json, paintings.json, photo.json: the
//             style is the category, prompts in that order
//   geneval   NAME.jsonl, or an object a line: key prompt (text or caption do, too), category from tag where there is one
//   parquet   "PAR1": column caption, or prompt or text (Pick-a-Pic); or a folder of such files, by name
//   text      any other: a prompt a line
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "sspo/io/file.hpp"

namespace sspo {

enum class PromptForm { parti, hpsv2, geneval, parquet, text };
std::string_view name_of(PromptForm form);
std::string_view title_of(PromptForm form);  // "PartiPrompts, tab separated"

struct Prompt {
  std::string text;           // UTF-8, not empty
  std::string category = {};  // empty: the file has none
  std::string at = {};        // where it stands: ":12" a line or row; "[11]" of a list, counted from 0
};

struct PromptSet {
  PromptForm form = PromptForm::text;
  std::vector<Prompt> prompts;
  std::string digest = {};    // SHA-256 of texts and categories in their order, wherever they stood
  std::vector<std::string> categories() const;  // as they come first
};

struct PromptLimits {
  std::uint64_t file = 64u << 20, text = 64u << 10;  // bytes: of a file (Parquet: unpacked), of one prompt
  std::size_t prompts = 500'000;
};

// Error{file}, file, line and field: a line of another form, an empty prompt, what is no UTF-8, beyond the limits; no prompt at all.
PromptSet read_prompts(const std::string& path, const PromptLimits& limits = {});
// A file's bytes; `place.path` is its name. Not for Parquet.
PromptSet parse_prompts(std::string_view bytes, const io::Place& place, const PromptLimits& limits = {});

}  // namespace sspo
