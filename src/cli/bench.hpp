// sspo bench: what ops cost a device, measured by the program that can see it.
#pragma once
#include <string>

namespace sspo::cli {

struct BenchCommand {
  std::string device, filter;
  bool lines = false;
};
// cuda-sim: becomes sspo-bench-sim, which lies beside this program: its kernels are built to be watched, this program's are not.
void bench(const BenchCommand& command);

}  // namespace sspo::cli
