#include "sspo/models/inception.hpp"

#include <cmath>

#include "models/pooling.hpp"

namespace sspo {
namespace {

using Options = InceptionConv::Options;
using Branch = InceptionBlock::Branch;
using Pool = InceptionBlock::Pool;

constexpr Options same(Index kh, Index kw) { return {.kernel = {kh, kw}, .same = true}; }
constexpr Options one = {}, halving = {.kernel = {3, 3}, .stride = 2};

InceptionBlock a(const Scope& p, Index in, Index pool_features) {
  return {p, in,
          {{{{"branch1x1", 64, one}}},
           {{{"branch5x5_1", 48, one}, {"branch5x5_2", 64, same(5, 5)}}},
           {{{"branch3x3dbl_1", 64, one}, {"branch3x3dbl_2", 96, same(3, 3)}, {"branch3x3dbl_3", 96, same(3, 3)}}}},
          Pool::average, pool_features};
}

InceptionBlock b(const Scope& p, Index in) {
  return {p, in,
          {{{{"branch3x3", 384, halving}}}, {{{"branch3x3dbl_1", 64, one}, {"branch3x3dbl_2", 96, same(3, 3)}, {"branch3x3dbl_3", 96, halving}}}},
          Pool::max_halving, 0};
}

InceptionBlock c(const Scope& p, Index in, Index n) {
  return {p, in,
          {{{{"branch1x1", 192, one}}},
           {{{"branch7x7_1", n, one}, {"branch7x7_2", n, same(1, 7)}, {"branch7x7_3", 192, same(7, 1)}}},
           {{{"branch7x7dbl_1", n, one}, {"branch7x7dbl_2", n, same(7, 1)}, {"branch7x7dbl_3", n, same(1, 7)}, {"branch7x7dbl_4", n, same(7, 1)}, {"branch7x7dbl_5", 192, same(1, 7)}}}},
          Pool::average, 192};
}

InceptionBlock d(const Scope& p, Index in) {
  return {p, in,
          {{{{"branch3x3_1", 192, one}, {"branch3x3_2", 320, halving}}},
           {{{"branch7x7x3_1", 192, one}, {"branch7x7x3_2", 192, same(1, 7)}, {"branch7x7x3_3", 192, same(7, 1)}, {"branch7x7x3_4", 192, halving}}}},
          Pool::max_halving, 0};
}

InceptionBlock e(const Scope& p, Index in, Pool pool) {
  return {p, in,
          {{{{"branch1x1", 320, one}}},
           {{{"branch3x3_1", 384, one}}, {{"branch3x3_2a", 384, same(1, 3)}, {"branch3x3_2b", 384, same(3, 1)}}},
           {{{"branch3x3dbl_1", 448, one}, {"branch3x3dbl_2", 384, same(3, 3)}}, {{"branch3x3dbl_3a", 384, same(1, 3)}, {"branch3x3dbl_3b", 384, same(3, 1)}}}},
          pool, 192};
}

}  // namespace

InceptionConv::InceptionConv(const Scope& p, Index in, Index out, Options o)
    : weight((p / "conv").param("weight", {out, o.kernel[0], o.kernel[1], in}, init::fan_in(in * o.kernel[0] * o.kernel[1]))),
      bias((p / "conv").param("bias", {out}, init::constant(0))) {
  const auto [kh, kw] = o.kernel;
  attrs.stride = {o.stride, o.stride};
  if (o.same) attrs.padding = {(kh - 1) / 2, kh / 2, (kw - 1) / 2, kw / 2};
}

InceptionBlock::InceptionBlock(const Scope& p, Index in, const std::vector<Branch>& branches, Pool pool, Index pool_features) : pool_(pool) {
  for (const Branch& branch : branches) {
    Built built;
    Index width = in;
    for (const Step& s : branch.steps) built.steps.emplace_back(p / s.name, width, s.out, s.options), width = s.out;
    for (const Step& s : branch.split) built.split.emplace_back(p / s.name, width, s.out, s.options), out_ += s.out;
    if (branch.split.empty()) out_ += width;
    branches_.push_back(std::move(built));
  }
  if (pool_features) after_pool_.emplace_back(p / "branch_pool", in, pool_features, one);
  out_ += pool_features ? pool_features : in;
}

Tensor InceptionBlock::operator()(const Tensor& x) const {
  Tensors parts;
  for (const Built& branch : branches_) {
    Tensor h = x;
    for (const InceptionConv& conv : branch.steps) h = conv(h);
    for (const InceptionConv& conv : branch.split) parts.push_back(conv(h));
    if (branch.split.empty()) parts.push_back(std::move(h));
  }
  Tensor pooled = pool_ == Pool::average ? avg_pool_same3(x) : pool_ == Pool::max ? max_pool(x, 3, 1, 1) : max_pool(x, 3, 2);
  parts.push_back(after_pool_.empty() ? std::move(pooled) : after_pool_[0](pooled));
  return cat(parts, -1);
}

Inception::Inception(const Scope& p, const Config&) {
  stem_.emplace_back(p / "Conv2d_1a_3x3", 3, 32, halving);
  stem_.emplace_back(p / "Conv2d_2a_3x3", 32, 32, Options{.kernel = {3, 3}});
  stem_.emplace_back(p / "Conv2d_2b_3x3", 32, 64, same(3, 3));
  stem_.emplace_back(p / "Conv2d_3b_1x1", 64, 80, one);
  stem_.emplace_back(p / "Conv2d_4a_3x3", 80, 192, Options{.kernel = {3, 3}});
  const auto add = [&](InceptionBlock block) { blocks_.push_back(std::move(block)); };
  const auto last = [&] { return blocks_.back().out(); };
  add(a(p / "Mixed_5b", 192, 32));
  add(a(p / "Mixed_5c", last(), 64));
  add(a(p / "Mixed_5d", last(), 64));
  add(b(p / "Mixed_6a", last()));
  for (const auto& [name, channels] : {std::pair<const char*, Index>{"Mixed_6b", 128}, {"Mixed_6c", 160}, {"Mixed_6d", 160}, {"Mixed_6e", 192}}) add(c(p / name, last(), channels));
  add(d(p / "Mixed_7a", last()));
  add(e(p / "Mixed_7b", last(), Pool::average));
  add(e(p / "Mixed_7c", last(), Pool::max));
}

Tensor Inception::operator()(const Tensor& pictures, Index features, Site at) const {
  if (pictures.rank() != 4 || pictures.dim(3) != 3)
    fail({.op = "inception", .what = "no pictures", .expected = "[B, H, W, 3] in [0, 1]", .got = pictures.str()}, at);
  if (features != 2048 && features != 768 && features != 192 && features != 64)
    fail({.op = "inception", .what = "no layer of so many features", .expected = "2048, 768, 192 or 64", .got = std::to_string(features)}, at);
  Tensor x = 2.0 * resize(pictures, 299, 299, Resize::bilinear, at) - 1.0;   // [B, 299, 299, 3]
  for (std::size_t i = 0; i < 3; ++i) x = stem_[i](x);
  x = max_pool(x, 3, 2);                                                     // [B, 73, 73, 64]
  if (features == 64) return mean(x, {1, 2});
  x = max_pool(stem_[4](stem_[3](x)), 3, 2);                                 // [B, 35, 35, 192]
  if (features == 192) return mean(x, {1, 2});
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    if (features == 768 && i == 8) return mean(x, {1, 2});                   // [B, 17, 17, 768], what Mixed_6e gives
    x = blocks_[i](x);
  }
  return mean(x, {1, 2});                                                    // [B, 2048], over 8 x 8
}

Params fold_inception(const io::Weights& weights, const std::string& path, const LoadOptions& options) {
  Params wanted = Params::shapes_only();
  Inception{Scope(wanted)};
  Params unfolded = Params::shapes_only();  // what the file holds: a norm for each bias
  constexpr std::string_view bias = ".conv.bias";
  for (const Param& p : wanted) {
    const std::string& name = p.name();
    if (!name.ends_with(bias)) {
      unfolded.get(name, p.shape(), {});
      continue;
    }
    for (const char* part : {"weight", "bias", "running_mean", "running_var"}) unfolded.get(name.substr(0, name.size() - bias.size()) + ".bn." + part, p.shape(), {});
  }
  std::vector<std::pair<std::string, std::string>> names;  // without the classifier, and counters of training
  for (const std::string& name : weights.names())
    if (!name.starts_with("fc.") && !name.starts_with("AuxLogits.") && !name.ends_with(".num_batches_tracked")) names.emplace_back(name, name);
  const Params file = fit_weights(unfolded, weights.renamed(std::move(names)), path, {.dtype = DType::f64});

  Params folded(options.device);
  const auto put = [&](const std::string& name, const Tensor& x) { folded.adopt(name, cast(to_device(x, options.device), options.dtype)); };
  for (const Param& p : wanted) {
    if (!p.name().ends_with(bias)) continue;
    const std::string stem = p.name().substr(0, p.name().size() - bias.size());
    const auto bn = [&](const char* part) { return file[stem + ".bn." + part].value(); };
    const Tensor scale = bn("weight") / sqrt(bn("running_var") + 1e-3);                       // [out]
    put(stem + ".conv.weight", file[stem + ".conv.weight"].value() * reshape(scale, {-1, 1, 1, 1}));
    put(p.name(), bn("bias") - scale * bn("running_mean"));
  }
  return folded;
}

LoadedInception load_inception(const std::string& path, const LoadOptions& options) {
  Params params = fold_inception(io::open_weights(path), path, options);
  return {Inception{Scope(params.frozen())}, weights_hash(path)};
}

}  // namespace sspo
