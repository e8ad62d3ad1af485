// Stable Diffusion 1.x in one file against diffusers' own converters (tests/golden/make_single_file.py), and back.
#include "sspo/models/single_file.hpp"

#include <algorithm>

#include "models/golden.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

const GoldenJson& golden() {
  static const GoldenJson json = golden_file("single_file.json");
  return json;
}

// The file's tensors, and what such files carry beside them.
NamedTensors ldm_tensors() {
  NamedTensors all;
  for (const auto& [name, shape] : golden().at("ldm").items()) all.push_back({name, weight_of(name, shape_of(shape))});
  return all;
}
NamedTensors with_tables() {
  NamedTensors all = ldm_tensors();
  all.push_back({"alphas_cumprod", zeros({1000})});
  all.push_back({"model_ema.decay", zeros({})});
  all.push_back({"cond_stage_model.transformer.text_model.embeddings.position_ids", Tensor::from<std::int64_t>({0, 1}, {1, 2})});
  return all;
}

template <class Config>
void check_part(const SingleFile::Part<Config>& part, const std::string& name) {
  const GoldenJson& expected = golden().at("diffusers").at(name);
  CHECK(part.weights.names().size() == expected.size());
  for (const auto& [key, value] : expected.items()) {
    const std::string tensor = key;  // clang 14 captures no structured binding
    INFO(tensor);
    REQUIRE(part.weights.has(tensor));
    CHECK(projections(tensor, part.weights.load(tensor))[0] == doctest::Approx(value.template get<double>()).epsilon(1e-9));
  }
}

void check_close(const std::string& name, const Tensor& y) {
  const std::vector<double> expected = golden().at("outputs").at(name).get<std::vector<double>>(), got = projections(name, y);
  for (std::size_t k = 0; k < 4; ++k) CHECK(std::abs(got[k] - expected[k]) < 1e-5 * std::max(1.0, rms(numbers(y))));
}

}  // namespace

TEST_CASE("single file: names and numbers are those of diffusers' converters") {
  TempFolder folder(TempFolder::in_memory);
  io::save_safetensors(folder / "sd.safetensors", with_tables());
  const SingleFile file = open_single_file(folder / "sd.safetensors", {.size = 64});
  CHECK(file.passed_over == 3);
  CHECK(file.unet.config.block_out_channels == std::vector<Index>{32, 64});
  CHECK(file.unet.config.layers_per_block == std::vector<Index>{2, 2});
  CHECK(file.unet.config.down_attention == std::vector<bool>{true, false});
  CHECK(file.unet.config.up_attention == std::vector<bool>{false, true});
  CHECK(file.unet.config.heads[0] == 8);
  CHECK(file.unet.config.cross_attention_dim[0] == 64);
  CHECK(file.unet.config.sample_size == 32);
  CHECK(file.vae.config.block_out_channels == std::vector<Index>{32, 64});
  CHECK(file.text_encoder.config.num_hidden_layers == 2);
  CHECK(file.text_encoder.config.num_attention_heads == 1);
  CHECK(file.scheduler.kind == SchedulerKind::pndm);
  check_part(file.unet, "unet");
  check_part(file.vae, "vae");
  check_part(file.text_encoder, "text_encoder");
  CHECK(is_single_file(io::open_weights(folder / "sd.safetensors")));
}

TEST_CASE("single file: to a folder, which computes what diffusers' does, and back to the same bytes") {
  TempFolder folder(TempFolder::in_memory);
  io::save_safetensors(folder / "sd.safetensors", ldm_tensors(), {{"format", "pt"}});
  const ClipTokenizer tokenizer = ClipTokenizer::open(SSPO_SOURCE_DIR "/tests/golden/tokenizer");
  save_pipeline(open_single_file(folder / "sd.safetensors"), tokenizer, folder / "sd");
  for (const StableDiffusion& sd : {StableDiffusion::load(folder / "sd"), load_pipeline(open_single_file(folder / "sd.safetensors"), tokenizer)}) {
    CHECK(sd.unet.config().sample_size == 256);
    check_close("text", sd.text_encoder(Tensor::from<std::int64_t>({702, 5, 600, 17, 703}, {1, 5})).last_hidden_state);
    const Tensor z = to_nhwc(normal_of("input.sample", {1, 4, 8, 8}));
    check_close("unet", to_nchw(sd.unet(z, full({1}, 500), normal_of("input.encoder_hidden_states", {1, 5, 64}))));
    check_close("vae-decode", to_nchw(sd.vae.decode(z)));
    check_close("vae-encode", to_nchw(sd.vae.encode(to_nhwc(normal_of("input.image", {1, 3, 32, 32}))).mean));
  }
  save_single_file(folder / "sd", folder / "again.safetensors");
  CHECK(io::File(folder / "again.safetensors").text(1 << 30) == io::File(folder / "sd.safetensors").text(1 << 30));
}

TEST_CASE("single file: averaged weights, a text encoder without its prefix, halves") {
  TempFolder folder(TempFolder::in_memory);
  NamedTensors all;
  for (io::NamedTensor& t : ldm_tensors()) {
    if (t.name.starts_with("model.")) {
      std::string name = t.name.substr(6);
      name.erase(std::remove(name.begin(), name.end(), '.'), name.end());
      all.push_back({"model_ema." + name, t.tensor * 2});
    }
    if (const std::size_t at = t.name.find("text_model."); at != std::string::npos) t.name.erase(at, 11);
    t.tensor = cast(t.tensor, DType::f16);
    all.push_back(std::move(t));
  }
  io::save_safetensors(folder / "sd.safetensors", all);
  const SingleFile own = open_single_file(folder / "sd.safetensors"), ema = open_single_file(folder / "sd.safetensors", {.ema = true});
  CHECK(own.unet.weights.find("conv_in.weight")->type->name == "F16");
  CHECK(ema.unet.weights.find("conv_in.weight")->type->name == "F32");
  CHECK(same_bits(ema.unet.weights.load("conv_in.weight"), weight_of("model.diffusion_model.input_blocks.0.0.weight", {32, 4, 3, 3}) * 2));
  CHECK(own.passed_over == ema.passed_over);
  CHECK(own.text_encoder.weights.has("text_model.final_layer_norm.weight"));
}

TEST_CASE("single file: what is wrong is listed by name") {
  TempFolder folder(TempFolder::in_memory);
  const auto error = [&](auto&& change, const SingleFileOptions& o = {}) {
    NamedTensors all = ldm_tensors();
    change(all);
    io::save_safetensors(folder / "sd.safetensors", all);
    return error_of([&] { open_single_file(folder / "sd.safetensors", o); });
  };
  const auto named = [](NamedTensors& all, const std::string& name) -> io::NamedTensor& { return *std::find_if(all.begin(), all.end(), [&](const auto& t) { return t.name == name; }); };
  const auto has = [](const std::string& text, const char* part) { CHECK_MESSAGE(text.find(part) != std::string::npos, text); };
  const std::string conv = "model.diffusion_model.input_blocks.1.0.in_layers.0.weight";
  has(error([&](NamedTensors& all) { named(all, conv).name = "model.diffusion_model.other"; }),
      "1 missing: 'model.diffusion_model.input_blocks.1.0.in_layers.0.weight'; 1 unknown: 'model.diffusion_model.other'");
  has(error([&](NamedTensors& all) { named(all, conv).tensor = zeros({31}); }), "1 of another shape: 'down_blocks.0.resnets.0.norm1.weight' is [31], the config asks for [32]");
  has(error([&](NamedTensors& all) { named(all, "model.diffusion_model.input_blocks.0.0.weight").name = "x"; }), "model.diffusion_model.input_blocks.0.0.weight: is missing: this is no Stable Diffusion 1.x");
  has(error([](NamedTensors&) {}, {.ema = true}), "no averaged weights in the file");
  has(error([](NamedTensors&) {}, {.heads = 7}), "unet.attention_head_dim: the heads do not divide the channels");
  has(error([](NamedTensors& all) { all.push_back({"cond_stage_model.model.transformer.resblocks.0.ln_1.weight", zeros({1})}); }), "the file is of Stable Diffusion 2");
  has(error([](NamedTensors& all) { all.push_back({"conditioner.embedders.0.x", zeros({1})}); }), "the file is of Stable Diffusion XL");
  has(error([](NamedTensors& all) { all = {{"w", zeros({1})}}; }), "is missing: this is no Stable Diffusion 1.x in one file");
}
