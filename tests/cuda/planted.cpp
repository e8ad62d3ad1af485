#include "planted.hpp"

#include "runtime.hpp"

namespace planted {
namespace {

using namespace sspo::cuda;

// --- the kernels: with `Bug`, the mistake is made. The line that the checker must name ends in "// !" and the bug's name.

template <bool Bug> __global__ void missing_barrier(const float* x, float* y) {  // reverses a block by way of shared memory
  SSPO_SHARED(float, kept, [64]);
  const int t = int(threadIdx.x);
  kept[t] = x[t];
  if (!Bug) __syncthreads();
  y[t] = kept[63 - t];  // ! missing_barrier
}

template <bool Bug> __global__ void missing_second_barrier(const float* x, float* y) {
  SSPO_SHARED(float, kept, [64]);
  const int t = int(threadIdx.x);
  for (int round = 0; round < 2; ++round) {
    kept[t] = x[64 * round + t];  // ! missing_second_barrier
    __syncthreads();
    y[64 * round + t] = kept[63 - t];
    if (!Bug) __syncthreads();
  }
}

template <bool Bug> __global__ void blocks_share_a_result(const float* x, float* y) {
  if (threadIdx.x == 0) y[Bug ? 0 : blockIdx.x] = x[blockIdx.x];  // ! blocks_share_a_result
}

template <bool Bug> __global__ void block_reads_anothers_result(const float* x, float* y) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  y[i] = x[i];
  if (Bug && i > 0) y[i] += y[i - 1];  // ! block_reads_anothers_result
}

template <bool Bug> __global__ void reads_past_the_end(const float* x, float* y, int n) {
  const int i = int(threadIdx.x);
  if (i < n) y[i] = x[i] + x[i + 1 < n || Bug ? i + 1 : i];  // ! reads_past_the_end
}

template <bool Bug> __global__ void writes_past_the_end(const float* x, float* y, int n) {
  const int i = int(threadIdx.x);
  if (i < n || Bug) y[i] = x[i % n];  // ! writes_past_the_end
}

template <bool Bug> __global__ void shared_past_the_end(const float* x, float* y) {
  SSPO_SHARED(float, kept, [32]);
  const int t = int(threadIdx.x);
  kept[t] = x[t];
  __syncthreads();
  y[t] = kept[Bug ? t + 1 : t];  // ! shared_past_the_end
}

template <bool Bug> __global__ void misaligned_vector(const float* x, float* y) {
  const int t = int(threadIdx.x);
  const float4 v = load(reinterpret_cast<const float4*>(x + 4 * t + (Bug ? 1 : 0)));  // ! misaligned_vector
  y[t] = v.x + v.w;
}

template <bool Bug> __global__ void shared_never_written(const float* x, float* y) {
  SSPO_SHARED(float, kept, [64]);
  const int t = int(threadIdx.x);
  if (t % 2 == 0 || !Bug) kept[t] = x[t];
  __syncthreads();
  y[t] = kept[t];  // ! shared_never_written
}

template <bool Bug> __global__ void global_never_written(const float* x, float* y, float* scratch) {
  const int t = int(threadIdx.x);
  if (!Bug) scratch[t] = x[t];
  y[t] = scratch[t];  // ! global_never_written
}

template <bool Bug> __global__ void barrier_in_a_branch(const float* x, float* y) {
  SSPO_SHARED(float, kept, [64]);
  const int t = int(threadIdx.x);
  kept[t] = x[t];
  if (Bug) {
    if (t < 32) {
      __syncthreads();
    } else {
      y[t] = 0;
      __syncthreads();
    }
  } else {
    __syncthreads();
  }
  y[t] = kept[t ^ 1];
}

template <bool Bug> __global__ void host_pointer(const float* x, float* y, const float* host) {
  y[threadIdx.x] = (Bug ? host : x)[threadIdx.x];  // ! host_pointer
}

template <bool Bug> __global__ void copy_without_wait(const float* x, float* y) {
  float* const kept = dynamic_shared<float>();
  const int t = int(threadIdx.x);
  cp_async16(kept + 4 * t, x + 4 * t, true);
  cp_async_commit();
  if (!Bug) cp_async_wait<0>();
  y[t] = kept[4 * t];  // ! copy_without_wait
  cp_async_wait<0>();
}

template <bool Bug> __global__ void wait_leaves_one(const float* x, float* y) {  // two stages; the second is used too early
  float* const kept = dynamic_shared<float>();
  const int t = int(threadIdx.x);
  for (int stage = 0; stage < 2; ++stage) {
    cp_async16(kept + 128 * stage + 4 * t, x + 128 * stage + 4 * t, true);
    cp_async_commit();
  }
  if (Bug) cp_async_wait<1>();
  else cp_async_wait<0>();
  __syncthreads();
  y[t] = kept[t] + kept[128 + (t ^ 5)];  // ! wait_leaves_one
  cp_async_wait<0>();
}

template <bool Bug> __global__ void copy_wait_without_barrier(const float* x, float* y) {  // waiting makes a thread's own copies visible to it alone
  float* const kept = dynamic_shared<float>();
  const int t = int(threadIdx.x);
  cp_async16(kept + 4 * t, x + 4 * t, true);
  cp_async_commit();
  cp_async_wait<0>();
  if (!Bug) __syncthreads();
  y[t] = kept[t];  // ! copy_wait_without_barrier
}

template <bool Bug> __global__ void ends_with_a_copy_in_flight(const float* x, float* y) {
  float* const kept = dynamic_shared<float>();
  const int t = int(threadIdx.x);
  cp_async16(kept + 4 * t, x + 4 * t, true);  // ! ends_with_a_copy_in_flight
  cp_async_commit();
  if (!Bug) cp_async_wait<0>();
  y[t] = x[t];
}

template <bool Bug> __global__ void matrix_from_global(const float* x, float* y) {
  SSPO_SHARED(float, kept, [128]);
  const int t = int(threadIdx.x);
  for (int i = 0; i < 4; ++i) kept[32 * i + t] = x[32 * i + t];
  __syncthreads();
  std::uint32_t r[4];
  ldmatrix_x4(r, (Bug ? x : kept) + 4 * t);  // ! matrix_from_global
  y[t] = float(r[0] + r[3]);
}

template <bool Bug> __global__ void shuffle_from_outside(const float* x, float* y) {
  const int t = int(threadIdx.x);
  float v = x[t];
  if (t < 16) v += __shfl_sync(0x0000ffffu, v, Bug ? 20 : 12);
  y[t] = v;
}

template <bool Bug> __global__ void lanes_have_left(const float* x, float* y) {
  const int t = int(threadIdx.x);
  if (Bug && t >= 24) return;
  y[t] = warp_sum(x[t]);
}

template <bool Bug> __global__ void not_in_its_mask(const float* x, float* y) {
  const int t = int(threadIdx.x);
  y[t] = __shfl_xor_sync(Bug ? 0x7fffffffu : whole_warp, x[t], 0);
}

template <bool Bug> __global__ void missing_syncwarp(const float* x, float* y) {
  SSPO_SHARED(float, kept, [32]);
  const int t = int(threadIdx.x);
  kept[t] = x[t];
  if (!Bug) __syncwarp();
  y[t] = kept[31 - t];  // ! missing_syncwarp
}

template <bool Bug> __global__ void sums_without_atomics(const float* x, float* y) {
  const int t = int(threadIdx.x);
  if (Bug) y[t % 4] += x[t];  // ! sums_without_atomics
  else atomicAdd(&y[t % 4], x[t]);
}

template <bool Bug> __global__ void shifts_in_place(float* x) {
  const int t = int(threadIdx.x);
  const float next = x[t + 1];
  if (!Bug) __syncthreads();
  x[t] = next;  // ! shifts_in_place
}

template <bool Bug> __global__ void anothers_local_array(const float* x, float* y) {
  SSPO_SHARED(const float*, kept, [32]);
  SSPO_SHARED(float, copies, [32]);
  const int t = int(threadIdx.x);
  float mine[2] = {x[t], 1};
  copies[t] = mine[t % 2];
  kept[t] = Bug ? mine : copies + t;
  __syncthreads();
  y[t] = *kept[31 - t];  // ! anothers_local_array
  __syncthreads();
}

template <bool Bug> __global__ void half_a_warp_multiplies(const float* x, float* y) {
  const int t = int(threadIdx.x);
  const float c[4] = {x[t], x[t], x[t], x[t]};
  const std::uint32_t a[4] = {}, b[2] = {};
  float d[4] = {};
  mma_m16n8k16(d, a, b, c, sspo::bf16{});
  y[t] = d[0];
}

// --- their launches

struct Buffers {  // x: 512 numbers. y: 512 zeros.
  Stream stream;
  float* x = static_cast<float*>(allocate(512 * 4, "x"));
  float* y = static_cast<float*>(allocate(512 * 4, "y"));
  Buffers() {
    std::vector<float> numbers(512);
    for (int i = 0; i < 512; ++i) numbers[std::size_t(i)] = float(i) / 8;
    copy_in(stream, x, numbers.data(), 512 * 4);
    fill(stream, y, 0, 512 * 4);
  }
  ~Buffers() {
    release(x);
    release(y);
  }
};

template <class... P, class... A> void go(const char* name, unsigned blocks, unsigned threads, std::size_t shared, void (*kernel)(P...), A... arguments) {
  Stream stream;
  launch(stream, {.kernel = name, .grid = {blocks}, .block = {threads}, .shared_bytes = shared}, kernel, arguments...);
}

#define XY(kernel, kind, blocks, threads, shared) \
  {#kernel, kind, #kernel, [](bool mistake) { Buffers b; go(#kernel, blocks, threads, shared, mistake ? kernel<true> : kernel<false>, b.x, b.y); }}

}  // namespace

const std::vector<Bug>& bugs() {
  static const std::vector<Bug> all = {
      XY(missing_barrier, "race", 1, 64, 0),
      XY(missing_second_barrier, "race", 1, 64, 0),
      XY(blocks_share_a_result, "race", 4, 32, 0),
      XY(block_reads_anothers_result, "race", 4, 1, 0),
      {"reads_past_the_end", "out of bounds", "reads_past_the_end", [](bool mistake) {
         Buffers b;
         float* const few = static_cast<float*>(allocate(100, "few"));
         copy_within(b.stream, few, b.x, 100);
         go("reads_past_the_end", 1, 32, 0, mistake ? reads_past_the_end<true> : reads_past_the_end<false>, few, b.y, 25);
         release(few);
       }},
      {"writes_past_the_end", "out of bounds", "writes_past_the_end", [](bool mistake) {
         Buffers b;
         float* const few = static_cast<float*>(allocate(100, "few"));
         go("writes_past_the_end", 1, 32, 0, mistake ? writes_past_the_end<true> : writes_past_the_end<false>, b.x, few, 25);
         release(few);
       }},
      XY(shared_past_the_end, "out of bounds", 1, 32, 0),
      XY(misaligned_vector, "misaligned", 1, 64, 0),
      XY(shared_never_written, "uninitialised", 1, 64, 0),
      {"global_never_written", "uninitialised", "global_never_written", [](bool mistake) {
         Buffers b;
         float* const scratch = static_cast<float*>(allocate(256, "scratch"));
         go("global_never_written", 1, 64, 0, mistake ? global_never_written<true> : global_never_written<false>, b.x, b.y, scratch);
         release(scratch);
       }},
      {"barrier_in_a_branch", "divergent barrier", nullptr, [](bool mistake) {
         Buffers b;
         go("barrier_in_a_branch", 1, 64, 0, mistake ? barrier_in_a_branch<true> : barrier_in_a_branch<false>, b.x, b.y);
       }},
      {"host_pointer", "host memory in a kernel", "host_pointer", [](bool mistake) {
         Buffers b;
         std::vector<float> host(64, 1.0f);
         go("host_pointer", 1, 64, 0, mistake ? host_pointer<true> : host_pointer<false>, b.x, b.y, static_cast<const float*>(host.data()));
       }},
      XY(copy_without_wait, "copy in flight", 1, 32, 512),
      XY(wait_leaves_one, "copy in flight", 1, 32, 1024),
      XY(copy_wait_without_barrier, "race", 1, 32, 512),
      XY(ends_with_a_copy_in_flight, "copy not waited for", 1, 32, 512),
      XY(matrix_from_global, "not shared memory", 1, 32, 0),
      {"shuffle_from_outside", "shuffle from a lane outside the mask", nullptr, [](bool mistake) {
         Buffers b;
         go("shuffle_from_outside", 1, 32, 0, mistake ? shuffle_from_outside<true> : shuffle_from_outside<false>, b.x, b.y);
       }},
      {"lanes_have_left", "warp operation never completes", nullptr, [](bool mistake) {
         Buffers b;
         go("lanes_have_left", 1, 32, 0, mistake ? lanes_have_left<true> : lanes_have_left<false>, b.x, b.y);
       }},
      {"not_in_its_mask", "mask without the caller", nullptr, [](bool mistake) {
         Buffers b;
         go("not_in_its_mask", 1, 32, 0, mistake ? not_in_its_mask<true> : not_in_its_mask<false>, b.x, b.y);
       }},
      XY(missing_syncwarp, "race", 1, 32, 0),
      XY(sums_without_atomics, "race", 1, 64, 0),
      {"shifts_in_place", "race", "shifts_in_place", [](bool mistake) {
         Buffers b;
         go("shifts_in_place", 1, 64, 0, mistake ? shifts_in_place<true> : shifts_in_place<false>, b.x);
       }},
      XY(anothers_local_array, "another thread's local memory", 1, 32, 0),
      {"half_a_warp_multiplies", "part of a warp", nullptr, [](bool mistake) {
         Buffers b;
         go("half_a_warp_multiplies", 1, mistake ? 16 : 32, 0, mistake ? half_a_warp_multiplies<true> : half_a_warp_multiplies<false>, b.x, b.y);
       }},
      {"use_after_release", "use after release", nullptr, [](bool mistake) {
         Buffers b;
         float* const gone = static_cast<float*>(allocate(256, "gone"));
         fill(b.stream, gone, 0, 256);
         if (mistake) release(gone);
         go("use_after_release", 1, 64, 0, host_pointer<false>, gone, b.y, static_cast<const float*>(nullptr));
         if (!mistake) release(gone);
       }},
  };
  return all;
}

}  // namespace planted
