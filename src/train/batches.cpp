#include "sspo/train/batches.hpp"

#include <mutex>
#include <numeric>
#include <utility>

#include "sspo/base/error.hpp"

namespace sspo {

struct Batches::Cache {
  std::mutex mutex;
  Index epoch = -1;
  std::shared_ptr<const std::vector<Index>> order;
};

namespace {

// Fisher and Yates: each place takes one of those not placed yet.
std::vector<Index> shuffled(Index count, const Rng& rng) {
  std::vector<Index> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), Index(0));
  for (Index i = count - 1; i > 0; --i) std::swap(order[std::size_t(i)], order[std::size_t(rng.below(i + 1, std::uint64_t(i)))]);
  return order;
}

// True with probability p: p times 2^53 is exact enough, and no rounding mode or library has a say.
bool happens(double p, const Rng& rng) { return double(rng.bits() >> 11) < p * 9007199254740992.0; }

void check(Index samples, const BatchOptions& o) {
  if (samples < 1 || o.batch < 1)
    fail({.op = "Batches", .what = "nothing to take", .expected = "one sample and a batch of one, or more",
          .got = std::to_string(samples) + " samples, a batch of " + std::to_string(o.batch)}, Site{});
  for (const auto& [name, share] : {std::pair{"flip", o.flip}, {"drop_caption", o.drop_caption}})
    if (!(share >= 0 && share <= 1))
      fail({.op = "Batches", .what = std::string(name) + " is no share", .expected = "0 to 1", .got = std::to_string(share)}, Site{});
}

}  // namespace

Batches::Batches(Index samples, BatchOptions options, const Rng& rng) : samples_(samples), options_(options), rng_(rng), cache_(std::make_shared<Cache>()) {
  check(samples, options);
}

std::shared_ptr<const std::vector<Index>> Batches::order_of(Index epoch) const {
  const std::lock_guard lock(cache_->mutex);
  if (cache_->epoch != epoch) {
    cache_->order = std::make_shared<const std::vector<Index>>(shuffled(samples_, rng_ / "order" / epoch));
    cache_->epoch = epoch;
  }
  return cache_->order;
}

Pick Batches::pick(Index position) const {
  if (position < 0) fail({.op = "Batches", .what = "no such position", .expected = "0 or more", .got = std::to_string(position)}, Site{});
  const Index epoch = position / samples_, sample = (*order_of(epoch))[std::size_t(position % samples_)];
  // By the sample, not by its place in the order: one picture's fate does not hang on the others.
  const Rng rng = rng_ / "sample" / epoch / sample;
  return {sample, happens(options_.flip, rng / "flip"), happens(options_.drop_caption, rng / "drop_caption"), epoch, rng};
}

std::vector<Pick> Batches::at(Index step) const {
  std::vector<Pick> picks;
  picks.reserve(std::size_t(options_.batch));
  for (Index i = 0; i < options_.batch; ++i) picks.push_back(pick(step * options_.batch + i));
  return picks;
}

}  // namespace sspo
