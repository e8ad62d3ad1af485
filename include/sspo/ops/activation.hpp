// The activation functions a matrix product can apply on its way out. The formulas are in elementwise.hpp.
#pragma once

namespace sspo {

enum class Activation { none, relu, silu, gelu_erf, gelu_tanh, quick_gelu };

}  // namespace sspo
