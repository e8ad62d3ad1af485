// How `sspo gate` prints what it found.
#include <fmt/format.h>

#include "cli/gate.hpp"
#include "sspo/io/file.hpp"

namespace sspo::cli {

void gate_and_tell(const GateOptions& o) {
  const io::Json json = gate(o);
  if (o.json) {
    fmt::print("{}\n", json.dump(2));
    return;
  }
  for (const io::Json& p : json["phases"])
    fmt::print("phase {}  theta C[{}]  ref C[{}]   s = +1 {:.2f}   0 {:.2f}   -1 {:.2f}   ({} pairs)\n", p["phase"].get<Index>(), p["theta"].get<Index>(), p["reference"].dump(),
               p["plus"].get<double>(), p["zero"].get<double>(), p["minus"].get<double>(), p["pairs"].get<Index>());
  fmt::print("share of s = -1, timesteps");
  for (const io::Json& b : json["bins"]) fmt::print(" {:>4}+", b["from"].get<Index>());
  Index phase = 0;
  for (const io::Json& cell : json["cells"]) {
    if (cell["phase"] != phase) fmt::print("\n{:>26}", fmt::format("phase {}", phase = cell["phase"].get<Index>()));
    fmt::print(" {:>5}", cell["minus"].is_null() ? "-" : fmt::format("{:.2f}", cell["minus"].get<double>()));
  }
  fmt::print("\n");
  for (const io::Json& a : json["agreement"])
    fmt::print("one draw agrees with the mean of {:>3}: {:.3f}  [{:.3f}, {:.3f}]\n", a["n"].get<Index>(), a["share"].get<double>(), a["low"].get<double>(), a["high"].get<double>());
  if (json.contains("verdicts")) fmt::print("is the self-sample better than a fresh one of the policy, and does s = -1 tell it? mean_: by the mean of all draws\n");
  for (const io::Json& v : json.value("verdicts", io::Json::array())) {
    fmt::print("{}\n", io::printable(v["name"].get<std::string>(), 200));
    for (const char* name : {"better", "precision", "recall", "mean_precision", "mean_recall"})
      if (const io::Json& r = v[name]; r["value"].is_null()) fmt::print("  {:<15} {:>5}\n", name, "-");
      else fmt::print("  {:<15} {:.3f}  [{:.3f}, {:.3f}]\n", name, r["value"].get<double>(), r["low"].get<double>(), r["high"].get<double>());
  }
}

}  // namespace sspo::cli
