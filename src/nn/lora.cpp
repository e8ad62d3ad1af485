#include "sspo/nn/lora.hpp"

#include <algorithm>
#include <cmath>

namespace sspo::nn {
namespace {

bool names(const std::string& target, const std::string& module) { return module == target || module.ends_with("." + target); }

// "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0" -> "to_out.0": the last word and the numbers behind it.
std::string ending_of(const std::string& module) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  for (std::size_t end = module.size();;) {
    const std::size_t dot = module.rfind('.', end - 1), begin = dot == module.npos ? 0 : dot + 1;
    const bool number = std::all_of(module.begin() + std::ptrdiff_t(begin), module.begin() + std::ptrdiff_t(end), digit);
    if (!number || dot == module.npos || dot == 0) return module.substr(begin);
    end = dot;
  }
}

}  // namespace

Adapters::Adapters(Scope numbers, LoraOptions o, Site at) : numbers_(std::move(numbers)), options_(std::move(o)) {
  if (options_.rank < 1 || !std::isfinite(options_.alpha) || options_.targets.empty())
    fail({.op = "lora", .what = "no low-rank change", .expected = "a rank of one or more, a finite alpha, a target",
          .got = "rank " + std::to_string(options_.rank) + ", " + std::to_string(options_.targets.size()) + " targets"}, at);
}

std::optional<LowRank> Adapters::of(const std::string& path, const Shape& w) {
  seen_.insert(path);
  bool wanted = false;
  for (const std::string& target : options_.targets)
    if (names(target, path)) wanted = true, matched_.insert(target);
  if (!wanted) return {};
  const Index r = options_.rank;
  const bool conv = w.rank() == 4;
  const Shape down = conv ? Shape{r, w[1], w[2], w[3]} : Shape{r, w[1]}, up = conv ? Shape{w[0], 1, 1, r} : Shape{w[0], r};
  const Scope p = numbers_ / path;
  return LowRank{(p / "lora_A").param("weight", down, init::normal(1 / double(r))), (p / "lora_B").param("weight", up, init::constant(0)), options_.alpha / double(r)};
}

std::string Adapters::unmatched() const {
  for (const std::string& target : options_.targets)
    if (!matched_.count(target)) return target;
  return {};
}

std::string Adapters::endings() const {
  std::set<std::string> all;
  for (const std::string& module : seen_) all.insert(ending_of(module));
  std::string text;
  for (const std::string& ending : all) text += (text.empty() ? "" : ", ") + ending;
  return text;
}

void Adapters::require_all_matched(Site at) const {
  if (const std::string target = unmatched(); !target.empty())
    fail({.op = "lora", .what = "no module has a name that ends in '" + target + "'", .expected = "one of " + endings() + ", or a longer end of a name", .got = "'" + target + "'"}, at);
}

std::optional<LowRank> low_rank(const Scope& p, const Shape& weight) {
  if (!p.adapters()) return {};
  return p.adapters()->of(p.path(), weight);
}

}  // namespace sspo::nn
