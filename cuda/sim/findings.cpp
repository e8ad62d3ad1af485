// What the simulator found wrong, and where in the source.
#include <dlfcn.h>
#include <elf.h>
#include <unistd.h>

#include <cstdio>
#include <map>
#include <set>
#include <tuple>

#include "checker.hpp"
#include "sim.hpp"

namespace sspo::cuda::inline sim {
namespace {

std::vector<Finding> found;
std::set<std::tuple<std::string, const void*, const void*>> known;
std::map<const void*, std::string> lines;

// Says at the end what nobody asked for.
struct AtExit {
  ~AtExit() {
    for (const Finding& f : found) std::fprintf(stderr, "cuda-sim: %s\n", f.text().c_str());
  }
} at_exit;

std::string this_program() {
  char path[4096];
  const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  return n > 0 ? std::string(path, std::size_t(n)) : "";
}

std::string look_up(const void* code) {
  Dl_info info{};
  if (!code || !dladdr(code, &info) || !info.dli_fbase) return "?";
  const auto* header = static_cast<const Elf64_Ehdr*>(info.dli_fbase);
  std::uintptr_t address = reinterpret_cast<std::uintptr_t>(code) - 1;  // within the call, not after it
  if (header->e_type == ET_DYN) address -= reinterpret_cast<std::uintptr_t>(info.dli_fbase);
  char command[5000];
  std::snprintf(command, sizeof command, "addr2line -i -e '%s' 0x%lx 2>/dev/null", this_program().c_str(), static_cast<unsigned long>(address));
  std::string line, best;
  if (FILE* pipe = popen(command, "r")) {
    char text[4096];
    while (std::fgets(text, sizeof text, pipe)) {  // innermost inlined function first
      line = text;
      line = line.substr(0, line.find_first_of("\n "));
      if (line.find("device_sim.hpp") == std::string::npos && line.find("??") == std::string::npos) {
        best = line;
        break;
      }
    }
    pclose(pipe);
  }
  if (best.empty()) return line.empty() ? "?" : line;
  return best.substr(best.rfind('/') + 1);
}

}  // namespace

std::string source_line(const void* code) {
  const auto it = lines.find(code);
  return it != lines.end() ? it->second : lines.emplace(code, look_up(code)).first->second;
}

void report(const char* kind, const void* where, const void* earlier, const std::string& detail) {
  if (!known.insert({kind, where, earlier}).second) return;
  std::string full = detail;
  if (self) {
    const auto& b = here.index;
    const auto& t = self->index;
    full += " [block (" + std::to_string(b.x) + "," + std::to_string(b.y) + "," + std::to_string(b.z) + ") thread (" + std::to_string(t.x) + "," +
            std::to_string(t.y) + "," + std::to_string(t.z) + ")]";
  }
  found.push_back({kind, plan_now.kernel, where ? source_line(where) : "?", earlier ? source_line(earlier) : "", full});
}

const std::vector<Finding>& findings() { return found; }
void reset_findings() { found.clear(), known.clear(); }

}  // namespace sspo::cuda::inline sim
