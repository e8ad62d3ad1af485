// Times of the works of bench_works.hpp on a GPU: what scripts/gpu-check runs.
//   bench_on_gpu [--json FILE]
// Minimum of ten runs, each with the stream's end waited for. Read the last two columns against the card's own peaks.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "bench_works.hpp"

using namespace sspo;

static int run(int count, char** words) {
  const Device device = cuda_device(), tf32 = cuda_device({.tf32 = true});
  std::FILE* const json = count == 3 && !std::strcmp(words[1], "--json") ? std::fopen(words[2], "w") : nullptr;
  std::printf("%s\n\n| work | ms | GB/s of the floor's bytes | GFLOP/s |\n| --- | ---: | ---: | ---: |\n", device.name().c_str());
  if (json) std::fprintf(json, "[");
  const auto settle = [&](const Device& d) { (void)zeros({1}, DType::f32, d).item<float>(0); };  // waits for the stream
  bool first = true;
  for (const cuda_bench::Work& w : cuda_bench::works(device, tf32, 16)) {
    double best = 1e30;
    for (int run = 0; run < 10; ++run) {
      std::chrono::steady_clock::time_point begin;
      w.run([&] {
        settle(device), settle(tf32);
        begin = std::chrono::steady_clock::now();
      });
      settle(device), settle(tf32);
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    std::printf("| %s | %.3f | %.0f | %.0f |\n", w.name.c_str(), best * 1e3, w.floor_bytes / best / 1e9, w.floor_flops / best / 1e9);
    if (json) std::fprintf(json, "%s{\"work\": \"%s\", \"ms\": %.4f, \"floor_bytes\": %.0f, \"floor_flops\": %.0f}", first ? "" : ", ", w.name.c_str(), best * 1e3, w.floor_bytes, w.floor_flops);
    first = false;
  }
  if (json) std::fprintf(json, "]\n"), std::fclose(json);
  return 0;
}

int main(int count, char** words) {
  try {
    return run(count, words);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 70;
  }
}
