// Our kernels beside cuBLASLt's and cuDNN's on a GPU, at the shapes of Stable Diffusion 1.5 in a batch of 4: what scripts/gpu-check runs.
//   bench_on_gpu [--filter TEXT] >bench.json
// The sides of a row take turns with the same arguments. A sample is as many calls in a row as take 2 ms or more between two CUDA events,
// over their number; three samples warm up, of fifteen the minimum and the median are kept. `host_bound`: the GPU waited for the host to
// queue the calls, so the time is the host's. Kinds of rows: bench/rows.txt; bench/gpu_pytorch.py runs the same ones.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <vector>

#include "../attention.hpp"
#include "../conv.hpp"
#include "../geglu.hpp"
#include "../gemm.hpp"
#include "../libraries.hpp"
#include "../norm.hpp"
#include "../optim.hpp"
#include "../random.hpp"
#include "../softmax.hpp"
#include "sspo/base/error.hpp"

using namespace sspo;
using namespace sspo::cuda;
using namespace sspo::kernels;

namespace {

using Call = std::function<void()>;

// Blocks of a size that was asked for before are handed out again: calls in a row wait for no allocation.
class Pool final : public Scratch {
 public:
  ~Pool() override { for (const auto& [p, bytes] : sizes_) release(p); }
  void* take(std::size_t bytes, const char* what) override {
    std::vector<void*>& free = free_[bytes];
    if (free.empty()) {
      free.push_back(allocate(std::max<std::size_t>(bytes, 1), what));
      sizes_[free.back()] = bytes;
    }
    void* const p = free.back();
    free.pop_back();
    return p;
  }
  void give(void* p) noexcept override { free_[sizes_[p]].push_back(p); }

 private:
  std::map<std::size_t, std::vector<void*>> free_;
  std::map<void*, std::size_t> sizes_;
};

// What a row's calls work on; all of it goes with the row.
struct Bench {
  Stream stream;
  Pool pool;
  Context ctx{stream, pool};
  unsigned seed = 0;
  template <class T = void> T* numbers(DType t, Index n) {  // standard normal
    void* const p = pool.take(std::size_t(n) * size_of(t), "bench");
    normal(ctx, Rng{++seed}, {p, t, {n}, {1}});
    return static_cast<T*>(p);
  }
  double* doubles(Index n) { return numbers<double>(DType::f64, n); }
};

struct Row {
  const char* kind;
  std::vector<Index> shape;
  const char* dtype;  // f32, bf16, or tf32: f32 whose products may round their factors
};
// What a row does at least, and by whom.
struct Work {
  double bytes = 0, flops = 0;
  Call own, library;  // library: empty where none has it
  const char* by = nullptr;
};

DType type_of_row(const Row& r) { return std::strcmp(r.dtype, "bf16") ? DType::f32 : DType::bf16; }

Work gemm_work(Bench& b, const Row& r) {
  const DType t = type_of_row(r);
  const Index m = r.shape[0], n = r.shape[1], k = r.shape[2];
  const bool nt = !std::strcmp(r.kind, "gemm_nt");
  const GemmArgs g{.m = m, .n = n, .k = k, .a = {b.numbers(t, m * k), k, 1}, .b = {b.numbers(t, k * n), nt ? 1 : n, nt ? k : 1}, .c = b.numbers(t, m * n), .ldc = n};
  return {double(m * k + k * n + m * n) * double(size_of(t)), 2.0 * double(m * n) * double(k), [=, &b] { gemm(b.ctx, t, t, g); }, [=, &b] { cublas_gemm(b.ctx, t, t, g); }, "cuBLASLt"};
}

Work conv_work(Bench& b, const Row& r) {
  const DType t = type_of_row(r);
  const ConvShape s{.batch = r.shape[0], .h = r.shape[1], .w = r.shape[2], .in = r.shape[3], .out = r.shape[4], .kh = 3, .kw = 3, .top = 1, .bottom = 1, .left = 1, .right = 1};
  const Index pixels = s.batch * s.h * s.w;
  void *const x = b.numbers(t, pixels * s.in), *const w = b.numbers(t, 9 * s.in * s.out), *const y = b.numbers(t, pixels * s.out);
  Work work{double(pixels * (s.in + s.out) + 9 * s.in * s.out) * double(size_of(t)), 18.0 * double(pixels * s.in) * double(s.out), {}, {}, "cuDNN"};
  if (!std::strcmp(r.kind, "conv_forward")) {
    const ConvArgs a{.shape = s, .x = x, .weight = w, .y = y};
    work.own = [=, &b] { conv(b.ctx, t, a); }, work.library = [=, &b] { cudnn_conv(b.ctx, t, a); };
  } else if (!std::strcmp(r.kind, "conv_data")) {
    const ConvDataGradientArgs a{.shape = s, .gy = y, .weight = w, .gx = x};
    work.own = [=, &b] { conv_data_gradient(b.ctx, t, a); }, work.library = [=, &b] { cudnn_conv_data_gradient(b.ctx, t, a); };
  } else {
    const ConvWeightGradientArgs a{.shape = s, .x = x, .gy = y, .gw = w};
    work.own = [=, &b] { conv_weight_gradient(b.ctx, t, t, a); }, work.library = [=, &b] { cudnn_conv_weight_gradient(b.ctx, t, t, a); };
  }
  return work;
}

Work attention_work(Bench& b, const Row& r) {
  const DType t = type_of_row(r);
  const Index B = r.shape[0], H = r.shape[1], N = r.shape[2], M = r.shape[3], D = r.shape[4], queries = B * N * H * D, keys = B * M * H * D;
  const HeadStrides of_queries{N * H * D, H * D, D}, of_keys{M * H * D, H * D, D};
  void *const o = b.numbers(t, queries), *const lse = b.numbers(DType::f32, B * H * N);
  AttentionArgs a{.batch = B, .heads = H, .queries = N, .keys = M, .head_dim = D, .q = {b.numbers(t, queries), of_queries}, .k = {b.numbers(t, keys), of_keys},
                  .v = {b.numbers(t, keys), of_keys}, .scale = 1 / std::sqrt(double(D)), .o = {o, of_queries}};
  const double forward_bytes = 2.0 * double(queries + keys) * double(size_of(t)), products = 2.0 * double(queries) * double(M);
  if (!std::strcmp(r.kind, "attention_forward"))
    return {forward_bytes, 2 * products, [=, &b] { attention(b.ctx, t, a); }, [=, &b] { cudnn_attention(b.ctx, t, a); }, "cuDNN"};
  a.lse = lse;
  const AttentionGradArgs g{.batch = B, .heads = H, .queries = N, .keys = M, .head_dim = D, .q = a.q, .k = a.k, .v = a.v, .o = {o, of_queries}, .d_o = {b.numbers(t, queries), of_queries},
                            .scale = a.scale, .lse = lse, .dq = {b.numbers(t, queries), of_queries}, .dk = {b.numbers(t, keys), of_keys}, .dv = {b.numbers(t, keys), of_keys}};
  return {forward_bytes + double(4 * queries + 4 * keys) * double(size_of(t)), 7 * products,
          [=, &b] { attention(b.ctx, t, a), attention_grad(b.ctx, t, g); }, [=, &b] { cudnn_attention(b.ctx, t, a), cudnn_attention_grad(b.ctx, t, g); }, "cuDNN"};
}

// What no library has here is measured beside PyTorch alone. FLOPs of these are far below what their bytes take.
Work streaming_work(Bench& b, const Row& r) {
  const DType t = type_of_row(r);
  const std::string kind = r.kind;
  const bool train = kind.ends_with("_train");
  const double size = double(size_of(t));
  const auto both = [&](double forward_bytes, double backward_bytes, const Call& forward, const Call& backward) {
    return train ? Work{forward_bytes + backward_bytes, 0, [=] { forward(), backward(); }, {}, nullptr} : Work{forward_bytes, 0, forward, {}, nullptr};
  };
  if (kind.starts_with("group_norm")) {
    const Index B = r.shape[0], P = r.shape[1] * r.shape[2], C = r.shape[3], n = B * P * C;
    void *const x = b.numbers(t, n), *const gamma = b.numbers(t, C), *const beta = b.numbers(t, C);
    double *const mean = b.doubles(B * 32), *const rstd = b.doubles(B * 32);
    const GroupNormArgs a{B, P, C, 32, 1e-5, true, x, gamma, beta, b.numbers(t, n), mean, rstd};
    const GroupNormGradArgs g{B, P, C, 32, true, x, gamma, beta, b.numbers(t, n), mean, rstd, b.numbers(t, n), b.numbers(t, C), b.numbers(t, C)};
    return both(2 * double(n) * size, 3 * double(n) * size, [=, &b] { group_norm(b.ctx, t, a); }, [=, &b] { group_norm_grad(b.ctx, t, g); });
  }
  if (kind == "adamw8bit") {
    const Index n = r.shape[0], blocks = n / moments_block;
    const auto bytes = [&](Index count) {  // zeros
      auto* const x = b.numbers<float>(DType::f32, count / 4);
      fill(b.stream, x, 0, std::size_t(count));
      return x;
    };
    const AdamW8bitTensor all{b.numbers<float>(DType::f32, n), b.numbers<float>(DType::f32, n), reinterpret_cast<std::uint8_t*>(bytes(n)), reinterpret_cast<std::uint8_t*>(bytes(n)),
                              bytes(4 * blocks), bytes(4 * blocks), n, 0.01};
    return {16 * double(n) + 16 * double(blocks), 0, [=, &b] { adamw8bit(b.ctx, {.tensors = &all, .count = 1, .lr = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .step = 1}); }, {}, nullptr};
  }
  if (kind == "adamw") {
    const Index n = r.shape[0];
    const auto f32 = [&] { return b.numbers<float>(DType::f32, n); };
    const AdamWTensor all{f32(), f32(), f32(), f32(), n, 0.01};
    fill(b.stream, all.v, 0, std::size_t(n) * 4);  // squares are not negative
    return {7 * 4 * double(n), 0, [=, &b] { adamw(b.ctx, {.tensors = &all, .count = 1, .lr = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .step = 1}); }, {}, nullptr};
  }
  const Index rows = r.shape[0], columns = r.shape[1], n = rows * columns;
  void *const x = b.numbers(t, n), *const dx = b.numbers(t, n);
  if (kind.starts_with("layer_norm")) {
    void *const gamma = b.numbers(t, columns), *const beta = b.numbers(t, columns);
    double *const mean = b.doubles(rows), *const rstd = b.doubles(rows);
    const LayerNormArgs a{rows, columns, 1e-5, x, gamma, beta, b.numbers(t, n), mean, rstd};
    const LayerNormGradArgs g{rows, columns, x, gamma, b.numbers(t, n), mean, rstd, dx, b.numbers(t, columns), b.numbers(t, columns)};
    return both(2 * double(n) * size, 3 * double(n) * size, [=, &b] { layer_norm(b.ctx, t, a); }, [=, &b] { layer_norm_grad(b.ctx, t, g); });
  }
  if (kind.starts_with("softmax")) {
    void* const y = b.numbers(t, n);
    const SoftmaxArgs a{rows, columns, false, x, y};
    const SoftmaxGradArgs g{rows, columns, false, y, b.numbers(t, n), dx};
    return both(2 * double(n) * size, 3 * double(n) * size, [=, &b] { softmax(b.ctx, t, a); }, [=, &b] { softmax_grad(b.ctx, t, g); });
  }
  const GegluArgs a{rows, columns / 2, x, b.numbers(t, n / 2)};
  const GegluGradArgs g{rows, columns / 2, x, b.numbers(t, n / 2), dx};
  return both(1.5 * double(n) * size, 2.5 * double(n) * size, [=, &b] { geglu(b.ctx, t, a); }, [=, &b] { geglu_grad(b.ctx, t, g); });
}

Work work_of(Bench& b, const Row& r) {
  b.ctx.tf32 = !std::strcmp(r.dtype, "tf32");
  if (!std::strncmp(r.kind, "gemm", 4)) return gemm_work(b, r);
  if (!std::strncmp(r.kind, "conv", 4)) return conv_work(b, r);
  if (!std::strncmp(r.kind, "attention", 9)) return attention_work(b, r);
  return streaming_work(b, r);
}

std::vector<Row> rows() {
  std::vector<Row> all;
  for (const char* t : {"f32", "tf32", "bf16"}) {
    for (const auto& s : {std::vector<Index>{4096, 4096, 4096}, {16384, 320, 320}, {16384, 2560, 320}, {4096, 640, 2560}, {1024, 1280, 1280}}) all.push_back({"gemm_nn", s, t});
    for (const auto& s : {std::vector<Index>{4096, 4096, 4096}, {16384, 320, 320}}) all.push_back({"gemm_nt", s, t});
    for (const char* kind : {"conv_forward", "conv_data", "conv_weight"})
      for (const auto& s : {std::vector<Index>{4, 64, 64, 320, 320}, {4, 32, 32, 640, 640}, {4, 16, 16, 1280, 1280}}) all.push_back({kind, s, t});
  }
  for (const char* t : {"f32", "bf16"}) {
    for (const char* kind : {"attention_forward", "attention_train"})
      for (const auto& s : {std::vector<Index>{4, 8, 4096, 4096, 40}, {4, 8, 1024, 1024, 80}, {4, 8, 4096, 77, 40}}) all.push_back({kind, s, t});
    const auto pair = [&](const char* forward, const char* train, const std::vector<Index>& s) { all.push_back({forward, s, t}), all.push_back({train, s, t}); };
    pair("group_norm_silu_forward", "group_norm_silu_train", {4, 64, 64, 320});
    pair("group_norm_silu_forward", "group_norm_silu_train", {4, 16, 16, 1280});
    pair("layer_norm_forward", "layer_norm_train", {16384, 320});
    pair("softmax_forward", "softmax_train", {32768, 4096});
    pair("geglu_forward", "geglu_train", {16384, 2560});
  }
  all.push_back({"adamw", {1 << 25}, "f32"}), all.push_back({"adamw8bit", {1 << 25}, "f32"});
  return all;
}

// --- time

struct Sample {
  double us, host_us;  // a call: between the events, and to queue it
};
Sample sample(Bench& b, Event& begin, Event& end, const Call& call, int calls) {
  begin.record(b.stream);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) call();
  const std::chrono::duration<double, std::micro> host = std::chrono::steady_clock::now() - start;
  end.record(b.stream);
  end.wait();
  return {end.milliseconds_since(begin) * 1e3 / calls, host.count() / calls};
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? "; " : std::string(1, c);
  }
  return out + "\"";
}

// One side of a row: its name, its calls, what was measured or why not.
struct Side {
  std::string name;
  Call call;
  std::vector<Sample> samples = {};
  std::string error = {};
  int calls = 1;

  std::string json() const {
    if (!error.empty()) return "{\"name\": " + quoted(name) + ", \"error\": " + quoted(error) + "}";
    std::vector<double> us;
    double host = 0;
    for (const Sample& s : samples) us.push_back(s.us), host += s.host_us / double(samples.size());
    std::sort(us.begin(), us.end());
    const double median = us[us.size() / 2];
    char text[256];
    std::snprintf(text, sizeof text, "{\"name\": %s, \"us\": %.3f, \"median_us\": %.3f, \"samples\": %zu, \"calls\": %d, \"host_us\": %.3f, \"host_bound\": %s}", quoted(name).c_str(), us[0], median,
                  us.size(), calls, host, host > 0.9 * median ? "true" : "false");
    return text;
  }
};

std::string measure(const Row& r) {
  Bench b;
  Event begin, end;
  const Work work = work_of(b, r);
  std::vector<Side> sides = {{"own", work.own}};
  if (work.library) sides.push_back({work.by, work.library});
  for (int round = -3; round < 15; ++round)  // three warm up, and say how many calls 2 ms take
    for (Side& side : sides) try {
        if (!side.error.empty()) continue;
        const Sample s = sample(b, begin, end, side.call, side.calls);
        if (round < 0) side.calls = std::max(1, int(2000 / std::max(s.us, 1.0)) + 1);
        else side.samples.push_back(s);
      } catch (const Error& e) {
        if (side.name == "own") throw;
        side.error = e.info().what;
      }
  std::string name = r.kind, shape;
  for (Index i : r.shape) shape += (shape.empty() ? "" : ", ") + std::to_string(i);
  char head[512];
  std::snprintf(head, sizeof head, "{\"kind\": \"%s\", \"shape\": [%s], \"dtype\": \"%s\", \"bytes\": %.0f, \"flops\": %.0f, \"own\": ", r.kind, shape.c_str(), r.dtype, work.bytes, work.flops);
  return head + sides[0].json() + ", \"library\": " + (sides.size() > 1 ? sides[1].json() : "null") + "}";
}

// --- the card, as it describes itself; peaks at its highest clock, where what a multiprocessor does in one is known
int attribute(cudaDeviceAttr which) {
  int value = 0;
  check_call(cudaDeviceGetAttribute(&value, which, 0), {.what = "reading a GPU's attributes", .who = "bench"});
  return value;
}
std::string card() {
  const int capability = 10 * attribute(cudaDevAttrComputeCapabilityMajor) + attribute(cudaDevAttrComputeCapabilityMinor), processors = attribute(cudaDevAttrMultiProcessorCount);
  const double clock = attribute(cudaDevAttrClockRate) * 1e3, memory_clock = attribute(cudaDevAttrMemoryClockRate) * 1e3;  // Hz
  const int bits = attribute(cudaDevAttrGlobalMemoryBusWidth);
  int driver = 0, runtime = 0;
  check_call(cudaDriverGetVersion(&driver), {.what = "reading versions", .who = "bench"});
  check_call(cudaRuntimeGetVersion(&runtime), {.what = "reading versions", .who = "bench"});
  // Multiply-adds a clock: f32 (CUDA C++ Programming Guide, throughput of arithmetic), tf32 and bf16 dense on tensor cores (NVIDIA's A100 and H100 architecture papers).
  struct { int capability; double f32, tf32, bf16; } const known[] = {{80, 64, 512, 1024}, {90, 128, 1024, 2048}};
  std::string peaks = "null";
  for (const auto& k : known)
    if (k.capability == capability) {
      char text[200];
      const double flops = 2 * clock * processors;
      std::snprintf(text, sizeof text, "{\"f32\": %.4g, \"tf32\": %.4g, \"bf16\": %.4g}", flops * k.f32, flops * k.tf32, flops * k.bf16);
      peaks = text;
    }
  char text[640];
  std::snprintf(text, sizeof text,
                "{\"name\": %s, \"capability\": %d, \"multiprocessors\": %d, \"highest_clock_mhz\": %.0f, \"memory_clock_mhz\": %.0f, \"bus_bits\": %d, \"driver\": %d, \"runtime\": %d, "
                "\"peak_bytes_per_s\": %.4g, \"peak_flops_per_s\": %s}",
                quoted(limits().name).c_str(), capability, processors, clock / 1e6, memory_clock / 1e6, bits, driver, runtime, 2 * memory_clock * bits / 8, peaks.c_str());
  return text;
}

int run(int count, char** words) {
  const std::string filter = count == 3 && !std::strcmp(words[1], "--filter") ? words[2] : "";
  if (count != 1 && filter.empty()) return std::fprintf(stderr, "bench_on_gpu [--filter TEXT] >bench.json\n"), 64;
  use_device(0);
  std::printf("{\"card\": %s,\n \"rows\": [", card().c_str());
  bool first = true;
  for (const Row& r : rows()) {
    if (std::string(r.kind).find(filter) == std::string::npos) continue;
    std::printf("%s\n  %s", first ? "" : ",", measure(r).c_str());
    std::fflush(stdout);
    first = false;
  }
  std::printf("\n ]}\n");
  return 0;
}

}  // namespace

int main(int count, char** words) {
  try {
    return run(count, words);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 70;
  }
}
