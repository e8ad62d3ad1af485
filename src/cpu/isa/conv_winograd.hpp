// Convolutions of 3x3 taps and stride 1 by minimal filtering, F(2x2, 3x3): 16 products for four outputs in place of 36
// (Winograd 1980; for networks: Lavin & Gray 2016, section 4.1).
//
//   Y = Aᵀ [ Σ_c (G g Gᵀ) ⊙ (Bᵀ d B) ] A       d: 4x4 pixels, g: 3x3 taps, Y: 2x2 pixels of the result
//
// Its sums differ from direct ones in rounding, not in size: the transforms are sums of two to four numbers. What they are
// not is faithful to NaN and infinity, which would spread over a tile: then nothing is promised and the caller computes directly.
#pragma once
#include "cpu/isa/gemm_engine.hpp"

namespace sspo::cpu::SSPO_ISA {

struct Winograd {
  Index batch, h, w, in;        // x [batch, h, w, in]
  Index out_h, out_w, out;      // y [batch, out_h, out_w, out]
  Index top, left;              // padding
  const float* x;

  Index across() const { return ceil_div(out_w, 2); }
  Index down() const { return ceil_div(out_h, 2); }
  Index tiles() const { return batch * across() * down(); }  // of 2x2 pixels of y
};

bool winograd_pays(const Winograd&);
// False: a sum is not finite; y holds anything, and nothing but y was written.
// weight [out, 3, 3, in]; or, backwards, [in, 3, 3, out], its taps from last to first: the data gradient.
bool winograd(const Context&, const Winograd&, const float* weight, bool backwards, float* y, const Finish<float>&);
// The gradient of the weight, F(3x3, 2x2): gw (+)= Gᵀ [ Σ_tiles (Bᵀ d B) ⊙ (A dY Aᵀ) ] G.   gy: as y
bool winograd_weight_pays(const Winograd&);
// False: a sum is not finite (or nearly not); nothing was written.
bool winograd_weight_gradient(const Context&, const Winograd&, const float* gy, float* gw, bool accumulate);

// 16 planes of transformed tiles, one after the other, tile by tile: v[plane][tile][row].
struct Planes {
  float* data;
  Index row, plane;  // words from one tile, one plane to the next
};
// Bᵀ d B,   Bᵀ = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1];  pixels outside the image are `zeros`.
void transform_pixels(const Winograd&, Range tiles, const float* zeros, const Planes& to);

}  // namespace sspo::cpu::SSPO_ISA
