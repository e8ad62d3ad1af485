#!/usr/bin/env python3
"""Image metrics by their reference packages: writes image_metrics.json beside this file.

    pip install scikit-image torchmetrics pytorch-fid scipy

Pictures are made from whole numbers by `picture`, as tests/eval/image_metrics_test.cpp makes them; features from names, by seeded.py.
  pictures  PSNR and SSIM of scikit-image; torchmetrics' SSIM also counts windows that reach over the edge, and gives other numbers
  kid       torchmetrics' poly_mmd on whole sets of equal size
  precision_recall  Kynkaanniemi et al. 2019 in NumPy, from distances of differences
  frechet   pytorch-fid's calculate_frechet_distance, on as many and on fewer samples than dimensions
"""
import json
import pathlib

import numpy as np
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.image.kid import poly_mmd

from seeded import normal_like, uniform

PICTURES = [(32, 24, "noise"), (11, 17, "noise"), (48, 40, "blur"), (20, 20, "shift"), (16, 12, "flat")]


def base(width, height):
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    return ((x * x * 3 + y * 7 + x * y * (c + 2) + 40 * c) % 251).astype(np.uint8)


def picture(width, height, kind):
    """The second picture, from the first."""
    a = base(width, height).astype(np.int64)
    if kind == "noise":  # up to 20 levels off
        n = (uniform("noise", a.size).reshape(a.shape) * 20).astype(np.int64)
        return np.clip(a + n, 0, 255).astype(np.uint8)
    if kind == "blur":
        return ((a + np.roll(a, 1, 0) + np.roll(a, 1, 1) + np.roll(a, 2, 1)) // 4).astype(np.uint8)
    if kind == "shift":
        return np.clip(a + 9, 0, 255).astype(np.uint8)
    return np.full_like(a, 128).astype(np.uint8)


def compared(width, height, kind):
    a, b = base(width, height), picture(width, height, kind)
    ssim = structural_similarity(a, b, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    return {"width": width, "height": height, "kind": kind, "psnr": peak_signal_noise_ratio(a, b, data_range=255), "ssim": float(ssim)}


def features(name, n, d):
    """Correlated, off centre."""
    x = normal_like(name, (n, d)).numpy()
    return x + 0.5 * np.roll(x, 1, 1) + 0.25


def pair(n, m, d, shift):
    return features(f"real {n} {d}", n, d), features(f"drawn {m} {d}", m, d) * (1 + shift) + shift


def kid(n, d, shift):
    a, b = (torch.from_numpy(x) for x in pair(n, n, d, shift))
    return {"n": n, "d": d, "shift": shift, "value": float(poly_mmd(a, b, degree=3, gamma=None, coef=1.0))}


def inside(asked, centres, k):
    own = np.sort(((centres[:, None] - centres[None]) ** 2).sum(-1), 1)[:, k]  # column 0 is the feature itself
    return float((((asked[:, None] - centres[None]) ** 2).sum(-1) <= own[None]).any(1).mean())


def precision_recall(n, m, d, shift, k):
    a, b = pair(n, m, d, shift)
    return {"n": n, "m": m, "d": d, "shift": shift, "k": k, "precision": inside(b, a, k), "recall": inside(a, b, k)}


def frechet(n, m, d, shift):
    a, b = pair(n, m, d, shift)
    of = lambda x: (x.mean(0), np.cov(x, rowvar=False))
    return {"n": n, "m": m, "d": d, "shift": shift, "value": float(calculate_frechet_distance(*of(a), *of(b)))}


if __name__ == "__main__":
    golden = {
        "pictures": [compared(*p) for p in PICTURES],
        "kid": [kid(40, 6, 0.2), kid(25, 64, 0.05), kid(7, 3, 0.0)],
        "precision_recall": [precision_recall(60, 50, 4, 0.3, 3), precision_recall(40, 70, 8, 0.8, 3), precision_recall(30, 30, 2, 0.0, 1), precision_recall(50, 40, 16, 0.1, 5)],
        "frechet": [frechet(200, 150, 8, 0.2), frechet(500, 400, 32, 0.02), frechet(20, 30, 40, 0.1), frechet(9, 12, 64, 0.3)],
    }
    path = pathlib.Path(__file__).parent / "image_metrics.json"
    path.write_text("{\n" + ",\n".join(f'"{k}": [\n' + ",\n".join(json.dumps(r) for r in v) + "\n]" for k, v in golden.items()) + "\n}\n")
    print(path.read_text())
