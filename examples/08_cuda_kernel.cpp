// A CUDA kernel of one's own, run on this CPU by cuda-sim: one warp multiplies two small matrices on its "tensor core".
// Learned here: who holds which number (PTX ISA 9.7.14, the fragments of mma.m16n8k16), how a launch looks, and that a kernel
// under gdb is a function like any other: docs/kernels.md steps through this file. Exits with 1 if the product is wrong.
#include <cstdio>
#include <vector>

#include "runtime.hpp"

using namespace sspo::cuda;
using sspo::bf16;

// c = a b      a [16, 16] by rows, b [16, 8] by columns, c [16, 8]: lane 4 g + p holds rows g and g + 8, columns 2 p and 2 p + 1
__global__ void one_tile(const bf16* a, const bf16* b, float* c) {
  SSPO_SHARED(bf16, tile, [16][16]);
  const int lane = lane_id(), group = lane / 4, pair = lane % 4;
  store(reinterpret_cast<uint4*>(&tile[lane / 2][lane % 2 * 8]), load(reinterpret_cast<const uint4*>(a + lane * 8)));  // 1. a to shared memory, 16 bytes a lane
  __syncwarp();
  std::uint32_t fa[4], fb[2];
  ldmatrix_x4(fa, &tile[lane % 16][lane / 16 * 8]);                                           // 2. fragments of a, from shared memory
  for (int i = 0; i < 2; ++i) fb[i] = load(reinterpret_cast<const std::uint32_t*>(b + group * 16 + pair * 2 + i * 8));
  const float zero[4] = {};
  float sums[4];
  mma_m16n8k16(sums, fa, fb, zero, bf16{});                                                   // 3. 4096 multiply-adds, all lanes together
  for (int i = 0; i < 2; ++i) store(reinterpret_cast<float2*>(c + (group + 8 * i) * 8 + 2 * pair), make_float2(sums[2 * i], sums[2 * i + 1]));
}

int main() {
  std::vector<bf16> a(256), b(128);
  for (int i = 0; i < 256; ++i) a[std::size_t(i)] = bf16(float(i % 7 - 3));
  for (int i = 0; i < 128; ++i) b[std::size_t(i)] = bf16(float(i % 5 - 2));

  Stream stream;
  bf16* const da = static_cast<bf16*>(allocate(512, "a"));
  bf16* const db = static_cast<bf16*>(allocate(256, "b"));
  float* const dc = static_cast<float*>(allocate(512, "c"));
  copy_in(stream, da, a.data(), 512);
  copy_in(stream, db, b.data(), 256);
  launch(stream, {.kernel = "one_tile", .grid = {1}, .block = {32}}, one_tile, static_cast<const bf16*>(da), static_cast<const bf16*>(db), dc);
  std::vector<float> c(128);
  copy_out(stream, c.data(), dc, 512);

  int wrong = 0;
  for (std::size_t i = 0; i < 16; ++i)
    for (std::size_t j = 0; j < 8; ++j) {
      float sum = 0;
      for (std::size_t k = 0; k < 16; ++k) sum += to_float(a[i * 16 + k]) * to_float(b[j * 16 + k]);
      wrong += c[i * 8 + j] != sum;
    }
  std::printf("first row:");
  for (std::size_t j = 0; j < 8; ++j) std::printf(" %g", double(c[j]));
  std::printf("\n%d of 128 numbers wrong\n", wrong);
  for (void* p : {static_cast<void*>(da), static_cast<void*>(db), static_cast<void*>(dc)}) release(p);
  return wrong != 0;
}
