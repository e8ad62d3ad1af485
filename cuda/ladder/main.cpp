// Runs every rung on cuda-sim's checking build and prints what README.md shows of it, in Markdown.
//   ladder                           prints
//   ladder cuda/ladder/README.md     writes it there, between the two marks
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>

#include "ladder.hpp"
#include "sim/sim.hpp"

namespace {

using namespace sspo::cuda;

struct DeviceScratch : Scratch {
  void* take(std::size_t bytes, const char* what) override { return allocate(bytes, what); }
  void give(void* p) noexcept override { release(p); }
};

KernelCounters measure(const ladder::Rung& rung) {  // of all its kernels together
  Stream stream;
  DeviceScratch scratch;
  reset_counters();
  rung.run({stream, scratch});
  KernelCounters sum;
  for (const KernelCounters& c : counters()) {
    sum.sectors_read += c.sectors_read, sum.sectors_written += c.sectors_written, sum.sectors_fewest += c.sectors_fewest;
    sum.unique_read += c.unique_read, sum.unique_written += c.unique_written;
    sum.wavefronts += c.wavefronts, sum.wavefronts_fewest += c.wavefronts_fewest;
    sum.mma_flops += c.mma_flops, sum.barriers += c.barriers;
  }
  return sum;
}

double ratio(std::uint64_t a, std::uint64_t b) { return b ? double(a) / double(b) : 1; }

std::string text_of_all() {
  std::string ideas, rows;
  for (const ladder::Rung& rung : ladder::all_rungs()) {
    const KernelCounters c = measure(rung);
    const std::uint64_t sectors = c.sectors_read + c.sectors_written, distinct = c.unique_read + c.unique_written;
    char row[512];
    std::snprintf(row, sizeof row, "| %s | %lu | %lu | %.2f | %.2f | %.0f | %.0f | %lu | %.2f | %.2f | %.2f | %lu |\n",
                  rung.name.c_str(), c.sectors_read, c.sectors_written, ratio(sectors, c.sectors_fewest), ratio(sectors, distinct),
                  double(distinct) / 32, rung.bytes / 1024, c.wavefronts, ratio(c.wavefronts, c.wavefronts_fewest),
                  double(c.mma_flops) / 1e6, rung.flops / 1e6, c.barriers);
    rows += row;
    ideas += "* **" + rung.name + "**: " + rung.idea + ".\n";
  }
  return ideas +
         "\n| rung | sectors read | written | / fewest | / distinct | distinct KiB | floor KiB | wavefronts | / fewest "
         "| mma MFLOP | floor MFLOP | barriers |\n"
         "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n" +
         rows;
}

void write_between_marks(const char* path, const std::string& text) {
  std::stringstream whole;
  whole << std::ifstream(path).rdbuf();
  std::string page = whole.str();
  const std::string open = "<!-- printed by ladder -->\n", close = "<!-- end -->\n";
  const std::size_t from = page.find(open), to = page.find(close);
  if (from == std::string::npos || to == std::string::npos || to < from)
    throw std::runtime_error(std::string(path) + " has no marks to write between");
  page.replace(from + open.size(), to - from - open.size(), text);
  std::ofstream(path) << page;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string text = text_of_all();
  if (argc > 1) write_between_marks(argv[1], text);
  else std::cout << text;
  for (const Finding& f : findings()) std::cerr << f.text() << '\n';
  return findings().empty() ? 0 : 1;
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
