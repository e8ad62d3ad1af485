#!/usr/bin/env python3
"""PyTorch's side of the rows that cuda/gpu/bench.cpp measured, on the same GPU: prints JSON. Without torch or its CUDA it says so, and exits with 77.

  build-gpu/cuda/gpu/bench_on_gpu >bench.json && python3 bench/gpu_pytorch.py bench.json >pytorch.json

Times as there: between two CUDA events, as many calls in a row as take 2 ms or more, over their number; three samples warm up, of
fifteen the minimum and the median. The kinds of rows are vs_pytorch.py's: of several layouts the quickest counts.
"""
import json
import statistics
import sys

import vs_pytorch


def times(torch, work):
    """[us a call] of fifteen samples"""
    calls, us = 1, []
    for warm_up in [True] * 3 + [False] * 15:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(calls):
            work()
        end.record()
        end.synchronize()
        each = begin.elapsed_time(end) * 1e3 / calls
        if warm_up:
            calls = max(1, int(2000 / max(each, 1)) + 1)
        else:
            us.append(each)
    return us


def measure(torch, row):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = row["dtype"] == "tf32"
    dtype = "f32" if row["dtype"] == "tf32" else row["dtype"]
    try:
        with torch.no_grad():
            works = vs_pytorch.KINDS[row["kind"]](dtype, *row["shape"])
        us = min((times(torch, work) for work in works), key=min)
        return {"us": min(us), "median_us": statistics.median(us), "samples": len(us)}
    except RuntimeError as error:  # no memory for it, no kernel
        return {"error": str(error).splitlines()[0]}
    finally:
        torch.cuda.empty_cache()


def main(path):
    try:
        import torch
    except ImportError:
        print("no torch in this Python", file=sys.stderr)
        return 77
    if not torch.cuda.is_available():
        print(f"torch {torch.__version__} sees no GPU", file=sys.stderr)
        return 77
    torch.set_default_device("cuda")
    rows = json.load(open(path))["rows"]
    print(json.dumps({"version": torch.__version__, "card": torch.cuda.get_device_name(), "rows": [measure(torch, row) for row in rows]}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
