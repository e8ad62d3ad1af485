#!/usr/bin/env python3
"""Inception-v3 of pytorch-fid with seeded weights, in float64: writes inception.json beside this file.

    pip install pytorch-fid torchvision

Weights and pictures are made from names, by seeded.py: of batch norms, running_mean is weight(name) - 1 and running_var half of
weight(name). Features are rounded to float32: all of 64 and 192, every third of 768, every eighth of 2048, and projections of all.
`save PATH` writes the same weights as a file of torch.save with the classifier and the counters of training, as the real one has them.
"""
import json
import pathlib
import sys

import torch
from pytorch_fid import inception as fid

from seeded import normal_like, number, projections, weight

SIZES = [(1, 299, 299), (2, 40, 67), (1, 350, 310)]


def network():
    fid.load_state_dict_from_url = lambda *_, **__: seeded_state()
    return fid.InceptionV3([0, 1, 2, 3]).eval().double()


def seeded_state():
    own = fid._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    for name, block in {"Mixed_5b": fid.FIDInceptionA(192, 32), "Mixed_5c": fid.FIDInceptionA(256, 64), "Mixed_5d": fid.FIDInceptionA(288, 64),
                        "Mixed_6b": fid.FIDInceptionC(768, 128), "Mixed_6c": fid.FIDInceptionC(768, 160), "Mixed_6d": fid.FIDInceptionC(768, 160),
                        "Mixed_6e": fid.FIDInceptionC(768, 192), "Mixed_7b": fid.FIDInceptionE_1(1280), "Mixed_7c": fid.FIDInceptionE_2(2048)}.items():
        setattr(own, name, block)
    state = own.state_dict()
    for name, x in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        w = weight(name, tuple(x.shape))
        state[name] = w - 1 if name.endswith("running_mean") else w * 0.5 if name.endswith("running_var") else w
    return state


def run(net, batch, height, width):
    x = normal_like(f"pictures {height} {width}", (batch, 3, height, width)) * 0.25 + 0.5
    with torch.no_grad():
        outputs = [y.mean((2, 3)) for y in net(x)]
    print((height, width), [float(y.square().mean().sqrt()) for y in outputs], file=sys.stderr)
    return {"batch": batch, "height": height, "width": width,
            "features": {str(y.shape[1]): {"values": [float("%.9g" % v) for v in y[:, :: max(1, y.shape[1] // 256)].float().reshape(-1).tolist()],
                                           "projections": projections(f"features {y.shape[1]}", y), "rms": number(y.square().mean().sqrt())} for y in outputs}}


if __name__ == "__main__":
    if sys.argv[1:2] == ["save"]:
        torch.save(seeded_state(), sys.argv[2])
        sys.exit()
    net = network()
    path = pathlib.Path(__file__).parent / "inception.json"
    path.write_text(json.dumps([run(net, *s) for s in SIZES], separators=(",", ":")) + "\n")
    print(path.stat().st_size, "bytes", file=sys.stderr)
