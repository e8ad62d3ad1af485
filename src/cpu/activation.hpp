// The activation functions a kernel can apply on its way out.
#pragma once
#include "sspo/ops/activation.hpp"

namespace sspo::cpu {
using sspo::Activation;
}
