// Losses and the small ops of diffusion models.
#pragma once
#include "sspo/ops/softmax.hpp"

namespace sspo {

Tensor mse(Tensor prediction, Tensor target, Site at = Site::current());             // mean (p - t)², a scalar
Tensor mse_per_sample(Tensor prediction, Tensor target, Site at = Site::current());  // [B, ...] -> [B]
// -mean log softmax(logits)[target]: logits [..., K], targets i64 [...] in [0, K). A scalar.
Tensor cross_entropy(Tensor logits, Tensor targets, Site at = Site::current());

// Zero with probability p, else x / (1 - p). A pure function of the path: no mode, no state.
Tensor dropout(Tensor x, double p, const Rng& rng, Site at = Site::current());

struct TimestepOptions {
  bool flip_sin_to_cos = true;     // cosines first, as SD-1.5
  double downscale_freq_shift = 0;
  double max_period = 10000;
};
// Sinusoids of t [B] (any dtype) -> [B, dim] f32: frequencies max_period^(-i / (dim/2 - shift)).     DDPM, diffusers
Tensor timestep_embedding(Tensor t, Index dim, TimestepOptions options = {}, Site at = Site::current());

struct MsePerSample {
  static constexpr OpInfo info{"mse_per_sample", "mean over all but the first axis of (p - t)²"};
  static Tensor forward(const Tensor& p, const Tensor& t, Site at);
  static Grads<2> vjp(Needs need, const Tensor& g, const Tensor& p, const Tensor& t);
  static std::vector<Sample<NoAttrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct CrossEntropy {
  static constexpr OpInfo info{"cross_entropy", "-mean ln softmax(x)[target]"};
  static Tensor forward(const Tensor& logits, const Tensor& targets, Site at);
  static Grads<2> vjp(const Tensor& g, const Tensor& logits, const Tensor& targets);
  static std::vector<Sample<NoAttrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct Dropout {
  struct Attrs { double p; std::uint64_t key; };  // key: the path's, so backward draws the same mask
  static constexpr OpInfo info{"dropout", "x b / (1 - p), b Bernoulli(1 - p)"};
  static Tensor forward(const Attrs& a, const Tensor& x, Site at);
  static Tensor vjp(const Attrs& a, const Tensor& g, Meta) { return dropout(g, a.p, Rng(a.key)); }
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct TimestepEmbedding {
  struct Attrs { Index dim = 32; TimestepOptions options; };
  static constexpr OpInfo info{"timestep_embedding", "(cos t ω_i, sin t ω_i), ω_i = P^(-i / (dim/2 - shift))"};
  static constexpr std::string_view no_vjp = "times are data";
  static Tensor forward(const Attrs& a, const Tensor& t, Site at);
  static Tensor reference(const Attrs& a, const Tensor& t);
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

}  // namespace sspo
