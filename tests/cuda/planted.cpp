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

template <bool Bug> __global__ void two_threads_a_byte(const float* x, float* y) {
  auto* const bytes = reinterpret_cast<unsigned char*>(y);
  const int t = int(threadIdx.x);
  bytes[Bug ? t % 2 : t] = static_cast<unsigned char>(x[t]);  // ! two_threads_a_byte
}

template <bool Bug> __global__ void adds_to_bytes(const float* x, float* y) {
  SSPO_SHARED(unsigned char, bytes, [64]);
  const int t = int(threadIdx.x);
  bytes[t] = 0;
  __syncthreads();
  const int i = Bug ? t / 2 : t;
  bytes[i] = static_cast<unsigned char>(bytes[i] + x[t]);  // ! adds_to_bytes
  __syncthreads();
  y[t] = bytes[t];
}

template <bool Bug> __global__ void reads_a_byte_of_a_word(const float* x, float* y) {  // words and bytes of one place
  SSPO_SHARED(std::uint32_t, words, [32]);
  const int t = int(threadIdx.x);
  words[t] = std::uint32_t(x[t]);
  const auto* const bytes = reinterpret_cast<const unsigned char*>(words);
  y[t] = bytes[Bug ? 4 * t + 5 - 8 * (t == 31) : 4 * t + 1];  // ! reads_a_byte_of_a_word
}

template <bool Bug> __global__ void last_byte(const float* x, float* y, unsigned char* few) {
  few[threadIdx.x + (Bug ? 1 : 0)] = static_cast<unsigned char>(x[threadIdx.x]);  // ! last_byte
  y[threadIdx.x] = 0;
}

template <bool Bug> __global__ void syncs_half_a_warp(const float* x, float* y) {  // each half reverses its own numbers
  SSPO_SHARED(float, kept, [32]);
  const int t = int(threadIdx.x);
  kept[t] = x[t];
  __syncwarp(t < 16 ? 0x0000ffffu : 0xffff0000u);
  y[t] = kept[Bug ? 31 - t : t ^ 15];  // ! syncs_half_a_warp
}

template <bool Bug> __global__ void syncs_in_a_chain(const float* x, float* y) {  // lane 0 with 1, then 1 with 2: 2 comes after 0
  SSPO_SHARED(float, kept, [1]);
  const int t = int(threadIdx.x);
  if (t == 0) kept[0] = x[0];
  if (t < 2 && !Bug) __syncwarp(0b011);
  if (t == 1 || t == 2) __syncwarp(0b110);
  if (t == 2) y[0] = kept[0];  // ! syncs_in_a_chain
}

template <bool Bug> __global__ void all_read_one_writes(const float* x, float* y) {
  SSPO_SHARED(float, kept, [1]);
  const int t = int(threadIdx.x);
  if (t == 0) kept[0] = x[0];
  __syncwarp();
  y[t] = kept[0];
  if (!Bug) __syncwarp();
  if (t == 7) kept[0] = x[t];  // ! all_read_one_writes
}

template <bool Bug> __global__ void syncs_unnamed(const float* x, float* y) {
  const int t = int(threadIdx.x);
  if (t < 16 || Bug) __syncwarp(0x0000ffffu);  // ! syncs_unnamed
  y[t] = x[t];
}

template <bool Bug> __global__ void waits_for_lanes_elsewhere(const float* x, float* y) {
  const int t = int(threadIdx.x);
  if (t < 16) __syncwarp(Bug ? whole_warp : 0x0000ffffu);  // ! waits_for_lanes_elsewhere
  __syncthreads();
  y[t] = x[t];
}

template <bool Bug> __global__ void shuffles_from_the_ended(const float* x, float* y) {
  SSPO_SHARED(float, kept, [32]);
  const int t = int(threadIdx.x);
  if (t >= 16) return;
  kept[t] = x[t];
  __syncwarp();  // lanes that have ended need not come
  y[t] = kept[15 - t] + __shfl_sync(whole_warp, x[t], Bug ? 20 : 12);
}

template <bool Bug> __global__ void adds_to_nothing(const float* x, float* y, float* scratch) {  // the read of an addition in place
  const int t = int(threadIdx.x);
  if (!Bug) scratch[t] = y[t];
  scratch[t] += x[t];  // ! adds_to_nothing
}

template <bool Bug> __global__ void copies_part_of_a_tile(const float* x, float* y) {
  float* const kept = dynamic_shared<float>();
  const int t = int(threadIdx.x);
  if (t < 24) cp_async16(kept + 4 * t, x + 4 * t, true);
  else if (!Bug) cp_async16(kept + 4 * t, nullptr, false);  // zeros, from nowhere
  cp_async_commit();
  cp_async_wait<0>();
  y[t] = kept[4 * t + 3];  // ! copies_part_of_a_tile
}

template <bool Bug> __global__ void uses_zeros_in_flight(const float*, float* y) {
  float* const kept = dynamic_shared<float>();
  const int t = int(threadIdx.x);
  cp_async16(kept + 4 * t, nullptr, false);
  if (!Bug) cp_async_commit();  // what is in no group is not waited for
  cp_async_wait<0>();
  y[t] = kept[4 * t];  // ! uses_zeros_in_flight
  cp_async_commit();
  cp_async_wait<0>();
}

template <bool Bug> __global__ void overwrites_what_is_copied(float* x, float* y) {
  float* const kept = dynamic_shared<float>();
  const int t = int(threadIdx.x);
  cp_async16(kept + 4 * t, x + 4 * t, true);
  cp_async_commit();
  if (!Bug) cp_async_wait<0>();
  __syncthreads();
  x[4 * t] = 1;  // ! overwrites_what_is_copied
  cp_async_wait<0>();
  y[t] = kept[4 * t];
}

template <bool Bug> __global__ void arrays_overlap(const float* x, float* y) {  // two arrays of 32 in dynamic shared memory
  float* const a = dynamic_shared<float>();
  float* const b = a + (Bug ? 16 : 32);
  const int t = int(threadIdx.x);
  a[t] = x[t];
  b[t] = x[32 + t];  // ! arrays_overlap
  y[t] = a[t] + b[t];
}

template <bool Bug> __global__ void arrays_beyond_the_plan(const float* x, float* y) {
  float* const a = dynamic_shared<float>();
  float* const b = a + 32;
  const int t = int(threadIdx.x);
  a[t] = x[t];
  b[t] = x[32 + t];  // ! arrays_beyond_the_plan
  y[t] = a[t] + b[t];
}

template <bool Bug> __global__ void adds_and_sets(const float* x, float* y) {
  if (Bug && blockIdx.x == 2) y[0] = x[0];  // ! adds_and_sets
  else atomicAdd(&y[0], x[blockIdx.x]);
}

template <bool Bug> __global__ void reads_while_others_add(const float* x, float* y) {
  atomicAdd(&y[0], x[blockIdx.x]);
  y[1 + blockIdx.x] = Bug ? y[0] : atomicAdd(&y[0], 0.0f);  // ! reads_while_others_add
}

template <bool Bug> __global__ void overwrites_what_blocks_read(float* x, float* y) {
  y[blockIdx.x] = x[0];
  if (Bug && blockIdx.x == 3) x[0] = 1;  // ! overwrites_what_blocks_read
}

enum class Ticket { right, no_fence, late_fence, no_barrier, writes_on };
// The last block to come adds what all have left. Lane 0 leaves the number that its neighbour wrote.
template <Ticket how> __global__ void last_block_sums(float* x, float* y, unsigned* ticket) {
  SSPO_SHARED(bool, last, [1]);
  const int t = int(threadIdx.x);
  if (t == 1) y[blockIdx.x] = x[blockIdx.x];
  if (how != Ticket::no_barrier) __syncwarp();
  if (t == 0) {
    if (how != Ticket::no_fence && how != Ticket::late_fence) __threadfence();
    last[0] = atomicAdd(ticket, 1u) == gridDim.x - 1;
    if (how == Ticket::late_fence) __threadfence();
    if (how == Ticket::writes_on) y[blockIdx.x] = 0;
  }
  __syncthreads();
  if (!last[0]) return;
  if (t < int(gridDim.x)) y[32 + t] = y[t];  // ! last_block_sums
  if (t == 0) *ticket = 0;
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

template <Ticket how> void sum_in_the_last_block(const char* name) {
  Buffers b;
  auto* const ticket = static_cast<unsigned*>(allocate(4, "ticket"));
  fill(b.stream, ticket, 0, 4);
  for (int again = 0; again < 2; ++again) go(name, 4, 32, 0, last_block_sums<how>, b.x, b.y, ticket);
  release(ticket);
}

#define TICKET(name, how) \
  {#name, "race", "last_block_sums", [](bool mistake) { (mistake ? sum_in_the_last_block<Ticket::how> : sum_in_the_last_block<Ticket::right>)(#name); }}

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
      {"lanes_have_left", "shuffle from a lane that has ended", nullptr, [](bool mistake) {
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
      XY(two_threads_a_byte, "race", 1, 64, 0),
      XY(adds_to_bytes, "race", 1, 64, 0),
      XY(reads_a_byte_of_a_word, "race", 1, 32, 0),
      {"last_byte", "out of bounds", "last_byte", [](bool mistake) {
         Buffers b;
         auto* const few = static_cast<unsigned char*>(allocate(15, "few"));
         go("last_byte", 1, 15, 0, mistake ? last_byte<true> : last_byte<false>, b.x, b.y, few);
         release(few);
       }},
      XY(syncs_half_a_warp, "race", 1, 32, 0),
      XY(syncs_in_a_chain, "race", 1, 32, 0),
      XY(all_read_one_writes, "race", 1, 32, 0),
      XY(syncs_unnamed, "mask without the caller", 1, 32, 0),
      XY(waits_for_lanes_elsewhere, "warp operation never completes", 1, 32, 0),
      {"shuffles_from_the_ended", "shuffle from a lane that has ended", nullptr, [](bool mistake) {
         Buffers b;
         go("shuffles_from_the_ended", 1, 32, 0, mistake ? shuffles_from_the_ended<true> : shuffles_from_the_ended<false>, b.x, b.y);
       }},
      {"adds_to_nothing", "uninitialised", "adds_to_nothing", [](bool mistake) {
         Buffers b;
         float* const scratch = static_cast<float*>(allocate(256, "scratch"));
         go("adds_to_nothing", 1, 64, 0, mistake ? adds_to_nothing<true> : adds_to_nothing<false>, b.x, b.y, scratch);
         release(scratch);
       }},
      XY(copies_part_of_a_tile, "uninitialised", 1, 32, 512),
      XY(uses_zeros_in_flight, "copy in flight", 1, 32, 512),
      XY(overwrites_what_is_copied, "copy in flight", 1, 32, 512),
      XY(arrays_overlap, "race", 1, 32, 256),
      {"arrays_beyond_the_plan", "out of bounds", "arrays_beyond_the_plan", [](bool mistake) {
         Buffers b;
         go("arrays_beyond_the_plan", 1, 32, mistake ? 128 : 256, mistake ? arrays_beyond_the_plan<true> : arrays_beyond_the_plan<false>, b.x, b.y);
       }},
      XY(adds_and_sets, "race", 4, 1, 0),
      XY(reads_while_others_add, "race", 4, 1, 0),
      XY(overwrites_what_blocks_read, "race", 4, 1, 0),
      TICKET(ticket_without_fence, no_fence),
      TICKET(fence_after_the_ticket, late_fence),
      TICKET(ticket_before_the_neighbour, no_barrier),
      TICKET(writes_after_the_ticket, writes_on),
  };
  return all;
}

}  // namespace planted
