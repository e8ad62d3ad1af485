#!/usr/bin/env python3
"""The judge of pictures (include/sspo/eval/judge.hpp) written again in PyTorch, in float64: writes judge.json beside this file.

Weights, pictures and tokens are made from names, by seeded.py; parameters have the names and shapes of a judge's checkpoint
(convolutions OIHW). Outputs are rounded to float32. The gradient is that of contrast(a, b) + cross entropy of styles, as projections.
"""
import json
import pathlib

import torch
import torch.nn.functional as F

from seeded import normal_like, number, projections, weight

CONFIG = {"styles": ["one", "other"], "size": 13, "vocab_size": 23, "max_tokens": 5, "style_channels": [8, 16], "picture_channels": [8, 8, 16, 24],
          "features": 12, "embedding": 7, "token_width": 9}
TOKENS = [[[3, 9], 5], [[22], 5], [[], 5], [[1, 2, 9], 5]]  # of each caption, without start and end; the length they are padded to
STYLES, GROUPS = [0, 1, 1, 0], [0, 1, 2, 1]
used = {}


def w(name, *shape):
    if name not in used:
        used[name] = weight(name, shape).double().requires_grad_() if shape else torch.tensor(float.fromhex("0x1.2p+1"), dtype=torch.float64, requires_grad=True)
    return used[name]


def linear(x, name, out):
    return F.linear(x, w(name + ".weight", out, x.shape[-1]), w(name + ".bias", out))


def conv(x, name, out, stride):
    x = F.conv2d(x, w(name + ".conv.weight", out, x.shape[1], 3, 3), w(name + ".conv.bias", out), stride=stride, padding=1)
    return F.silu(F.group_norm(x, 8, w(name + ".norm.weight", out), w(name + ".norm.bias", out)))


def style(x):
    for i, out in enumerate(CONFIG["style_channels"]):
        x = conv(x, f"style.convs.{i}", out, 1 if i % 2 else 2)
    c = x.shape[1]
    x = F.silu(F.conv2d(x, w("style.mix.weight", c, c)[:, :, None, None], w("style.mix.bias", c)))
    pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], -1)
    return linear(F.silu(linear(pooled, "style.hidden", c)), "style.out", len(CONFIG["styles"]))


def features(x):
    for i, out in enumerate(CONFIG["picture_channels"]):
        x = conv(x, f"picture.convs.{i}", out, 2 if i % 2 else 1)
    return linear(x.permute(0, 2, 3, 1).flatten(1), "picture.features", CONFIG["features"])  # rows, columns, channels


def unit(x):
    return x / (x.norm(dim=-1, keepdim=True) + 1e-6)


def embed(f):
    return unit(linear(F.silu(f), "picture.out", CONFIG["embedding"]))


def text():
    table, width = w("text.tokens.weight", CONFIG["vocab_size"], CONFIG["token_width"]), CONFIG["token_width"]
    bags = torch.stack([table[ids].mean(0) if ids else torch.zeros(width, dtype=torch.float64) for ids, _ in TOKENS])
    return unit(linear(F.silu(linear(bags, "text.hidden", width)), "text.out", CONFIG["embedding"]))


def contrast(a, b):
    logits = torch.exp(w("text.log_scale")) * a @ b.T
    kin = torch.tensor([[i != j and GROUPS[i] == GROUPS[j] for j in range(4)] for i in range(4)])
    logits = logits.masked_fill(kin, -torch.inf)
    own = torch.arange(4)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


x = normal_like("pictures", (4, 3, CONFIG["size"], CONFIG["size"]))
out = {"style": style(x), "features": features(x), "text": text()}
out["embed"] = embed(out["features"])
out["contrast"] = contrast(out["embed"], out["text"])
(out["contrast"] + F.cross_entropy(out["style"], torch.tensor(STYLES))).backward()
rounded = lambda t: [number(v) for v in t.detach().float().flatten().tolist()]
json_ = {"config": CONFIG, "tokens": TOKENS, "styles": STYLES, "groups": GROUPS, "outputs": {name: rounded(t) for name, t in out.items()},
         "gradients": {name: projections(name, p.grad) for name, p in sorted(used.items())}}
text_ = json.dumps(json_, indent=1)
pathlib.Path(__file__).with_name("judge.json").write_text(text_ + "\n")
