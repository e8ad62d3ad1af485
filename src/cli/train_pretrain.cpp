// Training from scratch: the autoencoder, then the denoiser with its text encoder.
#include <cmath>

#include "cli/train_tasks.hpp"
#include "sspo/ops/loss.hpp"
#include "sspo/train/batches.hpp"

namespace sspo::cli {
namespace {

Index micro_of(const Recipe& r) { return r.integer("train.micro_batch") ? r.integer("train.micro_batch") : r.integer("train.batch"); }
Tensor rows(const Tensor& x, Index begin, Index end) { return slice(x, 0, begin, end); }
double number(const Tensor& x) { return cast(detach(x), DType::f64).item<double>(); }

// Mean over all but the first axis, [B].
Tensor per_sample(const Tensor& x) { return mean(reshape(x, {x.dim(0), -1}), {1}); }

}  // namespace

std::string with_keyword(const TrainData& data, const Pick& p, double share) {
  const std::string& caption = data.captions[std::size_t(p.sample)];
  const std::vector<std::string>& keywords = data.keywords[std::size_t(p.sample)];
  if (keywords.empty() || uniform(p.rng / "keyword", {1}).item<float>() >= float(share)) return caption;
  return caption + " " + keywords[std::size_t(randint(p.rng / "which", {1}, 0, Index(keywords.size())).item<std::int64_t>())];
}

std::string samples_json(const std::vector<Pick>& picks, const TrainData& data, const io::Json& more) {
  io::Json json = {{"samples", io::Json::array()}};
  for (const Pick& p : picks) json["samples"].push_back({{"sample", p.sample}, {"epoch", p.epoch}, {"caption", io::printable(data.captions[std::size_t(p.sample)])}});
  json.update(more);
  return json.dump();
}

// L = l1 |d| + mse d² + edges (|∂x d| + |∂y d|) + kl KL(q(z | x) || N(0, I)),   d = x - decode(z),   z ~ q(z | x)
Task vae_task(const TrainContext& c) {
  const Recipe& r = c.recipe;
  const Index B = r.integer("train.batch");
  const Batches batches(c.data.size(), {.batch = B, .flip = r.number("data.flip")}, c.rng() / "data");
  const double l1 = r.number("vae.l1"), l2 = r.number("vae.mse"), edges = r.number("vae.edges"), kl = r.number("vae.kl");
  const auto gradients = [=, &c](Index step) {
    const Autoencoder& vae = *c.model.vae.model;
    std::vector<io::Image> pictures;
    for (const Pick& p : batches.at(step)) {
      const io::Image picture = c.data.picture(p.sample, c.model.side);
      pictures.push_back(p.flip ? io::flip_horizontal(picture) : picture);
    }
    const Tensor all = io::to_tensor(pictures, c.device);                                            // [B, H, W, 3]
    const Tensor noise = normal(c.rng() / "posterior" / step, {B, c.model.latent[0], c.model.latent[1], c.model.latent[2]}, c.device);
    StepResult result;
    double sum_l1 = 0, sum_mse = 0, sum_kl = 0;
    for (Index begin = 0, micro = micro_of(c.recipe); begin < B; begin += micro) {
      const Index end = std::min(begin + micro, B);
      const Tensor x = rows(all, begin, end);
      const Moments q = vae.encode(cast(x, c.model.dtype));
      const Tensor mean_ = cast(q.mean, DType::f32), logvar = cast(q.logvar, DType::f32);
      const Tensor z = sample(Moments{mean_, logvar}, rows(noise, begin, end));
      const Tensor d = cast(vae.decode(cast(z, c.model.dtype)), DType::f32) - x;                     // [b, H, W, 3]
      const Tensor absolute = per_sample(abs(d)), squared = per_sample(square(d));
      const Tensor down = per_sample(abs(slice(d, 1, 1, d.dim(1)) - slice(d, 1, 0, d.dim(1) - 1)));
      const Tensor right = per_sample(abs(slice(d, 2, 1, d.dim(2)) - slice(d, 2, 0, d.dim(2) - 1)));
      const Tensor divergence = per_sample(0.5 * (square(mean_) + exp(logvar) - 1.0 - logvar));
      const Tensor loss = sum(l1 * absolute + l2 * squared + edges * (down + right) + kl * divergence) * (1.0 / double(B));
      backward(loss, result.gradients);
      result.loss += number(loss);
      sum_l1 += number(sum(absolute)), sum_mse += number(sum(squared)), sum_kl += number(sum(divergence));
    }
    const double mse_ = sum_mse / double(B);
    result.metrics = {{"l1", sum_l1 / double(B)}, {"mse", mse_}, {"kl", sum_kl / double(B)}, {"psnr", 10 * std::log10(4 / std::max(mse_, 1e-12))}};  // of values in [-1, 1]
    return result;
  };
  return {.steps = r.integer("train.steps"), .batch = B, .gradients = gradients, .describe = [=, &c](Index step) { return samples_json(batches.at(step), c.data); }};
}

// DDPM eq. 14 with captions:   L = mean |target - f(x_t, t, states(c))|²,   t ~ U{0 ... T-1}
Task pretrain_task(const TrainContext& c) {
  const Recipe& r = c.recipe;
  const Index B = r.integer("train.batch");
  const double keyword = r.number("data.keyword");
  const bool text_too = !c.model.text_encoder.frozen;
  const Batches batches(c.data.size(), {.batch = B, .drop_caption = r.number("data.drop_caption")}, c.rng() / "data");
  const std::shared_ptr<TensorStore> latents = latent_cache(c, false);
  const auto states = text_too ? nullptr : std::make_shared<CaptionStates>(c, keyword > 0);
  const auto schedule = std::make_shared<NoiseSchedule>(c.model.scheduler);
  const auto times_of = [=, &c](Index step) { return randint(c.rng() / "step" / step / "time", {B}, 0, schedule->size()).to_vector<std::int64_t>(); };

  const auto gradients = [=, &c](Index step) {
    const Rng rng = c.rng() / "step" / step;
    std::vector<Index> samples;
    std::vector<std::string> captions;
    for (const Pick& p : batches.at(step)) {
      samples.push_back(p.sample);
      captions.push_back(p.drop_caption ? "" : with_keyword(c.data, p, keyword));
    }
    const Tensor x_0 = latents_of(*latents, samples, c.model.vae.config, rng / "posterior");         // [B, h, w, C]
    const Tensor eps = normal(rng / "noise", x_0.shape(), c.device);
    const std::vector<Index> t = times_of(step);
    const Tensor x_t = schedule->add_noise(x_0, eps, t);
    const Prediction kind = c.model.scheduler.prediction_type;
    const Tensor target = kind == Prediction::epsilon ? eps : kind == Prediction::sample ? x_0 : schedule->velocity(x_0, eps, t);
    const Tensor times = Tensor::from(std::vector<float>(t.begin(), t.end()), {B}, c.device);
    Tensor text;  // token ids, or states
    if (text_too) {
      std::vector<std::int32_t> ids;
      const int length = int(c.model.text_encoder.config.max_position_embeddings);
      for (const std::string& caption : captions)
        for (const std::int32_t id : c.model.tokenizer->padded(caption, length)) ids.push_back(id);
      text = Tensor::from(ids, {B, length}, c.device);
    } else {
      text = cast(states->rows(captions), c.model.dtype);
    }
    StepResult result;
    for (Index begin = 0, micro = micro_of(c.recipe); begin < B; begin += micro) {
      const Index end = std::min(begin + micro, B);
      const Tensor seen = rows(text, begin, end), context = text_too ? (*c.model.text_encoder.model)(seen).last_hidden_state : seen;
      const Tensor out = (*c.model.unet.model)(cast(rows(x_t, begin, end), c.model.dtype), rows(times, begin, end), context);
      const Tensor loss = sum(mse_per_sample(cast(out, DType::f32), rows(target, begin, end))) * (1.0 / double(B));
      backward(loss, result.gradients);
      result.loss += number(loss);
    }
    return result;
  };
  const auto describe = [=, &c](Index step) { return samples_json(batches.at(step), c.data, {{"timesteps", times_of(step)}}); };
  return {.steps = r.integer("train.steps"), .batch = B, .gradients = gradients, .describe = describe};
}

}  // namespace sspo::cli
