#include "sspo/train/batches.hpp"

#include <algorithm>
#include <thread>

#include "support.hpp"

using namespace sspo;
using testing::check_error;

namespace {

std::vector<Index> epoch_of(const Batches& batches, Index samples, Index epoch) {
  std::vector<Index> order;
  for (Index i = 0; i < samples; ++i) {
    const Pick p = batches.pick(epoch * samples + i);
    CHECK(p.epoch == epoch);
    order.push_back(p.sample);
  }
  return order;
}

}  // namespace

TEST_CASE("batches: every pass takes each sample once, in an order of its own") {
  for (const Index samples : {1, 2, 7, 100}) {
    const Batches batches(samples, {.batch = 3}, Rng(1));
    std::vector<std::vector<Index>> orders;
    for (Index epoch = 0; epoch < 20; ++epoch) {
      std::vector<Index> order = epoch_of(batches, samples, epoch);
      orders.push_back(order);
      std::sort(order.begin(), order.end());
      for (Index i = 0; i < samples; ++i) CHECK(order[std::size_t(i)] == i);
    }
    std::sort(orders.begin(), orders.end());
    const auto different = std::unique(orders.begin(), orders.end()) - orders.begin();
    CHECK(different == (samples == 1 ? 1 : samples == 2 ? 2 : 20));
  }
}

TEST_CASE("batches: the shuffle favours no place") {
  // 5 samples, 4,000 passes: each sample stands 800 times in each place, give or take 5 standard deviations (25 each).
  const Batches batches(5, {}, Rng(2));
  Index seen[5][5] = {};
  for (Index i = 0; i < 20'000; ++i) ++seen[i % 5][batches.pick(i).sample];
  for (const auto& place : seen)
    for (const Index n : place) CHECK(std::abs(n - 800) < 130);
}

TEST_CASE("batches: a function of seed and step, whatever was asked before and however batches are cut") {
  const BatchOptions whole{.batch = 12, .flip = 0.5, .drop_caption = 0.25}, part{.batch = 4, .flip = 0.5, .drop_caption = 0.25};
  const Batches a(17, whole, Rng(3)), b(17, part, Rng(3));
  std::vector<Pick> in_order;
  for (Index step = 0; step < 30; ++step)
    for (const Pick& p : a.at(step)) in_order.push_back(p);
  for (Index step = 89; step >= 0; --step) {  // resumed anywhere, a third of the batch at a time
    const std::vector<Pick> picks = b.at(step);
    REQUIRE(picks.size() == 4);
    for (std::size_t i = 0; i < 4; ++i) CHECK(picks[i] == in_order[std::size_t(step) * 4 + i]);
  }
  CHECK(Batches(17, whole, Rng(3)).at(29) == a.at(29));
  CHECK(Batches(17, whole, Rng(4)).at(29) != a.at(29));
  CHECK(a.at(Index(1) << 40).size() == 12);  // no step is far
}

TEST_CASE("batches: these picks, on every machine") {
  const Batches batches(10, {.batch = 4, .flip = 0.5, .drop_caption = 0.5}, Rng(42) / "data");
  std::string text;
  for (Index step = 0; step < 5; ++step)
    for (const Pick& p : batches.at(step)) text += std::to_string(p.sample) + (p.flip ? "f" : "") + (p.drop_caption ? "d " : " ");
  CHECK(text == "5f 0 9 6fd 8f 2fd 7f 1fd 4d 3 4 6fd 5fd 0 1fd 9 2 7fd 3d 8fd ");
}

TEST_CASE("batches: shares of flips and captions left out, drawn for each pass and sample by itself") {
  const Batches batches(100, {.flip = 0.5, .drop_caption = 0.1}, Rng(5)), never(100, {}, Rng(5)), always(100, {.flip = 1, .drop_caption = 1}, Rng(5));
  Index flips = 0, drops = 0, both = 0, again = 0;
  std::vector<bool> before(100);
  for (Index i = 0; i < 10'000; ++i) {
    const Pick p = batches.pick(i);
    flips += p.flip, drops += p.drop_caption, both += p.flip && p.drop_caption;
    again += p.flip && before[std::size_t(p.sample)];
    before[std::size_t(p.sample)] = p.flip;
    CHECK_FALSE((never.pick(i).flip || never.pick(i).drop_caption));
    CHECK((always.pick(i).flip && always.pick(i).drop_caption));
  }
  CHECK(std::abs(flips - 5000) < 250);   // five standard deviations
  CHECK(std::abs(drops - 1000) < 150);
  CHECK(std::abs(both - 500) < 110);     // one does not hang on the other
  CHECK(std::abs(again - 2475) < 220);   // nor a pass on the last
  const Batches larger(100, {.batch = 7, .flip = 0.5, .drop_caption = 0.1}, Rng(5));
  CHECK(larger.pick(1234) == batches.pick(1234));
}

TEST_CASE("batches: threads may ask at once") {
  const Batches batches(50, {.batch = 5}, Rng(6));
  std::vector<std::vector<Pick>> got(40), expected;
  for (Index step = 0; step < 40; ++step) expected.push_back(batches.at(step));
  std::vector<std::thread> threads;
  for (Index t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (Index step = t; step < 40; step += 4) got[std::size_t(step)] = batches.at(step);
    });
  for (std::thread& t : threads) t.join();
  CHECK(got == expected);
}

TEST_CASE("batches: what makes none") {
  check_error([] { Batches(0, {}, Rng(0)); }, {"Batches: nothing to take", "0 samples, a batch of 1"});
  check_error([] { Batches(1, {.batch = 0}, Rng(0)); }, {"nothing to take", "a batch of 0"});
  check_error([] { Batches(1, {.flip = 1.5}, Rng(0)); }, {"flip is no share", "1.5"});
  check_error([] { Batches(1, {.drop_caption = NAN}, Rng(0)); }, {"drop_caption is no share"});
  check_error([] { Batches(1, {}, Rng(0)).at(-1); }, {"no such position"});
}
