// The folder of a run: one writer, one recipe, each step once in the metrics.
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "io/folder.hpp"
#include "sspo/train/run_folder.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;
namespace fs = std::filesystem;

namespace {

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

ErrorKind kind_of(const std::string& path) {
  try {
    RunFolder second(path);
  } catch (const Error& e) {
    return e.info().kind;
  }
  return ErrorKind::internal;
}

}  // namespace

TEST_CASE("run folder: one writer; the second is told who the first is; a dead one holds nothing") {
  const TempFolder folder;
  {
    const RunFolder first(folder / "a/run");
    check_error([&] { RunFolder second(folder / "a/run"); }, {("pid " + std::to_string(getpid())).c_str(), "another process trains here", "choose another --out"});
    CHECK(kind_of(folder / "a/run") == ErrorKind::locked);
  }
  const pid_t child = fork();
  if (child == 0) {
    new RunFolder(folder / "a/run");  // never freed: the process dies with the lock
    _exit(7);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WEXITSTATUS(status) == 7);
  const RunFolder after(folder / "a/run");
  CHECK(content(folder / "a/run/lock") == std::to_string(getpid()) + "\n");
}

TEST_CASE("run folder: another recipe is refused, the differing key named") {
  const TempFolder folder;
  const RunFolder run(folder / "run");
  run.keep_recipe("seed = 1\ntrain.lr = 0.1\n");
  run.keep_recipe("seed = 1\ntrain.lr = 0.1\n");
  check_error([&] { run.keep_recipe("seed = 1\ntrain.lr = 0.2\n"); }, {"recipe.toml: train.lr: the run holds another recipe (expected 0.1, got 0.2)"});
  check_error([&] { run.keep_recipe("seed = 1\ntrain.lr = 0.1\nx = 3\n"); }, {"recipe.toml: x: the run holds another recipe (expected not given, got 3)"});
  check_error([&] { run.keep_recipe("seed = 1\n"); }, {"recipe.toml: train.lr: the run holds another recipe (expected 0.1, got not given)"});
  CHECK(content(folder / "run/recipe.toml") == "seed = 1\ntrain.lr = 0.1\n");
}

TEST_CASE("run folder: room on the disk") {
  const TempFolder folder;
  const RunFolder run(folder / "run");
  run.require_space(1, "a checkpoint");
  check_error([&] { run.require_space(std::uint64_t(1) << 60, "two checkpoints"); }, {"too little room on the disk for two checkpoints", "expected 1099511627776 MiB"});
}

TEST_CASE("metrics: a torn line is dropped, later steps are cut, numbers come back exactly") {
  const TempFolder folder;
  const std::string path = folder / "metrics.jsonl";
  {
    MetricsLog log(path, 0);
    for (Index step = 1; step <= 4; ++step) log.add(step, {{"loss", 0.1 * double(step)}, {"bad", std::numeric_limits<double>::quiet_NaN()}});
    log.sync();
  }
  CHECK(content(path).substr(0, 35) == "{\"step\":1,\"loss\":0.1,\"bad\":null}\n{\"");
  std::ofstream(path, std::ios::app) << "{\"step\":5,\"lo";
  MetricsLog(path, 4);
  CHECK(content(path).find("\"step\":4") != std::string::npos);
  CHECK(content(path).back() == '\n');
  CHECK(content(path).find("\"step\":5") == std::string::npos);
  {
    MetricsLog log(path, 2);
    CHECK(log.last() == 2);
    log.add(3, {{"loss", 9}});
    CHECK(log.last() == 3);
  }
  CHECK(content(path) == "{\"step\":1,\"loss\":0.1,\"bad\":null}\n{\"step\":2,\"loss\":0.2,\"bad\":null}\n{\"step\":3,\"loss\":9.0}\n");
  CHECK(MetricsLog(path, 7).last() == 3);  // 4 to 7 are lost
  MetricsLog(path, 0);
  CHECK(content(path).empty());
}
