#!/usr/bin/env python3
"""Steps of LoRA training by peft and diffusers in float64: writes lora_steps.json beside this file.

The UNet, batches and losses of make_steps.py, the weights those of its reference for both; the policy has adapters, peft's
LoraConfig, whose numbers come from their names in diffusers' files: A is weight(name), B is weight(name) / 20. The reference is the
same model without them. Each run holds what make_steps.py's do, the gradients being those of the adapters alone, and beside it
  targets, rank, alpha    of the LoraConfig
  adapters                names and shapes of the file that StableDiffusionPipeline.save_lora_weights writes, in the order of the names
"""
import json
import math
import pathlib
import sys
import tempfile

import diffusers
import peft
import torch
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open

from make_models import Exact, number, projections, weight
from make_steps import CONFIG, batch, listed, loss_of, models

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
WIDE = ["attn2.to_k", "ff.net.0.proj", "conv1", "conv_shortcut", "proj_in", "time_emb_proj", "downsamplers.0.conv", "conv_in"]


def adapted(targets, rank, alpha):
    unet = models(0)[1].float()
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, init_lora_weights="gaussian")
    unet.add_adapter(config)
    names = {}
    with torch.no_grad():
        for n, p in unet.named_parameters():
            if p.requires_grad:
                names[n] = "unet." + n.replace(".default.", ".")
                w = weight(names[n], tuple(p.shape))
                p.copy_(w if ".lora_A." in n else (w.double() / 20).float())
    with tempfile.TemporaryDirectory() as folder:
        layers = get_peft_model_state_dict(unet)
        diffusers.StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)
        with safe_open(pathlib.Path(folder) / "pytorch_lora_weights.safetensors", "pt") as f:
            keys = sorted(f.keys())
    assert keys == sorted(names.values()), "diffusers' names"
    return unet.double(), names


def run(name, size, targets, rank, alpha, **options):
    o = dict(objective="sspo", gate="sign", beta=100, eta=20, seed=3)
    o.update(options)
    policy, names = adapted(targets, rank, alpha)
    reference = models(0)[1]
    with Exact():
        t, loss = loss_of(policy, reference, batch(name, size), o)
        loss.backward()
    named = dict(policy.named_parameters())
    assert all((named[n].grad is not None) == (n in names) for n in named)
    order = sorted(names, key=lambda n: names[n])
    gradients = [projections(names[n], named[n].grad) + [number(named[n].grad.abs().max().item())] for n in order]
    norm = math.sqrt(sum(float(named[n].grad.square().sum()) for n in order))
    print(name, o, len(names), "adapters, d_w", ["%.2g" % v for v in t["d_w"].tolist()], "s", t["s"].tolist(), "loss %.6g norm %.3g" % (loss, norm), file=sys.stderr)
    return {"name": name, "size": size, "targets": targets, "rank": rank, "alpha": alpha, **o, "adapters": {names[n]: list(named[n].shape) for n in order},
            "values": {k: listed(v) for k, v in t.items()}, "loss": number(loss.item()), "grad_norm": number(norm), "gradients": gradients}


if __name__ == "__main__":
    runs = [run("lora.a", 5, ATTENTION, 2, 2), run("lora.a", 5, ATTENTION, 3, 12, objective="sft"), run("lora.b", 4, WIDE, 2, 1), run("lora.b", 4, WIDE, 2, 3, objective="dpo")]
    config = json.dumps(dict(CONFIG, act_fn="silu", _class_name="UNet2DConditionModel"))
    made_by = f"diffusers {diffusers.__version__}, peft {peft.__version__}, torch {torch.__version__}"
    path = pathlib.Path(__file__).parent / "lora_steps.json"
    rows = ",\n".join(json.dumps(r, separators=(",", ":")) for r in runs)
    path.write_text(f'{{"made_by": "{made_by}",\n"config": {config},\n"runs": [\n{rows}\n]}}\n')
    print(f"{path.name}: {path.stat().st_size} bytes", file=sys.stderr)
