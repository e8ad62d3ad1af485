// Stable Diffusion whole against diffusers' StableDiffusionPipeline: from a prompt and a seed to latents and pictures, with the
// small pipeline that diffusers saved in tests/golden/pipeline (make_pipeline.py).
#include <algorithm>

#include "models/golden.hpp"
#include "sspo/base/torch_normal.hpp"
#include "sspo/io/image.hpp"
#include "sspo/models/stable_diffusion.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

const std::string pipeline = SSPO_SOURCE_DIR "/tests/golden/pipeline";

StableDiffusion load(SchedulerKind kind, DType dtype = DType::f32, int threads = 0) {
  return StableDiffusion::load(pipeline + "/model", {}, {.dtype = dtype, .device = Device::cpu({.threads = threads})}, kind);
}
StableDiffusion load(const GoldenJson& run, DType dtype = DType::f32, int threads = 0) {
  return load(scheduler_kind(run.at("sampler").get<std::string>()), dtype, threads);
}

const GoldenJson& runs() {
  static const GoldenJson json = golden_file("pipeline/runs.json");
  return json.at("runs");
}

// The latents [B, h, w, 4] a run ends with.
Tensor draw(const StableDiffusion& sd, const GoldenJson& run) {
  const std::vector<std::string> prompts = run.at("prompts");
  const Index B = Index(prompts.size()), height = run.at("size").at(0), width = run.at("size").at(1);
  TorchCpuGenerator torch(run.at("seed").get<std::uint64_t>());
  const auto normals = [&] {
    const Shape nchw{B, 4, height, width};
    return to_nhwc(Tensor::from(torch.normal(nchw.numel()), nchw, sd.text_encoder.device()));
  };
  const Tensor x = normals();
  const Tensor text = sd.encode(prompts), negative = sd.encode(std::vector<std::string>(prompts.size(), run.at("negative").get<std::string>()));
  return sample_latents(std::cref(sd.unet), make_scheduler(sd.scheduler, run.at("steps").get<Index>(), {.eta = run.at("eta").get<double>()}), x, text,
                        negative, {.guidance = run.at("guidance").get<double>(), .guidance_rescale = run.at("guidance_rescale").get<double>(),
                                   .noise = [&](Index) { return normals(); }});
}

Tensor latents_of(const GoldenJson& run) {
  const Index B = Index(run.at("prompts").size()), height = run.at("size").at(0), width = run.at("size").at(1);
  return to_nhwc(Tensor::from(run.at("latents").get<std::vector<float>>(), {B, 4, height, width}));
}

std::string picture_file(std::string name, std::size_t i) {
  std::replace(name.begin(), name.end(), ' ', '_');
  return pipeline + "/" + name + "-" + std::to_string(i) + ".png";
}

// Mean squared error over mean square.
double nmse(const Tensor& got, const Tensor& expected) {
  REQUIRE(got.shape() == expected.shape());
  const std::vector<double> a = numbers(got), b = numbers(expected);
  double error = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) error += (a[i] - b[i]) * (a[i] - b[i]), size += b[i] * b[i];
  return error / size;
}

}  // namespace

TEST_CASE("pipeline: latents equal diffusers', NMSE at most 1e-8, for each sampler and way to guide; pictures within 1 of 255") {
  double worst = 0;
  Index pictures = 0, values = 0, differ = 0;
  for (const GoldenJson& run : runs()) {
    const std::string name = run.at("name");
    INFO(name);
    const StableDiffusion sd = load(run);
    const Tensor z = draw(sd, run);
    const double error = nmse(z, latents_of(run));
    CAPTURE(error);
    CHECK(error <= 1e-8);
    worst = std::max(worst, error);

    const std::vector<io::Image> drawn = run.at("pictures") == 0 ? std::vector<io::Image>{} : io::to_images(sd.decode(z));
    CHECK(drawn.size() == run.at("pictures"));
    for (std::size_t i = 0; i < drawn.size(); ++i) {
      const io::Image expected = io::read_image(picture_file(name, i));
      REQUIRE(drawn[i].width == expected.width);
      REQUIRE(drawn[i].height == expected.height);
      int most = 0;
      for (std::size_t k = 0; k < expected.rgb.size(); ++k) {
        const int difference = std::abs(int(drawn[i].rgb[k]) - int(expected.rgb[k]));
        most = std::max(most, difference);
        differ += difference != 0;
      }
      CHECK(most <= 1);
      values += Index(expected.rgb.size());
      ++pictures;
    }
  }
  MESSAGE("worst NMSE " << worst << "; " << differ << " of " << values << " values of " << pictures << " pictures differ");
  CHECK(runs().size() == 15);
  CHECK(pictures == 5);
  CHECK(differ <= values / 1000);
}

TEST_CASE("pipeline: 20 steps of DDIM with guidance 7.5 in bf16, NMSE at most 1e-3 of f32") {
  const GoldenJson& run = runs().at(1);
  REQUIRE(run.at("name") == "ddim");
  const StableDiffusion sd = load(run, DType::bf16);
  const double error = nmse(draw(sd, run), latents_of(run));
  MESSAGE("NMSE " << error);
  CHECK(error <= 1e-3);
  CHECK(error > 1e-8);  // it was bf16
}

TEST_CASE("pipeline: 1, 2 and 3 threads draw the same bits") {
  const GoldenJson& run = runs().at(7);
  REQUIRE(run.at("name") == "two prompts");
  const Tensor z = draw(load(run, DType::f32, 1), run);
  for (const int threads : {2, 3}) CHECK(same_bits(draw(load(run, DType::f32, threads), run), z));
}

TEST_CASE("pipeline: a prompt's latents do not depend on its neighbour in the batch") {
  GoldenJson both = runs().at(7), one = both;
  const StableDiffusion sd = load(both);
  one.at("prompts") = GoldenJson::array({both.at("prompts").at(0)});
  // The first sample's normals come first from the generator, but draws of 16 at a time make them alike only where 16 divides them.
  const Tensor together = slice(draw(sd, both), 0, 0, 1), alone = draw(sd, one);
  CHECK(nmse(together, alone) <= 1e-10);
}

TEST_CASE("pipeline: folders that do not belong together are refused, by name") {
  const TempFolder folder;
  const auto fresh = [&] {
    std::filesystem::remove_all(folder / "model");
    std::filesystem::copy(pipeline + "/model", folder / "model", std::filesystem::copy_options::recursive);
  };
  const auto change = [&](const char* file, const std::string& from, const std::string& to) {
    fresh();
    std::string text(io::File(folder / ("model/" + std::string(file))).text(1u << 20));
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    io::write_file(folder / ("model/" + std::string(file)), text.replace(at, from.size(), to));
  };
  const auto open = [&] { StableDiffusion::load(folder / "model"); };
  change("unet/config.json", "\"cross_attention_dim\": 16", "\"cross_attention_dim\": 20");
  check_error(open, {"cross_attention_dim", "hidden_size", "expected 16", "20"});
  change("vae/config.json", "\"latent_channels\": 4,", "\"latent_channels\": 3,");
  check_error(open, {"in_channels", "latent_channels", "3", "4"});
  change("text_encoder/config.json", "\"vocab_size\": 704", "\"vocab_size\": 703");
  check_error(open, {"tokens", "703", "704"});
  change("unet/config.json", "\"out_channels\": 4", "\"out_channels\": 5");
  check_error(open, {"unet", "conv_out"});
  for (const char* gone : {"unet/config.json", "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors", "scheduler/scheduler_config.json"}) {
    fresh();
    std::filesystem::remove(folder / ("model/" + std::string(gone)));
    check_error(open, {std::string(gone).substr(0, std::string(gone).find('/')).c_str()});
  }
}
