#include "sspo/train/checkpoint.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "backend.hpp"
#include "io/calls.hpp"
#include "sspo/io/safetensors.hpp"
#include "sspo/ops/elementwise.hpp"
#include "sspo/ops/movement.hpp"

namespace sspo {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view prefix = "step-";

[[noreturn]] void io_error(const std::string& path, const std::string& what) {
  fail({.op = io::printable(path, 4096), .what = what, .kind = ErrorKind::io}, Site{});
}

Index number_in(std::string_view text) {  // as std::to_string writes it, or -1
  Index i = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), i);
  return error == std::errc{} && i >= 0 && std::to_string(i) == text ? i : -1;
}

Index step_of(const std::string& name) { return name.starts_with(prefix) ? number_in(std::string_view(name).substr(prefix.size())) : -1; }

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator it(folder, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) names.push_back(it->path().filename().string());
  if (error) io_error(folder, "cannot be listed: " + error.message());
  return names;
}

void remove(const std::string& path) {
  if (const std::error_code error = io::remove_tree(path)) io_error(path, "cannot be removed: " + error.message());
}

std::vector<io::TensorSource> named(const Params& params) {
  std::vector<io::TensorSource> all;
  for (const Param& p : params) all.push_back({p.name(), p.shape(), p.master_kept() ? DType::f32 : p.value().dtype(), [p] { return p.master(); }});
  return all;
}

std::vector<io::TensorSource> named(const Optimizer& optimizer) {
  std::vector<io::TensorSource> all;
  for (const Optimizer::Slot& slot : optimizer.slots())
    for (const Optimizer::State& s : slot.states) all.push_back({s.name + ("." + slot.param.name()), s.kept.shape(), s.kept.dtype(), [kept = s.kept] { return kept.load(); }});
  return all;
}

void require_finite(const std::vector<io::TensorSource>& tensors, Index step) {
  for (const io::TensorSource& t : tensors)
    if (is_floating(t.dtype) && !all_finite(t.read()))
      fail({.op = "checkpoint", .what = "'" + t.name + "' is not finite after step " + std::to_string(step), .expected = "finite numbers; nothing was saved",
            .kind = ErrorKind::non_finite}, Site{});
}

// The file holds exactly these tensors, in their shapes and types: asked of its header, before anything is read.
void check_tensors(const io::Safetensors& file, const std::vector<io::TensorSource>& wanted) {
  for (const io::TensorSource& t : wanted) {
    const io::StoredTensor* stored = file.find(t.name);
    const io::Place place{.path = file.path(), .field = t.name};
    if (!stored) io::bad_file(place, "missing", t.str(), {}, "the checkpoint belongs to another model");
    const std::vector<std::uint64_t> shape(t.shape.begin(), t.shape.end());
    if (stored->shape != shape || stored->type->dtype != t.dtype) io::bad_file(place, "the tensor does not fit", t.str(), stored->str());
  }
  if (file.tensors().size() != wanted.size())
    io::bad_file({.path = file.path()}, "tensors that nothing takes", std::to_string(wanted.size()) + " tensors", std::to_string(file.tensors().size()));
}

void assign_all(Params& params, const io::Safetensors& file) {
  for (Param p : params) p.assign(file.load(p.name(), params.device()));
}

std::string about_of(const io::Manifest& m, const std::string& folder, const std::string& name) {
  const auto it = m.about.find(name);
  if (it == m.about.end()) io::bad_file({.path = folder + "/MANIFEST.json", .field = "about." + name}, "is missing", {}, {}, "no checkpoint of a training run");
  return it->second;
}

Index number_of(const io::Manifest& m, const std::string& folder, const std::string& name) {
  const std::string text = about_of(m, folder, name);
  const Index n = number_in(text);
  if (n < 0) io::bad_file({.path = folder + "/MANIFEST.json", .field = "about." + name}, "wrong value", "a whole number", text);
  return n;
}

}  // namespace

bool all_finite(const Tensor& x) {
  if (!is_floating(x.dtype()) || x.numel() == 0) return true;
  Tensor y = contiguous(detach(x));
  if (y.dtype() == DType::f16) y = cast(y, DType::f32);
  if (y.dtype() != DType::f64) {  // summed in double: no f32 overflows it
    const View all = view(y);
    double sum = 0;
    backend(y.device()).sums_of_squares({&all, 1}, &sum);
    return std::isfinite(sum);
  }
  const std::vector<double> values = y.to_vector<double>();
  return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}

Checkpoints::Checkpoints(std::string folder, std::string run) : folder_(std::move(folder)), run_(std::move(run)) {
  if (const std::error_code error = io::make_folders(folder_)) io_error(folder_, "the folder cannot be made: " + error.message());
  for (const std::string& name : names_in(folder_))
    if (name.starts_with(prefix) && (name.ends_with(".tmp") || name.ends_with(".old"))) remove(folder_ + "/" + name);
}

std::vector<Index> Checkpoints::steps() const {
  std::vector<Index> all;
  for (const std::string& name : names_in(folder_))
    if (const Index step = step_of(name); step >= 0) all.push_back(step);
  std::sort(all.begin(), all.end());
  return all;
}

void Checkpoints::save(const TrainingState& state) {
  const std::vector<io::TensorSource> params = named(state.params), states = named(state.optimizer);
  std::vector<io::TensorSource> ema;
  if (state.ema) ema = named(state.ema->params());
  require_finite(params, state.step), require_finite(states, state.step), require_finite(ema, state.step);

  const std::string path = path_of(state.step), aside = path + ".old";
  std::error_code none;
  if (fs::exists(path, none)) {  // it was passed over on resuming, or the run was resumed from an older one
    remove(aside);
    if (const std::error_code error = io::move_path(path, aside)) io_error(path, "cannot be moved aside: " + error.message());
  }
  io::FolderWriter out(path);
  io::stream_safetensors(out.folder() + "/params.safetensors", params);
  io::stream_safetensors(out.folder() + "/optimizer.safetensors", states);
  if (state.ema) io::stream_safetensors(out.folder() + "/ema.safetensors", ema);
  io::Manifest::About about{{"kind", "checkpoint"}, {"run", run_}, {"step", std::to_string(state.step)}, {"optimizer", std::string(state.optimizer.kind())},
                        {"optimizer_steps", std::to_string(state.optimizer.steps())}};
  for (const auto& [name, text] : state.notes) about["note." + name] = text;
  out.finish(std::move(about));
  io::write_file(folder_ + "/latest", std::string(prefix) + std::to_string(state.step) + "\n");
  if (fs::exists(aside, none)) remove(aside);
}

void Checkpoints::load(const std::string& folder, TrainingState& state) const {
  const io::Manifest m = io::verify_folder(folder);
  if (const std::string run = about_of(m, folder, "run"); run != run_)
    io::bad_file({.path = folder + "/MANIFEST.json", .field = "about.run"}, "the checkpoint of another run", run_.substr(0, 12), run.substr(0, 12), "recipe, data or starting model differ");
  if (const auto kind = m.about.find("optimizer"); kind != m.about.end() && kind->second != state.optimizer.kind())  // runs from before it had a choice name none
    io::bad_file({.path = folder + "/MANIFEST.json", .field = "about.optimizer"}, "the states of another optimizer", std::string(state.optimizer.kind()), kind->second);
  const Index step = number_of(m, folder, "step"), optimizer_steps = number_of(m, folder, "optimizer_steps");
  if (const Index named = step_of(fs::path(folder).filename().string()); named >= 0 && named != step)
    io::bad_file({.path = folder + "/MANIFEST.json", .field = "about.step"}, "not the folder's", std::to_string(named), std::to_string(step));
  for (const auto& [name, wanted] : {std::pair{"ema.safetensors", state.ema != nullptr}})
    if (m.files.count(name) != std::size_t(wanted)) io::bad_file({.path = folder + "/" + name}, wanted ? "missing" : "not asked for");
  const io::Safetensors params(folder + "/params.safetensors"), states(folder + "/optimizer.safetensors");
  std::optional<io::Safetensors> ema;
  check_tensors(params, named(state.params));
  check_tensors(states, named(state.optimizer));
  if (state.ema) check_tensors(ema.emplace(folder + "/ema.safetensors"), named(state.ema->params()));

  assign_all(state.params, params);  // from here on nothing can be wrong but the disk
  state.optimizer.restore(optimizer_steps, [&](const char* name, const Param& p) { return states.load(name + ("." + p.name()), state.params.device()); });
  if (ema) assign_all(state.ema->params(), *ema);
  state.step = step;
  state.notes.clear();
  for (const auto& [name, text] : m.about)
    if (name.starts_with("note.")) state.notes.emplace(name.substr(5), text);
}

bool Checkpoints::resume(TrainingState& state, const Function<void(const std::string&)>& say) {
  std::vector<Index> all = steps();
  std::reverse(all.begin(), all.end());
  std::string reasons;
  for (const Index step : all) {
    try {
      load(path_of(step), state);
      return true;
    } catch (const Error& e) {
      if (e.info().kind != ErrorKind::file && e.info().kind != ErrorKind::io) throw;
      say("passed over " + path_of(step) + ": " + e.what());
      if (reasons.empty()) reasons = e.what();
    }
  }
  std::error_code none;
  if (all.empty() && !fs::exists(folder_ + "/latest", none)) return false;
  io::bad_file({.path = folder_}, all.empty() ? "the checkpoints of this run are gone" : "no valid checkpoint", "one that is whole",
               all.empty() ? "none" : std::to_string(all.size()) + ", the newest: " + reasons, "restore one, or start anew in another folder");
}

void Checkpoints::prune(Index keep) {
  const std::vector<Index> all = steps();
  for (std::size_t i = 0; i + std::size_t(std::max<Index>(keep, 1)) < all.size(); ++i) {
    const std::string path = path_of(all[i]), gone = path + ".tmp";  // it goes whole: no reader sees half of it
    if (const std::error_code error = io::move_path(path, gone)) io_error(path, "cannot be removed: " + error.message());
    remove(gone);
  }
}

}  // namespace sspo
