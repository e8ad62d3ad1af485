// Whole models in double: text encoder, UNet and decoder of the small pipeline in tests/golden/pipeline, one after the other
// as a loss on pictures would run them. And the bits of a UNet wide enough to be cut over threads, in f32 and bf16.
#include <algorithm>

#include "models/golden.hpp"
#include "sspo/models/stable_diffusion.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

template <class Model>
struct Part {
  Params params;
  Model model;
  Part(const std::string& folder, DType dtype, const Device& device)
      : Part(config_in<Model>(folder), folder, dtype, device) {}
  Part(const typename Model::Config& c, const std::string& folder, DType dtype, const Device& device)
      : params(load_params<Model>(c, folder, {}, {.dtype = dtype, .device = device})), model(params, c) {}
};

// <picture, cotangent> for picture = decode(unet(x, t, text(ids))).
struct Chain {
  Part<ClipText> text;
  Part<UNet> unet;
  Part<Autoencoder> vae;
  Tensor ids, x, t, cotangent;

  explicit Chain(DType dtype, const Device& device = Device::cpu()) : Chain(SSPO_SOURCE_DIR "/tests/golden/pipeline/model", dtype, device) {}
  Chain(const std::string& dir, DType dtype, const Device& device)
      : text(dir + "/text_encoder", dtype, device), unet(dir + "/unet", dtype, device), vae(dir + "/vae", dtype, device),
        ids(Tensor::from(std::vector<std::int32_t>{702, 5, 77, 640, 703, 703, 702, 300, 2, 703, 703, 703}, {2, 6}, device)),
        x(track(on(normal_of("input.x", {2, 3, 2, 4}), device, dtype), "x")),
        t(Tensor::from(std::vector<float>{7, 801.5f}, {2}, device)),
        cotangent(on(normal_of("cotangent.picture", {2, 24, 16, 3}), device, dtype)) {}

  Tensor states() const { return text.model(ids).last_hidden_state; }
  Tensor latents(const Tensor& from, const Tensor& words) const { return unet.model(from, t, words); }
  Tensor decoded(const Tensor& z) const { return vae.model.decode(from_model(z, vae.model.config())); }
  Tensor picture(const Tensor& from) const { return decoded(latents(from, states())); }
  Tensor loss_of(const Tensor& picture) const { return sum(picture * cotangent); }
  Tensor loss(const Tensor& from) const { return loss_of(picture(from)); }

  std::vector<Param> params() const {
    std::vector<Param> all(text.params.begin(), text.params.end());
    all.insert(all.end(), unet.params.begin(), unet.params.end());
    all.insert(all.end(), vae.params.begin(), vae.params.end());
    return all;
  }
};

Tensor direction(const std::string& name, const Shape& shape) { return cast(normal_of("direction." + name, shape), DType::f64); }

// (f(h) - f(-h)) / 2h + O(h^2), extrapolated: (4 D(h/2) - D(h)) / 3 is right to O(h^4).
template <class F>
double slope_of(F&& f) {
  const auto central = [&](double h) { return (f(h) - f(-h)) / (2 * h); };
  const double h = 1e-4;
  return (4 * central(h / 2) - central(h)) / 3;
}

// The output, the gradient of x, and that of each parameter which has one.
template <class List>
std::vector<Tensor> bits_of(const List& params, const Tensor& y, const Tensor& x, const Tensor& cotangent) {
  const Gradients g = backward(sum(y * cotangent));
  std::vector<Tensor> bits = {y, g[x]};
  for (const Param& p : params)
    if (const Tensor* own = p.gradient(g)) bits.push_back(*own);
  return bits;
}

void check_same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  REQUIRE(a.size() == b.size());
  std::size_t differ = 0;
  for (std::size_t i = 0; i < a.size(); ++i) differ += !same_bits(a[i], b[i]);
  CHECK(differ == 0);
}

// A UNet of 32 and 64 channels on 16 x 16 latents: its products, convolutions, norms and attentions are cut into many tasks.
struct WideUNet {
  Device device;
  Params params;
  UNet unet;
  Tensor x, t, text, cotangent;

  WideUNet(DType dtype, int threads) : WideUNet(config(), Device::cpu({.threads = threads}), dtype) {}
  WideUNet(const UNetConfig& c, const Device& on_device, DType dtype)
      : device(on_device), params(fresh(c, device, dtype)), unet(params, c),
        x(track(on(normal_of("input.x", {3, 16, 16, 4}), device, dtype), "x")), t(Tensor::from(std::vector<float>{1, 500, 999}, {3}, device)),
        text(on(normal_of("input.text", {3, 21, 32}), device, dtype)), cotangent(on(normal_of("cotangent.y", {3, 16, 16, 4}), device, dtype)) {}

  static UNetConfig config() {
    UNetConfig c;
    c.block_out_channels = {32, 64};
    c.down_attention = {true, false}, c.up_attention = {false, true};
    c.layers_per_block = c.transformer_layers = {1, 1};
    c.heads = {4, 4}, c.cross_attention_dim = {32, 32};
    c.norm_num_groups = 8;
    return c;
  }
  static Params fresh(const UNetConfig& c, const Device& device, DType dtype) {
    Params wanted = Params::shapes_only(), made(device);
    UNet(wanted, c);
    for (const Param& p : wanted) made.add(p.name(), on(weight_of(p.name(), p.shape()), device, dtype));
    return made;
  }
  Tensor operator()() const { return unet(x, t, text); }
  std::vector<Tensor> bits(const Tensor& y) const { return bits_of(params, y, x, cotangent); }
  Tensor recomputed() const {
    return recompute([this](const Tensors& in) { return unet(in[0], t, text); }, {x});
  }
};

}  // namespace

TEST_CASE("double: through text encoder, UNet and decoder, each parameter's derivative along a random direction within 1e-6") {
  Chain c(DType::f64);
  const Gradients g = backward(c.loss(c.x));
  for (Params* part : {&c.text.params, &c.unet.params, &c.vae.params}) part->frozen();
  const Tensor from = detach(c.x), words = c.states(), z = c.latents(from, words);
  double worst = 0;
  int checked = 0, without = 0;
  const auto compare = [&](const std::string& name, double slope, double found) {
    CAPTURE(name);
    CAPTURE(slope);
    CAPTURE(found);
    const double error = std::abs(slope - found) / std::max(std::abs(slope), 0.1);
    CHECK(error <= 1e-6);
    worst = std::max(worst, error);
    ++checked;
  };
  for (Param p : c.params()) {
    const Tensor* own = p.gradient(g);
    const Tensor at = p.value() + 0.0, v = direction(p.name(), p.shape());
    const auto moved = [&](double h) {
      p.assign(at + v * h);  // only what comes after the parameter changes
      const bool of_vae = c.vae.params.contains(p.name()), of_unet = !of_vae && c.unet.params.contains(p.name());
      return c.loss_of(of_vae ? c.decoded(z) : of_unet ? c.decoded(c.latents(from, words)) : c.picture(from)).item<double>();
    };
    if (!own) {  // the encoder's half of the autoencoder: nothing depends on it
      ++without;
      CHECK(p.name().substr(0, 8) == (p.name()[0] == 'q' ? "quant_co" : "encoder."));
      CHECK(moved(1) == moved(0));
      p.assign(at);
      continue;
    }
    compare(p.name(), sum(*own * v).item<double>(), slope_of(moved));
    p.assign(at);
  }
  const Tensor v = direction("x", c.x.shape());
  compare("x", sum(g[c.x] * v).item<double>(), slope_of([&](double h) { return c.loss(from + v * h).item<double>(); }));
  MESSAGE(checked << " derivatives, worst " << worst);
  CHECK(checked > 200);
  CHECK(without > 40);
}

TEST_CASE("double: recompute gives the same bits, value and gradients") {
  const Chain c(DType::f64);
  const auto all_bits = [&](const Tensor& picture) { return bits_of(c.params(), picture, c.x, c.cotangent); };
  const std::vector<Tensor> plain = all_bits(c.picture(c.x));
  CHECK(plain.size() > 200);
  check_same(all_bits(recompute([&](const Tensors& in) { return c.picture(in[0]); }, {c.x})), plain);
}

TEST_CASE("double: frozen parts get exactly no gradient, and the others' bits stay") {
  for (const int trained : {0, 1, 2}) {
    CAPTURE(trained);
    Chain c(DType::f64);
    const Gradients all = backward(c.loss(c.x));
    Params* const parts[] = {&c.text.params, &c.unet.params, &c.vae.params};
    for (int i = 0; i < 3; ++i)
      if (i != trained) parts[i]->frozen();
    const Gradients some = backward(c.loss(detach(c.x)));
    int with = 0;
    for (int i = 0; i < 3; ++i)
      for (const Param& p : *parts[i]) {
        CAPTURE(p.name());
        const Tensor *before = p.gradient(all), *now = p.gradient(some);
        CHECK((now != nullptr) == (before != nullptr && i == trained));
        if (now && before) CHECK(same_bits(*now, *before));
        with += now != nullptr;
      }
    CHECK(with > 30);
    parts[trained]->frozen();
    CHECK_FALSE(c.loss(detach(c.x)).tracked());
  }
}

TEST_CASE("a whole UNet, forward and backward: 1, 2, 3 and 8 threads, and recompute, give the same bits in f32 and bf16") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    CAPTURE(name_of(dtype));
    const WideUNet one(dtype, 1);
    const std::vector<Tensor> bits = one.bits(one());
    CHECK(bits.size() == 2 + one.params.size());
    for (const int threads : {2, 3, 8}) {
      CAPTURE(threads);
      const WideUNet many(dtype, threads);
      check_same(many.bits(many()), bits);
      if (threads == 3) check_same(many.bits(many.recomputed()), bits);
    }
  }
}
