// The ladder of cuda/ladder: every rung right, and better than the one below it in the way that README.md says.
#include "ladder/ladder.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>

#include "device_test.hpp"

using namespace sspo::cuda;

namespace {

// What the program `ladder` prints.
const std::string& printed() {
  static const std::string text = [] {
    std::string all;
    char part[4096];
    std::FILE* const pipe = popen(SSPO_LADDER, "r");
    REQUIRE(pipe);
    while (const std::size_t n = std::fread(part, 1, sizeof part, pipe)) all.append(part, n);
    REQUIRE(pclose(pipe) == 0);
    return all;
  }();
  return text;
}

struct Row {
  double read, written, per_fewest, per_distinct, distinct_kib, floor_kib, wavefronts, wavefronts_per_fewest, mma, flops, barriers;
};
std::map<std::string, Row> table() {
  std::map<std::string, Row> rows;
  std::istringstream lines(printed());
  for (std::string line; std::getline(lines, line);) {
    const std::size_t end = line.find(" | ");
    if (!line.starts_with("| ") || end == std::string::npos) continue;
    std::string numbers = line.substr(end);
    for (char& c : numbers) c = c == '|' ? ' ' : c;
    std::istringstream in(numbers);
    Row r;
    if (in >> r.read >> r.written >> r.per_fewest >> r.per_distinct >> r.distinct_kib >> r.floor_kib >> r.wavefronts >>
        r.wavefronts_per_fewest >> r.mma >> r.flops >> r.barriers)
      rows[line.substr(2, end - 2)] = r;
  }
  return rows;
}

}  // namespace

TEST_CASE("ladder: every rung computes its problem, in any schedule") {
  for (const ladder::Rung& rung : ladder::all_rungs()) {
    CAPTURE(rung.name);
    const std::vector<float> expected = rung.reference();
    std::vector<float> first;
    for (const std::uint64_t schedule : {0u, 1u, 2u}) {
      TestDevice device;
      set_schedule(schedule);
      reset_findings();
      const std::vector<float> got = rung.run(device.ctx);
      set_schedule(0);
      for (const Finding& f : findings()) FAIL_CHECK(f.text());
      if (schedule == 0) first = got;
      CHECK(got == first);
    }
    REQUIRE(first.size() == expected.size());
    int wrong = 0;
    for (std::size_t i = 0; i < first.size(); ++i)
      wrong += !(std::abs(double(first[i]) - expected[i]) <= rung.tolerance);  // NaN is wrong, too
    CHECK(wrong == 0);
  }
}

TEST_CASE("ladder: README.md shows what the program prints" * doctest::skip(!checking())) {
  std::stringstream page;
  page << std::ifstream(SSPO_SOURCE_DIR "/cuda/ladder/README.md").rdbuf();
  const bool same = page.str().find("<!-- printed by ladder -->\n" + printed() + "<!-- end -->\n") != std::string::npos;
  if (!same) FAIL("run `" SSPO_LADDER " cuda/ladder/README.md`: it prints now\n" << printed());
}

TEST_CASE("ladder: each rung improves what it promises to" * doctest::skip(!checking())) {
  const std::map<std::string, Row> rows = table();
  REQUIRE(rows.size() == ladder::all_rungs().size());
  for (const auto& entry : rows) {
    const std::string& name = entry.first;
    const Row& r = entry.second;
    CAPTURE(name);
    const int number = name.back() - '0';
    const bool strided = name == "attention 1" || name == "group norm 1" || name == "group norm 2";
    CHECK((r.per_fewest == 1) == !strided);
    // cuda-sim cuts a request of cp.async in two where some of its lanes get zeros.
    CHECK(r.wavefronts_per_fewest <= (name == "conv 3" ? 1.01 : 1));
    CHECK((r.distinct_kib == r.floor_kib) == (name != "attention 1"));  // only that one has intermediate results
    const bool last_of_a_product = name == "gemm 4" || name == "conv 3" || name == "attention 3";
    CHECK(r.mma == (last_of_a_product ? r.flops : 0));
    if (number > 1) CHECK(r.per_distinct < rows.at(name.substr(0, name.size() - 1) + char('0' + number - 1)).per_distinct);
  }
  const auto row = [&](const char* name) { return rows.at(name); };

  // A tile of 32 (of 64) reads each number of a factor once for 32 (64) results; bf16 halves the sectors.
  const double products = 128.0 * 128 * 128, in_a_sector = 8;
  CHECK(row("gemm 2").read == 2 * products / 32 / in_a_sector);
  CHECK(row("gemm 3").read == row("gemm 2").read / 2);
  CHECK(row("gemm 4").read == row("gemm 3").read / 2);
  CHECK(row("gemm 1").read > 16 * row("gemm 2").read);
  CHECK(row("gemm 3").wavefronts < row("gemm 2").wavefronts / 7);
  CHECK(row("gemm 4").wavefronts < row("gemm 3").wavefronts / 5);
  CHECK(row("gemm 4").barriers <= row("gemm 3").barriers / 2);

  CHECK(row("conv 1").read > 32 * row("conv 2").read);
  CHECK(row("conv 3").read < 0.51 * row("conv 2").read);
  CHECK(row("conv 3").wavefronts < row("conv 2").wavefronts / 5);

  CHECK(row("attention 1").distinct_kib == row("attention 2").distinct_kib + 4 * 128);  // [2, 128, 128] f32, moved four times
  CHECK(row("attention 1").read > 40 * row("attention 2").read);
  CHECK(row("attention 3").read < row("attention 2").read / 3);
  CHECK(row("attention 3").wavefronts < row("attention 2").wavefronts / 20);

  CHECK(row("group norm 2").read < 0.35 * row("group norm 1").read);
  CHECK(row("group norm 3").read < row("group norm 2").read / 7);
  CHECK(row("group norm 3").written == row("group norm 2").written / 8);
  CHECK(row("group norm 3").wavefronts < row("group norm 2").wavefronts);
  CHECK(row("group norm 3").barriers == row("group norm 2").barriers / 5);
}
