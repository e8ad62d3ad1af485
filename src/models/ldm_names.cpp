// Names of parameters: diffusers' to those of latent-diffusion.
#include <array>

#include "sspo/models/single_file.hpp"

namespace sspo {
namespace {

using Parts = std::vector<std::string>;

Parts split(const std::string& name) {
  Parts parts{""};
  for (const char c : name)
    if (c == '.') parts.emplace_back();
    else parts.back() += c;
  return parts;
}

std::string from(const Parts& parts, std::size_t first) {
  std::string text;
  for (std::size_t i = first; i < parts.size(); ++i) text += (text.empty() ? "" : ".") + parts[i];
  return text;
}

std::string renamed(std::string name, std::initializer_list<std::array<const char*, 2>> pairs) {
  for (const auto& [today, theirs] : pairs)
    if (const std::string head = std::string(today) + "."; name.starts_with(head)) return std::string(theirs) + "." + name.substr(head.size());
  return name;
}

std::string resnet(const std::string& name) {
  return renamed(name, {{"norm1", "in_layers.0"}, {"conv1", "in_layers.2"}, {"time_emb_proj", "emb_layers.1"}, {"norm2", "out_layers.0"}, {"conv2", "out_layers.3"},
                        {"conv_shortcut", "skip_connection"}});
}

}  // namespace

// The blocks of all levels are counted through: input_blocks.0 is conv_in, and each level ends with its downsampler.
std::string ldm_unet_name(const std::string& name, const UNetConfig& c) {
  const Parts p = split(name);
  if (p[0] == "mid_block") {
    if (p[1] == "attentions") return "middle_block.1." + from(p, 3);
    return (p[2] == "0" ? "middle_block.0." : "middle_block.2.") + resnet(from(p, 3));
  }
  if (p[0] != "down_blocks" && p[0] != "up_blocks")
    return renamed(name, {{"conv_in", "input_blocks.0.0"}, {"time_embedding.linear_1", "time_embed.0"}, {"time_embedding.linear_2", "time_embed.2"}, {"conv_norm_out", "out.0"}, {"conv_out", "out.2"}});
  const bool down = p[0] == "down_blocks";
  const std::size_t block = std::stoul(p[1]), depth = c.block_out_channels.size();
  const auto layers = [&](std::size_t b) { return down ? c.layers_per_block[b] : c.layers_per_block[depth - 1 - b] + 1; };
  Index first = down ? 1 : 0;
  for (std::size_t b = 0; b < block; ++b) first += layers(b) + (down ? 1 : 0);
  const std::string blocks = down ? "input_blocks." : "output_blocks.";
  if (p[2] == "downsamplers") return blocks + std::to_string(first + layers(block)) + ".0.op." + p.back();
  if (p[2] == "upsamplers") return blocks + std::to_string(first + layers(block) - 1) + (c.up_attention[block] ? ".2.conv." : ".1.conv.") + p.back();
  const std::string at = blocks + std::to_string(first + std::stol(p[3]));
  return p[2] == "resnets" ? at + ".0." + resnet(from(p, 4)) : at + ".1." + from(p, 4);
}

std::string ldm_vae_name(const std::string& name, const VaeConfig& c) {
  const Parts p = split(name);
  if (p[0] != "encoder" && p[0] != "decoder") return name;
  const auto block = [&](std::size_t first) { return renamed(from(p, first), {{"conv_shortcut", "nin_shortcut"}}); };
  if (p[1] == "mid_block") {
    if (p[2] == "resnets") return p[0] + (p[3] == "0" ? ".mid.block_1." : ".mid.block_2.") + block(4);
    return p[0] + ".mid.attn_1." + renamed(from(p, 4), {{"group_norm", "norm"}, {"to_q", "q"}, {"to_k", "k"}, {"to_v", "v"}, {"to_out.0", "proj_out"}});
  }
  if (p[1] == "conv_norm_out") return p[0] + ".norm_out." + from(p, 2);
  if (p[1] != "down_blocks" && p[1] != "up_blocks") return name;
  const bool down = p[1] == "down_blocks";  // up blocks are counted from the picture, ours from the latents
  const std::string at = p[0] + (down ? ".down." + p[2] : ".up." + std::to_string(c.block_out_channels.size() - 1 - std::stoul(p[2])));
  if (p[3] == "resnets") return at + ".block." + p[4] + "." + block(5);
  return at + (down ? ".downsample.conv." : ".upsample.conv.") + p.back();
}

}  // namespace sspo
