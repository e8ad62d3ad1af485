// LoRA files in each layout against diffusers and peft (tests/golden/make_lora.py), and the two real ones of cloneofsimo/lora.
#include "sspo/models/lora.hpp"

#include <cstdlib>
#include <filesystem>

#include "models/golden.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

const std::string model = SSPO_SOURCE_DIR "/tests/golden/pipeline/model";

const GoldenJson& golden() {
  static const GoldenJson json = golden_file("lora.json");
  return json;
}

// A case's file, with its config beside it.
Lora lora_of(const TempFolder& folder, const GoldenJson& c) {
  NamedTensors all;
  for (const auto& [name, shape] : c.at("tensors").items()) all.push_back({name, weight_of(name, shape_of(shape))});
  for (const auto& [name, value] : c.at("alphas").items()) all.push_back({name, full({}, value.get<double>())});
  io::save_safetensors(folder / "lora.safetensors", all, c.at("metadata").get<io::Metadata>());
  std::filesystem::remove(folder / "adapter_config.json");
  if (!c.at("config").is_null()) io::write_file(folder / "adapter_config.json", c.at("config").dump());
  return open_lora(folder / "lora.safetensors");
}

Params unet_params(const std::string& dir = model) { return load_params<UNet>(load_unet_config(dir + "/unet/config.json"), dir + "/unet"); }
Params text_params(const std::string& dir = model) { return load_params<ClipText>(load_clip_text_config(dir + "/text_encoder/config.json"), dir + "/text_encoder"); }

// What differs between two sets of parameters is what the case says.
void check_changes(const GoldenJson& c, const Params& before, const Params& after, const std::string& part, std::size_t& seen) {
  for (const Param& p : before) {
    const Tensor change = to_checkpoint(cast(after[p.name()].value(), DType::f64) - cast(p.value(), DType::f64));
    const std::string name = part + "." + p.name();
    INFO(name);
    const auto it = c.at("changed").find(name);
    if (it == c.at("changed").end()) {
      CHECK(rms(numbers(change)) == 0);
      continue;
    }
    ++seen;
    CHECK(std::abs(projections(name, change)[0] - it->get<double>()) < 1e-6 * std::max(1.0, std::abs(it->get<double>())));
  }
}

void save(const TempFolder& folder, const NamedTensors& tensors, const io::Metadata& metadata = {}) { io::save_safetensors(folder / "l.safetensors", tensors, metadata); }

}  // namespace

TEST_CASE("lora: each layout changes the weights as diffusers and peft do") {
  TempFolder folder(TempFolder::in_memory);
  for (const GoldenJson& c : golden().at("cases")) {
    INFO(c.at("name").get<std::string>());
    const Lora lora = lora_of(folder, c);
    CHECK(lora.unknown.empty());
    Params unet = unet_params(), text = text_params();
    LoraChange change;
    add_lora(lora, c.at("scale").get<double>(), LoraPart::unet, unet, change);
    add_lora(lora, c.at("scale").get<double>(), LoraPart::text_encoder, text, change);
    std::size_t seen = 0;
    check_changes(c, unet_params(), unet, "unet", seen);
    check_changes(c, text_params(), text, "text_encoder", seen);
    CHECK(seen == c.at("changed").size());
    CHECK(change.tensors == seen);
    CHECK(change.unmatched.empty());
    CHECK(std::sqrt(change.square) == doctest::Approx(c.at("norm").get<double>()).epsilon(1e-6));
  }
}

TEST_CASE("lora: merged into a folder, in the folder's own types") {
  TempFolder folder(TempFolder::in_memory);
  const GoldenJson& c = golden().at("cases")[2];  // kohya
  const Lora lora = lora_of(folder, c);
  CHECK(lora.layout == LoraLayout::kohya);
  std::filesystem::create_directory(folder / "merged");
  const LoraChange change = merge_lora(model, lora, c.at("scale").get<double>(), folder / "merged");
  CHECK(change.tensors == c.at("changed").size());
  const io::Weights merged = io::open_weights(folder / "merged/unet"), text = io::open_weights(folder / "merged/text_encoder");
  CHECK(merged.find("conv_in.weight")->type->name == "F16");
  for (const char* file : {"/model_index.json", "/vae/config.json", "/tokenizer/tokenizer_config.json", "/scheduler/scheduler_config.json", "/unet/config.json"})
    CHECK(io::File(folder.path() + "/merged" + file).text(1 << 24) == io::File(model + file).text(1 << 24));
  Params unet = unet_params();
  LoraChange again;
  add_lora(lora, c.at("scale").get<double>(), LoraPart::unet, unet, again);
  for (const Param& p : unet) CHECK(same_bits(merged.load_as_stored(p.name()), cast(to_checkpoint(p.value()), DType::f16)));

  const Lora peft = lora_of(folder, golden().at("cases")[5]);  // the UNet alone
  std::filesystem::create_directory(folder / "unet-alone");
  merge_lora(model, peft, 1, folder / "unet-alone");
  CHECK(io::File(folder / "unet-alone/text_encoder/model.safetensors").text(1 << 24) == io::File(model + "/text_encoder/model.safetensors").text(1 << 24));
}

TEST_CASE("lora: modules that are counted, in the order of cloneofsimo/lora") {
  TempFolder folder(TempFolder::in_memory);
  const std::vector<std::string> today = golden().at("order").get<std::vector<std::string>>();
  // In the diffusers of those files the MLP stood between the two attentions.
  std::vector<std::string> older, without;
  for (std::size_t b = 0; b < today.size(); b += 9) {
    for (const std::size_t i : {0, 1, 2, 3, 8, 4, 5, 6, 7}) older.push_back(today[b + i]);
    for (std::size_t i = 0; i < 8; ++i) without.push_back(today[b + i]);
  }
  const Params before = unet_params();
  for (const std::vector<std::string>& order : {today, older, without}) {
    NamedTensors all;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const Shape s = before[order[i] + ".weight"].shape();
      const std::string at = "unet:" + std::to_string(i);
      all.push_back({at + ":up", weight_of(order[i] + "up", {s[0], 1})});
      all.push_back({at + ":down", weight_of(order[i] + "down", {1, s[1]})});
    }
    all.push_back({"<s1>", zeros({16})});
    save(folder, all);
    const Lora lora = open_lora(folder / "l.safetensors");
    CHECK(lora.layout == LoraLayout::indexed);
    CHECK(lora.token_embeddings == 1);
    Params after = unet_params();
    LoraChange change;
    add_lora(lora, 0.5, LoraPart::unet, after, change);
    CHECK(change.tensors == order.size());
    for (const std::string& name : order) {
      INFO(name);
      const Tensor expected = matmul(weight_of(name + "up", {before[name + ".weight"].shape()[0], 1}), weight_of(name + "down", {1, before[name + ".weight"].shape()[1]})) * 0.5;
      CHECK(distance(after[name + ".weight"].value() - before[name + ".weight"].value(), expected) < 1e-6);
    }
    NamedTensors fewer(all.begin(), all.end() - 3);
    save(folder, fewer);
    check_error([&] { Params p = unet_params(); LoraChange c; add_lora(open_lora(folder / "l.safetensors"), 1, LoraPart::unet, p, c); }, {"unet:0: the LoRA is for another architecture"});
  }
}

TEST_CASE("lora: the real files of cloneofsimo/lora fit Stable Diffusion 1.5") {
  const char* data = std::getenv("SSPO_TEST_DATA");
  const std::string dir = data ? data : SSPO_SOURCE_DIR "/../shared/data";
  if (!std::filesystem::exists(dir + "/lora")) {
    MESSAGE("skipped: no SSPO_TEST_DATA");
    return;
  }
  // Zero weights in 16 bits that share one number until something is added: what is added can be compared.
  Params shapes = Params::shapes_only(), text_shapes = Params::shapes_only();
  UNet{shapes, UNetConfig{}};
  ClipText{text_shapes, ClipTextConfig{}};
  const auto zeros_of = [](const Params& wanted) {
    NamedTensors tensors;
    for (const Param& p : wanted) tensors.push_back({p.name(), expand(zeros({}, DType::bf16), stored_shape(p.shape()))});
    return tensors;
  };
  for (const auto& [file, rank, words] : {std::tuple{"analog_svd_rank4", 4, 0}, {"lora_disney", 1, 2}}) {
    const std::string path = dir + "/lora/" + file + ".safetensors";
    INFO(path);
    const Lora lora = open_lora(path);
    CHECK(lora.modules.size() == 192);
    CHECK(lora.modules[0].rank == rank);
    CHECK(lora.token_embeddings == std::size_t(words));
    CHECK(lora.unknown.empty());
    LoraChange change;
    const auto check = [&](const NamedTensors& tensors, const std::string& weight, const std::string& at) {
      const auto it = std::find_if(tensors.begin(), tensors.end(), [&](const io::NamedTensor& t) { return t.name == weight; });
      REQUIRE(it != tensors.end());
      CHECK(same_bits(it->tensor, cast(matmul(lora.weights.load(at + ":up"), lora.weights.load(at + ":down")), DType::bf16)));
    };
    {
      NamedTensors unet = zeros_of(shapes);
      add_lora(lora, 1, LoraPart::unet, shapes, unet, change);
      CHECK(change.tensors == 144);
      check(unet, "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj.weight", "unet:4");
      check(unet, "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight", "unet:6");
      check(unet, "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight", "unet:54");
      check(unet, "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0.weight", "unet:143");
    }
    NamedTensors text = zeros_of(text_shapes);
    add_lora(lora, 1, LoraPart::text_encoder, text_shapes, text, change);
    CHECK(change.tensors == 192);
    check(text, "text_model.encoder.layers.0.self_attn.k_proj.weight", "text_encoder:0");
    check(text, "text_model.encoder.layers.0.self_attn.q_proj.weight", "text_encoder:2");
    check(text, "text_model.encoder.layers.11.self_attn.out_proj.weight", "text_encoder:47");
  }
}

TEST_CASE("lora: what is wrong") {
  TempFolder folder(TempFolder::in_memory);
  const std::string q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
  const auto opened = [&](const NamedTensors& tensors, const io::Metadata& metadata = {}) {
    save(folder, tensors, metadata);
    return open_lora(folder / "l.safetensors");
  };
  const NamedTensors good = {{"unet." + q + ".lora_A.weight", zeros({2, 8})}, {"unet." + q + ".lora_B.weight", zeros({8, 2})}};
  CHECK(opened(good).modules.size() == 1);
  const auto check = [&](const NamedTensors& tensors, std::initializer_list<const char*> parts, const io::Metadata& metadata = {}) {
    check_error([&] {
      const Lora lora = opened(tensors, metadata);
      Params unet = unet_params();
      LoraChange change;
      add_lora(lora, 1, LoraPart::unet, unet, change);
      require_some(change, lora);
    }, parts);
  };
  check({{"w", zeros({1})}}, {"no LoRA in the file", "got 'w'"});
  check({good[0]}, {"one half of a change (expected up and down)"});
  check({good[0], {good[1].name, zeros({8, 3})}}, {"ranks that do not meet", "[2, 8] F32 and [8, 3] F32"});
  check({{good[0].name, zeros({2, 10})}, good[1]}, {"the LoRA is for another architecture", "expected a change of [8, 8] for " , "got [8, 2] F32 times [2, 10] F32"});
  check({{"lora_unet_input_blocks_9.lora_down.weight", zeros({2, 8})}, {"lora_unet_input_blocks_9.lora_up.weight", zeros({8, 2})}},
        {"another architecture: none of its modules is in the model", "lora_unet_input_blocks_9.lora_down.weight"});
  check({good[0], good[1], {"lora_unet_x.dora_scale", zeros({1})}}, {"lora_unet_x.dora_scale", "DoRA is not supported"});
  check({good[0], good[1], {"unet." + q + ".lora_magnitude_vector", zeros({8})}}, {"DoRA is not supported"});
  check(good, {"unet.use_dora: unsupported"}, {{"lora_adapter_metadata", R"({"unet.use_dora": true})"}});
  check(good, {"lora_adapter_metadata"}, {{"lora_adapter_metadata", "{"}});
  check({good[0], good[1], {"unet." + q + ".alpha", zeros({2})}}, {"not a number (expected one finite number"});
  NamedTensors more = good;
  more.push_back({"lora_unet_x.hada_w1_a", zeros({1})});
  CHECK(opened(more).unknown == std::vector<std::string>{"lora_unet_x.hada_w1_a"});
}
