// Weights from checkpoints into Params and back: what does not fit, old names, other types, several files; and what diffusers and
// transformers read and write.
#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "models/golden.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

const GoldenJson& run_named(const char* part, const std::string& name) {
  for (const GoldenJson& run : golden_models().at(part))
    if (run.at("name") == name) return run;
  throw std::runtime_error("no run " + name);
}

// A component in a folder of its own.
template <class Model>
struct Component {
  using Of = Model;
  TempFolder folder;
  typename Model::Config config;
  NamedTensors tensors;  // as they should be

  Component(const char* part, const std::string& name) {
    const GoldenJson& run = run_named(part, name);
    io::write_file(folder / "config.json", run.at("config").dump());
    config = config_in<Model>(folder.path());
    tensors = checkpoint_of<Model>(config);
  }
  Params load(const io::WeightsOptions& from = {}, DType dtype = DType::f32) const { return load_params<Model>(config, folder.path(), from, {.dtype = dtype}); }
  Params load_of(const NamedTensors& file) const {
    io::save_safetensors(folder / "model.safetensors", file);
    return load();
  }
};

void check_same(const Params& a, const Params& b) {
  REQUIRE(a.size() == b.size());
  for (const Param& p : a) {
    CAPTURE(p.name());
    CHECK(same_bits(p.value(), b[p.name()].value()));
  }
}

NamedTensors cast_all(NamedTensors tensors, DType dtype) {
  for (auto& [name, x] : tensors) x = cast(x, dtype);
  return tensors;
}

void replace(std::string& text, std::string_view from, std::string_view to) {
  if (const std::size_t at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("weights: convolutions lie as OIHW in files and as OHWI here, matrices as they are") {
  const Component<Autoencoder> vae("vae", "one block, grey: encode");
  const Params params = vae.load_of(vae.tensors);
  Index convolutions = 0;
  for (const auto& [name, stored] : vae.tensors) {
    const Tensor own = params[name].value();
    CHECK(own.contiguous());
    if (stored.rank() != 4) {
      CHECK(same_bits(own, stored));
      continue;
    }
    ++convolutions;
    const auto [O, I, H, W] = stored.dims<4>();
    REQUIRE(own.shape() == Shape{O, H, W, I});
    bool same = true;
    for (Index o = 0; o < O; ++o)
      for (Index i = 0; i < I; ++i)
        for (Index y = 0; y < H; ++y)
          for (Index x = 0; x < W; ++x) same = same && own.item<float>(((o * H + y) * W + x) * I + i) == stored.item<float>(((o * I + i) * H + y) * W + x);
    CHECK(same);
  }
  CHECK(convolutions > 10);
}

TEST_CASE("weights: what is missing, of another shape, and what no parameter takes, with the nearest names") {
  const Component<Autoencoder> vae("vae", "one block, grey: encode");
  NamedTensors file;
  for (auto [name, x] : vae.tensors) {
    if (name == "quant_conv.bias") continue;
    if (name == "encoder.conv_in.weight") x = contiguous(permute(x, {0, 2, 3, 1}));  // someone wrote it in our order
    if (name == "decoder.conv_out.bias") name = "decoder.conv_uot.bias";
    file.push_back({name, x});
  }
  const std::string text = error_of([&] { vae.load_of(file); });
  CAPTURE(text);
  CHECK(text.find('\n') == std::string::npos);
  CHECK(text.starts_with(vae.folder.path()));
  for (const char* part : {"the weights do not fit the config", "2 missing: ", "'quant_conv.bias'", "'decoder.conv_out.bias'", "1 of another shape: 'encoder.conv_in.weight' is [8, 3, 3, 1]",
                           "the config asks for [8, 1, 3, 3]", "1 that no parameter takes: 'decoder.conv_uot.bias' (the nearest names are 'decoder.conv_out.bias'", "config.json"})
    CHECK(text.find(part) != std::string::npos);

  for (const Tensor& one : {full({}, 1), full({64}, 1), full({16, 8}, 1), full({8, 8, 2, 2}, 1)}) {
    CAPTURE(one.str());
    NamedTensors other = vae.tensors;
    for (auto& [n, x] : other)
      if (n == "encoder.mid_block.attentions.0.to_q.weight") x = one;
    check_error([&] { vae.load_of(other); }, {"1 of another shape: 'encoder.mid_block.attentions.0.to_q.weight'", "the config asks for [8, 8]"});
  }
  check_error([&] { vae.load_of({}); }, {"92 missing: 'encoder.", ", ..."});
  for (const DType dtype : {DType::i32, DType::boolean}) {
    NamedTensors other = vae.tensors;
    other[3].tensor = cast(other[3].tensor, dtype);
    check_error([&] { vae.load_of(other); }, {"the type cannot be converted", "f32", other[3].name.c_str()});
  }
}

TEST_CASE("weights: any number of foreign names, of any length and any bytes, is one short line, at once") {
  const Component<UNet> unet("unet", "three blocks, layers and heads by block, centred input");
  NamedTensors file = unet.tensors;
  for (int i = 0; i < 20000; ++i) file.push_back({"foreign.block." + std::to_string(i) + ".attentions.0.transformer_blocks.0.attn1.to_q.weight", full({1}, 0)});
  file.push_back({std::string(1'000'000, 'a'), full({1}, 0)});
  file.push_back({"a\n\x1b[31m", full({1}, 0)});
  const auto start = std::chrono::steady_clock::now();
  const std::string text = error_of([&] { unet.load_of(file); });
  CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < 5);
  CHECK(text.find("20002 that no parameter takes: 'a\\x0a\\x1b[31m' (the nearest") != std::string::npos);
  CHECK(text.find('\n') == std::string::npos);
  CHECK(text.size() < 8000);
}

TEST_CASE("weights: the autoencoder's older names, as matrices or 1x1 convolutions") {
  const Component<Autoencoder> vae("vae", "one layer: decode");
  const Params expected = vae.load_of(vae.tensors);
  for (const bool convolutions : {false, true}) {
    NamedTensors old = vae.tensors;
    int renamed = 0;
    for (auto& [name, x] : old) {
      const std::string today = name;
      for (const auto& [now, once] : {std::pair{".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}}) replace(name, now, once);
      if (name == today) continue;
      ++renamed;
      if (convolutions && x.rank() == 2) x = reshape(x, {x.dim(0), x.dim(1), 1, 1});
    }
    CHECK(renamed == 16);
    check_same(vae.load_of(old), expected);
    const io::Weights weights = io::open_weights(vae.folder.path());
    for (std::size_t i = 0; i < old.size(); ++i) {  // and back: as the file has it
      const io::NamedTensor back = to_checkpoint(expected[vae.tensors[i].name].value(), vae.tensors[i].name, weights);
      CHECK(back.name == old[i].name);
      CHECK(same_bits(back.tensor, old[i].tensor));
    }
    check_error([&] { to_checkpoint(full({1}, 0), "conv_uot.bias", weights); }, {"no such tensor", "'conv_uot.bias'"});
    old.push_back(vae.tensors[0]);  // both names at once: the older one is nobody's
    for (const auto& [name, x] : vae.tensors)
      if (name == "decoder.mid_block.attentions.0.to_q.bias") old.back() = {name, x};
    check_error([&] { vae.load_of(old); }, {"1 that no parameter takes: 'decoder.mid_block.attentions.0.query.bias'"});
  }
}

TEST_CASE("weights: a text encoder with position_ids, with and without the prefix text_model") {
  const Component<ClipText> text("text", "heads of 4, 2 layers, large eps");
  const Params expected = text.load_of(text.tensors);
  for (const bool prefix : {true, false}) {
    NamedTensors file = text.tensors;
    if (!prefix)
      for (auto& [name, x] : file) replace(name, "text_model.", "");
    file.push_back({prefix ? "text_model.embeddings.position_ids" : "embeddings.position_ids", Tensor::from<std::int64_t>({0, 1, 2, 3, 4}, {1, 5})});
    check_same(text.load_of(file), expected);
  }
}

TEST_CASE("weights: files of f16 and bf16, as variants or the only ones; into f32, bf16, f64") {
  const Component<UNet> unet("unet", "two layers, odd sizes");
  const NamedTensors half = cast_all(unet.tensors, DType::f16), brain = cast_all(unet.tensors, DType::bf16);
  io::save_component(unet.folder.path(), "{}", "diffusion_pytorch_model", unet.tensors);
  io::save_component(unet.folder.path(), "{}", "diffusion_pytorch_model", half, {.variant = "fp16"});
  io::save_component(unet.folder.path(), "{}", "diffusion_pytorch_model", brain, {.variant = "bf16"});
  const auto check = [&](const Params& params, const NamedTensors& stored, DType dtype) {
    for (const io::NamedTensor& x : stored) {
      CAPTURE(x.name);
      CHECK(params[x.name].value().dtype() == dtype);
      CHECK(same_bits(to_checkpoint(params[x.name].value()), cast(x.tensor, dtype)));
    }
  };
  for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
    check(unet.load({}, dtype), unet.tensors, dtype);
    check(unet.load({.variant = "fp16"}, dtype), half, dtype);
    check(unet.load({.variant = "bf16"}, dtype), brain, dtype);
  }
  check_error([&] { unet.load({.variant = "ema"}); }, {"no weights of the variant 'ema'"});
  CHECK(weights_hash(unet.folder.path()) != weights_hash(unet.folder.path(), {.variant = "fp16"}));
}

TEST_CASE("weights: in several files with an index; one of them missing or swapped") {
  const Component<UNet> unet("unet", "four blocks as SD-1.5");
  const Params expected = unet.load_of(unet.tensors);
  std::filesystem::remove(unet.folder / "model.safetensors");
  io::save_component(unet.folder.path(), "{}", "diffusion_pytorch_model", unet.tensors, {.max_file_bytes = 100'000});
  std::vector<std::string> shards;
  for (const auto& entry : std::filesystem::directory_iterator(unet.folder.path()))
    if (entry.path().extension() == ".safetensors") shards.push_back(entry.path());
  std::sort(shards.begin(), shards.end());
  REQUIRE(shards.size() > 3);
  CHECK(shards[0].starts_with(unet.folder / "diffusion_pytorch_model-00001-of-000"));
  check_same(unet.load(), expected);
  const std::string hash = weights_hash(unet.folder.path());
  CHECK(hash.size() == 10);
  std::filesystem::rename(shards[1], shards[1] + ".away");
  CHECK(error_of([&] { unet.load(); }).find(shards[1]) != std::string::npos);
  std::filesystem::copy_file(shards[2], shards[1]);
  check_error([&] { unet.load(); }, {"the index"});
  CHECK(hash != weights_hash(shards[2]));
}

TEST_CASE("weights: what is saved from Params is what was read, in each type") {
  const auto check = [](const auto& component, const char* stem) {
    component.load_of(component.tensors);
    for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
      const Params params = component.load({}, dtype);
      const NamedTensors saved = to_checkpoint(params);
      const TempFolder again;
      io::save_component(again.path(), "{}", stem, saved);
      check_same(load_params<typename std::decay_t<decltype(component)>::Of>(component.config, again.path(), {}, {.dtype = dtype}), params);
      const io::Weights file = io::open_weights(again.path());
      CHECK(file.names().size() == component.tensors.size());
      for (const auto& [name, x] : component.tensors) CHECK(same_bits(file.load(name, dtype), cast(x, dtype)));
    }
  };
  check(Component<ClipText>("text", "eos id 2, full length"), "model");
  check(Component<UNet>("unet", "3 to 5 channels, linear projections, 2 transformer layers, sines first, shift 1"), "diffusion_pytorch_model");
  check(Component<Autoencoder>("vae", "no quant_conv, no attention, groups of one channel: decode"), "diffusion_pytorch_model");
}

// SSPO_PYTHON: a Python with diffusers and transformers. Set by the test python_diffusers, if CMake was given one.
TEST_CASE("weights: diffusers and transformers load what sspo saves, compute the same, and sspo loads what they save") {
  const char* python = std::getenv("SSPO_PYTHON");
  const std::string script = std::string("'") + (python ? python : "") + "' '" SSPO_SOURCE_DIR "/tests/models/diffusers_roundtrip.py'";
  if (!python || !*python || std::system(script.c_str()) != 0) {
    MESSAGE("skipped: SSPO_PYTHON names no Python with diffusers and transformers");
    return;
  }
  const TempFolder root;
  std::string folders;
  int number = 0;
  for_each_run([&]<class Model>(std::type_identity<Model>, const GoldenJson& run) {
    const std::string folder = root / std::to_string(number++);
    folders += " '" + folder + "'";
    write_model<Model>(folder, run);
    const Run<Model> r = load_run<Model>(folder, run, DType::f32);
    // Through Params and out again, every other model in several files.
    io::save_component(folder, run.at("config").dump(2), stem_of<Model>(), to_checkpoint(r.params), {.max_file_bytes = number % 2 ? ~std::uint64_t(0) : 50'000});
    NamedTensors inputs = r.inputs, outputs = r.outputs();
    for (auto* list : {&inputs, &outputs})
      for (auto& [name, x] : *list) x = contiguous(detach(x));
    io::save_safetensors(folder + "/inputs.safetensors", inputs);
    io::save_safetensors(folder + "/outputs.safetensors", outputs);
  });
  REQUIRE(std::system((script + folders).c_str()) == 0);
  number = 0;
  for_each_run([&]<class Model>(std::type_identity<Model>, const GoldenJson&) {
    const std::string folder = root / std::to_string(number++);
    const Params params = load_params<Model>(config_in<Model>(folder), folder);
    for (const char* again : {"/again", "/again_sharded"}) check_same(load_params<Model>(config_in<Model>(folder + again), folder + again), params);
    const Params half = load_params<Model>(config_in<Model>(folder + "/again_fp16"), folder + "/again_fp16", {.variant = "fp16"});
    for (const Param& p : params) CHECK(same_bits(half[p.name()].value(), cast(cast(p.value(), DType::f16), DType::f32)));
  });
}
