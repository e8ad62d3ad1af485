#!/usr/bin/env python3
"""LPIPS with AlexNet and VGG-16 and seeded weights, in float64: writes lpips.json beside this file.

    pip install lpips torchvision

Weights and pictures are made from names, by seeded.py: convolutions sqrt(2) of weight(name), which keeps the scale through ReLUs, lin
layers |weight(name)|. Holds the package's value for each pair of pictures, and the sum of each layer.
"""
import json
import math
import pathlib

import lpips
import torch
from torchvision import models

from seeded import normal_like, number, weight

SIZES = {"alex": [(2, 64, 64), (1, 71, 48)], "vgg": [(2, 32, 32), (1, 39, 50)]}


def seeded(name, x):
    w = weight(name, tuple(x.shape)).double()
    return w.abs() if name.startswith("lin") else w * math.sqrt(2) if x.ndim == 4 else w


def network(net):
    trunk = {"alex": models.alexnet, "vgg": models.vgg16}[net](weights=None)
    with torch.no_grad():
        for n, p in trunk.features.double().named_parameters():
            p.copy_(seeded("features." + n, p))
    maker = {"alex": "alexnet", "vgg": "vgg16"}[net]
    setattr(lpips.lpips.pn.tv, maker, lambda pretrained: trunk)
    model = lpips.LPIPS(pretrained=False, net=net, verbose=False).double()
    with torch.no_grad():
        for n, p in model.named_parameters():
            if n.startswith("lin") and not n.startswith("lins"):
                p.copy_(seeded(n, p))
    return model


def run(net, model, batch, height, width):
    a = normal_like(f"a {height} {width}", (batch, 3, height, width)) * 0.4
    b = a * 0.7 + normal_like(f"b {height} {width}", (batch, 3, height, width)) * 0.3
    with torch.no_grad():
        value, layers = model(a, b, retPerLayer=True)
    return {"net": net, "batch": batch, "height": height, "width": width, "value": [number(v) for v in value.reshape(-1)],
            "layers": [[number(v) for v in l.reshape(-1)] for l in layers]}


if __name__ == "__main__":
    runs = []
    for net, sizes in SIZES.items():
        model = network(net)
        runs += [run(net, model, *s) for s in sizes]
    path = pathlib.Path(__file__).parent / "lpips.json"
    path.write_text("[\n" + ",\n".join(json.dumps(r) for r in runs) + "\n]\n")
    print(path.read_text())
