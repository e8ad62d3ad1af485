// Two ops of your own, with gradients, checked as strictly as the engine's.
// Learned here: an op is one struct. An elementwise op gives its formula for one number; a fused op gives
// a loop over raw data, and the same maths in plain ops as its reference. check_op() then tests values,
// gradients, layouts, dtypes, threads and error messages, from the samples in the struct.
#include <sspo/sspo.hpp>
#include <sspo/testing.hpp>

#include <cmath>
#include <cstdio>

using namespace sspo;

// 1. Elementwise: y = x + sin²(a x) / a                                             Ziyin et al. 2020, "snake"
struct Snake {
  struct Attrs { double a = 1; };
  static constexpr OpInfo info{"snake", "x + sin²(a x) / a"};
  template <class T> SSPO_HD static T scalar(const Attrs& attrs, T x) {
    const T a = T(attrs.a), s = sspo::sin(a * x);
    return x + s * s / a;
  }
  // dL/dx = g (1 + sin 2 a x). Written in ops: it runs on any device and can be differentiated again.
  static Tensor vjp(const Attrs& attrs, const Tensor& g, const Tensor& x) { return g * (1.0 + sin(2 * attrs.a * x)); }
  static auto samples() { return elementwise_samples<Attrs>({{.low = -3, .high = 3}}, {.a = 1.5}); }
};
Tensor snake(Tensor x, Snake::Attrs attrs = {}, Site at = Site::current()) { return apply<Snake>(at, attrs, std::move(x)); }

// 2. Fused: y = x / √(mean x² + ε) over the last axis, in one pass        Zhang & Sennrich 2019, "RMS norm"
struct RmsNorm {
  struct Attrs { double eps = 1e-6; };
  static constexpr OpInfo info{"rms_norm", "x / √(mean x² + ε) over the last axis"};

  static Tensor forward(const Attrs& attrs, const Tensor& x, Site at) {
    if (x.rank() < 1 || !is_floating(x.dtype()))
      fail({.op = "rms_norm", .what = "no axis of real numbers to normalise", .expected = "x [..., C], floating-point", .got = x.str()}, at);
    const Tensor packed = contiguous(x);                               // rows one after the other
    Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
    visit(x.dtype(), [&]<class T>(std::type_identity<T>) {
      if constexpr (is_floating(dtype_of<T>)) {
        const Index width = x.dim(-1), rows = width ? x.numel() / width : 0;
        for (Index r = 0; r < rows; ++r) normalise_row(packed.data<T>() + r * width, y.mutable_data<T>() + r * width, width, attrs.eps);
      }
    });
    return y;
  }

  // r = 1/√(mean x² + ε):  dL/dx = r (g - y mean(g y))
  static Tensor vjp(const Attrs& attrs, const Tensor& g, const Tensor& x, const Tensor& y) {
    return rsqrt(mean(square(x), {-1}, true) + attrs.eps) * (g - y * mean(g * y, {-1}, true));
  }
  // The definition, and what gradients of gradients are taken from.
  static Tensor reference(const Attrs& attrs, const Tensor& x) { return x * rsqrt(mean(square(x), {-1}, true) + attrs.eps); }

  static std::vector<Sample<Attrs>> samples() {
    std::vector<Sample<Attrs>> s;
    for (const Shape& shape : {Shape{1}, Shape{4}, Shape{33}, Shape{1, 8}, Shape{3, 5}, Shape{0, 4}, Shape{2, 0}, Shape{7, 1}, Shape{2, 3, 8},
                               Shape{5, 64}, Shape{2, 2, 2, 16}, Shape{130, 7}})
      s.push_back({shape.str(), {sample_values(shape, {.low = -2, .high = 3}, int(s.size()) + 1)}});
    return s;
  }
  static std::vector<Bad> bad_samples() {
    return {{"scalar", [] { apply<RmsNorm>(ones({})); }, {"rms_norm", "no axis", "[..., C]"}},
            {"integers", [] { apply<RmsNorm>(ones({2, 3}, DType::i64)); }, {"floating-point", "i64"}}};
  }

 private:
  static double real(double x) { return x; }
  static double real(auto x) { return to_float(x); }
  template <class T> static void normalise_row(const T* x, T* y, Index width, double eps) {
    double squares = 0;
    for (Index i = 0; i < width; ++i) squares += real(x[i]) * real(x[i]);
    const double r = 1 / std::sqrt(squares / double(width) + eps);
    for (Index i = 0; i < width; ++i) {
      if constexpr (std::is_same_v<T, double>) y[i] = x[i] * r;
      else y[i] = T(float(real(x[i]) * r));
    }
  }
};
Tensor rms_norm(Tensor x, RmsNorm::Attrs attrs = {}, Site at = Site::current()) { return apply<RmsNorm>(at, attrs, std::move(x)); }

int main() {
  const Tensor x = track(Tensor::from<float>({-1, 0, 2, 3}, {2, 2}), "x");
  const Tensor y = sum(snake(rms_norm(x), {.a = 2}));
  std::printf("%s\ndy/dx = %s\n\n", graph(y).c_str(), to_string(backward(y)[x]).c_str());

  bool good = true;
  for (const testing::CheckReport& report : {testing::check_op<Snake>(), testing::check_op<RmsNorm>()}) {
    std::fputs(report.text().c_str(), stdout);
    good &= report.ok();
  }
  return good ? 0 : 1;
}
