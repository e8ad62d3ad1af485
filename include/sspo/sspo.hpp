// sspo: tensors, reverse-mode autodiff, CPU kernels. One include for everything.
#pragma once
#include "sspo/grad/backward.hpp"
#include "sspo/grad/trace.hpp"
#include "sspo/nn/layers.hpp"
#include "sspo/nn/lora.hpp"
#include "sspo/nn/params.hpp"
#include "sspo/ops/all.hpp"
#include "sspo/train/ema.hpp"
#include "sspo/train/lr.hpp"
#include "sspo/train/optimizer.hpp"
