# recipes/emoji/*.toml as text in the program: OUT is written where one has changed.
function(sspo_embed_recipes target)
  file(GLOB recipes CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/recipes/emoji/*.toml)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${recipes})
  set(rows "")
  foreach(recipe IN LISTS recipes)
    get_filename_component(name ${recipe} NAME_WE)
    file(READ ${recipe} text)
    string(APPEND rows "    {\"${name}\", R\"toml(${text})toml\"},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/recipes.cpp @ONLY CONTENT [[
#include "cli/recipes.hpp"

namespace sspo::cli {

std::span<const std::pair<std::string_view, std::string_view>> emoji_recipes() {
  static constexpr std::pair<std::string_view, std::string_view> recipes[] = {
@rows@  };
  return recipes;
}

}  // namespace sspo::cli
]])
  target_sources(${target} PRIVATE ${PROJECT_BINARY_DIR}/recipes.cpp)
endfunction()
