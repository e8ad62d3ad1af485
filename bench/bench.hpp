// The frame of the benches: rows are read from rows.txt, each side says how it does a kind of row.
//   add_side("sspo", "geglu_forward", [](const Row& row, int threads) -> Work { ... return [=] { geglu(h); }; });
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "sspo/base/config.hpp"
#include "sspo/base/dtype.hpp"

namespace bench {

using sspo::DType;
using sspo::Index;

struct Row {
  std::string kind;          // gemm_nn
  std::vector<Index> shape;  // 4096 320 320
  DType dtype;
  std::string name;          // "gemm_nn/4096x320x320/f32"
};

// One execution of a row's work, all preparation done. Captures what it needs; may be empty (not supported).
using Work = std::function<void()>;
using Maker = std::function<Work(const Row& row, int threads)>;

// `side` does rows of this kind. All sides of a row run in one process, one after the other.
void add_side(const std::string& side, const std::string& kind, Maker maker);
// A number to report beside the times of the work that is running, e.g. peak bytes.
void report(const std::string& name, double value);

void add_rivals();  // rivals.cpp: what was found at configure time
void add_sspo();    // ops.cpp

// Values in [-1, 1), the same on every side.
void fill(float* x, Index n, unsigned seed);
std::vector<float> values(Index n, unsigned seed);

}  // namespace bench
