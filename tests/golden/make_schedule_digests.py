#!/usr/bin/env python3
"""The plans of diffusers' schedulers over a grid of configs, for every number of steps 1 ... T: writes schedule_digests.json.

plans    one config each. Numbers of steps are taken in blocks of 50, and of each block is kept
           hash    FNV-1a over all its timesteps as f32 words; a number of steps that diffusers refuses adds the word NaN
           times   the sum of the timesteps: for the plans whose timesteps follow from rounded logarithms
           sigmas  the sum of init_noise_sigma and of the sigmas, each with a weight from its index; none: no sigmas
errors   what diffusers refuses: a sampler, a config, a number of steps; the first step on an x of zeros is tried too
schedulers.json (make_schedulers.py) has fewer configs, hashed one number of steps at a time.
"""
import json
import pathlib
import warnings

import numpy as np
import torch

from make_schedulers import CLASSES, config, scheduler

warnings.filterwarnings("ignore")
BLOCK = 50
SIGMAS = ("euler", "euler_ancestral", "dpmpp_2m")
BETAS = {
    "linear": dict(beta_schedule="linear", beta_start=1e-4, beta_end=0.02),
    "scaled_linear": dict(beta_schedule="scaled_linear"),
    "squaredcos_cap_v2": dict(beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1),  # as diffusers advises for this schedule
}


def fnv(words, h=0xCBF29CE484222325):
    """FNV-1a, a word of 32 bits at a time."""
    for word in words.tolist():
        h = ((h ^ word) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def plan(kind, cfg):
    s = scheduler(kind, cfg)
    blocks = []
    for first in range(1, cfg["num_train_timesteps"] + 1, BLOCK):
        words, times, sigmas = [], 0.0, 0.0
        for steps in range(first, min(first + BLOCK, cfg["num_train_timesteps"] + 1)):
            try:
                s.set_timesteps(steps)
                t = s.timesteps.numpy().astype("<f4")
            except ValueError:
                words.append(np.array([0x7FC00000], "<u4"))
                continue
            words.append(t.view("<u4"))
            times += float(t.astype("f8").sum())
            if kind in SIGMAS:
                v = s.sigmas.numpy().astype("f8")
                sigmas += float(s.init_noise_sigma) + float((v * (1 + np.arange(len(v)) * 7919 % 13 / 13)).sum())
        blocks.append([f"{fnv(np.concatenate(words)):016x}", float("%.10g" % times)] + ([float("%.9g" % sigmas)] if kind in SIGMAS else []))
    return dict(kind=kind, config=cfg, blocks=blocks)


def grid():
    for spacing in ("leading", "linspace", "trailing"):
        for offset in (0, 1):
            at = dict(timestep_spacing=spacing, steps_offset=offset)
            for kind in CLASSES:
                for betas in BETAS if kind in SIGMAS else ("scaled_linear",):  # timesteps of the others do not depend on them
                    yield kind, config(**at, **BETAS[betas])
        at = dict(timestep_spacing=spacing, steps_offset=1)
        for kind in ("euler", "dpmpp_2m"):
            for levels in ("use_karras_sigmas", "use_exponential_sigmas"):
                yield kind, config(**at, **{levels: True})
            yield kind, config(**at, use_karras_sigmas=True, **BETAS["linear"])
            yield kind, config(**at, final_sigmas_type="sigma_min")
        yield "pndm", config(**at, skip_prk_steps=False)
        yield "euler", config(**at, interpolation_type="log_linear")
        for kind in CLASSES:
            yield kind, config(timestep_spacing=spacing, steps_offset=0, num_train_timesteps=97)


def refusals():
    v = dict(prediction_type="v_prediction")
    dark = dict(rescale_betas_zero_snr=True)
    for kind in CLASSES:
        for steps in (1, 2, 3, 4, 61, 999, 1000, 1001):
            for cfg in ({}, dict(timestep_spacing="trailing"), dict(timestep_spacing="leading", steps_offset=0), dict(timestep_spacing="linspace")):
                yield kind, cfg, steps
        for cfg in (dict(beta_schedule="sigmoid"), dict(beta_schedule="cosine"), dict(timestep_spacing="karras"), dict(prediction_type="flow"), dict(prediction_type="sample"),
                    {**dark, **v}, dict(use_karras_sigmas=True, use_exponential_sigmas=True), dict(interpolation_type="cubic"),
                    dict(final_sigmas_type="half"), dict(solver_type="rk4"), dict(algorithm_type="dpmsolver+++"), dict(solver_order=4), dict(solver_order=0),
                    dict(beta_schedule="squaredcos_cap_v2", skip_prk_steps=False), dict(skip_prk_steps=False), dict(trained_betas=[0.1, 0.2]),
                    dict(beta_schedule="squaredcos_cap_v2"), dict(variance_type="fixed_medium")):
            for steps in (3, 10):
                yield kind, cfg, steps


def outcome(kind, cfg, steps):
    """The stage at which diffusers refuses, or None; and what it says."""
    stage = "config"
    try:
        s = scheduler(kind, config(**cfg))
        stage = "plan"
        s.set_timesteps(steps)
        stage = "step"
        x = torch.zeros(1, 2, 2, 2)
        for t in s.timesteps[:1]:
            s.step(s.scale_model_input(x, t), t, x)
        return None
    except Exception as e:  # noqa: BLE001: whatever it is, it is a refusal
        return stage, f"{type(e).__name__}: {e}".split("\n")[0][:100]


def main():
    plans = [plan(kind, cfg) for kind, cfg in grid()]
    errors = [dict(kind=k, config=c, steps=n, stage=o[0], says=o[1]) for k, c, n in refusals() if (o := outcome(k, c, n))]
    configs = []
    for row in plans:
        if row["config"] not in configs:
            configs.append(row["config"])
        row["config"] = configs.index(row["config"])
    write = lambda rows: "[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows) + "\n]"
    path = pathlib.Path(__file__).with_name("schedule_digests.json")
    path.write_text('{"configs":%s,\n"plans":%s,\n"errors":%s}\n' % (write(configs), write(plans), write(errors)))
    print(path.name, path.stat().st_size, "bytes;", len(plans), "plans,", len(errors), "errors")


if __name__ == "__main__":
    main()
