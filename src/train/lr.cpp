#include "sspo/train/lr.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace sspo {
namespace {

double progress(Index step, Index steps) { return steps <= 1 ? 1 : std::clamp(double(step) / double(steps - 1), 0.0, 1.0); }

}  // namespace

LearningRate constant_lr(double lr) { return [=](Index) { return lr; }; }
LearningRate linear_lr(double lr, Index steps, double end) {
  return [=](Index step) { return lr * (1 - (1 - end) * progress(step, steps)); };
}
LearningRate cosine_lr(double lr, Index steps, double end) {
  return [=](Index step) { return lr * (end + (1 - end) * 0.5 * (1 + std::cos(std::numbers::pi * progress(step, steps)))); };
}
LearningRate warmup(LearningRate then, Index steps) {
  return [=](Index step) { return then(step) * (step < steps ? double(step + 1) / double(steps) : 1.0); };
}

}  // namespace sspo
