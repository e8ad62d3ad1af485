// scheduler_config.json: one list of fields, visited by a reader and by a writer.
#include <array>
#include <utility>

#include "io/json.hpp"
#include "sspo/diffusion/schedule.hpp"

namespace sspo {
namespace {

struct KindName {
  SchedulerKind kind;
  std::string_view name, class_name;
};
constexpr KindName kind_names[] = {
    {SchedulerKind::ddpm, "ddpm", "DDPMScheduler"},
    {SchedulerKind::ddim, "ddim", "DDIMScheduler"},
    {SchedulerKind::pndm, "pndm", "PNDMScheduler"},
    {SchedulerKind::euler, "euler", "EulerDiscreteScheduler"},
    {SchedulerKind::euler_ancestral, "euler_ancestral", "EulerAncestralDiscreteScheduler"},
    {SchedulerKind::dpmpp_2m, "dpmpp_2m", "DPMSolverMultistepScheduler"},
};

// The words for an enum; the first of several for one value is the one that is written.
template <class E>
using Words = std::vector<std::pair<std::string_view, E>>;

const Words<BetaSchedule> beta_schedules = {{"linear", BetaSchedule::linear}, {"scaled_linear", BetaSchedule::scaled_linear},
                                            {"squaredcos_cap_v2", BetaSchedule::squaredcos_cap_v2}};
const Words<Spacing> spacings = {{"leading", Spacing::leading}, {"trailing", Spacing::trailing}, {"linspace", Spacing::linspace}};
const Words<VarianceType> variance_types = {{"fixed_small", VarianceType::fixed_small}, {"fixed_small_log", VarianceType::fixed_small_log},
                                            {"fixed_large", VarianceType::fixed_large}};
const Words<Interpolation> interpolations = {{"linear", Interpolation::linear}, {"log_linear", Interpolation::log_linear}};
const Words<FinalSigma> final_sigmas = {{"zero", FinalSigma::zero}, {"sigma_min", FinalSigma::sigma_min}};
const Words<SdeOrOde> algorithms = {{"dpmsolver++", SdeOrOde::ode}, {"sde-dpmsolver++", SdeOrOde::sde}};
// diffusers takes the words of its neighbours DEIS and UniPC for midpoint.
const Words<Solver> solvers = {{"midpoint", Solver::midpoint}, {"heun", Solver::heun}, {"logrho", Solver::midpoint},
                               {"bh1", Solver::midpoint},      {"bh2", Solver::midpoint}};

Words<Prediction> predictions(SchedulerKind kind) {
  Words<Prediction> words = {{"epsilon", Prediction::epsilon}, {"v_prediction", Prediction::v_prediction}};
  if (kind != SchedulerKind::pndm && kind != SchedulerKind::euler_ancestral) words.emplace_back("sample", Prediction::sample);
  if (kind == SchedulerKind::euler) words.emplace_back("original_sample", Prediction::sample);
  return words;
}

// Every field that counts for the kind, its limits, and (only) those settings that are not supported.
template <class Visitor, class Config>
void visit_fields(Visitor& v, Config& c) {
  using enum SchedulerKind;
  const SchedulerKind kind = c.kind;
  const bool ancestral_table = kind == ddpm || kind == ddim, sigmas = kind == euler || kind == dpmpp_2m;
  v.integer("num_train_timesteps", c.num_train_timesteps, 2, 100000);
  v.number("beta_start", c.beta_start, 0, 1);
  v.number("beta_end", c.beta_end, 0, 1);
  v.choice("beta_schedule", c.beta_schedule, beta_schedules);
  v.numbers("trained_betas", c.trained_betas, 0, 1);
  v.choice("prediction_type", c.prediction_type, predictions(kind));
  v.choice("timestep_spacing", c.timestep_spacing, spacings);
  v.integer("steps_offset", c.steps_offset, 0, 100000);
  if (kind != pndm) v.boolean("rescale_betas_zero_snr", c.rescale_betas_zero_snr);
  if (ancestral_table) {
    v.boolean("clip_sample", c.clip_sample);
    v.number("clip_sample_range", c.clip_sample_range, 0, 1e6);
  }
  if (ancestral_table || kind == dpmpp_2m) {
    v.boolean("thresholding", c.thresholding);
    v.number("dynamic_thresholding_ratio", c.dynamic_thresholding_ratio, 0, 1);
    v.number("sample_max_value", c.sample_max_value, 1e-6, 1e6);
  }
  if (kind == ddpm) v.choice("variance_type", c.variance_type, variance_types);
  if (kind == ddim || kind == pndm) v.boolean("set_alpha_to_one", c.set_alpha_to_one);
  if (kind == pndm) v.boolean("skip_prk_steps", c.skip_prk_steps);
  if (sigmas) {
    v.boolean("use_karras_sigmas", c.use_karras_sigmas);
    v.boolean("use_exponential_sigmas", c.use_exponential_sigmas);
    v.choice("final_sigmas_type", c.final_sigmas_type, final_sigmas);
    v.unsupported("use_beta_sigmas", false);
  }
  if (kind == euler) {
    v.choice("interpolation_type", c.interpolation_type, interpolations);
    v.number("sigma_min", c.sigma_min, 1e-6, 1e6);
    v.number("sigma_max", c.sigma_max, 1e-6, 1e6);
    v.unsupported("timestep_type", "discrete");
  }
  if (kind == dpmpp_2m) {
    v.integer("solver_order", c.solver_order, 1, 3);
    v.choice("algorithm_type", c.algorithm_type, algorithms);
    v.choice("solver_type", c.solver_type, solvers);
    v.boolean("lower_order_final", c.lower_order_final);
    v.boolean("euler_at_final", c.euler_at_final);
    v.number("lambda_min_clipped", c.lambda_min_clipped, -100, 100);
    for (const char* flag : {"use_lu_lambdas", "use_flow_sigmas", "use_dynamic_shifting"}) v.unsupported(flag, false);
    v.unsupported("variance_type", nullptr);
  }
}

struct Reader {
  io::Fields& fields;

  template <class I>
  void integer(const char* name, I& value, Index low, Index high) { value = I(fields.integer(name, low, high, Index(value))); }
  void number(const char* name, double& value, double low, double high) { value = fields.number(name, low, high, value); }
  void number(const char* name, std::optional<double>& value, double low, double high) {
    if (fields.has(name)) value = fields.number(name, low, high);
  }
  void numbers(const char* name, std::vector<double>& value, double low, double high) { value = fields.numbers(name, low, high, value); }
  void boolean(const char* name, bool& value) { value = fields.boolean(name, value); }
  template <class E>
  void choice(const char* name, E& value, const Words<E>& words) {
    if (!fields.has(name)) return;
    std::vector<std::string> among;
    for (const auto& [word, e] : words) among.emplace_back(word);
    const std::string got = fields.choice(name, among);
    for (const auto& [word, e] : words)
      if (word == got) value = e;
  }
  void unsupported(const char* name, const io::Json& only) {
    const io::Json* got = fields.raw(name);
    if (got && !got->is_null() && *got != only) fields.wrong(name, "this setting is not supported", only.is_null() ? "none" : only.dump(), got->dump());
  }
};

struct Writer {
  io::Json& json;

  template <class I>
  void integer(const char* name, const I& value, Index, Index) { json[name] = value; }
  void number(const char* name, double value, double, double) { json[name] = value; }
  void number(const char* name, const std::optional<double>& value, double, double) {
    if (value) json[name] = *value;
  }
  void numbers(const char* name, const std::vector<double>& value, double, double) { json[name] = value.empty() ? io::Json() : io::Json(value); }
  void boolean(const char* name, bool value) { json[name] = value; }
  template <class E>
  void choice(const char* name, E value, const Words<E>& words) {
    for (auto word = words.rbegin(); word != words.rend(); ++word)
      if (word->second == value) json[name] = word->first;
  }
  void unsupported(const char*, const io::Json&) {}
};

// Python writes -Infinity, which is no JSON: blanks and null in its place keep the byte offsets of messages.
std::string without_infinity(std::string_view json) {
  constexpr std::string_view word = "-Infinity", instead = "null     ";
  std::string text(json);
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && quoted) ++i;
    else if (text[i] == '"') quoted = !quoted;
    else if (!quoted && text.compare(i, word.size(), word) == 0) text.replace(i, word.size(), instead);
  }
  return text;
}

SchedulerKind named_kind(io::Fields& fields) {
  const std::string name = fields.text("_class_name");
  std::string known;
  for (const KindName& k : kind_names) {
    if (k.class_name == name) return k.kind;
    known += (known.empty() ? "" : ", ") + std::string(k.class_name);
  }
  fields.wrong("_class_name", "this scheduler is not supported; name another one", known, name);
}

}  // namespace

std::string_view name_of(SchedulerKind kind) { return kind_names[std::size_t(kind)].name; }

SchedulerKind scheduler_kind(std::string_view name, Site at) {
  std::string known;
  for (const KindName& k : kind_names) {
    if (k.name == name) return k.kind;
    known += (known.empty() ? "" : ", ") + std::string(k.name);
  }
  fail({.op = "scheduler", .what = "no such scheduler", .expected = known, .got = io::printable(name)}, at);
}

SchedulerConfig default_config(SchedulerKind kind) {
  SchedulerConfig c;
  c.kind = kind;
  c.set_alpha_to_one = kind != SchedulerKind::pndm;
  if (kind >= SchedulerKind::euler) c.timestep_spacing = Spacing::linspace;
  return c;
}

SchedulerConfig read_scheduler_config(std::string_view json, const io::Place& place, std::optional<SchedulerKind> kind) {
  const io::Json object = io::parse_json(without_infinity(json), place);
  io::Fields fields(object, place);
  SchedulerConfig c = default_config(kind ? *kind : named_kind(fields));
  Reader reader{fields};
  visit_fields(reader, c);
  if (!c.trained_betas.empty() && Index(c.trained_betas.size()) != c.num_train_timesteps)
    fields.wrong("trained_betas", "one beta a timestep is needed", std::to_string(c.num_train_timesteps), std::to_string(c.trained_betas.size()));
  if (c.use_karras_sigmas && c.use_exponential_sigmas)
    fields.wrong("use_exponential_sigmas", "only one of karras and exponential sigmas can be used", "false", "true");
  return c;
}

SchedulerConfig load_scheduler_config(const std::string& path, std::optional<SchedulerKind> kind) {
  return read_scheduler_config(io::File(path).text(16u << 20), {.path = path}, kind);
}

std::string write_scheduler_config(const SchedulerConfig& config) {
  io::Json json = {{"_class_name", kind_names[std::size_t(config.kind)].class_name}, {"_diffusers_version", "0.42.0"}};
  Writer writer{json};
  visit_fields(writer, config);
  return json.dump(2) + "\n";
}

}  // namespace sspo
