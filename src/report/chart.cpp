#include "report/chart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sspo::report {
namespace {

constexpr double width = 400, height = 230, top = 10, bottom = 38, right = 12;
constexpr std::size_t most_points = 400;  // of a drawn line

std::string colour(int c) { return fmt::format("var(--c{})", c % 8); }
std::string label(double x) { return short_number(std::abs(x) < 1e-12 ? 0 : x); }

Html titled(const std::string& title, const std::string& note, const Html& legend, const std::string& svg) {
  Html caption{"<figcaption><b>" + text(title).code + "</b>" + (note.empty() ? "" : " " + text(note).code)};
  if (!legend.empty()) caption += {"<span class=\"legend\">" + legend.code + "</span>"};
  return {"<figure class=\"chart\">" + caption.code + "</figcaption>\n" + svg + "</figure>\n"};
}
Html key(const std::string& name, int c) { return {fmt::format("<span><i style=\"background:{}\"></i>{}</span> ", colour(c), text(name).code)}; }

std::string open_svg(double h, const std::string& title) {
  return fmt::format("<svg viewBox=\"0 0 {} {:.0f}\" role=\"img\" aria-label=\"{}\">\n", width, h, text(title).code);
}
std::string write(double x, double y, const char* anchor, const std::string& what, const char* css = "") {
  return fmt::format("<text{} x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>", css, x, y, anchor, text(what).code);
}

// Linear or logarithmic, onto pixels.
struct Axis {
  double low, high, from, to;
  bool logarithmic = false;
  double operator()(double v) const {
    const double share = logarithmic ? std::log(v / low) / std::log(high / low) : (v - low) / (high - low);
    return from + (to - from) * share;
  }
};

struct Range {
  double low = INFINITY, high = -INFINITY;
  void add(double v) { if (std::isfinite(v)) low = std::min(low, v), high = std::max(high, v); }
  bool empty() const { return !(low <= high); }
  void widen(double share) {
    const double by = high > low ? share * (high - low) : (high != 0 ? std::abs(high) * 0.1 : 0.01);
    low -= by, high += by;
  }
};

// Long lines by bins: each bin's lowest and highest value, so that no spike is lost.
void thin(std::vector<double>& x, std::vector<double>& y) {
  if (x.size() <= most_points) return;
  std::vector<double> u, v;
  const std::size_t bins = most_points / 2;
  for (std::size_t b = 0; b < bins; ++b) {
    const std::size_t first = b * x.size() / bins, last = (b + 1) * x.size() / bins;
    std::size_t low = first, high = first;
    for (std::size_t i = first; i < last; ++i) {
      if (y[i] < y[low] || !std::isfinite(y[low])) low = i;
      if (y[i] > y[high] || !std::isfinite(y[high])) high = i;
    }
    for (const std::size_t i : {std::min(low, high), std::max(low, high)}) u.push_back(x[i]), v.push_back(y[i]);
  }
  x = std::move(u), y = std::move(v);
}

std::string path(std::vector<double> x, std::vector<double> y, const Axis& ax, const Axis& ay, bool steps) {
  thin(x, y);
  std::string d;
  bool pen = false;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!std::isfinite(y[i])) {
      pen = false;
      continue;
    }
    if (pen && steps) d += fmt::format("H{:.1f}V{:.1f}", ax(x[i]), ay(y[i]));
    else d += fmt::format("{}{:.1f} {:.1f}", pen ? "L" : "M", ax(x[i]), ay(y[i]));
    pen = true;
  }
  return d;
}

// Exponential, from the plain mean of the first values on.
std::vector<double> averaged(const std::vector<double>& y, double weight) {
  std::vector<double> mean;
  double m = 0, n = 0;
  for (const double v : y) {
    if (std::isfinite(v)) ++n, m += (v - m) * std::max(weight, 1 / n);
    mean.push_back(n > 0 ? m : NAN);
  }
  return mean;
}

}  // namespace

std::vector<double> ticks(double low, double high, int wanted) {
  const double step = (high - low) / wanted, power = std::pow(10, std::floor(std::log10(step)));
  std::vector<double> found;
  for (const double m : {10.0, 5.0, 2.0, 1.0, 0.5}) {  // the widest that is not too wide
    if (found.size() >= 3 || m / 2.5 > step / power) continue;
    const double by = m * power;
    found.clear();
    for (double k = std::ceil(low / by - 1e-9); k * by <= high + 1e-9 * by && found.size() < 50; ++k) found.push_back(k * by);
  }
  return found;
}

std::vector<double> log_ticks(double low, double high) {
  std::vector<double> found;
  const int first = int(std::floor(std::log10(low))), last = int(std::ceil(std::log10(high))), every = std::max(1, (last - first) / 6);
  for (int e = first; e <= last; e += every)
    for (const double m : {1.0, 2.0, 5.0})
      if (const double v = m * std::pow(10, e); v >= low && v <= high && (m == 1 || high / low < 300)) found.push_back(v);
  return found;
}

Html line_chart(const LineChart& c) {
  Range x, y;
  for (const Series& s : c.series) {
    for (std::size_t i = 0; i < s.x.size(); ++i)
      if (std::isfinite(s.y[i])) x.add(s.x[i]), y.add(s.y[i]);
  }
  if (y.empty()) return {};
  const bool logarithmic = c.logarithmic && y.low > 0 && y.high > 1.5 * y.low;
  if (c.level) y.add(*c.level);
  if (x.high == x.low) x.low -= 1, x.high += 1;
  if (logarithmic) y.low /= 1.1, y.high *= 1.1;
  else y.widen(0.05);

  const std::vector<double> marks = logarithmic ? log_ticks(y.low, y.high) : ticks(y.low, y.high, 4);
  std::size_t longest = 1;
  for (const double m : marks) longest = std::max(longest, fmt::format("{:.4g}", m).size());
  const double left = 12 + 7 * double(longest);
  const Axis ax{x.low, x.high, left, width - right}, ay{y.low, y.high, height - bottom, top, logarithmic};

  std::string svg = open_svg(height, c.title);
  for (const double m : marks)
    svg += fmt::format("<path class=\"grid\" d=\"M{:.0f} {:.1f}H{:.0f}\"/>", left, ay(m), width - right) + write(left - 6, ay(m) + 4, "end", label(m)) + "\n";
  for (const double m : ticks(x.low, x.high, 5))
    if (std::abs(m - std::round(m)) < 1e-9) svg += write(ax(m), height - bottom + 16, ax(m) > width - 24 ? "end" : "middle", label(std::round(m)));
  svg += write((left + width - right) / 2, height - 5, "middle", c.x_title) + "\n";
  if (c.level) svg += fmt::format("<path class=\"axis\" stroke-dasharray=\"4 3\" d=\"M{:.0f} {:.1f}H{:.0f}\"/>\n", left, ay(*c.level), width - right);
  Html legend;
  for (std::size_t k = 0; k < c.series.size(); ++k) {
    const Series& s = c.series[k];
    const int tint = s.colour < 0 ? int(k % 7) + 1 : s.colour;
    if (c.series.size() > 1 && !s.name.empty()) legend += key(s.name, tint);
    const auto draw = [&](const std::vector<double>& v, const char* css) {
      svg += fmt::format("<path class=\"{}\" style=\"stroke:{}\" d=\"{}\"/>\n", css, colour(tint), path(s.x, v, ax, ay, c.steps));
    };
    if (c.average > 0 && s.y.size() > 8) draw(s.y, "every"), draw(averaged(s.y, c.average), "mean");
    else draw(s.y, "mean");
    for (std::size_t i = 0; s.dots && i < s.x.size(); ++i)
      if (std::isfinite(s.y[i])) svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" style=\"fill:{}\"/>", ax(s.x[i]), ay(s.y[i]), colour(tint));
  }
  return titled(c.title, c.note + (logarithmic ? (c.note.empty() ? "(logarithmic)" : " (logarithmic)") : ""), legend, svg + "</svg>\n");
}

Html share_bars(const ShareBars& c) {
  if (c.labels.empty()) return {};
  constexpr double left = 40;
  const Axis ay{0, 1, height - bottom, top};
  const double step = (width - right - left) / double(c.labels.size());
  std::string svg = open_svg(height, c.title);
  for (const double m : {0.0, 0.25, 0.5, 0.75, 1.0})
    svg += fmt::format("<path class=\"grid\" d=\"M{} {:.1f}H{}\"/>", left, ay(m), width - right) + write(left - 6, ay(m) + 4, "end", label(m)) + "\n";
  for (std::size_t b = 0; b < c.labels.size(); ++b) {
    double below = 0;
    for (const ShareBars::Part& p : c.parts) {
      if (!std::isfinite(p.shares[b])) continue;
      svg += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" style=\"fill:{}\"/>", left + step * double(b) + 2, ay(below + p.shares[b]), step - 4,
                         ay(below) - ay(below + p.shares[b]), colour(p.colour));
      below += p.shares[b];
    }
    svg += write(left + step * (double(b) + 0.5), height - bottom + 16, "middle", c.labels[b]) + "\n";
  }
  svg += fmt::format("<path class=\"axis\" stroke-dasharray=\"4 3\" d=\"M{} {:.1f}H{}\"/>", left, ay(0.5), width - right) + write((left + width - right) / 2, height - 5, "middle", c.x_title);
  Html legend;
  for (const ShareBars::Part& p : c.parts) legend += key(p.name, p.colour);
  return titled(c.title, c.note, legend, svg + "</svg>\n");
}

Html heat_table(const HeatTable& t) {
  if (t.rows.empty() || t.columns.empty()) return {};
  constexpr double line = 32, strongest = 0.55;  // of a colour that words can be read on
  std::size_t longest = 1;
  for (const std::string& r : t.rows) longest = std::max(longest, r.size());
  const double left = std::min(120.0, 14 + 6.6 * double(longest)), step = (width - right - left) / double(t.columns.size()), foot = top + line * double(t.rows.size());
  std::string svg = open_svg(foot + bottom, t.title);
  for (std::size_t r = 0; r < t.rows.size(); ++r) {
    const double y = top + line * double(r);
    svg += write(left - 6, y + line / 2 + 4, "end", t.rows[r], " class=\"label\"") + "\n";
    for (std::size_t c = 0; c < t.columns.size(); ++c) {
      const HeatTable::Cell& cell = t.cells[r * t.columns.size() + c];
      if (!std::isfinite(cell.share)) continue;
      const double x = left + step * double(c);
      svg += fmt::format("<g><title>{}</title><rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" style=\"fill:{};fill-opacity:{:.2f}\"/>", text(cell.told).code, x + 1, y + 1, step - 2, line - 2,
                         colour(cell.share > 0.5 ? t.above : t.below), strongest * std::min(1.0, 2 * std::abs(cell.share - 0.5)));
      svg += write(x + step / 2, y + 14, "middle", number(cell.share, 2), " class=\"label\"") + write(x + step / 2, y + 26, "middle", label(cell.n), " class=\"label\" style=\"font-size:10px;opacity:.8\"") + "</g>\n";
    }
  }
  for (std::size_t c = 0; c < t.columns.size(); ++c) svg += write(left + step * (double(c) + 0.5), foot + 16, "middle", t.columns[c]);
  svg += write((left + width - right) / 2, foot + 33, "middle", t.x_title);
  return titled(t.title, t.note, {}, svg + "</svg>\n");
}

Html dot_plot(const DotPlot& c) {
  Range x;
  std::size_t longest = 1;
  for (const DotPlot::Dot& d : c.dots) x.add(d.value), x.add(d.low), x.add(d.high), longest = std::max(longest, d.label.size());
  if (x.empty()) return {};
  if (c.level) x.add(*c.level);
  x.widen(0.06);
  constexpr double line = 22;
  const double left = std::min(170.0, 12 + 6.6 * double(longest)), h = top + line * double(c.dots.size()) + 26;
  const Axis ax{x.low, x.high, left, width - right};
  std::string svg = open_svg(h, c.title);
  for (const double m : ticks(x.low, x.high, 4))
    svg += fmt::format("<path class=\"grid\" d=\"M{:.1f} {}V{:.1f}\"/>", ax(m), top, h - 24) + write(ax(m), h - 8, "middle", label(m)) + "\n";
  if (c.level) svg += fmt::format("<path class=\"axis\" d=\"M{:.1f} {}V{:.1f}\"/>\n", ax(*c.level), top, h - 24);
  for (std::size_t i = 0; i < c.dots.size(); ++i) {
    const DotPlot::Dot& d = c.dots[i];
    const double y = top + line * (double(i) + 0.5);
    svg += write(left - 8, y + 4, "end", d.label, " class=\"label\"");
    if (std::isfinite(d.low) && std::isfinite(d.high))
      svg += fmt::format("<path style=\"stroke:{};stroke-width:2\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>", colour(d.colour), ax(d.low), y, ax(d.high));
    if (std::isfinite(d.value)) svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" style=\"fill:{}\"/>\n", ax(d.value), y, colour(d.colour));
  }
  return titled(c.title, c.note, {}, svg + "</svg>\n");
}

}  // namespace sspo::report
