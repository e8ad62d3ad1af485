// config.json of the networks from any bytes: either one Error, or a config that its rules hold for and that the network
// can be laid out by, names and shapes, without weights.
#include <cstdlib>
#include <string_view>

#include "sspo/models/blip.hpp"
#include "sspo/models/clip.hpp"
#include "sspo/models/unet.hpp"
#include "sspo/models/vae.hpp"

namespace {

using sspo::Index;

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const sspo::ClipTextConfig& c) {
  require(c.hidden_size % c.num_attention_heads == 0 && c.layer_norm_eps >= 0 && c.eos_token_id >= 0);
  sspo::Params params = sspo::Params::shapes_only();
  const sspo::ClipText text(params, c);
  require(Index(params.size()) == 4 + 16 * c.num_hidden_layers && params.numel() > 0);
}

void check(const sspo::ClipConfig& c) {
  require(c.vision || c.text);
  if (c.text) check(*c.text);
  if (!c.vision) return;
  require(c.vision->hidden_size % c.vision->num_attention_heads == 0 && c.vision->patch_size <= c.vision->image_size && c.vision->tokens() >= 2);
  sspo::Params params = sspo::Params::shapes_only();
  const sspo::ClipVision vision(params, *c.vision);
  require(Index(params.size()) == 8 + 16 * c.vision->num_hidden_layers && params.numel() > 0);
}

void check(const sspo::UNetConfig& c) {
  const std::size_t blocks = c.block_out_channels.size();
  require(blocks >= 1 && c.down_attention.size() == blocks && c.up_attention.size() == blocks && c.layers_per_block.size() == blocks &&
          c.transformer_layers.size() == blocks && c.heads.size() == blocks && c.cross_attention_dim.size() == blocks);
  Index transformers = 0;
  for (std::size_t b = 0; b < blocks; ++b) {
    require(c.block_out_channels[b] % c.norm_num_groups == 0);
    if (c.down_attention[b]) require(c.block_out_channels[b] % c.heads[b] == 0);
    transformers += c.layers_per_block[b] * c.transformer_layers[b];
  }
  require(c.conv_in_kernel % 2 == 1 && c.conv_out_kernel % 2 == 1);
  if (transformers > 64) return;  // rightly accepted, but thousands of tensors are slow under a fuzzer
  sspo::Params params = sspo::Params::shapes_only();
  const sspo::UNet unet(params, c);
  require(params.numel() > 0);
}

void check(const sspo::VaeConfig& c) {
  for (const Index channels : c.block_out_channels) require(channels % c.norm_num_groups == 0);
  require(c.scaling_factor > 0 && c.downscale() >= 1);
  sspo::Params params = sspo::Params::shapes_only();
  const sspo::Autoencoder vae(params, c);
  require(params.contains("quant_conv.weight") == c.quant_conv && params.numel() > 0);
}

void check(const sspo::BertConfig& c) {
  require(c.hidden_size % c.num_attention_heads == 0 && c.layer_norm_eps >= 0);
  sspo::Params params = sspo::Params::shapes_only();
  const sspo::BlipText text(params, c);
  require(Index(params.size()) == 4 + 26 * c.num_hidden_layers && params.numel() > 0);
}

template <class Read>
void check_all(Read read) {
  try {
    check(read());
  } catch (const sspo::Error& e) {
    require(e.info().kind == sspo::ErrorKind::file && std::string_view(e.what()).find('\n') == std::string_view::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_all([&] { return sspo::read_clip_text_config(text, {.path = "fuzz"}); });
  check_all([&] { return sspo::read_clip_config(text, {.path = "fuzz"}); });
  check_all([&] { return sspo::read_bert_config(text, {.path = "fuzz"}); });
  check_all([&] { return sspo::read_unet_config(text, {.path = "fuzz"}); });
  check_all([&] { return sspo::read_vae_config(text, {.path = "fuzz"}); });
  return 0;
}
