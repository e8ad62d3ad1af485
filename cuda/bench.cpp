// What `sspo bench --device cuda-sim` runs: works of the engine on cuda-sim's checking build, their kernels' traffic beside the floor.
//   sspo-bench-sim [--filter TEXT] [--lines]
// Counts, not times. A floor is what no kernel can avoid: each input read once, each output written once, the formula's FLOPs.
#include <cstdio>
#include <cstring>

#include "bench_works.hpp"
#include "sim/sim.hpp"

using namespace sspo;

int main(int count, char** words) {
  std::string filter;
  bool lines = false;
  for (int i = 1; i < count; ++i) {
    if (!std::strcmp(words[i], "--lines")) lines = true;
    else if (!std::strcmp(words[i], "--filter") && i + 1 < count) filter = words[++i];
  }
  std::printf("cuda-sim, checking build: counts of 32-byte sectors and of shared memory's wavefronts. No times: not measured on a GPU.\n");
  const Device device = cuda_sim_device(), tf32 = cuda_sim_device({.tf32 = true});
  for (const cuda_bench::Work& w : cuda_bench::works(device, tf32)) {
    if (w.name.find(filter) == std::string::npos) continue;
    w.run(cuda::reset_counters);
    std::printf("\n%s: floor %.1f KiB, %.2f MFLOP, %.1f FLOP a byte\n", w.name.c_str(), w.floor_bytes / 1024, w.floor_flops / 1e6, w.floor_flops / w.floor_bytes);
    std::printf("  %-32s %8s %9s %9s %9s %10s %9s %10s %9s\n", "kernel", "launches", "sectors", "/fewest", "KiB", "distinct", "wavefronts", "/fewest", "mma MFLOP");
    for (const cuda::KernelCounters& c : cuda::counters()) {
      const double sectors = double(c.sectors_read + c.sectors_written);
      const auto ratio = [](double a, double b) { return b > 0 ? a / b : 1.0; };
      std::printf("  %-32s %8lu %9.0f %9.2f %9.1f %10.1f %9lu %10.2f %9.2f\n", c.kernel.c_str(), static_cast<unsigned long>(c.launches), sectors, ratio(sectors, double(c.sectors_fewest)),
                  sectors / 32, double(c.unique_read + c.unique_written) / 32, static_cast<unsigned long>(c.wavefronts), ratio(double(c.wavefronts), double(c.wavefronts_fewest)),
                  double(c.mma_flops) / 1e6);
      if (!lines) continue;
      for (const cuda::LineCounters& l : c.lines)
        std::printf("    %-30s %-6s %-6s %9lu requests, %6.2f %s each, fewest %.2f\n", l.where.c_str(), l.shared ? "shared" : "global", l.atomic ? "atomic" : l.write ? "write" : "read",
                    static_cast<unsigned long>(l.requests), ratio(double(l.units), double(l.requests)), l.shared ? "wavefronts" : "sectors", ratio(double(l.fewest), double(l.requests)));
    }
  }
  for (const cuda::Finding& f : cuda::findings()) std::fprintf(stderr, "%s\n", f.text().c_str());
  return cuda::findings().empty() ? 0 : 1;
}
