#!/usr/bin/env python3
"""torch.randn on the CPU, for TorchCpuGenerator: writes torch_normal.txt beside this file. Run it where PyTorch says AVX2.

One line a generator:   seed | n hash first last | n hash first last ...   one field a draw from the same generator;
hash is FNV-1a (64 bits) over the draw's f32 words, low byte first; first and last are the words of the outer numbers.
Whole draws follow:     whole seed n | word word ...
"""
import pathlib

import torch

assert torch.backends.cpu.get_cpu_capability() == "AVX2", "these bits are those of PyTorch's AVX2 code"


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def words(x):
    return x.numpy().view("<u4").tolist()


lines = []
SEEDS = [0, 1, 42, 2**31 - 1, 2**32 - 1, 2**32 + 42, 2**63 + 7]
DRAWS = [[n] for n in [*range(1, 68), 255, 256, 257, 4096, 16384, 16385, 20000]] + [
    [1, 1, 1, 16, 1, 1], [3, 17, 2, 15, 16, 31, 1], [15, 15], [5, 100, 5, 100, 5], [4096, 4096, 4096], [1, 16, 16, 16, 2], [16, 0, 16],
]
for seed in SEEDS:
    for draws in DRAWS if seed in (0, 42) else DRAWS[-12:]:
        g = torch.Generator("cpu").manual_seed(seed if seed < 2**63 else seed - 2**64)
        fields = []
        for n in draws:
            w = words(torch.randn(n, generator=g))
            data = b"".join(v.to_bytes(4, "little") for v in w)
            fields.append(f"{n} {fnv(data):x} {w[0]:x} {w[-1]:x}" if n else f"0 {fnv(data):x} 0 0")
        lines.append(f"{seed} | " + " | ".join(fields))
for seed, n in [(42, 5), (42, 16), (42, 21), (7, 256)]:
    g = torch.Generator("cpu").manual_seed(seed)
    lines.append(f"whole {seed} {n} | " + " ".join(f"{v:x}" for v in words(torch.randn(n, generator=g))))
# The shape does not matter, only the number of elements.
a = torch.randn(2, 3, 5, 7, generator=torch.Generator("cpu").manual_seed(3))
assert torch.equal(a.flatten(), torch.randn(210, generator=torch.Generator("cpu").manual_seed(3)))

path = pathlib.Path(__file__).with_name("torch_normal.txt")
path.write_text(f"# torch {torch.__version__} {torch.backends.cpu.get_cpu_capability()}\n" + "\n".join(lines) + "\n")
print(path, len(lines), "lines")
