#!/usr/bin/env python3
"""Stable Diffusion 1.5 at full size, ours beside PyTorch and OpenVINO: seconds and peak memory of one picture's work; and that of
the CLIP ViT-L/14 that scores pictures, one and eight at a time.

  PYTHON=.venv/bin/python bench/sd15                  builds our side first; the same options
  python3 bench/sd15.py --models FOLDER               models are made there once (10 GB, seeded random weights) and found the next time
  python3 bench/sd15.py --rows unet-64,text --save    some rows; also writes bench/results/sd15-MACHINE-DATE.{json,md}
  python3 bench/sd15.py --ours                        our side alone

diffusers and transformers make the models and save them; each side is a process of its own that loads what it needs, works once, and is
timed on further executions (the least counts; --seconds a side). Both must find the same number: the loss of the first step, or the mean
square of the result. Memory is the most that the process ever had resident, loading included. PyTorch runs in eager mode in both of its
layouts, the quicker one counts; its AdamW is the fused one. Ratio = time of the rival / our time. Needs torch, diffusers, transformers,
24 GB of memory for the larger rows; openvino's row stays empty without it. Nothing here fails because of a time.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import warnings

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from table import machine, save  # noqa: E402
from tiny_unet import LAYOUTS, run  # noqa: E402

for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # may pin slow kernels
    os.environ.pop(variable, None)
warnings.filterwarnings("ignore")  # of tracing a model for OpenVINO

# row: work, latents' rows and columns (clip: pictures), dtype, has OpenVINO, time to reach (rival / ours, the rival), memory to reach
ROWS = {
    "unet-64": ("forward", 64, "f32", True, "1.1 x OpenVINO", ""),
    "unet-64-bf16": ("forward", 64, "bf16", True, "1.0 x OpenVINO", ""),
    "unet-32": ("forward", 32, "f32", True, "1.6 x PyTorch", ""),
    "train-32": ("train", 32, "f32", False, "2 x PyTorch", "1 GiB less"),
    "train-64": ("train", 64, "f32", False, "2 x PyTorch", "1 GiB less"),
    "preference-32": ("preference", 32, "f32", False, "2 x PyTorch", "1 GiB less"),
    "preference-32-8bit": ("preference-8bit", 32, "f32", False, "", "13 GiB"),  # moments of 8 bits; PyTorch has none of its own
    "preference-32-lora": ("preference-lora", 32, "f32", False, "", "7 GiB"),   # rank 8 on attention's projections
    "vae-decode": ("vae-decode", 64, "f32", False, "1.4 x PyTorch", "half"),
    "text": ("text", 64, "f32", False, "1.5 x PyTorch", ""),
    "clip-1": ("clip-image", 1, "f32", False, "1.3 x PyTorch", ""),
    "clip-8": ("clip-image", 8, "f32", False, "1.3 x PyTorch", ""),
    "clip-1-bf16": ("clip-image", 1, "bf16", False, "1.2 x PyTorch", ""),
    "clip-8-bf16": ("clip-image", 8, "bf16", False, "1.2 x PyTorch", ""),
}


def write_models(folder):
    """SD-1.5's shapes with diffusers' and transformers' initial values, made from seeds."""
    import diffusers
    import torch
    import transformers
    from safetensors.torch import save_file

    for seed, part in enumerate(("unet", "reference")):
        torch.manual_seed(seed)
        diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8).save_pretrained(f"{folder}/{part}")
    diffusers.AutoencoderKL(sample_size=512, block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
                            down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4).save_pretrained(f"{folder}/vae")
    transformers.CLIPTextModel(transformers.CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, max_position_embeddings=77,
        hidden_act="quick_gelu", projection_dim=768, bos_token_id=49406, eos_token_id=49407)).save_pretrained(f"{folder}/text_encoder")
    diffusers.DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
                            steps_offset=1).save_pretrained(f"{folder}/scheduler")
    for size in (32, 64):
        torch.manual_seed(size)
        latents = {k: torch.randn(1, 4, size, size) for k in ("sample", "noise", "winners", "seconds", "pair_noise", "latents")}
        save_file({**latents, "timestep": torch.tensor([501]), "pair_timestep": torch.tensor([501]), "states": torch.randn(1, 77, 768),
                   "pair_text": torch.randn(1, 77, 768), "ids": torch.randint(0, 49406, (1, 77))}, f"{folder}/inputs-{size}.safetensors")
    pathlib.Path(folder, "done").touch()


def write_clip(folder):
    """The vision tower of ViT-L/14, and pictures of normal noise."""
    import torch
    import transformers
    from safetensors.torch import save_file

    torch.manual_seed(0)
    transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=224, patch_size=14,
        projection_dim=768, hidden_act="quick_gelu")).save_pretrained(f"{folder}/clip")
    for pictures in (1, 8):
        save_file({"pixel_values": torch.randn(pictures, 3, 224, 224)}, f"{folder}/inputs-{pictures}.safetensors")
    pathlib.Path(folder, "clip-done").touch()


class Torch:
    """A row's work in one layout; calling it is one execution, and gives the number that every side must find."""

    def __init__(self, folder, row, layout):
        import diffusers
        import torch
        import transformers
        from safetensors.torch import load_file

        work, size, dtype, *_ = ROWS[row]
        self.dtype, self.layout = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype], LAYOUTS[layout]

        def ready(x):
            x = x.to(memory_format=self.layout) if x.dim() == 4 else x
            return x.to(self.dtype) if x.is_floating_point() else x

        self.inputs = {k: ready(v) for k, v in load_file(f"{folder}/inputs-{size}.safetensors").items()}
        self.run, self.training = getattr(self, work.replace("-", "_")), work in ("train", "preference", "preference-lora")
        load = lambda kind, part: kind.from_pretrained(f"{folder}/{part}", torch_dtype=self.dtype).to(memory_format=self.layout).eval().requires_grad_(False)  # noqa: E731
        if work == "vae-decode":
            self.vae = load(diffusers.AutoencoderKL, "vae")
        elif work == "text":
            self.text_encoder = load(transformers.CLIPTextModel, "text_encoder")
        elif work == "clip-image":
            self.clip = load(transformers.CLIPVisionModelWithProjection, "clip")
        else:
            self.unet = load(diffusers.UNet2DConditionModel, "unet")
        if work == "preference":
            self.reference = load(diffusers.UNet2DConditionModel, "reference")
        if work.startswith("preference"):
            self.scheduler = diffusers.DDIMScheduler.from_pretrained(f"{folder}/scheduler")
        if work == "preference-lora":
            import peft
            self.unet.add_adapter(peft.LoraConfig(r=8, lora_alpha=8, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
        if self.training:
            if work != "preference-lora":
                self.unet.requires_grad_(True)
            self.parameters = [p for p in self.unet.train().parameters() if p.requires_grad]
            self.adamw = torch.optim.AdamW(self.parameters, lr=1e-4, fused=True)

    def __call__(self):
        import torch
        with torch.inference_mode(not self.training):
            return self.run()

    def step(self, loss, clip=None):
        import torch
        self.adamw.zero_grad(set_to_none=True)
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(self.parameters, clip)
        self.adamw.step()
        return float(loss.detach())

    def predict(self, x, t, states, model=None):
        return (model or self.unet)(x, t, states, return_dict=False)[0]

    def forward(self):
        i = self.inputs
        return float(self.predict(i["sample"], i["timestep"], i["states"]).float().square().mean())

    def train(self):
        i = self.inputs
        return self.step((self.predict(i["sample"], i["timestep"], i["states"]) - i["noise"]).float().square().mean())

    def preference(self, adapters=False, kappa=100):
        import torch
        i = self.inputs
        noise, t, text = (torch.cat([i[k]] * 2) for k in ("pair_noise", "pair_timestep", "pair_text"))
        x_t = self.scheduler.add_noise(torch.cat([i["winners"], i["seconds"]]), noise, t).to(memory_format=self.layout)
        errors = lambda model: (self.predict(x_t, t, text, model).double() - noise.double()).square().mean((1, 2, 3)).chunk(2)  # noqa: E731
        theta_w, theta_r = errors(self.unet)
        with torch.no_grad():
            if adapters:
                self.unet.disable_adapters()
            ref_w, ref_r = errors(self.unet if adapters else self.reference)
            if adapters:
                self.unet.enable_adapters()
        z = (ref_w - theta_w) - torch.sign((ref_w - theta_w).detach()) * (ref_r - theta_r)
        return self.step(-torch.nn.functional.logsigmoid(kappa * z).mean(), clip=1)

    def preference_lora(self):  # one copy of the weights: the reference is the policy without its adapters
        return self.preference(adapters=True)

    def vae_decode(self):
        return float(self.vae.decode(self.inputs["latents"], return_dict=False)[0].float().square().mean())

    def text(self):
        return float(self.text_encoder(self.inputs["ids"]).last_hidden_state.float().square().mean())

    def clip_image(self):
        return float(self.clip(self.inputs["pixel_values"]).image_embeds.float().square().mean())


class OpenVino:
    def __init__(self, folder, row, threads):
        import openvino
        import torch

        _, _, dtype, *_ = ROWS[row]
        plain = Torch(folder, row.removesuffix("-bf16"), "default")

        class Unet(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.unet = plain.unet

            def forward(self, x, t, states):
                return self.unet(x, t, states, return_dict=False)[0]

        example = tuple(plain.inputs[k] for k in ("sample", "timestep", "states"))
        model = openvino.convert_model(Unet(), example_input=example, input=[list(e.shape) for e in example])
        self.request = openvino.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": dtype, "PERFORMANCE_HINT": "LATENCY"}).create_infer_request()
        self.inputs = [e.numpy() for e in example]

    def __call__(self):
        import torch
        return float(torch.from_numpy(next(iter(self.request.infer(self.inputs).values()))).float().square().mean())


def time_side(folder, row, side, threads, seconds):
    """In a process of its own: one line of JSON, as bench_models prints it."""
    import torch
    torch.set_num_threads(threads)
    start = time.perf_counter()
    work = OpenVino(folder, row, threads) if side == "OpenVINO" else Torch(folder, row, side.removeprefix("PyTorch, "))
    loaded, check = time.perf_counter() - start, work()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    peak = float(re.search(r"VmHWM:\s*(\d+)", pathlib.Path("/proc/self/status").read_text())[1]) * 1024
    print(json.dumps({"min": min(times), "median": sorted(times)[len(times) // 2], "executions": len(times), "load_s": loaded, "peak": peak, "check": check}))


def measure(options, folder, row):
    work, size, dtype, openvino, *_ = ROWS[row]
    sides = {"sspo": run([options.binary, folder, f"{folder}/inputs-{size}.safetensors", work, dtype, str(options.threads), str(options.seconds)])}
    rivals = [] if options.ours or work == "preference-8bit" else [f"PyTorch, {layout}" for layout in LAYOUTS] + ["OpenVINO"] * openvino
    for side in rivals:
        command = [sys.executable, str(HERE / "sd15.py"), "--models", folder, "--side", side, "--rows", row, "--threads", str(options.threads), "--seconds", str(options.seconds)]
        try:
            sides[side] = run(command, options.limit)
        except SystemExit as e:  # not installed, out of memory, out of time
            print(f"{row}: {side} gave no result: {str(e).strip().splitlines()[-1]}", file=sys.stderr)
            continue
        bound = 2e-2 if dtype == "bf16" else 1e-3 if work.startswith("preference") else 1e-4
        if not abs(sides["sspo"]["check"] / sides[side]["check"] - 1) <= bound:
            sys.exit(f"{row}: sspo finds {sides['sspo']['check']}, {side} {sides[side]['check']}: not the same work")
    return sides


def markdown(header, results, ops):
    lines = [f"# Stable Diffusion 1.5 at full size: {header['machine']}, {header['date']}", "",
             f"{header['threads']} threads; {header['rivals']}; batch 1, or the row's number of pictures; the least of the executions of {header['seconds']} s a side.",
             "Ratio = time of the rival / our time; peak: most memory resident, loading included.", "",
             "| row | side | s | peak GiB | load s | ratio | to reach |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for row, sides in results.items():
        for name, s in sides.items():
            ratio = "" if name == "sspo" else f"{s['min'] / sides['sspo']['min']:.2f}"
            bar = ", ".join(filter(None, ROWS[row][4:])) if name == "sspo" else ""
            lines.append(f"| {row} | {name} | {s['min']:.3f} | {s['peak'] / 2**30:.2f} | {s['load_s']:.1f} | {ratio} | {bar} |")
    for row, split in ops.items():
        whole, spent = split["whole"], sum(cost for cost, _ in split["ops"].values())
        lines += ["", f"## {row}: ours by op, {whole:.3f} s while traced", "", "| op | calls | s | share |", "| --- | --- | --- | --- |"]
        for op, (cost, calls) in sorted(split["ops"].items(), key=lambda o: -o[1][0]):
            if cost >= 0.004 * whole:
                lines.append(f"| {op} | {calls:g} | {cost:.4f} | {cost / whole:.1%} |")
        lines.append(f"| between ops | | {whole - spent:.4f} | {(whole - spent) / whole:.1%} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description="SD-1.5 at full size, ours beside PyTorch and OpenVINO", prog="bench/sd15")
    parser.add_argument("--binary", default=str(HERE.parent / "build-bench" / "bench" / "bench_models"))
    parser.add_argument("--models", help="folder of the models; default: a temporary one")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10, help="per side and row, after one execution; at least two")
    parser.add_argument("--limit", type=float, default=600, help="seconds a rival may take for a row: PyTorch's bf16 without bf16 instructions takes many minutes")
    parser.add_argument("--ours", action="store_true", help="no rivals")
    parser.add_argument("--ops", action="store_true", help="also our time by op (ten executions a row)")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--save", action="store_true", help="write bench/results/sd15-MACHINE-DATE.{json,md}")
    parser.add_argument("--name", help="machine part of the file name")
    options = parser.parse_args()
    rows = options.rows.split(",")
    for row in rows:
        if row not in ROWS:
            sys.exit(f"no row {row}: {', '.join(ROWS)}")
    if options.side:
        return time_side(options.models, rows[0], options.side, options.threads, options.seconds)
    if not os.path.exists(options.binary):
        sys.exit(f"{options.binary} is not there: run bench/sd15, or give --binary")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.models or temporary
        for clip, done, write in ((False, "done", write_models), (True, "clip-done", write_clip)):
            if any((ROWS[row][0] == "clip-image") == clip for row in rows) and not os.path.exists(f"{folder}/{done}"):
                print(f"making the models in {folder}", file=sys.stderr)
                write(folder)
        results, ops = {}, {}
        for row in rows:
            results[row] = measure(options, folder, row)
            print(row, {k: (round(s["min"], 3), round(s["peak"] / 2**30, 2)) for k, s in results[row].items()}, file=sys.stderr)
            if options.ops:
                work, size, dtype, *_ = ROWS[row]
                ops[row] = run([options.binary, folder, f"{folder}/inputs-{size}.safetensors", work, dtype, str(options.threads), "0", "ops"])
    versions = subprocess.run([sys.executable, "-c", "import torch, diffusers; print(f'PyTorch {torch.__version__}, diffusers {diffusers.__version__}')"], capture_output=True, text=True).stdout.strip()
    header = {"machine": machine(), "date": datetime.date.today().isoformat(), "rivals": versions, "threads": options.threads, "seconds": options.seconds}
    text = markdown(header, results, ops)
    print(text)
    save("sd15", header, text, options, unit="s", results=results, ops=ops)


if __name__ == "__main__":
    main()
