// y = conv(x, weight), 3 x 3, stride 1, zeros around the image, channels last:
//   y[b, i, j, o] = Σ_{u, v, c} x[b, i + u - 1, j + v - 1, c] weight[u, v, c, o]        x [batch, h, w, in]   weight [3, 3, in, out]
// A product with k = 9 in, whose factor patches(x) is never stored: a thread that wants a number of it says where in x it lies.
// The floor: x, weight and y moved once, 2 pixels 9 in out FLOPs (zeros counted). Needs: pixels and out multiples of 64, in of 32.
#include "ladder.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD::ladder {
namespace {

struct Shape {
  int batch, h, w, in, out;
  SSPO_HD int pixels() const { return batch * h * w; }
};
constexpr Shape problem{.batch = 2, .h = 8, .w = 8, .in = 32, .out = 64};

// Where tap (u, v) of a pixel lies in x, null outside the image.
template <class T> SSPO_DEVICE const T* tap(const T* x, const Shape& s, int pixel, int u, int v) {
  const int i = pixel / s.w % s.h + u - 1, j = pixel % s.w + v - 1;
  return i < 0 || i >= s.h || j < 0 || j >= s.w ? nullptr : x + (pixel + (u - 1) * s.w + v - 1) * s.in;
}

// ---------------------------------------------------------------------------------------------------------- 1. direct

// Owns:  thread = one number of y; a warp = 32 channels of a pixel: they share a number of x and read neighbours of weight.
// Costs: two numbers asked of global memory for each multiply-add.
__global__ void __launch_bounds__(256) conv_direct(const float* x, const float* weight, float* y, Shape s) {
  const int o = int(blockIdx.x * 32 + threadIdx.x), pixel = int(blockIdx.y * 8 + threadIdx.y);
  float sum = 0;
  for (int u = 0; u < 3; ++u)
    for (int v = 0; v < 3; ++v) {
      const float* const seen = tap(x, s, pixel, u, v);
      if (!seen) continue;
      for (int c = 0; c < s.in; ++c) sum += seen[c] * weight[((u * 3 + v) * s.in + c) * s.out + o];
    }
  y[pixel * s.out + o] = sum;
}
void by_direct_sums(const Context& ctx, const float* x, const float* weight, float* y, const Shape& s) {
  launch(ctx.stream, {.kernel = "conv_direct", .grid = {unsigned(s.out / 32), unsigned(s.pixels() / 8)}, .block = {32, 8}},
         conv_direct, x, weight, y, s);
}

// ------------------------------------------------------------------------------------------- 2. a product of tiles (implicit GEMM)

// Owns:  block = 64 pixels x 64 channels of y; thread (i, j) = pixels i, i + 8, ... and channels 4 j ... 4 j + 3, 32 + 4 j ..., as
//        in gemm.cu. A slice of k is 16 channels of one tap: 64 rows of 64 bytes of x, wherever the tap moves them.
// Costs: a number brought from global memory meets 64 others, from shared memory 8.   Needs: 8 KiB of shared memory.
__global__ void __launch_bounds__(64) conv_tiles(const float* x, const float* weight, float* y, Shape s) {
  constexpr int tile = 64, depth = 16;
  SSPO_SHARED(Four, x_tile, [tile][depth / 4]);
  SSPO_SHARED(Four, weight_tile, [depth][tile / 4]);
  const int t = int(threadIdx.x), j = t % 8, i = t / 8, first = int(blockIdx.y) * tile, o = int(blockIdx.x) * tile;
  float sum[8][8] = {};
  for (int k = 0; k < 9 * s.in; k += depth) {
    const int uv = k / s.in, c = k % s.in;
    for (int l = t; l < tile * depth / 4; l += 64) {  // 1. bring 64 pixels, as the tap sees them, and 16 rows of weight
      const float* const seen = tap(x, s, first + l / 4, uv / 3, uv % 3);
      store(&x_tile[l / 4][l % 4], seen ? load_four(seen + c + l % 4 * 4) : Four{});
      store(&weight_tile[l / 16][l % 16], load_four(weight + (k + l / 16) * s.out + o + l % 16 * 4));
    }
    __syncthreads();
    for (int d = 0; d < depth; d += 4) {  // 2. outer products of 8 pixels and 8 channels
      Four left[8];
#pragma unroll
      for (int r = 0; r < 8; ++r) left[r] = load(&x_tile[i + 8 * r][d / 4]);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const Four right[2] = {load(&weight_tile[d + e][j]), load(&weight_tile[d + e][8 + j])};
#pragma unroll
        for (int r = 0; r < 8; ++r)
#pragma unroll
          for (int q = 0; q < 8; ++q) sum[r][q] += left[r].x[e] * right[q / 4].x[q % 4];
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < 8; ++r)  // 3. write
#pragma unroll
    for (int h = 0; h < 2; ++h)
      store_four(y + (first + i + 8 * r) * s.out + o + 32 * h + 4 * j,
                 {{sum[r][4 * h], sum[r][4 * h + 1], sum[r][4 * h + 2], sum[r][4 * h + 3]}});
}
void by_tiles(const Context& ctx, const float* x, const float* weight, float* y, const Shape& s) {
  launch(ctx.stream, {.kernel = "conv_tiles", .grid = {unsigned(s.out / 64), unsigned(s.pixels() / 64)}, .block = {64}}, conv_tiles,
         x, weight, y, s);
}

// ---------------------------------------------------------------------------------------------------- 3. tensor cores

// Where a chunk (16 bytes) of a row of four lies: 8 rows at one chunk are in different banks, and so are 2 rows at all chunks.
SSPO_DEVICE int swizzled(int row, int chunk) { return chunk ^ (row / 2 % 4); }

// Owns:  block = 64 pixels x 64 channels of y, 4 warps of 32 x 32 each, as in gemm.cu. A slice of k is 32 channels of one tap.
//        Outside the image cp.async writes zeros and reads nothing.
// Costs: as 2, but 2 bytes a number; the next slice comes while one is multiplied.   Needs: 17 KiB of shared memory.
__global__ void __launch_bounds__(128) conv_tensor_cores(const bf16* x, const bf16* weight, float* y, Shape s) {
  constexpr int tile = 64, depth = 32, x_chunks = depth / 8, weight_chunks = tile / 8;
  SSPO_SHARED(uint4, x_tile, [2][tile][x_chunks]);
  SSPO_SHARED(uint4, weight_tile, [2][depth][weight_chunks + 1]);
  const int t = int(threadIdx.x), lane = lane_id(), row = t / 64 * 32, column = t / 32 % 2 * 32;  // of the warp, in the tile
  const int first = int(blockIdx.y) * tile, o = int(blockIdx.x) * tile;
  const auto bring = [&](int stage, int k) {
    const int uv = k / s.in, c = k % s.in;
    for (int i = t; i < depth * weight_chunks; i += 128)
      cp_async16(&weight_tile[stage][i / weight_chunks][i % weight_chunks],
                 weight + (k + i / weight_chunks) * s.out + o + i % weight_chunks * 8, true);
    for (int i = t; i < tile * x_chunks; i += 128) {
      const int line = i / x_chunks, chunk = i % x_chunks;
      const bf16* const seen = tap(x, s, first + line, uv / 3, uv % 3);
      cp_async16(&x_tile[stage][line][swizzled(line, chunk)], seen ? seen + c + chunk * 8 : x, seen != nullptr);
    }
  };
  float sum[2][4][4] = {};
  bring(0, 0);
  cp_async_commit();
  for (int k = 0, stage = 0; k < 9 * s.in; k += depth, stage ^= 1) {
    if (k + depth < 9 * s.in) bring(stage ^ 1, k + depth);  // 1. the next slice leaves
    cp_async_commit();
    cp_async_wait<1>();  // 2. this one is there
    __syncthreads();
#pragma unroll
    for (int d = 0; d < depth; d += 16) {  // 3. fragments, and 8 products of 16 x 8 x 16
      std::uint32_t left[2][4], right[2][4];
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        ldmatrix_x4(left[h], &x_tile[stage][row + 16 * h + lane % 16][swizzled(lane % 16, d / 8 + lane / 16)]);
        ldmatrix_x4_trans(right[h], &weight_tile[stage][d + lane % 16][column / 8 + 2 * h + lane / 16]);
      }
#pragma unroll
      for (int r = 0; r < 2; ++r)
#pragma unroll
        for (int q = 0; q < 4; ++q) {
          const std::uint32_t eight[2] = {right[q / 2][q % 2 * 2], right[q / 2][q % 2 * 2 + 1]};  // channels 8 q ... 8 q + 7
          mma_m16n8k16(sum[r][q], left[r], eight, sum[r][q], bf16{});
        }
    }
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < 2; ++r)  // 4. lane 4 g + p holds columns 2 p, 2 p + 1 of rows g and g + 8 of a fragment
#pragma unroll
    for (int q = 0; q < 4; ++q)
#pragma unroll
      for (int h = 0; h < 2; ++h)
        store(reinterpret_cast<float2*>(y + (first + row + 16 * r + 8 * h + lane / 4) * s.out + o + column + 8 * q + lane % 4 * 2),
              make_float2(sum[r][q][2 * h], sum[r][q][2 * h + 1]));
}
void by_tensor_cores(const Context& ctx, const bf16* x, const bf16* weight, float* y, const Shape& s) {
  launch(ctx.stream, {.kernel = "conv_tensor_cores", .grid = {unsigned(s.out / 64), unsigned(s.pixels() / 64)}, .block = {128}},
         conv_tensor_cores, x, weight, y, s);
}

// ----------------------------------------------------------------------------------------------------------- the problem

constexpr int x_size = problem.batch * problem.h * problem.w * problem.in, weight_size = 9 * problem.in * problem.out;
constexpr int y_size = problem.batch * problem.h * problem.w * problem.out;
const std::vector<float> x_numbers = numbers(x_size, 3), weight_numbers = numbers(weight_size, 4);

template <class T, void (*launcher)(const Context&, const T*, const T*, float*, const Shape&)>
std::vector<float> run(const Context& ctx) {
  const Array<T> x(ctx, x_numbers), weight(ctx, weight_numbers);
  const Array<float> y(ctx, y_size);
  launcher(ctx, x.data(), weight.data(), y.data(), problem);
  return y.host();
}

std::vector<float> reference() {
  const Shape s = problem;
  std::vector<float> y;
  for (int b = 0; b < s.batch; ++b)
    for (int i = 0; i < s.h; ++i)
      for (int j = 0; j < s.w; ++j)
        for (int o = 0; o < s.out; ++o) {
          double sum = 0;
          for (int u = 0; u < 3; ++u)
            for (int v = 0; v < 3; ++v) {
              const int row = i + u - 1, column = j + v - 1;
              if (row < 0 || row >= s.h || column < 0 || column >= s.w) continue;
              for (int c = 0; c < s.in; ++c)
                sum += double(x_numbers[std::size_t(((b * s.h + row) * s.w + column) * s.in + c)]) *
                       weight_numbers[std::size_t(((u * 3 + v) * s.in + c) * s.out + o)];
            }
          y.push_back(float(sum));
        }
  return y;
}

}  // namespace

std::vector<Rung> conv_rungs() {
  constexpr double flops = 2.0 * y_size * 9 * problem.in, in = x_size + weight_size, out = 4.0 * y_size;
  // Products of sixteenths and their sums are exact in f32.
  return {
      {"conv 1", "one thread per number of y, from global memory", 4 * in + out, flops, 0, run<float, by_direct_sums>, reference},
      {"conv 2", "a product of tiles in shared memory; the patches of x are addresses, never stored", 4 * in + out, flops, 0,
       run<float, by_tiles>, reference},
      {"conv 3", "the same in bf16 on tensor cores; cp.async brings zeros where the image ends", 2 * in + out, flops, 0,
       run<bf16, by_tensor_cores>, reference},
  };
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD::ladder
