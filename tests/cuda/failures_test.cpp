// Failures injected into cuda-sim: each is one clear Error; a failed op leaves device and tensors as they were; a lost device says so at
// once, and is not touched again.
#include <doctest/doctest.h>

#include "attention.hpp"
#include "device_test.hpp"
#include "sspo/cuda.hpp"
#include "sspo/grad/backward.hpp"
#include "sspo/ops/all.hpp"
#include "sspo/train/optimizer.hpp"

using namespace sspo;
using namespace sspo::cuda;

namespace {

struct Restored {  // whatever a test did
  Restored() { restore_device(); }
  ~Restored() { restore_device(); }
};

template <class F> std::string error_of(F f, ErrorKind kind) {
  try {
    f();
  } catch (const Error& e) {
    CHECK(e.info().kind == kind);
    return e.what();
  }
  return "no error";
}
#define CHECK_SAYS(text, ...)                                                                                      \
  do {                                                                                                             \
    const std::string said = text;                                                                                 \
    for (const char* part : {__VA_ARGS__}) CHECK_MESSAGE(said.find(part) != std::string::npos, part << " in: " << said); \
  } while (0)

struct Job {
  const char* op;
  Tensor (*run)(const Device&);
};
Tensor on(const Device& d, const Shape& shape, int purpose) { return normal(Rng{7} / purpose, shape, d); }
// Ops of one kernel and of several, with and without memory of their own, with and without a wait of the host; and gradients.
const Job jobs[] = {
    {"matmul", [](const Device& d) { return matmul(on(d, {5, 700}, 1), on(d, {700, 6}, 2)); }},
    {"conv2d", [](const Device& d) {
       const Tensor x = track(on(d, {1, 5, 5, 4}, 1)), w = track(on(d, {4, 3, 3, 4}, 2));
       const Gradients g = backward(mean(square(conv2d(x, w, {}, {.padding = same(3)}))));
       return g[w] + sum(g[x]);
     }},
    {"attention", [](const Device& d) {
       const Tensor q = track(on(d, {1, 6, 2, 8}, 1)), k = track(on(d, {1, 9, 2, 8}, 2));
       const Gradients g = backward(mean(square(attention(q, k, k))));
       return sum(g[q]) + g[k];
     }},
    {"group_norm", [](const Device& d) {
       const Tensor x = track(on(d, {2, 4, 4, 8}, 1)), gamma = track(on(d, {8}, 2));
       return backward(mean(square(group_norm(x, gamma, on(d, {8}, 3), {.groups = 2, .silu = true}))))[gamma];
     }},
    {"gather", [](const Device& d) {
       const Tensor table = track(on(d, {10, 4}, 1));
       return backward(sum(square(embedding(table, randint(Rng{3}, {12}, 0, 10, d)))))[table];
     }},
    {"softmax", [](const Device& d) { return softmax(transpose(on(d, {33, 40}, 1))); }},
};
std::vector<float> numbers(const Tensor& x) { return contiguous(x).to_vector<float>(); }

}  // namespace

TEST_CASE("a failed call stops its op alone: bytes in use are as before, and the op can be done again") {
  const Restored restored;
  for (const bool nan : {false, true}) {
    const Device device = cuda_sim_device({.fill_with_nan = nan});
    for (const Job& job : jobs) {
      CAPTURE(job.op);
      const std::vector<float> expected = numbers(job.run(device));
      const MemoryStats before = device.memory();
      for (const Call call : {Call::launch, Call::copy, Call::wait, Call::allocate}) {
        int failures = 0;
        for (int after = 0;; after += 1 + after / 4) {
          device.trim_memory();
          fail_next(call, call == Call::allocate ? Answer::devices_unavailable : Answer::out_of_resources, after);
          std::string said;
          try {
            (void)numbers(job.run(device));
          } catch (const Error& e) {
            said = e.what();
          }
          restore_device();
          if (said.empty()) break;
          ++failures;
          CHECK(said.find("cudaError") != std::string::npos);
          REQUIRE(device.memory().in_use == before.in_use);
          REQUIRE(device.memory().blocks == before.blocks);
        }
        CHECK(failures > 0);
        CHECK(numbers(job.run(device)) == expected);
      }
    }
  }
}

TEST_CASE("a launch that fails names op, shapes, kernel, launch, answer and ways out") {
  const Restored restored;
  const Device device = cuda_sim_device();
  const Tensor x = on(device, {2, 4, 4, 8}, 1);
  fail_next(Call::launch, Answer::out_of_resources);
  CHECK_SAYS(error_of([&] { group_norm(x, {}, {}, {.groups = 2}); }, ErrorKind::internal), "group_norm: launch failed", "cudaErrorLaunchOutOfResources (701)",
             "kernel group_norm_one_read, grid ", "block ", "bytes of shared memory", "in group_norm of [2, 4, 4, 8] f32", "at        failures_test.cpp:", "reference");
  const Tensor q = track(on(device, {1, 6, 2, 8}, 1)), loss = sum(attention(q, q, q));
  fail_next(Call::launch, Answer::invalid_configuration, 1);  // after the sum's gradient
  CHECK_SAYS(error_of([&] { backward(loss); }, ErrorKind::internal), "cudaErrorInvalidConfiguration", "in contiguous of [1, 6, 2, 8] f32, within attention_grad of [1, 6, 2, 8] f32", ", within the gradient of attention of [1, 6, 2, 8] f32", "at        failures_test.cpp:");
  fail_next(Call::copy, Answer::invalid_value);
  CHECK_SAYS(error_of([&] { (void)x.to_vector<float>(); }, ErrorKind::internal), "copying from the device", "1024 bytes", "cudaErrorInvalidValue");
}

TEST_CASE("a card that the library holds no kernels for: named, with what builds them") {
  const Restored restored;
  const Device device = cuda_sim_device();
  set_limits({.name = "an old card", .capability = 75});
  fail_next(Call::launch, Answer::no_kernel_image);
  CHECK_SAYS(error_of([&] { ones({4}, DType::f32, device); }, ErrorKind::internal), "no kernels for this card", "an old card of compute capability 7.5", "expected  compute capability 9.0",
             "-DSSPO_CUDA_ARCHITECTURES=75");
}

TEST_CASE("a lost device says so once, then at once, and is not touched again") {
  const Restored restored;
  for (const Answer answer : {Answer::illegal_address, Answer::uncorrectable_memory, Answer::devices_unavailable, Answer::launch_failure, Answer::misaligned_address}) {
    restore_device();
    const Device device = cuda_sim_device();
    const Tensor x = on(device, {3, 3}, 1), y = x + x;
    const std::vector<float> before = x.to_vector<float>();
    const std::size_t in_use = device.memory().in_use;
    const std::string cause = text_of(answer);
    fail_next(Call::wait, answer);
    CHECK_SAYS(error_of([&] { (void)y.item<float>(0); }, ErrorKind::internal), "the device is lost", cause.c_str(), "--resume auto", "compute-sanitizer");
    std::uint64_t touched = 0;
    for (int c = 0; c < call_kinds; ++c) touched += calls(Call(c));
    CHECK_SAYS(error_of([&] { matmul(x, y); }, ErrorKind::internal), "matmul: the device was lost earlier", cause.c_str());
    CHECK_SAYS(error_of([&] { (void)x.to_vector<float>(); }, ErrorKind::internal), "lost earlier", cause.c_str());
    CHECK_SAYS(error_of([&] { ones({5}, DType::f32, device); }, ErrorKind::internal), "lost earlier");
    CHECK_SAYS(error_of([&] { cuda_sim_device(); }, ErrorKind::internal), "lost earlier");
    device.trim_memory();
    std::uint64_t now = 0;
    for (int c = 0; c < call_kinds; ++c) now += calls(Call(c));
    CHECK(now == touched);
    CHECK(device.memory().in_use == in_use);
    forget_loss();  // the memory of the simulator survives: what was there is as it was
    CHECK(x.to_vector<float>() == before);
  }
}

TEST_CASE("a kernel that fails when its graph runs: named with its op; what was promised is missing, so the device is lost") {
  const Restored restored;
  for (const bool graphs : {true, false}) {
    restore_device();
    set_lazy(!graphs);
    {
      const Device device = cuda_sim_device({.graphs = graphs});
      const Tensor x = on(device, {2, 4, 4, 8}, 1);
      (void)x.item<float>(0);
      const Tensor y = x * 2.0, z = group_norm(y, {}, {}, {.groups = 2}), v = z + z;
      fail_next(Call::launch, Answer::out_of_resources, 1);
      CHECK_SAYS(error_of([&] { (void)v.item<float>(0); }, ErrorKind::internal), "the device is lost", "kernel group_norm_one_read", "in group_norm of [2, 4, 4, 8] f32", "cudaErrorLaunchOutOfResources");
      CHECK_SAYS(error_of([&] { (void)(x + x); }, ErrorKind::internal), "lost earlier", "group_norm");
      if (graphs) {
        restore_device();
        const Device other = cuda_sim_device({.graphs = true});
        const Tensor a = on(other, {4}, 1);
        fail_next(Call::graph, Answer::out_of_memory);
        CHECK_SAYS(error_of([&] { (void)a.item<float>(0); }, ErrorKind::internal), "launching a graph", "cudaErrorMemoryAllocation", "without --cuda-graphs");
      }
    }
    set_lazy(false);
  }
}

TEST_CASE("out of memory: op, bytes asked, in use, who holds it, ways out; idle chunks are given back first") {
  const Restored restored;
  const Device device = cuda_sim_device();
  const Tensor x = on(device, {1024, 1024}, 1);
  const MemoryStats before = device.memory();
  fail_next(Call::allocate, Answer::out_of_memory);
  fail_next(Call::allocate, Answer::out_of_memory);
  CHECK_SAYS(error_of([&] { tanh(cat({x, x, x, x, x, x, x, x, x}, 0)); }, ErrorKind::memory), "the device has no memory left", "36.00 MiB more", "4.00 MiB in use: tensor 4.00 MiB", "smaller batch", "recompute",
             "--max-memory");
  CHECK(device.memory().in_use == before.in_use);
  {
    const Tensor wide = cat({x, x, x, x, x, x, x, x, x}, 0);
  }
  const std::size_t reserved = device.memory().reserved;
  fail_next(Call::allocate, Answer::out_of_memory);
  const Tensor wider = Tensor::empty({12, 1024, 1024}, DType::f32, device);  // the chunk of 36 MiB goes back for it
  CHECK(device.memory().reserved < reserved + (std::size_t(48) << 20));
}

TEST_CASE("beyond the device's limits: which, how much, in what op; its reference computes there") {
  const Restored restored;
  const Device device = cuda_sim_device();
  const auto close = [](const Tensor& a, const Tensor& b) {
    const std::vector<float> x = numbers(a), y = numbers(b);
    REQUIRE(x.size() == y.size());
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(std::abs(x[i] - y[i]) <= 1e-5);
  };
  const Tensor q = on(device, {1, 6, 2, 160}, 1);
  const Tensor expected = attention(q, q, q);
  set_limits({.name = "a small card", .shared_per_block = 48 * 1024});
  const std::size_t in_use = device.memory().in_use;
  CHECK_SAYS(error_of([&] { attention(q, q, q); }, ErrorKind::input), "attention: heads of 160 in f32 want more shared memory than a block has", "49152 on a small card", "Attention::reference");
  CHECK(device.memory().in_use == in_use);
  close(Attention::reference({}, q, q, q, {}), expected);
  set_limits({.name = "a tiny card", .threads_per_block = 64});
  CHECK_SAYS(error_of([&] { softmax(on(device, {4, 4}, 1)); }, ErrorKind::input), "threads of a block", "1 to 64 on a tiny card");
  restore_device();

  const Tensor wide = on(device, {1, 3, 1, 600}, 1);
  CHECK_SAYS(error_of([&] { attention(wide, wide, wide); }, ErrorKind::input), "attention: the heads are too wide", "1 to 512", "600", "Attention::reference");
  close(Attention::reference({}, wide, wide, wide, {}), to_device(attention(to_device(wide, Device::cpu()), to_device(wide, Device::cpu()), to_device(wide, Device::cpu())), Device::cpu()));
  TestDevice d;
  CHECK_SAYS(error_of([&] { sspo::cuda::attention(d.ctx, DType::i32, {.batch = 1, .heads = 1, .queries = 1, .keys = 1, .head_dim = 8}); }, ErrorKind::input), "no CUDA kernel for this dtype", "f32, f64 or bf16", "i32");
}

TEST_CASE("views that begin anywhere are computed as on the CPU") {
  const Device device = cuda_sim_device();
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Tensor a = cast(on(device, {9, 37}, 1), dtype), b = cast(on(device, {37, 11}, 2), dtype), ca = to_device(a, Device::cpu()), cb = to_device(b, Device::cpu());
    const auto f = [](const Tensor& x, const Tensor& y) {
      const Tensor u = slice(x, 1, 3, 36), v = slice(slice(y, 0, 3, 36), 1, 1, 10);  // rows apart by 37 and 11, first elements 3 and 34
      return cast(softmax(matmul(u, v)), DType::f32);
    };
    const std::vector<float> got = numbers(f(a, b)), expected = numbers(f(ca, cb));
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - expected[i]) <= (dtype == DType::f32 ? 1e-5 : 2e-2));
  }
}

TEST_CASE("memory of the device is counted to the byte, by op, and reused") {
  const Restored restored;
  const Device device = cuda_sim_device({.budget = std::size_t(1) << 20});
  const auto block = [](std::size_t bytes) { return (bytes + bytes_between_blocks() + 63) / 64 * 64; };
  const Tensor x = on(device, {100, 7}, 1), w = on(device, {7, 9}, 2);
  CHECK(device.memory().in_use == block(2800) + block(252));
  device.reset_peak_memory();
  {
    const Tensor y = matmul(x, w);
    CHECK(device.memory().in_use == block(2800) + block(252) + block(3600));
    CHECK(device.memory().blocks == 3);
    CHECK(device.memory_holders().find("matmul 0.00 MiB") != std::string::npos);
  }
  CHECK(device.memory().peak == block(2800) + block(252) + block(3600));  // no memory besides its result
  device.reset_peak_memory();
  CHECK(device.memory().peak == block(2800) + block(252));
  const Tensor k = on(device, {1, 9, 2, 8}, 2);
  const std::size_t in_use = device.memory().in_use;
  const auto step = [&] {
    const Tensor q = track(k);
    (void)backward(sum(attention(q, q, q)));
  };
  step();
  const MemoryStats first = device.memory();
  CHECK(first.in_use == in_use);
  CHECK(first.peak > in_use + 3 * block(576));  // the gradient's row terms are counted, too
  for (int i = 0; i < 5; ++i) step();
  CHECK(device.memory().peak == first.peak);
  CHECK(device.memory().reserved == first.reserved);
  CHECK_SAYS(error_of([&] { (void)matmul(on(device, {512, 7}, 3), on(device, {7, 512}, 4)); }, ErrorKind::memory), "matmul: memory budget exceeded", "at most 1.00 MiB", "1.00 MiB more", "held by tensor", "--max-memory");
  CHECK(device.memory().in_use == in_use);
}

TEST_CASE("an optimizer's step that fails before it began changes nothing; one that fails half way loses the device") {
  const Restored restored;
  const Device device = cuda_sim_device();
  Params params(device);
  const Param p = params.add("p", on(device, {40}, 1));
  AdamW adamw(params, {.lr = 0.1});
  const Gradients g = backward(sum(square(Tensor(p))));
  const std::vector<float> before = p.value().to_vector<float>();
  fail_next(Call::launch, Answer::out_of_resources);
  CHECK_SAYS(error_of([&] { adamw.step(g); }, ErrorKind::internal), "adamw: launch failed");
  CHECK(p.value().to_vector<float>() == before);
  CHECK(adamw.steps() == 0);
  adamw.step(g);
  CHECK(adamw.steps() == 1);
  CHECK(p.value().to_vector<float>() != before);

  Params many(device);
  for (int i = 0; i < 300; ++i) many.add("p" + std::to_string(i), ones({2}, DType::f32, device));
  Tensor all = zeros({2}, DType::f32, device);
  for (const Param& q : many) all = all + Tensor(q);
  AdamW adamw_of_many(many, {.lr = 0.1});
  const Gradients of_many = backward(sum(all * on(device, {2}, 3)));
  fail_next(Call::launch, Answer::out_of_resources, 1);
  CHECK_SAYS(error_of([&] { adamw_of_many.step(of_many); }, ErrorKind::internal), "adamw: launch failed");
  CHECK_SAYS(error_of([&] { (void)p.value().to_vector<float>(); }, ErrorKind::internal), "lost earlier", "some parameters were updated, others were not");
}
