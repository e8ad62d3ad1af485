"""Numbers made from names, as tests/models/golden.hpp makes them: what no golden file need hold."""
import math

import numpy as np
import torch


def fnv(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h


def uniform(name, n):
    """n numbers in [-1, 1), multiples of 2^-23: SplitMix64 of FNV-1a(name) + 1, 2, ... golden ratios."""
    with np.errstate(over="ignore"):
        x = np.uint64(fnv(name)) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1


def weight(name, shape):
    """Of standard deviation 1 / sqrt(fan in), tables of 1; norms near 1; biases small. Rounded to float32."""
    u = uniform(name, math.prod(shape))
    if len(shape) == 1:
        w = u * 0.125 if name.endswith("bias") else 1 + u * 0.25
    else:
        w = u * math.sqrt(3.0 if "embedding.weight" in name else 3.0 / math.prod(shape[1:]))
    return torch.from_numpy(w.astype(np.float32).reshape(shape))


def normal_like(name, shape):
    """Inputs and cotangents: of standard deviation 1, exact in float32."""
    w = (uniform(name, math.prod(shape)) * math.sqrt(3.0)).astype(np.float32)
    return torch.from_numpy(w.reshape(shape)).double()


def number(v):
    return float("%.12g" % v)


def projections(name, x):
    x = x.detach().double().numpy().reshape(-1)
    signs = [np.where(uniform(f"{name}#{k}", x.size) < 0, -1.0, 1.0) for k in range(4)]
    return [number(math.fsum(x * s) / math.sqrt(x.size)) for s in signs]
