// Learning rates as functions of the step: plain values to pass, combine and plot.
//   LearningRate lr = warmup(cosine(1.5e-3, 1500, 0.02), 100);      lr(step)
#pragma once
#include "sspo/base/config.hpp"
#include "sspo/base/function.hpp"

namespace sspo {

using LearningRate = Function<double(Index step)>;  // step counts from 0

LearningRate constant_lr(double lr);
LearningRate linear_lr(double lr, Index steps, double end = 0);           // lr down to end * lr at the last step
LearningRate cosine_lr(double lr, Index steps, double end = 0);           // the same along half a cosine
LearningRate warmup(LearningRate then, Index steps);                      // times (step + 1) / steps for the first `steps`

}  // namespace sspo
