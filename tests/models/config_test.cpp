// The three config loaders: every rule by its message, and what absent fields mean.
#include "models/golden.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

struct Case {
  const char* changes;  // fields in place of the good config's, as JSON
  std::initializer_list<const char*> parts;  // of the message
};

// SD-1.5's config of a part with these fields changed.
template <class Model>
typename Model::Config load_changed(const char* part, const GoldenJson& changes) {
  static const GoldenJson golden = golden_file("sd15.json");
  GoldenJson config = golden.at(part).at("config");
  config.update(changes);
  const TempFolder folder;
  io::write_file(folder / "config.json", config.dump());
  return config_in<Model>(folder.path());
}

template <class Model>
void check_refused(const char* part, const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    CAPTURE(std::string(c.changes));
    const std::string text = error_of([&] { load_changed<Model>(part, GoldenJson::parse(c.changes)); });
    CHECK(text.find("/config.json: ") != std::string::npos);
    CHECK(text.find('\n') == std::string::npos);
    for (const char* one : c.parts) {
      INFO("missing '" << std::string(one) << "' in:\n" << text);
      CHECK(text.find(one) != std::string::npos);
    }
  }
}

// What is wrong with a whole file.
template <class Model>
void check_files() {
  const TempFolder folder;
  const auto error = [&](const std::string& text) {
    io::write_file(folder / "config.json", text);
    return error_of([&] { config_in<Model>(folder.path()); });
  };
  CHECK(error("").find("config.json@0: ") != std::string::npos);
  CHECK(error("[1]").find("not an object") != std::string::npos);
  CHECK(error("{\"a\": 1, \"a\": 2}").find("config.json@") != std::string::npos);
  CHECK(error("{\"a\": \"\xff\"}").find("config.json@") != std::string::npos);
  CHECK(error(std::string(17u << 20, ' ')).find("config.json") != std::string::npos);
  CHECK(error("{").find("config.json@1") != std::string::npos);
  std::filesystem::remove(folder / "config.json");
  check_error([&] { config_in<Model>(folder.path()); }, {"config.json"});
}

}  // namespace

TEST_CASE("UNet config: what is refused") {
  check_refused<UNet>("unet", {
      {R"({"_class_name": "UNet3DConditionModel"})", {"_class_name: ", "UNet2DConditionModel", "UNet3D"}},
      {R"({"in_channels": 0})", {"in_channels: wrong value", "from 1 to 65536", "got 0"}},
      {R"({"in_channels": "4"})", {"in_channels: wrong value", "a whole number", "\"4\""}},
      {R"({"in_channels": 4.0})", {"in_channels: wrong value", "got 4"}},
      {R"({"out_channels": -1})", {"out_channels: wrong value", "got -1"}},
      {R"({"out_channels": 18446744073709551615})", {"out_channels: wrong value", "18446744073709551615"}},
      {R"({"sample_size": [64, 64]})", {"sample_size: wrong value", "an array of 2"}},
      {R"({"block_out_channels": 320})", {"block_out_channels: not an array"}},
      {R"({"block_out_channels": []})", {"block_out_channels: the number of blocks", "1 to 16", "got 0"}},
      {R"({"block_out_channels": [32,32,32,32,32,32,32,32,32,32,32,32,32,32,32,32,32]})", {"block_out_channels: the number of blocks", "got 17"}},
      {R"({"block_out_channels": [320, 640, 1280, "1280"]})", {"block_out_channels[3]: wrong value", "\"1280\""}},
      {R"({"block_out_channels": [320, 640, 1280, 100000]})", {"block_out_channels[3]: wrong value", "65536"}},
      {R"({"block_out_channels": [320, 640, 1280]})", {"up_block_types: one entry a block", "3 entries", "got 4"}},
      {R"({"down_block_types": ["DownBlock2D"]})", {"down_block_types: one entry a block", "4 entries", "got 1"}},
      {R"({"up_block_types": ["UpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"]})", {"up_block_types: one entry a block", "got 5"}},
      {R"({"down_block_types": ["DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D"]})", {"down_block_types: unsupported block type", "CrossAttnDownBlock2D", "got AttnDownBlock2D"}},
      {R"({"up_block_types": ["UpBlock2D", "UpBlock2D", "UpBlock2D", "DownBlock2D"]})", {"up_block_types: unsupported block type", "CrossAttnUpBlock2D", "got DownBlock2D"}},
      {R"({"down_block_types": "DownBlock2D"})", {"down_block_types: not an array"}},
      {R"({"up_block_types": [1, 2, 3, 4]})", {"up_block_types[0]: wrong value", "a string"}},
      {R"({"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"})", {"mid_block_type: wrong value", "UNetMidBlock2DCrossAttn"}},
      {R"({"layers_per_block": 0})", {"layers_per_block: wrong value", "from 1 to 64"}},
      {R"({"layers_per_block": [2, 2, 2]})", {"layers_per_block: one entry a block", "4 entries", "got 3"}},
      {R"({"layers_per_block": [2, 2, 2, 65]})", {"layers_per_block[3]: wrong value", "got 65"}},
      {R"({"layers_per_block": "2"})", {"layers_per_block: wrong value"}},
      {R"({"transformer_layers_per_block": [1, 1]})", {"transformer_layers_per_block: one entry a block", "got 2"}},
      {R"({"transformer_layers_per_block": [[1], 1, 1, 1]})", {"transformer_layers_per_block[0]: wrong value", "an array of 1"}},
      {R"({"transformer_layers_per_block": 13, "layers_per_block": 5})", {"transformer_layers_per_block: too many with layers_per_block", "at most 256", "got 260"}},
      {R"({"attention_head_dim": 7})", {"attention_head_dim: the heads do not divide the channels", "a divisor of 320", "got 7"}},
      {R"({"attention_head_dim": [8, 8, 8, 7]})", {"attention_head_dim: the heads do not divide", "a divisor of 1280", "got 7"}},
      {R"({"attention_head_dim": [8, 8]})", {"attention_head_dim: one entry a block", "got 2"}},
      {R"({"attention_head_dim": 0})", {"attention_head_dim: wrong value"}},
      {R"({"num_attention_heads": 8})", {"num_attention_heads: unsupported", "null"}},
      {R"({"cross_attention_dim": 0})", {"cross_attention_dim: wrong value"}},
      {R"({"cross_attention_dim": [768, 768, 768, 1024]})", {"cross_attention_dim: unsupported: blocks that differ"}},
      {R"({"use_linear_projection": 1})", {"use_linear_projection: wrong value", "true or false", "got 1"}},
      {R"({"center_input_sample": "no"})", {"center_input_sample: wrong value", "true or false"}},
      {R"({"flip_sin_to_cos": 0})", {"flip_sin_to_cos: wrong value"}},
      {R"({"freq_shift": "0"})", {"freq_shift: wrong value", "a number"}},
      {R"({"freq_shift": 160})", {"freq_shift: the frequencies would be infinite", "not half of block_out_channels[0]", "160"}},
      {R"({"downsample_padding": 2})", {"downsample_padding: wrong value", "from 0 to 1", "got 2"}},
      {R"({"norm_num_groups": 0})", {"norm_num_groups: wrong value"}},
      {R"({"norm_num_groups": 48})", {"norm_num_groups: the groups do not divide the channels", "a divisor of 320", "got 48"}},
      {R"({"norm_eps": -1e-5})", {"norm_eps: wrong value", "from 0 to 1"}},
      {R"({"norm_eps": true})", {"norm_eps: wrong value", "got true"}},
      {R"({"conv_in_kernel": 4})", {"conv_in_kernel: the size would change", "an odd number", "got 4"}},
      {R"({"conv_out_kernel": 2})", {"conv_out_kernel: the size would change", "got 2"}},
      {R"({"conv_out_kernel": 65})", {"conv_out_kernel: wrong value", "from 1 to 63"}},
      {R"({"act_fn": "gelu"})", {"act_fn: wrong value", "silu", "\"gelu\""}},
      {R"({"resnet_time_scale_shift": "scale_shift"})", {"resnet_time_scale_shift: wrong value", "default"}},
      {R"({"time_embedding_type": "fourier"})", {"time_embedding_type: wrong value", "positional"}},
      {R"({"attention_type": "gated"})", {"attention_type: wrong value", "default"}},
      {R"({"mid_block_scale_factor": 1.5})", {"mid_block_scale_factor: wrong value", "from 1 to 1"}},
      {R"({"resnet_out_scale_factor": 0.7})", {"resnet_out_scale_factor: wrong value"}},
      {R"({"dropout": 0.1})", {"dropout: wrong value"}},
      {R"({"only_cross_attention": [true, false, false, false]})", {"only_cross_attention: unsupported", "false", "a list"}},
  });
  for (const char* name : {"dual_cross_attention", "class_embeddings_concat", "upcast_attention", "resnet_skip_time_act", "only_cross_attention", "mid_block_only_cross_attention"})
    check_error([&] { load_changed<UNet>("unet", GoldenJson{{name, true}}); }, {name, ": unsupported", "expected false", "got true"});
  for (const char* name : {"class_embed_type", "addition_embed_type", "num_class_embeds", "encoder_hid_dim", "encoder_hid_dim_type", "cross_attention_norm", "time_cond_proj_dim",
                           "time_embedding_act_fn", "time_embedding_dim", "timestep_post_act", "projection_class_embeddings_input_dim", "reverse_transformer_layers_per_block"})
    check_error([&] { load_changed<UNet>("unet", GoldenJson{{name, "text"}}); }, {name, ": unsupported", "expected null"});
  check_files<UNet>();
}

TEST_CASE("UNet config: what is read") {
  const UNetConfig sd = load_changed<UNet>("unet", GoldenJson::object());
  CHECK(sd.block_out_channels == std::vector<Index>{320, 640, 1280, 1280});
  CHECK(sd.down_attention == std::vector<bool>{true, true, true, false});
  CHECK(sd.up_attention == std::vector<bool>{false, true, true, true});
  CHECK(sd.heads == std::vector<Index>{8, 8, 8, 8});
  CHECK(sd.cross_attention_dim == std::vector<Index>{768, 768, 768, 768});
  CHECK(sd.mid_block);
  CHECK(sd.norm_eps == 1e-5);

  const UNetConfig c = load_changed<UNet>("unet", GoldenJson::parse(R"({"mid_block_type": null, "layers_per_block": [1, 2, 3, 4], "attention_head_dim": [5, 10, 20, 20],
      "transformer_layers_per_block": [4, 3, 2, 1], "norm_num_groups": 16, "freq_shift": 1, "flip_sin_to_cos": false, "center_input_sample": true, "downsample_padding": 0,
      "use_linear_projection": true, "norm_eps": 1e-6, "conv_in_kernel": 1, "conv_out_kernel": 5, "in_channels": 9, "out_channels": 8, "sample_size": 96,
      "a_field_of_tomorrow": {"x": 1}})"));
  CHECK_FALSE(c.mid_block);
  CHECK(c.layers_per_block == std::vector<Index>{1, 2, 3, 4});
  CHECK(c.heads == std::vector<Index>{5, 10, 20, 20});
  CHECK(c.transformer_layers == std::vector<Index>{4, 3, 2, 1});
  CHECK(c.norm_num_groups == 16);
  CHECK(c.freq_shift == 1);
  CHECK_FALSE(c.flip_sin_to_cos);
  CHECK(c.center_input_sample);
  CHECK(c.downsample_padding == 0);
  CHECK(c.use_linear_projection);
  CHECK(c.norm_eps == 1e-6);
  CHECK(std::array{c.conv_in_kernel, c.conv_out_kernel, c.in_channels, c.out_channels, c.sample_size} == std::array<Index, 5>{1, 5, 9, 8, 96});
  // Heads matter only where there is attention: the lowest block has it in the middle, unless that is off.
  CHECK_NOTHROW(load_changed<UNet>("unet", GoldenJson::parse(R"({"attention_head_dim": [8, 8, 8, 7], "mid_block_type": null})")));
}

TEST_CASE("autoencoder config: what is refused") {
  check_refused<Autoencoder>("vae", {
      {R"({"_class_name": "VQModel"})", {"_class_name: wrong value", "AutoencoderKL", "VQModel"}},
      {R"({"act_fn": "relu"})", {"act_fn: wrong value", "silu"}},
      {R"({"latents_mean": [0, 0, 0, 0]})", {"latents_mean: unsupported", "null"}},
      {R"({"latents_std": [1, 1, 1, 1]})", {"latents_std: unsupported", "null"}},
      {R"({"in_channels": 0})", {"in_channels: wrong value"}},
      {R"({"out_channels": [3]})", {"out_channels: wrong value", "an array of 1"}},
      {R"({"latent_channels": 40000})", {"latent_channels: wrong value", "32768"}},
      {R"({"block_out_channels": []})", {"block_out_channels: the number of blocks", "got 0"}},
      {R"({"block_out_channels": [128, 0, 512, 512]})", {"block_out_channels[1]: wrong value"}},
      {R"({"block_out_channels": [128, 256]})", {"down_block_types: one entry a block", "2 entries", "got 4"}},
      {R"({"down_block_types": ["DownEncoderBlock2D"]})", {"down_block_types: one entry a block", "4 entries", "got 1"}},
      {R"({"up_block_types": ["UpDecoderBlock2D"]})", {"up_block_types: one entry a block", "got 1"}},
      {R"({"down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "AttnDownEncoderBlock2D"]})", {"down_block_types: unsupported block type", "got AttnDownEncoderBlock2D"}},
      {R"({"up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpBlock2D"]})", {"up_block_types: unsupported block type", "UpDecoderBlock2D", "got UpBlock2D"}},
      {R"({"layers_per_block": 65})", {"layers_per_block: wrong value", "from 1 to 64"}},
      {R"({"norm_num_groups": 24})", {"norm_num_groups: the groups do not divide the channels", "a divisor of 128", "got 24"}},
      {R"({"sample_size": 0})", {"sample_size: wrong value"}},
      {R"({"scaling_factor": 0})", {"scaling_factor: wrong value"}},
      {R"({"scaling_factor": "0.18215"})", {"scaling_factor: wrong value", "a number"}},
      {R"({"shift_factor": 1e300})", {"shift_factor: wrong value"}},
      {R"({"mid_block_add_attention": "yes"})", {"mid_block_add_attention: wrong value", "true or false"}},
      {R"({"use_quant_conv": 1})", {"use_quant_conv: wrong value"}},
      {R"({"use_post_quant_conv": []})", {"use_post_quant_conv: wrong value"}},
  });
  check_files<Autoencoder>();
}

TEST_CASE("autoencoder config: what is read") {
  const VaeConfig sd = load_changed<Autoencoder>("vae", GoldenJson::object());
  CHECK(sd.block_out_channels == std::vector<Index>{128, 256, 512, 512});
  CHECK(sd.downscale() == 8);
  CHECK(sd.scaling_factor == 0.18215);
  CHECK((sd.shift_factor == 0 && sd.mid_attention && sd.quant_conv && sd.post_quant_conv));
  const VaeConfig c = load_changed<Autoencoder>("vae", GoldenJson::parse(R"({"scaling_factor": 0.3611, "shift_factor": 0.1159, "latent_channels": 16, "use_quant_conv": false,
      "use_post_quant_conv": false, "mid_block_add_attention": false, "layers_per_block": 1, "norm_num_groups": 8, "sample_size": 1024, "force_upcast": true, "shift": null})"));
  CHECK((c.scaling_factor == 0.3611 && c.shift_factor == 0.1159 && c.latent_channels == 16 && c.layers_per_block == 1 && c.norm_num_groups == 8 && c.sample_size == 1024));
  CHECK_FALSE((c.quant_conv || c.post_quant_conv || c.mid_attention));
  const Tensor z = to_model(full({2}, 1, DType::f64), c);
  CHECK(z.item<double>() == (1 - 0.1159) * 0.3611);
  CHECK(from_model(z, c).item<double>() == doctest::Approx(1).epsilon(1e-15));
}

TEST_CASE("text encoder config: what is refused") {
  check_refused<ClipText>("text", {
      {R"({"model_type": "clip"})", {"model_type: wrong value", "clip_text_model", "\"clip\""}},
      {R"({"vocab_size": 0})", {"vocab_size: wrong value"}},
      {R"({"vocab_size": 16777217})", {"vocab_size: wrong value", "16777216"}},
      {R"({"hidden_size": 768.5})", {"hidden_size: wrong value", "a whole number"}},
      {R"({"hidden_size": 65537})", {"hidden_size: wrong value"}},
      {R"({"intermediate_size": 0})", {"intermediate_size: wrong value"}},
      {R"({"num_hidden_layers": 1025})", {"num_hidden_layers: wrong value", "1024"}},
      {R"({"num_attention_heads": 0})", {"num_attention_heads: wrong value"}},
      {R"({"num_attention_heads": 11})", {"num_attention_heads: the heads do not divide hidden_size", "a divisor of 768", "got 11"}},
      {R"({"max_position_embeddings": -77})", {"max_position_embeddings: wrong value"}},
      {R"({"hidden_act": "tanh"})", {"hidden_act: wrong value", "quick_gelu", "\"tanh\""}},
      {R"({"hidden_act": 1})", {"hidden_act: wrong value", "got 1"}},
      {R"({"layer_norm_eps": 2})", {"layer_norm_eps: wrong value", "from 0 to 1"}},
      {R"({"eos_token_id": [2]})", {"eos_token_id: wrong value", "an array of 1"}},
      {R"({"eos_token_id": -1})", {"eos_token_id: wrong value"}},
      {R"({"use_attention_mask": true})", {"use_attention_mask: unsupported", "got true"}},
  });
  check_files<ClipText>();
}

TEST_CASE("text encoder config: what is read") {
  const ClipTextConfig sd = load_changed<ClipText>("text", GoldenJson::object());
  CHECK(std::array{sd.vocab_size, sd.hidden_size, sd.intermediate_size, sd.num_hidden_layers, sd.num_attention_heads, sd.max_position_embeddings, sd.eos_token_id} ==
        std::array<Index, 7>{49408, 768, 3072, 12, 12, 77, 2});
  CHECK(sd.hidden_act == Activation::quick_gelu);
  const auto act = [](const char* name) { return load_changed<ClipText>("text", GoldenJson{{"hidden_act", name}}).hidden_act; };
  CHECK(act("gelu") == Activation::gelu_erf);
  CHECK(act("gelu_new") == Activation::gelu_tanh);
  CHECK(act("gelu_pytorch_tanh") == Activation::gelu_tanh);
  CHECK(act("relu") == Activation::relu);
  CHECK(act("silu") == Activation::silu);
  CHECK(act("swish") == Activation::silu);
}
