// No gradient is a decision: an op has a vjp, or says why not.
// expect: (constraint|Op)
#include <sspo/ops/op.hpp>

struct Twice {
  static constexpr sspo::OpInfo info{"twice", "2 x"};
  template <class T> static T scalar(T x) { return x + x; }
#if !defined(MISTAKE)
  static constexpr std::string_view no_vjp = "for this example";
#endif
};
sspo::Tensor f(const sspo::Tensor& x) { return sspo::apply<Twice>(x); }
