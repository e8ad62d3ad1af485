#!/usr/bin/env python3
"""What can be known of kernels without a GPU, held to budgets.txt.

  cuda/gates.py [--cuobjdump PATH] [--table] LIBRARY_OR_OBJECT...

For each kernel and architecture: registers a thread, bytes of local memory (spills and stack), warps that registers let one
multiprocessor hold, tensor core instructions, and accesses of 16 bytes. --table prints all of them.
"""
import argparse
import fnmatch
import pathlib
import re
import subprocess
import sys
from collections import Counter, defaultdict

REGISTERS, WARPS, BLOCKS = 65536, 64, 32  # of one multiprocessor, compute capability 8.0 and 9.0 (CUDA C++ Programming Guide, 17)


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def demangled(names):
    text = subprocess.run(["c++filt"], input="\n".join(names), check=True, capture_output=True, text=True).stdout
    return dict(zip(names, text.split("\n")))


def warps_held(registers, threads):
    """Warps on one multiprocessor, as far as registers go: they are given to a warp in units of 256."""
    warps = -(-threads // 32)
    each = -(-registers * 32 // 256) * 256
    return min(WARPS // warps, BLOCKS, REGISTERS // each // warps) * warps


def kernels_of(cuobjdump, path):
    """{(arch, mangled name): dict of measures}"""
    out = defaultdict(dict)
    arch = ""
    for line in run(cuobjdump, "--dump-resource-usage", path).splitlines():
        if m := re.search(r"arch = (sm_\d+)", line):
            arch = m[1]
        if m := re.search(r"Function (\S+):", line):
            name = m[1]
        if m := re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", line):
            out[arch, name].update(registers=int(m[1]), local=int(m[2]) + int(m[4]))
    threads = {}
    for line in run(cuobjdump, "--dump-ptx", path).splitlines():
        if m := re.search(r"\.entry (\w+)", line):
            name = m[1]
        if m := re.search(r"\.maxntid (\d+)", line):
            threads[name] = int(m[1])
    for line in run(cuobjdump, "--dump-sass", path).splitlines():
        if m := re.search(r"arch = (sm_\d+)", line):
            arch = m[1]
        if m := re.search(r"Function : (\S+)", line):
            count = out[arch, m[1]].setdefault("sass", Counter())
        if m := re.search(r"\b(HMMA|LDGSTS|LDG|STG|LD|ST|LDS|STS)\.(\S+)", line):
            count[m[1]] += 1
            if "128" in m[2]:
                count[m[1] + ".128"] += 1
    for (_, name), k in out.items():
        k["threads"] = threads.get(name, 1024)
    return out


def budgets():
    rows = []
    for number, line in enumerate((pathlib.Path(__file__).parent / "budgets.txt").read_text().splitlines(), 1):
        words = line.split("#")[0].rsplit(None, 4)
        if words:
            rows.append((number, words[0].strip(), *words[1:]))
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuobjdump", default="cuobjdump")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    found = {}
    for path in args.files:
        found.update(kernels_of(args.cuobjdump, path))
    found = {key: k for key, k in found.items() if "registers" in k}
    names = demangled(sorted({name for _, name in found}))
    rows, used, wrong = budgets(), set(), []
    for (arch, name), k in sorted(found.items()):
        short = re.sub(r"^void |sspo::cuda::|gpu::|\(anonymous namespace\)::|sspo::", "", names[name])
        held, sass = warps_held(k["registers"], k["threads"]), k.get("sass", Counter())
        wide = sum(n for op, n in sass.items() if op.endswith(".128") and op[:3] in ("LDG", "STG", "LD.", "ST."))
        if args.table:
            print(f"{arch} {k['registers']:4} registers {k['local']:5} local {k['threads']:5} threads {held:3} warps {sass['HMMA']:5} mma {wide:5} wide  {short[:150]}")
        row = next((r for r in rows if fnmatch.fnmatchcase(short, r[1])), None)
        if not row:
            wrong.append(f"{arch} {short}: no line of budgets.txt is about it")
            continue
        number, pattern, registers, warps, tensor, access = row
        used.add(number)

        def expect(good, what):
            if not good:
                wrong.append(f"{arch} {short}: {what} (budgets.txt:{number}, {pattern})")

        most_local = 0
        if ":" in registers:  # stack of the maths library, as 37:40
            registers, most_local = registers.split(":")
        expect(k["registers"] <= int(registers), f"{k['registers']} registers, at most {registers} allowed")
        expect(k["local"] <= int(most_local), f"{k['local']} bytes of local memory (spills or stack), at most {most_local} allowed")
        expect(held >= int(warps), f"registers leave room for {held} warps, at least {warps} wanted")
        expect((sass["HMMA"] > 0) == (tensor == "mma"), f"{sass['HMMA']} tensor core instructions, expected {'some' if tensor == 'mma' else 'none'}")
        expect(access == "any" or wide > 0, "no access of 16 bytes")
    for number, pattern, *_ in rows:
        if number not in used:
            wrong.append(f"budgets.txt:{number}: no kernel is called {pattern}")
    print(f"{len({n for _, n in found})} kernels on {len({a for a, _ in found})} architectures, {len(wrong)} beyond their budgets")
    for line in wrong:
        print("  " + line)
    return 1 if wrong or not found else 0


if __name__ == "__main__":
    sys.exit(main())
