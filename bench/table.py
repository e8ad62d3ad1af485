#!/usr/bin/env python3
"""Times every row of rows.txt on all sides in alternation and prints the ratios as a table.

  bench/run                                builds bench_ops first; the same options
  python3 bench/table.py --filter 'gemm_.*f32' --rounds 7 --threads 1
  python3 bench/table.py --save            also writes bench/results/MACHINE-DATE.json and .md

A round is: our side and the C++ rivals (bench_ops), then PyTorch, each for --seconds. Ratios are
time of the rival / our time, so more is better for us: once of the minima, once of the medians over all rounds.
Nothing here fails because of a time.
"""
import argparse
import collections
import datetime
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import vs_pytorch  # noqa: E402

Row = collections.namedtuple("Row", "kind shape dtype rival target")
Mean = collections.namedtuple("Mean", "kinds dtype rival target")


def name(row):
    return f"{row.kind}/{'x'.join(map(str, row.shape))}/{row.dtype}"


def read_rows(path):
    rows, means = [], []
    for number, line in enumerate(open(path), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        try:
            kind, shape, dtype, rival, target = words
            target = None if target == "-" else float(target)
            if kind == "mean":
                means.append(Mean(shape.split(","), dtype, rival, target))
            else:
                rows.append(Row(kind, tuple(int(n) for n in shape.split("x")), dtype, rival, target))
        except ValueError as error:
            sys.exit(f"{path}:{number}: not 'kind shape dtype rival target': {error}")
    return rows, means


def clean_environment():
    return {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}


def run_cpp(binary, rows_file, row, threads, seconds, sides):
    """{side: (min, median, peak bytes or None)} of bench_ops for one row; absent sides are left out."""
    pattern = f"^{re.escape(name(row))}/threads:{threads}/({'|'.join(sides)})/manual_time$"
    done = subprocess.run([binary, f"--rows={rows_file}", f"--benchmark_filter={pattern}", "--benchmark_format=json",
                           f"--benchmark_min_time={seconds}"], capture_output=True, text=True, env=clean_environment())
    if done.returncode:
        sys.exit(f"{binary} failed:\n{done.stderr}")
    if not done.stdout.strip():
        return {}
    result = {}
    for entry in json.loads(done.stdout)["benchmarks"]:
        if "min" in entry:
            side = entry["name"].split("/")[-2]
            result[side] = (entry["min"], entry["median"], entry.get("peak_bytes"))
    return result


def milliseconds(ns):
    ms = ns / 1e6
    return f"{ms:.3f}" if ms < 10 else f"{ms:.1f}"


def measure(row, threads, options):
    """{side: {"min": ns, "median": ns}} over all rounds, alternating."""
    samples = collections.defaultdict(list)
    torch_side = None
    if row.rival == "pytorch" and options.torch and row.kind in vs_pytorch.KINDS:
        torch_side = vs_pytorch.Side(row, threads)
    for _ in range(options.rounds):
        times = run_cpp(options.binary, options.rows, row, threads, options.seconds, ["sspo", "onednn", "openblas"])
        for side, result in times.items():
            samples[side].append(result)
        if torch_side:
            samples["pytorch"].append((*torch_side.time(options.seconds), None))
    summary = {side: {"min": min(r[0] for r in results), "median": statistics.median(r[1] for r in results)}
               for side, results in samples.items()}
    if "sspo" in samples and samples["sspo"][0][2] is not None:
        summary["sspo"]["peak_bytes"] = int(samples["sspo"][0][2])
    return summary


def ratio(sides, rival, which):
    if "sspo" not in sides or rival not in sides:
        return None
    return sides[rival][which] / sides["sspo"][which]


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def save(kind, header, text, options, **found):
    """With --save, writes results/KIND-MACHINE-DATE.md and .json; the kind of this script's own is empty."""
    if not options.save:
        return
    slug = options.name or re.sub(r"[^a-z0-9]+", "-", header["machine"].lower()).strip("-")
    base = os.path.join(HERE, "results", f"{kind + '-' if kind else ''}{slug}-{header['date']}")
    os.makedirs(os.path.dirname(base), exist_ok=True)
    with open(base + ".md", "w") as file:
        file.write(text)
    with open(base + ".json", "w") as file:
        json.dump({**header, **found}, file, indent=1)
        file.write("\n")
    print(f"written: {base}.md, {base}.json", file=sys.stderr)


def machine():
    model = platform.processor() or platform.machine()
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
        flags = next(line for line in open("/proc/cpuinfo") if line.startswith("flags")).split()
        isa = "amx_bf16" if {"amx_bf16", "avx512_bf16"} <= set(flags) else "avx512_bf16" if "avx512_bf16" in flags else "avx512" if "avx512f" in flags else "avx2" if "avx2" in flags else "baseline"
        model += f", {isa}"
    except (OSError, StopIteration):
        pass
    return f"{model}, {len(os.sched_getaffinity(0))} cores"


def fmt(value):
    return "" if value is None else f"{value:.2f}"


def markdown(results, means, header):
    lines = [f"# {header['machine']}, {header['date']}", "",
             f"{header['compiler']}; {header['pytorch'] or 'no PyTorch'}; {header['rounds']} rounds of {header['seconds']} s a side, alternating.",
             "Times in ms, minimum (median). Ratio = time of the rival / our time; more is better for us.", "",
             "| row | threads | sspo | rival | ratio of minima | of medians | to reach | reached |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for r in results:
        row, sides = r["row"], r["sides"]
        rivals = [row.rival] + [s for s in sides if s not in ("sspo", row.rival)]
        for i, rival in enumerate(rivals):
            if rival not in sides and i:
                continue
            low, mid = ratio(sides, rival, "min"), ratio(sides, rival, "median")
            show = lambda s: f"{milliseconds(sides[s]['min'])} ({milliseconds(sides[s]['median'])})" if s in sides else "-"
            target = row.target if i == 0 else None
            reached = "" if target is None or low is None else "yes" if low >= target else "no"
            lines.append(f"| {name(row)} | {r['threads']} | {show('sspo')} | {rival} {show(rival)} | {fmt(low)} | {fmt(mid)} "
                         f"| {'' if target is None else f'{target:g}'} | {reached} |")
    lines += ["", "| geometric mean | threads | rows | ratio of minima | of medians | worst | to reach | reached |",
              "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for mean in means:
        for threads in sorted({r["threads"] for r in results}):
            part = [r for r in results if r["threads"] == threads and r["row"].kind in mean.kinds
                    and r["row"].dtype == mean.dtype and ratio(r["sides"], mean.rival, "min")]
            if not part:
                continue
            low = [ratio(r["sides"], mean.rival, "min") for r in part]
            mid = [ratio(r["sides"], mean.rival, "median") for r in part]
            lines.append(f"| {', '.join(mean.kinds)} {mean.dtype} / {mean.rival} | {threads} | {len(part)} | {geometric_mean(low):.2f} "
                         f"| {geometric_mean(mid):.2f} | {min(low):.2f} | {mean.target:g} | {'yes' if geometric_mean(low) >= mean.target else 'no'} |")
    return "\n".join(lines) + "\n"


def main(arguments=None):
    parser = argparse.ArgumentParser(description="our kernels and ops beside the rivals'", prog="bench/run")
    parser.add_argument("--binary", default=os.path.join(HERE, "..", "build-bench", "bench", "bench_ops"))
    parser.add_argument("--rows", default=os.path.join(HERE, "rows.txt"))
    parser.add_argument("--filter", default="", help="regular expression on the row's name")
    parser.add_argument("--rival", help="only rows with this rival")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="per side and round")
    parser.add_argument("--save", action="store_true", help="write bench/results/MACHINE-DATE.{json,md}")
    parser.add_argument("--name", help="machine part of the file name")
    options = parser.parse_args(arguments)
    if not os.path.exists(options.binary):
        sys.exit(f"{options.binary} is not there: run bench/run, or give --binary")
    torch = vs_pytorch.available()
    options.torch = torch is not None
    rows, means = read_rows(options.rows)
    rows = [r for r in rows if re.search(options.filter, name(r)) and options.rival in (None, r.rival)]
    if not rows:
        sys.exit("no row matches")
    if not options.torch and any(r.rival == "pytorch" for r in rows):
        print("no PyTorch in this Python (pip install torch): its column stays empty", file=sys.stderr)

    results = []
    for i, row in enumerate(rows):
        for threads in map(int, options.threads.split(",")):
            sides = measure(row, threads, options)
            results.append({"row": row, "threads": threads, "sides": sides})
            got = " ".join(f"{s} {milliseconds(t['min'])}" for s, t in sides.items())
            print(f"[{i + 1}/{len(rows)}] {name(row)} threads {threads}: {got}  ratio {fmt(ratio(sides, row.rival, 'min'))}",
                  file=sys.stderr)
    compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
    date = datetime.date.today().isoformat()
    header = {"machine": machine(), "date": date, "compiler": compiler, "pytorch": torch, "rounds": options.rounds,
              "seconds": options.seconds}
    text = markdown(results, means, header)
    print(text)
    save("", header, text, options, unit="ns", results=[{"row": name(r["row"]), "rival": r["row"].rival, "target": r["row"].target,
                                                         "threads": r["threads"], "sides": r["sides"]} for r in results])
    return 0


if __name__ == "__main__":
    sys.exit(main())
