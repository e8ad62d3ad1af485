// The folder of `sspo demo` as it lies on disk: demo.json, the runs it made and their scores. What is missing is absent, never made up.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "report/html.hpp"
#include "report/scores.hpp"

namespace sspo::report {

// One aligned model: a run of a method with a seed in a setting, in runs/SETTING-METHOD-SEED.
struct Trained {
  std::string name, setting, method;
  Index seed = 0;
  double lr = 0, kappa = 0;          // of its recipe; NaN where it has none
  std::filesystem::path run;
  Scored scores;                     // scores/NAME
  std::vector<std::pair<double, Scored>> along = {};  // updates so far, and scores/NAME-phase-K
};

struct DemoFolder {
  explicit DemoFolder(const std::filesystem::path& folder);
  std::filesystem::path folder;
  io::Json json;                      // demo.json
  std::vector<Trained> trained;       // in the order of its stages
  Scored base, preferred, other;      // scores/base, scores/real-preferred, scores/real-other
  std::vector<std::string> settings() const;
  std::vector<std::string> methods(const std::string& setting) const;                        // in their order
  std::vector<const Trained*> of(const std::string& setting, const std::string& method) const;  // its seeds
};

std::string method_title(const std::string& method);   // "sspo-random" -> "SSPO, random gate"
int method_colour(const std::string& method);
std::string setting_title(const std::string& setting);
std::string setting_note(const std::string& setting);

// Each part is empty where its data are missing.
Html results_section(const DemoFolder& demo, const std::string& setting);  // table, reading, differences
Html pictures_section(const DemoFolder& demo, const std::string& setting);
Html comparison_curves(const DemoFolder& demo, const std::string& setting);
Html reward_section(const DemoFolder& demo);
Html time_section(const DemoFolder& demo);
std::string demo_report(const std::filesystem::path& folder);

}  // namespace sspo::report
