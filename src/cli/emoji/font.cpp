#include "cli/emoji/font.hpp"

#include <ft2build.h>
#include FT_FREETYPE_H
#include <hb-ft.h>
#include <hb.h>

#include <algorithm>

#include "sspo/io/file.hpp"

namespace sspo::cli::emoji {
namespace {

constexpr std::uint64_t most_bytes = 64u << 20;

// FreeType gives blue, green, red, each already times alpha / 255, and alpha.
Drawing drawing_of(const FT_Bitmap& bitmap) {
  Drawing d{io::make_image(Index(bitmap.width), Index(bitmap.rows)), std::vector<std::uint8_t>(std::size_t(bitmap.width) * bitmap.rows)};
  for (Index y = 0; y < d.on_white.height; ++y)
    for (Index x = 0; x < d.on_white.width; ++x) {
      const unsigned char* pixel = bitmap.buffer + y * bitmap.pitch + 4 * x;
      d.alpha[std::size_t(y * d.on_white.width + x)] = pixel[3];
      for (int c = 0; c < 3; ++c) d.on_white.at(x, y)[c] = std::uint8_t(std::min(pixel[2 - c] + 255 - pixel[3], 255));
    }
  return d;
}

}  // namespace

struct Font::Faces {
  explicit Faces(std::string content) : bytes(std::move(content)) {}
  ~Faces() {
    if (shaper) hb_font_destroy(shaper);
    if (buffer) hb_buffer_destroy(buffer);
    if (face) FT_Done_Face(face);
    if (library) FT_Done_FreeType(library);
  }
  std::string bytes;  // the face reads them as long as it lives
  FT_Library library = nullptr;
  FT_Face face = nullptr;
  hb_font_t* shaper = nullptr;
  hb_buffer_t* buffer = nullptr;
};

Font::Font(const std::string& path) : faces_(std::make_unique<Faces>(io::File(path).text(most_bytes))) {
  Faces& f = *faces_;
  if (FT_Init_FreeType(&f.library)) fail({.op = "font", .what = "FreeType cannot start", .kind = ErrorKind::memory}, Site{});
  if (FT_New_Memory_Face(f.library, reinterpret_cast<const FT_Byte*>(f.bytes.data()), FT_Long(f.bytes.size()), 0, &f.face)) io::bad_file({.path = path}, "is no font that FreeType reads");
  if (!FT_HAS_COLOR(f.face) || f.face->num_fixed_sizes < 1 || FT_Select_Size(f.face, 0))
    io::bad_file({.path = path}, "has no colour bitmaps", "a font with the table CBDT, as Debian's NotoColorEmoji.ttf");
  f.shaper = hb_ft_font_create_referenced(f.face);
  f.buffer = hb_buffer_create();
}

Font::~Font() = default;

std::optional<Drawing> Font::draw(const std::u32string& code) const {
  const Faces& f = *faces_;
  hb_buffer_clear_contents(f.buffer);
  hb_buffer_add_utf32(f.buffer, reinterpret_cast<const std::uint32_t*>(code.data()), int(code.size()), 0, -1);
  hb_buffer_guess_segment_properties(f.buffer);
  hb_shape(f.shaper, f.buffer, nullptr, 0);
  unsigned count = 0;
  const hb_glyph_info_t* glyphs = hb_buffer_get_glyph_infos(f.buffer, &count);
  if (count != 1 || glyphs[0].codepoint == 0) return {};
  if (FT_Load_Glyph(f.face, glyphs[0].codepoint, FT_LOAD_COLOR)) return {};
  const FT_Bitmap& bitmap = f.face->glyph->bitmap;
  if (bitmap.pixel_mode != FT_PIXEL_MODE_BGRA || bitmap.width == 0 || bitmap.rows == 0) return {};
  return drawing_of(bitmap);
}

}  // namespace sspo::cli::emoji
