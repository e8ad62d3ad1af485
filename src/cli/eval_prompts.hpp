// `sspo eval prompts`: what a file of prompts holds.
#pragma once
#include <string>

namespace sspo::cli {

struct EvalPromptsOptions {
  std::string path;
  std::string tokenizer;  // a folder: the longest prompt in its tokens
  bool json = false;
};
// Error{file}: it is none; see sspo/eval/prompts.hpp.
void eval_prompts(const EvalPromptsOptions& options);

}  // namespace sspo::cli
