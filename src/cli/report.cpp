#include "cli/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/shapes.hpp"
#include "sspo/base/config.hpp"

namespace sspo::cli {
namespace {

std::string base64(std::string_view bytes) {
  static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t k) { return i + k < bytes.size() ? unsigned(std::uint8_t(bytes[i + k])) : 0u; };
    const unsigned word = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (std::size_t k = 0; k < 4; ++k) text += i + k > bytes.size() ? '=' : digits[word >> (18 - 6 * k) & 63];
  }
  return text;
}

std::string image(const io::Image& p, std::string_view alt) {
  return fmt::format("<img src=\"data:image/png;base64,{}\" width=\"{}\" height=\"{}\" alt=\"{}\">", base64(io::encode_png(p)), p.width, p.height, alt);
}

// Loss against step, the loss on a logarithmic axis: every step in grey, an exponential average in blue.
std::string loss_curve(const std::vector<StepRecord>& steps) {
  constexpr double width = 720, height = 260, left = 56, right = 12, top = 12, bottom = 36;
  double low = 1e300, high = 0;
  for (const StepRecord& s : steps) low = std::min(low, s.loss), high = std::max(high, s.loss);
  low = std::max(low, 1e-6) / 1.1, high = std::max(high, 2e-6) * 1.1;
  const auto x = [&](double step) { return left + (width - left - right) * step / double(std::max<std::size_t>(steps.size() - 1, 1)); };
  const auto y = [&](double loss) { return top + (height - top - bottom) * std::log(high / std::max(loss, low)) / std::log(high / low); };

  std::string svg = fmt::format("<svg viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" aria-label=\"training loss by step\">\n", width, height);
  for (double decade = 1e-6; decade < high; decade *= 10)
    for (double m : {1.0, 2.0, 5.0})
      if (m * decade > low && m * decade < high)
        svg += fmt::format("<path class=\"grid\" d=\"M{0} {1:.1f}H{2}\"/><text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:g}</text>\n", left, y(m * decade),
                           width - right, left - 8, y(m * decade) + 4, m * decade);
  for (int i = 0; i <= 4; ++i) {
    const double step = std::round(double(steps.size() - 1) * i / 4);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"{}\">{}</text>\n", x(step), height - bottom + 18, i == 4 ? "end" : "middle", step + 1);
  }
  svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">step</text>\n", (left + width - right) / 2, height - 3);

  std::string every = "M", average = "M";
  double smooth = steps.front().loss;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    smooth += (steps[i].loss - smooth) * (i < 20 ? 1.0 / double(i + 1) : 0.05);
    every += fmt::format("{:.1f} {:.1f} ", x(double(i)), y(steps[i].loss));
    average += fmt::format("{:.1f} {:.1f} ", x(double(i)), y(smooth));
  }
  return svg + fmt::format("<path class=\"every\" d=\"{}\"/>\n<path class=\"average\" d=\"{}\"/>\n</svg>\n", every, average);
}

std::string sheets(const DemoResult& r) {
  std::string html = "<div class=\"sheets\">\n<div class=\"names\">";
  for (const std::string_view name : class_names)
    html += fmt::format("<span style=\"height:{}px\">{}</span>", (picture_side + 2) * sheet_zoom, name);
  html += "</div>\n";
  for (const Sheet& s : r.sheets) {
    const std::string when = s.step == 0 ? "untrained" : fmt::format("after {} steps", s.step);
    html += fmt::format("<figure>{}<figcaption>{}</figcaption></figure>\n", image(s.picture, "samples, " + when), when);
  }
  return html + "</div>\n";
}

std::string measured(const DemoResult& r) {
  std::string rows;
  const auto row = [&](std::string_view what, const std::string& value) { rows += fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", what, value); };
  constexpr double mib = 1024.0 * 1024.0;
  row("device", r.device);
  row("parameters", fmt::format("{} (f32)", r.parameters));
  row("steps, batch", fmt::format("{} steps of {} pictures", r.steps.size(), r.options.batch));
  row("loss, first and last twentieth", fmt::format("{:.4f} &rarr; {:.4f}", r.first_loss, r.last_loss));
  row("training", fmt::format("{:.1f} s: {:.2f} steps/s, {:.1f} pictures/s", r.train_seconds, r.steps_per_second(), r.pictures_per_second()));
  row("sampling", fmt::format("{:.2f} s for {} pictures, {} DDIM steps each", r.sample_seconds, r.sampled, sampler_steps));
  row("peak memory", fmt::format("{:.0f} MiB in tensors, {:.0f} MiB resident", double(r.peak_tensor_bytes) / mib, double(r.peak_resident_bytes) / mib));
  row("seed", fmt::format("{}", r.options.seed));
  return "<table>\n" + rows + "</table>\n";
}

constexpr const char* style = R"(
  body { font: 16px/1.5 system-ui, sans-serif; color: #1d2430; max-width: 1120px; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.6rem; margin: 0; }  h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }  p { max-width: 46rem; }
  img { image-rendering: pixelated; display: block; }
  .sheets { display: flex; flex-wrap: wrap; gap: .8rem; }  figure { margin: 0; border: 1px solid #dde2ea; }
  figcaption { padding: .2rem .5rem; color: #5b6678; border-top: 1px solid #dde2ea; }
  .names { padding: 6px 0; }
  .names span { display: flex; align-items: center; color: #5b6678; }
  table { border-collapse: collapse; }  th { text-align: left; font-weight: normal; color: #5b6678; padding: .15rem 2rem .15rem 0; }
  td { font-variant-numeric: tabular-nums; }
  svg { max-width: 100%; height: auto; }  svg text { font-size: 12px; fill: #5b6678; }  path { fill: none; }
  .grid { stroke: #e6eaf0; }  .every { stroke: #b9c3d2; }  .average { stroke: #1f5fd0; stroke-width: 2; stroke-linejoin: round; })";

}  // namespace

std::string report_html(const DemoResult& r) {
  return fmt::format(R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>sspo demo</title>
<style>{}</style>
</head>
<body>
<h1>sspo demo: a diffusion model, trained from nothing</h1>
<p>A U-Net of {} parameters learned to turn noise into 16&times;16 pictures of a class it is told. Tensors, gradients, kernels and
optimizer are sspo {}.{}.{}; the training pictures are generated as they are needed, so no two steps saw the same one.</p>
<h2>What it draws</h2>
<p>One row a class. Every picture starts from noise of its own, the same in all sheets. Nothing was picked or sorted.
The average of the weights (EMA, decay {}) draws, with classifier-free guidance of weight {}.</p>
{}<h2>Training loss</h2>
<p>Mean squared error of the predicted velocity, the mixture of noise and picture that the sampler follows. Grey: every step. Blue: running average.</p>
{}<h2>What was measured</h2>
<p>In this run, on this machine, by the clock; whatever else ran beside it is in the times.
The losses and the pictures depend on the seed and the instruction set, not on the number of threads.</p>
{}<h2>What it learned from</h2>
{}
<p>What this does not show: latent diffusion, text conditioning or preference training. This small model in pixel space stands in
for them. It says that training and sampling work from end to end, nothing about picture quality at larger sizes.</p>
</body>
</html>
)",
                     style, r.parameters, version_major, version_minor, version_patch, ema_decay, guidance, sheets(r), loss_curve(r.steps), measured(r),
                     image(r.data, "training pictures"));
}

}  // namespace sspo::cli
