#!/usr/bin/env python3
"""The demo's models (recipes/emoji) at work, ours beside PyTorch's eager mode: training steps, self-sampling, decoding.

  PYTHON=.venv/bin/python bench/demo_models              builds our side first; the same options
  python3 bench/demo_models.py --rounds 5 --seconds 2    needs torch, diffusers and transformers
  python3 bench/demo_models.py --compile                 torch.compile as a further side: it takes minutes to compile a work
  python3 bench/demo_models.py --save                    also writes bench/results/demo-models-MACHINE-DATE.{json,md}

diffusers and transformers make the models and save them, both sides load them and must find the same loss (or mean square of
the result) before anything is timed. All in f32, with the recipes' sizes and batches.
  train        UNet and text encoder, latents of 8 x 8 x 4, 16 tokens: forward, backward, AdamW
  preference   32 pairs: the policy on 64, a frozen reference on 64, SSPO's loss, clipping, AdamW
  sampling     five DDIM steps of 64 prompts with guidance 3: 128 samples a call
  vae-train    pictures of 32 x 32: encode, sample, decode, loss, backward, AdamW
  vae-decode   64 latents to pictures
A round is our side, then each layout of PyTorch's (its quicker one counts; its AdamW is the fused one), --seconds each. Ratios are time
of the rival / our time. On a busy machine look at the CPU's time (all threads, the least of an execution), with
OMP_WAIT_POLICY=passive, so that waiting threads cost none. Nothing here fails because of a time.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from table import machine, save  # noqa: E402

for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # may pin slow kernels
    os.environ.pop(variable, None)

import diffusers  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from tiny_unet import LAYOUTS, run, timed  # noqa: E402

WORKS = ("train", "preference", "sampling", "vae-train", "vae-decode")
RECIPES = {name: tomllib.loads((HERE.parent / "recipes" / "emoji" / f"{name}.toml").read_text()) for name in ("vae", "base", "sspo")}
BASE, PAIRS, PICTURES = (RECIPES[name]["train"]["batch"] for name in ("base", "sspo", "vae"))
SAMPLES = {"train": BASE, "preference": PAIRS, "sampling": 64, "vae-train": PICTURES, "vae-decode": 64}


def write_models(folder):
    """Models as the recipes describe them, with diffusers' initial values."""
    torch.manual_seed(1)
    base, vae = RECIPES["base"]["model"], RECIPES["vae"]["model"]
    levels = len(vae["vae"]["block_out_channels"])
    diffusers.AutoencoderKL(**vae["vae"], latent_channels=4, down_block_types=["DownEncoderBlock2D"] * levels,
                            up_block_types=["UpDecoderBlock2D"] * levels).save_pretrained(f"{folder}/vae")
    text = {"vocab_size": base["tokenizer"]["size"], "hidden_act": "quick_gelu", **base["text_encoder"]}
    transformers.CLIPTextModel(transformers.CLIPTextConfig(**text, bos_token_id=text["vocab_size"] - 2, eos_token_id=text["vocab_size"] - 1)).save_pretrained(f"{folder}/text_encoder")
    width, length = text["hidden_size"], text["max_position_embeddings"]
    for part in ("unet", "reference"):
        diffusers.UNet2DConditionModel(sample_size=8, cross_attention_dim=width, **base["unet"]).save_pretrained(f"{folder}/{part}")
    diffusers.DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
                            set_alpha_to_one=False, steps_offset=1).save_pretrained(f"{folder}/scheduler")
    normal = torch.randn
    save_file({"sample": normal(BASE, 4, 8, 8), "noise": normal(BASE, 4, 8, 8), "timestep": torch.randint(0, 1000, (BASE,)),
               "ids": torch.randint(0, text["vocab_size"] - 1, (BASE, length)), "start": normal(64, 4, 8, 8), "text": normal(64, length, width),
               "negative": normal(64, length, width), "winners": normal(PAIRS, 4, 8, 8), "seconds": normal(PAIRS, 4, 8, 8), "pair_noise": normal(PAIRS, 4, 8, 8),
               "pair_timestep": torch.randint(0, 1000, (PAIRS,)), "pair_text": normal(PAIRS, length, width), "latents": normal(64, 4, 8, 8),
               "pictures": torch.rand(PICTURES, 3, 32, 32) * 2 - 1, "posterior": normal(PICTURES, 4, 8, 8)}, f"{folder}/inputs.safetensors")


def sspo(options, folder, work, seconds, *more):
    return run([options.binary, folder, f"{folder}/inputs.safetensors", {"train": "train-text"}.get(work, work), "f32", str(options.threads), str(seconds), *more])


class Torch:
    """One work in one layout; calling it is one execution, and gives the number that both sides must find."""

    def __init__(self, folder, work, layout, compiled=False):
        self.layout = LAYOUTS[layout]
        self.inputs = {k: v.to(memory_format=self.layout) if v.dim() == 4 else v for k, v in load_file(f"{folder}/inputs.safetensors").items()}
        self.run = getattr(self, work.replace("-", "_"))
        load = lambda kind, part: kind.from_pretrained(f"{folder}/{part}").to(memory_format=self.layout)  # noqa: E731
        trained = []
        if work.startswith("vae"):
            self.vae = load(diffusers.AutoencoderKL, "vae")
            trained = [self.vae]
        else:
            self.unet, self.scheduler = load(diffusers.UNet2DConditionModel, "unet"), diffusers.DDIMScheduler.from_pretrained(f"{folder}/scheduler")
            trained = [self.unet]
        if work == "train":
            self.text = load(transformers.CLIPTextModel, "text_encoder")
            trained.append(self.text)
        if work == "preference":
            self.reference = load(diffusers.UNet2DConditionModel, "reference").eval().requires_grad_(False)
        if compiled:
            for model in [*trained, *([self.reference] if work == "preference" else [])]:
                model.compile()  # its forward, in place: inductor, dynamic shapes where it sees several
        if work in ("sampling", "vae-decode"):
            trained[0].eval().requires_grad_(False)
        else:
            self.parameters = [p for model in trained for p in model.train().parameters()]
            self.adamw = torch.optim.AdamW(self.parameters, lr=1e-4, fused=True)

    def step(self, loss, clip=None):
        self.adamw.zero_grad(set_to_none=True)
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(self.parameters, clip)
        self.adamw.step()
        return float(loss.detach())

    def train(self):
        i = self.inputs
        states = self.text(i["ids"]).last_hidden_state
        return self.step(F.mse_loss(self.unet(i["sample"], i["timestep"], states, return_dict=False)[0], i["noise"]))

    def preference(self, kappa=100):
        i = self.inputs
        noise, t, text = (torch.cat([i[k]] * 2) for k in ("pair_noise", "pair_timestep", "pair_text"))
        x_t = self.scheduler.add_noise(torch.cat([i["winners"], i["seconds"]]), noise, t).to(memory_format=self.layout)

        def errors(model):
            return (model(x_t, t, text, return_dict=False)[0].double() - noise.double()).square().mean((1, 2, 3)).chunk(2)

        theta_w, theta_r = errors(self.unet)
        with torch.no_grad():
            ref_w, ref_r = errors(self.reference)
        s = torch.sign(ref_w - theta_w).detach()
        return self.step(F.softplus(kappa * ((theta_w - ref_w) - s * (theta_r - ref_r))).mean(), clip=1)

    @torch.inference_mode()
    def sampling(self):
        x, context = self.inputs["start"], torch.cat([self.inputs["negative"], self.inputs["text"]])
        self.scheduler.set_timesteps(5)
        for t in self.scheduler.timesteps:
            off, on = self.unet(torch.cat([x, x]), t, context, return_dict=False)[0].chunk(2)
            x = self.scheduler.step(off + 3 * (on - off), t, x).prev_sample
        return float(x.square().mean())

    def vae_train(self):
        pictures, noise = self.inputs["pictures"], self.inputs["posterior"]
        q = self.vae.encode(pictures).latent_dist
        d = self.vae.decode(q.mean + (q.logvar * 0.5).exp() * noise).sample - pictures
        return self.step(d.abs().mean() + d.square().mean() + 0.5e-6 * (q.mean.square() + q.logvar.exp() - 1 - q.logvar).mean())

    @torch.inference_mode()
    def vae_decode(self):
        return float(self.vae.decode(self.inputs["latents"]).sample.square().mean())

    def __call__(self):
        return self.run()


def measure(options, folder, work):
    ours, rivals = sspo(options, folder, work, 0.1)["check"], {f"PyTorch, {layout}": Torch(folder, work, layout) for layout in LAYOUTS}
    if options.compile:
        rivals["torch.compile"] = Torch(folder, work, "default", compiled=True)
    for name, rival in rivals.items():
        theirs = rival()
        if not abs(ours / theirs - 1) <= 1e-4:
            sys.exit(f"{work}: sspo finds {ours}, {name} {theirs}: not the same work")
    samples = {}
    for _ in range(options.rounds):
        ours = sspo(options, folder, work, options.seconds)
        samples.setdefault("sspo", []).append((ours["min"], ours["median"], ours["cpu"]))
        for name, rival in rivals.items():
            samples.setdefault(name, []).append(timed(rival, options.seconds))
    return {name: {"min": min(r[0] for r in rounds), "median": statistics.median(r[1] for r in rounds), "cpu": min(r[2] for r in rounds)}
            for name, rounds in samples.items()}


def markdown(header, results, ops):
    lines = [f"# The demo's models at work: {header['machine']}, {header['date']}", "",
             f"{header['threads']} threads; {header['compiler']}; {header['rivals']}; {header['rounds']} rounds of {header['seconds']} s a side, alternating.",
             "Times in ms, minimum (median). Ratio = time of the rival / our time; more is better for us. Batches: " + ", ".join(f"{k} {v}" for k, v in SAMPLES.items()) + ".", "",
             "| work | side | ms | samples/s | CPU ms | ratio of minima | of medians | of CPU |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for work, sides in results.items():
        for name, s in sides.items():
            ratios = ["", "", ""] if name == "sspo" else [f"{s[k] / sides['sspo'][k]:.2f}" for k in ("min", "median", "cpu")]
            lines.append(f"| {work} | {name} | {s['min'] * 1e3:.1f} ({s['median'] * 1e3:.1f}) | {SAMPLES[work] / s['min']:.0f} | {s['cpu'] * 1e3:.1f} | {' | '.join(ratios)} |")
    for work, split in ops.items():
        whole, spent = split["whole"], sum(cost for cost, _ in split["ops"].values())
        lines += ["", f"## {work}: ours by op, {whole * 1e3:.1f} ms an execution while traced", "", "| op | calls | ms | share |", "| --- | --- | --- | --- |"]
        for op, (cost, calls) in sorted(split["ops"].items(), key=lambda o: -o[1][0]):
            if cost >= 0.004 * whole:
                lines.append(f"| {op} | {calls:g} | {cost * 1e3:.2f} | {cost / whole:.1%} |")
        lines.append(f"| between ops | | {(whole - spent) * 1e3:.2f} | {(whole - spent) / whole:.1%} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description="the demo's models, ours beside PyTorch's", prog="bench/demo_models")
    parser.add_argument("--binary", default=str(HERE.parent / "build-bench" / "bench" / "bench_models"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="per side and round")
    parser.add_argument("--works", default=",".join(WORKS))
    parser.add_argument("--compile", action="store_true", help="torch.compile beside eager mode")
    parser.add_argument("--models", help="write the models and inputs to this folder, and stop")
    parser.add_argument("--save", action="store_true", help="write bench/results/demo-models-MACHINE-DATE.{json,md}")
    parser.add_argument("--name", help="machine part of the file name")
    options = parser.parse_args()
    if options.models:
        return write_models(options.models)
    if not os.path.exists(options.binary):
        sys.exit(f"{options.binary} is not there: run bench/demo_models, or give --binary")
    torch.set_num_threads(options.threads)
    diffusers.logging.set_verbosity_error()
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        write_models(folder)
        works = options.works.split(",")
        results = {work: measure(options, folder, work) for work in works}
        ops = {work: sspo(options, folder, work, options.seconds, "ops") for work in works}
    compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
    header = {"machine": machine(), "date": datetime.date.today().isoformat(), "compiler": compiler, "rivals": f"PyTorch {torch.__version__}", "threads": options.threads,
              "rounds": options.rounds, "seconds": options.seconds}
    text = markdown(header, results, ops)
    print(text)
    save("demo-models", header, text, options, unit="s", results=results, ops=ops)


if __name__ == "__main__":
    main()
