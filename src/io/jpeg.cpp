#include "io/jpeg.hpp"

#include <algorithm>
#include <csetjmp>
#include <cstdio>  // jpeglib.h needs FILE

#include <jerror.h>
#include <jpeglib.h>

#include "io/png.hpp"

namespace sspo::io::jpeg {
namespace {

// A progressive file may go over the whole picture again in each scan of a few bytes.
constexpr int most_scans = 64;
constexpr const char* kinds = "8 bits, Huffman codes, grey, YCbCr, RGB or CMYK";
enum { too_many_scans = 10'000 };  // beside the library's own codes

// libjpeg leaves a failed call by longjmp; nothing between `run` and the library may own anything.
class Decoder {
 public:
  Decoder(std::string_view bytes, const Place& place) : bytes_(bytes), place_(place) {
    c_.err = jpeg_std_error(&errors_);
    c_.client_data = this;
    errors_.error_exit = [](j_common_ptr c) { of(c).leave(c->err->msg_code); };
    errors_.emit_message = [](j_common_ptr c, int level) { if (level < 0 && is_damage(c->err->msg_code)) of(c).leave(c->err->msg_code); };
    errors_.output_message = [](j_common_ptr) {};
    progress_.progress_monitor = [](j_common_ptr c) {
      if (reinterpret_cast<j_decompress_ptr>(c)->input_scan_number > most_scans) of(c).leave(too_many_scans);
    };
    run([](Decoder& d) {
      jpeg_create_decompress(&d.c_);
      d.c_.progress = &d.progress_;
      jpeg_mem_src(&d.c_, reinterpret_cast<const unsigned char*>(d.bytes_.data()), d.bytes_.size());
      jpeg_save_markers(&d.c_, JPEG_APP0 + 1, 0xffff);
      jpeg_read_header(&d.c_, TRUE);
    });
  }
  ~Decoder() { jpeg_destroy_decompress(&c_); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  const jpeg_decompress_struct& header() const { return c_; }

  void check(const ImageLimits& limits) {
    std::uint64_t bytes = 3 * std::uint64_t(c_.image_width) * c_.image_height + 4096 * std::uint64_t(c_.image_width) / 16;
    if (jpeg_has_multiple_scans(&c_))  // then all coefficients are kept
      for (int i = 0; i < c_.num_components; ++i)
        bytes += sizeof(JBLOCK) * std::uint64_t(c_.comp_info[i].width_in_blocks + 8) * (c_.comp_info[i].height_in_blocks + 8);
    check_image_size(c_.image_width, c_.image_height, bytes, place_, limits);
    if (c_.arith_code) bad_file(place_, "unsupported kind of JPEG", kinds);
    if (c_.num_components != 1 && c_.num_components != 3 && c_.num_components != 4)
      bad_file(place_, "unsupported number of channels", "1, 3 or 4", std::to_string(c_.num_components));
  }

  int orientation() const {
    for (auto m = c_.marker_list; m; m = m->next) {
      const std::string_view data(reinterpret_cast<const char*>(m->data), m->data_length);
      if (data.starts_with(std::string_view("Exif\0\0", 6))) return exif_orientation(data.substr(6));
    }
    return 1;
  }

  Image pixels() {
    const bool inks = c_.num_components == 4;
    c_.out_color_space = inks ? JCS_CMYK : JCS_RGB;
    Image image = make_image(c_.image_width, c_.image_height);
    std::vector<std::uint8_t> row(inks ? 4 * std::size_t(c_.image_width) : 0);
    image_ = image.rgb.data(), row_ = inks ? row.data() : nullptr;
    run([](Decoder& d) {
      jpeg_start_decompress(&d.c_);
      while (d.c_.output_scanline < d.c_.output_height) {
        const std::size_t width = d.c_.output_width;
        std::uint8_t* to = d.image_ + 3 * width * d.c_.output_scanline;
        JSAMPROW line = d.row_ ? d.row_ : to;
        jpeg_read_scanlines(&d.c_, &line, 1);
        if (d.row_) inks_to_rgb(d.row_, to, width);
      }
      jpeg_finish_decompress(&d.c_);
    });
    return image;
  }

 private:
  static Decoder& of(j_common_ptr c) { return *static_cast<Decoder*>(c->client_data); }

  // What the library calls a warning though pixels are lost: it would go on with grey.
  static bool is_damage(int code) {
    return code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE || code == JWRN_JPEG_EOF || code == JWRN_MUST_RESYNC;
  }

  [[noreturn]] void leave(int code) {
    code_ = code;
    std::longjmp(escape_, 1);
  }

  void run(void (*step)(Decoder&)) {
    if (setjmp(escape_) == 0) return step(*this);
    Place here = place_;
    if (c_.src) here.at = "@" + std::to_string(bytes_.size() - std::min(c_.src->bytes_in_buffer, bytes_.size()));
    jpeg_destroy_decompress(&c_);  // the destructor does not run if this is the constructor; twice does no harm
    switch (code_) {
      case JWRN_HIT_MARKER:
      case JWRN_JPEG_EOF:
      case JERR_INPUT_EOF:
      case JERR_INPUT_EMPTY: bad_file(here, "the picture is cut short");
      case JERR_SOF_UNSUPPORTED:
      case JERR_BAD_PRECISION:
      case JERR_CONVERSION_NOTIMPL: bad_file(here, "unsupported kind of JPEG", kinds);
      case JERR_IMAGE_TOO_BIG: bad_file(here, "the picture is too large");
      case JERR_EMPTY_IMAGE: bad_file(here, "an empty picture");
      case JERR_OUT_OF_MEMORY: fail({.op = "jpeg", .what = "the system has no memory left", .kind = ErrorKind::memory}, Site{});
      case too_many_scans: bad_file(here, "too many scans", "at most " + std::to_string(most_scans));
      default: bad_file(here, "the JPEG data are damaged");
    }
  }

  // Adobe's files hold what is left of the light, 255 - ink. R = C K / 255, rounded as Pillow does.
  static void inks_to_rgb(const std::uint8_t* cmyk, std::uint8_t* rgb, std::size_t width) {
    for (std::size_t x = 0; x < width; ++x, cmyk += 4, rgb += 3)
      for (int i = 0; i < 3; ++i) {
        const int taken = (255 - cmyk[i]) * cmyk[3] + 128;
        rgb[i] = static_cast<std::uint8_t>(cmyk[3] - ((taken + (taken >> 8)) >> 8));
      }
  }

  std::string_view bytes_;
  const Place& place_;
  jpeg_decompress_struct c_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf escape_;
  int code_ = 0;
  std::uint8_t *image_ = nullptr, *row_ = nullptr;  // where `pixels` puts its rows
};

}  // namespace

ImageInfo info(std::string_view bytes, const Place& place, const ImageLimits& limits) {
  Decoder decoder(bytes, place);
  decoder.check(limits);
  const jpeg_decompress_struct& h = decoder.header();
  return {"JPEG", Index(h.image_width), Index(h.image_height), h.num_components, 8, decoder.orientation()};
}

Image decode(std::string_view bytes, const Place& place, const ImageLimits& limits) {
  Decoder decoder(bytes, place);
  decoder.check(limits);
  return decoder.pixels();
}

}  // namespace sspo::io::jpeg
