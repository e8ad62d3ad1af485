#include "report/demo_folder.hpp"

#include <algorithm>
#include <charconv>
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

// "few-sspo-random-3": setting, method, seed; false: some other name.
bool split_name(const std::string& name, Trained& t) {
  const std::size_t first = name.find('-'), last = name.rfind('-');
  if (first == std::string::npos || last <= first + 1 || last + 1 == name.size() || name.find_first_not_of("0123456789", last + 1) != std::string::npos || name.size() - last > 10) return false;
  t.name = name, t.setting = name.substr(0, first), t.method = name.substr(first + 1, last - first - 1), t.seed = std::stoll(name.substr(last + 1));
  return true;
}

double number_of(const std::string& text) {
  double x = NAN;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), x);
  return error == std::errc{} && end == text.data() + text.size() ? x : NAN;
}

}  // namespace

DemoFolder::DemoFolder(const std::filesystem::path& at) : folder(at), json(find_json(at / "demo.json").value_or(io::Json::object())) {
  const std::filesystem::path scores = folder / "scores";
  base = read_scores(scores / "base"), preferred = read_scores(scores / "real-preferred"), other = read_scores(scores / "real-other");
  if (!json.is_object()) json = io::Json::object();
  if (!json.contains("stages") || !json["stages"].is_array()) return;
  for (const io::Json& stage : json["stages"]) {
    const std::string name = text_at(stage, "name");
    Trained t{.name = {}, .setting = {}, .method = {}, .run = folder / name, .scores = {}};
    std::error_code none;
    if (!name.starts_with("runs/") || !split_name(name.substr(5), t) || !std::filesystem::exists(t.run / "recipe.toml", none)) continue;
    const RunLog run(t.run);
    t.lr = number_of(run.recipe("optimizer.lr")), t.kappa = number_of(run.recipe("preference.kappa"));
    t.scores = read_scores(scores / t.name);
    const double phases = number_of(run.recipe("preference.phases")), updates = number_of(run.recipe("preference.updates"));
    for (double k = 1; k < phases; ++k)
      if (Scored s = read_scores(scores / (t.name + "-phase-" + std::to_string(int(k)))); s.there()) t.along.emplace_back(k * updates, std::move(s));
    trained.push_back(std::move(t));
  }
}

std::vector<std::string> DemoFolder::settings() const {
  std::vector<std::string> found;
  for (const Trained& t : trained) add_new(found, t.setting);
  return found;
}
std::vector<std::string> DemoFolder::methods(const std::string& setting) const {
  std::vector<std::string> found;
  for (const Trained& t : trained)
    if (t.setting == setting) add_new(found, t.method);
  return found;
}
std::vector<const Trained*> DemoFolder::of(const std::string& setting, const std::string& method) const {
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
  if (setting == "all") return "Every training name has a winner, and the models are judged on the same names as above, which had none there: the counter-case.";
  return {};
}

}  // namespace sspo::report
