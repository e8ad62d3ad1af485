// Data sets in Parquet and in tars: what the references' writers wrote, what is bad.
#include <filesystem>

#include "io/folder.hpp"
#include "sspo/io/dataset.hpp"
#include "sspo/io/tar.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::io;
using testing::check_error;
using testing::TempFolder;
namespace fs = std::filesystem;

namespace {

const std::string golden = std::string(SSPO_SOURCE_DIR) + "/tests/golden/data/";

#ifdef SSPO_SNAPPY
constexpr bool with_snappy = true;
#else
constexpr bool with_snappy = false;  // what pyarrow packs by, if it is not asked for another
#endif

std::string png(int shade) { return encode_png(make_image(4, 3, std::uint8_t(shade))); }

// The first error of a data set, and of its pictures.
void refused(const std::string& path, std::initializer_list<const char*> parts) {
  check_error(
      [&] {
        const Dataset data = open_dataset(path);
        for (const Row& row : data.rows) {
          read_picture(data, row);
          if (!row.loser.empty()) read_loser(data, row);
        }
      },
      parts);
}

using Members = std::vector<std::pair<std::string, std::string>>;
std::string tar_of(const Members& members) {
  std::string tar;
  for (const auto& [name, content] : members) tar += tar_member(name, content);
  return tar + tar_end();
}

}  // namespace

TEST_CASE("data set: Pick-a-Pic's Parquet, two shards: winners by label, ties dropped and counted, losers at hand" * doctest::skip(!with_snappy)) {
  const Dataset data = open_dataset(golden + "pickapic");
  CHECK(data.kind == DataKind::parquet);
  CHECK(data.ties == 5);  // rows 2, 5, 8, 11, and 6, which has no label
  const int expected[] = {0, 1, 3, 4, 7, 9, 10};
  REQUIRE(data.rows.size() == 7);
  for (std::size_t i = 0; i < 7; ++i) {
    INFO(i);
    const Row& row = data.rows[i];
    const bool right = expected[i] % 3 == 1;
    CHECK(row.text == "prompt " + std::to_string(expected[i]));
    CHECK(row.picture == (right ? "jpg_1" : "jpg_0"));
    CHECK(row.loser == (right ? "jpg_0" : "jpg_1"));
    CHECK(row.field("split") == "train");
    CHECK(row.line == std::uint64_t(expected[i] + 1));
  }
  // In any order each picture is the one of its row: make_data.py wrote its number into it.
  const auto is_picture = [](const std::string& jpeg, int number) { return jpeg.find("picture " + std::to_string(number) + ".") != jpeg.npos; };
  for (const std::size_t i : {6u, 0u, 3u, 3u, 5u, 1u}) {
    const int row = expected[i], left = 2 * row, right = 2 * row + 1;
    CHECK(is_picture(picture_bytes(data, data.rows[i]), row % 3 == 1 ? right : left));
    CHECK(is_picture(picture_bytes(data, data.rows[i], true), row % 3 == 1 ? left : right));
    CHECK(read_picture(data, data.rows[i]).width == 8);
    CHECK(read_loser(data, data.rows[i]).width == 8);
  }
  CHECK(picture_place(data, data.rows[5]).path.ends_with("/train-00001-of-00002-0cc3a1f28b1a9b38.parquet:2"));
  const Dataset one = open_dataset(golden + "pickapic/train-00000-of-00002-b66ac786bf6fb553.parquet");
  CHECK(one.rows.size() == 5);
  CHECK(one.digest != data.digest);
  CHECK(data.digest == open_dataset(golden + "pickapic").digest);
}

TEST_CASE("data set: Hugging Face's image and text in Parquet" * doctest::skip(!with_snappy)) {
  const Dataset data = open_dataset(golden + "images.parquet");
  REQUIRE(data.rows.size() == 4);
  CHECK(data.rows[3].text == "picture 3");
  CHECK(data.rows[3].loser.empty());
  CHECK(data.rows[3].field("split") == "");
  const Image image = read_picture(data, data.rows[3]);
  CHECK(image.width == 8);
  CHECK(image.at(1, 2)[0] == (15 + 3 * 40) % 256);
  CHECK(image.at(1, 2)[1] == (30 + 3 * 70) % 256);
  CHECK(read_picture(data, data.rows[1], {.width = 4, .height = 4}).width == 4);
}

TEST_CASE("data set: what is wrong with Parquet is told by column and row" * doctest::skip(!with_snappy)) {
  const std::string bad = golden + "bad/";
  refused(bad + "no_label.parquet", {"no_label.parquet: label_1: there is no such column (got caption, jpg_0, jpg_1, label_0)"});
  refused(bad + "no_caption.parquet", {"no_caption.parquet: there are no captions (expected a column caption or text, got jpg_0"});
  refused(bad + "number_caption.parquet", {"caption: wrong type of a column (expected BYTE_ARRAY, got INT64)"});
  refused(bad + "text_label.parquet", {"label_0: wrong type of a column (expected a number, got BYTE_ARRAY)"});
  refused(bad + "list_picture.parquet", {"jpg_1: there is no such column"});
  refused(bad + "odd_label.parquet", {"odd_label.parquet:1: the labels name no winner (expected 1 and 0, 0 and 1, or twice the same for a tie, got 1.0"});
  refused(bad + "null_label.parquet", {"null_label.parquet:2: label_0: there is no label (expected 1, 0 or 0.5, got null)"});
  refused(bad + "null_caption.parquet", {"null_caption.parquet:1: caption: there is no caption (expected a text, got null)"});
  refused(bad + "latin_caption.parquet", {"latin_caption.parquet:1: caption: not UTF-8 (expected a text, got \\xe9)"});
  refused(bad + "null_picture.parquet", {"null_picture.parquet:2: jpg_0: there is no picture (expected the bytes of one, got null)"});
  refused(bad + "torn_picture.parquet", {"torn_picture.parquet:2@33: jpg_1.IDAT: the file is cut short"});
  refused(bad + "ties.parquet", {"ties.parquet: no sample (expected one or more, got 2 pairs that nobody won)"});
  refused(bad + "empty.parquet", {"empty.parquet: no sample"});
  refused(golden + "checksums.parquet", {"checksums.parquet: there are no pictures (expected columns jpg_0, jpg_1, label_0 and label_1, or image, got caption, key)"});
  BadSamples one(1);
  const Dataset data = open_dataset(bad + "null_label.parquet", one);
  CHECK(one.count() == 1);
  CHECK(data.rows.size() == 1);
}

TEST_CASE("data set: a shard that is damaged or changed is never passed over" * doctest::skip(!with_snappy)) {
  const TempFolder folder;
  const std::string whole = File(golden + "pickapic/train-00000-of-00002-b66ac786bf6fb553.parquet").text(1 << 20), path = folder / "a.parquet";
  write_file(path, whole);
  const Dataset data = open_dataset(path);
  write_file(path, whole.substr(0, whole.size() - 9));
  check_error([&] { picture_bytes(data, data.rows[0]); }, {"a.parquet: the file has changed since it was opened"});
  BadSamples many(1000);
  check_error([&] { open_dataset(path, many); }, {"a.parquet: the Parquet file is cut short"});
  write_file(folder / "b.tar", "");
  check_error([&] { open_dataset(folder.path(), many); }, {": Parquet and tars in one folder (expected shards of one kind)"});
  fs::remove(path);
  check_error([&] { open_dataset(folder.path(), many); }, {"b.tar@0: the archive is cut short"});
  CHECK(many.count() == 0);
}

TEST_CASE("data set: a tar that has changed is noticed at every picture") {
  const TempFolder folder;
  const std::string tar = folder / "x.tar", bytes = tar_of({{"a.png", png(1)}, {"a.txt", "a"}});
  write_file(tar, bytes);
  const Dataset data = open_dataset(tar);
  write_file(tar, bytes + std::string(512, '\0'));
  for (int i = 0; i < 2; ++i) check_error([&] { picture_bytes(data, data.rows[0]); }, {"x.tar: the file has changed since it was opened (expected "});
  write_file(tar, bytes);
  CHECK(picture_bytes(data, data.rows[0]) == png(1));
}

TEST_CASE("data set: webdataset's tars: shards, pairs, fields of json" * doctest::skip(!with_snappy)) {
  const Dataset data = open_dataset(golden + "shards");
  CHECK(data.kind == DataKind::webdataset);
  REQUIRE(data.rows.size() == 4);
  CHECK(data.rows[3].text == "photo 3");
  CHECK(data.rows[3].picture == "photos/00003.jpg");
  CHECK(data.rows[3].field("style") == "noto");
  CHECK(data.rows[3].field("n") == "3");
  CHECK(read_picture(data, data.rows[3]).width == 8);
  CHECK(picture_place(data, data.rows[3]).path.ends_with("/shard-000001.tar/photos/00003.jpg"));
  CHECK(picture_bytes(data, data.rows[0]) != picture_bytes(data, data.rows[3]));

  const Dataset pairs = open_dataset(golden + "pairs.tar");
  CHECK(pairs.ties == 1);
  REQUIRE(pairs.rows.size() == 2);
  CHECK(pairs.rows[0].picture == "00000.jpg_0");
  CHECK(pairs.rows[0].loser == "00000.jpg_1");
  CHECK(pairs.rows[1].picture == "00001.jpg_1");
  CHECK(pairs.rows[1].text == "pair 1");
  const Dataset table = open_dataset(golden + "pickapic");  // the same pictures
  CHECK(picture_bytes(pairs, pairs.rows[1]) == picture_bytes(table, table.rows[1]));
  CHECK(picture_bytes(pairs, pairs.rows[1], true) == picture_bytes(table, table.rows[1], true));

  for (const char* name : {"pax.tar", "gnu.tar"}) {
    const Dataset odd = open_dataset(golden + name);
    REQUIRE(odd.rows.size() == 2);
    CHECK(odd.links == 4);
    CHECK(odd.rows[0].text == "a cat");
    CHECK(odd.rows[1].text == "a long name");
    CHECK(odd.rows[1].field("url") == "x");
  }
}

TEST_CASE("data set: tars of pairs in other words, and what is no part of a sample") {
  const TempFolder folder;
  const std::string tar = folder / "x.tar";
  write_file(tar, tar_of({{"__meta__/a.json", "{"}, {"README", "?"}, {".hidden.txt", "?"},
                          {"a.0.PNG", png(1)}, {"a.1.png", png(2)}, {"a.json", R"({"caption": "from json", "label_0": 0, "label_1": 1, "keywords": ["k"], "file_name": "../x"})"},
                          {"b.png", png(3)}, {"b.json", R"({"text": "its own", "caption": "a field", "label_0": 0.3})"},
                          {"c.d.png", png(4)}, {"c.txt", "\xef\xbb\xbf of two\nlines "}, {"c.png", png(5)}}));
  const Dataset data = open_dataset(tar);
  REQUIRE(data.rows.size() == 3);
  CHECK(data.rows[0].text == "from json");
  CHECK(data.rows[0].picture == "a.1.png");
  CHECK(data.rows[0].keywords == std::vector<std::string>{"k"});
  CHECK(data.rows[0].fields.empty());
  CHECK(read_loser(data, data.rows[0]).at(0, 0)[0] == 1);
  CHECK(data.rows[1].text == "its own");
  CHECK(data.rows[1].field("caption") == "a field");
  CHECK(data.rows[1].field("label_0") == "0.3");  // of no pair: a field like others
  CHECK(data.rows[2].text == "of two lines");
  CHECK(read_picture(data, data.rows[2]).at(0, 0)[0] == 5);
}

TEST_CASE("data set: samples of tars that are not whole are bad ones; members apart are an error: nothing is mispaired") {
  const TempFolder folder;
  const std::string tar = folder / "x.tar";
  const auto wrong = [&](const Members& members, std::initializer_list<const char*> parts) {
    Members all = {{"good.png", png(0)}, {"good.txt", "good"}};
    all.insert(all.end(), members.begin(), members.end());
    write_file(tar, tar_of(all));
    refused(tar, parts);
    BadSamples one(1);
    CHECK(open_dataset(tar, one).rows.size() == 1);
    CHECK(one.count() == 1);
  };
  wrong({{"a.png", png(1)}}, {"x.tar@", ": a.png: the sample has no caption (expected txt, caption, or json with text or caption, got \"a\")"});
  wrong({{"a.txt", "a"}}, {": a.txt: the sample has no picture (expected jpg, png or webp, or a pair: jpg_0, jpg_1, got \"a\")"});
  wrong({{"a.png_0", png(1)}, {"a.txt", "a"}}, {"the sample has no picture"});
  wrong({{"a.png_0", png(1)}, {"a.png_1", png(2)}, {"a.txt", "a"}}, {"the pair has no labels (expected label_0 and label_1, members or in json, got \"a\")"});
  wrong({{"a.png_0", png(1)}, {"a.png_1", png(2)}, {"a.txt", "a"}, {"a.label_0", "1"}, {"a.label_1", "no"}}, {"a.label_1: the label is no number (expected 1, 0 or 0.5, got no)"});
  wrong({{"a.png_0", png(1)}, {"a.png_1", png(2)}, {"a.txt", "a"}, {"a.label_0", "1"}, {"a.label_1", "1e-9"}}, {"the labels name no winner"});
  wrong({{"a.png_0", png(1)}, {"a.png_1", png(2)}, {"a.json", R"({"text": "a", "label_0": 1, "label_1": "0"})"}}, {"a.json.label_1: wrong value"});
  wrong({{"a.png", png(1)}, {"a.jpg", png(2)}, {"a.txt", "a"}}, {"a.jpg: two pictures of one sample (expected one, or a pair: jpg_0, jpg_1, got a.png)"});
  wrong({{"a.png", png(1)}, {"a.txt", "a"}, {"a.TXT", "b"}}, {"a.txt: two members of one name in a sample"});
  wrong({{"a.png", png(1)}, {"a.txt", "\xff"}}, {"a.txt: not UTF-8"});
  wrong({{"a.png", png(1)}, {"a.json", "{"}}, {"a.json", "the JSON text ends too early"});
  wrong({{"a.png", png(1)}, {"a.json", "[]"}}, {"a.json: not an object"});
  for (const Members& members : {Members{{"a.png", png(1)}, {"a.txt", "a"}, {"b.png", png(2)}, {"b.txt", "b"}, {"a.json", "{}"}},
                                 Members{{"a.png", png(1)}, {"b.png", png(2)}, {"b.txt", "b"}, {"a.json", "{}"}}}) {
    write_file(tar, tar_of(members));
    BadSamples many(100);
    check_error([&] { open_dataset(tar, many); }, {"a.json: the sample's members do not lie together (expected all of one key side by side, got \"a\" again)"});
  }
  std::string whole = tar_of({{"a.png", png(1)}, {"a.txt", "a"}, {"b.png", png(2)}, {"b.txt", "b"}});
  for (const std::size_t size : {whole.size() - 1024, whole.size() - 1536, std::size_t(1024)}) {  // a short shard, however many whole samples are in it
    write_file(tar, whole.substr(0, size));
    refused(tar, {"x.tar@"});
  }
  write_file(tar, tar_of({{"a.png", "GIF89a"}, {"a.txt", "a"}}));
  refused(tar, {"x.tar/a.png: unsupported format of picture (expected PNG, JPEG or WebP, got GIF)"});
  write_file(tar, tar_end());
  refused(tar, {"x.tar: no sample"});
}
