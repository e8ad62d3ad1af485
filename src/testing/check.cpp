#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "sspo/ops/movement.hpp"
#include "sspo/ops/reduce.hpp"
#include "sspo/testing.hpp"

namespace sspo::testing {

std::string CheckReport::text() const {
  std::string t = op + ": " + std::to_string(samples) + " samples, " + std::to_string(checks) + " checks, " + std::to_string(failures.size()) + " failures\n";
  for (const std::string& f : failures) t += "  " + f + "\n";
  return t;
}

namespace detail {
namespace {

struct Checker {
  const Case& c;
  CheckReport& report;

  void fail(const std::string& check, const std::string& detail) {
    if (report.failures.size() < 40) report.failures.push_back(report.op + " " + c.label + ": " + check + ": " + detail);
  }
  void expect(bool good, const std::string& check, const std::string& detail) {
    ++report.checks;
    if (!good) fail(check, detail);
  }
};

bool real(const Tensor& x) { return x.defined() && is_floating(x.dtype()); }
Tensor to(const Tensor& x, DType t) { return real(x) ? cast(detach(x), t) : x; }
std::vector<double> values(const Tensor& x) { return cast(contiguous(detach(x)), DType::f64).to_vector<double>(); }

std::string number(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", x);
  return text;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.defined() != b.defined()) return false;
  if (!a.defined()) return true;
  if (!(a.shape() == b.shape()) || a.dtype() != b.dtype()) return false;
  const Tensor x = contiguous(to_device(detach(a), Device::cpu())), y = contiguous(to_device(detach(b), Device::cpu()));
  return x.numel() == 0 || std::memcmp(x.raw(), y.raw(), std::size_t(x.numel()) * size_of(x.dtype())) == 0;
}

// The same numbers on another device.
Tensor moved(const Tensor& x, const Device& device) { return x.defined() ? to_device(detach(x), device) : x; }
Tensors moved(Tensors all, const Device& device) {
  for (Tensor& x : all) x = moved(x, device);
  return all;
}

// f(inputs), then gradients of <seed, f> for every input that `wanted` names.
struct Run {
  Tensor y;
  Tensors grads;  // per input; undefined where nothing flowed
};
Run run(const TensorFunction& f, const Tensors& inputs, const Tensor& seed, const std::vector<bool>& wanted) {
  Tensors in = inputs;
  for (std::size_t i = 0; i < in.size(); ++i)
    if (wanted[i]) in[i] = track(in[i], "input " + std::to_string(i));
  Run r{f(in), Tensors(in.size())};
  if (!r.y.tracked()) return r;
  const Gradients g = backward(r.y, {.seed = seed});
  for (std::size_t i = 0; i < in.size(); ++i)
    if (const Tensor* found = g.find(in[i])) r.grads[i] = *found;
  r.y = detach(r.y);
  return r;
}

double dot(const Tensor& a, const Tensor& b) {
  const auto x = values(a), y = values(b);
  double s = 0;
  for (std::size_t i = 0; i < x.size(); ++i) s += x[i] * y[i];
  return s;
}

// d<seed, f>/dx_i along v, by a fourth-order central difference: error O(h^4).
double slope(const Case& c, std::size_t i, const Tensor& v, const Tensor& seed) {
  const double h = 1e-4;
  const auto at = [&](double t) {
    Tensors in = c.inputs;
    in[i] = in[i] + t * v;
    return dot(c.op(in), seed);
  };
  return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
}

void check_gradient(Checker& k, const Tensor& seed, const Run& all, const std::vector<bool>& wanted) {
  const Case& c = k.c;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    if (!wanted[i]) continue;
    const Tensor& x = c.inputs[i];
    const Tensor g = all.grads[i].defined() ? all.grads[i] : zeros_like(x);
    k.expect(g.shape() == x.shape() && g.dtype() == x.dtype(), "gradient " + std::to_string(i), "is " + g.str() + " for an input " + x.str());
    if (!(g.shape() == x.shape()) || x.numel() == 0) continue;
    const bool every = x.numel() <= 64;
    for (Index probe = 0; probe < (every ? x.numel() : 3); ++probe) {
      std::vector<double> axis(every ? std::size_t(x.numel()) : 0);
      if (every) axis[std::size_t(probe)] = 1;
      const Tensor v = every ? Tensor::from(axis, x.shape(), x.device()) : to_device(sample_values(x.shape(), {-1, 1}, 100 + int(probe)), x.device());
      const double expected = slope(c, i, v, seed), got = dot(g, v);
      k.expect(std::abs(got - expected) <= 1e-7 + 1e-6 * std::abs(expected), "gradient of input " + std::to_string(i),
               (every ? "entry " : "direction ") + std::to_string(probe) + ": expected " + number(expected) + ", got " + number(got));
    }
  }
}

void check_tracking(Checker& k, const Tensor& seed, const Run& all, const std::vector<bool>& wanted) {
  const Case& c = k.c;
  const int n = int(std::count(wanted.begin(), wanted.end(), true));
  for (std::size_t i = 0; i < c.inputs.size() && n > 1; ++i) {  // partly tracked: the same gradient, nothing else
    if (!wanted[i]) continue;
    std::vector<bool> one(c.inputs.size());
    one[i] = true;
    const Run r = run(c.op, c.inputs, seed, one);
    k.expect(same_bits(r.grads[i], all.grads[i]), "partly tracked", "the gradient of input " + std::to_string(i) + " changes");
  }
  const std::size_t first = std::size_t(std::find(wanted.begin(), wanted.end(), true) - wanted.begin());
  const TensorFunction twice = [&](const Tensors& in) { return c.op(in) + c.op(in); };  // fan-out: exactly the double
  const Run r = run(twice, c.inputs, seed, wanted);
  if (all.grads[first].defined())
    k.expect(r.grads[first].defined() && same_bits(r.grads[first], all.grads[first] + all.grads[first]), "fan-out", "the gradient does not double");
  for (std::size_t i = first + 1; i < c.inputs.size(); ++i) {  // the same tensor as two operands
    if (!wanted[i] || !(c.inputs[i].shape() == c.inputs[first].shape())) continue;
    Tensors in = c.inputs;
    in[i] = in[first];
    const Run apart = run(c.op, in, seed, wanted);
    const TensorFunction together = [&](const Tensors& x) {
      Tensors same = x;
      same[i] = same[first];
      return c.op(same);
    };
    std::vector<bool> one(in.size());
    one[first] = true;
    const Run joined = run(together, in, seed, one);
    if (!apart.grads[first].defined() || !apart.grads[i].defined() || !joined.grads[first].defined()) continue;
    const auto sum = values(apart.grads[first] + apart.grads[i]), got = values(joined.grads[first]);
    bool close = true;
    for (std::size_t e = 0; e < sum.size(); ++e) close &= std::abs(sum[e] - got[e]) <= 1e-12 * (1 + std::abs(sum[e]));
    k.expect(close, "the same tensor twice", "its gradient is not the sum over both operands");
  }
}

double worst(const std::vector<double>& a, const std::vector<double>& b) {
  double w = 0;
  for (std::size_t i = 0; i < a.size(); ++i) w = std::max(w, std::abs(a[i] - b[i]));
  return w;
}
double largest(const std::vector<double>& a) {
  double w = 0;
  for (double x : a) w = std::max(w, std::abs(x));
  return w;
}

void check_reference(Checker& k, const Tensor& seed, const Run& all, const std::vector<bool>& wanted) {
  const Run r = run(k.c.reference, k.c.inputs, seed, wanted);
  const auto compare = [&](const Tensor& got, const Tensor& expected, const std::string& what) {
    if (!got.defined() || !expected.defined()) return k.expect(got.defined() == expected.defined(), "reference", what + " is missing on one side");
    k.expect(got.shape() == expected.shape(), "reference", what + " is " + got.str() + ", the composition's " + expected.str());
    if (!(got.shape() == expected.shape())) return;
    const auto a = values(got), b = values(expected);
    k.expect(worst(a, b) <= 1e-11 * (1 + largest(b)), "reference", what + " differs from the composition by " + number(worst(a, b)));
  };
  compare(all.y, r.y, "the value");
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (wanted[i]) compare(all.grads[i], r.grads[i], "the gradient of input " + std::to_string(i));
}

// f32 and bf16 against f64 on the same rounded inputs; the yardstick is plain f32 arithmetic.
void check_parity(Checker& k, DType dtype) {
  const Case& c = k.c;
  Tensors low, exact, single;
  for (const Tensor& x : c.inputs) {
    low.push_back(to(x, dtype));
    exact.push_back(to(low.back(), DType::f64));
    single.push_back(to(low.back(), DType::f32));
  }
  const Tensor y = c.op(low);
  if (!real(y)) {
    k.expect(same_bits(y, c.op(exact)), "parity", "the result is not the f64 one");
    return;
  }
  const auto truth = values(c.op(exact)), got = values(y);
  const double scale = largest(truth);
  const auto plain = c.plain ? values(c.plain(moved(single, Device::cpu()))) : c.reference ? values(c.reference(single)) : std::vector<double>{};
  const double unit = dtype == DType::f32 ? 0x1p-24 : 0x1p-8;
  const double tolerance = plain.empty() ? 64 * 0x1p-24 * (1 + scale) : 2 * worst(plain, truth) + 2 * 0x1p-24 * scale;
  std::vector<double> products;  // Σ |a b| per result: a sum of K of them may err by 4 u log2 K of it
  if (c.terms > 0) {
    Tensors magnitudes;
    for (const Tensor& x : exact) magnitudes.push_back(real(x) ? abs(x) : x);
    products = values(c.op(magnitudes));
  }
  const auto bound = [&](std::size_t i) {
    return products.empty() ? tolerance : std::max(tolerance, 4 * 0x1p-24 * std::log2(double(c.terms) + 1) * products[i]);
  };
  double inside = 0;  // half a unit of weights that sum to 1, each times an input
  const bool matrix_unit = y.device().kind() != DeviceKind::cpu || y.device().name().find("amx_bf16") != std::string::npos;
  if (c.rounds_inside && dtype == DType::bf16 && matrix_unit)
    for (const Tensor& x : exact)
      if (real(x)) inside = std::max(inside, 0x1p-9 * largest(values(x)));
  double worst_excess = 0;
  for (std::size_t i = 0; i < truth.size(); ++i)
    worst_excess = std::max(worst_excess, std::abs(got[i] - truth[i]) - (bound(i) + inside + (dtype == DType::f32 ? 0 : 1.01 * unit * std::abs(truth[i]))));
  k.expect(worst_excess <= 1e-30, "parity in " + std::string(name_of(dtype)), "error above its bound of " + number(tolerance) + " by " + number(worst_excess));
}

// The same values behind other layouts: every second element of a wider tensor; axes stored in reverse.
Tensor every_second(const Tensor& x) {
  if (!x.defined() || x.rank() == 0) return x;
  const Tensor wide = stack({x, x}, x.rank());
  std::vector<Index> shape(x.shape().begin(), x.shape().end());
  shape.back() *= 2;
  return slice(reshape(contiguous(wide), shape), -1, 0, shape.back(), 2);
}
Tensor reversed_axes(const Tensor& x) {
  if (!x.defined() || x.rank() < 2) return x;
  std::vector<int> axes;
  for (int a = x.rank() - 1; a >= 0; --a) axes.push_back(a);
  return permute(contiguous(permute(x, axes)), axes);
}

void check_views(Checker& k, const Tensor& seed, const Run& all, const std::vector<bool>& wanted) {
  for (Tensor (*layout)(const Tensor&) : {&every_second, &reversed_axes}) {
    Tensors in;
    for (const Tensor& x : k.c.inputs) in.push_back(layout(x));
    const Run r = run(k.c.op, in, seed, wanted);
    const auto a = values(r.y), b = values(all.y);
    k.expect(r.y.shape() == all.y.shape() && worst(a, b) <= 1e-12 * (1 + largest(b)), "views", "the value depends on the inputs' layout");
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (!all.grads[i].defined()) continue;
      const auto x = values(r.grads[i]), y = values(all.grads[i]);
      k.expect(x.size() == y.size() && worst(x, y) <= 1e-12 * (1 + largest(y)), "views", "the gradient of input " + std::to_string(i) + " depends on the inputs' layout");
    }
  }
}

// What the CPU says, in f64. Other devices take other ways through the same sums.
void check_against_cpu(Checker& k, const Tensor& seed, const Run& all, const std::vector<bool>& wanted) {
  const Run r = run(k.c.op, moved(k.c.inputs, Device::cpu()), moved(seed, Device::cpu()), wanted);
  const auto compare = [&](const Tensor& got, const Tensor& expected, const std::string& what) {
    if (!got.defined() || !expected.defined()) return k.expect(got.defined() == expected.defined(), "against the CPU", what + " is missing on one side");
    const auto a = values(got), b = values(expected);
    k.expect(a.size() == b.size() && worst(a, b) <= 1e-12 * (1 + largest(b)), "against the CPU", what + " differs by " + number(worst(a, b)));
  };
  compare(all.y, r.y, "the value");
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (wanted[i]) compare(all.grads[i], r.grads[i], "the gradient of input " + std::to_string(i));
}

// Two runs, any number of threads, memory that starts as NaN: equal bits, forward and backward.
void check_repeatable(Checker& k, DType dtype, const std::vector<bool>& wanted, const std::optional<Device>& other) {
  static const std::vector<Device> cpus = {Device::cpu({.threads = 1, .fill_with_nan = true}), Device::cpu({.threads = 2, .fill_with_nan = true}),
                                   Device::cpu({.threads = 3, .fill_with_nan = true}), Device::cpu({.threads = 8, .fill_with_nan = true}),
                                           Device::cpu({.threads = 8, .fill_with_nan = true})};
  const std::vector<Device> devices = other ? std::vector<Device>{*other, *other} : cpus;
  Run first;
  for (std::size_t d = 0; d < devices.size(); ++d) {
    Tensors in;
    for (const Tensor& x : k.c.inputs) in.push_back(moved(to(x, dtype), devices[d]));
    const Tensor y = k.c.op(in);
    const Tensor seed = real(y) ? to(moved(sample_values(y.shape(), {-1, 1}, 7), devices[d]), y.dtype()) : Tensor{};
    const Run r = k.c.differentiable && real(y) ? run(k.c.op, in, seed, wanted) : Run{y, Tensors(in.size())};
    if (d == 0) { first = r; continue; }
    const std::string which = std::string(name_of(dtype)) + " on " + devices[d].name();
    k.expect(same_bits(r.y, first.y), "repeatable", "the value has other bits in " + which);
    for (std::size_t i = 0; i < in.size(); ++i)
      k.expect(same_bits(r.grads[i], first.grads[i]), "repeatable", "the gradient of input " + std::to_string(i) + " has other bits in " + which);
  }
}

}  // namespace

void check_case(const Case& of, CheckReport& report, const std::optional<Device>& device) {
  Case c = of;
  if (device) c.inputs = moved(c.inputs, *device);
  Checker k{c, report};
  try {
    const Tensor y = c.op(c.inputs);
    k.expect(y.defined(), "forward", "no result");
    if (!y.defined()) return;
    std::vector<bool> wanted;
    for (std::size_t i = 0; i < c.inputs.size(); ++i) wanted.push_back(c.differentiable && real(c.inputs[i]) && !(i < c.no_gradient.size() && c.no_gradient[i]));
    if (real(y)) {
      const Tensor seed = moved(sample_values(y.shape(), {-1, 1}, 7), y.device());
      const Run all = run(c.op, c.inputs, seed, wanted);
      if (c.differentiable) {
        check_gradient(k, seed, all, wanted);
        check_tracking(k, seed, all, wanted);
      }
      if (c.reference) check_reference(k, seed, all, wanted);
      check_views(k, seed, all, wanted);
      if (device) check_against_cpu(k, seed, all, wanted);
    }
    check_parity(k, DType::f32);
    check_parity(k, DType::bf16);
    check_repeatable(k, DType::f64, wanted, device);
    check_repeatable(k, DType::f32, wanted, device);
  } catch (const Error& e) {
    k.fail("error", e.what());
  }
}

void check_bad(const Bad& bad, CheckReport& report) {
  ++report.checks;
  const auto wrong = [&](const std::string& what) { report.failures.push_back(report.op + " bad '" + bad.label + "': " + what); };
  try {
    bad.call();
    wrong("no error");
  } catch (const Error& e) {
    const std::string text = e.what();
    for (const std::string& part : bad.says)
      if (text.find(part) == std::string::npos) wrong("the message lacks '" + part + "':\n" + text);
  } catch (const std::exception& e) {
    wrong(std::string("not an sspo::Error: ") + e.what());
  }
}

}  // namespace detail
}  // namespace sspo::testing
