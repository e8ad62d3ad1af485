#include "cli/demo.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <numeric>

#include "cli/progress.hpp"
#include "cli/report.hpp"
#include "cli/shapes.hpp"
#include "cli/signals.hpp"
#include "cli/tiny_diffusion.hpp"
#include "sspo/sspo.hpp"

namespace sspo::cli {
namespace {

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// One row a class; the same starting noises at every stage, so the sheets can be compared.
io::Image sample_sheet(Params& params, const DemoOptions& o) {
  std::vector<std::int64_t> classes;
  for (Index c = 0; c < class_count; ++c) classes.insert(classes.end(), std::size_t(o.columns), c);
  const TinyUNet model(params, {.channels = o.channels, .classes = class_count});
  const Tensor pictures = sample(guided(model, class_count, guidance), Tensor::from(classes, {Index(classes.size())}, params.device()),
                                 {picture_side, picture_side, 3}, Rng{o.seed} / "sample", sampler_steps);
  return contact_sheet(pictures, o.columns, sheet_zoom);
}

double mean_loss(const std::vector<StepRecord>& steps, std::size_t first, std::size_t count) {
  double sum = 0;
  for (std::size_t i = first; i < first + count; ++i) sum += steps[i].loss;
  return sum / double(count);
}

DemoResult train(const DemoOptions& o) {
  const Device cpu = Device::cpu({.threads = o.threads, .isa = o.isa});
  const Rng rng{o.seed};
  Params params(cpu, rng / "init");
  const TinyUNet model(params, {.channels = o.channels, .classes = class_count});
  AdamW adamw(params, {.weight_decay = 0});
  Ema ema(params, ema_decay);
  const LearningRate lr = warmup(cosine_lr(2e-3, o.steps, 0.02), std::min<Index>(50, o.steps));

  DemoResult r{.options = o, .device = cpu.name(), .parameters = params.numel()};
  r.data = contact_sheet(shape_batch(rng / "data" / 0, 80, cpu).pictures, 20, sheet_zoom);
  r.sheets.push_back({0, sample_sheet(ema.params(), o)});
  Progress progress("training", o.steps);
  for (Index step = 0; step < o.steps; ++step) {
    const Stopwatch watch;
    const Batch batch = shape_batch(rng / "data" / step, o.batch, cpu);
    const Tensor classes = forget_some(batch.classes, class_count, rng / "forget" / step);
    const Tensor loss = diffusion_loss(model, batch.pictures, classes, rng / "noise" / step);
    const ClippedGradients g = clip_norm(backward(loss), 1.0);
    adamw.step(g, lr(step));
    ema.update(params);
    r.steps.push_back({double(loss.item<float>()), g.norm, lr(step)});
    r.train_seconds += watch.seconds();

    progress.update(step + 1, fmt::format("loss {:.4f}", r.steps.back().loss));
    stop_if_interrupted();
    if (step + 1 == o.steps / 2) r.sheets.push_back({step + 1, sample_sheet(ema.params(), o)});
  }
  const Stopwatch watch;
  r.sheets.push_back({o.steps, sample_sheet(ema.params(), o)});
  r.sample_seconds = watch.seconds();
  r.sampled = class_count * o.columns;

  const std::size_t twentieth = std::max<std::size_t>(1, r.steps.size() / 20);
  r.first_loss = mean_loss(r.steps, 0, twentieth);
  r.last_loss = mean_loss(r.steps, r.steps.size() - twentieth, twentieth);
  r.peak_tensor_bytes = cpu.memory().peak;
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  r.peak_resident_bytes = std::size_t(usage.ru_maxrss) * 1024;
  return r;
}

std::string loss_csv(const std::vector<StepRecord>& steps) {
  std::string text = "step,loss,gradient_norm,lr\n";
  for (std::size_t i = 0; i < steps.size(); ++i)
    text += fmt::format("{},{:.9g},{:.17g},{:.9g}\n", i + 1, steps[i].loss, steps[i].gradient_norm, steps[i].lr);
  return text;
}

void print_summary(const DemoResult& r) {
  const std::string folder = r.options.out.string();
  if (r.options.json) {
    const nlohmann::ordered_json json = {
        {"out", folder}, {"device", r.device}, {"seed", r.options.seed}, {"parameters", r.parameters}, {"steps", r.steps.size()},
        {"batch", r.options.batch}, {"first_loss", r.first_loss}, {"last_loss", r.last_loss}, {"train_seconds", r.train_seconds},
        {"steps_per_second", r.steps_per_second()}, {"pictures_per_second", r.pictures_per_second()},
        {"sample_seconds", r.sample_seconds}, {"sampled", r.sampled}, {"peak_tensor_bytes", r.peak_tensor_bytes},
        {"peak_resident_bytes", r.peak_resident_bytes}};
    fmt::print("{}\n", json.dump(2));
  } else {
    fmt::print("loss     {:.4f} -> {:.4f} in {} steps, {:.1f} s ({:.1f} pictures/s)\n", r.first_loss, r.last_loss, r.steps.size(), r.train_seconds,
               r.pictures_per_second());
    fmt::print("samples  {}\nreport   {}\n", (r.options.out / "samples.png").string(), (r.options.out / "report.html").string());
  }
}

}  // namespace

void demo(const DemoOptions& options) {
  make_output_folder(options.out, options.force);
  const DemoResult result = train(options);
  std::vector<io::Image> stages;
  for (const Sheet& sheet : result.sheets) stages.push_back(sheet.picture);
  const auto path = [&](const char* name) { return (options.out / name).string(); };
  io::write_png(path("data.png"), result.data);
  io::write_png(path("samples.png"), io::grid(stages, Index(stages.size()), 24));
  io::write_file(path("loss.csv"), loss_csv(result.steps));
  io::write_file(path("report.html"), report_html(result));
  print_summary(result);
}

}  // namespace sspo::cli
