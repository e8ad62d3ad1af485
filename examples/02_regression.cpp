// Fits a curve with a small network.
// Learned here: a model is a plain struct over named parameters; a training step is four lines; the
// learning rate is a function of the step. Exits with 1 if the network did not learn.
#include <sspo/sspo.hpp>

#include <cmath>
#include <cstdio>

using namespace sspo;

// y = W₃ silu(W₂ silu(W₁ x + b₁) + b₂) + b₃
struct Mlp {
  nn::Linear in, hidden, out;
  Mlp(const Scope& p, Index width) : in(p / "in", 1, width), hidden(p / "hidden", width, width), out(p / "out", width, 1) {}
  Tensor operator()(const Tensor& x) const {                           // [B, 1]
    const Tensor h = hidden(in(x, Activation::silu), Activation::silu);  // [B, width]
    return out(h);                                                     // [B, 1]
  }
};

Tensor curve(const Tensor& x) { return sin(3.0 * x) + 0.5 * x; }

int main() {
  const Index steps = 1000, batch = 128;
  const Rng rng{42};
  Params params(Device::cpu(), rng / "init");                          // parameters are made when a layer asks
  const Mlp model(params, 32);
  AdamW adamw(params, {.weight_decay = 1e-4});
  const LearningRate lr = warmup(cosine_lr(1e-2, steps, 0.01), 20);
  for (const Param& p : params) std::printf("%-14s %s\n", p.name().c_str(), p.shape().str().c_str());
  std::printf("%lld parameters on %s\n\n", static_cast<long long>(params.numel()), params.device().name().c_str());

  std::printf("  step      loss   |gradient|\n");
  for (Index step = 0; step < steps; ++step) {
    const Tensor x = uniform(rng / "x" / step, {batch, 1}, -2.2, 2.2);  // fresh data, a pure function of the step
    const Tensor loss = mse(model(x), curve(x));
    const ClippedGradients g = clip_norm(backward(loss), 1.0);
    adamw.step(g, lr(step));
    if (step % 200 == 0 || step == steps - 1)
      std::printf("%6lld  %8.6f   %8.5f\n", static_cast<long long>(step), double(loss.item<float>()), g.norm);
  }

  const Tensor x = reshape(arange(9, -2, 0.5), {9, 1});                // seen by nobody so far
  const Tensor y = model(x), truth = curve(x);
  std::printf("\n     x     model     curve\n");
  for (Index i = 0; i < x.numel(); ++i)
    std::printf("%6.2f  %8.4f  %8.4f\n", double(x.item<float>(i)), double(y.item<float>(i)), double(truth.item<float>(i)));
  const double error = std::sqrt(double(mse(y, truth).item<float>()));
  std::printf("\nroot mean square error %.4f: %s\n", error, error < 0.05 ? "learned" : "NOT learned");
  return error < 0.05 ? 0 : 1;
}
