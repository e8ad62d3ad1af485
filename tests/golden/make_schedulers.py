#!/usr/bin/env python3
"""Timesteps, noise levels and trajectories of diffusers' schedulers: writes schedulers.json beside this file.

configs what the others name by number; 0 is Stable Diffusion 1.5's
plans   for every number of steps 1 ... T: 20 bits of FNV-1a over the timesteps as f32 words (`timesteps`, 5 hex digits each,
        "....." where diffusers refuses), and a weighted sum of all sigmas and init_noise_sigma as an f32 word (`sigmas`)
runs    whole samplings of a small tensor with a linear model: timesteps, sigmas, |x| summed after every step, the last x
tables  alphas_cumprod: FNV-1a over its f32 words, some of its values; noisy samples and velocities
Square roots of PyTorch and logarithms of numpy are not correctly rounded here, so sigmas are compared to a tolerance.
"""
import inspect
import json
import pathlib
import struct
import warnings

import diffusers
import numpy as np
import torch

warnings.filterwarnings("ignore")
diffusers.logging.set_verbosity_error()
torch.set_num_threads(1)

CLASSES = {
    "ddpm": diffusers.DDPMScheduler,
    "ddim": diffusers.DDIMScheduler,
    "pndm": diffusers.PNDMScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler_ancestral": diffusers.EulerAncestralDiscreteScheduler,
    "dpmpp_2m": diffusers.DPMSolverMultistepScheduler,
}
SD15 = dict(_class_name="PNDMScheduler", _diffusers_version="0.6.0", beta_end=0.012, beta_schedule="scaled_linear", beta_start=0.00085,
            num_train_timesteps=1000, set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1, trained_betas=None, clip_sample=False)


def config(**changes):
    return {**SD15, **changes}


def scheduler(kind, cfg):
    known = inspect.signature(CLASSES[kind].__init__).parameters
    return CLASSES[kind](**{k: v for k, v in cfg.items() if k in known})


def fnv(array):
    h = 0xCBF29CE484222325
    for b in np.ascontiguousarray(array, "<f4").tobytes():
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def plan(kind, cfg):
    s, hashes, sums = scheduler(kind, cfg), "", ""
    for steps in range(1, cfg["num_train_timesteps"] + 1):
        try:
            s.set_timesteps(steps)
        except ValueError:
            hashes += "." * 5
            continue
        hashes += f"{fnv(s.timesteps.numpy()) & 0xFFFFF:05x}"
        if kind in ("euler", "euler_ancestral", "dpmpp_2m"):
            sigmas = s.sigmas.numpy().astype("f8")
            total = float(s.init_noise_sigma) + (sigmas * (1 + np.arange(len(sigmas)) * 7919 % 13 / 13)).sum()
            sums += struct.pack(">f", total).hex()
    return dict(kind=kind, config=cfg, timesteps=hashes, sigmas=sums)


def numbers(first, n):
    """n numbers in [-1, 1), a multiplicative hash of first, first + 1, ..."""
    j = (np.arange(first, first + n, dtype="u8") * 2654435761) % 2**32
    return (j >> 8).astype("f4") * np.float32(2.0**-23) - np.float32(1)


SHAPE = (2, 2, 3, 2)
N = 24


def run(kind, cfg, steps, eta=0.0):
    s = scheduler(kind, cfg)
    s.set_timesteps(steps)
    pattern = torch.from_numpy(numbers(1000, N)).reshape(SHAPE)
    x = torch.from_numpy(numbers(0, N)).reshape(SHAPE) * s.init_noise_sigma
    norms, module = [], inspect.getmodule(CLASSES[kind])
    for i, t in enumerate(s.timesteps):
        noise = torch.from_numpy(numbers(2000 + 100 * i, N)).reshape(SHAPE)
        module.randn_tensor = lambda *a, noise=noise, **k: noise  # what the sampler would draw
        out = 0.75 * s.scale_model_input(x, t) + (0.25 * (float(t) / 1000)) * pattern
        x = s.step(out, t, x, eta=eta).prev_sample if kind == "ddim" else s.step(out, t, x).prev_sample
        norms.append(float(x.double().abs().sum()))
    assert torch.isfinite(x).all(), (kind, cfg, steps)
    floats = lambda a: [float(np.format_float_scientific(v, unique=True)) for v in np.asarray(a, "f4").ravel()]
    sigmas = floats(s.sigmas) if hasattr(s, "sigmas") and kind not in ("ddpm", "ddim", "pndm") else []
    return dict(kind=kind, config=cfg, steps=steps, eta=eta, timesteps=floats(s.timesteps), sigmas=sigmas,
                norms=[float(f"{v:.9g}") for v in norms], last=floats(x))


def main():
    trailing, linspace, leading = (config(timestep_spacing=s, steps_offset=0) for s in ("trailing", "linspace", "leading"))
    karras = config(use_karras_sigmas=True)
    cosine = config(beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1)
    plans = [plan(k, SD15) for k in CLASSES]
    plans += [plan(k, trailing) for k in ("ddim", "pndm", "euler", "dpmpp_2m")]
    plans += [plan(k, linspace) for k in ("ddpm", "pndm")] + [plan(k, leading) for k in ("euler", "dpmpp_2m")]
    plans += [plan(k, karras) for k in ("euler", "dpmpp_2m")] + [plan("dpmpp_2m", cosine)]
    plans += [plan("pndm", config(skip_prk_steps=False, num_train_timesteps=397)), plan("euler", config(num_train_timesteps=50, beta_schedule="linear"))]

    v = dict(prediction_type="v_prediction")
    zero_snr = config(**v, rescale_betas_zero_snr=True, timestep_spacing="trailing", steps_offset=0)
    runs = [run(k, SD15, n) for k in CLASSES for n in (1, 2, 5, 10, 20)]
    runs += [run(k, config(**v), n) for k in CLASSES for n in (4, 25)]
    runs += [run(k, trailing, 12) for k in CLASSES] + [run(k, linspace, 16) for k in CLASSES]
    runs += [run(k, config(prediction_type="sample"), 8) for k in ("ddpm", "ddim", "euler", "dpmpp_2m")]
    runs += [run(k, config(clip_sample=True, clip_sample_range=0.8), 8) for k in ("ddpm", "ddim")]
    runs += [run(k, config(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=1.5), 8) for k in ("ddpm", "ddim", "dpmpp_2m")]
    runs += [run("ddim", SD15, 10, eta) for eta in (0.5, 1.0)] + [run("ddim", config(set_alpha_to_one=True), 7)]
    runs += [run("ddpm", config(variance_type=t), 9) for t in ("fixed_small_log", "fixed_large")] + [run("ddpm", leading, 1000)]
    runs += [run("pndm", config(skip_prk_steps=False), n) for n in (4, 5, 20)] + [run("pndm", config(skip_prk_steps=False, **v), 6)]
    runs += [run("euler", c, 10) for c in (karras, config(use_exponential_sigmas=True), config(interpolation_type="log_linear"),
                                           config(final_sigmas_type="sigma_min"), config(use_karras_sigmas=True, sigma_min=0.1, sigma_max=10.0))]
    runs += [run("dpmpp_2m", c, n) for n in (6, 20) for c in (
        karras, config(solver_order=1), config(solver_order=3), config(solver_type="heun"), config(algorithm_type="sde-dpmsolver++"),
        config(algorithm_type="sde-dpmsolver++", solver_type="heun"), config(algorithm_type="sde-dpmsolver++", solver_order=3),
        config(final_sigmas_type="sigma_min", lower_order_final=False), config(euler_at_final=True, final_sigmas_type="sigma_min"), cosine,
        config(use_exponential_sigmas=True), config(solver_type="bh2"))]
    runs += [run(k, zero_snr, 10) for k in ("ddpm", "ddim", "euler", "dpmpp_2m")]

    tables = []
    for cfg in (SD15, config(beta_schedule="linear", beta_start=1e-4, beta_end=0.02), config(beta_schedule="squaredcos_cap_v2"), config(num_train_timesteps=37),
                config(trained_betas=[0.001, 0.01, 0.1, 0.25], num_train_timesteps=4), zero_snr):
        s = scheduler("ddpm", cfg)
        a, T = s.alphas_cumprod.numpy(), cfg["num_train_timesteps"]
        t = [0, T // 2, T - 1]
        x0, eps = (torch.from_numpy(numbers(f, 12)).reshape(3, 2, 2) for f in (0, 50))
        tables.append(dict(config=cfg, hash=f"{fnv(a):016x}", values=[[i, float(a[i])] for i in t], noisy=s.add_noise(x0, eps, torch.tensor(t)).flatten().tolist(),
                           velocity=s.get_velocity(x0, eps, torch.tensor(t)).flatten().tolist()))

    path = pathlib.Path(__file__).with_name("schedulers.json")
    configs = []
    for row in plans + runs + tables:  # each config once
        if row["config"] not in configs:
            configs.append(row["config"])
        row["config"] = configs.index(row["config"])
    write = lambda rows: "[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows) + "\n]"
    path.write_text('{"made_by":"diffusers %s, torch %s, numpy %s",\n"configs":%s,\n"plans":%s,\n"runs":%s,\n"tables":%s}\n' % (
        diffusers.__version__, torch.__version__, np.__version__, write(configs), write(plans), write(runs), write(tables)))
    print(path, path.stat().st_size, "bytes;", len(plans), "plans,", len(runs), "runs")


if __name__ == "__main__":
    main()
