// Diffusion from scratch, whole: pictures drawn from noise (Ho et al. 2020), one class at a time, with guidance (Ho & Salimans
// 2022). Learned here: add_noise and what the network is asked for; a denoiser of a few convolutions that knows the time and
// the class; the loop back from noise. Prints what it draws, and exits with 1 if the drawings are not what was asked for.
//
// The pictures are 8x8: a square outline, a cross, a disc; anywhere, in any brightness.
#include <sspo/sspo.hpp>
#include <sspo/diffusion/sampling.hpp>

#include <algorithm>
#include <cstdio>

using namespace sspo;

constexpr Index side = 8, kinds = 3, none = kinds, batch = 32, steps = 600;
const char* const names[] = {"square", "cross", "disc"};

// Which of the 5x5 pixels around the middle a shape has.
bool has(Index kind, Index dy, Index dx) {
  const Index y = dy < 0 ? -dy : dy, x = dx < 0 ? -dx : dx;
  return kind == 0 ? std::max(x, y) == 2 : kind == 1 ? x == 0 || y == 0 : x + y <= 2 && x * x + y * y <= 4;
}
Tensor picture(Index kind, Index cy, Index cx, float light) {  // [1, 8, 8, 1], dark ground at -1
  std::vector<float> pixels(std::size_t(side * side), -1);
  for (Index dy = -2; dy <= 2; ++dy)
    for (Index dx = -2; dx <= 2; ++dx)
      if (has(kind, dy, dx)) pixels[std::size_t((cy + dy) * side + cx + dx)] = light;
  return Tensor::from<float>(pixels, {1, side, side, 1});
}
struct Batch { Tensor x, kind; };  // [B, 8, 8, 1], [B] i64
Batch pictures(const Rng& rng) {
  const Tensor kind = randint(rng / "kind", {batch}, 0, kinds);
  const std::vector<std::int64_t> k = kind.to_vector<std::int64_t>(), y = randint(rng / "y", {batch}, 2, side - 2).to_vector<std::int64_t>(),
                                  x = randint(rng / "x", {batch}, 2, side - 2).to_vector<std::int64_t>();
  const std::vector<float> light = uniform(rng / "light", {batch}, 0.4, 1).to_vector<float>();
  Tensors all;
  for (std::size_t i = 0; i < k.size(); ++i) all.push_back(picture(k[i], y[i], x[i], light[i]));
  return {cat(all, 0), kind};
}

// ε of x_t [B, 8, 8, 1] at time t [B] for a class, the text of this model: [B, 1] its number as f32 (`none`: any).
struct Painter {
  nn::Embedding kind;
  nn::Linear time, condition;
  nn::Conv2d in, near, far_1, far_2, out;
  nn::GroupNorm norm_near, norm_far_1, norm_far_2, norm_out;
  static constexpr Index width = 32;
  explicit Painter(const Scope& p)
      : kind(p / "kind", kinds + 1, width), time(p / "time", 32, width), condition(p / "condition", width, width), in(p / "in", 1, width, same),
        near(p / "near", width, width, same), far_1(p / "far_1", width, width, same), far_2(p / "far_2", width, width, same), out(p / "out", width, 1, same),
        norm_near(p / "norm_near", width, groups), norm_far_1(p / "norm_far_1", width, groups), norm_far_2(p / "norm_far_2", width, groups),
        norm_out(p / "norm_out", width, groups) {}
  Tensor operator()(const Tensor& x, const Tensor& t, const Tensor& text) const {
    const Tensor about = condition(silu(time(timestep_embedding(t, 32)) + kind(cast(reshape(text, {-1}), DType::i64))));  // [B, width]
    const Tensor h = in(x) + reshape(about, {-1, 1, 1, width});                                     // [B, 8, 8, width]
    Tensor f = avg_pool(h, 2);                                                                      // [B, 4, 4, width]: a wider view
    f = f + far_2(norm_far_2(far_1(norm_far_1(f))));
    return out(norm_out(h + near(norm_near(h)) + resize(f, side, side, Resize::nearest)));
  }
  static constexpr nn::Conv2d::Options same{.kernel = 3, .padding = {1, 1, 1, 1}};
  static constexpr GroupNormAttrs groups{.groups = 4, .silu = true};
};

// The shape a drawing is closest to, over all places: x̂ = light on the shape, -1 elsewhere.
Index closest(const Tensor& x) {
  Index best = 0;
  double least = 1e9;
  for (Index kind = 0; kind < kinds; ++kind)
    for (Index cy = 2; cy < side - 2; ++cy)
      for (Index cx = 2; cx < side - 2; ++cx) {
        const double away = mean(square(x - picture(kind, cy, cx, 0.7f))).item<float>();
        if (away < least) least = away, best = kind;
      }
  return best;
}

void print(const Tensor& x, Index columns) {  // x [columns, 8, 8, 1], side by side
  for (Index y = 0; y < side; ++y) {
    for (Index i = 0; i < columns; ++i, std::printf("  "))
      for (Index c = 0; c < side; ++c) {
        const float v = x.item<float>((i * side + y) * side + c);
        std::printf("%s", v > 0.4f ? "##" : v > -0.2f ? "++" : v > -0.7f ? ".." : "  ");
      }
    std::printf("\n");
  }
}

int main() {
  const Rng rng{7};
  Params params(Device::cpu(), rng / "init");
  const Painter model(params);
  AdamW adamw(params);
  Ema ema(params, 0.98);
  const LearningRate lr = warmup(cosine_lr(4e-3, steps, 0.05), 20);

  SchedulerConfig config = default_config(SchedulerKind::ddim);
  config.clip_sample = false;
  const NoiseSchedule schedule(config);
  for (Index step = 0; step < steps; ++step) {
    const Rng r = rng / "step" / step;
    const Batch b = pictures(r);
    const Tensor t = randint(r / "time", {batch}, 0, schedule.size()), eps = normal(r / "noise", b.x.shape());
    const Tensor x_t = schedule.add_noise(b.x, eps, t.to_vector<std::int64_t>());                   // √ᾱ x_0 + √(1 - ᾱ) ε
    const Tensor kind = where(uniform(r / "drop", {batch}) < 0.1, full({batch}, none), cast(b.kind, DType::f32));  // a tenth without a class
    const Tensor loss = mse(model(x_t, cast(t, DType::f32), kind), eps);
    adamw.step(clip_norm(backward(loss), 1.0), lr(step));
    ema.update(params);
    if (step % 100 == 0 || step + 1 == steps) std::printf("step %3lld  loss %.3f\n", static_cast<long long>(step), double(loss.item<float>()));
  }

  const Painter smooth(ema.params());
  const Index each = 8;
  Index right = 0;
  for (Index kind = 0; kind < kinds; ++kind) {
    const Tensor asked = full({each, 1}, double(kind)), nothing = full({each, 1}, none);
    const Tensor x = sample_latents(smooth, make_scheduler(config, 20), normal(rng / "draw" / kind, {each, side, side, 1}), asked, nothing, {.guidance = 2});
    for (Index i = 0; i < each; ++i) right += closest(slice(x, 0, i, i + 1)) == kind;
    std::printf("\n%s\n", names[kind]);
    print(x, 6);
  }
  std::printf("\n%lld of %lld drawings are what was asked for\n", static_cast<long long>(right), static_cast<long long>(kinds * each));
  return right >= kinds * each * 3 / 4 ? 0 : 1;
}
