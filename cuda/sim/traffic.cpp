// Counters: what a kernel's warps ask of memory. A warp's accesses of one source line, made together, are one request; it takes as
// many 32-byte sectors as it touches, or, in shared memory, as many wavefronts as its busiest bank has words to give (32 banks of
// 4 bytes; 8-byte accesses go by half warps, 16-byte ones by quarters).
#include <algorithm>
#include <cstdio>
#include <map>
#include <unordered_set>

#include "checker.hpp"
#include "sim.hpp"

namespace sspo::cuda::inline sim {
namespace {

struct Line {
  std::uint64_t requests = 0, units = 0, fewest = 0;
};
struct LineKey {
  const void* where;
  bool shared, write, atomic;
  auto operator<=>(const LineKey&) const = default;
};
struct Kernel {
  KernelCounters sums;
  std::map<LineKey, Line> lines;
};
std::map<std::string, Kernel> kernels;
Kernel* current = nullptr;
std::unordered_set<std::uintptr_t> sectors_read, sectors_written;
std::vector<Access> logs[most_threads];

std::uint64_t distinct(std::vector<std::uintptr_t>& v) {
  std::sort(v.begin(), v.end());
  return std::uint64_t(std::unique(v.begin(), v.end()) - v.begin());
}

void count_global(const std::vector<Access>& together, Line& line) {
  std::vector<std::uintptr_t> sectors, words;
  for (const Access& a : together) {
    for (std::uintptr_t s = a.address / 32; s <= (a.address + a.bytes - 1) / 32; ++s) {
      sectors.push_back(s);
      (a.write ? sectors_written : sectors_read).insert(s);
    }
    words.push_back(a.address);
  }
  const std::uint64_t units = distinct(sectors), fewest = (distinct(words) * together[0].bytes + 31) / 32;
  line.units += units, line.fewest += fewest;
  (together[0].write ? current->sums.sectors_written : current->sums.sectors_read) += units;
  current->sums.sectors_fewest += fewest;
}

void count_shared(const std::vector<Access>& together, Line& line) {
  const std::size_t at_once = together[0].bytes <= 4 ? 32 : together[0].bytes == 8 ? 16 : 8;
  std::uint64_t units = 0, fewest = 0;
  for (std::size_t first = 0; first < together.size(); first += at_once) {
    std::vector<std::uintptr_t> banks[32], all;
    for (std::size_t i = first; i < std::min(together.size(), first + at_once); ++i)
      for (std::uintptr_t w = together[i].address / 4; w <= (together[i].address + together[i].bytes - 1) / 4; ++w) banks[w % 32].push_back(w), all.push_back(w);
    std::uint64_t busiest = 1;
    for (auto& b : banks) busiest = std::max(busiest, distinct(b));
    units += busiest;
    fewest += std::max<std::uint64_t>(1, (distinct(all) + 31) / 32);
  }
  line.units += units, line.fewest += fewest;
  current->sums.wavefronts += units, current->sums.wavefronts_fewest += fewest;
}

}  // namespace

void log_access(const Access& a) { logs[running().number].push_back(a); }

void traffic_flush(Warp& w) {
  std::size_t next[32] = {};
  std::vector<Access> together;
  for (int first = 0; first < 32; ++first) {
    if (!w.lanes[first]) continue;
    const auto log_of = [&](int lane) -> std::vector<Access>& { return logs[w.lanes[lane]->number]; };
    while (next[first] < log_of(first).size()) {
      const Access a = log_of(first)[next[first]];
      together.clear();
      for (int lane = first; lane < 32; ++lane) {
        if (!w.lanes[lane] || next[lane] >= log_of(lane).size()) continue;
        const Access& b = log_of(lane)[next[lane]];
        if (b.where == a.where && b.bytes == a.bytes && b.shared == a.shared && b.write == a.write) together.push_back(b), ++next[lane];
      }
      Line& line = current->lines[{a.where, a.shared, a.write, a.atomic}];
      ++line.requests;
      if (a.shared) count_shared(together, line);
      else count_global(together, line);
    }
  }
  for (Fiber* f : w.lanes)
    if (f) logs[f->number].clear();
}

void traffic_begin_launch() {
  current = &kernels[plan_now.kernel];
  current->sums.kernel = plan_now.kernel;
  ++current->sums.launches;
  current->sums.blocks += std::uint64_t(plan_now.grid.x) * plan_now.grid.y * plan_now.grid.z;
}
void traffic_end_launch() {
  current->sums.unique_read += sectors_read.size(), current->sums.unique_written += sectors_written.size();
  sectors_read.clear(), sectors_written.clear();
}
void count_barrier() { ++current->sums.barriers; }
void count_mma(int k) { ++current->sums.mma, current->sums.mma_flops += 2ull * 16 * 8 * std::uint64_t(k); }

std::vector<KernelCounters> counters() {
  std::vector<KernelCounters> all;
  for (auto& [name, k] : kernels) {
    KernelCounters c = k.sums;
    for (const auto& [key, line] : k.lines) c.lines.push_back({source_line(key.where), key.shared, key.write, key.atomic, line.requests, line.units, line.fewest});
    all.push_back(std::move(c));
  }
  return all;
}
void reset_counters() { kernels.clear(); }

std::string counters_table() {
  std::string text = "kernel                          launches  blocks  barriers      mma   sectors  /fewest  wavefronts  /fewest   KiB moved at least\n";
  char row[512];
  const auto ratio = [](std::uint64_t a, std::uint64_t b) { return b ? double(a) / double(b) : 0.0; };
  for (const KernelCounters& c : counters()) {
    const std::uint64_t sectors = c.sectors_read + c.sectors_written;
    std::snprintf(row, sizeof row, "%-30s %9lu %7lu %9lu %8lu %9lu %8.2f %11lu %8.2f %13.1f\n", c.kernel.c_str(), c.launches, c.blocks, c.barriers, c.mma, sectors,
                  ratio(sectors, c.sectors_fewest), c.wavefronts, ratio(c.wavefronts, c.wavefronts_fewest), double(c.unique_read + c.unique_written) / 32);
    text += row;
    for (const LineCounters& l : c.lines) {
      std::snprintf(row, sizeof row, "  %-36s %-6s %-6s %9lu requests %7.2f %s each, fewest %.2f\n", l.where.c_str(), l.shared ? "shared" : "global",
                    l.atomic ? "atomic" : l.write ? "write" : "read", l.requests, ratio(l.units, l.requests), l.shared ? "wavefronts" : "sectors", ratio(l.fewest, l.requests));
      text += row;
    }
  }
  return text;
}

}  // namespace sspo::cuda::inline sim
