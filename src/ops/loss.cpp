#include "sspo/ops/loss.hpp"

#include <algorithm>
#include <cmath>

#include "backend.hpp"
#include "ops/check.hpp"

namespace sspo {
namespace {

std::vector<int> axes_after_first(int rank) {
  std::vector<int> axes;
  for (int a = 1; a < rank; ++a) axes.push_back(a);
  return axes;
}

// Losses and scale factors of 16-bit floats are computed in f32.
Tensor in_compute_type(const Tensor& x) { return cast(detach(x), compute_type(x.dtype())); }

}  // namespace

// --- mean squared error ----------------------------------------------------------------------------

Tensor mse_per_sample(Tensor p, Tensor t, Site at) { return apply<MsePerSample>(at, {}, std::move(p), std::move(t)); }
Tensor mse(Tensor p, Tensor t, Site at) { return mean(mse_per_sample(std::move(p), std::move(t), at)); }

Tensor MsePerSample::forward(const Tensor& p, const Tensor& t, Site at) {
  check_same_floating("mse", {&p, &t}, at);
  if (!(p.shape() == t.shape()) || p.rank() < 1)
    fail({.op = "mse", .what = "prediction and target differ in shape", .expected = "two tensors [B, ...] of one shape", .got = p.str() + " and " + t.str(),
          .hint = "a silent broadcast here would be a wrong loss"}, at);
  const Tensor squares = square(in_compute_type(p) - in_compute_type(t));
  return cast(p.rank() == 1 ? squares : mean(squares, axes_after_first(p.rank())), p.dtype());
}

Grads<2> MsePerSample::vjp(Needs need, const Tensor& g, const Tensor& p, const Tensor& t) {
  const double n = double(p.dim(0) ? p.numel() / p.dim(0) : 1);
  std::vector<Index> column(std::size_t(p.rank()), 1);
  column[0] = p.dim(0);
  const Tensor d = reshape(g * (2 / n), column) * (p - t);  // 2 g (p - t) / n
  return {need[0] ? d : Tensor{}, need[1] ? -d : Tensor{}};
}

std::vector<Sample<NoAttrs>> MsePerSample::samples() {
  std::vector<Sample<NoAttrs>> s;
  int seed = 1;
  for (const Shape& shape : {Shape{1}, Shape{5}, Shape{1, 1}, Shape{3, 4}, Shape{0, 4}, Shape{2, 3, 5}, Shape{4, 2, 2, 3}, Shape{1, 33}, Shape{33, 1}, Shape{2, 1, 7}, Shape{7, 11}, Shape{2, 2, 2, 2, 2}})
    s.push_back({shape.str(), {sample_values(shape, {}, seed), sample_values(shape, {}, seed + 1)}}), seed += 2;
  return s;
}
std::vector<Bad> MsePerSample::bad_samples() {
  return {{"shapes", [] { mse(zeros({2, 3}), zeros({3})); }, {"mse", "differ in shape", "[2, 3]", "[3]", "broadcast"}},
          {"dtypes", [] { mse(zeros({2}), zeros({2}, DType::f64)); }, {"different dtypes"}}};
}

// --- cross entropy ---------------------------------------------------------------------------------

Tensor cross_entropy(Tensor logits, Tensor targets, Site at) { return apply<CrossEntropy>(at, {}, std::move(logits), std::move(targets)); }

Tensor CrossEntropy::forward(const Tensor& logits, const Tensor& targets, Site at) {
  check_same_floating("cross_entropy", {&logits}, at);
  const Shape rows(std::span(logits.shape().begin(), std::size_t(std::max(logits.rank() - 1, 0))));
  if (logits.rank() < 1 || !(targets.shape() == rows) || is_floating(targets.dtype()))
    fail({.op = "cross_entropy", .what = "targets do not fit the logits", .expected = "i64 class numbers of shape " + rows.str() + ", for logits " + logits.str(),
          .got = targets.str()}, at);
  const Tensor picked = gather(log_softmax(detach(logits)), reshape(cast(targets, DType::i64), logits.shape().with(-1, 1)), -1, at);
  return -mean(picked);
}

Grads<2> CrossEntropy::vjp(const Tensor& g, const Tensor& logits, const Tensor& targets) {
  const Tensor index = reshape(cast(targets, DType::i64), logits.shape().with(-1, 1));
  const Tensor hot = scatter_add(ones(index.shape(), logits.dtype(), logits.device()), index, -1, logits.dim(-1));
  return {(softmax(logits) - hot) * (g / double(std::max<Index>(targets.numel(), 1))), Tensor{}};  // (softmax - one hot) / rows
}

std::vector<Sample<NoAttrs>> CrossEntropy::samples() {
  std::vector<Sample<NoAttrs>> s;
  int seed = 1;
  for (const Shape& shape : {Shape{1, 1}, Shape{1, 2}, Shape{3, 4}, Shape{5}, Shape{2, 3, 4}, Shape{17, 10}, Shape{1, 33}, Shape{33, 2}, Shape{2, 2, 2, 3}, Shape{4, 7}, Shape{8, 1}, Shape{6, 65}}) {
    const Shape rows(std::span(shape.begin(), std::size_t(shape.rank() - 1)));
    s.push_back({shape.str(), {sample_values(shape, {-4, 4}, seed), randint(Rng(1) / seed, rows, 0, shape[-1])}});
    ++seed;
  }
  return s;
}
std::vector<Bad> CrossEntropy::bad_samples() {
  return {{"shape", [] { cross_entropy(zeros({2, 3}), zeros({3}, DType::i64)); }, {"cross_entropy", "do not fit", "[2]", "[3]"}},
          {"floating targets", [] { cross_entropy(zeros({2, 3}), zeros({2})); }, {"do not fit", "i64"}},
          {"range", [] { cross_entropy(zeros({2, 3}), full({2}, 3, DType::i64)); }, {"3"}}};
}

// --- dropout ---------------------------------------------------------------------------------------

Tensor dropout(Tensor x, double p, const Rng& rng, Site at) { return p == 0 ? x : apply<Dropout>(at, {p, rng.key()}, std::move(x)); }

Tensor Dropout::forward(const Attrs& a, const Tensor& x, Site at) {
  check_same_floating("dropout", {&x}, at);
  if (!(a.p >= 0 && a.p < 1)) fail({.op = "dropout", .what = "not a probability below 1", .expected = "0 <= p < 1", .got = std::to_string(a.p)}, at);
  const Tensor kept = uniform(Rng(a.key), x.shape(), 0, 1, x.device()) >= a.p;
  const Tensor wide = in_compute_type(x);
  return cast(wide * where(kept, number_like(wide, 1 / (1 - a.p)), number_like(wide, 0)), x.dtype());  // NaN and Inf stay NaN, dropped or not
}

std::vector<Sample<Dropout::Attrs>> Dropout::samples() {
  std::vector<Sample<Attrs>> s;
  int seed = 1;
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{0}, Shape{5}, Shape{33}, Shape{3, 4}, Shape{2, 3, 5}})
    for (double p : {0.1, 0.5}) s.push_back({shape.str() + " p " + std::to_string(p), {sample_values(shape, {}, seed++)}, {p, 7}});
  return s;
}
std::vector<Bad> Dropout::bad_samples() {
  return {{"p", [] { dropout(zeros({2}), 1.0, Rng(1)); }, {"dropout", "probability", "1.0"}},
          {"negative", [] { dropout(zeros({2}), -0.5, Rng(1)); }, {"probability"}}};
}

// --- timestep embedding ----------------------------------------------------------------------------

Tensor timestep_embedding(Tensor t, Index dim, TimestepOptions options, Site at) {
  return apply<TimestepEmbedding>(at, {dim, options}, std::move(t));
}

Tensor TimestepEmbedding::forward(const Attrs& a, const Tensor& t, Site at) {
  if (t.rank() != 1) fail({.op = "timestep_embedding", .what = "times are not a vector", .expected = "t [B]", .got = t.str()}, at);
  if (a.dim < 1) fail({.op = "timestep_embedding", .what = "no room", .expected = "dim of 1 or more", .got = std::to_string(a.dim)}, at);
  const DType dtype = t.dtype() == DType::f64 ? DType::f64 : DType::f32;
  const Index half = a.dim / 2;
  if (half == 0) return zeros({t.dim(0), a.dim}, dtype, t.device());
  const Tensor i = arange(half, 0, 1, dtype, t.device());
  // In the order of diffusers: one rounding more or less of the exponent is 6e-5 of an angle near 1000.
  const Tensor omega = exp(i * -std::log(a.options.max_period) / (double(half) - a.options.downscale_freq_shift));
  const Tensor angle = reshape(cast(t, dtype), {t.dim(0), 1}) * omega;  // [B, dim/2]
  const Tensor first = a.options.flip_sin_to_cos ? cos(angle) : sin(angle), second = a.options.flip_sin_to_cos ? sin(angle) : cos(angle);
  Tensor y = cat({first, second}, -1);                                  // [B, dim], an odd dim ends in a 0
  return a.dim % 2 ? pad(y, {{0, 1}}) : y;
}

// Column by column: column i of either half is the cosine or sine of t P^(-i / (dim/2 - shift)), P^e = e^(e log P): in f32
// the frequency carries the rounding of its exponent, as it does in diffusers.
Tensor TimestepEmbedding::reference(const Attrs& a, const Tensor& t) {
  const DType dtype = t.dtype() == DType::f64 ? DType::f64 : DType::f32;
  const Tensor time = reshape(cast(t, dtype), {t.dim(0), 1}), period = number_like(time, a.options.max_period);
  const Index half = a.dim / 2;
  Tensors columns(std::size_t(a.dim), zeros(time.shape(), dtype, t.device()));
  for (Index i = 0; i < half; ++i) {
    const Tensor angle = time * exp(log(period) * (-double(i) / (double(half) - a.options.downscale_freq_shift)));
    columns[std::size_t(i)] = a.options.flip_sin_to_cos ? cos(angle) : sin(angle);
    columns[std::size_t(half + i)] = a.options.flip_sin_to_cos ? sin(angle) : cos(angle);
  }
  return cat(columns, -1);
}

std::vector<Sample<TimestepEmbedding::Attrs>> TimestepEmbedding::samples() {
  std::vector<Sample<Attrs>> s;
  for (Index dim : {1, 2, 3, 8, 32, 33, 320})
    for (bool flip : {false, true}) s.push_back({"dim " + std::to_string(dim) + (flip ? " flip" : ""), {sample_values({3}, {0, 1000}, int(dim))}, {dim, {.flip_sin_to_cos = flip}}});
  s.push_back({"empty", {sample_values({0}, {0, 1000}, 5)}, {8, {}}});
  return s;
}
std::vector<Bad> TimestepEmbedding::bad_samples() {
  return {{"rank", [] { timestep_embedding(zeros({2, 2}), 8); }, {"timestep_embedding", "not a vector", "[2, 2]"}},
          {"dim", [] { timestep_embedding(zeros({2}), 0); }, {"dim of 1 or more"}}};
}

}  // namespace sspo
