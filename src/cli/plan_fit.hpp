// Where a recipe fits: graphics cards of 24, 40 and 80 GB, and this machine; and where it does not, with which settings it would.
#pragma once
#include <string>
#include <vector>

#include "cli/plan.hpp"

namespace sspo::cli {

struct Place {
  std::string name;
  std::uint64_t bytes = 0;            // what a run may take there
  std::uint64_t peak = 0;             // of the recipe as it is
  std::vector<std::string> settings;  // "key=value": with these it fits; empty where it fits as it is, or where nothing helps
  std::uint64_t then = 0;             // the peak with them; 0: nothing helps
  bool fits() const { return peak <= bytes; }
};

// `peak`: of the recipe with o.settings, from plan_memory. Settings are tried one after the other, each kept, from the one that changes least: one
// sample at a time, recomputation, moments of 8 bits, masters on disk, at last adapters in place of the whole UNet.
std::vector<Place> places_for(const PlanCommand& o, const TrainData& data, std::uint64_t peak);

}  // namespace sspo::cli
