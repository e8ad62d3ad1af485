#!/usr/bin/env python3
"""What can be known of kernels without a GPU, held to budgets.txt.

  cuda/gates.py [--cuobjdump PATH] [--budgets FILE] [--table] LIBRARY_OR_OBJECT...

For each kernel and architecture: registers a thread, bytes of local memory (spills and stack), theoretical occupancy (warps that
registers, threads and static shared memory let one multiprocessor hold), tensor core instructions, and accesses of 16 bytes.
Every kernel has a budget, every budget a kernel, and every architecture every kernel. --table prints all of them.
"""
import argparse
import fnmatch
import os
import pathlib
import re
import subprocess
import sys
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

# Of one multiprocessor (CUDA C++ Programming Guide, compute capabilities): warps, blocks, registers, bytes of shared memory. A block
# takes 1 KiB more of that for the system, which cuobjdump's figures for sm_90 hold: bytes to add.
LIMITS = {"sm_80": (64, 32, 65536, 164 << 10, 1024), "sm_90": (64, 32, 65536, 228 << 10, 0)}


def run(*command, only=None):
    """What the command prints; of a long text only the lines that match, by grep: disassembly is hundreds of megabytes."""
    if not only:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    listing = subprocess.Popen(command, stdout=subprocess.PIPE)
    text = subprocess.run(["grep", "-E", only], stdin=listing.stdout, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}).stdout
    if listing.wait():
        raise subprocess.CalledProcessError(listing.returncode, command)
    return text


def demangled(names):
    text = subprocess.run(["c++filt"], input="\n".join(names), check=True, capture_output=True, text=True).stdout
    return dict(zip(names, text.split("\n")))


def warps_held(arch, registers, threads, shared):
    """Theoretical occupancy, but for dynamic shared memory, which a launch's plan decides."""
    most_warps, most_blocks, all_registers, all_shared, system = LIMITS[arch]
    warps = -(-threads // 32)
    each = -(-registers * 32 // 256) * 256  # registers are given to a warp in units of 256
    return min(most_warps // warps, most_blocks, all_registers // each // warps, all_shared // max(shared + system, 1)) * warps


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
            out[arch, name].update(registers=int(m[1]), local=int(m[2]) + int(m[4]), shared=int(m[3]))
    threads = {}
    for line in run(cuobjdump, "--dump-ptx", path).splitlines():
        if m := re.search(r"\.entry (\w+)", line):
            name = m[1]
        if m := re.search(r"\.maxntid (\d+)", line):
            threads[name] = int(m[1])
    for line in run(cuobjdump, "--dump-sass", path, only=r"arch =|Function :|HMMA|LD|ST").splitlines():
        if m := re.search(r"arch = (sm_\d+)", line):
            arch = m[1]
        if m := re.search(r"Function : (\S+)", line):
            count = out[arch, m[1]].setdefault("sass", Counter())
        if m := re.search(r"\b(HMMA|LDGSTS|LDG|STG|LD|ST|LDS|STS)\.(\S+)", line):
            count["mma" if m[1] == "HMMA" else "wide" if "128" in m[2] and m[1] not in ("LDS", "STS") else "other"] += 1
    for (_, name), k in out.items():
        k["threads"] = threads.get(name, 1024)
    return {key: k for key, k in out.items() if "registers" in k}


def budgets(path):
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split("#")[0].rsplit(None, 4)
        if words:
            rows.append((number, words[0].strip(), *words[1:]))
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuobjdump", default="cuobjdump")
    parser.add_argument("--budgets", type=pathlib.Path, default=pathlib.Path(__file__).parent / "budgets.txt")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    found = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for kernels in pool.map(lambda path: kernels_of(args.cuobjdump, path), args.files):
            found.update(kernels)
    names = demangled(sorted({name for _, name in found}))
    archs = sorted({arch for arch, _ in found})
    wrong = [f"{arch}: its limits are not known here ({', '.join(LIMITS)} are)" for arch in archs if arch not in LIMITS]
    rows, used = budgets(args.budgets), set()
    for (arch, name), k in sorted(found.items()):
        if arch not in LIMITS:
            continue
        short = re.sub(r"^void |sspo::cuda::|gpu::|\(anonymous namespace\)::|sspo::", "", names[name])
        held, mma, wide = warps_held(arch, k["registers"], k["threads"], k["shared"]), k.get("sass", {}).get("mma", 0), k.get("sass", {}).get("wide", 0)
        if args.table:
            print(f"{arch} {k['registers']:4} registers {k['local']:5} local {k['shared']:6} shared {k['threads']:5} threads {held:3} warps {mma:5} mma {wide:5} wide  {short[:150]}")
        for other in archs:
            if (other, name) not in found:
                wrong.append(f"{other} {short}: not compiled for this architecture, though for {arch}")
        row = next((r for r in rows if fnmatch.fnmatchcase(short, r[1])), None)
        if not row:
            wrong.append(f"{arch} {short}: no line of {args.budgets.name} is about it")
            continue
        number, pattern, registers, warps, tensor, access = row
        used.add(number)

        def expect(good, what):
            if not good:
                wrong.append(f"{arch} {short}: {what} ({args.budgets.name}:{number}, {pattern})")

        most_local = 0
        if ":" in registers:  # stack of the maths library, as 37:40
            registers, most_local = registers.split(":")
        expect("sass" in k, "no machine code was listed (cuobjdump needs nvdisasm)")
        expect(k["registers"] <= int(registers), f"{k['registers']} registers, at most {registers} allowed")
        expect(k["local"] <= int(most_local), f"{k['local']} bytes of local memory (spills or stack), at most {most_local} allowed")
        expect(held >= int(warps), f"one multiprocessor holds {held} warps, at least {warps} wanted")
        if tensor == "-":
            expect(mma == 0, f"{mma} tensor core instructions, none expected")
        else:
            expect(mma >= int(tensor), f"{mma} tensor core instructions, at least {tensor} expected")
        expect(access == "any" or wide >= int(access), f"{wide} accesses of 16 bytes, at least {access} expected")
    for number, pattern, *_ in rows:
        if number not in used:
            wrong.append(f"{args.budgets.name}:{number}: no kernel is called {pattern}")
    print(f"{len({n for _, n in found})} kernels on {len(archs)} architectures, {len(wrong)} findings")
    for line in wrong:
        print("  " + line)
    return 1 if wrong or not found else 0


if __name__ == "__main__":
    sys.exit(main())
