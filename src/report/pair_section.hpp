// One training pair seen from inside: what `sspo pair` left in RUN/pair.json and RUN/pair/*.png.
#pragma once
#include <filesystem>
#include <string>

#include "report/html.hpp"

namespace sspo::report {

// The errors and terms of a pair at one timestep                        spec §2
struct PairRow {
  double t = 0, a_tw = 0, a_rw = 0, a_tr = 0, a_rr = 0, d_w = 0, d_r = 0, s = 0, z = 0, loss = 0;
};
// What the gate decided on it and why, as one sentence or two. `gate`: "sign", "indicator", "none", "random"; empty: an objective without a gate.
std::string gate_sentence(const PairRow& row, const std::string& gate, const std::string& second);

Html pair_section(const std::filesystem::path& run);  // empty without a pair.json

}  // namespace sspo::report
