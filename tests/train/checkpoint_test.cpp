// Checkpoints: the same bits after a resume; damage of every kind noticed and named; nothing silently started anew.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>

#include "io/folder.hpp"
#include "train/state.hpp"

using namespace sspo;
using namespace sspo::testing;
namespace fs = std::filesystem;

namespace {

struct Said {
  std::string text;
  Function<void(const std::string&)> hear() { return [this](const std::string& line) { text += line + "\n"; }; }
};

// Checkpoints at steps 2 and 4 of one run.
void save_two(const std::string& folder) {
  SmallRun run;
  Checkpoints checkpoints(folder, "run-a");
  for (int i = 0; i < 2; ++i) {
    run.train(2);
    run.state.notes["seen"] = std::to_string(run.state.step);
    checkpoints.save(run.state);
  }
}

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void overwrite(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes; }

}  // namespace

TEST_CASE("checkpoint: a resumed run has the bits of the uninterrupted one: weights, moments, average, notes") {
  const TempFolder folder(TempFolder::in_memory);
  SmallRun whole;
  whole.train(4);
  whole.state.notes["seen"] = "4";
  save_two(folder / "c");
  Checkpoints checkpoints(folder / "c", "run-a");
  CHECK(checkpoints.steps() == std::vector<Index>{2, 4});
  CHECK(content(folder / "c/latest") == "step-4\n");
  SmallRun resumed(99);
  Said said;
  REQUIRE(checkpoints.resume(resumed.state, said.hear()));
  CHECK(said.text.empty());
  CHECK(resumed.state.notes.at("seen") == "4");
  CHECK(same(resumed, whole));
  resumed.train(3), whole.train(3);
  CHECK(same(resumed, whole));
}

TEST_CASE("checkpoint: each file truncated, flipped, removed, emptied, swapped or foreign: named, and the older one is taken") {
  const std::vector<std::string> files = {"params.safetensors", "optimizer.safetensors", "ema.safetensors", "MANIFEST.json"};
  SmallRun at2;
  at2.train(2);
  at2.state.notes["seen"] = "2";
  const TempFolder good(TempFolder::in_memory);
  save_two(good / "c");
  for (const std::string& file : files)
    for (const char* damage : {"truncated", "flipped", "removed", "empty", "swapped"}) {
      CAPTURE(file);
      CAPTURE(damage);
      const TempFolder folder(TempFolder::in_memory);
      fs::copy(good / "c", folder / "c", fs::copy_options::recursive);
      const std::string path = folder / ("c/step-4/" + file), kind = damage;
      std::string bytes = content(path);
      if (kind == "truncated") overwrite(path, bytes.substr(0, bytes.size() - 3));
      if (kind == "flipped") bytes[bytes.size() - 5] = char(bytes[bytes.size() - 5] ^ 1), overwrite(path, bytes);
      if (kind == "removed") fs::remove(path);
      if (kind == "empty") overwrite(path, "");
      if (kind == "swapped") overwrite(path, content(folder / ("c/step-2/" + file)));
      Checkpoints checkpoints(folder / "c", "run-a");
      SmallRun resumed(99);
      Said said;
      REQUIRE(checkpoints.resume(resumed.state, said.hear()));
      CHECK(said.text.find("passed over ") == 0);
      CHECK(said.text.find("step-4") != std::string::npos);
      CHECK(std::count(said.text.begin(), said.text.end(), '\n') == 1);
      CHECK(same(resumed, at2));
      resumed.train(2);  // and the damaged one is written anew
      checkpoints.save(resumed.state);
      SmallRun again(5);
      REQUIRE(checkpoints.resume(again.state, said.hear()));
      CHECK(again.state.step == 4);
      CHECK_FALSE(fs::exists(folder / "c/step-4.old"));
    }
}

TEST_CASE("checkpoint: a foreign file, another run's, another model's; none valid is an error") {
  const TempFolder folder(TempFolder::in_memory);
  save_two(folder / "c");
  overwrite(folder / "c/step-4/notes.txt", "mine");
  Said said;
  SmallRun run(9);
  Checkpoints checkpoints(folder / "c", "run-a");
  REQUIRE(checkpoints.resume(run.state, said.hear()));
  CHECK(run.state.step == 2);
  CHECK(said.text.find("notes.txt: the manifest does not list this file") != std::string::npos);

  SmallRun other(9), untouched(9);
  check_error([&] { Checkpoints(folder / "c", "run-b").resume(other.state, said.hear()); }, {"no valid checkpoint", "2, the newest", "start anew in another folder"});
  CHECK(said.text.find("the checkpoint of another run (expected run-b, got run-a)") != std::string::npos);
  CHECK(same(other, untouched));
  SmallRun wide(9, 6), plain(9, 5, false);
  fs::remove(folder / "c/step-4/notes.txt");
  check_error([&] { checkpoints.load(folder / "c/step-4", wide.state); }, {"params.safetensors", "layer.", "the tensor does not fit", "[6"});
  check_error([&] { checkpoints.load(folder / "c/step-4", plain.state); }, {"ema.safetensors", "not asked for"});
  fs::rename(folder / "c/step-4", folder / "c/step-9");
  check_error([&] { checkpoints.load(folder / "c/step-9", run.state); }, {"about.step: not the folder's (expected 9, got 4)"});
}

TEST_CASE("checkpoint: no checkpoint yet is a start, checkpoints that are gone are not") {
  const TempFolder folder(TempFolder::in_memory);
  SmallRun run;
  CHECK_FALSE(Checkpoints(folder / "c", "run-a").resume(run.state, [](const std::string&) {}));
  save_two(folder / "c");
  fs::remove_all(folder / "c/step-2");
  fs::remove_all(folder / "c/step-4");
  check_error([&] { Checkpoints(folder / "c", "run-a").resume(run.state, [](const std::string&) {}); }, {"the checkpoints of this run are gone"});
}

TEST_CASE("checkpoint: pruned only after the save; leftovers of killed saves go") {
  const TempFolder folder(TempFolder::in_memory);
  Checkpoints checkpoints(folder / "c", "run-a");
  SmallRun run;
  for (int i = 0; i < 5; ++i) run.train(1), checkpoints.save(run.state);
  checkpoints.prune(2);
  CHECK(checkpoints.steps() == std::vector<Index>{4, 5});
  checkpoints.prune(0);
  CHECK(checkpoints.steps() == std::vector<Index>{5});
  fs::create_directories(folder / "c/step-6.tmp");
  overwrite(folder / "c/step-6.tmp/params.safetensors", "torn");
  CHECK(Checkpoints(folder / "c", "run-a").steps() == std::vector<Index>{5});
  CHECK_FALSE(fs::exists(folder / "c/step-6.tmp"));
}

TEST_CASE("checkpoint: never holds a number that is not finite") {
  const TempFolder folder(TempFolder::in_memory);
  SmallRun run;
  run.train(1);
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    run.params["layer.bias"].assign(full({5}, bad));
    check_error([&] { Checkpoints(folder / "c", "run-a").save(run.state); }, {"'layer.bias' is not finite after step 1"});
    CHECK(Checkpoints(folder / "c", "run-a").steps().empty());
  }
  CHECK(all_finite(full({3}, 3e38)));
  CHECK(all_finite(full({3}, 1e300, DType::f64)));
  CHECK_FALSE(all_finite(full({3}, std::numeric_limits<double>::infinity(), DType::bf16)));
}

TEST_CASE("adamw: restore refuses moments that do not fit") {
  SmallRun run;
  check_error([&] { run.adamw.restore(3, [](const char*, const Param&) { return zeros({2}); }); }, {"the state m does not fit the parameter 'layer.weight'"});
  check_error([&] { run.adamw.restore(-1, nullptr); }, {"no number of steps"});
}
