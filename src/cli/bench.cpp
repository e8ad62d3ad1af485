#include "cli/bench.hpp"

#include <unistd.h>

#include <filesystem>
#include <vector>

#include "cli/device.hpp"

namespace sspo::cli {

void bench(const BenchCommand& o) {
  if (o.device == "cuda") (void)device_of({.device = o.device});  // without a GPU, that is what there is to say
  if (o.device != "cuda-sim")
    fail({.op = "bench", .what = "the times of a CPU or GPU beside their rivals' are measured by programs of their own", .expected = "--device cuda-sim", .got = "--device " + o.device,
          .hint = o.device == "cuda" ? "scripts/gpu-check" : "bench/run"}, Site{});
  std::error_code none;
  const std::string program = std::filesystem::read_symlink("/proc/self/exe", none).parent_path() / "sspo-bench-sim";
  std::vector<std::string> words = {program};
  if (o.lines) words.push_back("--lines");
  if (!o.filter.empty()) words.insert(words.end(), {"--filter", o.filter});
  std::vector<char*> arguments;
  for (std::string& w : words) arguments.push_back(w.data());
  arguments.push_back(nullptr);
  execv(program.c_str(), arguments.data());
  fail({.op = "bench", .what = "cannot start " + program, .expected = "the program beside this one", .got = "none that runs",
        .hint = "build it: cmake --build build --target sspo_bench_sim", .kind = ErrorKind::internal}, Site{});
}

}  // namespace sspo::cli
