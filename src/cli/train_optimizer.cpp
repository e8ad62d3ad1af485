#include "cli/train_optimizer.hpp"

namespace sspo::cli {

std::unique_ptr<Optimizer> make_optimizer(const Recipe& r, const Params& trained, const Keep& keep) {
  const std::string kind = r.text("optimizer.kind");
  const double lr = r.number("optimizer.lr"), weight_decay = r.number("optimizer.weight_decay");
  if (kind == "adafactor")
    return std::make_unique<Adafactor>(trained, Adafactor::Options{.lr = lr, .clip_threshold = r.number("optimizer.clip_threshold"), .decay_rate = r.number("optimizer.decay_rate"),
                                                                   .weight_decay = weight_decay, .scale_parameter = r.boolean("optimizer.scale_parameter")}, keep);
  const AdamW::Options o{.lr = lr, .beta1 = r.number("optimizer.beta1"), .beta2 = r.number("optimizer.beta2"), .eps = r.number("optimizer.eps"), .weight_decay = weight_decay};
  if (kind == "adamw8bit") return std::make_unique<AdamW8bit>(trained, o, keep);
  return std::make_unique<AdamW>(trained, o, keep);
}

}  // namespace sspo::cli
