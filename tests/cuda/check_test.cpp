// The checker: every planted mistake is found and called by its name, in its line, under several schedules; without the mistake
// nothing is found.
#include <doctest/doctest.h>

#include <fstream>

#include "planted.hpp"
#include "sim/sim.hpp"

using namespace sspo::cuda;

namespace {

// The line of tests/cuda/planted.cpp that ends in "// ! name".
std::string marked_line(const std::string& name) {
  std::ifstream file(SSPO_SOURCE_DIR "/tests/cuda/planted.cpp");
  std::string line;
  for (int number = 1; std::getline(file, line); ++number)
    if (const auto at = line.rfind("// ! "); at != std::string::npos && line.substr(at + 5) == name) return "planted.cpp:" + std::to_string(number);
  return "";
}

}  // namespace

TEST_CASE("the checker finds every planted mistake by name and line, whatever the schedule") {
  REQUIRE(checking());
  CHECK(planted::bugs().size() >= 20);
  for (const planted::Bug& bug : planted::bugs()) {
    CAPTURE(bug.name);
    for (std::uint64_t seed : {0, 1, 2, 3}) {
      CAPTURE(seed);
      set_schedule(seed);
      reset_findings();
      bug.run(true);
      bool found = false;
      std::string all;
      for (const Finding& f : findings()) {
        all += f.text() + "\n";
        const bool here = !bug.marker || f.where == marked_line(bug.marker) || f.earlier == marked_line(bug.marker);
        found |= f.kind == bug.kind && f.kernel == bug.name && here;
      }
      INFO(all);
      CHECK(found);
      reset_findings();
    }
  }
  set_schedule(0);
}

TEST_CASE("the checker finds nothing in the same kernels without the mistake") {
  for (const planted::Bug& bug : planted::bugs())
    for (std::uint64_t seed : {0, 1, 2, 3}) {
      CAPTURE(bug.name);
      set_schedule(seed);
      reset_findings();
      bug.run(false);
      std::string all;
      for (const Finding& f : findings()) all += f.text() + "\n";
      INFO(all);
      CHECK(findings().empty());
      reset_findings();
    }
  set_schedule(0);
}
