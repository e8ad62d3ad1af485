// metadata.jsonl, and the json of a tar's sample, from any bytes: names are plain, what is written reads the same, and with bad lines
// skipped the rest is there.
#include <cstdlib>

#include "io/dataset.hpp"

using namespace sspo;
using namespace sspo::io;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const std::vector<Row>& samples) {
  for (const Row& s : samples) {
    for (const std::string& name : {s.picture, s.loser}) require(!name.starts_with("/") && ("/" + name + "/").find("/../") == std::string::npos);
    require(!s.picture.empty() && s.line > 0);
    BadSamples none;
    std::vector<Row> again = parse_metadata(metadata_line(s), {.path = "again"}, none);
    require(again.size() == 1);
    again[0].line = s.line;
    require(again[0] == s);
  }
}

void check_sample(std::string_view json) {
  Row row{.picture = "a.png", .text = {}, .line = 1};
  PairLabels labels;
  const bool captioned = read_sample_json(json, {.path = "f"}, row, &labels);
  require(row.picture == "a.png" && row.loser.empty() && (captioned || row.text.empty()));
  for (const std::optional<double>& label : labels.of) require(!label || (*label >= 0 && *label <= 1));
  check({row});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto refused_well = [](const Error& e) { require(e.info().kind == ErrorKind::file && std::string_view(e.what()).find('\n') == std::string_view::npos); };
  BadSamples all(1 << 30, refused_well), none;
  const std::vector<Row> good = parse_metadata(text, {.path = "f"}, all);
  check(good);
  try {
    require(parse_metadata(text, {.path = "f"}, none) == good && all.count() == 0);
  } catch (const Error& e) {
    refused_well(e);
    require(all.count() > 0);
  }
  try {
    check_sample(text);
  } catch (const Error& e) {
    refused_well(e);
  }
  return 0;
}
