#!/usr/bin/env python3
"""Tiles of a small AutoencoderKL of diffusers, float64: writes vae_tiles.json beside this file.

Weights and inputs come from their names (seeded.py). A case holds the shape of the input, [B, C, H, W], and of what tiled_decode or
tiled_encode makes of it four projections, and the values of one row and one column that cross every seam: picture, or mean and logvar.
"""
import json
import pathlib

import diffusers
import torch

from seeded import normal_like, number, projections, weight

CONFIG = dict(in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(8, 8, 16), layers_per_block=1, norm_num_groups=4, sample_size=32, act_fn="silu",
              down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3)


def listed(x):
    return [number(v) for v in x.reshape(-1).tolist()]


def outcome(name, x, row, column):
    return {"name": name, "shape": list(x.shape), "projections": projections(name, x), "row": row, "column": column, "row_values": listed(x[0, :, row]), "column_values": listed(x[-1, :, :, column])}


def main():
    vae = diffusers.AutoencoderKL(**CONFIG).eval()
    with torch.no_grad():
        for n, p in vae.named_parameters():
            p.copy_(weight(n, tuple(p.shape)))
    vae.double()
    cases = []
    with torch.no_grad():
        for pixels, overlap, shape in ((32, 0.25, (1, 4, 13, 21)), (32, 0.25, (2, 4, 6, 17)), (16, 0.5, (1, 4, 9, 4))):
            vae.enable_tiling()
            vae.tile_sample_min_size, vae.tile_latent_min_size, vae.tile_overlap_factor = pixels, pixels // 4, overlap
            z = normal_like(f"tiles.z{shape}", shape)
            picture = vae.decode(z).sample
            x = normal_like(f"tiles.x{shape}", (shape[0], 3, shape[2] * 4, shape[3] * 4))
            both = vae.encode(x).latent_dist
            vae.disable_tiling()
            whole = vae.decode(z).sample
            print(pixels, overlap, shape, "farthest from the whole picture %.3g" % (whole - picture).abs().max())
            cases.append({"pixels": pixels, "overlap": overlap, "latents": list(shape), "outcomes": [outcome("picture", picture, 5, picture.shape[3] // 2), outcome("mean", both.mean, 2, both.mean.shape[3] // 2),
                                                                                                   outcome("logvar", both.logvar, 2, 3)]})
    made_by = f"diffusers {diffusers.__version__}, torch {torch.__version__}"
    path = pathlib.Path(__file__).resolve().parent / "vae_tiles.json"
    rows = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    path.write_text(f'{{"made_by": "{made_by}",\n"config": {json.dumps(dict(CONFIG, _class_name="AutoencoderKL"))},\n"cases": [\n{rows}\n]}}\n')
    print(f"{path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
