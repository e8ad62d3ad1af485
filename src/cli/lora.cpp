#include "cli/lora.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <map>

#include "cli/files.hpp"

namespace sspo::cli {
namespace {

std::string some(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < 8; ++i) text += (i ? ", " : "") + io::printable(names[i]);
  return text + (names.size() > 8 ? ", ..." : "");
}

io::Json printables(const std::vector<std::string>& names) {
  io::Json list = io::Json::array();
  for (const std::string& name : names) list.push_back(io::printable(name, 4096));
  return list;
}

const char* part_name(LoraPart part) { return part == LoraPart::unet ? "unet" : "text_encoder"; }

}  // namespace

LoraArgument lora_argument(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  LoraArgument a{text};
  if (colon == text.npos) return a;
  double scale = 0;
  const auto [end, error] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), scale);
  if (error == std::errc{} && end == text.data() + text.size() && std::isfinite(scale)) a = {text.substr(0, colon), scale};
  return a;  // a colon of the file's name
}

std::string lora_text(const Lora& lora, double scale, const LoraChange& change) {
  std::string text = fmt::format("{}: {} tensors changed, scale {}, norm of the change {:.6g} ({})", io::printable(lora.path, 4096), change.tensors, scale, std::sqrt(change.square), name_of(lora.layout));
  if (!lora.unknown.empty()) text += fmt::format("; {} unknown: {}", lora.unknown.size(), some(lora.unknown));
  if (!change.unmatched.empty()) text += fmt::format("; {} not in the model: {}", change.unmatched.size(), some(change.unmatched));
  if (lora.token_embeddings) text += fmt::format("; {} token embeddings passed over", lora.token_embeddings);
  return text;
}

void lora_merge(const LoraMergeOptions& o) {
  const Lora lora = open_lora(o.lora);
  make_output_folder(o.out, o.force);
  const LoraChange change = [&] {
    try {
      return merge_lora(o.model, lora, o.scale, o.out, {.variant = o.variant});
    } catch (...) {
      std::error_code ignored;
      std::filesystem::remove(o.out, ignored);  // an empty folder alone
      throw;
    }
  }();
  if (o.json)
    fmt::print("{}\n", io::Json{{"model", io::printable(o.model, 4096)}, {"lora", io::printable(o.lora, 4096)}, {"out", io::printable(o.out, 4096)}, {"layout", name_of(lora.layout)}, {"scale", o.scale},
                                {"tensors", change.tensors}, {"norm", std::sqrt(change.square)}, {"unknown", printables(lora.unknown)}, {"unmatched", printables(change.unmatched)}}.dump());
  else
    fmt::print(stderr, "{}\n{}\n", lora_text(lora, o.scale, change), io::printable(o.out, 4096));
}

void lora_inspect(const LoraInspectOptions& o) {
  const Lora lora = open_lora(o.lora);
  io::Json modules = io::Json::array();
  std::map<std::pair<LoraPart, Index>, std::size_t> counts;
  std::string rows = fmt::format("{:<12}  {:>4}  {:>8}  {}\n", "part", "rank", "alpha", "module");
  for (const LoraModule& m : lora.modules) {
    ++counts[{m.part, m.rank}];
    modules.push_back({{"part", part_name(m.part)}, {"module", io::printable(m.name, 4096)}, {"rank", m.rank}, {"alpha", m.alpha}});
    rows += fmt::format("{:<12}  {:>4}  {:>8.6g}  {}\n", part_name(m.part), m.rank, m.alpha, io::printable(m.name, 4096));
  }
  if (o.json) {
    fmt::print("{}\n", io::Json{{"kind", "lora"}, {"path", io::printable(o.lora, 4096)}, {"layout", name_of(lora.layout)}, {"token_embeddings", lora.token_embeddings}, {"unknown", printables(lora.unknown)},
                                {"modules", modules}}.dump(2));
    return;
  }
  std::string text = fmt::format("{}: LoRA, layout {}", io::printable(o.lora, 4096), name_of(lora.layout));
  for (const auto& [key, count] : counts) text += fmt::format(", {}: {} modules of rank {}", part_name(key.first), count, key.second);
  if (lora.token_embeddings) text += fmt::format(", {} token embeddings", lora.token_embeddings);
  fmt::print("{}\n{}{}", text, lora.unknown.empty() ? "" : fmt::format("unknown   {}: {}\n", lora.unknown.size(), some(lora.unknown)), rows);
}

}  // namespace sspo::cli
