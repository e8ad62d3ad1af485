#!/usr/bin/env python3
"""Small models of transformers and diffusers, run in float64: writes models.json beside this file.

No weight is stored. Weights, inputs and cotangents are uniform numbers that both sides make from a tensor's name and the index
of the element in the checkpoint's order (`uniform`, `weight`); the text encoder's names have the prefix text_model.
Each run holds its config as save_pretrained writes it, the number and the hash of the names and shapes of its parameters, its
inputs, and
  outputs    shape; values, rounded to float32; projections in double
  gradients  of sum(output cotangent) over all outputs: projections and the largest absolute value, for every input and, in
             order of their names, for every parameter; null: PyTorch gives none
  f32_error  how far PyTorch's own float32 run is from the values, relative to max(1, rms): to judge the tolerance by
A projection is sum(x[i] sign[i]) / sqrt(n), with four vectors of signs a tensor: as large as an element.
"""
import json
import math
import pathlib
import sys
import tempfile

import diffusers
import numpy as np
import torch
import transformers
from diffusers.models import embeddings

from seeded import fnv, normal_like, number, projections, uniform, weight

torch.set_num_threads(1)
diffusers.logging.set_verbosity_error()
transformers.logging.set_verbosity_error()


def gradient(name, g):
    return None if g is None else projections(name, g) + [number(g.abs().max())]


def exact_timestep_embedding(timesteps, embedding_dim, flip_sin_to_cos=False, downscale_freq_shift=1, scale=1, max_period=10000):
    """diffusers' get_timestep_embedding, which computes in float32 whatever the model's type, in float64."""
    half = embedding_dim // 2
    omega = torch.exp(-math.log(max_period) * torch.arange(half, dtype=torch.float64) / (half - downscale_freq_shift))
    angle = timesteps[:, None].double() * omega * scale
    waves = [torch.sin(angle), torch.cos(angle)]
    y = torch.cat(waves[::-1] if flip_sin_to_cos else waves, dim=-1)
    return torch.nn.functional.pad(y, (0, embedding_dim % 2))


class Exact:
    """Within: the time embedding in float64."""

    def __enter__(self):
        self.own = embeddings.get_timestep_embedding
        embeddings.get_timestep_embedding = exact_timestep_embedding

    def __exit__(self, *_):
        embeddings.get_timestep_embedding = self.own


def saved_config(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return json.loads((pathlib.Path(folder) / "config.json").read_text())


def run(name, model, prefix, inputs, function):
    """function(model, inputs as tensors) -> {name of output: tensor}."""
    model = model.float().eval()
    parameters = {prefix + n: p for n, p in model.named_parameters()}
    with torch.no_grad():
        for n, p in parameters.items():
            p.copy_(weight(n, tuple(p.shape)))
    with torch.no_grad():
        own = function(model, {k: v.float() if v.is_floating_point() else v for k, v in inputs.items()})
    model.double()
    given = {k: v.clone().requires_grad_(v.is_floating_point() and k != "timestep") for k, v in inputs.items()}
    with Exact():
        outputs = function(model, given)
    loss = sum((y * normal_like(f"cotangent.{k}", tuple(y.shape))).sum() for k, y in outputs.items())
    loss.backward()
    values = {k: y.detach() for k, y in outputs.items()}
    error = {k: float((own[k].double() - y).abs().max() / max(1, y.square().mean().sqrt())) for k, y in values.items()}
    listing = "".join(f"{n} {list(parameters[n].shape)}\n" for n in sorted(parameters))
    print(f"{name}: {len(parameters)} tensors, rms " + ", ".join(f"{k} {float(y.square().mean().sqrt()):.3g}" for k, y in values.items()),
          "float32 error", error, file=sys.stderr)
    gradients = {  # before the model becomes float32 again, and they with it
        "inputs": {k: gradient(f"input.{k}", v.grad) for k, v in given.items() if v.requires_grad},
        "parameters": [gradient(n, parameters[n].grad) for n in sorted(parameters)],
    }
    return {
        "name": name,
        "config": saved_config(model.float()),
        "parameters": [len(parameters), sum(p.numel() for p in parameters.values()), f"{fnv(listing):016x}"],
        "inputs": {k: v.tolist() if k in ("timestep", "input_ids") else list(v.shape) for k, v in inputs.items()},
        "outputs": {
            k: {"shape": list(y.shape), "values": [float("%.9g" % np.float32(v)) for v in y.reshape(-1).tolist()], "projections": projections(f"output.{k}", y),
                "f32_error": float("%.2g" % error[k])}
            for k, y in values.items()
        },
        "gradients": gradients,
    }


# --- text encoder


def text(name, ids, **changes):
    config = dict(vocab_size=60, hidden_size=16, intermediate_size=36, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=12,
                  hidden_act="quick_gelu", bos_token_id=58, eos_token_id=59, pad_token_id=59, projection_dim=16)
    model = transformers.CLIPTextModel(transformers.CLIPTextConfig(**{**config, **changes}))

    def function(m, x):
        y = m(input_ids=x["input_ids"])
        return {"last_hidden_state": y.last_hidden_state, "pooled": y.pooler_output}

    return run(name, model, "text_model.", {"input_ids": torch.tensor(ids)}, function)


def texts():
    return [
        text("eos id 2, full length", [[58, 5, 6, 7, 59, 59, 59, 59, 59, 59, 59, 59], [58, 0, 1, 2, 3, 4, 40, 41, 42, 43, 44, 59]], eos_token_id=2),
        text("gelu, 3 layers, short ids, eos repeated, first and absent", [[58, 57, 9, 9, 57, 3, 57], [57, 1, 2, 3, 4, 5, 6], [58, 11, 12, 13, 14, 15, 16]],
             hidden_act="gelu", num_hidden_layers=3, hidden_size=24, num_attention_heads=3, eos_token_id=57, max_position_embeddings=16),
        text("heads of 4, 2 layers, large eps", [[58, 30, 31, 32, 59]], num_hidden_layers=2, hidden_size=20, num_attention_heads=5, layer_norm_eps=1e-3,
             intermediate_size=20, max_position_embeddings=5),
        text("one token, one head, gelu by tanh", [[59], [58]], hidden_act="gelu_pytorch_tanh", num_attention_heads=1),
    ]


# --- UNet

CROSS, PLAIN = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D"), ("DownBlock2D", "UpBlock2D")


def unet(name, size, times, tokens, blocks=(CROSS, PLAIN), **changes):
    config = dict(sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=2, cross_attention_dim=12,
                  attention_head_dim=2, norm_num_groups=4, down_block_types=tuple(b[0] for b in blocks), up_block_types=tuple(b[1] for b in blocks[::-1]))
    config.update(changes)
    model = diffusers.UNet2DConditionModel(**config)
    batch = len(times)
    inputs = {
        "sample": normal_like("input.sample", (batch, config["in_channels"], *size)),
        "timestep": torch.tensor(times),
        "encoder_hidden_states": normal_like("input.encoder_hidden_states", (batch, tokens, config["cross_attention_dim"])),
    }
    return run(name, model, "", inputs, lambda m, x: {"sample": m(x["sample"], x["timestep"], x["encoder_hidden_states"]).sample})


def unets():
    return [
        unet("two layers, odd sizes", (7, 5), [1, 981], 7),
        unet("3 to 5 channels, linear projections, 2 transformer layers, sines first, shift 1", (9, 6), [0.25, 333.5], 3, in_channels=3, out_channels=5,
             block_out_channels=(12, 20), layers_per_block=1, norm_num_groups=2, attention_head_dim=[3, 5], use_linear_projection=True,
             transformer_layers_per_block=2, flip_sin_to_cos=False, freq_shift=1, cross_attention_dim=10),
        unet("three blocks, layers and heads by block, centred input", (13, 10), [500], 4, blocks=(PLAIN, CROSS, CROSS), block_out_channels=(8, 16, 24),
             layers_per_block=[1, 2, 1], attention_head_dim=[1, 2, 3], norm_num_groups=8, center_input_sample=True, transformer_layers_per_block=[1, 2, 1]),
        unet("no mid block, no padding at downsampling", (7, 9), [10, 20], 5, layers_per_block=1, mid_block_type=None, downsample_padding=0, norm_num_groups=1),
        unet("one block, one pixel, other kernels", (1, 1), [7, 8, 9], 1, blocks=(CROSS,), block_out_channels=(8,), layers_per_block=1, conv_in_kernel=5,
             conv_out_kernel=1, norm_num_groups=2, attention_head_dim=8, norm_eps=1e-3),
        unet("four blocks as SD-1.5", (9, 17), [999], 6, blocks=(CROSS, CROSS, CROSS, PLAIN), block_out_channels=(8, 16, 16, 16), layers_per_block=1,
             attention_head_dim=4),
    ]


# --- autoencoder


def vae(name, part, size, **changes):
    config = dict(in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, sample_size=16)
    config.update(changes)
    depth = len(config["block_out_channels"])
    model = diffusers.AutoencoderKL(**config, down_block_types=("DownEncoderBlock2D",) * depth, up_block_types=("UpDecoderBlock2D",) * depth)

    def encode(m, x):
        moments = m.encode(x["image"]).latent_dist
        return {"mean": moments.mean, "logvar": moments.logvar}

    def decode(m, x):
        return {"image": m.decode(x["latent"]).sample}

    if part == "encode":
        return run(name, model, "", {"image": normal_like("input.image", (2, config["in_channels"], *size))}, encode)
    return run(name, model, "", {"latent": normal_like("input.latent", (1, config["latent_channels"], *size))}, decode)


def vaes():
    odd = dict(block_out_channels=(8, 8, 16), layers_per_block=2, norm_num_groups=2, latent_channels=3, scaling_factor=0.5, shift_factor=0.25)
    bare = dict(block_out_channels=(12, 12), norm_num_groups=12, use_quant_conv=False, use_post_quant_conv=False, mid_block_add_attention=False)
    single = dict(block_out_channels=(8,), norm_num_groups=8, in_channels=1, out_channels=2, latent_channels=2)
    return [
        vae("one layer: encode", "encode", (16, 12)),
        vae("one layer: decode", "decode", (5, 3)),
        vae("two layers, three blocks, odd multiples: encode", "encode", (20, 12), **odd),
        vae("two layers, three blocks, odd multiples: decode", "decode", (3, 5), **odd),
        vae("no quant_conv, no attention, groups of one channel, odd sizes: encode", "encode", (15, 9), **bare),
        vae("no quant_conv, no attention, groups of one channel: decode", "decode", (2, 7), **bare),
        vae("one block, grey: encode", "encode", (5, 7), **single),
        vae("one block, grey: decode", "decode", (5, 1), **single),
    ]


def lines(key, runs):
    return f'"{key}": [\n' + ",\n".join(json.dumps(r, separators=(",", ":")) for r in runs) + "\n]"


if __name__ == "__main__":
    path = pathlib.Path(__file__).parent / "models.json"
    path.write_text("{\n" + ",\n".join(lines(k, f()) for k, f in (("text", texts), ("unet", unets), ("vae", vaes))) + "\n}\n")
    print(f"{path.name}: {path.stat().st_size} bytes", file=sys.stderr)
