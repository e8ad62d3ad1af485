// c = a b                                        a [m, k]   b [k, n]   c [m, n], rows contiguous, sizes multiples of 64
// The floor: (m k + k n + m n) numbers moved, 2 m n k FLOPs. What a kernel reads beyond the floor it reads again and again: each
// rung finds the next memory in which a number can be met more often before it is read anew.
#include "ladder.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD::ladder {
namespace {

constexpr int M = 128, N = 128, K = 128;  // the ladder's problem

// --------------------------------------------------------------------------------------------- 1. one thread per element

// Owns:  thread = one element of c; a warp = 32 neighbours of a row: they share a number of a and read neighbours of b.
// Costs: 2 m n k numbers asked of global memory, two for each multiply-add.
__global__ void __launch_bounds__(256) gemm_elements(const float* a, const float* b, float* c, int n, int k) {
  const int row = int(blockIdx.y * 8 + threadIdx.y), column = int(blockIdx.x * 32 + threadIdx.x);
  float sum = 0;
  for (int i = 0; i < k; ++i) sum += a[row * k + i] * b[i * n + column];
  c[row * n + column] = sum;
}
void by_elements(const Context& ctx, const float* a, const float* b, float* c) {
  launch(ctx.stream, {.kernel = "gemm_elements", .grid = {N / 32, M / 8}, .block = {32, 8}}, gemm_elements, a, b, c, N, K);
}

// ------------------------------------------------------------------------------------------------ 2. tiles in shared memory

// Owns:  block = 32 x 32 of c, thread = one of them. A number brought to shared memory meets 32 others.
// Costs: 2 m n k / 32 numbers of global memory; of shared memory still two for each multiply-add.
// Needs: 8 KiB of shared memory.
__global__ void __launch_bounds__(1024) gemm_shared_tiles(const float* a, const float* b, float* c, int n, int k) {
  constexpr int tile = 32;
  SSPO_SHARED(float, a_tile, [tile][tile]);
  SSPO_SHARED(float, b_tile, [tile][tile]);
  const int x = int(threadIdx.x), y = int(threadIdx.y);
  const int row = int(blockIdx.y) * tile + y, column = int(blockIdx.x) * tile + x;
  float sum = 0;
  for (int at = 0; at < k; at += tile) {
    a_tile[y][x] = a[row * k + at + x];  // 1. each thread brings one number of each
    b_tile[y][x] = b[(at + y) * n + column];
    __syncthreads();  // 2. all are there
    for (int i = 0; i < tile; ++i) sum += a_tile[y][i] * b_tile[i][x];
    __syncthreads();  // 3. all are used: the next may come
  }
  c[row * n + column] = sum;
}
void by_shared_tiles(const Context& ctx, const float* a, const float* b, float* c) {
  launch(ctx.stream, {.kernel = "gemm_shared_tiles", .grid = {N / 32, M / 32}, .block = {32, 32}}, gemm_shared_tiles, a, b, c, N,
         K);
}

// ---------------------------------------------------------------------------------- 3. 8 x 8 sums a thread, in registers

// Owns:  block = 64 x 64 of c; thread (x, y) = rows y, y + 8, ... and columns 4 x ... 4 x + 3, 32 + 4 x ...: a number brought to a
//        register meets 8 others. All accesses are of 16 bytes: four k of a row of a, four columns of a row of b.
// Costs: 2 m n k / 64 numbers of global memory, 2 m n k / 8 of shared memory.   Needs: 8 KiB of shared memory.
__global__ void __launch_bounds__(64) gemm_registers(const float* a, const float* b, float* c, int n, int k) {
  constexpr int tile = 64, depth = 16;
  SSPO_SHARED(Four, a_tile, [tile][depth / 4]);
  SSPO_SHARED(Four, b_tile, [depth][tile / 4]);
  const int t = int(threadIdx.x), x = t % 8, y = t / 8;
  a += int(blockIdx.y) * tile * k, b += int(blockIdx.x) * tile, c += int(blockIdx.y) * tile * n + int(blockIdx.x) * tile;
  float sum[8][8] = {};
  for (int at = 0; at < k; at += depth) {
    for (int i = t; i < tile * depth / 4; i += 64) {  // 1. bring 64 x 16 of a, 16 x 64 of b
      store(&a_tile[i / 4][i % 4], load_four(a + i / 4 * k + at + i % 4 * 4));
      store(&b_tile[i / 16][i % 16], load_four(b + (at + i / 16) * n + i % 16 * 4));
    }
    __syncthreads();
    for (int j = 0; j < depth; j += 4) {  // 2. outer products of 8 numbers of a and 8 of b
      Four left[8];
#pragma unroll
      for (int r = 0; r < 8; ++r) left[r] = load(&a_tile[y + 8 * r][j / 4]);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const Four right[2] = {load(&b_tile[j + e][x]), load(&b_tile[j + e][8 + x])};
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
      store_four(c + (y + 8 * r) * n + 32 * h + 4 * x, {{sum[r][4 * h], sum[r][4 * h + 1], sum[r][4 * h + 2], sum[r][4 * h + 3]}});
}
void by_registers(const Context& ctx, const float* a, const float* b, float* c) {
  launch(ctx.stream, {.kernel = "gemm_registers", .grid = {N / 64, M / 64}, .block = {64}}, gemm_registers, a, b, c, N, K);
}

// ---------------------------------------------------------------------------------------------------- 4. tensor cores

// A chunk is 8 bf16, 16 bytes, four banks of 32. ldmatrix reads 8 rows at one chunk; all must lie in different banks. Rows of b (8
// chunks, one more unused) begin 4 banks apart. Rows of a have 4 chunks, two rows all banks: every two rows the chunks change places.
SSPO_DEVICE int swizzled(int row, int chunk) { return chunk ^ (row / 2 % 4); }

// Owns:  block = 64 x 64 of c, 4 warps of 32 x 32 each: 2 x 4 fragments of 16 x 8.
// Costs: as 3, but 2 bytes a number. While one slice of k is multiplied, cp.async brings the next.
// Needs: 17 KiB of shared memory.
__global__ void __launch_bounds__(128) gemm_tensor_cores(const bf16* a, const bf16* b, float* c, int n, int k) {
  constexpr int tile = 64, depth = 32, a_chunks = depth / 8, b_chunks = tile / 8;
  SSPO_SHARED(uint4, a_tile, [2][tile][a_chunks]);
  SSPO_SHARED(uint4, b_tile, [2][depth][b_chunks + 1]);
  const int t = int(threadIdx.x), lane = lane_id(), row = t / 64 * 32, column = t / 32 % 2 * 32;  // of the warp, in the tile
  a += int(blockIdx.y) * tile * k, b += int(blockIdx.x) * tile, c += int(blockIdx.y) * tile * n + int(blockIdx.x) * tile;
  const auto bring = [&](int stage, int at) {
    for (int i = t; i < tile * a_chunks; i += 128) {  // as many of a as of b
      const int line = i / a_chunks, chunk = i % a_chunks;
      cp_async16(&a_tile[stage][line][swizzled(line, chunk)], a + line * k + at + chunk * 8, true);
      cp_async16(&b_tile[stage][i / b_chunks][i % b_chunks], b + (at + i / b_chunks) * n + i % b_chunks * 8, true);
    }
  };
  float sum[2][4][4] = {};
  bring(0, 0);
  cp_async_commit();
  for (int at = 0, stage = 0; at < k; at += depth, stage ^= 1) {
    if (at + depth < k) bring(stage ^ 1, at + depth);  // 1. the next slice leaves
    cp_async_commit();
    cp_async_wait<1>();  // 2. this one is there
    __syncthreads();
#pragma unroll
    for (int j = 0; j < depth; j += 16) {  // 3. fragments, and 8 products of 16 x 8 x 16
      std::uint32_t left[2][4], right[2][4];
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        ldmatrix_x4(left[h], &a_tile[stage][row + 16 * h + lane % 16][swizzled(lane % 16, j / 8 + lane / 16)]);
        ldmatrix_x4_trans(right[h], &b_tile[stage][j + lane % 16][column / 8 + 2 * h + lane / 16]);
      }
#pragma unroll
      for (int r = 0; r < 2; ++r)
#pragma unroll
        for (int q = 0; q < 4; ++q) {
          const std::uint32_t eight[2] = {right[q / 2][q % 2 * 2], right[q / 2][q % 2 * 2 + 1]};  // columns 8 q ... 8 q + 7
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
        store(reinterpret_cast<float2*>(c + (row + 16 * r + 8 * h + lane / 4) * n + column + 8 * q + lane % 4 * 2),
              make_float2(sum[r][q][2 * h], sum[r][q][2 * h + 1]));
}
void by_tensor_cores(const Context& ctx, const bf16* a, const bf16* b, float* c) {
  launch(ctx.stream, {.kernel = "gemm_tensor_cores", .grid = {N / 64, M / 64}, .block = {128}}, gemm_tensor_cores, a, b, c, N, K);
}

// ----------------------------------------------------------------------------------------------------------- the problem

const std::vector<float> a_numbers = numbers(M * K, 1), b_numbers = numbers(K * N, 2);

template <class T, void (*launcher)(const Context&, const T*, const T*, float*)> std::vector<float> run(const Context& ctx) {
  const Array<T> a(ctx, a_numbers), b(ctx, b_numbers);
  const Array<float> c(ctx, M * N);
  launcher(ctx, a.data(), b.data(), c.data());
  return c.host();
}

std::vector<float> reference() {
  std::vector<float> c;
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < N; ++j) {
      double sum = 0;
      for (int q = 0; q < K; ++q) sum += double(a_numbers[std::size_t(i * K + q)]) * b_numbers[std::size_t(q * N + j)];
      c.push_back(float(sum));
    }
  return c;
}

}  // namespace

std::vector<Rung> gemm_rungs() {
  constexpr double flops = 2.0 * M * N * K, in = M * K + K * N, out = 4.0 * M * N;
  // Products of sixteenths and their sums are exact in f32.
  return {
      {"gemm 1", "one thread per element, from global memory", 4 * in + out, flops, 0, run<float, by_elements>, reference},
      {"gemm 2", "tiles in shared memory: what a block reads, 32 rows or columns use", 4 * in + out, flops, 0,
       run<float, by_shared_tiles>, reference},
      {"gemm 3", "8 x 8 sums a thread in registers, accesses of 16 bytes", 4 * in + out, flops, 0, run<float, by_registers>,
       reference},
      {"gemm 4", "bf16 on tensor cores; cp.async brings the next slice meanwhile", 2 * in + out, flops, 0,
       run<bf16, by_tensor_cores>, reference},
  };
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD::ladder
