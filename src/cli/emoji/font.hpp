// A font of colour bitmaps.
//   Font noto("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf");
//   if (const std::optional<Drawing> d = noto.draw(U"\U0001F600")) ...
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "cli/emoji/drawing.hpp"

namespace sspo::cli::emoji {

class Font {
 public:
  explicit Font(const std::string& path);  // Error{file}: no font, or without bitmaps
  ~Font();
  // Nothing if the font has no one picture for the whole sequence.
  std::optional<Drawing> draw(const std::u32string& code) const;

 private:
  struct Faces;
  std::unique_ptr<Faces> faces_;
};

}  // namespace sspo::cli::emoji
