#!/usr/bin/env python3
"""Does the Python package read what sspo writes?   safetensors_python.py FILE...   (needs safetensors and torch)

Without arguments: says whether the packages are there (exit 77 if not: ctest's SKIP_RETURN_CODE). Each file is read, every tensor's
bytes are hashed, and the file is written again by the package; both files must hold the same tensors.
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
    print(f"{path}: {len(tensors)} tensors, {sum(t.numel() for t in tensors.values())} elements")
