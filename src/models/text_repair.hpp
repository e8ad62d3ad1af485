// What the Python package ftfy 6 does to a text before OpenAI's clean-up of CLIP's prompts: curly quotes, ligatures and full-width letters made
// plain, entities undone where no tag stands, controls and terminal escapes dropped, NFC. All but one thing: text that was once decoded by the
// wrong table (mojibake) stays as it is.
//   text_repaired("a corgi\u2019s head")  ==  "a corgi's head"
#pragma once
#include <string>
#include <string_view>

namespace sspo::clip {

std::string text_repaired(std::string_view text);  // valid UTF-8 in and out

}  // namespace sspo::clip
