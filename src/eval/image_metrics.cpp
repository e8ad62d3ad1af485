#include "sspo/eval/image_metrics.hpp"

#include <cmath>
#include <limits>

namespace sspo {
namespace {

constexpr Index window = 11;

void check_pair(const char* op, const io::Image& a, const io::Image& b, Index least, Site at) {
  const auto size = [](const io::Image& x) { return std::to_string(x.width) + "x" + std::to_string(x.height); };
  if (a.width != b.width || a.height != b.height)
    fail({.op = op, .what = "pictures of different sizes", .expected = "two of one size", .got = size(a) + " and " + size(b), .hint = "resize or crop one of them"}, at);
  if (a.width < least || a.height < least)
    fail({.op = op, .what = "the pictures are too small", .expected = std::to_string(least) + " pixels or more a side", .got = size(a)}, at);
}

struct Gaussian {
  double w[window];
};
Gaussian gaussian() {
  Gaussian g{};
  double sum = 0;
  for (Index i = 0; i < window; ++i) sum += g.w[i] = std::exp(-double((i - window / 2) * (i - window / 2)) / (2 * 1.5 * 1.5));
  for (double& w : g.w) w /= sum;
  return g;
}

// The weighted means of f(x, y) over the windows that lie inside, [h - 10, w - 10].
template <class F>
std::vector<double> window_means(Index width, Index height, const F& f) {
  static const Gaussian g = gaussian();
  const Index w = width - window + 1, h = height - window + 1;
  std::vector<double> rows(std::size_t(height * w)), row(std::size_t(width), 0.0), means(std::size_t(h * w));
  for (Index y = 0; y < height; ++y) {
    for (Index x = 0; x < width; ++x) row[std::size_t(x)] = f(x, y);
    for (Index x = 0; x < w; ++x) {
      double sum = 0;
      for (Index i = 0; i < window; ++i) sum += g.w[i] * row[std::size_t(x + i)];
      rows[std::size_t(y * w + x)] = sum;
    }
  }
  for (Index y = 0; y < h; ++y)
    for (Index i = 0; i < window; ++i)
      for (Index x = 0; x < w; ++x) means[std::size_t(y * w + x)] += g.w[i] * rows[std::size_t((y + i) * w + x)];
  return means;
}

double ssim_of_channel(const io::Image& a, const io::Image& b, int channel) {
  const auto mean_of = [&](auto&& f) {
    return window_means(a.width, a.height, [&](Index x, Index y) { return f(double(a.at(x, y)[channel]), double(b.at(x, y)[channel])); });
  };
  const std::vector<double> u = mean_of([](double p, double) { return p; }), v = mean_of([](double, double q) { return q; });
  const std::vector<double> uu = mean_of([](double p, double) { return p * p; }), vv = mean_of([](double, double q) { return q * q; }),
                            uv = mean_of([](double p, double q) { return p * q; });
  constexpr double c1 = 0.01 * 255 * (0.01 * 255), c2 = 0.03 * 255 * (0.03 * 255);
  double sum = 0;
  for (std::size_t i = 0; i < u.size(); ++i) {                                // Wang et al. 2004, eq. 13
    const double products = u[i] * v[i], squares = u[i] * u[i] + v[i] * v[i];
    const double both = uv[i] - products, own = uu[i] + vv[i] - squares;
    sum += (2 * products + c1) * (2 * both + c2) / ((squares + c1) * (own + c2));
  }
  return sum / double(u.size());
}

}  // namespace

double psnr(const io::Image& a, const io::Image& b, Site at) {
  check_pair("psnr", a, b, 1, at);
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < a.rgb.size(); ++i) {
    const std::int64_t d = std::int64_t(a.rgb[i]) - b.rgb[i];
    sum += d * d;
  }
  if (sum == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(255.0 * 255.0 / (double(sum) / double(a.rgb.size())));
}

double ssim(const io::Image& a, const io::Image& b, Site at) {
  check_pair("ssim", a, b, window, at);
  return (ssim_of_channel(a, b, 0) + ssim_of_channel(a, b, 1) + ssim_of_channel(a, b, 2)) / 3;
}

}  // namespace sspo
