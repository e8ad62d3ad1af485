// What the paragraph says, on planted numbers: never more than its intervals support.
#include "report/reading.hpp"

#include <algorithm>

#include "report/pair_section.hpp"
#include "sspo/ops/create.hpp"
#include "report/page_text.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::report;

namespace {

// `prompts` with two pictures each; style is normal about `mean`.
Scored scored(Index prompts, double mean, std::uint64_t seed, const std::string& split = "train") {
  const std::vector<double> x = testing::numbers(normal(Rng{seed}, {prompts * 2}));
  Scored s;
  for (Index i = 0; i < prompts * 2; ++i) s.rows.push_back({"name " + std::to_string(i / 2), split, i % 2, 0, 0, mean + 0.1 * x[std::size_t(i)], 0, double(1 + i % 2)});
  return s;
}
const Measure& style() { return measures()[2]; }

}  // namespace

TEST_CASE("scores: means by split, rank 1 counts") {
  Scored s = scored(4, 0.5, 1);
  s.rows.push_back({"other", "held-out", 0, 1, 1, 1, 1, 1});
  CHECK(mean_of(s, measures()[4], "train") == 0.5);
  CHECK(mean_of(s, measures()[4], "held-out") == 1);
  CHECK(std::isnan(mean_of(s, style(), "nowhere")));
  CHECK(splits_of({&s}) == std::vector<std::string>{"train", "held-out"});
  const OverSeeds o = over_seeds({1, 2, 3, NAN});
  CHECK(o.seeds == 3);
  CHECK(o.mean == 2);
  CHECK(o.deviation == 1);
  CHECK(std::isnan(over_seeds({1}).deviation));
}

TEST_CASE("difference: paired by name and picture, one value a prompt") {
  const Scored base = scored(40, 0.5, 1);
  Scored shifted = base;
  for (Score& row : shifted.rows) row.style += 0.05;
  std::reverse(shifted.rows.begin(), shifted.rows.end());  // order does not matter: the pairs are found by name
  const Difference d = difference({{&shifted, &base}}, style(), "train", Rng{1});
  CHECK(d.prompts == 40);
  CHECK(d.seeds == 1);
  CHECK(d.mean == doctest::Approx(0.05));
  CHECK(d.low == doctest::Approx(0.05));   // the same in each prompt: no spread
  CHECK(d.high == doctest::Approx(0.05));
  CHECK(d.p < 0.01);
  CHECK(difference({{&shifted, &base}}, style(), "held-out", Rng{1}).prompts == 0);
  CHECK(difference({}, style(), "train", Rng{1}).prompts == 0);
}

TEST_CASE("reading: a difference outside the noise is told with its interval, one inside is not") {
  const Scored base = scored(60, 0.5, 1), better = scored(60, 0.6, 2), same = scored(60, 0.5, 3), worse = scored(60, 0.4, 4);
  const auto of = [&](const Scored& a) { return difference({{&a, &base}}, style(), "train", Rng{7}); };
  CHECK(verdict(of(better)) == Verdict::higher);
  CHECK(verdict(of(worse)) == Verdict::lower);
  CHECK(verdict(of(same)) == Verdict::equal);
  CHECK(holds(claim(of(better)), "higher by 0."));
  CHECK(holds(claim(of(worse)), "lower by 0."));
  CHECK(holds(claim(of(same)), "cannot be told apart"));
}

TEST_CASE("reading: words") {
  const Difference up{.prompts = 128, .seeds = 3, .agree = 3, .mean = 0.05, .low = 0.01, .high = 0.09, .p = 0.01};
  const Difference down{.prompts = 128, .seeds = 3, .agree = 3, .mean = -0.05, .low = -0.09, .high = -0.01, .p = 0.01};
  const Difference none{.prompts = 128, .seeds = 3, .agree = 2, .mean = 0.01, .low = -0.03, .high = 0.05, .p = 0.6};
  const Difference uneven{.prompts = 128, .seeds = 3, .agree = 2, .mean = 0.05, .low = 0.01, .high = 0.09, .p = 0.01};
  const Difference few{.prompts = 4, .seeds = 3, .agree = 3, .mean = 0.5, .low = 0.4, .high = 0.6, .p = 0.1};
  CHECK(claim(up) == "higher by 0.050 [0.010, 0.090]");
  CHECK(claim(down) == "lower by 0.050 [0.010, 0.090]");
  CHECK(claim(none) == "cannot be told apart (+0.010 [\u22120.030, 0.050])");
  CHECK(claim(uneven) == "higher by 0.050 [0.010, 0.090] on average, but in 2 of 3 seeds only");
  CHECK(claim(few) == "too few prompts to say (4)");
  CHECK(reading("SSPO", "SFT", {{"near", down}, {"R@1", up}, {"style", none}}) ==
        "SSPO against SFT: near lower by 0.050 [0.010, 0.090], R@1 higher by 0.050 [0.010, 0.090]; cannot be told apart by style (+0.010 [\u22120.030, 0.050]).");
  CHECK(reading("SSPO", "SFT", {{"near", none}}) == "SSPO against SFT: cannot be told apart by near (+0.010 [\u22120.030, 0.050]).");
  CHECK(reading("SSPO", "SFT", {{"near", few}}) == "SSPO against SFT: too few prompts to say.");
  Difference one = up;
  one.seeds = one.agree = 1;
  CHECK(reading("SSPO", "SFT", {{"near", one}}) == "SSPO against SFT: near higher by 0.050 [0.010, 0.090] (one seed alone).");
}

TEST_CASE("reading: the gate in words, of every sign") {
  PairRow r{.t = 300, .a_tw = 0.07, .a_rw = 0.08, .a_tr = 0.1, .a_rr = 0.1, .d_w = -0.01, .d_r = 0, .s = 1, .z = 1, .loss = 0.313};
  CHECK(gate_sentence(r, "sign", "self-sample") ==
        "t = 300: on the winner the policy errs by 0.0700, the reference by 0.0800: the policy is already better there, s = +1, the self-sample counts as a loser, and the step pulls the error on the winner down and "
        "pushes that on the self-sample up; z = +1.000, loss 0.313.");
  CHECK(holds(gate_sentence(r, "", "loser"), "no gate: the loser is a loser whatever"));
  CHECK(holds(gate_sentence(r, "none", "self-sample"), "The gate is off (s = +1)"));
  r.a_tw = 0.09, r.s = -1;
  CHECK(holds(gate_sentence(r, "sign", "self-sample"), "the reference is better there, s = \u22121, its self-sample counts as a second winner"));
  CHECK(holds(gate_sentence(r, "random", "self-sample"), "at random, s = \u22121: the step pulls the error on both down"));
  r.s = 0;
  CHECK(holds(gate_sentence(r, "indicator", "self-sample"), "leaves the self-sample out"));
  r.a_tw = r.a_rw;
  CHECK(holds(gate_sentence(r, "sign", "self-sample"), "a tie, s = 0"));
  r.s = 1;
  CHECK(holds(gate_sentence(r, "sign", "self-sample"), "a tie, s = +1, the self-sample counts as a loser"));
}
