#!/usr/bin/env python3
"""Writes python.safetensors beside this file with the Python package: one tensor of each type that sspo reads or lists."""
import pathlib

import torch
from safetensors.torch import save_file

save_file({
    "w.f32": torch.arange(6).reshape(2, 3) / 2,
    "w.f16": torch.tensor([0.1, -65504, 6e-8], dtype=torch.float16),
    "w.bf16": torch.tensor([[3.14159, -1e38]], dtype=torch.bfloat16),
    "w.f64": torch.tensor(0.1, dtype=torch.float64),
    "ids.i64": torch.tensor([0, 49407, -1]),
    "ids.i32": torch.tensor([-7], dtype=torch.int32),
    "mask": torch.tensor([True, False]),
    "bytes": torch.tensor([1, 2, 3], dtype=torch.uint8),
    "empty": torch.zeros(0, 5),
    "i16": torch.tensor([1, -1], dtype=torch.int16),
    "f8": torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn),
}, pathlib.Path(__file__).parent / "python.safetensors", metadata={"format": "pt"})
