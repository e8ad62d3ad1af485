#!/usr/bin/env python3
"""Training steps of PyTorch and diffusers in float64: writes steps/steps.json beside this file.

A small UNet; no weight is stored. The reference's weights are those of make_models.py (from the tensor's name), the policy's are
up to AWAY of them away: reference (1 + AWAY uniform("policyN." + name)), N such that the gate finds both signs. Batches come from names, too: "NAME.latents_w", ... Each run holds
  errors a_tw a_rw a_tr a_rr, d_w d_r s z loss_i [B], loss, grad_norm, and for every parameter, in order of their names,
  the projections (make_models.py) and the largest absolute value of its gradient.
The chain is ten AdamW steps with fresh batches: the loss and the norm of each, and projections of what the parameters became.
"""
import json
import math
import pathlib
import sys

import diffusers
import torch

from make_models import Exact, fnv, normal_like, number, projections, uniform, weight

torch.set_num_threads(1)
CONFIG = dict(sample_size=6, in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1, cross_attention_dim=12, attention_head_dim=2,
              norm_num_groups=4, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
SIZE, TOKENS, AWAY, N = (6, 5), 3, 0.01, 3
SCHEDULE = diffusers.DDPMScheduler(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


# --- the engine's Rng: Philox4x32-10 along a path


def philox(x, key):
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        a, b = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [(b >> 32) ^ x[1] ^ k0, b & 0xFFFFFFFF, (a >> 32) ^ x[3] ^ k1, a & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return x


def child(key, name):
    what = fnv(name)
    x = philox([what & 0xFFFFFFFF, what >> 32, 1, 0x73737021], key)
    return x[1] << 32 | x[0]


def below(key, n, i):
    x = philox([i & 0xFFFFFFFF, i >> 32, 0, 0], key)
    return ((x[1] << 32 | x[0]) * n) >> 64


def permutation(key, n):
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = below(key, i + 1, i)
        order[i], order[j] = order[j], order[i]
    return order


# --- models and batches


def models(away=AWAY):
    pair = [diffusers.UNet2DConditionModel(**CONFIG).eval() for _ in range(2)]
    for model, policy in zip(pair, (True, False)):
        with torch.no_grad():
            for n, p in model.named_parameters():
                w = weight(n, tuple(p.shape))
                if policy:
                    w = (w.double() * (1 + away * torch.from_numpy(uniform(f"policy{N}." + n, p.numel()).reshape(p.shape)))).float()
                p.copy_(w)
        model.double()
    pair[1].requires_grad_(False)
    return pair


def batch(name, size, own_noise=False):
    shape = (size, 4, *SIZE)
    part = lambda p, s=shape: normal_like(f"{name}.{p}", s)
    b = {"latents_w": part("latents_w"), "latents_r": part("latents_r"), "noise_w": part("noise_w"), "text": part("text", (size, TOKENS, 12))}
    b["noise_r"] = part("noise_r") if own_noise else b["noise_w"]
    b["timesteps"] = torch.tensor([int(500 * (u + 1)) for u in uniform(f"{name}.timesteps", size)])
    return b


def add_noise(x, eps, t):
    a = SCHEDULE.alphas_cumprod.double()[t].reshape(-1, 1, 1, 1)
    return a.sqrt() * x + (1 - a).sqrt() * eps


def errors(model, b):
    result = []
    for side in "wr":
        x = add_noise(b["latents_" + side], b["noise_" + side], b["timesteps"])
        eps = model(x, b["timesteps"], b["text"]).sample
        result.append((eps - b["noise_" + side]).square().mean(dim=(1, 2, 3)))
    return result


# --- objectives


def signs(gate, gain, seed):
    s = torch.sign(gain)
    return {"sign": s, "plus": torch.where(gain == 0, torch.ones_like(s), s), "indicator": (gain > 0).double(), "none": torch.ones_like(gain),
            "random": s[permutation(child(seed, "gate"), len(s))]}[gate]


def terms(objective, gate, kappa, eta, a_tw, a_rw, a_tr, a_rr, seed):
    softplus = torch.nn.functional.softplus
    d_w, d_r = a_tw - a_rw, a_tr - a_rr
    s = signs(gate, (a_rw - a_tw).detach(), seed) if objective == "sspo" else torch.full_like(d_w, 0 if objective == "sft" else 1)
    z = -kappa * (d_w - s * d_r)
    logistic = softplus(-z, threshold=1e9)
    loss_i = {"sft": a_tw, "dpo+sft": logistic + eta * a_tw, "ipo": (z - 0.5) ** 2,
              "asft": softplus(kappa * d_w, threshold=1e9) + softplus(-kappa * d_r, threshold=1e9)}.get(objective, logistic)
    return dict(a_tw=a_tw, a_rw=a_rw, a_tr=a_tr, a_rr=a_rr, d_w=d_w, d_r=d_r, s=s, z=z, loss_i=loss_i)


def listed(x):
    return [number(v) for v in x.detach().reshape(-1).tolist()]


def loss_of(policy, reference, b, o):
    a_tw, a_tr = errors(policy, b)
    a_rw, a_rr = errors(reference, b)
    t = terms(o["objective"], o["gate"], o["beta"] / 2, o["eta"], a_tw, a_rw, a_tr, a_rr, o["seed"])
    return t, t["loss_i"].mean()


def run(name, size, own_noise=False, away=AWAY, **options):
    o = dict(objective="sspo", gate="sign", beta=100, eta=20, seed=3)
    o.update(options)
    policy, reference = models(away)
    with Exact():
        t, loss = loss_of(policy, reference, batch(name, size, own_noise), o)
        loss.backward()
    named = dict(policy.named_parameters())
    gradients = [projections(n, named[n].grad) + [number(named[n].grad.abs().max().item())] for n in sorted(named)]
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in named.values()))
    print(name, o, "d_w", ["%.2g" % v for v in t["d_w"].tolist()], "s", t["s"].tolist(), "loss %.6g norm %.3g" % (loss, norm), file=sys.stderr)
    return {"name": name, "size": size, "own_noise": own_noise, "away": away, **o, "values": {k: listed(v) for k, v in t.items()}, "loss": number(loss.item()), "grad_norm": number(norm),
            "gradients": gradients}


def chain(name, steps, size, **options):
    o = dict(objective="sspo", gate="sign", beta=100, eta=20, seed=3, lr=1e-3, weight_decay=0.01, clip_norm=1.0)
    o.update(options)
    policy, reference = models()
    adamw = torch.optim.AdamW(policy.parameters(), lr=o["lr"], weight_decay=o["weight_decay"], betas=(0.9, 0.999), eps=1e-8)
    losses, norms, closest, plus = [], [], math.inf, 0
    for u in range(steps):
        adamw.zero_grad()
        with Exact():
            t, loss = loss_of(policy, reference, batch(f"{name}.{u}", size), o)
            loss.backward()
        norms.append(number(torch.nn.utils.clip_grad_norm_(policy.parameters(), o["clip_norm"]).item()))
        losses.append(number(loss.item()))
        closest, plus = min(closest, float(t["d_w"].detach().abs().min())), plus + int((t["s"] > 0).sum())
        adamw.step()
    named = dict(policy.named_parameters())
    print(name, o, "losses", ["%.4g" % v for v in losses], "norms", ["%.3g" % v for v in norms], "closest to a tie %.2g, %d of %d s = +1" % (closest, plus, steps * size), file=sys.stderr)
    return {"name": name, "size": size, "steps": steps, **o, "losses": losses, "grad_norms": norms, "parameters": [projections(n, named[n]) for n in sorted(named)]}


def runs():
    yield from (run("batch", 6, objective=o) for o in ("sspo", "sft", "dpo", "dpo+sft", "ipo", "asft"))  # spin and ditto are dpo
    yield from (run("batch", 6, gate=g) for g in ("indicator", "none", "random"))
    yield from (run("tie", 2, away=0, gate=g) for g in ("sign", "plus"))
    yield run("own", 4, own_noise=True)
    yield run("strong", 5, beta=2000)


if __name__ == "__main__":
    path = pathlib.Path(__file__).parent / "steps" / "steps.json"
    config = json.dumps(dict(CONFIG, act_fn="silu", _class_name="UNet2DConditionModel"))
    lines = lambda key, rows: f'"{key}": [\n' + ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows) + "\n]"
    chains = [chain("chain", 10, 5), chain("tuned", 10, 3, objective="sft")]
    path.write_text('{\n"config": ' + config + ",\n" + lines("runs", runs()) + ",\n" + lines("chains", chains) + "\n}\n")
    print(f"{path.name}: {path.stat().st_size} bytes", file=sys.stderr)
