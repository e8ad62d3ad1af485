// Scoring that is stopped, resumed, killed and given bad pictures; scorers are functions of the pixels and the text.
#include <algorithm>
#include <filesystem>
#include <limits>

#include "io/calls.hpp"
#include "sspo/eval/scoring.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;
namespace fs = std::filesystem;

namespace {

struct Bench {
  std::string folder;
  std::vector<PromptPicture> pictures;
  int reads = 0, loads = 0, held = 0, most_held = 0;
  std::vector<std::string> calls;

  explicit Bench(const std::string& name, Index count = 11) : folder("scoring_test/" + name) {
    fs::remove_all(folder);
    for (Index i = 0; i < count; ++i) pictures.push_back({i, "prompt " + std::to_string(i), {}, 0, std::to_string(i) + ".png"});
  }
  io::Image read(Index i) {
    ++reads;
    return io::make_image(2, 2, std::uint8_t(i));
  }
  struct Held {  // as long as its scorer
    Bench* bench;
    explicit Held(Bench* b) : bench(b) { bench->most_held = std::max(bench->most_held, ++bench->held); }
    ~Held() { --bench->held; }
  };
  NamedScorer scorer(const std::string& name, double scale, std::uint64_t bytes = 100, const std::string& hash = "0123456789", double at_seven = 0) {
    return {name, bytes, [=, this] {
              ++loads;
              const auto weights = std::make_shared<Held>(this);
              return Scorer{name, "v1", hash, bytes, [=, this](std::span<const io::Image> images, std::span<const std::string> prompts) {
                              calls.push_back((weights->bench ? name : "") + " " + std::to_string(images.size()));
                              std::vector<Score> scores;
                              for (std::size_t i = 0; i < images.size(); ++i) {
                                const double raw = images[i].rgb[0] + double(prompts[i].size()) / 1024 + double(images.size()) * 1e-9;  // the batch shows in the last bits
                                scores.push_back({raw, raw * scale + (images[i].rgb[0] == 7 ? at_seven : 0)});
                              }
                              return scores;
                            }};
            }};
  }
  ScoreTable run(const std::vector<NamedScorer>& scorers, ScoringOptions options = {}) {
    if (options.batch == 8) options.batch = 3;
    return score_pictures(folder, pictures, [this](Index i) { return read(i); }, scorers, options);
  }
  std::string rows(const char* name) const { return io::File(folder + "/scores/" + name + ".jsonl").text(1 << 20); }
};

struct Stop {};

}  // namespace

TEST_CASE("scoring: one scorer after the other unless both fit, and the same scores") {
  Bench apart("apart"), together("together");
  const ScoreTable a = apart.run({apart.scorer("p", 10), apart.scorer("q", 100)});
  const ScoreTable b = together.run({together.scorer("p", 10), together.scorer("q", 100)}, {.budget = 250});
  CHECK(apart.most_held == 1);
  CHECK(together.most_held == 2);
  CHECK(apart.reads == 22);
  CHECK(together.reads == 11);
  CHECK(score_lines(a) == score_lines(b));
  CHECK(a.scorers == std::vector<std::string>{"p:v1:0123456789", "q:v1:0123456789"});
  CHECK(a.scores[1][4].value == doctest::Approx(100 * (4 + 8.0 / 1024)));
  CHECK(apart.rows("p") == together.rows("p"));
  CHECK(apart.held == 0);
  CHECK(apart.run({apart.scorer("p", 10), apart.scorer("q", 100)}).bad.size() == 11);
  CHECK(apart.loads == 2);  // what is finished is not loaded again
  check_error([&] { Bench("small").run({apart.scorer("p", 1)}, {.budget = 99}); }, {"--max-memory", "p:v1:0123456789", "got", "99"});
}

TEST_CASE("scoring: stopped after any batch, and killed in the middle of a line, it ends with the same rows") {
  Bench whole("whole");
  const std::string lines = score_lines(whole.run({whole.scorer("p", 10), whole.scorer("q", 100)}));
  for (int stop = 1; stop <= 8; ++stop) {
    Bench cut("cut");
    int batches = 0;
    const ScoringOptions stopping{.progress = [&](Index, Index, const std::string&) { if (++batches == stop) throw Stop{}; }};
    try {
      cut.run({cut.scorer("p", 10), cut.scorer("q", 100)}, stopping);
    } catch (const Stop&) {
    }
    const std::string kept = cut.rows(stop <= 4 ? "p" : "q");
    CHECK(std::count(kept.begin(), kept.end(), '\n') == 1 + std::min<Index>(11, 3 * (stop <= 4 ? stop : stop - 4)));
    const int before = cut.reads;
    CHECK(score_lines(cut.run({cut.scorer("p", 10), cut.scorer("q", 100)})) == lines);
    CHECK(cut.reads - before == 22 - std::min(11, 3 * std::min(stop, 4)) - (stop > 4 ? std::min(11, 3 * (stop - 4)) : 0));
  }
  const std::string p = whole.rows("p");
  for (std::size_t bytes = 0; bytes < p.size(); bytes += 7) {  // a file cut anywhere, and rubbish behind
    for (const char* tail : {"", "{\"n\":", "\xFF\xFE\n{}\n"}) {
      io::write_file(whole.folder + "/scores/p.jsonl", p.substr(0, bytes) + tail);
      CHECK(score_lines(whole.run({whole.scorer("p", 10), whole.scorer("q", 100)})) == lines);
      CHECK(whole.rows("p") == p);
    }
  }
}

TEST_CASE("scoring: rows of other weights or batches are refused") {
  Bench b("other");
  try {
    b.run({b.scorer("p", 10)}, {.progress = [](Index, Index, const std::string&) { throw Stop{}; }});
  } catch (const Stop&) {
  }
  const std::string kept = b.rows("p");
  check_error([&] { b.run({b.scorer("p", 10, 100, "9999999999")}); }, {"p.jsonl: scorer: the folder holds scores of another evaluation", "p:v1:9999999999", "p:v1:0123456789"});
  check_error([&] { b.run({b.scorer("p", 10)}, {.batch = 4}); }, {"p.jsonl: batch: ", "got 3"});
  check_error([&] { b.run({b.scorer("../p", 10)}); }, {"--scorers"});
  CHECK(b.rows("p") == kept);
}

TEST_CASE("scoring: a score that is not finite names picture and scorer, and finished rows stay") {
  for (const double bad : {double(INFINITY), double(NAN)}) {
    Bench b("infinite");
    const auto attempt = [&] { b.run({b.scorer("p", 10), b.scorer("q", 1, 100, "0123456789", bad)}); };
    check_error(attempt, {"7.png", "the score of q:v1:0123456789 is not finite"});
    try {
      attempt();
    } catch (const Error& e) {
      CHECK(e.info().kind == ErrorKind::file);
    }
    const std::vector<NamedScorer> both = {b.scorer("p", 10), b.scorer("q", 1)};
    CHECK(finished_scores(b.folder, b.pictures, both).pictures.size() == 6);  // two batches of three
  }
}

TEST_CASE("scoring: a scorer that says itself that a number is not finite") {
  Bench b("says");
  const NamedScorer angry{"p", 1, [] {
                            return Scorer{"p", "v1", "00", 1, [](std::span<const io::Image> images, std::span<const std::string>) {
                                            for (const io::Image& image : images)
                                              if (image.rgb[0] == 4) fail({.op = "p", .what = "the score is not finite", .kind = ErrorKind::non_finite}, Site{});
                                            return std::vector<Score>(images.size());
                                          }};
                          }};
  check_error([&] { b.run({angry}); }, {"4.png: p:v1:00: the score is not finite"});
}

TEST_CASE("scoring: unreadable pictures are named, counted, passed over") {
  Bench b("bad");
  std::vector<std::string> told;
  const auto read = [&](Index i) -> io::Image {
    if (i % 4 == 1) io::bad_file({.path = std::to_string(i) + ".png"}, "no picture");
    return b.read(i);
  };
  const std::vector<NamedScorer> both = {b.scorer("p", 10), b.scorer("q", 100)};
  const auto run = [&](Index skip) {
    return score_pictures(b.folder, b.pictures, read, both, {.batch = 3, .skip_bad = skip, .say = [&](const std::string& s) { if (s.starts_with("passed")) told.push_back(s); }});
  };
  check_error([&] { run(0); }, {"1.png: no picture"});
  check_error([&] { run(2); }, {"9.png: no picture"});
  told.clear();
  const ScoreTable t = run(3);
  CHECK(told.size() == 1);  // 1 and 5 stand in the rows that were kept
  CHECK(t.bad[1].find("1.png: no picture") != std::string::npos);
  CHECK(t.bad[9] == "9.png: no picture");
  CHECK(t.bad[2].empty());
  CHECK(t.scores[0][2].raw == doctest::Approx(2 + 8.0 / 1024));
  CHECK(b.calls[0] == "p 2");  // of three
  const ScoreTable back = parse_scores(score_lines(t), {.path = "f"});
  CHECK(score_lines(back) == score_lines(t));
  CHECK(summarise(back, "p:v1:0123456789", Rng{0}).pictures == 8);
}

TEST_CASE("scoring: a full disk keeps what was there") {
  if (!io::faults_built_in()) return;
  Bench whole("whole-2"), b("full");
  const std::string lines = score_lines(whole.run({whole.scorer("p", 10)}));
  for (const char* fault : {"write:1:enospc", "write:3:eio", "write:2:short", "fsync:1:eio", "open:2:enospc"}) {
    fs::remove_all(b.folder);
    io::set_fault(fault);
    try {
      b.run({b.scorer("p", 10)});
    } catch (const Error& e) {
      CHECK(e.info().kind == ErrorKind::io);
    }
    io::set_fault("");
    CHECK(score_lines(b.run({b.scorer("p", 10)})) == lines);
  }
}
