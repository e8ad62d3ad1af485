// Promises D1 and D5: two saves with the process killed, the disk full or broken, writes cut short, at every call of the system.
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "io/calls.hpp"
#include "io/folder.hpp"
#include "train/state.hpp"

using namespace sspo;
using namespace sspo::testing;
namespace fs = std::filesystem;

namespace {

struct TwoStates {  // of one run, after steps 1 and 2; made before any fork: a child may not start threads
  SmallRun first, second;
  TwoStates() { first.train(1), second.train(2); }
  void save_both(const std::string& folder) {
    Checkpoints checkpoints(folder, "run");
    checkpoints.save(first.state);
    checkpoints.save(second.state);
    checkpoints.prune(1);
  }
};

long calls_of_two_saves(TwoStates& states) {
  const TempFolder folder(TempFolder::in_memory);
  io::set_fault("any:1000000:eio");
  states.save_both(folder / "c");
  const long calls = io::fault_calls();
  io::set_fault("");
  return calls;
}

// What a run finds when it starts again: nothing yet, or a whole checkpoint. Returns its step; 0: none.
Index resumed_step(const std::string& folder, TwoStates& states) {
  SmallRun run(9);
  std::string said;
  if (!Checkpoints(folder, "run").resume(run.state, [&](const std::string& line) { said += line; })) return 0;
  CHECK(said.empty());  // a killed save leaves nothing that looks like a checkpoint
  CHECK(same(run, run.state.step == 1 ? states.first : states.second));
  return run.state.step;
}

bool leftovers(const std::string& folder) {
  for (const auto& e : fs::recursive_directory_iterator(folder))
    if (e.path().extension() == ".tmp" || e.path().extension() == ".old") return true;
  return false;
}

}  // namespace

TEST_CASE("faults: a kill at every call of two saves leaves the last finished one" * doctest::skip(!io::faults_built_in())) {
  TwoStates states;
  const long calls = calls_of_two_saves(states);
  REQUIRE(calls > 60);
  Index last = 0;
  for (long k = 1; k <= calls; ++k) {
    CAPTURE(k);
    const TempFolder folder(TempFolder::in_memory);
    const pid_t child = fork();
    if (child == 0) {
      io::set_fault(("any:" + std::to_string(k) + ":kill").c_str());
      states.save_both(folder / "c");
      _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    const Index step = resumed_step(folder / "c", states);
    CHECK(step >= last);  // what was finished before a later kill is still there
    last = step;
    states.save_both(folder / "c");
    CHECK(resumed_step(folder / "c", states) == 2);
    CHECK_FALSE(leftovers(folder / "c"));
  }
  CHECK(last == 2);
}

TEST_CASE("faults: a full or broken disk at every call: one error with path and reason, the older checkpoint stays, no remains" * doctest::skip(!io::faults_built_in())) {
  TwoStates states;
  const long calls = calls_of_two_saves(states);
  for (const char* kind : {"enospc", "eio"})
    for (long k = 1; k <= calls; ++k) {
      CAPTURE(kind);
      CAPTURE(k);
      const TempFolder folder(TempFolder::in_memory);
      io::set_fault(("any:" + std::to_string(k) + ":" + kind).c_str());
      bool failed = false;
      try {
        states.save_both(folder / "c");
      } catch (const Error& e) {
        failed = true;
        CHECK(e.info().kind == ErrorKind::io);
        const std::string text = e.what();
        CHECK(text.find(folder.path()) != std::string::npos);
        CHECK(text.find(kind[1] == 'n' ? "No space left on device" : "Input/output error") != std::string::npos);
      }
      io::set_fault("");
      CHECK(failed);
      const Index step = resumed_step(folder / "c", states);
      CHECK_FALSE(leftovers(folder / "c"));
      states.save_both(folder / "c");
      CHECK(resumed_step(folder / "c", states) == 2);
      CHECK(step <= 2);
    }
}

TEST_CASE("faults: short writes and interrupted calls are made up for" * doctest::skip(!io::faults_built_in())) {
  TwoStates states;
  for (const char* op : {"write", "fsync", "open", "read"})
    for (long k = 1;; ++k) {
      CAPTURE(op);
      CAPTURE(k);
      const TempFolder folder(TempFolder::in_memory);
      io::set_fault((std::string(op) + ":" + std::to_string(k) + ":short").c_str());
      states.save_both(folder / "c");
      const long calls = io::fault_calls();
      io::set_fault("");
      CHECK(resumed_step(folder / "c", states) == 2);
      if (calls < k) break;
    }
}

TEST_CASE("faults: the order of a save is that of promise D3" * doctest::skip(!io::faults_built_in())) {
  // A skipped fsync would shift these: files, each its own; the manifest; the folder; then the rename; then the parent.
  TwoStates states;
  const TempFolder folder(TempFolder::in_memory);
  Checkpoints checkpoints(folder / "c", "run");
  for (const char* op : {"fsync", "rename"}) {
    io::set_fault((std::string(op) + ":1000000:eio").c_str());
    checkpoints.save(states.first.state);
    const long calls = io::fault_calls();
    io::set_fault("");
    // Four files (three tensors', the manifest), each synced, renamed, its folder synced; three synced again by name before the
    // manifest; the folder, the parent; `latest` and its folder. A second save moves the first aside.
    CHECK(calls == (std::string(op) == "fsync" ? 4 * 2 + 3 + 2 + 2 : 4 + 1 + 1 + 1));
  }
}

TEST_CASE("faults: what is not understood is refused") {
  for (const char* bad : {"write", "write:0:eio", "write:x:eio", "write:1:fire", "walk:1:eio"})
    check_error([&] { io::set_fault(bad); }, {"SSPO_FAULT", "op:k:kill|enospc|eio|short|hang"});
}
