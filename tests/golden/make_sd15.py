#!/usr/bin/env python3
"""Names and shapes of Stable Diffusion 1.5's parameters as diffusers and transformers make them of its configs: writes sd15.json
beside this file. No weights are needed: the models stand on PyTorch's meta device.

Per component: its config.json, the number of tensors and of parameters, and for every module (the path up to its first number, or
its first word) the number of tensors and the FNV-1a of the lines "NAME [EXTENTS]", names ascending. transformers 5 leaves out the
prefix text_model., which the published checkpoint has. The parts called "... of {}" come from an empty config: the libraries' defaults.
"""
import json
import pathlib

import diffusers
import torch
import transformers

from make_models import fnv

UNET = dict(
    _class_name="UNet2DConditionModel", _diffusers_version="0.6.0", act_fn="silu", attention_head_dim=8, block_out_channels=[320, 640, 1280, 1280],
    center_input_sample=False, cross_attention_dim=768, down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], downsample_padding=1,
    flip_sin_to_cos=True, freq_shift=0, in_channels=4, layers_per_block=2, mid_block_scale_factor=1, norm_eps=1e-05, norm_num_groups=32,
    out_channels=4, sample_size=64, up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
)
VAE = dict(
    _class_name="AutoencoderKL", _diffusers_version="0.6.0", act_fn="silu", block_out_channels=[128, 256, 512, 512],
    down_block_types=["DownEncoderBlock2D"] * 4, in_channels=3, latent_channels=4, layers_per_block=2, norm_num_groups=32, out_channels=3,
    sample_size=512, up_block_types=["UpDecoderBlock2D"] * 4,
)
TEXT = dict(
    _name_or_path="openai/clip-vit-large-patch14", architectures=["CLIPTextModel"], attention_dropout=0.0, bos_token_id=0, dropout=0.0, eos_token_id=2,
    hidden_act="quick_gelu", hidden_size=768, initializer_factor=1.0, initializer_range=0.02, intermediate_size=3072, layer_norm_eps=1e-05,
    max_position_embeddings=77, model_type="clip_text_model", num_attention_heads=12, num_hidden_layers=12, pad_token_id=1, projection_dim=768,
    torch_dtype="float32", transformers_version="4.22.0.dev0", vocab_size=49408,
)


def module_of(name):
    parts = name.split(".")
    numbers = [i for i, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[: numbers[0] + 1]) if numbers else parts[0]


def component(config, model, prefix=""):
    shapes = {prefix + name: list(p.shape) for name, p in model.named_parameters()}
    modules = {}
    for name in sorted(shapes):
        modules.setdefault(module_of(name), []).append(f"{name} {shapes[name]}\n")
    return {
        "config": config,
        "tensors": len(shapes),
        "parameters": sum(p.numel() for p in model.parameters()),
        "modules": {m: [len(lines), f"{fnv(''.join(lines)):016x}"] for m, lines in modules.items()},
    }


if __name__ == "__main__":
    with torch.device("meta"):
        parts = {
            "unet": component(UNET, diffusers.UNet2DConditionModel.from_config(UNET)),
            "vae": component(VAE, diffusers.AutoencoderKL.from_config(VAE)),
            "text": component(TEXT, transformers.CLIPTextModel(transformers.CLIPTextConfig(**TEXT)), "text_model."),
            "unet of {}": component({}, diffusers.UNet2DConditionModel()),
            "vae of {}": component({}, diffusers.AutoencoderKL()),
            "text of {}": component({}, transformers.CLIPTextModel(transformers.CLIPTextConfig()), "text_model."),
        }
    path = pathlib.Path(__file__).parent / "sd15.json"
    path.write_text("{\n" + ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in parts.items()) + "\n}\n")
    for name, part in parts.items():
        print(name, part["tensors"], part["parameters"])
