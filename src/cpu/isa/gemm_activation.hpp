// activate(act, x): the activations of cpu/activation.hpp on one register.
#pragma once
#include "sspo/ops/activation.hpp"
#include "cpu/simd_math.hpp"

namespace sspo::cpu::SSPO_ISA {

template <class T>
inline Pack<T> activate(Activation act, Pack<T> x) {
  switch (act) {
    case Activation::none: break;
    case Activation::relu: return max(x, Pack<T>(T(0)));
    case Activation::silu: return x * sigmoid(x);
    case Activation::gelu_erf: return x * normal_cdf(x);
    case Activation::gelu_tanh: {  // (1 + tanh u) / 2 = σ(2u)
      const Pack<T> cubic = x * x * x * Pack<T>(T(0.044715)) + x;
      return x * sigmoid(cubic * Pack<T>(T(1.5957691216057308)));  // 2 √(2/π)
    }
    case Activation::quick_gelu: return x * sigmoid(x * Pack<T>(T(1.702)));
  }
  return x;
}

}  // namespace sspo::cpu::SSPO_ISA
