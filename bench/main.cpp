// bench_ops: every side of every row as a Google Benchmark.
//   bench_ops --benchmark_filter='gemm_nn/.*/threads:1/'          names: KIND/SHAPE/DTYPE/threads:N/SIDE
// Each execution is timed by itself: the counters `min` and `median` are nanoseconds of one execution.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>

#include "bench.hpp"

namespace bench {
namespace {

std::map<std::string, std::vector<std::pair<std::string, Maker>>> makers;  // by kind: side, maker
benchmark::State* running = nullptr;

DType dtype_named(const std::string& name) {
  for (const DType d : {DType::f32, DType::f64, DType::bf16})
    if (sspo::name_of(d) == name) return d;
  throw std::runtime_error("rows.txt: unknown dtype " + name);
}

std::vector<Row> read_rows(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::vector<Row> rows;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string kind, shape, dtype;
    if (!(words >> kind >> shape >> dtype) || kind[0] == '#' || kind == "mean") continue;
    Row row{kind, {}, dtype_named(dtype), kind + "/" + shape + "/" + dtype};
    std::istringstream extents(shape);
    for (std::string extent; std::getline(extents, extent, 'x');) row.shape.push_back(std::stoll(extent));
    const bool known = std::any_of(rows.begin(), rows.end(), [&](const Row& r) { return r.name == row.name; });
    if (!known) rows.push_back(row);  // a row with a second rival is still one row
  }
  return rows;
}

void measure(benchmark::State& state, const Row& row, int threads, const Maker& make) {
  using Clock = std::chrono::steady_clock;
  running = &state;
  const Work work = make(row, threads);
  if (!work) {
    state.SkipWithError("not supported by this side");
    return;
  }
  work();  // packs, takes memory, wakes threads
  std::vector<double> ns;
  for (auto _ : state) {
    const Clock::time_point start = Clock::now();
    work();
    ns.push_back(std::chrono::duration<double, std::nano>(Clock::now() - start).count());
    state.SetIterationTime(ns.back() * 1e-9);
  }
  std::sort(ns.begin(), ns.end());
  state.counters["min"] = ns.front();
  state.counters["median"] = ns[ns.size() / 2];
}

}  // namespace

void add_side(const std::string& side, const std::string& kind, Maker maker) {
  makers[kind].emplace_back(side, std::move(maker));
}
void report(const std::string& name, double value) { running->counters[name] = value; }

void fill(float* x, Index n, unsigned seed) {
  std::uint32_t s = seed * 2654435761u + 1;
  for (Index i = 0; i < n; ++i) {
    s = s * 1664525u + 1013904223u;
    x[i] = float(s >> 8) * 0x1p-23f - 1.0f;
  }
}
std::vector<float> values(Index n, unsigned seed) {
  std::vector<float> x(static_cast<std::size_t>(n));
  fill(x.data(), n, seed);
  return x;
}

}  // namespace bench

int main(int argc, char** argv) {
  std::string rows_file = BENCH_ROWS;
  int kept = 1;
  for (int i = 1; i < argc; ++i)
    if (std::strncmp(argv[i], "--rows=", 7) == 0) rows_file = argv[i] + 7;
    else argv[kept++] = argv[i];
  argc = kept;

  bench::add_sspo();
  bench::add_rivals();
  for (const bench::Row& row : bench::read_rows(rows_file))
    for (const int threads : {1, 2})
      for (const auto& [side, make] : bench::makers[row.kind])
        benchmark::RegisterBenchmark((row.name + "/threads:" + std::to_string(threads) + "/" + side).c_str(),
                                     [row, threads, make = make](benchmark::State& state) {
                                       bench::measure(state, row, threads, make);
                                     })
            ->UseManualTime()
            ->Unit(benchmark::kMicrosecond);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 64;
  benchmark::RunSpecifiedBenchmarks();
}
