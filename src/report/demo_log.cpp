#include "report/demo_log.hpp"

#include <algorithm>
#include <cmath>

#include "report/run_log.hpp"

namespace sspo::report {
namespace {

struct Known {
  const char *method, *title;
  int colour;
};
constexpr Known known[] = {{"base", "base", 0}, {"sft", "SFT", 1}, {"dpo", "DPO", 2}, {"spin", "SPIN", 3}, {"sspo", "SSPO", 4}, {"sspo-random", "SSPO, random gate", 5},
                           {"sspo-none", "SSPO, no gate", 6}, {"sft-long", "SFT at SSPO's cost", 7}, {"dpo+sft", "DPO + SFT", 6}, {"ditto", "DITTO", 7}};

template <class T>
void add_new(std::vector<T>& list, const T& x) {
  if (std::find(list.begin(), list.end(), x) == list.end()) list.push_back(x);
}

}  // namespace

DemoLog::DemoLog(const std::filesystem::path& at) : folder(at), json(find_json(at / "demo.json").value_or(io::Json::object())) {
  base = read_scores(folder / "scores/base"), preferred = read_scores(folder / "scores/real-preferred"), other = read_scores(folder / "scores/real-other");
  if (!json.contains("methods") || !json["methods"].is_array()) return;
  for (const io::Json& m : json["methods"]) {
    Trained t{.setting = text_at(m, "setting", "all"), .method = text_at(m, "method"), .lr = number_at(m, {"lr"}), .kappa = number_at(m, {"kappa"}), .run = {}, .scores = {}};
    const double seed = number_at(m, {"seed"});
    t.seed = std::isfinite(seed) ? Index(seed) : 0;
    const std::string name = t.setting + "-" + t.method + "-" + std::to_string(t.seed);
    t.run = folder / text_at(m, "run", "runs/" + name);
    t.scores = read_scores(folder / text_at(m, "scores", "scores/" + name));
    trained.push_back(std::move(t));
  }
}

std::vector<std::string> DemoLog::settings() const {
  std::vector<std::string> found;
  for (const Trained& t : trained) add_new(found, t.setting);
  return found;
}
std::vector<std::string> DemoLog::methods(const std::string& setting) const {
  std::vector<std::string> found;
  for (const Trained& t : trained)
    if (t.setting == setting) add_new(found, t.method);
  return found;
}
std::vector<const Trained*> DemoLog::of(const std::string& setting, const std::string& method) const {
  std::vector<const Trained*> found;
  for (const Trained& t : trained)
    if (t.setting == setting && t.method == method) found.push_back(&t);
  return found;
}

std::string method_title(const std::string& method) {
  for (const Known& k : known)
    if (method == k.method) return k.title;
  return method;
}
int method_colour(const std::string& method) {
  for (const Known& k : known)
    if (method == k.method) return k.colour;
  return 7;
}
std::string setting_title(const std::string& setting) {
  return setting == "few" ? "Few winners" : setting == "all" ? "A winner for every name" : "Setting " + setting;
}
std::string setting_note(const std::string& setting) {
  if (setting == "few") return "Only a part of the training names have a winner, a picture in the preferred style; the models are judged on other training names, which alignment never saw.";
  if (setting == "all") return "Every training name has a winner, and the models are judged on these names: the counter-case.";
  return {};
}

}  // namespace sspo::report
