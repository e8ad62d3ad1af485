#include "sspo/ops/elementwise.hpp"

#include <cmath>
#include <limits>

#include "backend.hpp"

namespace sspo {

Tensor add(Tensor a, Tensor b, Site at) { return apply<Add>(at, {}, std::move(a), std::move(b)); }
Tensor sub(Tensor a, Tensor b, Site at) { return apply<Sub>(at, {}, std::move(a), std::move(b)); }
Tensor mul(Tensor a, Tensor b, Site at) { return apply<Mul>(at, {}, std::move(a), std::move(b)); }
Tensor div(Tensor a, Tensor b, Site at) { return apply<Div>(at, {}, std::move(a), std::move(b)); }
Tensor pow(Tensor a, Tensor b, Site at) { return apply<Pow>(at, {}, std::move(a), std::move(b)); }
Tensor pow(Tensor a, double exponent, Site at) { Tensor n = number_like(a, exponent, at); return pow(std::move(a), std::move(n), at); }
Tensor maximum(Tensor a, Tensor b, Site at) { return apply<Maximum>(at, {}, std::move(a), std::move(b)); }
Tensor minimum(Tensor a, Tensor b, Site at) { return apply<Minimum>(at, {}, std::move(a), std::move(b)); }
Tensor neg(Tensor x, Site at) { return apply<Neg>(at, {}, std::move(x)); }
Tensor abs(Tensor x, Site at) { return apply<Abs>(at, {}, std::move(x)); }
Tensor sign(Tensor x, Site at) { return apply<Sign>(at, {}, std::move(x)); }
Tensor square(Tensor x, Site at) { return apply<Square>(at, {}, std::move(x)); }
Tensor exp(Tensor x, Site at) { return apply<Exp>(at, {}, std::move(x)); }
Tensor log(Tensor x, Site at) { return apply<Log>(at, {}, std::move(x)); }
Tensor sqrt(Tensor x, Site at) { return apply<Sqrt>(at, {}, std::move(x)); }
Tensor rsqrt(Tensor x, Site at) { return apply<Rsqrt>(at, {}, std::move(x)); }
Tensor sin(Tensor x, Site at) { return apply<Sin>(at, {}, std::move(x)); }
Tensor cos(Tensor x, Site at) { return apply<Cos>(at, {}, std::move(x)); }
Tensor tanh(Tensor x, Site at) { return apply<Tanh>(at, {}, std::move(x)); }
Tensor sigmoid(Tensor x, Site at) { return apply<Sigmoid>(at, {}, std::move(x)); }
Tensor relu(Tensor x, Site at) { return apply<Relu>(at, {}, std::move(x)); }
Tensor silu(Tensor x, Site at) { return apply<Silu>(at, {}, std::move(x)); }
Tensor gelu_erf(Tensor x, Site at) { return apply<GeluErf>(at, {}, std::move(x)); }
Tensor gelu_tanh(Tensor x, Site at) { return apply<GeluTanh>(at, {}, std::move(x)); }
Tensor quick_gelu(Tensor x, Site at) { return apply<QuickGelu>(at, {}, std::move(x)); }
Tensor silu_slope(Tensor g, Tensor x, Site at) { return apply<SiluSlope>(at, {}, std::move(g), std::move(x)); }
Tensor gelu_erf_slope(Tensor g, Tensor x, Site at) { return apply<GeluErfSlope>(at, {}, std::move(g), std::move(x)); }
Tensor gelu_tanh_slope(Tensor g, Tensor x, Site at) { return apply<GeluTanhSlope>(at, {}, std::move(g), std::move(x)); }
Tensor quick_gelu_slope(Tensor g, Tensor x, Site at) { return apply<QuickGeluSlope>(at, {}, std::move(g), std::move(x)); }
Tensor softplus(Tensor x, Site at) { return apply<Softplus>(at, {}, std::move(x)); }
Tensor where(Tensor c, Tensor yes, Tensor no, Site at) { return apply<Where>(at, {}, std::move(c), std::move(yes), std::move(no)); }
Tensor less(Tensor a, Tensor b, Site at) { return apply<Less>(at, {}, std::move(a), std::move(b)); }
Tensor less_equal(Tensor a, Tensor b, Site at) { return apply<LessEqual>(at, {}, std::move(a), std::move(b)); }
Tensor greater(Tensor a, Tensor b, Site at) { return apply<Greater>(at, {}, std::move(a), std::move(b)); }
Tensor greater_equal(Tensor a, Tensor b, Site at) { return apply<GreaterEqual>(at, {}, std::move(a), std::move(b)); }
Tensor equal(Tensor a, Tensor b, Site at) { return apply<Equal>(at, {}, std::move(a), std::move(b)); }
Tensor not_equal(Tensor a, Tensor b, Site at) { return apply<NotEqual>(at, {}, std::move(a), std::move(b)); }

Tensor clamp(Tensor x, double low, double high, Site at) {
  if (!(low <= high))
    fail({.op = "clamp", .what = "empty range", .expected = "low <= high", .got = std::to_string(low) + " to " + std::to_string(high)}, at);
  return apply<Clamp>(at, {low, high}, std::move(x));
}

std::vector<Sample<Clamp::Attrs>> Clamp::samples() { return elementwise_samples<Attrs>({{.away_from = 1.5}}, {-5, 1.5}); }

Tensor cast(Tensor x, DType to, Site at) { return x.defined() && x.dtype() == to ? x : apply<Cast>(at, {to}, std::move(x)); }

Tensor Cast::forward(const Attrs& a, const Tensor& x) {
  Tensor y = Tensor::empty(x.shape(), a.to, x.device());
  backend(x.device()).copy(view(x), view(y));
  return y;
}

Tensor number_like(const Tensor& x, double value, Site at) {
  if (!x.defined()) fail({.op = "number", .what = "no tensor whose dtype a number could take", .expected = "a tensor", .got = "Tensor{}"}, at);
  return visit(x.dtype(), [&]<class T>(std::type_identity<T>) {
    if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) return Tensor::from<T>({T(float(value))}, {}, x.device());
    else if constexpr (std::is_same_v<T, bool>) return Tensor::from<T>({value != 0}, {}, x.device());
    else {
      // x > 0.5 on whole numbers must not quietly become x > 0.
      if constexpr (std::is_integral_v<T>) {
        constexpr double low = double(std::numeric_limits<T>::min()), high = 2.0 * double(T(1) << (std::numeric_limits<T>::digits - 1));
        if (!(value >= low && value < high && value == std::trunc(value)))
          fail({.op = "number", .what = "the tensor's dtype cannot hold the number", .expected = "a whole number within " + std::string(name_of(x.dtype())) + ", the dtype of " + x.str(),
                .got = std::to_string(value), .hint = "cast(x, DType::f32) converts"}, at);
      }
      return Tensor::from<T>({T(value)}, {}, x.device());
    }
  });
}

namespace detail {

Tensor elementwise(const OpInfo& op, const Loops& loops, const void* attrs, std::span<Tensor> in, ResultRule rule,
                   bool may_reuse, Site at) {
  const std::string name(op.name);
  for (const Tensor& x : in)
    if (!x.defined()) fail({.op = name, .what = "an operand is undefined", .expected = "a tensor", .got = "Tensor{}"}, at);
  const std::size_t value = rule == ResultRule::condition ? 1 : 0;  // the first operand whose dtype counts
  const DType dtype = in[value].dtype();
  Shape shape = in[0].shape();
  for (std::size_t i = 1; i < in.size(); ++i) shape = broadcast(shape, in[i].shape(), name.c_str(), at);
  for (std::size_t i = value; i < in.size(); ++i)
    if (in[i].dtype() != dtype)
      fail({.op = name, .what = "operands have different dtypes", .expected = std::string(name_of(dtype)) + ", the dtype of operand " + std::to_string(value) + ": " + in[value].str(),
            .got = in[i].str() + " as operand " + std::to_string(i), .hint = "cast(x, DType::" + std::string(name_of(dtype)) + ") converts"}, at);
  if (rule == ResultRule::condition && in[0].dtype() != DType::boolean)
    fail({.op = name, .what = "the condition is not bool", .expected = "a bool tensor, such as x > 0.0", .got = in[0].str()}, at);
  const Device& device = in[0].device();
  const DType compute = compute_type(dtype);
  if (!backend(device).supports(loops, compute))
    fail({.op = name, .what = "not defined for integers", .expected = "f32, f64, bf16 or f16", .got = in[value].str(),
          .hint = "cast(x, DType::f32) converts"}, at);

  const DType out_dtype = rule == ResultRule::predicate ? DType::boolean : dtype;
  std::vector<View> views;
  for (Tensor& x : in) {
    View v = view(x);
    v.strides = expand(x.layout(), shape, name.c_str(), at).strides;
    v.shape = shape;
    views.push_back(v);
  }
  Tensor y;
  for (Tensor& x : in)  // the buffer of an operand that ends here
    if (may_reuse && x.storage().unique() && x.storage()->label.empty() && x.contiguous() && x.dtype() == out_dtype && x.shape() == shape) {
      y = x.with_node(nullptr);
      break;
    }
  if (!y.defined()) y = Tensor::empty(shape, out_dtype, device);
  backend(device).elementwise({loops, attrs, views, view(y), compute});
  return y;
}

}  // namespace detail
}  // namespace sspo
