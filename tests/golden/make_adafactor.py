#!/usr/bin/env python3
"""Golden numbers of tests/train/adafactor_test.cpp: ten steps of transformers.Adafactor.

  python3 tests/golden/make_adafactor.py > tests/golden/adafactor.txt        (torch, transformers)

Three parameters: a convolution's weight [6, 4, 3, 3] as the matrix [6, 36], a matrix [5, 7], a vector [9]. A line for each set of options:
its name, then all numbers after ten steps. Values and gradients are small fractions that both sides make by the formula below.
"""
import torch
from transformers import Adafactor

SHAPES = [(6, 36), (5, 7), (9,)]
OPTIONS = {
    "plain": dict(lr=1e-2, scale_parameter=False, relative_step=False),
    "scaled": dict(lr=1e-2, scale_parameter=True, relative_step=False, weight_decay=0.1),
    "relative": dict(lr=None, scale_parameter=True, relative_step=True),
    "clipped": dict(lr=3e-3, scale_parameter=False, relative_step=False, clip_threshold=0.25, decay_rate=-0.5, weight_decay=0.01),
}


def number(which, step, i):  # step 0: the value to begin with
    return ((i * 7919 + step * 104729 + which * 1299709) % 2003 - 1001) / (1 << (10 + (i * 31 + which) % 5))


for name, options in OPTIONS.items():
    params = [torch.nn.Parameter(torch.tensor([number(w, 0, i) for i in range(torch.Size(s).numel())]).reshape(s)) for w, s in enumerate(SHAPES)]
    optimizer = Adafactor(params, **options)
    for step in range(1, 11):
        for w, p in enumerate(params):
            p.grad = torch.tensor([number(w, step, i) for i in range(p.numel())]).reshape(p.shape)
        optimizer.step()
    print(name, *(f"{v:.9g}" for p in params for v in p.detach().flatten().tolist()))
