#!/usr/bin/env python3
"""Does diffusers load what sspo's LoRA training exports, and draw what sspo draws with it?   lora_diffusers.py SSPO RECIPES/tiny.toml

Trains a tiny base model and adapters for it; StableDiffusionPipeline.load_lora_weights must take every tensor of the file, with its
alpha, and draw the picture of sspo sample --lora from the same seed, values within 2 of 255.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file

diffusers.logging.set_verbosity_error()
diffusers.logging.disable_progress_bar()
transformers.logging.set_verbosity_error()
sspo, tiny = (pathlib.Path(p).resolve() for p in sys.argv[1:3])


def main(folder):
    def run(*arguments):
        done = subprocess.run([sspo, *arguments], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"sspo {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}")
    recipe = tiny.read_text()
    (folder / "base.toml").write_text(re.sub(r"\[preference\].*", "", recipe, flags=re.S).replace('"sspo"', '"pretrain"'))
    (folder / "align.toml").write_text(re.sub(r"\[model\..*?(?=\[data\])", "", recipe, flags=re.S).replace("seed = 1", 'seed = 1\n[model]\npath = "base/model"'))
    run("train", "base.toml", "--out", "base", "--set", "train.steps=4")
    for name, targets in (("attention", None), ("wide", '["attn1.to_q", "conv1", "proj_in", "time_emb_proj", "ff.net.2"]')):
        run("train", "align.toml", "--out", name, "--set", "preference.phases=2", "--set", "preference.updates=3", "--set", "lora.rank=4", "--set", "lora.alpha=8", "--set", "optimizer.lr=3e-2",
            *(["--set", "lora.targets=" + targets] if targets else []))
        run("sample", "--model", "base/model", "--lora", f"{name}/lora/pytorch_lora_weights.safetensors", "--prompt", "a red circle", "--steps", "4", "--seed", "3", "--out", name + ".png")
        run("sample", "--model", "base/model", "--prompt", "a red circle", "--steps", "4", "--seed", "3", "--out", name + "-base.png")
        pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder / "base/model", safety_checker=None)
        pipe.load_lora_weights(folder / name / "lora")
        file = load_file(folder / name / "lora/pytorch_lora_weights.safetensors")
        loaded = {"unet." + re.sub(r"\.default_0|\.default", "", n): p for n, p in pipe.unet.named_parameters() if ".lora_" in n}
        if loaded.keys() != file.keys() or any(not torch.equal(loaded[n], file[n]) for n in file):
            sys.exit(f"{name}: loaded {sorted(loaded)[:4]}, ... of {sorted(file)[:4]}, ...")
        scales = {s for m in pipe.unet.modules() if hasattr(m, "scaling") for s in m.scaling.values()}
        if scales != {2.0}:
            sys.exit(f"{name}: scales {scales} in place of alpha / rank = 2")
        picture = pipe("a red circle", num_inference_steps=4, generator=torch.Generator().manual_seed(3), output_type="np").images[0]
        own, plain = (np.asarray(Image.open(folder / f"{name}{end}.png").convert("RGB"), dtype=float) for end in ("", "-base"))
        far, change = np.abs(np.round(picture * 255) - own).max(), np.abs(plain - own).max()
        print(f"{name}: {len(file)} tensors, scale 2, pictures within {far:.0f} of 255, the change is {change:.0f}")
        if far > 2 or change < 8:
            sys.exit(f"{name}: another picture")


with tempfile.TemporaryDirectory() as folder:
    main(pathlib.Path(folder))
