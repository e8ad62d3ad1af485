// The models by themselves: inputs that do not fit, types of times and ids, the edges of the autoencoder's variance.
#include "models/golden.hpp"
#include "sspo/ops/create.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

const UNetConfig small_unet = {.block_out_channels = {8, 16}, .down_attention = {true, false}, .up_attention = {false, true}, .layers_per_block = {1, 1},
                               .transformer_layers = {1, 1}, .heads = {2, 2}, .cross_attention_dim = {6, 6}, .norm_num_groups = 4};
const VaeConfig small_vae = {.block_out_channels = {8, 8}, .layers_per_block = 1, .norm_num_groups = 4};
const ClipTextConfig small_text = {.vocab_size = 20, .hidden_size = 8, .intermediate_size = 16, .num_hidden_layers = 1, .num_attention_heads = 2,
                                   .max_position_embeddings = 6, .eos_token_id = 19};

Params fresh() { return Params(Device::cpu(), Rng{7}); }

}  // namespace

TEST_CASE("UNet: inputs that do not fit each other or the config") {
  Params params = fresh();
  const UNet unet(params, small_unet);
  const auto refuse = [&](const Shape& x, const Shape& t, const Shape& text) {
    const std::string error = error_of([&] { unet(zeros(x), zeros(t), zeros(text)); });
    CAPTURE(error);
    for (const char* part : {"unet: the inputs do not fit", "sample [B, H, W, 4], timestep [B], text [B, N, 6]", "inputs_test.cpp"}) CHECK(error.find(part) != std::string::npos);
    CHECK(error.find(x.str()) != std::string::npos);
  };
  CHECK_NOTHROW(unet(zeros({2, 4, 4, 4}), zeros({2}), zeros({2, 3, 6})));
  refuse({2, 4, 4, 3}, {2}, {2, 3, 6});
  refuse({2, 4, 4, 4}, {1}, {2, 3, 6});
  refuse({2, 4, 4, 4}, {}, {2, 3, 6});
  refuse({2, 4, 4, 4}, {2}, {1, 3, 6});
  refuse({2, 4, 4, 4}, {2}, {2, 3, 8});
  check_error([&] { unet(zeros({4, 4, 4}), zeros({2}), zeros({2, 3, 6})); }, {"[4, 4, 4]", "inputs_test.cpp"});
  check_error([&] { unet(zeros({2, 4, 4, 4}), zeros({2}), zeros({3, 6})); }, {"[3, 6]", "inputs_test.cpp"});
}

TEST_CASE("UNet: a time is the same number in every type, and fractions count") {
  Params params = fresh();
  const UNet unet(params, small_unet);
  const Tensor x = normal(Rng{1}, {1, 5, 3, 4}), text = normal(Rng{2}, {1, 2, 6});
  const auto at = [&](double t, DType dtype) { return unet(x, full({1}, t, dtype), text); };
  const Tensor y = at(981, DType::f32);
  for (const DType dtype : {DType::i64, DType::i32, DType::f64}) CHECK(same_bits(at(981, dtype), y));
  CHECK(distance(at(981.5, DType::f32), y) > 1e-4);

  Params wide;  // in f64 the sinusoids are exact, too
  for (const Param& p : params) wide.add(p.name(), cast(p.value(), DType::f64));
  const UNet exact(wide, small_unet);
  const auto in_f64 = [&](DType dtype) { return exact(cast(x, DType::f64), full({1}, 981, dtype), cast(text, DType::f64)); };
  for (const DType dtype : {DType::i64, DType::f32}) CHECK(same_bits(in_f64(dtype), in_f64(DType::f64)));
}

TEST_CASE("UNet: samples of a batch do not see each other; an empty batch is one") {
  Params params = fresh();
  const UNet unet(params, small_unet);
  const Tensor x = normal(Rng{1}, {3, 6, 5, 4}), t = Tensor::from<float>({1, 500, 999}, {3}), text = normal(Rng{2}, {3, 4, 6});
  const Tensor y = unet(x, t, text);
  for (Index b = 0; b < 3; ++b) CHECK(distance(unet(slice(x, 0, b, b + 1), slice(t, 0, b, b + 1), slice(text, 0, b, b + 1)), slice(y, 0, b, b + 1)) < 1e-5);
  CHECK(unet(zeros({0, 6, 5, 4}), zeros({0}), zeros({0, 4, 6})).shape() == Shape{0, 6, 5, 4});
}

TEST_CASE("UNet: frozen it gives the bits that it gives in training, call after call, in f32 and bf16") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    CAPTURE(name_of(dtype));
    Params trained = fresh(), still = fresh();
    const UNet policy(trained, small_unet), reference(still, small_unet);
    trained.compute_in(dtype), still.frozen().compute_in(dtype);
    const Tensor x = cast(normal(Rng{1}, {3, 6, 5, 4}), dtype), t = Tensor::from<float>({1, 500, 999}, {3}), text = cast(normal(Rng{2}, {3, 4, 6}), dtype);
    const Tensor y = policy(x, t, text);
    CHECK(y.tracked());
    for (int call = 0; call < 3; ++call) CHECK(same_bits(reference(x, t, text), detach(y)));  // from the second on with packed weights
  }
}

TEST_CASE("text encoder: ids of both integer types; too many, unknown ones and none are refused") {
  Params params = fresh();
  const ClipText text(params, small_text);
  const Tensor ids = Tensor::from<std::int64_t>({18, 3, 19, 19, 18, 19, 4, 5}, {2, 4});
  const ClipText::Output y = text(ids);
  CHECK(same_bits(text(cast(ids, DType::i32)).last_hidden_state, y.last_hidden_state));
  CHECK(same_bits(y.pooled, cat({reshape(slice(slice(y.last_hidden_state, 0, 0, 1), 1, 2, 3), {1, 8}), reshape(slice(slice(y.last_hidden_state, 0, 1, 2), 1, 1, 2), {1, 8})}, 0)));
  // Causal: a token does not see the later ones.
  CHECK(distance(text(slice(ids, 1, 0, 2)).last_hidden_state, slice(y.last_hidden_state, 1, 0, 2)) < 1e-6);
  CHECK(text(zeros({0, 4}, DType::i64)).pooled.shape() == Shape{0, 8});
  check_error([&] { text(zeros({1, 7}, DType::i64)); }, {"clip text: the number of tokens does not fit", "1 to 6", "[1, 7]", "truncate", "inputs_test.cpp"});
  check_error([&] { text(zeros({1, 0}, DType::i64)); }, {"the number of tokens does not fit", "[1, 0]"});
  check_error([&] { text(zeros({4}, DType::i64)); }, {"[4]", "inputs_test.cpp"});
  check_error([&] { text(full({1, 2}, 20, DType::i64)); }, {"20", "inputs_test.cpp"});
  check_error([&] { text(full({1, 2}, -1, DType::i64)); }, {"-1"});
  check_error([&] { text(zeros({1, 2})); }, {"clip text: the ids are no whole numbers", "i32 or i64", "[1, 2] f32", "inputs_test.cpp"});
}

TEST_CASE("autoencoder: sizes, channels, the variance's limits, sampling") {
  Params params = fresh();
  const Autoencoder vae(params, small_vae);
  check_error([&] { vae.encode(zeros({1, 8, 8, 4})); }, {"vae encode: the input does not fit the config", "[B, H, W, 3]", "[1, 8, 8, 4]", "inputs_test.cpp"});
  check_error([&] { vae.decode(zeros({1, 8, 8, 3})); }, {"vae decode", "[B, H, W, 4]", "inputs_test.cpp"});
  check_error([&] { vae.decode(zeros({8, 8, 4})); }, {"vae decode"});
  const Tensor image = track(normal(Rng{3}, {1, 8, 6, 3}));
  CHECK(vae.encode(image).mean.shape() == Shape{1, 4, 3, 4});
  CHECK(vae.decode(zeros({2, 4, 3, 4})).shape() == Shape{2, 8, 6, 3});
  CHECK(vae.decode(zeros({0, 4, 3, 4})).shape() == Shape{0, 8, 6, 3});

  // The bias of quant_conv: mean (4), logvar (4).
  Param(params["quant_conv.bias"]).assign(Tensor::from<float>({0, 0, 0, 0, -100, 100, 0, 0}, {8}));
  const Moments m = vae.encode(image);
  CHECK(distance(slice(m.logvar, -1, 0, 1), full({1, 4, 3, 1}, -30)) == 0);
  CHECK(distance(slice(m.logvar, -1, 1, 2), full({1, 4, 3, 1}, 20)) == 0);
  const Gradients g = backward(sum(slice(m.logvar, -1, 0, 2)));
  CHECK(distance(g[image], zeros(image.shape())) == 0);

  const Tensor noise = normal(Rng{4}, m.mean.shape());
  CHECK(distance(sample(m, noise), m.mean + exp(m.logvar / 2.0) * noise) == 0);
  CHECK(same_bits(sample(m, Rng{4}), sample(m, noise)));
}
