#!/usr/bin/env python3
"""Files of torch.save, one kind each, for tests/io/torch_file_test.cpp: fills torch/ beside this file. What the tensors hold is in the test."""
import collections
import io
import os
import pathlib
import zipfile

import torch

HERE = pathlib.Path(__file__).resolve().parent / "torch"


class Evil:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def tensors(protocol):
    base = torch.arange(24, dtype=torch.float32)
    return {
        "f32": base[:6].clone().reshape(2, 3) / 2,
        "f16": torch.tensor([0.1, -65504, 6e-8], dtype=torch.float16),
        "bf16": torch.tensor([[3.14159, -1e38]], dtype=torch.bfloat16),
        "f64": torch.tensor(0.1, dtype=torch.float64),
        "i64": torch.tensor([0, 49407, -1]),
        "i32": torch.tensor([-7], dtype=torch.int32),
        "mask": torch.tensor([True, False]),
        "bytes": torch.tensor([1, 2, 3], dtype=torch.uint8),
        "i16": torch.tensor([1, -1], dtype=torch.int16),
        "empty": torch.zeros(0, 5),
        "parameter": torch.nn.Parameter(torch.tensor([1.5])),
        "whole": base.reshape(4, 6),
        "rows": base.reshape(4, 6)[1:3],              # shares bytes, an offset
        "transposed": base.reshape(4, 6).t(),         # strides 1, 6
        "steps": base.reshape(2, 3, 4)[:, ::2, 1:],   # strides 12, 8, 1
        "nested": {"list": [torch.tensor([7.0]), 3, "text", None], 5: torch.tensor([8.0])},
        "lr": 1e-4, "big": 2**100, "steps_done": 2**40, "shape": torch.Size([2, 3]), "dtype": torch.float16, "name": b"bytes" if protocol > 2 else "text",  # protocol 2 has no bytes
    }


def main():
    HERE.mkdir(exist_ok=True)
    for protocol in (2, 3, 4, 5):
        torch.save(tensors(protocol), HERE / f"protocol{protocol}.pt", pickle_protocol=protocol)
    module = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Linear(1, 1))
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.fill_(i + 1)
    torch.save(module.state_dict(), HERE / "module.pt")  # an OrderedDict with the attribute _metadata
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    torch.save({"epoch": 1, "global_step": 470000, "state_dict": collections.OrderedDict(w=torch.tensor([1.0, 2.0])), "optimizer_states": [optimizer]}, HERE / "lightning.ckpt")
    torch.save({"w": torch.tensor([1.0])}, HERE / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(tensors(2), HERE / "legacy_all.pt", _use_new_zipfile_serialization=False)
    torch.save({"w": torch.tensor([1.0]), "x": Evil()}, HERE / "evil.pt")
    torch.save({"w": torch.ones(1).expand(1000)}, HERE / "expanded.pt")
    torch.save({"w": torch.ones(2).to(torch.uint16)}, HERE / "uint16.pt")
    packed = io.BytesIO()
    with zipfile.ZipFile(HERE / "module.pt") as plain, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as zipped:
        for e in plain.infolist():
            zipped.writestr(zipfile.ZipInfo(e.filename), plain.read(e), zipfile.ZIP_DEFLATED if e.filename.endswith(".pkl") else zipfile.ZIP_STORED)
    (HERE / "packed.pt").write_bytes(packed.getvalue())
    with zipfile.ZipFile(HERE / "module.pt") as plain, zipfile.ZipFile(HERE / "packed_storage.pt", "w", zipfile.ZIP_DEFLATED) as zipped:
        for e in plain.infolist():
            zipped.writestr(zipfile.ZipInfo(e.filename), plain.read(e), zipfile.ZIP_DEFLATED)
    for file in HERE.iterdir():
        print(f"{file.name}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
