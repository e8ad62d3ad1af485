#include "sspo/models/lpips.hpp"

#include "models/pooling.hpp"

namespace sspo {
namespace {

// Where convolutions stand among torchvision's features.N; each is followed by a ReLU.
struct ConvAt {
  Index place, out, kernel = 3, stride = 1, padding = 1;
};
struct StageAt {
  Index pool;  // kernel of the maximum before, at stride 2; 0: none
  std::vector<ConvAt> convs;
};

const std::vector<StageAt>& stages_of(LpipsNet net) {
  static const std::vector<StageAt> alex = {{0, {{0, 64, 11, 4, 2}}}, {3, {{3, 192, 5, 1, 2}}}, {3, {{6, 384}}}, {0, {{8, 256}}}, {0, {{10, 256}}}};
  static const std::vector<StageAt> vgg = {{0, {{0, 64}, {2, 64}}}, {2, {{5, 128}, {7, 128}}}, {2, {{10, 256}, {12, 256}, {14, 256}}},
                                           {2, {{17, 512}, {19, 512}, {21, 512}}}, {2, {{24, 512}, {26, 512}, {28, 512}}}};
  return net == LpipsNet::alex ? alex : vgg;
}

}  // namespace

Lpips::Lpips(const Scope& p, const Config& config) {
  Index in = 3, number = 0;
  for (const StageAt& at : stages_of(config.net)) {
    std::vector<nn::Conv2d> convs;
    for (const ConvAt& c : at.convs) {
      convs.emplace_back(p / "features" / c.place, in, c.out, nn::Conv2d::Options{.kernel = c.kernel, .stride = {c.stride, c.stride}, .padding = {c.padding, c.padding, c.padding, c.padding}});
      in = c.out;
    }
    Param lin = (p / ("lin" + std::to_string(number++)) / "model" / "1").param("weight", {1, 1, 1, in}, init::constant(1.0 / double(in)));
    stages_.push_back({at.pool, at.pool ? 2 : 0, std::move(convs), std::move(lin)});
  }
}

Tensors Lpips::features(const Tensor& x) const {
  Tensors taken;
  Tensor h = x;
  for (const Stage& s : stages_) {
    if (s.pool) h = max_pool(h, s.pool, s.pool_stride);
    for (const nn::Conv2d& conv : s.convs) h = relu(conv(h));
    taken.push_back(h);
  }
  return taken;
}

Tensor Lpips::operator()(const Tensor& a, const Tensor& b, Site at) const {
  if (a.rank() != 4 || a.dim(3) != 3 || a.shape() != b.shape())
    fail({.op = "lpips", .what = "no two batches of pictures", .expected = "[B, H, W, 3] twice, in [-1, 1]", .got = a.str() + " and " + b.str()}, at);
  const auto scaled = [](const Tensor& x) {  // to what the networks were trained on: ImageNet's mean and deviation, for [-1, 1]
    const Tensor shift = cast(Tensor::from<float>({-.030f, -.088f, -.188f}, {3}, x.device()), x.dtype());
    const Tensor scale = cast(Tensor::from<float>({.458f, .448f, .450f}, {3}, x.device()), x.dtype());
    return (x - shift) / scale;
  };
  const auto unit = [](const Tensor& f) { return f / (norm(f, {-1}, true) + 1e-10); };
  const Tensors fa = features(scaled(a)), fb = features(scaled(b));
  Tensor total;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    const Tensor apart = sum(square(unit(fa[i]) - unit(fb[i])) * stages_[i].lin, {3});     // [B, h, w]
    const Tensor part = mean(apart, {1, 2});
    total = total.defined() ? total + part : part;
  }
  return total;
}

LoadedLpips load_lpips(LpipsNet net, const std::string& trunk, const std::string& lin, const LoadOptions& options) {
  Params wanted = Params::shapes_only();
  Lpips(wanted, {net});
  Params numbers(options.device);
  for (const auto& [path, prefix] : {std::pair<const std::string&, std::string>{trunk, "features."}, {lin, "lin"}}) {
    Params part = Params::shapes_only();
    for (const Param& p : wanted)
      if (p.name().starts_with(prefix)) part.get(p.name(), p.shape(), {});
    const io::Weights weights = io::open_weights(path);
    std::vector<std::pair<std::string, std::string>> names;  // without the classifier; lpips has its lin layers a second time, in a list
    for (const std::string& name : weights.names())
      if (!name.starts_with("classifier.") && !name.starts_with("lins.")) names.emplace_back(name, name);
    for (const Param& p : fit_weights(part, weights.renamed(std::move(names)), path, options)) numbers.adopt(p.name(), p.value());
  }
  return {Lpips(numbers.frozen(), {net}), weights_hash(trunk) + "+" + weights_hash(lin)};
}

}  // namespace sspo
