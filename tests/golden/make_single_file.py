#!/usr/bin/env python3
"""A small Stable Diffusion 1.x under LDM's names, converted and run by diffusers: writes single_file.json beside this file.

ldm        names and shapes of the file; its numbers are made from the names (seeded.py)
diffusers  per component: name -> one projection of the tensor that diffusers' converters put there
outputs    projections of what the converted components compute
"""
import json
import pathlib

import diffusers
import torch
import transformers
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

from seeded import normal_like, projections, weight

GOLDEN = pathlib.Path(__file__).resolve().parent
CHANNELS, LAYERS, TEXT, WORDS, LATENT = (32, 64), 2, 64, 704, 4
ATTENDS = (True, False)


class Names(dict):
    def norm(self, name, n):
        self[name + ".weight"] = self[name + ".bias"] = (n,)

    def conv(self, name, i, o, k=3):
        self[name + ".weight"], self[name + ".bias"] = (o, i, k, k), (o,)

    def linear(self, name, i, o, bias=True):
        self[name + ".weight"] = (o, i)
        if bias:
            self[name + ".bias"] = (o,)


def unet():
    """As UNetModel of ldm/modules/diffusionmodules/openaimodel.py registers its parameters."""
    n = Names()
    time = 4 * CHANNELS[0]

    def resnet(at, i, o):
        n.norm(at + ".in_layers.0", i), n.conv(at + ".in_layers.2", i, o), n.linear(at + ".emb_layers.1", time, o)
        n.norm(at + ".out_layers.0", o), n.conv(at + ".out_layers.3", o, o)
        if i != o:
            n.conv(at + ".skip_connection", i, o, 1)

    def transformer(at, c):
        n.norm(at + ".norm", c), n.conv(at + ".proj_in", c, c, 1)
        block = at + ".transformer_blocks.0"
        for attention, context in (("attn1", c), ("attn2", TEXT)):
            for name, i in (("to_q", c), ("to_k", context), ("to_v", context)):
                n.linear(f"{block}.{attention}.{name}", i, c, bias=False)
            n.linear(f"{block}.{attention}.to_out.0", c, c)
        n.linear(block + ".ff.net.0.proj", c, 8 * c), n.linear(block + ".ff.net.2", 4 * c, c)
        for i in (1, 2, 3):
            n.norm(f"{block}.norm{i}", c)
        n.conv(at + ".proj_out", c, c, 1)

    n.linear("time_embed.0", CHANNELS[0], time), n.linear("time_embed.2", time, time)
    n.conv("input_blocks.0.0", LATENT, CHANNELS[0])
    skips, c, k = [CHANNELS[0]], CHANNELS[0], 0
    for level, width in enumerate(CHANNELS):
        for _ in range(LAYERS):
            k += 1
            resnet(f"input_blocks.{k}.0", c, width)
            c = width
            if ATTENDS[level]:
                transformer(f"input_blocks.{k}.1", c)
            skips.append(c)
        if level + 1 < len(CHANNELS):
            k += 1
            n.conv(f"input_blocks.{k}.0.op", c, c)
            skips.append(c)
    resnet("middle_block.0", c, c), transformer("middle_block.1", c), resnet("middle_block.2", c, c)
    k = 0
    for level in reversed(range(len(CHANNELS))):
        for i in range(LAYERS + 1):
            resnet(f"output_blocks.{k}.0", c + skips.pop(), CHANNELS[level])
            c, part = CHANNELS[level], 1
            if ATTENDS[level]:
                transformer(f"output_blocks.{k}.1", c)
                part = 2
            if level and i == LAYERS:
                n.conv(f"output_blocks.{k}.{part}.conv", c, c)
            k += 1
    n.norm("out.0", c), n.conv("out.2", c, LATENT)
    return n


def vae():
    """As Encoder and Decoder of ldm/modules/diffusionmodules/model.py."""
    n = Names()

    def resnet(at, i, o):
        n.norm(at + ".norm1", i), n.conv(at + ".conv1", i, o), n.norm(at + ".norm2", o), n.conv(at + ".conv2", o, o)
        if i != o:
            n.conv(at + ".nin_shortcut", i, o, 1)

    def middle(at, c):
        resnet(at + ".mid.block_1", c, c), resnet(at + ".mid.block_2", c, c), n.norm(at + ".mid.attn_1.norm", c)
        for name in ("q", "k", "v", "proj_out"):
            n.conv(f"{at}.mid.attn_1.{name}", c, c, 1)

    c = CHANNELS[0]
    n.conv("encoder.conv_in", 3, c)
    for level, width in enumerate(CHANNELS):
        for i in range(LAYERS):
            resnet(f"encoder.down.{level}.block.{i}", c, width)
            c = width
        if level + 1 < len(CHANNELS):
            n.conv(f"encoder.down.{level}.downsample.conv", c, c)
    middle("encoder", c), n.norm("encoder.norm_out", c), n.conv("encoder.conv_out", c, 2 * LATENT)
    n.conv("decoder.conv_in", LATENT, c), middle("decoder", c)
    for level in reversed(range(len(CHANNELS))):
        for i in range(LAYERS + 1):
            resnet(f"decoder.up.{level}.block.{i}", c, CHANNELS[level])
            c = CHANNELS[level]
        if level:
            n.conv(f"decoder.up.{level}.upsample.conv", c, c)
    n.norm("decoder.norm_out", c), n.conv("decoder.conv_out", c, 3)
    n.conv("quant_conv", 2 * LATENT, 2 * LATENT, 1), n.conv("post_quant_conv", LATENT, LATENT, 1)
    return n


def main():
    text = transformers.CLIPTextModel(transformers.CLIPTextConfig(
        vocab_size=WORDS, hidden_size=TEXT, intermediate_size=4 * TEXT, num_hidden_layers=2, num_attention_heads=1, max_position_embeddings=24, bos_token_id=WORDS - 2,
        eos_token_id=WORDS - 1, pad_token_id=WORDS - 1, projection_dim=TEXT))
    down = ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in ATTENDS]
    up = ["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(ATTENDS)]
    models = {
        "unet": diffusers.UNet2DConditionModel(sample_size=8, block_out_channels=CHANNELS, layers_per_block=LAYERS, cross_attention_dim=TEXT, attention_head_dim=8, down_block_types=down, up_block_types=up),
        "vae": diffusers.AutoencoderKL(block_out_channels=CHANNELS, layers_per_block=LAYERS, latent_channels=LATENT, down_block_types=["DownEncoderBlock2D"] * len(CHANNELS), up_block_types=["UpDecoderBlock2D"] * len(CHANNELS)),
        "text_encoder": text,
    }
    clip = {("" if name.startswith("text_model.") else "text_model.") + name: tuple(p.shape) for name, p in text.named_parameters()}
    names = {"model.diffusion_model." + k: v for k, v in unet().items()} | {"first_stage_model." + k: v for k, v in vae().items()} | {"cond_stage_model.transformer." + k: v for k, v in clip.items()}
    file = {name: weight(name, shape) for name, shape in names.items()}
    states = {
        "unet": convert_ldm_unet_checkpoint(dict(file), {**models["unet"].config, "layers_per_block": LAYERS}),
        "vae": convert_ldm_vae_checkpoint(dict(file), models["vae"].config),
        "text_encoder": {name: file["cond_stage_model.transformer." + ("" if name.startswith("text_model.") else "text_model.") + name] for name, _ in text.named_parameters()},
    }
    result = {}
    for part, model in models.items():
        state = {k: v.reshape(dict(model.named_parameters())[k].shape) for k, v in states[part].items()}
        model.load_state_dict(state, strict=part != "text_encoder")
        result[part] = {("text_model." if part == "text_encoder" and not k.startswith("text_model.") else "") + k: projections(k if part != "text_encoder" or k.startswith("text_model.") else "text_model." + k, v)[0]
                        for k, v in sorted(state.items())}
        model.eval()
    with torch.no_grad():
        ids = torch.tensor([[702, 5, 600, 17, 703]])
        z, states = normal_like("input.sample", (1, LATENT, 8, 8)).float(), normal_like("input.encoder_hidden_states", (1, 5, TEXT)).float()
        outputs = {
            "text": projections("text", text(ids).last_hidden_state),
            "unet": projections("unet", models["unet"](z, torch.tensor([500]), states).sample),
            "vae-decode": projections("vae-decode", models["vae"].decode(z).sample),
            "vae-encode": projections("vae-encode", models["vae"].encode(normal_like("input.image", (1, 3, 32, 32)).float()).latent_dist.mean),
        }
    line = lambda d: ",\n".join(f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in d.items())
    parts = ",\n".join(f'"{p}":{{\n{line(d)}}}' for p, d in result.items())
    (GOLDEN / "single_file.json").write_text(
        f'{{"made_by":"diffusers {diffusers.__version__}, transformers {transformers.__version__}, torch {torch.__version__}",\n"ldm":{{\n{line(names)}}},\n"diffusers":{{{parts}}},\n"outputs":{{\n{line(outputs)}}}}}\n')
    print(f"{len(names)} tensors, {(GOLDEN / 'single_file.json').stat().st_size} bytes")


if __name__ == "__main__":
    main()
