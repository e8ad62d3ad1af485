#include "sspo/io/image.hpp"

#include <zlib.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "io/folder.hpp"
#include "io/png.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::io;
using testing::check_error;
using testing::TempFolder;

namespace {

const std::string golden = std::string(SSPO_SOURCE_DIR) + "/tests/golden/";

std::string crc(const Image& image) {
  char text[16];
  std::snprintf(text, sizeof text, "%08lx", crc32(0, image.rgb.data(), uInt(image.rgb.size())));
  return text;
}

// make_images.py's `noise`.
Image noise(Index w, Index h) {
  Image image = make_image(w, h);
  std::uint32_t s = std::uint32_t(w * 65537 + h);
  for (Index y = 0; y < h; ++y)
    for (Index x = 0; x < w; ++x)
      for (Index c = 0; c < 3; ++c) {
        s = 1664525 * s + 1013904223;
        image.at(x, y)[c] = std::uint8_t((s >> 26) + x * 5 + y * 3 + c * 80 + (x / 3 + y / 4) % 2 * 70);
      }
  return image;
}

std::string refused(std::string_view bytes, const ImageLimits& limits = {}) {
  return testing::error_of([&] { decode_image(bytes, {.path = "f"}, limits); });
}

std::string be32(std::uint32_t v) { return {char(v >> 24), char(v >> 16), char(v >> 8), char(v)}; }
std::string chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  return be32(std::uint32_t(data.size())) + body + be32(std::uint32_t(crc32(0, reinterpret_cast<const Bytef*>(body.data()), uInt(body.size()))));
}
const std::string signature = "\x89PNG\r\n\x1a\n";
std::string ihdr(std::uint32_t w, std::uint32_t h, int depth, int colour, const std::string& rest = std::string(3, '\0')) {
  return chunk("IHDR", be32(w) + be32(h) + char(depth) + char(colour) + rest);
}
std::string idat(const std::string& raw) {
  std::string packed(compressBound(raw.size()), '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(raw.data()), raw.size());
  return chunk("IDAT", packed.substr(0, size));
}
const std::string iend = chunk("IEND", ""), small = ihdr(2, 1, 8, 2), small_data = idat(std::string("\0abcdef", 7));

}  // namespace

TEST_CASE("png: every kind of colour, depth and interlacing, as Pillow reads it") {
  std::ifstream list(golden + "images.txt");
  std::string name, sum;
  Index width, height;
  int count = 0;
  for (; list >> name >> width >> height >> sum; ++count) {
    INFO(name);
    const Image image = read_image(golden + "images/" + name);
    CHECK(image.width == width);
    CHECK(image.height == height);
    CHECK(crc(image) == sum);
  }
  CHECK(count == 38);
  const ImageInfo info = read_image_info(golden + "images/turned.png");
  CHECK(info.orientation == 6);
  CHECK(info.width == 5);
  CHECK(read_image_info(golden + "images/c6_16i.png").channels == 4);
  CHECK(read_image_info(golden + "images/c6_16i.png").bits == 16);
}

TEST_CASE("png: alpha, as Pillow reads it") {
  const auto alpha_of = [](const std::string& path) {
    const std::string bytes = File(path).text(1 << 20);
    return png::decode_alpha(png::parse(bytes, {.path = path}, {}), {.path = path});
  };
  std::ifstream list(golden + "alpha.txt");
  std::string name, sum;
  int count = 0;
  for (; list >> name >> sum; ++count) {
    INFO(name);
    const std::string path = golden + "images/" + name;
    const std::vector<std::uint8_t> alpha = alpha_of(path);
    CHECK(crc(Image{1, 1, alpha}) == sum);
  }
  CHECK(count == 11);
}

TEST_CASE("jpeg: every pixel as Pillow reads it, upright") {
  int count = 0;
  const auto compare = [&](const std::string& name) {
    INFO(name);
    const Image ours = read_image(golden + "images/" + name), theirs = read_image(golden + "images/" + name + ".png");
    CHECK(ours.width == theirs.width);
    CHECK(ours.height == theirs.height);
    CHECK(ours.rgb == theirs.rgb);
    ++count;
  };
  for (const char* name : {"444.jpg", "422.jpg", "420.jpg", "progressive.jpg", "restart.jpg", "grey.jpg", "cmyk.jpg"}) compare(name);
  for (int o = 1; o <= 8; ++o) compare("turned" + std::to_string(o) + ".jpg");
  CHECK(count == 15);
  CHECK(read_image_info(golden + "images/turned7.jpg").orientation == 7);
  CHECK(read_image_info(golden + "images/cmyk.jpg").channels == 4);
  CHECK(read_image_info(golden + "images/grey.jpg").format == "JPEG");
}

TEST_CASE("png: texts, written and read") {
  const std::vector<ImageText> theirs = read_image_info(golden + "images/texts.png").texts;
  REQUIRE(theirs.size() == 4);
  CHECK(theirs[0].key == "parameters");
  CHECK(theirs[0].text == "a caf\xc3\xa9\nSteps: 20");
  CHECK(theirs[1].text == std::string(500, 'x'));
  CHECK(theirs[2].text == "\xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x8e\xa8");
  CHECK(theirs[3].text == "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
  const TempFolder folder;
  const std::vector<ImageText> texts = {{"parameters", "a cat\nSteps: 20"}, {"note", "\xc3\xa9 \xf0\x9f\x8e\xa8"}, {"empty", ""}};
  write_png(folder / "x.png", noise(31, 17), texts);
  CHECK(crc(read_image(folder / "x.png")) == crc(noise(31, 17)));
  const ImageInfo info = read_image_info(folder / "x.png");
  REQUIRE(info.texts.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(info.texts[i].key == texts[i].key);
    CHECK(info.texts[i].text == texts[i].text);
  }
  const Image one = make_image(1, 1);
  for (const char* key : {"", " a", "a ", "a  b", "a\nb", "\xc3\xa9"}) check_error([&] { encode_png(one, {{key, ""}}); }, {"a keyword must be"});
  check_error([&] { encode_png(one, {{std::string(80, 'k'), ""}}); }, {"a keyword must be"});
  check_error([&] { encode_png(one, {{"k", std::string("a\0b", 3)}}); }, {"UTF-8 without NUL"});
  check_error([&] { encode_png(one, {{"k", "\xff"}}); }, {"UTF-8 without NUL"});
  check_error([&] { encode_png({}); }, {"no picture", "0 x 0"});
  check_error([&] { encode_png({2, 2, {1, 2, 3}}); }, {"no picture"});
}

TEST_CASE("png: sizes from 1 pixel up come back as they went") {
  for (const auto& [w, h] : {std::pair<Index, Index>{1, 1}, {1, 9}, {9, 1}, {64, 3}, {255, 130}}) {
    const Image image = noise(w, h);
    CHECK(decode_image(encode_png(image), {.path = "f"}).rgb == image.rgb);
  }
}

TEST_CASE("png: damaged files say what is wrong") {
  const std::string good = signature + small + small_data + iend;
  CHECK(refused(good) == "(no error)");
  CHECK(refused(good + "trailing bytes") == "(no error)");
  for (std::size_t n = 8; n < good.size(); ++n) CHECK(refused(good.substr(0, n)).find("the file is cut short") != std::string::npos);
  for (std::size_t i = 8; i < good.size(); ++i) {  // any single flipped bit is noticed
    std::string bad = good;
    bad[i] = char(bad[i] ^ 1);
    CHECK(refused(bad) != "(no error)");
  }
  const struct { std::string bytes; const char* message; } cases[] = {
      {small_data + iend, "f@8: IDAT: the first chunk is not the header"},
      {small + small + small_data + iend, "a second header"},
      {small + iend, "the picture has no data"},
      {ihdr(2, 1, 8, 3) + small_data + iend, "the picture has no palette"},
      {ihdr(0, 1, 8, 2) + small_data + iend, "an empty picture"},
      {ihdr(16385, 1, 8, 2) + small_data + iend, "IHDR: the picture is too large (expected at most 16384 a side, got 16385 x 1 pixels)"},
      {ihdr(10001, 10000, 8, 2) + small_data + iend, "at most 100000000 pixels"},
      {ihdr(0x80000000u, 0x80000000u, 8, 2) + small_data + iend, "too large"},
      {ihdr(2, 1, 3, 2) + small_data + iend, "no such kind of picture (got colour type 2 with 3 bits)"},
      {ihdr(2, 1, 16, 3) + small_data + iend, "no such kind of picture"},
      {ihdr(2, 1, 8, 1) + small_data + iend, "no such kind of picture"},
      {ihdr(2, 1, 8, 2, std::string("\1\0\0", 3)) + small_data + iend, "unknown compression, filter or interlace"},
      {ihdr(2, 1, 8, 2, std::string("\0\0\2", 3)) + small_data + iend, "unknown compression, filter or interlace"},
      {chunk("IHDR", "short") + small_data + iend, "IHDR: wrong length"},
      {ihdr(2, 1, 8, 3) + chunk("PLTE", "ab") + small_data + iend, "PLTE: wrong length"},
      {ihdr(2, 1, 8, 3) + chunk("PLTE", "abcdef") + idat(std::string("\0\0\2", 3)) + iend, "a pixel's colour is not in the palette"},
      {ihdr(2, 1, 8, 0) + chunk("PLTE", "abc") + idat(std::string(3, '\0')) + iend, "a grey picture has no palette"},
      {small + small_data + chunk("PLTE", "abc") + iend, "the palette is in the wrong place"},
      {small + small_data + chunk("tIME", "") + small_data + iend, "the picture's data are not in one run"},
      {small + chunk("ABCD", "") + small_data + iend, "an unknown chunk that must not be passed over"},
      {small + idat(std::string("\5abcdef", 7)) + iend, "unknown filter (expected 0 to 4, got 5)"},
      {small + idat(std::string("\0abcde", 6)) + iend, "the data end before the picture"},
      {small + chunk("IDAT", "no zlib") + iend, "the compressed data are damaged"},
      {small + chunk("IDAT", "") + iend, "the data end before the picture"},
      {small + chunk("tEXt", "no end") + small_data + iend, "tEXt: the text has no end of its keyword"},
      {small + chunk("tEXt", std::string("\0x", 2)) + small_data + iend, "the keyword has a wrong length"},
      {small + chunk("zTXt", std::string("k\0\0junk", 7)) + small_data + iend, "the compressed text is damaged"},
      {small + chunk("zTXt", std::string("k\0\1", 3)) + small_data + iend, "unknown compression"},
      {small + chunk("iTXt", std::string("k\0\0\0\0\0\xff", 7)) + small_data + iend, "the text is not UTF-8"},
      {small + chunk("iTXt", std::string("k\0\0\0\0", 5)) + small_data + iend, "has no end of its keyword"},
  };
  for (const auto& c : cases) {
    const std::string text = refused(signature + c.bytes);
    INFO(text);
    CHECK(text.find(c.message) != std::string::npos);
    CHECK(text.find('\n') == std::string::npos);
  }
  CHECK(refused(signature + small + chunk("abcd", "") + chunk("tIME", "x") + small_data + iend) == "(no error)");  // may be passed over
  CHECK(refused(signature + ihdr(2, 1, 8, 2) + idat(std::string("\0abcdefMORE", 11)) + iend) == "(no error)");
}

TEST_CASE("jpeg: damaged files say what is wrong") {
  for (const char* name : {"420.jpg", "progressive.jpg"}) {
    const std::string good = File(golden + "images/" + name).text(1 << 20);
    CHECK(refused(good + "trailing bytes") == "(no error)");
    for (std::size_t n = 3; n < good.size(); ++n) {
      const std::string text = refused(good.substr(0, n));
      INFO(n << " of " << good.size() << ": " << text);
      CHECK(text.find("f@") == 0);
    }
    CHECK(refused(good.substr(0, good.size() - 1)).find("the picture is cut short") != std::string::npos);
  }
  const std::string good = File(golden + "images/420.jpg").text(1 << 20);
  const auto with = [&](std::size_t at, const std::string& bytes) { std::string s = good; return s.replace(at, bytes.size(), bytes); };
  const std::size_t frame = good.find("\xff\xc0"), table = good.find("\xff\xc4"), scan = good.find("\xff\xda");
  CHECK(refused(with(frame, "\xff\xc3")).find("unsupported kind of JPEG (expected 8 bits") != std::string::npos);
  CHECK(refused(with(frame + 4, "\x0c")).find("unsupported kind of JPEG") != std::string::npos);
  CHECK(refused(with(frame + 5, std::string("\0\0", 2))).find("an empty picture") != std::string::npos);
  CHECK(refused(with(frame + 5, "\x40\x01")).find("at most 16384 a side, got 37 x 16385 pixels") != std::string::npos);
  CHECK(refused(with(frame + 9, "\x02")).find("the JPEG data are damaged") != std::string::npos);
  CHECK(refused(with(table + 12, std::string(9, '\xff'))).find("the JPEG data are damaged") != std::string::npos);
  CHECK(refused(with(scan + 30, "\xff\xd9")).find("the picture is cut short") != std::string::npos);  // ends in the middle of a scan
  CHECK(refused("\xff\xd8\xff\xd9") != "(no error)");
  const std::string slow = File(golden + "images/progressive.jpg").text(1 << 20);
  const std::size_t begin = slow.find("\xff\xda"), end = slow.find("\xff\xc4", begin);
  const auto repeated = [&](int times) {
    std::string many = slow.substr(0, end);
    for (int i = 1; i < times; ++i) many += slow.substr(begin, end - begin);
    return refused(many + slow.substr(end));
  };
  CHECK(repeated(20) == "(no error)");
  CHECK(repeated(65).find("too many scans (expected at most 64)") != std::string::npos);
  CHECK(refused(good, {.side = 36}).find("at most 36 a side, got 37 x 27 pixels") != std::string::npos);
  CHECK(refused(good, {.pixels = 998}).find("at most 998 pixels") != std::string::npos);
  CHECK(refused(good, {.bytes = 5000}).find("too much memory (expected at most 5000 bytes") != std::string::npos);
  CHECK(refused(slow, {.bytes = 20000}).find("too much memory") != std::string::npos);  // its coefficients are kept
  CHECK(refused(good, {.bytes = 20000}) == "(no error)");
}

TEST_CASE("pictures: the format is told by content") {
  CHECK(refused("") == "f: unsupported format of picture (expected PNG, JPEG or WebP, got an empty file)");
  CHECK(refused("GIF89a").find("got GIF)") != std::string::npos);
  CHECK(refused("RIFF1234WAVEfmt ").find("got RIFF1234)") != std::string::npos);
  CHECK(refused("RIFF").find("got RIFF)") != std::string::npos);
  CHECK(refused("BM......").find("got BMP)") != std::string::npos);
  CHECK(refused("<svg>").find("got <svg>)") != std::string::npos);
  const TempFolder folder;
  write_file(folder / "really.jpg", encode_png(noise(3, 3)));
  CHECK(read_image(folder / "really.jpg").rgb == noise(3, 3).rgb);
}

TEST_CASE("resize: Pillow's bits") {
  std::ifstream list(golden + "resize.txt");
  Index w, h, width, height;
  std::string filter, sum;
  int count = 0;
  for (; list >> w >> h >> width >> height >> filter >> sum; ++count) {
    const Filter f = filter == "bilinear" ? Filter::bilinear : filter == "bicubic" ? Filter::bicubic : Filter::lanczos;
    INFO(w << " x " << h << " to " << width << " x " << height << " " << filter);
    CHECK(crc(resize(noise(w, h), width, height, f)) == sum);
  }
  CHECK(count == 234);
  for (const Filter f : {Filter::bilinear, Filter::bicubic, Filter::lanczos}) {  // one pass after the other, whatever the sizes
    const Image tall = noise(33, 400), by_hand = resize(resize(tall, 60, 400, f), 60, 40, f);
    CHECK(resize(tall, 60, 40, f, Passes::rows_first).rgb == by_hand.rgb);
    CHECK(resize(tall, 60, 40, f).rgb == resize(resize(tall, 33, 40, f), 60, 40, f).rgb);
    CHECK(resize(tall, 60, 40, f).rgb != by_hand.rgb);
  }
  check_error([] { resize(noise(2, 2), 0, 2, Filter::bicubic); }, {"resize: no such size", "2 x 2 to 0 x 2"});
  check_error([] { resize({}, 2, 2, Filter::bicubic); }, {"resize: no such size"});
}

TEST_CASE("resize_shorter: the other side is cut to a whole number") {
  const auto size = [](Index w, Index h, Index side) {
    const Image i = resize_shorter(make_image(w, h), side, Filter::bilinear);
    return std::pair(i.width, i.height);
  };
  CHECK(size(500, 375, 224) == std::pair<Index, Index>{298, 224});
  CHECK(size(375, 500, 224) == std::pair<Index, Index>{224, 298});
  CHECK(size(7, 7, 3) == std::pair<Index, Index>{3, 3});
  CHECK(size(3, 1000, 1) == std::pair<Index, Index>{1, 333});
}

TEST_CASE("crops, flips, grids") {
  const Image image = noise(7, 4);
  const Image part = crop(image, 2, 1, 3, 2);
  for (Index y = 0; y < 2; ++y)
    for (Index x = 0; x < 3; ++x) CHECK(std::equal(part.at(x, y), part.at(x, y) + 3, image.at(x + 2, y + 1)));
  CHECK(crop(image, 0, 0, 7, 4).rgb == image.rgb);
  check_error([&] { crop(image, 5, 0, 3, 1); }, {"the cut leaves the picture", "inside 7 x 4", "3 x 1 at 5, 0"});
  check_error([&] { crop(image, -1, 0, 3, 1); }, {"the cut leaves"});
  check_error([&] { centre_crop(image, 8, 4); }, {"the cut leaves"});
  CHECK(centre_crop(image, 4, 4).rgb == crop(image, 1, 0, 4, 4).rgb);                      // 3 over: 1 and 2
  CHECK(centre_crop(image, 4, 4, Centre::half_even).rgb == crop(image, 2, 0, 4, 4).rgb);   // round(1.5) = 2
  CHECK(centre_crop(image, 6, 3, Centre::half_even).rgb == crop(image, 0, 0, 6, 3).rgb);   // round(0.5) = 0
  const Image flipped = flip_horizontal(image);
  CHECK(std::equal(flipped.at(0, 2), flipped.at(0, 2) + 3, image.at(6, 2)));
  CHECK(flip_horizontal(flipped).rgb == image.rgb);
  const Image sheet = grid({image, flipped, image}, 2, 1, 9);
  CHECK(sheet.width == 17);
  CHECK(sheet.height == 11);
  CHECK(crop(sheet, 9, 1, 7, 4).rgb == flipped.rgb);
  CHECK(crop(sheet, 1, 6, 7, 4).rgb == image.rgb);
  CHECK(int(*sheet.at(10, 8)) == 9);
  check_error([&] { grid({image, part}, 2); }, {"the pictures differ in size", "7 x 4", "3 x 2"});
  check_error([&] { grid({}, 2); }, {"no pictures"});
}

TEST_CASE("pictures and tensors") {
  Image all = make_image(256, 1);
  for (Index v = 0; v < 256; ++v) std::fill_n(all.at(v, 0), 3, std::uint8_t(v));
  const Tensor x = to_tensor({all, all});
  CHECK(x.str() == "[2, 1, 256, 3] f32");
  CHECK(x.item<float>(0) == -1);
  CHECK(x.item<float>(3 * 255) == 1);
  CHECK(x.item<float>(3 * 100) == 2 * (100.0f / 255) - 1);
  CHECK(to_images(x)[1].rgb == all.rgb);
  const Tensor odd = Tensor::from<float>({-7, 7, NAN, 0, 0.00392156886f, -0.0f}, {1, 1, 2, 3});
  CHECK(to_images(odd)[0].rgb == std::vector<std::uint8_t>{0, 255, 0, 128, 128, 128});  // 127.5 is a tie: to even
  check_error([] { to_images(Tensor::empty({1, 2, 2, 4})); }, {"not RGB", "[1, 2, 2, 4]"});
}
