#!/usr/bin/env python3
"""A small UNet whole, ours beside PyTorch's eager mode and OpenVINO: forward, training step, latency; time and memory.

  PYTHON=.venv/bin/python bench/tiny_unet                builds our side first; the same options
  python3 bench/tiny_unet.py --rounds 5 --seconds 2      needs torch and diffusers
  python3 bench/tiny_unet.py --save                      also writes bench/results/tiny-unet-MACHINE-DATE.{json,md}

The UNet: 16 x 16 latents of 4 channels, channels 64, 128, 128, one layer a block, 77 tokens of 64, 8 heads; diffusers makes and
saves it, both sides load it and must give the same output and the same first loss before anything is timed.
  forward    batch 32, no gradients
  train      batch 32: loss = mean squared error, backward, AdamW (PyTorch's fused one)
  latency    batch 1, no gradients: what a step of sampling waits for
A round is our side, then each rival, --seconds each; PyTorch enters with the quicker of its two layouts. Ratios are time of the
rival / our time: more is better for us; on a busy machine look at the CPU's time (all threads, the least of an execution), with
OMP_WAIT_POLICY=passive, so that waiting threads cost none. Memory is how far the peak of the resident set rises above the loaded model and its
inputs, in a process of its own. Nothing here fails because of a time.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from table import clean_environment, machine, save  # noqa: E402

for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # may pin slow kernels
    os.environ.pop(variable, None)

import diffusers  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

warnings.filterwarnings("ignore")  # of tracing a model for OpenVINO
try:
    import openvino
except ImportError:
    openvino = None

WORKS = ("forward", "train", "latency")
LAYOUTS = {"default": torch.contiguous_format, "channels last": torch.channels_last}
BATCH, TOKENS, WIDTH = 32, 77, 64


def write_model(folder):
    torch.manual_seed(1)
    unet = diffusers.UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, block_out_channels=(64, 128, 128), layers_per_block=1, cross_attention_dim=WIDTH,
        attention_head_dim=8, down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"))
    unet.save_pretrained(folder)
    save_file({"sample": torch.randn(BATCH, 4, 16, 16), "noise": torch.randn(BATCH, 4, 16, 16), "timestep": torch.randint(0, 1000, (BATCH,)).float(),
               "encoder_hidden_states": torch.randn(BATCH, TOKENS, WIDTH)}, f"{folder}/inputs.safetensors")


def run(command, limit=None):
    """What a program prints as one line of JSON, within so many seconds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=clean_environment(), timeout=limit)
    except subprocess.TimeoutExpired:
        sys.exit(f"not done in {limit:g} s")
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def sspo(options, folder, work, seconds, *more):
    return run([options.binary, folder, work, str(options.threads), str(seconds), *more])


class Torch:
    """One work in one layout; calling it is one execution."""

    def __init__(self, folder, work, layout):
        self.unet = diffusers.UNet2DConditionModel.from_pretrained(folder).to(memory_format=LAYOUTS[layout])
        n = 1 if work == "latency" else BATCH
        x = {k: v[:n] for k, v in load_file(f"{folder}/inputs.safetensors").items()}
        self.x, self.noise = (x[k].to(memory_format=LAYOUTS[layout]) for k in ("sample", "noise"))
        self.t, self.text = x["timestep"], x["encoder_hidden_states"]
        self.train = work == "train"
        if self.train:
            self.adamw = torch.optim.AdamW(self.unet.train().parameters(), lr=1e-4, fused=True)
        else:
            self.unet.eval().requires_grad_(False)

    def forward(self):
        return self.unet(self.x, self.t, self.text, return_dict=False)[0]

    def __call__(self):
        if not self.train:
            with torch.inference_mode():
                return self.forward()
        loss = torch.nn.functional.mse_loss(self.forward(), self.noise)
        self.adamw.zero_grad(set_to_none=True)
        loss.backward()
        self.adamw.step()
        return loss.detach()


class OpenVino:
    def __init__(self, folder, work, threads):
        unet = Torch(folder, work, "default")

        class Plain(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.unet = unet.unet

            def forward(self, x, t, text):
                return self.unet(x, t, text, return_dict=False)[0]

        example = (unet.x, unet.t, unet.text)
        model = openvino.convert_model(Plain(), example_input=example, input=[list(e.shape) for e in example])
        compiled = openvino.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"})
        self.request = compiled.create_infer_request()
        self.inputs = [e.numpy() for e in example]

    def __call__(self):
        return torch.from_numpy(next(iter(self.request.infer(self.inputs).values())))


def timed(work, seconds):
    work()
    samples, cpu, end = [], [], time.perf_counter() + seconds
    while len(samples) < 3 or time.perf_counter() < end:
        start, cpu_start = time.perf_counter(), time.process_time()
        work()
        samples.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    return min(samples), statistics.median(samples), min(cpu)


def check(options, folder):
    """Both sides compute the same, or there is nothing to compare."""
    loss = sspo(options, folder, "train", 0.1)["check"]
    sspo(options, folder, "forward", 0.1)
    ours, theirs = load_file(f"{folder}/output.safetensors")["sample"], Torch(folder, "forward", "default")()
    error, their_loss = float((ours - theirs).abs().max()), float(Torch(folder, "train", "default")())
    if not (error <= 1e-5 and abs(loss / their_loss - 1) <= 1e-5):
        sys.exit(f"outputs differ by {error}, losses are {loss} and {their_loss}: not the same work")
    return error


def peak():
    """Bytes of the resident set: the most since reset_peak."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1])


def reset_peak():
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def torch_memory(folder, work, layout, threads):
    """In a process of its own: bytes above the loaded model after three executions."""
    script = (f"import sys; sys.path.insert(0, {str(HERE)!r}); import tiny_unet as t; t.torch.set_num_threads({threads}); "
              f"w = t.Torch({folder!r}, {work!r}, {layout!r}); t.reset_peak(); before = t.peak(); [w() for _ in range(3)]; print(t.peak() - before)")
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=clean_environment()).stdout.split()[-1])


def measure(options, folder, work):
    rivals = {f"PyTorch, {layout}": Torch(folder, work, layout) for layout in LAYOUTS}
    if openvino and work != "train":
        rivals["OpenVINO"] = OpenVino(folder, work, options.threads)
    samples = {}
    for _ in range(options.rounds):
        ours = sspo(options, folder, work, options.seconds)
        samples.setdefault("sspo", []).append((ours["min"], ours["median"], ours["cpu"]))
        for name, rival in rivals.items():
            samples.setdefault(name, []).append(timed(rival, options.seconds))
    sides = {name: {"min": min(r[0] for r in rounds), "median": statistics.median(r[1] for r in rounds), "cpu": min(r[2] for r in rounds)}
             for name, rounds in samples.items()}
    sides["sspo"].update(memory=ours["rss_growth"], arena_peak=ours["arena_peak"])
    for layout in LAYOUTS:
        sides[f"PyTorch, {layout}"]["memory"] = torch_memory(folder, work, layout, options.threads)
    return sides


def markdown(header, results, ops):
    lines = [f"# A small UNet: {header['machine']}, {header['date']}", "",
             f"{header['threads']} threads; {header['compiler']}; {header['rivals']}; {header['rounds']} rounds of {header['seconds']} s a side, alternating.",
             "Times in ms, minimum (median). Ratio = time of the rival / our time; more is better for us. Memory above the loaded model, MiB.", "",
             "| work | side | ms | samples/s | CPU ms | ratio of minima | of medians | of CPU | memory |", "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for work, sides in results.items():
        n = 1 if work == "latency" else BATCH
        for name, s in sides.items():
            ratios = ["", "", ""] if name == "sspo" else [f"{s[k] / sides['sspo'][k]:.2f}" for k in ("min", "median", "cpu")]
            memory = f"{s['memory'] / 2**20:.0f}" if "memory" in s else ""
            lines.append(f"| {work} | {name} | {s['min'] * 1e3:.2f} ({s['median'] * 1e3:.2f}) | {n / s['min']:.1f} | {s['cpu'] * 1e3:.2f} "
                         f"| {' | '.join(ratios)} | {memory} |")
    for work, split in ops.items():
        whole, spent = split["whole"], sum(cost for cost, _ in split["ops"].values())
        lines += ["", f"## {work}: ours by op, {whole * 1e3:.2f} ms an execution while traced", "", "| op | calls | ms | share |", "| --- | --- | --- | --- |"]
        for op, (cost, calls) in sorted(split["ops"].items(), key=lambda o: -o[1][0]):
            if cost >= 0.004 * whole:
                lines.append(f"| {op} | {calls:g} | {cost * 1e3:.3f} | {cost / whole:.1%} |")
        lines.append(f"| between ops | | {(whole - spent) * 1e3:.3f} | {(whole - spent) / whole:.1%} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description="a small UNet, ours beside PyTorch's and OpenVINO's", prog="bench/tiny_unet")
    parser.add_argument("--binary", default=str(HERE.parent / "build-bench" / "bench" / "bench_tiny_unet"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="per side and round")
    parser.add_argument("--works", default=",".join(WORKS))
    parser.add_argument("--save", action="store_true", help="write bench/results/tiny-unet-MACHINE-DATE.{json,md}")
    parser.add_argument("--name", help="machine part of the file name")
    options = parser.parse_args()
    if not os.path.exists(options.binary):
        sys.exit(f"{options.binary} is not there: run bench/tiny_unet, or give --binary")
    torch.set_num_threads(options.threads)
    diffusers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        write_model(folder)
        error = check(options, folder)
        works = options.works.split(",")
        results = {work: measure(options, folder, work) for work in works}
        ops = {work: sspo(options, folder, work, options.seconds, "ops") for work in works}
    rivals = f"PyTorch {torch.__version__}, " + (f"OpenVINO {openvino.__version__}" if openvino else "no OpenVINO")
    compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
    header = {"machine": machine(), "date": datetime.date.today().isoformat(), "compiler": compiler, "rivals": rivals, "threads": options.threads,
              "rounds": options.rounds, "seconds": options.seconds, "outputs_differ_by": error}
    text = markdown(header, results, ops)
    print(text)
    save("tiny-unet", header, text, options, unit="s", results=results, ops=ops)


if __name__ == "__main__":
    main()
