#include "io/json.hpp"
#include "sspo/models/unet.hpp"

namespace sspo {
namespace {

// A number for all blocks, or a list with one a block.
std::vector<Index> per_block(io::Fields& f, const char* name, std::size_t blocks, Index low, Index high, std::optional<Index> fallback = {}) {
  const io::Json* value = f.raw(name);
  if (!value || !value->is_array()) return std::vector<Index>(blocks, f.integer(name, low, high, fallback));
  const std::vector<Index> list = f.integers(name, low, high);
  if (list.size() != blocks) f.wrong(name, "one entry a block", std::to_string(blocks) + " entries", std::to_string(list.size()));
  return list;
}

std::vector<bool> with_attention(io::Fields& f, const char* name, const std::string& plain, const std::string& cross, std::vector<std::string> fallback) {
  std::vector<bool> attention;
  for (const std::string& type : f.texts(name, std::move(fallback))) {
    if (type != plain && type != cross) f.wrong(name, "unsupported block type", plain + " or " + cross, type);
    attention.push_back(type == cross);
  }
  return attention;
}

// Variants of the network that SD-1.5 and its relatives do not use: taken only at the value that switches them off.
void refuse_variants(io::Fields& f) {
  for (const char* name : {"dual_cross_attention", "class_embeddings_concat", "upcast_attention", "resnet_skip_time_act", "only_cross_attention",
                           "mid_block_only_cross_attention"}) {
    const io::Json* value = f.raw(name);
    if (value && value->is_array()) f.wrong(name, "unsupported", "false", "a list");
    if (f.boolean(name, false)) f.wrong(name, "unsupported", "false", "true");
  }
  for (const char* name : {"class_embed_type", "addition_embed_type", "num_class_embeds", "encoder_hid_dim", "encoder_hid_dim_type", "cross_attention_norm",
                           "num_attention_heads", "time_cond_proj_dim", "time_embedding_act_fn", "time_embedding_dim", "timestep_post_act", "projection_class_embeddings_input_dim",
                           "reverse_transformer_layers_per_block"})
    if (f.raw(name)) f.wrong(name, "unsupported", "null");
  f.choice("act_fn", {"silu", "swish"}, "silu");
  f.choice("resnet_time_scale_shift", {"default"}, "default");
  f.choice("time_embedding_type", {"positional"}, "positional");
  f.choice("attention_type", {"default"}, "default");
  f.number("mid_block_scale_factor", 1, 1, 1);
  f.number("resnet_out_scale_factor", 1, 1, 1);
  f.number("dropout", 0, 0, 0);
}

void check(const io::Fields& f, const UNetConfig& c) {
  const std::size_t blocks = c.block_out_channels.size();
  if (c.up_attention.size() != blocks) f.wrong("up_block_types", "one entry a block", std::to_string(blocks) + " entries", std::to_string(c.up_attention.size()));
  if (c.down_attention.size() != blocks) f.wrong("down_block_types", "one entry a block", std::to_string(blocks) + " entries", std::to_string(c.down_attention.size()));
  Index transformers = 0;
  for (std::size_t b = 0; b < blocks; ++b) {
    transformers += c.layers_per_block[b] * c.transformer_layers[b];
    const bool attends = c.down_attention[b] || c.up_attention[blocks - 1 - b] || (c.mid_block && b + 1 == blocks);
    const std::string channels = std::to_string(c.block_out_channels[b]);
    if (c.block_out_channels[b] % c.norm_num_groups) f.wrong("norm_num_groups", "the groups do not divide the channels", "a divisor of " + channels, std::to_string(c.norm_num_groups));
    if (attends && c.block_out_channels[b] % c.heads[b])
      f.wrong("attention_head_dim", "the heads do not divide the channels", "a divisor of " + channels, std::to_string(c.heads[b]));
    if (c.cross_attention_dim[b] != c.cross_attention_dim[0]) f.wrong("cross_attention_dim", "unsupported: blocks that differ", "one number");
  }
  if (transformers > 256)  // a few bytes of config must not ask for millions of tensors
    f.wrong("transformer_layers_per_block", "too many with layers_per_block", "at most 256 in all blocks", std::to_string(transformers));
  for (const Index kernel : {c.conv_in_kernel, c.conv_out_kernel})
    if (kernel % 2 == 0) f.wrong(kernel == c.conv_in_kernel ? "conv_in_kernel" : "conv_out_kernel", "the size would change", "an odd number", std::to_string(kernel));
}

}  // namespace

UNetConfig load_unet_config(const std::string& path) { return read_unet_config(io::File(path).text(16u << 20), {.path = path}); }

UNetConfig read_unet_config(std::string_view text, const io::Place& place) {
  const io::Json json = io::parse_json(text, place);
  io::Fields f(json, place);
  f.choice("_class_name", {"UNet2DConditionModel"}, "UNet2DConditionModel");
  refuse_variants(f);
  UNetConfig c;
  c.in_channels = f.integer("in_channels", 1, 1 << 16, 4);
  c.out_channels = f.integer("out_channels", 1, 1 << 16, 4);
  c.sample_size = f.integer("sample_size", 1, 1 << 16, 64);
  c.block_out_channels = f.integers("block_out_channels", 1, 1 << 16, std::vector<Index>{320, 640, 1280, 1280});
  const std::size_t blocks = c.block_out_channels.size();
  if (blocks < 1 || blocks > 16) f.wrong("block_out_channels", "the number of blocks", "1 to 16", std::to_string(blocks));
  c.down_attention = with_attention(f, "down_block_types", "DownBlock2D", "CrossAttnDownBlock2D", {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"});
  c.up_attention = with_attention(f, "up_block_types", "UpBlock2D", "CrossAttnUpBlock2D", {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"});
  const io::Json* mid = json.contains("mid_block_type") ? &json["mid_block_type"] : nullptr;
  c.mid_block = !mid || !mid->is_null();  // null switches it off, absent does not
  f.choice("mid_block_type", {"UNetMidBlock2DCrossAttn"}, "UNetMidBlock2DCrossAttn");
  c.layers_per_block = per_block(f, "layers_per_block", blocks, 1, 64, 2);
  c.transformer_layers = per_block(f, "transformer_layers_per_block", blocks, 1, 64, 1);
  c.heads = per_block(f, "attention_head_dim", blocks, 1, 1 << 12, 8);  // the number of heads, whatever its name says
  c.cross_attention_dim = per_block(f, "cross_attention_dim", blocks, 1, 1 << 16, 1280);
  c.use_linear_projection = f.boolean("use_linear_projection", false);
  c.center_input_sample = f.boolean("center_input_sample", false);
  c.flip_sin_to_cos = f.boolean("flip_sin_to_cos", true);
  c.freq_shift = f.number("freq_shift", -1e6, 1e6, 0);
  if (double(c.block_out_channels[0] / 2) == c.freq_shift) f.wrong("freq_shift", "the frequencies would be infinite", "not half of block_out_channels[0]", std::to_string(c.freq_shift));
  c.downsample_padding = f.integer("downsample_padding", 0, 1, 1);
  c.norm_num_groups = f.integer("norm_num_groups", 1, 1 << 16, 32);
  c.norm_eps = f.number("norm_eps", 0, 1, 1e-5);
  c.conv_in_kernel = f.integer("conv_in_kernel", 1, 63, 3);
  c.conv_out_kernel = f.integer("conv_out_kernel", 1, 63, 3);
  check(f, c);
  return c;
}

}  // namespace sspo
