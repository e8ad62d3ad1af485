// check_op<MyOp>(): the engine's own checks, for its ops and for yours.
//   sspo::testing::CheckReport r = sspo::testing::check_op<MyOp>();
//   if (!r.ok()) std::puts(r.text().c_str());
// From the op's samples: gradients against central differences in f64 (rtol 1e-6, atol 1e-7; every
// entry up to 64, else three random directions), values and gradients against `reference`, f32 and bf16
// against f64 truth, strided views, fresh memory full of NaN, the same tensor as two operands, partly
// tracked inputs, equal bits for 1, 2, 3 and 8 threads, and the messages of bad_samples().
#pragma once
#include <optional>

#include "sspo/grad/backward.hpp"
#include "sspo/ops/elementwise.hpp"

namespace sspo::testing {

struct CheckReport {
  std::string op;
  int samples = 0;
  int checks = 0;                      // single comparisons made
  std::vector<std::string> failures;   // empty: all is well
  bool ok() const { return failures.empty(); }
  std::string text() const;
};

struct CheckOptions {
  int min_samples = 12;
  std::optional<Device> device = {};  // run everything there, and compare with the CPU
};

namespace detail {

using TensorFunction = Function<Tensor(const Tensors&)>;

// One sample of one op, with the op's type gone.
struct Case {
  std::string label;
  Tensors inputs;
  TensorFunction op;
  TensorFunction reference;  // null: none
  TensorFunction plain;      // elementwise: the formula as a scalar loop; null otherwise
  bool differentiable;
  std::vector<bool> no_gradient = {};  // inputs the op refuses a gradient for (O::no_gradient(i))
  bool rounds_inside = false;     // with 16-bit inputs tensor cores, and a CPU's AMX, may round between two products, O::rounds_inside
  Index terms = 0;                // sums of this many products: the bound of promise G4, from O::terms(inputs)
};
void check_case(const Case& c, CheckReport& report, const std::optional<Device>& device);
void check_bad(const Bad& bad, CheckReport& report);

template <class O, std::size_t N> constexpr bool takes() {
  if constexpr (Elementwise<O>) return sspo::detail::arity<O>() == int(N);
  else return []<std::size_t... I>(std::index_sequence<I...>) {
    return requires(const Attrs<O>& a, Site at) { O::forward(a, (void(I), std::declval<const Tensor&>())..., at); } ||
           requires(Site at) { O::forward((void(I), std::declval<const Tensor&>())..., at); } ||
           requires(const Attrs<O>& a) { O::forward(a, (void(I), std::declval<const Tensor&>())...); } ||
           requires { O::forward((void(I), std::declval<const Tensor&>())...); };
  }(std::make_index_sequence<N>{});
}

template <class F>
Tensor spread(const Tensors& in, F&& f) {
  Tensor y;
  const auto with = [&]<std::size_t N>() {
    if (in.size() == N) [&]<std::size_t... I>(std::index_sequence<I...>) { y = f.template operator()<N>(in[I]...); }(std::make_index_sequence<N>{});
  };
  with.template operator()<1>();
  with.template operator()<2>();
  with.template operator()<3>();
  with.template operator()<4>();
  with.template operator()<5>();
  return y;
}

template <class O>
std::vector<Sample<Attrs<O>>> samples_of() {
  if constexpr (requires { O::samples(); }) return O::samples();
  else return elementwise_samples<Attrs<O>>({std::begin(O::samples), std::end(O::samples)});
}

template <class O>
Case make_case(const Sample<Attrs<O>>& s) {
  Case c{s.label, s.inputs, nullptr, nullptr, nullptr, Differentiable<O>, std::vector<bool>(s.inputs.size())};
  if constexpr (requires { O::no_gradient(0); })
    for (std::size_t i = 0; i < s.inputs.size(); ++i) c.no_gradient[i] = O::no_gradient(int(i));
  if constexpr (requires { O::rounds_inside; }) c.rounds_inside = O::rounds_inside;
  if constexpr (requires { O::terms(s.inputs); }) c.terms = O::terms(s.inputs);
  c.op = [a = s.attrs](const Tensors& in) {
    return spread(in, [&]<std::size_t N>(auto... x) -> Tensor {
      if constexpr (takes<O, N>()) return apply<O>(Site{}, a, x...);
      else return {};
    });
  };
  if constexpr (requires { &O::reference; })
    c.reference = [a = s.attrs](const Tensors& in) {
      return spread(in, [&]<std::size_t N>(auto... x) -> Tensor {
        if constexpr (requires { O::reference(a, x...); }) return O::reference(a, x...);
        else if constexpr (requires { O::reference(x...); }) return O::reference(x...);
        else return {};
      });
    };
  if constexpr (Elementwise<O>)
    c.plain = [a = s.attrs](const Tensors& in) {
      sspo::detail::Loops loops{-1, &sspo::detail::scalar_loop<O, float>, &sspo::detail::scalar_loop<O, double>, nullptr};
      Tensors copy = in;
      return sspo::detail::elementwise(O::info, loops, &a, copy, sspo::detail::rule<O>(), false, Site{});
    };
  return c;
}

}  // namespace detail

template <Op O>
CheckReport check_op(CheckOptions options = {}) {
  CheckReport report{std::string(O::info.name), 0, 0, {}};
  for (const auto& sample : detail::samples_of<O>()) {
    ++report.samples;
    detail::check_case(detail::make_case<O>(sample), report, options.device);
  }
  if (report.samples < options.min_samples)
    report.failures.push_back(report.op + ": only " + std::to_string(report.samples) + " samples, at least " + std::to_string(options.min_samples) + " wanted");
  if constexpr (requires { O::bad_samples(); })
    for (const Bad& bad : O::bad_samples()) detail::check_bad(bad, report);
  return report;
}

}  // namespace sspo::testing
