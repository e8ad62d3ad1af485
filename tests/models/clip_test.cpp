// CLIP from OpenCLIP's files and from whole folders of Hugging Face's: the same numbers from each, and what is said of wrong ones.
// (The towers against transformers, gradients and all: parity_test.cpp.)
#include <algorithm>

#include "models/golden.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

const std::string torch_file = SSPO_SOURCE_DIR "/tests/golden/clip/openclip.pt";

// The golden model under OpenCLIP's names, changed by `change(name, tensor)`; false drops it.
template <class F>
NamedTensors openclip_tensors(F&& change) {
  NamedTensors tensors;
  for (const auto& [name, shape] : golden_clip().at("openclip").at("shapes").items()) {
    io::NamedTensor t{name, name == "logit_scale" ? full({}, 1.5) : weight_of(name, shape_of(shape))};
    if (change(t)) tensors.push_back(t);
  }
  return tensors;
}
NamedTensors openclip_tensors() {
  return openclip_tensors([](io::NamedTensor&) { return true; });
}

void write_openclip(const TempFolder& folder, const NamedTensors& tensors) {
  io::save_safetensors(folder / "open_clip_model.safetensors", tensors);
  io::write_file(folder / "open_clip_config.json", golden_clip().at("openclip").at("config").dump());
}

// A whole CLIP as transformers lays it out, of the golden runs `vision` 0 and `text` 0.
void write_clip(const std::string& folder, const GoldenJson& extra = GoldenJson::object()) {
  GoldenJson config = {{"model_type", "clip"}, {"projection_dim", 12}, {"vision_config", golden_clip()["vision"][0]["config"]}, {"text_config", golden_clip()["text"][0]["config"]}};
  config.update(extra);
  std::filesystem::create_directories(folder);
  io::write_file(folder + "/config.json", config.dump());
  const ClipConfig c = load_clip_config(folder + "/config.json");
  NamedTensors tensors = checkpoint_of<ClipVision>(*c.vision);
  for (const io::NamedTensor& t : checkpoint_of<ClipTextTower>(*c.text)) tensors.push_back(t);
  tensors.push_back({"logit_scale", full({}, 2.5)});
  tensors.push_back({"text_model.embeddings.position_ids", arange(12, 0, 1, DType::i64)});  // files of 2022 hold them
  io::save_component(folder, config.dump(), "model", tensors);
}

std::vector<double> golden_numbers(const GoldenJson& list) { return list.get<std::vector<double>>(); }

double farthest(const Tensor& x, const std::vector<double>& expected) {
  const std::vector<double> got = numbers(x);
  REQUIRE(got.size() == expected.size());
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - expected[i]));
  return worst;
}

Tensor openclip_pixels(DType dtype = DType::f32) { return cast(normal_of("input.pixel_values", {2, 3, 6, 6}), dtype); }
Tensor openclip_ids() { return Tensor::from(std::vector<std::int64_t>{18, 3, 4, 19, 0, 18, 19, 0, 0, 0}, {2, 5}); }

}  // namespace

TEST_CASE("clip: OpenCLIP's files, safetensors and torch's with its wrappings, give OpenCLIP's numbers") {
  const GoldenJson& golden = golden_clip().at("openclip");
  const TempFolder folder;
  write_openclip(folder, openclip_tensors());
  for (const std::string& path : {folder.path(), folder / "open_clip_model.safetensors", torch_file}) {
    CAPTURE(path);
    // The torch file has no config beside it: its heads are those that the config names, here, since so small a model has not 64 channels a head.
    ClipSource source = open_clip(path, {.activation = Activation::gelu_erf});
    CHECK(source.openclip);
    if (path == torch_file) source.config.vision->num_attention_heads = 2, source.config.text->num_attention_heads = 3;
    const Clip clip = load_clip(source);
    CHECK(clip.logit_scale == doctest::Approx(1.5));
    CHECK(farthest(clip.vision(to_nhwc(openclip_pixels())).embeds, golden_numbers(golden["embeds"]["image"])) <= 1e-5);
    CHECK(farthest(clip.text(openclip_ids()).embeds, golden_numbers(golden["embeds"]["text"])) <= 1e-5);
    std::uint64_t count = 0;
    for (const auto& [name, shape] : golden["shapes"].items()) count += std::uint64_t(shape_of(shape).numel());
    CHECK(clip.bytes == 4 * (count - 1));  // all but logit_scale
  }
}

TEST_CASE("clip: gradients go back under OpenCLIP's names, shapes and axes, within 1e-4 of OpenCLIP's") {
  const GoldenJson& golden = golden_clip().at("openclip");
  const TempFolder folder;
  write_openclip(folder, openclip_tensors());
  const ClipSource source = open_clip(folder.path());
  const Params vision = load_clip_vision(source), text = load_clip_text(source);
  const Tensor pixels = track(openclip_pixels(), "pixel_values");
  const Tensor image = ClipVision(Params(vision), *source.config.vision)(to_nhwc(pixels)).embeds, words = ClipTextTower(Params(text), *source.config.text)(openclip_ids()).embeds;
  const Gradients g = backward(sum(image * normal_of("cotangent.image", image.shape())) + sum(words * normal_of("cotangent.text", words.shape())));
  NamedTensors own;
  for (const Params* params : {&vision, &text})
    for (const Param& p : *params) own.push_back({p.name(), *p.gradient(g)});
  NamedTensors tensors = to_clip_checkpoint(own, source);
  CHECK(tensors.size() + 1 == golden["shapes"].size());  // logit_scale is no tower's
  tensors.push_back({"input.pixel_values", g[pixels]});
  for (const io::NamedTensor& t : tensors) {
    CAPTURE(t.name);
    if (t.name != "input.pixel_values") CHECK(t.tensor.shape() == shape_of(golden["shapes"].at(t.name)));
    const std::vector<double> expected = golden_numbers(golden["gradients"].at(t.name)), got = projections(t.name, t.tensor);
    for (std::size_t k = 0; k < got.size(); ++k) CHECK(std::abs(got[k] - expected[k]) <= 1e-4 * std::max(expected.back(), 0.1));
  }
}

TEST_CASE("clip: embed is the tower's embeds, and its gradient theirs") {
  for (const GoldenJson& run : golden_clip().at("vision")) {
    INFO(run.at("name").get<std::string>());
    const TempFolder folder;
    write_model<ClipVision>(folder.path(), run);
    const Run<ClipVision> r = load_run<ClipVision>(folder.path(), run, DType::f64);
    const Tensor pixels = to_nhwc(r.inputs[0].tensor), whole = r.model(pixels).embeds, alone = r.model.embed(pixels);
    CHECK(distance(alone, whole) <= 1e-12);
    const auto gradients = [&](const Tensor& y) { return backward(sum(y * on(normal_of("cotangent.embeds", y.shape()), y.device(), y.dtype()))); };
    const Gradients a = gradients(alone), b = gradients(whole);
    CHECK(distance(a[r.inputs[0].tensor], b[r.inputs[0].tensor]) <= 1e-12);
    for (const Param& p : r.params) {
      REQUIRE(p.gradient(a));
      CHECK(distance(*p.gradient(a), *p.gradient(b)) <= 1e-11);
    }
  }
}

TEST_CASE("clip: a whole folder of transformers holds both towers, one file of it the same") {
  const TempFolder folder;
  write_clip(folder.path());
  const Tensor pixels = to_nhwc(normal_of("input.pixel_values", {2, 3, 8, 8}));
  for (const std::string& path : {folder.path(), folder / "model.safetensors"}) {
    const ClipSource source = open_clip(path);
    CHECK_FALSE(source.openclip);
    const Clip clip = load_clip(source);
    CHECK(clip.logit_scale == doctest::Approx(2.5));
    CHECK(farthest(clip.vision(pixels).embeds, golden_numbers(golden_clip()["vision"][0]["outputs"]["embeds"]["values"])) <= 1e-5);
  }
}

// The header of an OpenCLIP model of these shapes, and a hole where its numbers would be.
struct Published {
  const char* name;
  Index width, layers, heads, patch, image, inner, projection, text_width, text_layers, text_heads;
};
void write_hollow(const std::string& path, const Published& m) {
  std::vector<io::StoredTensor> tensors;
  std::uint64_t at = 0;
  const auto add = [&](const std::string& name, std::vector<Index> extents) {
    std::uint64_t bytes = 4;
    for (const Index e : extents) bytes *= std::uint64_t(e);
    tensors.push_back({name, io::stored_type(DType::f32), {extents.begin(), extents.end()}, at, at + bytes});
    at += bytes;
  };
  const auto norm = [&](const std::string& name, Index width) { add(name + ".weight", {width}), add(name + ".bias", {width}); };
  const auto layers = [&](const std::string& prefix, Index count, Index width, Index inner) {
    for (Index i = 0; i < count; ++i) {
      const std::string layer = prefix + "transformer.resblocks." + std::to_string(i) + ".";
      norm(layer + "ln_1", width), norm(layer + "ln_2", width);
      add(layer + "attn.in_proj_weight", {3 * width, width}), add(layer + "attn.in_proj_bias", {3 * width});
      add(layer + "attn.out_proj.weight", {width, width}), add(layer + "attn.out_proj.bias", {width});
      add(layer + "mlp.c_fc.weight", {inner, width}), add(layer + "mlp.c_fc.bias", {inner});
      add(layer + "mlp.c_proj.weight", {width, inner}), add(layer + "mlp.c_proj.bias", {width});
    }
  };
  const Index side = m.image / m.patch;
  add("positional_embedding", {77, m.text_width}), add("text_projection", {m.text_width, m.projection}), add("logit_scale", {});
  add("visual.class_embedding", {m.width}), add("visual.positional_embedding", {side * side + 1, m.width}), add("visual.proj", {m.width, m.projection});
  add("visual.conv1.weight", {m.width, 3, m.patch, m.patch});
  norm("visual.ln_pre", m.width), norm("visual.ln_post", m.width), norm("ln_final", m.text_width);
  add("token_embedding.weight", {49408, m.text_width});
  layers("visual.", m.layers, m.width, m.inner), layers("", m.text_layers, m.text_width, 4 * m.text_width);
  const std::string header = io::write_safetensors_header(tensors, {});
  std::string length;
  for (int i = 0; i < 8; ++i) length += char(std::uint64_t(header.size()) >> (8 * i) & 0xff);
  std::ofstream(path, std::ios::binary) << length << header;
  std::filesystem::resize_file(path, 8 + header.size() + at);
}

TEST_CASE("clip: shapes and heads of the published models, from their tensors alone") {
  constexpr Published models[] = {{"B/32", 768, 12, 12, 32, 224, 3072, 512, 512, 12, 8},       {"B/16", 768, 12, 12, 16, 224, 3072, 512, 512, 12, 8},
                                  {"L/14", 1024, 24, 16, 14, 224, 4096, 768, 768, 12, 12},     {"L/14-336", 1024, 24, 16, 14, 336, 4096, 768, 768, 12, 12},
                                  {"H/14", 1280, 32, 16, 14, 224, 5120, 1024, 1024, 24, 16},   {"g/14", 1408, 40, 16, 14, 224, 6144, 1024, 1024, 24, 16},
                                  {"bigG/14", 1664, 48, 16, 14, 224, 8192, 1280, 1280, 32, 20}};
  const TempFolder folder;
  for (const Published& m : models) {
    CAPTURE(m.name);
    const std::string path = folder / "hollow.safetensors";
    write_hollow(path, m);
    const ClipSource s = open_clip(path, {.activation = Activation::quick_gelu});
    REQUIRE(s.config.vision);
    REQUIRE(s.config.text);
    const ClipVisionConfig& v = *s.config.vision;
    const ClipTextConfig& t = *s.config.text;
    CHECK(std::vector{v.hidden_size, v.num_hidden_layers, v.num_attention_heads, v.patch_size, v.image_size, v.intermediate_size, v.projection_dim, v.num_channels} ==
          std::vector{m.width, m.layers, m.heads, m.patch, m.image, m.inner, m.projection, Index(3)});
    CHECK(std::vector{t.hidden_size, t.num_hidden_layers, t.num_attention_heads, t.intermediate_size, t.projection_dim, t.vocab_size, t.max_position_embeddings, t.eos_token_id} ==
          std::vector{m.text_width, m.text_layers, m.text_heads, 4 * m.text_width, m.projection, Index(49408), Index(77), Index(2)});
    CHECK(v.hidden_act == Activation::quick_gelu);
    CHECK(t.hidden_act == Activation::quick_gelu);
    Params vision = Params::shapes_only(), text = Params::shapes_only();
    ClipVision(vision, v), ClipTextTower(text, t);
    check_weights(vision, s.vision_weights, path), check_weights(text, s.text_weights, path);
  }
}

TEST_CASE("clip: configs of 2022 say it in text_config_dict, and one projection holds for both towers") {
  GoldenJson other = golden_clip()["text"][0]["config"];
  other["num_hidden_layers"] = 3, other["projection_dim"] = 99;
  const std::string json = GoldenJson{{"model_type", "clip"}, {"projection_dim", 12}, {"text_config", golden_clip()["text"][0]["config"]}, {"text_config_dict", other}, {"vision_config_dict", nullptr}}.dump();
  const ClipConfig c = read_clip_config(json, {.path = "config.json"});
  CHECK(c.text->num_hidden_layers == 3);
  CHECK(c.text->projection_dim == 12);
  CHECK(c.vision->num_hidden_layers == 12);
  CHECK(c.vision->projection_dim == 12);
}

TEST_CASE("clip: in bf16 half the memory, and much the same numbers") {
  const TempFolder folder;
  write_openclip(folder, openclip_tensors());
  const Clip clip = load_clip(open_clip(folder.path()), {.dtype = DType::bf16}), wide = load_clip(open_clip(folder.path()));
  CHECK(2 * clip.bytes == wide.bytes);
  const Tensor y = clip.vision(cast(to_nhwc(openclip_pixels()), DType::bf16)).embeds;
  CHECK(y.dtype() == DType::bf16);
  CHECK(distance(cast(y, DType::f32), wide.vision(to_nhwc(openclip_pixels())).embeds) <= 0.1);
}

TEST_CASE("clip: wrong files are told by one clear error") {
  const auto without = [](const std::string& name) { return openclip_tensors([&](io::NamedTensor& t) { return t.name != name; }); };
  const TempFolder folder;
  const auto error = [&](const NamedTensors& tensors, std::initializer_list<const char*> parts) {
    write_openclip(folder, tensors);
    check_error([&] { load_clip(open_clip(folder.path())); }, parts);
  };
  error(without("visual.proj"), {"visual_projection.weight", "is missing"});
  error(without("transformer.resblocks.0.ln_2.bias"), {"open_clip_model.safetensors", "text_model.encoder.layers.0.layer_norm2.bias", "missing"});
  error(without("logit_scale"), {"logit_scale", "is missing"});
  error(openclip_tensors([](io::NamedTensor& t) {
          if (t.name == "visual.ln_post.bias") t.name = "visual.attn_pool.bias";
          return true;
        }), {"'visual.attn_pool.bias'", "OpenCLIP"});
  error(openclip_tensors([](io::NamedTensor& t) {
          if (t.name == "visual.positional_embedding") t.tensor = slice(t.tensor, 0, 0, 9);
          return true;
        }), {"position_embedding", "no square", "9"});
  error(openclip_tensors([](io::NamedTensor& t) {
          if (t.name == "visual.transformer.resblocks.1.attn.in_proj_weight") t.tensor = slice(t.tensor, 0, 0, 20);
          return true;
        }), {"in_proj_weight", "equal parts", "[20, 8]"});
  error(openclip_tensors([](io::NamedTensor& t) {
          if (t.name == "visual.transformer.resblocks.1.mlp.c_fc.weight") t.tensor = slice(t.tensor, 0, 0, 10);
          return true;
        }), {"vision_model.encoder.layers.1.mlp.fc1.weight", "[10, 8]", "[20, 8]"});

  io::save_safetensors(folder / "bare.safetensors", openclip_tensors());
  std::filesystem::remove(folder / "open_clip_config.json");
  check_error([&] { open_clip(folder / "bare.safetensors"); }, {"nothing tells the activation", "open_clip_config.json", "quick_gelu"});
  io::save_safetensors(folder / "other.safetensors", {{"conv.weight", zeros({2, 2})}});
  check_error([&] { open_clip(folder / "other.safetensors", {.activation = Activation::gelu_erf}); }, {"no CLIP", "visual.*"});

  const TempFolder hf;
  write_clip(hf.path());
  io::save_safetensors(hf / "model.safetensors", {{"vision_model.embeddings.class_embedding", zeros({16})}, {"qformer.weight", zeros({2})}});
  check_error([&] { open_clip(hf.path()); }, {"qformer.weight", "a tensor that no CLIP has"});
  const Clip whole = [&] { write_clip(hf.path()); return load_clip(open_clip(hf.path())); }();
  check_error([&] { whole.vision(zeros({1, 9, 8, 3})); }, {"clip vision", "[B, 8, 8, 3]", "scale and crop"});
  check_error([] { read_clip_config(R"({"model_type": "clip", "vision_config": {"image_size": 4, "patch_size": 5}})", {.path = "c.json"}); }, {"c.json", "patch_size", "larger than the picture"});
}
