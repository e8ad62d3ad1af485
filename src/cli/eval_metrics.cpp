#include "cli/eval_metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include "cli/device.hpp"
#include "cli/files.hpp"
#include "cli/progress.hpp"
#include "cli/signals.hpp"
#include "sspo/eval/image_metrics.hpp"
#include "sspo/eval/statistics.hpp"
#include "sspo/io/dataset.hpp"
#include "sspo/models/inception.hpp"
#include "sspo/models/lpips.hpp"
#ifdef SSPO_EIGEN
#include "sspo/eval/frechet.hpp"
#endif

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

using Pictures = std::map<std::string, std::string>;  // name without ending -> path

Pictures pictures_in(const std::string& folder) {
  Pictures found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::string ending = it->path().extension().string();
    std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return char(std::tolower(c)); });
    if (ending != ".png" && ending != ".jpg" && ending != ".jpeg" && ending != ".webp") continue;
    if (!found.emplace(it->path().stem().string(), it->path().string()).second) io::bad_file({.path = folder}, "two pictures of one name", {}, it->path().stem().string());
  }
  if (error) io::bad_file({.path = folder}, "the folder cannot be listed: " + error.message());
  if (found.size() < 2) io::bad_file({.path = folder}, "too few pictures", "two or more: PNG, JPEG, WebP", std::to_string(found.size()));
  return found;
}

std::string weights_in(const std::string& folder, std::initializer_list<const char*> names, const char* what) {
  std::error_code none;
  std::string all;
  for (const char* name : names) {
    if (fs::exists(folder + "/" + name, none)) return folder + "/" + name;
    all += (all.empty() ? "" : " or ") + std::string(name);
  }
  io::bad_file({.path = folder}, std::string("there are no weights of ") + what, all, "neither", "see docs/reproduce.md, and --weights");
}

// The rgb of pictures of one size, divided by 255: what Inception sees.
Tensor unit_pixels(const std::vector<io::Image>& images, const Device& device) {
  std::vector<float> values;
  for (const io::Image& image : images)
    for (const std::uint8_t v : image.rgb) values.push_back(float(v) / 255.0f);
  return Tensor::from(values, {Index(images.size()), images[0].height, images[0].width, 3}, device);
}

class Measuring {
 public:
  explicit Measuring(const EvalMetricsOptions& o)
      : o_(o), device_(device_of(o.device)), bad_(o.skip_bad, [](const Error& e) { fmt::print(stderr, "passed over: {}\n", io::printable(e.what(), 4096)); }) {}

  // [N, 2048], in the order of names; pictures of one size go through side by side.
  Tensor features(const Inception& net, const Pictures& pictures, const char* what) {
    Tensors parts;
    std::vector<io::Image> batch;
    const auto flush = [&] {
      if (!batch.empty()) parts.push_back(cast(net(unit_pixels(batch, device_)), DType::f32));
      batch.clear();
    };
    Progress progress(what, Index(pictures.size()));
    Index done = 0;
    for (const auto& [name, path] : pictures) {
      stop_if_interrupted();
      if (std::optional<io::Image> image = read(path)) {
        if (!batch.empty() && (batch[0].width != image->width || batch[0].height != image->height)) flush();
        batch.push_back(std::move(*image));
        if (Index(batch.size()) == o_.batch) flush();
      }
      progress.update(++done, "");
    }
    flush();
    if (parts.empty()) io::bad_file({.path = o_.pictures}, "no picture could be read", "two or more");
    return cat(parts, 0);
  }

  // value(a, b) of each pair; those with a picture that cannot be read are passed over.
  template <class F>
  std::vector<double> pairs(const Pictures& pictures, const Pictures& real, const std::string& what, F value) {
    std::vector<double> values;
    Progress progress(what, Index(pictures.size()));
    Index done = 0;
    for (const auto& [name, path] : pictures) {
      stop_if_interrupted();
      const auto other = real.find(name);
      if (other == real.end()) io::bad_file({.path = path}, "no picture of this name to pair it with", "one in " + o_.real);
      const std::optional<io::Image> a = read(path), b = read(other->second);
      if (a && b) {
        if (a->width != b->width || a->height != b->height)
          io::bad_file({.path = path}, "the pair's pictures have different sizes", fmt::format("{} x {}, as {}", b->width, b->height, other->second), fmt::format("{} x {}", a->width, a->height));
        values.push_back(value(*a, *b));
      }
      progress.update(++done, "");
    }
    if (values.empty()) io::bad_file({.path = o_.pictures}, "no pair could be read", "one or more");
    return values;
  }
  Index bad() const { return bad_.count(); }
  const Device& device() const { return device_; }

 private:
  std::optional<io::Image> read(const std::string& path) {
    try {
      return io::read_image(path);
    } catch (const Error& e) {
      bad_.met(e);
      return {};
    }
  }

  const EvalMetricsOptions& o_;
  Device device_;
  io::BadSamples bad_;
};

io::Json estimate_json(const std::vector<double>& values, const Rng& rng) {
  std::vector<double> finite;  // equal pictures have an infinite PSNR
  for (const double v : values)
    if (std::isfinite(v)) finite.push_back(v);
  if (finite.empty()) return {{"n", 0}, {"infinite", values.size()}};
  const Estimate e = estimate(finite, rng);
  return {{"n", e.n}, {"mean", e.mean}, {"sd", e.deviation}, {"low", e.low}, {"high", e.high}, {"infinite", values.size() - finite.size()}};
}

void measure_sets(const EvalMetricsOptions& o, Measuring& m, const Pictures& pictures, const Pictures& real, io::Json& json) {
  const auto wants = [&](const char* name) { return std::find(o.metrics.begin(), o.metrics.end(), name) != o.metrics.end(); };
  if (!wants("fid") && !wants("kid") && !wants("precision-recall")) return;
#ifndef SSPO_EIGEN
  if (wants("fid")) fail({.op = "fid", .what = "this build has no Fréchet distance", .expected = "a build with Eigen", .got = "SSPO_EIGEN=OFF"}, Site{});
#endif
  const std::string path = weights_in(o.weights + "/inception", {"pt_inception-2015-12-05-6726825d.safetensors", "pt_inception-2015-12-05-6726825d.pth"}, "Inception-v3, pytorch-fid's");
  const LoadedInception net = load_inception(path, {.dtype = dtype_of(o.device), .device = m.device()});
  json["weights"]["inception"] = net.hash;
  const Tensor a = m.features(net.model, real, "real features"), b = m.features(net.model, pictures, "features");
  const Rng rng = Rng(o.seed) / "metrics";
#ifdef SSPO_EIGEN
  if (wants("fid")) json["fid"] = frechet_distance(feature_statistics(a), feature_statistics(b));
#endif
  if (wants("kid")) {
    const KernelDistance kid = kernel_distance(a, b, rng / "kid");
    json["kid"] = {{"mean", kid.mean}, {"sd", kid.deviation}, {"subsets", kid.subsets}, {"subset_size", kid.subset_size}};
  }
  if (wants("precision-recall")) {
    const PrecisionRecall pr = precision_recall(a, b);
    json["precision"] = pr.precision, json["recall"] = pr.recall;
  }
}

void measure_pairs(const EvalMetricsOptions& o, Measuring& m, const Pictures& pictures, const Pictures& real, io::Json& json) {
  const Rng rng = Rng(o.seed) / "metrics";
  for (const std::string& name : o.metrics) {
    if (name == "psnr") json[name] = estimate_json(m.pairs(pictures, real, name, [](const io::Image& a, const io::Image& b) { return psnr(a, b); }), rng / name);
    if (name == "ssim") json[name] = estimate_json(m.pairs(pictures, real, name, [](const io::Image& a, const io::Image& b) { return ssim(a, b); }), rng / name);
    if (!name.starts_with("lpips")) continue;
    const bool alex = name == "lpips-alex";
    const std::string folder = o.weights + "/lpips";
    const std::string trunk = alex ? weights_in(folder, {"alexnet.safetensors", "alexnet-owt-7be5be79.pth"}, "AlexNet, torchvision's") : weights_in(folder, {"vgg16.safetensors", "vgg16-397923af.pth"}, "VGG-16, torchvision's");
    const std::string lin = alex ? weights_in(folder, {"lpips_alex.safetensors", "alex.pth"}, "LPIPS, v0.1") : weights_in(folder, {"lpips_vgg.safetensors", "vgg.pth"}, "LPIPS, v0.1");
    const LoadedLpips lpips = load_lpips(alex ? LpipsNet::alex : LpipsNet::vgg, trunk, lin, {.dtype = dtype_of(o.device), .device = m.device()});
    json["weights"][name] = lpips.hash;
    json[name] = estimate_json(m.pairs(pictures, real, name, [&](const io::Image& a, const io::Image& b) {
      return cast(lpips.model(cast(io::to_tensor({a}, m.device()), dtype_of(o.device)), cast(io::to_tensor({b}, m.device()), dtype_of(o.device))), DType::f64).to_vector<double>().at(0);
    }), rng / name);
  }
}

}  // namespace

io::Json eval_metrics(const EvalMetricsOptions& o) {
  if (!o.out.empty()) check_output(o.out, o.force);
  const Pictures pictures = pictures_in(o.pictures), real = pictures_in(o.real);
  Measuring m(o);
  io::Json json = {{"pictures", {{"path", io::printable(o.pictures, 4096)}, {"n", pictures.size()}}}, {"real", {{"path", io::printable(o.real, 4096)}, {"n", real.size()}}}, {"dtype", o.device.dtype}, {"seed", o.seed}};
  measure_pairs(o, m, pictures, real, json);
  measure_sets(o, m, pictures, real, json);
  json["bad"] = m.bad();
  if (!o.out.empty()) io::write_file(o.out, json.dump(2) + "\n");
  return json;
}

void eval_metrics_and_tell(const EvalMetricsOptions& o) {
  const io::Json json = eval_metrics(o);
  if (o.json) {
    fmt::print("{}\n", json.dump(2));
    return;
  }
  const auto row = [](const char* name, const std::string& text) { fmt::print("  {:<12} {}\n", name, text); };
  fmt::print("{} pictures against {} real ones\n", json["pictures"]["n"].get<Index>(), json["real"]["n"].get<Index>());
  for (const char* name : {"fid", "precision", "recall"})
    if (json.contains(name)) row(name, fmt::format("{:.4f}", json[name].get<double>()));
  if (json.contains("kid")) row("kid", fmt::format("{:.6f}  sd {:.6f} over {} subsets of {}", json["kid"]["mean"].get<double>(), json["kid"]["sd"].get<double>(), json["kid"]["subsets"].get<Index>(), json["kid"]["subset_size"].get<Index>()));
  for (const char* name : {"lpips-alex", "lpips-vgg", "ssim", "psnr"}) {
    if (!json.contains(name)) continue;
    const io::Json& e = json[name];
    const Index infinite = e["infinite"].get<Index>();
    row(name, (e["n"].get<Index>() ? fmt::format("{:.4f}  [{:.4f}, {:.4f}]  sd {:.4f}  n {}", e["mean"].get<double>(), e["low"].get<double>(), e["high"].get<double>(), e["sd"].get<double>(), e["n"].get<Index>()) : std::string("no finite value")) +
                  (infinite ? fmt::format("; {} pairs are equal", infinite) : ""));
  }
  if (json.contains("fid") && std::min(json["pictures"]["n"].get<Index>(), json["real"]["n"].get<Index>()) < 2048) fmt::print(stderr, "fewer pictures than features (2048): the Fréchet distance depends on their number; compare only with as many\n");
  if (const Index bad = json["bad"].get<Index>()) fmt::print("{} pictures passed over\n", bad);
}

}  // namespace sspo::cli
