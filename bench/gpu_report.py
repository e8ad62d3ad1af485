#!/usr/bin/env python3
"""What scripts/gpu-check found, as report.json and report.md: gpu_report.py FOLDER

Reads of the folder: checks.json (date, card, result of each check), and where they are bench.json (bench_on_gpu), pytorch.json
(gpu_pytorch.py), clocks.csv (nvidia-smi beside the bench). A number that was not measured is a dash.
"""
import json
import pathlib
import re
import sys


def read(path):
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        sys.exit(f"{path}: not JSON: {error}")


def floor_us(row, card):
    """The roofline: what bytes take at the memory's speed, or FLOPs at the arithmetic's, whichever is longer. None: peaks unknown."""
    peaks = card["peak_flops_per_s"]
    if row["flops"] and not peaks:
        return None
    arithmetic = row["flops"] / peaks[row["dtype"]] if row["flops"] else 0
    return 1e6 * max(row["bytes"] / card["peak_bytes_per_s"], arithmetic)


def cell(side):
    if not side or "us" not in side:
        return "-"
    return f"{side['us']:.1f} ({side['median_us']:.1f}){' host' if side.get('host_bound') else ''}"


def ratio(rival, own):
    return f"{rival['us'] / own['us']:.2f}" if rival and "us" in rival and own["us"] else "-"


def table(bench, torch):
    lines = ["Microseconds a call, minimum (median) of fifteen samples between CUDA events. Ratio: the rival's minimum over ours, more is better for us.",
             "Roofline: the longer of bytes over the memory's and FLOPs over the arithmetic's peak at the highest clock, over our minimum; attention in f32 runs on no tensor core.",
             "`host`: the GPU waited for the host to queue calls. Inputs that fit in the GPU's L2 cache are read from there by all sides.", "",
             "| work | own us | cuBLASLt, cuDNN us | ratio | PyTorch us | ratio | roofline |", "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    errors = []
    for i, row in enumerate(bench["rows"]):
        name = f"{row['kind']} {'x'.join(map(str, row['shape']))} {row['dtype']}"
        own, library, theirs = row["own"], row["library"], torch["rows"][i] if torch else None
        floor = floor_us(row, bench["card"])
        share = f"{100 * floor / own['us']:.0f} %" if floor and own["us"] else "-"
        lines.append(f"| {name} | {cell(own)} | {cell(library)} | {ratio(library, own)} | {cell(theirs)} | {ratio(theirs, own)} | {share} |")
        errors += [f"* {name}: {who}{side['error']}" for who, side in (("", library), ("PyTorch: ", theirs)) if side and "error" in side]
    return lines + ([""] + errors if errors else [])


def clocks(path):
    """Lowest and highest clocks of multiprocessors and memory while the bench ran."""
    if not path.exists():
        return None
    pairs = [[int(n) for n in re.findall(r"\d+", line)] for line in path.read_text().splitlines()]
    pairs = [p for p in pairs if len(p) == 2]
    return {name: [min(c), max(c)] for name, c in zip(("sm_mhz", "memory_mhz"), zip(*pairs))} if pairs else None


def main(folder):
    folder = pathlib.Path(folder)
    checks, bench, torch, seen = read(folder / "checks.json"), read(folder / "bench.json"), read(folder / "pytorch.json"), clocks(folder / "clocks.csv")
    (folder / "report.json").write_text(json.dumps({**checks, "clocks_during_bench": seen, "bench": bench, "pytorch": torch}, indent=1) + "\n")
    lines = [f"# GPU check, {checks['date']}", "", checks["card"] or "not measured on a GPU: none on this machine", ""]
    if seen:
        lines += [f"Clocks while the bench ran: multiprocessors {seen['sm_mhz'][0]} to {seen['sm_mhz'][1]} MHz, memory {seen['memory_mhz'][0]} to {seen['memory_mhz'][1]} MHz.", ""]
    lines += ["| check | result |", "| --- | --- |"] + [f"| {name} | {result} |" for name, result in checks["checks"].items()]
    if bench:
        lines += [""] + table(bench, torch)
    (folder / "report.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
