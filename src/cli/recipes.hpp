// The recipes of recipes/emoji, built into the program: `sspo demo` needs no file of its own.
#pragma once
#include <span>
#include <string_view>
#include <utility>

namespace sspo::cli {

std::span<const std::pair<std::string_view, std::string_view>> emoji_recipes();  // name, TOML

}  // namespace sspo::cli
