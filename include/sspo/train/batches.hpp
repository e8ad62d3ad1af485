// Which samples a training step takes: a pure function of (seed, step). There is no position to save; a run may be taken up
// at any step.
//   const Batches batches(Index(data.rows.size()), {.batch = 64, .drop_caption = 0.1}, rng / "data");
//   for (const Pick& p : batches.at(step)) add(data.rows[std::size_t(p.sample)], p.flip, p.drop_caption);
// The samples are passed over again and again, each time in another order; a batch may begin in one pass and end in the next.
#pragma once
#include <memory>
#include <vector>

#include "sspo/base/rng.hpp"

namespace sspo {

struct Pick {
  Index sample;             // 0 to samples - 1
  bool flip, drop_caption;  // drawn anew in each pass
  Index epoch;              // which pass
  Rng rng;                  // of this sample in this pass: for whatever else is drawn, a crop, a keyword
  friend bool operator==(const Pick& a, const Pick& b) {
    return a.sample == b.sample && a.flip == b.flip && a.drop_caption == b.drop_caption && a.epoch == b.epoch && a.rng.key() == b.rng.key();
  }
};

struct BatchOptions {
  Index batch = 1;
  double flip = 0;          // share of pictures that are mirrored; keep it 0 where left and right are words
  double drop_caption = 0;  // share of captions left out: the model learns to draw without one, which guidance needs
};

class Batches {
 public:
  Batches(Index samples, BatchOptions options, const Rng& rng);  // Error: no sample, no batch, a share outside [0, 1]
  std::vector<Pick> at(Index step) const;  // picks step * batch to (step + 1) * batch - 1
  Pick pick(Index position) const;         // of the endless row of passes

 private:
  std::shared_ptr<const std::vector<Index>> order_of(Index epoch) const;

  Index samples_;
  BatchOptions options_;
  Rng rng_;
  struct Cache;  // the pass asked for last
  std::shared_ptr<Cache> cache_;
};

}  // namespace sspo
