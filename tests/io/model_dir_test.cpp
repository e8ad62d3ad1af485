#include "sspo/io/model_dir.hpp"

#include "io/folder.hpp"
#include "sspo/ops/create.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::io;
using testing::check_error;
using testing::TempFolder;
namespace fs = std::filesystem;

namespace {

const Tensor a = Tensor::from<float>({1, 2, 3, 4}, {2, 2}), b = Tensor::from<float>({5, 6}, {2});

void index(const std::string& path, const std::string& map, const std::string& metadata = "{}") {
  write_file(path, "{\"metadata\": " + metadata + ", \"weight_map\": " + map + "}");
}

}  // namespace

TEST_CASE("weights: one file, by each of its names") {
  for (const char* name : {"diffusion_pytorch_model.safetensors", "model.safetensors"}) {
    const TempFolder folder;
    save_safetensors(folder / name, {{"a", a}, {"b", b}});
    const Weights w = open_weights(folder.path());
    CHECK(w.names() == std::vector<std::string>{"a", "b"});
    CHECK(w.has("a"));
    CHECK_FALSE(w.has("c"));
    CHECK(w.path_of("a") == folder / name);
    CHECK(testing::same_bits(w.load("a"), a));
    CHECK(testing::same_bits(open_weights(folder / name).load("b"), b));  // the file itself
    check_error([&] { w.load("c"); }, {name, ": c: there is no tensor of this name"});
  }
}

TEST_CASE("weights: variants are asked for by name, and nothing else serves") {
  const TempFolder folder;
  save_safetensors(folder / "model.fp16.safetensors", {{"a", Tensor::from<f16>({f16{0.1f}, f16{-2}}, {2})}});
  const Weights w = open_weights(folder.path(), {.variant = "fp16"});
  CHECK(w.load("a").to_vector<float>() == std::vector<float>{to_float(f16{0.1f}), -2});
  CHECK(w.load("a", DType::f16).dtype() == DType::f16);
  CHECK(w.find("a")->str() == "[2] F16");
  check_error([&] { open_weights(folder.path()); }, {"no weights here", "got model.fp16.safetensors", "a variant is chosen by its name"});
  check_error([&] { open_weights(folder.path(), {.variant = "bf16"}); }, {"no weights of the variant 'bf16' here", "diffusion_pytorch_model.bf16.safetensors or model.bf16.safetensors"});
  check_error([&] { open_weights(folder.path(), {.variant = "../x"}); }, {"variant: not a plain relative name"});
  const TempFolder none;
  check_error([&] { open_weights(none.path()); }, {"no weights here", "no weights of any kind"});
  check_error([&] { open_weights(none / "x"); }, {"/x: cannot be opened"});
}

TEST_CASE("weights: conversions round to nearest, and only between floats") {
  const TempFolder folder;
  save_safetensors(folder / "model.safetensors", {{"d", Tensor::from<double>({0.1, 1e300}, {2})}, {"h", Tensor::from<bf16>({bf16{3.14159f}}, {1})},
                                                  {"f", Tensor::from<float>({1.00390625f, 65519.9f}, {2})}, {"i", Tensor::from<std::int64_t>({7}, {1})}});
  const Weights w = open_weights(folder.path());
  CHECK(w.load("d").to_vector<float>() == std::vector<float>{0.1f, INFINITY});
  CHECK(w.load("h", DType::f64).item<double>() == 3.140625);
  CHECK(to_float(w.load("f", DType::bf16).item<bf16>(0)) == 1.0f);  // a tie: to even
  CHECK(to_float(w.load("f", DType::f16).item<f16>(1)) == 65504.0f);
  CHECK(w.load("i", DType::i64).item<std::int64_t>() == 7);
  check_error([&] { w.load("i"); }, {": i: the type cannot be converted (expected f32, got [1] I64)"});
  check_error([&] { w.load("f", DType::i32); }, {"the type cannot be converted"});
}

TEST_CASE("weights: several files and an index, plain, variant and the older variant's name") {
  for (const auto& [name, variant] : {std::pair{"diffusion_pytorch_model.safetensors.index.json", ""}, {"model.safetensors.index.json", ""},
                                      {"diffusion_pytorch_model.safetensors.index.fp16.json", "fp16"}, {"model.safetensors.fp16.index.json", "fp16"}}) {
    const TempFolder folder;
    fs::create_directory(folder / "blobs");
    save_safetensors(folder / "blobs/one", {{"a", a}});
    fs::create_symlink("blobs/one", folder / "1.safetensors");  // as in the cache of the Hugging Face hub
    save_safetensors(folder / "2.safetensors", {{"b", b}});
    index(folder / name, R"({"b": "2.safetensors", "a": "1.safetensors"})", R"({"total_size": 24})");
    const Weights w = open_weights(folder.path(), {.variant = variant});
    CHECK(w.names() == std::vector<std::string>{"a", "b"});
    CHECK(testing::same_bits(w.load("a"), a));
    CHECK(testing::same_bits(w.load("b"), b));
    CHECK(w.path_of("b") == folder / "2.safetensors");
  }
}

TEST_CASE("weights: an index that does not fit its files") {
  const TempFolder folder;
  const std::string path = folder / "model.safetensors.index.json";
  save_safetensors(folder / "1", {{"a", a}});
  save_safetensors(folder / "2", {{"b", b}});
  const auto refused = [&](const std::string& map, std::initializer_list<const char*> parts, const std::string& metadata = "{}") {
    index(path, map, metadata);
    check_error([&] { open_weights(folder.path()); }, parts);
  };
  refused(R"({"a": "1", "b": "1"})", {"/1: b: missing, though the index says it is here", "model.safetensors.index.json"});
  refused(R"({"a": "1", "b": "2", "c": "2"})", {"/2: c: missing"});
  save_safetensors(folder / "2", {{"b", b}, {"extra", b}});
  refused(R"({"a": "1", "b": "2"})", {"/2: extra: here, though the index does not list it"});
  save_safetensors(folder / "2", {{"b", b}, {"a", b}});
  refused(R"({"a": "1", "b": "2"})", {"/2: a: here, though the index places it in 1"});
  refused(R"({"a": "3"})", {"/3: cannot be opened"});
  refused(R"({"a": "1"})", {"metadata.total_size: not the size of the tensors (expected 16, got 15)"}, R"({"total_size": 15})");
}

TEST_CASE("index of files: every field is typed, names stay inside the folder") {
  const auto refused = [](const std::string& text, std::initializer_list<const char*> parts) {
    check_error([&] { parse_shard_index(text, {.path = "i.json"}); }, parts);
  };
  refused("[]", {"i.json: not an object"});
  refused("{}", {"i.json: weight_map: is missing"});
  refused(R"({"weight_map": []})", {"i.json: weight_map: not an object"});
  refused(R"({"weight_map": {"a": 1}})", {"i.json: weight_map.a: wrong value (expected the name of a file)"});
  refused(R"({"weight_map": {"a": "x", "a": "y"}})", {"i.json@29: the key \"a\" is there twice"});
  refused(R"({"metadata": 1, "weight_map": {}})", {"i.json: metadata: not an object"});
  refused(R"({"metadata": {"total_size": "1"}, "weight_map": {}})", {"i.json: metadata.total_size: wrong value"});
  refused(R"({"metadata": {"total_size": -1}, "weight_map": {}})", {"i.json: metadata.total_size: wrong value"});
  for (const char* name : {"", ".", "..", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "./a", "a\\\\b", "a\\u0000b", "a\\nb"})
    refused(std::string("{\"weight_map\": {\"t\": \"") + name + "\"}}", {"i.json: weight_map.t: not a plain relative name"});
  CHECK(parse_shard_index(R"({"weight_map": {"t": "sub/a..b.safetensors"}})", {.path = "i"}).weight_map.at("t") == "sub/a..b.safetensors");
  const ShardIndex index{.total_size = 7, .weight_map = {{"a", "x"}, {"b\"", "y"}}};
  const ShardIndex again = parse_shard_index(write_shard_index(index), {.path = "i"});
  CHECK(again.total_size == index.total_size);
  CHECK(again.weight_map == index.weight_map);
}

TEST_CASE("model_index.json: components and their classes") {
  const char* text = R"({"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1", "feature_extractor": [null, null],
    "requires_safety_checker": false, "unet": ["diffusers", "UNet2DConditionModel"], "text_encoder": ["transformers", "CLIPTextModel"]})";
  const ModelIndex index = parse_model_index(text, {.path = "m"});
  CHECK(index.class_name == "StableDiffusionPipeline");
  CHECK(index.components.size() == 2);
  CHECK(index.components.at("unet").class_name == "UNet2DConditionModel");
  CHECK(index.components.at("text_encoder").library == "transformers");
  const ModelIndex again = parse_model_index(write_model_index(index), {.path = "m"});
  CHECK(again.components.at("unet").library == "diffusers");
  CHECK(again.components.size() == 2);
  const auto refused = [](const char* t, std::initializer_list<const char*> parts) { check_error([&] { parse_model_index(t, {.path = "m"}); }, parts); };
  refused("{}", {"m: _class_name: is missing"});
  refused(R"({"_class_name": "P", "unet": ["diffusers"]})", {"m: unet: wrong value (expected [library, class], two strings)"});
  refused(R"({"_class_name": "P", "unet": ["diffusers", null]})", {"m: unet: wrong value"});
  refused(R"({"_class_name": "P", "../unet": ["diffusers", "U"]})", {"m: ../unet: not a plain relative name"});
  const TempFolder folder;
  write_file(folder / "model_index.json", text);
  CHECK(read_model_index(folder.path()).components.size() == 2);
}

TEST_CASE("saving a component: one file or several, and what was there before does not get in the way") {
  const TempFolder folder;
  const std::string unet = folder / "unet";
  const std::vector<NamedTensor> tensors = {{"a", a}, {"b", b}, {"c", a}};
  const auto check = [&](const std::string& variant = {}) {
    const Weights w = open_weights(unet, {.variant = variant});
    CHECK(w.names() == std::vector<std::string>{"a", "b", "c"});
    for (const NamedTensor& t : tensors) CHECK(testing::same_bits(w.load(t.name), t.tensor));
    CHECK(File(unet + "/config.json").text(9) == "{}");
  };
  save_component(unet, "{}", "diffusion_pytorch_model", tensors);
  CHECK(Safetensors(unet + "/diffusion_pytorch_model.safetensors").metadata().at("format") == "pt");
  check();
  save_component(unet, "{}", "diffusion_pytorch_model", tensors, {.max_file_bytes = 24});
  CHECK(fs::exists(unet + "/diffusion_pytorch_model-00002-of-00002.safetensors"));
  CHECK_FALSE(fs::exists(unet + "/diffusion_pytorch_model.safetensors"));
  CHECK(open_weights(unet).files().size() == 2);
  check();
  save_component(unet, "{}", "diffusion_pytorch_model", tensors, {.max_file_bytes = 1});
  CHECK(open_weights(unet).files().size() == 3);
  save_component(unet, "{}", "diffusion_pytorch_model", tensors);
  CHECK(open_weights(unet).files().size() == 1);
  check();
  save_component(unet, "{}", "diffusion_pytorch_model", tensors, {.variant = "fp16", .max_file_bytes = 24});
  CHECK(fs::exists(unet + "/diffusion_pytorch_model.safetensors.index.fp16.json"));
  CHECK(fs::exists(unet + "/diffusion_pytorch_model.fp16-00001-of-00002.safetensors"));
  check("fp16");
  check();
}
