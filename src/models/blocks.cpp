#include "sspo/models/blocks.hpp"

namespace sspo {

ResnetBlock2D::ResnetBlock2D(const Scope& p, Index in, Index out, Options o)
    : norm1(p / "norm1", in, {.groups = o.groups, .eps = o.eps, .silu = true}),
      conv1(p / "conv1", in, out, {.padding = same(3)}),
      norm2(p / "norm2", out, {.groups = o.groups, .eps = o.eps, .silu = true}),
      conv2(p / "conv2", out, out, {.padding = same(3)}) {
  if (o.temb) time_emb_proj.emplace(p / "time_emb_proj", o.temb, out);
  if (in != out) conv_shortcut.emplace(p / "conv_shortcut", in, out, nn::Conv2d::Options{.kernel = 1});
}

Tensor ResnetBlock2D::operator()(Tensor x, const Tensor& silu_temb) const {
  const Tensor skip = conv_shortcut ? (*conv_shortcut)(x) : x;  // first: then the norm may work in x's place
  Tensor h = conv1(norm1(std::move(x)));                        // [B, H, W, out]
  if (time_emb_proj) h = std::move(h) + reshape((*time_emb_proj)(silu_temb), {h.dim(0), 1, 1, h.dim(3)});
  return conv2(norm2(std::move(h)), skip);
}

Downsample2D::Downsample2D(const Scope& p, Index channels, Padding padding)
    : conv(p / "conv", channels, channels, {.stride = {2, 2}, .padding = padding == Padding::around ? same(3) : std::array<Index, 4>{0, 1, 0, 1}}) {}

}  // namespace sspo
