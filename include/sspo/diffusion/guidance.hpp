// Guidance: away from what the model says without the prompt, towards what it says with it.
//   const Tensor out = guided(model(x, t, negative), model(x, t, prompt), 7.5);
#pragma once
#include "sspo/ops/reduce.hpp"

namespace sspo {

// ε = ε_u + w (ε_c - ε_u). w = 1: the prompt alone; 0: without it. (Ho & Salimans 2022, eq. 6, whose weight is w - 1.)
inline Tensor guided(const Tensor& unconditional, const Tensor& conditional, double w, Site at = Site::current()) {
  return add(unconditional, mul(number_like(conditional, w, at), sub(conditional, unconditional, at), at), at);
}

// Strong guidance inflates the result; this brings each sample's deviation back to that of ε_c, by the share φ in [0, 1].
// Lin et al. 2024 (arXiv 2305.08891), section 3.4; they take φ = 0.7. Tensors [B, ...].
Tensor rescale_guided(const Tensor& guided, const Tensor& conditional, double phi, Site at = Site::current());

}  // namespace sspo
