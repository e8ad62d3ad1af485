// Objectives against the numbers and the facts of the method's specification, §2.1, and G3: nothing flows through s and
// the reference, softplus at its extremes, ties.
#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "sspo/grad/backward.hpp"
#include "sspo/train/objective.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
using Four = std::array<double, 4>;  // a_tw, a_rw, a_tr, a_rr

Tensor doubles(const std::vector<double>& x) { return Tensor::from(x, {Index(x.size())}); }

// Every error tracked: what must not carry a gradient then shows.
PairErrors tracked_errors(const std::vector<Four>& rows) {
  const auto column = [&](std::size_t i, const char* name) {
    std::vector<double> x;
    for (const Four& row : rows) x.push_back(row[i]);
    return track(doubles(x), name);
  };
  return {column(0, "theta_w"), column(1, "ref_w"), column(2, "theta_r"), column(3, "ref_r")};
}

double at(const Tensor& x, Index i = 0) { return x.item<double>(i); }
double slope(const Gradients& g, const Tensor& x, Index i = 0) { return g.find(x) ? at(contiguous(*g.find(x)), i) : 0; }

struct Vector {
  Four a;
  const char* gate;
  double s, z, loss, d_tw, d_tr;
};
const Vector specified[] = {
    {{.100, .101, .200, .199}, "sign", 1, 2, 0.126928, 119.202922, -119.202922},
    {{.101, .100, .200, .199}, "sign", -1, -2, 2.126928, 880.797078, 880.797078},
    {{.101, .100, .200, .199}, "indicator", 0, -1, 1.313262, 731.058579, 0},
    {{.101, .100, .200, .199}, "none", 1, 0, 0.693147, 500, -500},
    {{.101, .100, .198, .199}, "sign", -1, 0, 0.693147, 500, 500},
    {{.101, .100, .198, .199}, "none", 1, -2, 2.126928, 880.797078, -880.797078},
    {{.0995, .100, .200, .200}, "sign", 1, 0.5, 0.474077, 377.540669, -377.540669},
    {{.1005, .100, .200, .200}, "sign", -1, -0.5, 0.974077, 622.459331, 622.459331},
    {{.100, .100, .200, .200}, "sign", 0, 0, 0.693147, 500, 0},
};

// A batch of every relation that matters: gains and losses of both sizes, ties.
std::vector<Four> varied_rows() {
  std::vector<Four> rows;
  for (const double w : {-2e-3, -1e-4, 0.0, 3e-4, 2e-3})
    for (const double r : {-1.5e-3, 0.0, 7e-4}) rows.push_back({0.1 + w, 0.1, 0.2 + r, 0.2});
  return rows;
}

}  // namespace

TEST_CASE("sspo: the specification's vectors") {
  for (const Vector& v : specified) {
    CAPTURE(v.gate);
    CAPTURE(v.z);
    const PairErrors a = tracked_errors({v.a});
    const PairTerms terms = sspo_loss(a, {.kappa = 1000, .gate = gate_named(v.gate)});
    CHECK(at(terms.s) == v.s);
    CHECK(at(terms.z) == doctest::Approx(v.z).epsilon(1e-9));
    CHECK(std::abs(at(terms.loss) - v.loss) <= 5e-7);
    CHECK(at(terms.loss) == at(terms.loss_i));
    CHECK(at(terms.g) == doctest::Approx(1 / (1 + std::exp(v.z))).epsilon(1e-9));
    CHECK(at(terms.d_w) == v.a[0] - v.a[1]);
    CHECK(at(terms.d_r) == v.a[2] - v.a[3]);
    const Gradients g = backward(terms.loss);
    CHECK(std::abs(slope(g, a.theta_w) - v.d_tw) <= 5e-7);
    CHECK(std::abs(slope(g, a.theta_r) - v.d_tr) <= 5e-7);
    CHECK(g.find(a.ref_w) == nullptr);
    CHECK(g.find(a.ref_r) == nullptr);
  }
}

TEST_CASE("sspo: the vectors as one batch: the loss is their mean, the gradient their share of it") {
  std::vector<Four> rows;
  double loss = 0;
  for (const Vector& v : specified)
    if (v.gate == std::string_view("sign")) rows.push_back(v.a), loss += v.loss;
  const PairErrors a = tracked_errors(rows);
  const PairTerms terms = sspo_loss(a);
  const double n = double(rows.size());
  CHECK(std::abs(at(terms.loss) - loss / n) <= 5e-7);
  const Gradients g = backward(terms.loss);
  for (Index i = 0; i < Index(rows.size()); ++i) {
    CHECK(slope(g, a.theta_w, i) == doctest::Approx(1000 * at(terms.g, i) / n).epsilon(1e-12));
    CHECK(slope(g, a.theta_r, i) == doctest::Approx(-at(terms.s, i) * 1000 * at(terms.g, i) / n).epsilon(1e-12));
  }
}

TEST_CASE("facts: policy and reference equal: log 2 and g = 1/2 whatever the gate") {
  for (const std::string_view gate : gate_names()) {
    const PairErrors a = tracked_errors({{0.1, 0.1, 0.2, 0.2}, {0.7, 0.7, 0.05, 0.05}});
    const PairTerms terms = sspo_loss(a, {.gate = gate_named(gate)});
    CHECK(at(terms.loss) == doctest::Approx(std::log(2.0)).epsilon(1e-15));
    for (Index i = 0; i < 2; ++i) {
      CHECK(at(terms.g, i) == 0.5);
      CHECK(at(terms.z, i) == 0);
    }
  }
}

TEST_CASE("facts: z is kappa (|d_w| + d_r) for s = +1 and minus that for s = -1, so those weigh more than kappa / 2") {
  const std::vector<Four> rows = varied_rows();
  const PairErrors a = tracked_errors(rows);
  const PairTerms terms = sspo_loss(a, {.kappa = 300});
  int plus = 0, minus = 0;
  for (Index i = 0; i < Index(rows.size()); ++i) {
    const double s = at(terms.s, i), pull = std::abs(at(terms.d_w, i)) + at(terms.d_r, i);
    if (s == 0) continue;
    ++(s > 0 ? plus : minus);
    CHECK(at(terms.z, i) == doctest::Approx(s * 300 * pull).epsilon(1e-12));
    if (pull > 0) CHECK((at(terms.g, i) > 0.5) == (s < 0));
  }
  CHECK(plus == 6);
  CHECK(minus == 6);
}

TEST_CASE("facts: z is affine in the policy's errors, and the loss convex in z") {
  const auto terms_at = [](double tw, double tr) { return sspo_loss(tracked_errors({{tw, 0.1, tr, 0.2}}), {.kappa = 1000}); };
  const PairTerms low = terms_at(0.099, 0.198), high = terms_at(0.095, 0.203), middle = terms_at(0.097, 0.2005);
  CHECK(at(middle.z) == doctest::Approx((at(low.z) + at(high.z)) / 2).epsilon(1e-10));
  CHECK(at(middle.loss) < (at(low.loss) + at(high.loss)) / 2);
}

TEST_CASE("facts: where d_w crosses zero the loss jumps from softplus(-kappa d_r) to softplus(kappa d_r)") {
  const auto softplus_of = [](double x) { return std::log1p(std::exp(x)); };
  for (const double d_r : {1e-3, -2e-3, 0.0}) {
    const double below = at(sspo_loss(tracked_errors({{0.1 - 1e-13, 0.1, 0.2 + d_r, 0.2}})).loss);
    const double above = at(sspo_loss(tracked_errors({{0.1 + 1e-13, 0.1, 0.2 + d_r, 0.2}})).loss);
    CHECK(below == doctest::Approx(softplus_of(-1000 * d_r)).epsilon(1e-8));
    CHECK(above == doctest::Approx(softplus_of(1000 * d_r)).epsilon(1e-8));
  }
}

TEST_CASE("gates: ties, and the control that deals the batch's own signs out anew") {
  const Tensor gain = doubles({0.5, -0.5, 0.0, 1e-300, -1e-300, 0.0});
  CHECK(numbers(gates::sign(gain)) == std::vector<double>{1, -1, 0, 1, -1, 0});
  CHECK(numbers(gates::sign_plus(gain)) == std::vector<double>{1, -1, 1, 1, -1, 1});
  CHECK(numbers(gate_named("sign", gates::Tie::plus)(gain)) == std::vector<double>{1, -1, 1, 1, -1, 1});
  CHECK(numbers(gates::indicator(gain)) == std::vector<double>{1, 0, 0, 1, 0, 0});
  CHECK(numbers(gates::none(gain)) == std::vector<double>(6, 1));

  std::vector<double> many(60);
  std::iota(many.begin(), many.end(), -20.0);  // 20 of -1, one 0, 39 of +1
  const Tensor own = gates::sign(doubles(many));
  const auto count = [](const Tensor& s, double value) { const auto x = numbers(s); return std::count(x.begin(), x.end(), value); };
  const Tensor dealt = gates::random(Rng{7} / "gate" / 0)(doubles(many));
  CHECK(count(dealt, -1) == 20);
  CHECK(count(dealt, 0) == 1);
  CHECK(count(dealt, 1) == 39);
  CHECK_FALSE(same_bits(dealt, own));
  CHECK(same_bits(dealt, gates::random(Rng{7} / "gate" / 0)(doubles(many))));
  CHECK_FALSE(same_bits(dealt, gates::random(Rng{7} / "gate" / 1)(doubles(many))));
  CHECK(count(gates::random(Rng{7}, gates::Tie::plus)(doubles(many)), 1) == 40);

  // Every place is as likely to get the one -1 of three: 3 sigma of 3000 draws.
  std::array<int, 3> where_minus{};
  for (int i = 0; i < 3000; ++i) {
    const auto s = numbers(gates::random(Rng{1} / i)(doubles({1, -1, 1})));
    ++where_minus[std::size_t(std::find(s.begin(), s.end(), -1.0) - s.begin())];
  }
  for (const int n : where_minus) CHECK(std::abs(n - 1000) < 78);
}

TEST_CASE("G3: softplus of the loss at its extremes, with its slope") {
  const struct { double x, y; } table[] = {
      {0, 0.6931471805599453}, {1e-8, 0.6931471855599453}, {1, 1.3132616875182228}, {30, 30.000000000000092}, {88, 88}, {104, 104}, {1e4, 1e4},
      {infinity, infinity}, {-1e-8, 0.6931471755599453}, {-1, 0.31326168751822286}, {-30, 9.357622968839736e-14}, {-88, 6.054601895401186e-39},
      {-104, 6.8135568057145e-46}, {-1e4, 0}, {-infinity, 0}};
  for (const auto& row : table) {
    const double x = row.x, y = row.y;
    CAPTURE(x);
    // kappa = 1, d_w = x, d_r = 0 gives z = -x: the loss is softplus(x).
    const PairErrors a = tracked_errors({{x, 0, 0.2, 0.2}});
    const PairTerms terms = sspo_loss(a, {.kappa = 1, .gate = gates::none});
    if (std::isinf(y)) CHECK(at(terms.loss) == y);
    else CHECK(at(terms.loss) == doctest::Approx(y).epsilon(1e-13));
    const double g = x > 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
    CHECK(slope(backward(terms.loss), a.theta_w) == doctest::Approx(g).epsilon(1e-13));
    CHECK(at(terms.g) == doctest::Approx(g).epsilon(1e-13));
    const float narrow = softplus(Tensor::from<float>({float(x)}, {1})).item<float>();
    if (y > 1e-37 && !std::isinf(y)) CHECK(narrow == doctest::Approx(y).epsilon(3e-7));  // below lie f32's subnormals
    else if (y <= 1e-37) CHECK((narrow >= 0 && narrow <= 7e-39f));
    else CHECK(narrow == INFINITY);
  }
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), infinity}) {
    CHECK_FALSE(std::isfinite(at(sspo_loss(tracked_errors({{bad, 0.1, 0.2, 0.2}})).loss)));
    CHECK(std::isnan(at(sspo_loss(tracked_errors({{bad, bad, 0.2, 0.2}})).loss)));
  }
}

TEST_CASE("objectives: losses are those of the formulas, and d loss_i / d a_tw is kappa g and what the formula adds") {
  const std::vector<Four> rows = varied_rows();
  const double kappa = 700, eta = 40;
  const auto softplus_of = [](double x) { return std::log1p(std::exp(x)); };
  for (const Objective& o : objectives()) {
    CAPTURE(o.name);
    const PairErrors a = tracked_errors(rows);
    const PairTerms terms = o.loss(a, {.kappa = kappa, .eta = eta}, Site{});
    const Gradients g = backward(sum(terms.loss_i));
    double total = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Index k = Index(i);
      const auto [tw, rw, tr, rr] = rows[i];
      const double d_w = tw - rw, d_r = tr - rr, s = o.gated ? double((rw > tw) - (rw < tw)) : o.name == "sft" ? 0 : 1, z = -kappa * (d_w - s * d_r);
      CHECK(at(terms.s, k) == s);
      CHECK(at(terms.z, k) == doctest::Approx(z).epsilon(1e-9));
      const double loss = o.name == "sft" ? tw
                          : o.name == "ipo" ? (z - 0.5) * (z - 0.5)
                          : o.name == "asft" ? softplus_of(kappa * d_w) + softplus_of(-kappa * d_r)
                                             : softplus_of(-z) + (o.name == "dpo+sft" ? eta * tw : 0);
      CHECK(at(terms.loss_i, k) == doctest::Approx(loss).epsilon(1e-9));
      const double itself = o.name == "sft" ? 1 : o.name == "dpo+sft" ? eta : 0;
      CHECK(slope(g, a.theta_w, k) == doctest::Approx(kappa * at(terms.g, k) + itself).epsilon(1e-9));
      total += loss;
    }
    CHECK(at(terms.loss) == doctest::Approx(total / double(rows.size())).epsilon(1e-9));
    CHECK(g.find(a.ref_w) == nullptr);
    CHECK(g.find(a.ref_r) == nullptr);
    for (const Tensor& x : {terms.s, terms.g}) CHECK_FALSE(x.tracked());
  }
}

TEST_CASE("objectives: gradients equal finite differences in double, every gate") {
  std::vector<Four> rows;
  for (const Four& row : varied_rows())
    if (row[0] != row[1]) rows.push_back(row);  // not at the jump
  for (const Objective& o : objectives())
    for (const std::string_view gate : gate_names()) {
      if (!o.gated && gate != "sign") continue;
      CAPTURE(o.name);
      CAPTURE(gate);
      const auto loss_of = [&](const PairErrors& a) { return o.loss(a, {.kappa = 500, .gate = gate_named(gate, {}, Rng{3})}, Site{}).loss; };
      const PairErrors a = tracked_errors(rows);
      const Gradients g = backward(loss_of(a));
      for (std::size_t column : {0u, 2u})
        for (std::size_t i = 0; i < rows.size(); ++i) {
          const auto moved = [&](double h) {
            std::vector<Four> other = rows;
            other[i][column] += h;
            return at(loss_of(tracked_errors(other)));
          };
          const double h = 1e-6, found = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
          CHECK(slope(g, column ? a.theta_r : a.theta_w, Index(i)) == doctest::Approx(found).epsilon(1e-6));
        }
    }
}

TEST_CASE("objectives: the table names each once, and says what comes with it") {
  const auto check = [](const char* name, SecondImage second, ReferencePolicy reference, bool gated) {
    const Objective& o = objective_named(name);
    CHECK(o.name == name);
    CHECK(o.second == second);
    CHECK(o.reference == reference);
    CHECK(o.gated == gated);
  };
  check("sspo", SecondImage::self_sampled, ReferencePolicy::uniform, true);
  check("sft", SecondImage::none, ReferencePolicy::initial, false);
  check("dpo", SecondImage::annotated_loser, ReferencePolicy::initial, false);
  check("spin", SecondImage::self_sampled, ReferencePolicy::latest, false);
  check("ditto", SecondImage::self_sampled, ReferencePolicy::initial, false);
  check("dpo+sft", SecondImage::self_sampled, ReferencePolicy::uniform, false);
  check("ipo", SecondImage::annotated_loser, ReferencePolicy::initial, false);
  check("asft", SecondImage::annotated_loser, ReferencePolicy::initial, false);
  CHECK(objectives().size() == 8);
  for (const ReferencePolicy p : {ReferencePolicy::uniform, ReferencePolicy::initial, ReferencePolicy::latest}) CHECK(reference_policy_named(name_of(p)) == p);
}

TEST_CASE("objectives: the fine-tuning loss needs the policy's error on the winner alone") {
  const Tensor a = track(doubles({0.25, 0.75}), "a");
  const PairTerms terms = sft_loss({.theta_w = a, .ref_w = {}, .theta_r = {}, .ref_r = {}});
  CHECK(at(terms.loss) == 0.5);
  CHECK_FALSE(terms.z.defined());
  CHECK(slope(backward(terms.loss), a) == 0.5);
}

TEST_CASE("objectives: what is missing or does not fit is named") {
  const Tensor two = doubles({0.1, 0.2}), three = doubles({1, 2, 3});
  check_error([&] { sspo_loss({two, {}, two, two}); }, {"sspo: the error ref_w is missing", "reference", "objective_test.cpp"});
  check_error([&] { dpo_loss({two, two, three, two}); }, {"dpo: the error theta_r does not fit", "[2] f64", "[3] f64"});
  check_error([&] { ipo_loss({two, two, two, cast(two, DType::f32)}); }, {"ipo", "ref_r", "[2] f32"});
  check_error([&] { asft_loss({two, two, two, {}}); }, {"asft", "ref_r is missing"});
  check_error([&] { sft_loss({}); }, {"sft", "theta_w is missing"});
  check_error([] { objective_named("spo"); }, {"no such objective", "sspo, sft, dpo, spin, ditto, dpo+sft, ipo, asft", "'spo'"});
  check_error([] { gate_named("signs"); }, {"no such gate", "sign, indicator, none, random", "'signs'"});
  check_error([] { reference_policy_named("newest"); }, {"no such policy", "uniform, initial, latest"});
}
