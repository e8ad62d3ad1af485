// The replay pool: draws, immutability, damage, pruning.
#include <fstream>
#include <array>

#include "io/folder.hpp"
#include "sspo/train/replay.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;
namespace fs = std::filesystem;

namespace {

auto holding(const std::string& text) {
  return [text](const std::string& folder) {
    fs::create_directories(folder + "/unet");
    std::ofstream(folder + "/unet/config.json") << "{}";
    std::ofstream(folder + "/unet/weights") << text;
  };
}

}  // namespace

TEST_CASE("replay: references of a phase; phase 1 has but one") {
  const Rng rng = Rng{42} / "replay";
  for (Index phase = 1; phase <= 20; ++phase) {
    CHECK(draw_reference(ReferencePolicy::initial, rng, phase) == 0);
    CHECK(draw_reference(ReferencePolicy::latest, rng, phase) == phase - 1);
    const Index drawn = draw_reference(ReferencePolicy::uniform, rng, phase);
    CHECK((drawn >= 0 && drawn < phase));
    CHECK(drawn == draw_reference(ReferencePolicy::uniform, Rng{42} / "replay", phase));
  }
  CHECK(draw_reference(ReferencePolicy::uniform, rng, 1) == 0);
  check_error([&] { draw_reference(ReferencePolicy::uniform, rng, 0); }, {"replay: no such phase", "checkpoint 0", "replay_test.cpp"});
}

TEST_CASE("replay: uniform is uniform over 0 ... phase - 1, whatever it is drawn for") {
  std::array<int, 4> by_seed{}, by_batch{}, by_sample{};
  for (std::uint64_t seed = 0; seed < 4000; ++seed) ++by_seed.at(std::size_t(draw_reference(ReferencePolicy::uniform, Rng{seed}, 4)));
  for (Index batch = 0; batch < 4000; ++batch) ++by_batch.at(std::size_t(draw_references(ReferencePolicy::uniform, DrawEvery::batch, Rng{1}, 4, batch, 1)[0]));
  for (const Index i : draw_references(ReferencePolicy::uniform, DrawEvery::sample, Rng{1}, 4, 7, 4000)) ++by_sample.at(std::size_t(i));
  for (const auto& counts : {by_seed, by_batch, by_sample})
    for (const int n : counts) CHECK(std::abs(n - 1000) < 110);  // 4 sigma
}

TEST_CASE("replay: once a phase, once a batch, once a sample") {
  const Rng rng{5};
  const auto draw = [&](DrawEvery every, Index batch, Index samples = 6) { return draw_references(ReferencePolicy::uniform, every, rng, 50, batch, samples); };
  CHECK(draw(DrawEvery::phase, 0) == draw(DrawEvery::phase, 9));
  CHECK(draw(DrawEvery::phase, 0) == std::vector<Index>(6, draw_reference(ReferencePolicy::uniform, rng, 50)));
  CHECK(draw(DrawEvery::batch, 0) != draw(DrawEvery::batch, 1));
  CHECK(draw(DrawEvery::batch, 3) == std::vector<Index>(6, draw(DrawEvery::batch, 3)[0]));
  const std::vector<Index> each = draw(DrawEvery::sample, 3);
  CHECK(each != std::vector<Index>(6, each[0]));
  CHECK(std::equal(each.begin(), each.end(), draw(DrawEvery::sample, 3, 8).begin()));  // a sample's does not depend on the others
  CHECK(draw_references(ReferencePolicy::latest, DrawEvery::sample, rng, 50, 0, 3) == std::vector<Index>(3, 49));
  CHECK(draw_references(ReferencePolicy::initial, DrawEvery::batch, rng, 50, 0, 3) == std::vector<Index>(3, 0));
}

TEST_CASE("replay: what is pushed is opened, verified; a new pool sees it") {
  const TempFolder folder;
  ReplayPool pool(folder / "pool");
  CHECK(pool.size() == 0);
  for (Index i = 0; i < 12; ++i) pool.push(i, holding("weights " + std::to_string(i)), {{"phase", std::to_string(i)}});
  const ReplayPool again(folder / "pool");
  CHECK(again.size() == 12);
  for (Index i = 0; i < 12; ++i) {
    const std::string path = again.open(i);
    CHECK(path == folder / ("pool/" + std::to_string(i)));
    std::string text;
    std::getline(std::ifstream(path + "/unet/weights"), text);
    CHECK(text == "weights " + std::to_string(i));
    CHECK(io::read_manifest(path).about.at("phase") == std::to_string(i));
  }
}

TEST_CASE("replay: checkpoints come in order; one that is there can be pushed again with the same bits alone") {
  const TempFolder folder;
  ReplayPool pool(folder / "pool");
  check_error([&] { pool.push(1, holding("b")); }, {"replay: checkpoints are pushed in order", "checkpoint 0", "replay_test.cpp"});
  pool.push(0, holding("a"));
  const auto written = fs::last_write_time(folder / "pool/0/unet/weights");
  pool.push(0, holding("a"));
  CHECK(fs::last_write_time(folder / "pool/0/unet/weights") == written);
  check_error([&] { pool.push(0, holding("b")); }, {"pool/0: the checkpoint is there already and holds other files", "folder of its own"});
  std::string text;
  std::getline(std::ifstream(folder / "pool/0/unet/weights"), text);
  CHECK(text == "a");
  // A push that fails leaves no checkpoint and no remains.
  CHECK_THROWS_AS(pool.push(1, [](const std::string&) { throw std::runtime_error("disk full"); }), std::runtime_error);
  CHECK(pool.size() == 1);
  CHECK(std::distance(fs::directory_iterator(folder / "pool"), fs::directory_iterator()) == 1);
}

TEST_CASE("replay: a missing or damaged reference is an error that names it (D10)") {
  const TempFolder folder;
  ReplayPool pool(folder / "pool");
  for (Index i = 0; i < 4; ++i) pool.push(i, holding("weights"));
  check_error([&] { pool.open(4); }, {"pool/4: the replay checkpoint is missing", "4 in ", "restore it"});
  check_error([&] { pool.open(-1); }, {"replay: no such checkpoint", "-1"});
  fs::remove_all(folder / "pool/1");
  CHECK(pool.size() == 4);
  check_error([&] { pool.open(1); }, {"pool/1: the replay checkpoint is missing"});
  std::ofstream(folder / "pool/2/unet/weights") << "weightS";
  check_error([&] { pool.open(2); }, {"pool/2/unet/weights: the file is damaged", "SHA-256"});
  fs::remove(folder / "pool/3/MANIFEST.json");
  check_error([&] { pool.open(3); }, {"pool/3: no MANIFEST.json"});
  CHECK(pool.open(0) == folder / "pool/0");
  // What no pool writes is not counted: remains of a killed push, other names.
  for (const char* name : {"7.tmp", "007", "x", "-1", "8x"}) fs::create_directories(folder / ("pool/" + std::string(name)));
  CHECK(pool.size() == 4);
}

TEST_CASE("replay: pruning removes what can never be drawn again, and nothing else") {
  for (const ReferencePolicy policy : {ReferencePolicy::uniform, ReferencePolicy::initial, ReferencePolicy::latest}) {
    CAPTURE(name_of(policy));
    const TempFolder folder;
    ReplayPool pool(folder / "pool");
    for (Index i = 0; i < 5; ++i) pool.push(i, holding("weights"));
    pool.prune(policy, 4);
    for (Index i = 0; i < 5; ++i) {
      const bool drawn = policy == ReferencePolicy::uniform || (policy == ReferencePolicy::initial ? i == 0 : i >= 3);
      CHECK(may_be_drawn(policy, i, 4) == drawn);
      CHECK(fs::exists(folder / ("pool/" + std::to_string(i))) == (drawn || i == 4));  // the last one stays
    }
    for (Index phase = 4; phase <= 5; ++phase)
      for (std::uint64_t seed = 0; seed < 20; ++seed) pool.open(draw_reference(policy, Rng{seed}, phase));
    pool.push(5, holding("more"));
    CHECK(pool.size() == 6);
  }
}
