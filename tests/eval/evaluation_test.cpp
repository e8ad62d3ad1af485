// Folders of evaluations: read, held against each other, and against what has been published.
#include <algorithm>
#include <filesystem>

#include "sspo/eval/published.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

constexpr const char* paper = R"({"format": 1, "prompts": {"form": "parquet", "n": 500, "digest": "ab12", "limit": 0},
  "pictures": {"from": "model", "sampler": "pndm", "steps": 50, "guidance": 7.5, "negative_prompt": "", "height": 512, "width": 512, "dtype": "f32"},
  "scoring": {"dtype": "f32", "batch": 8}, "scorers": {"pickscore": "pickscore:v1:00"}})";
const std::string row = R"({"n":0,"prompt":"a","category":"c","seed":0,"picture":"p","scores":{"pickscore:v1:00":{"raw":0.2,"value":20}}})";

std::string changed(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != text.npos);
  return text.replace(at, from.size(), to);
}

std::string folder_of(const std::string& name, const std::string& settings, const std::string& rows, bool finished = true) {
  const std::string folder = "evaluation_test/" + name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  io::write_file(folder + "/eval.json", settings);
  io::write_file(folder + "/scores.jsonl", rows);
  if (finished) io::write_file(folder + "/summary.json", "{}");
  return folder;
}

Evaluation evaluation(const std::string& name, const std::string& settings, const std::string& rows) { return read_evaluation(folder_of(name, settings, rows)); }
// Three prompts, the value of each raised by `shift`.
std::string rows_of(double shift, const std::string& scorer = "pickscore:v1:00") {
  std::string rows;
  for (int i = 0; i < 3; ++i)
    rows += "{\"n\":" + std::to_string(i) + ",\"prompt\":\"a\",\"seed\":5,\"picture\":\"p\",\"scores\":{\"" + scorer + "\":{\"raw\":0.2,\"value\":" + std::to_string(20 + i + shift) + "}}}\n";
  return rows;
}

}  // namespace

TEST_CASE("evaluation: what is there and what is not") {
  const Evaluation e = evaluation("one", paper, row);
  CHECK(e.name == "one");
  CHECK(e.settings.drawn);
  CHECK(e.settings.steps == 50);
  CHECK(e.table.scores[0][0].value == 20);
  check_error([] { read_evaluation("evaluation_test"); }, {"no evaluation", "eval.json"});
  check_error([] { read_evaluation("evaluation_test/none"); }, {"no evaluation", "no folder"});
  check_error([] { read_evaluation(folder_of("cut", paper, row, false)); }, {"the evaluation is not finished"});
  check_error([] { read_evaluation(folder_of("judge", R"({"judge": "ab"})", row)); }, {"judge/eval.json: prompts: is missing"});
  check_error([] { evaluation("steps", changed(paper, "\"steps\": 50", "\"steps\": \"many\""), row); }, {"eval.json: pictures.steps"});
  check_error([] { evaluation("bad", paper, R"({"n":0,"prompt":"a","seed":0,"picture":"p","bad":"x"})"); }, {"no picture was scored"});
}

TEST_CASE("evaluation: compared by prompt; other prompts, versions, weights are refused by name") {
  const Evaluation a = evaluation("a", paper, rows_of(0)), b = evaluation("b", paper, rows_of(0.5));
  const EvaluationComparison c = compare_evaluations({a, b}, 0, Rng{0});
  CHECK(c.names == std::vector<std::string>{"a", "b"});
  REQUIRE(c.scorers.size() == 1);
  CHECK(c.scorers[0].pairs[1].all.comparison.difference.mean == doctest::Approx(0.5));
  CHECK(c.scorers[0].pairs[0].all.comparison.difference.mean == 0);
  CHECK(c.scorers[0].summaries[1].estimate.mean == doctest::Approx(21.5));
  CHECK(compare_evaluations({a, b}, 1, Rng{0}).scorers[0].pairs[0].all.comparison.difference.mean == doctest::Approx(-0.5));

  const auto refused = [&](const Evaluation& other, std::initializer_list<const char*> parts) { check_error([&] { compare_evaluations({a, other}, 0, Rng{0}); }, parts); };
  refused(evaluation("prompts", changed(paper, "ab12", "cd34"), rows_of(0)), {"evaluation_test/prompts", "scores of other prompts than", "ab12", "cd34"});
  refused(evaluation("limit", changed(paper, "\"limit\": 0", "\"limit\": 3"), rows_of(0)), {"other prompts", "--limit 3"});
  refused(evaluation("weights", paper, rows_of(0, "pickscore:v1:11")), {"evaluation_test/weights", "pickscore is of another version, or of other weights", "pickscore:v1:00", "pickscore:v1:11"});
  refused(evaluation("version", paper, rows_of(0, "pickscore:v2:00")), {"pickscore is of another version", "pickscore:v2:00"});
  refused(evaluation("another", paper, rows_of(0, "hpsv2.0:v2.0:00")), {"no scorer that all have", "pickscore, which stands in a alone"});
  refused(evaluation("text", paper, changed(rows_of(0), "\"prompt\":\"a\"", "\"prompt\":\"z\"")), {"prompt 0 is another one"});
  check_error([&] { compare_evaluations({a}, 0, Rng{0}); }, {"two evaluations or more"});
}

TEST_CASE("published: figures stand beside a protocol that is the same, and what differs is named") {
  const auto settings = [](const std::string& json) { return evaluation("p", json, row).settings; };
  const auto named = [](std::string_view name) -> const Protocol& {
    for (const Protocol& p : protocols())
      if (p.name == name) return p;
    FAIL("no such protocol");
    return protocols()[0];
  };
  CHECK(differences(named("paper"), settings(paper)).empty());
  const std::vector<std::string> lpo = differences(named("lpo"), settings(paper));
  REQUIRE(lpo.size() == 2);
  CHECK(lpo[0] == "sampler: ddim there, pndm here");
  CHECK(lpo[1] == "steps: 20 there, 50 here");
  CHECK(differences(named("lpo"), settings(changed(changed(changed(paper, "pndm", "ddim"), "\"steps\": 50", "\"steps\": 20"), "7.5", "5"))).empty());  // its guidance is not told
  CHECK(differences(named("paper"), settings(changed(paper, "7.5", "5"))) == std::vector<std::string>{"guidance: 7.5 there, 5.0 here"});
  CHECK(differences(named("paper"), settings(changed(paper, "\"limit\": 0", "\"limit\": 100")))[0].find("100 of Pick-a-Pic") != std::string::npos);
  CHECK(differences(named("paper"), settings(changed(paper, "parquet", "parti"))).size() == 1);
  CHECK(differences(named("paper"), settings(changed(paper, "\"negative_prompt\": \"\"", "\"negative_prompt\": \"blurry\""))).size() == 1);
  const std::string folder = R"({"prompts": {"form": "parquet", "n": 500, "digest": "ab12"}, "pictures": {"from": "folder", "digest": "x"}, "scoring": {"dtype": "f32", "batch": 8}})";
  CHECK(differences(named("paper"), settings(folder))[0].find("not known here") != std::string::npos);
}

TEST_CASE("published: the table is the specification's") {
  CHECK(published_figures().size() == 21);
  for (const PublishedFigure& f : published_figures()) {
    CHECK(std::any_of(protocols().begin(), protocols().end(), [&](const Protocol& p) { return p.name == f.protocol; }));
    const double low = f.scorer == "pickscore" ? 20 : f.scorer == "hpsv2.0" ? 26 : 0, high = f.scorer == "pickscore" ? 22 : f.scorer == "hpsv2.0" ? 28 : 1;
    CHECK(f.value >= low);
    CHECK(f.value <= high);
  }
}
