// TensorBoard's event files: its own bytes (golden/make_events.py), and what a resumed run adds.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include "io/folder.hpp"
#include "sspo/train/event_log.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;
namespace fs = std::filesystem;

namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4], text += "0123456789abcdef"[c & 15];
  return text;
}

std::vector<std::string> golden(const std::string& name) {
  std::ifstream file(std::string(SSPO_SOURCE_DIR) + "/tests/golden/events.txt");
  for (std::string line, word; std::getline(file, line);) {
    std::istringstream words(line);
    if (words >> word; word != name) continue;
    std::vector<std::string> rest;
    while (words >> word) rest.push_back(word);
    return rest;
  }
  return {};
}

std::vector<std::string> files_of(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// The events of a file, each record's sums checked.
std::vector<std::string> events_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::string> events;
  for (std::size_t at = 0; at < all.size();) {
    std::uint64_t length = 0;
    for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<unsigned char>(all.at(at + std::size_t(i)));
    events.push_back(all.substr(at + 12, length));
    REQUIRE(all.substr(at, length + 16) == tf_record(events.back()));
    at += length + 16;
  }
  return events;
}

}  // namespace

TEST_CASE("events: CRC-32C of the standard's test text, and masked as TensorBoard has it") {
  CHECK(crc32c("123456789") == 0xe3069283u);
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += char(i);
  const std::vector<std::string> want = golden("crc");
  REQUIRE(want.size() == 4);
  std::size_t k = 0;
  for (const std::string& text : {std::string(), std::string("a"), std::string("123456789"), bytes}) {
    char got[16];
    std::snprintf(got, sizeof got, "%08x", masked_crc32c(text));
    CHECK(want[k++] == got);
  }
}

TEST_CASE("events: the bytes of TensorBoard's own writer") {
  CHECK(golden("scalars") == std::vector{hex(tf_record(scalars_event(1.5, 7, {{"loss", 0.25}, {"a_tw", -1e-30}})))});
  CHECK(golden("long") == std::vector{hex(tf_record(scalars_event(1764000000.125, 1234567890123, {{std::string(200, 'x'), 3}})))});
  // What is not finite, as a float, has no place on a curve.
  CHECK(scalars_event(0, 1, {{"a", 1}, {"b", std::numeric_limits<double>::quiet_NaN()}, {"c", 1e300}}) == scalars_event(0, 1, {{"a", 1}}));
}

TEST_CASE("events: each start has a file of its own, later by name, and a resumed one says where it begins") {
  const TempFolder folder;
  {
    EventLog log(folder / "", 0);
    log.add(1, {{"loss", 2}});
    log.add(2, {{"loss", 1}});
  }
  std::ofstream(folder / "events.out.tfevents.5000000000.sspo");  // by a clock that was ahead
  {
    EventLog log(folder / "", 1);
    CHECK(fs::path(log.path()).filename() == "events.out.tfevents.5000000001.sspo");
    log.add(2, {{"loss", 1}});
  }
  const std::vector<std::string> names = files_of(folder / "");
  REQUIRE(names.size() == 3);
  const std::vector<std::string> first = events_of(folder / names[0]), last = events_of(folder / names[2]);
  REQUIRE(first.size() == 3);
  REQUIRE(last.size() == 3);
  CHECK(first[0].find("brain.Event:2") != std::string::npos);
  CHECK(last[0].find("brain.Event:2") != std::string::npos);
  CHECK(first[1].substr(9) == scalars_event(0, 1, {{"loss", 2}}).substr(9));  // but for the time
  CHECK(hex(last[1].substr(9)) == "10023a020801");  // step 2: session_log {status: START}
  CHECK(last[2].substr(9) == first[2].substr(9));
}
