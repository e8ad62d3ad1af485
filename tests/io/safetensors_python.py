#!/usr/bin/env python3
"""Does the Python package read what sspo writes?   safetensors_python.py FILE...   (needs safetensors and torch)

Exit 77 without them: ctest's SKIP_RETURN_CODE. Each file is read and written again by the package; both must hold the same
tensors. test_io leaves sspo.safetensors, with one tensor of each type, in its working folder; its numbers are checked here.
"""
import hashlib
import pathlib
import sys
import tempfile

try:
    from safetensors import safe_open
    from safetensors.torch import save_file
except ImportError:
    sys.exit(77)


def content(path):
    with safe_open(path, "pt") as f:
        tensors = {name: f.get_tensor(name) for name in f.keys()}
        return f.metadata() or {}, tensors


def digest(tensors):
    rows = ((n, str(t.dtype), tuple(t.shape), hashlib.sha256(bytes(t.contiguous().untyped_storage())[:t.nbytes]).hexdigest()) for n, t in tensors.items())
    return sorted(rows)


for path in sys.argv[1:]:
    metadata, tensors = content(path)
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "copy.safetensors"
        save_file(tensors, copy, metadata=metadata)
        again = content(copy)
    if again[0] != metadata or digest(again[1]) != digest(tensors):
        sys.exit(f"{path}: the copy differs")
    if pathlib.Path(path).name == "sspo.safetensors":
        assert metadata == {"format": "pt", "a\"b": "c\nd"}, metadata
        assert tensors["f32"].shape == (2, 3) and tensors["f32"][0, 1] == -2.5 and tensors["f32"][1, 0].isnan()
        assert tensors["f64"].tolist() == [1e300, -0.1] and tensors["bf16"].flatten().tolist() == [1.5, -3, 7]
        assert tensors["i64"].tolist() == [-1, 2**63 - 1] and tensors["i32"].item() == -(2**31) and tensors["bool"].tolist() == [True, False, True]
        assert tensors["empty"].shape == (4, 0, 2) and tensors["u8"].flatten().tolist() == [0, 255, 7]
    print(f"{path}: {len(tensors)} tensors, {sum(t.numel() for t in tensors.values())} elements")
