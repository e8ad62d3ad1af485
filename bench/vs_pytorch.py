#!/usr/bin/env python3
"""PyTorch's side of the rows of rows.txt, and the comparison with ours.

  python3 -m venv .venv && .venv/bin/pip install torch
  .venv/bin/python bench/vs_pytorch.py                    every row whose rival is PyTorch: table.py --rival pytorch
  .venv/bin/python bench/vs_pytorch.py --filter softmax   options as table.py's

A kind of row is one function below: it returns the callables to time, and the quickest of them counts (PyTorch
has two layouts for convolutions and norms; we compare with the better one).
"""
import os
import statistics
import sys
import time

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # may pin slow kernels
    os.environ.pop(name, None)

KINDS = {}


def kind(function):
    KINDS[function.__name__] = function
    return function


def torch_module():
    import torch
    return torch


def available():
    try:
        return "PyTorch " + torch_module().__version__
    except ImportError:
        return None


def rand(*shape, dtype="f32"):
    torch = torch_module()
    return (torch.rand(*shape) * 2 - 1).to({"f32": torch.float32, "f64": torch.float64, "bf16": torch.bfloat16}[dtype])


def pulled(forward, inputs, g):
    """forward + backward: the gradients of every input, thrown away after use as a training loop does."""
    torch = torch_module()
    inputs = [x.detach().requires_grad_() for x in inputs]
    return lambda: torch.autograd.grad(forward(*inputs), inputs, g)


@kind
def gemm_nn(dtype, m, n, k):
    a, b = rand(m, k, dtype=dtype), rand(k, n, dtype=dtype)
    return [lambda: a @ b]


@kind
def gemm_nt(dtype, m, n, k):
    a, w = rand(m, k, dtype=dtype), rand(n, k, dtype=dtype)
    return [lambda: torch_module().nn.functional.linear(a, w)]


def conv(dtype, b, h, w, cin, cout, mask):
    torch = torch_module()
    works = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x = rand(b, cin, h, w, dtype=dtype).to(memory_format=layout)
        k = rand(cout, cin, 3, 3, dtype=dtype).to(memory_format=layout)
        g = rand(b, cout, h, w, dtype=dtype).to(memory_format=layout)
        if mask is None:
            works.append(lambda x=x, k=k: torch.conv2d(x, k, padding=1))
        else:
            works.append(lambda x=x, k=k, g=g: torch.ops.aten.convolution_backward(
                g, x, k, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, mask))
    return works


@kind
def conv_forward(dtype, *shape):
    return conv(dtype, *shape, None)


@kind
def conv_data(dtype, *shape):
    return conv(dtype, *shape, [True, False, False])


@kind
def conv_weight(dtype, *shape):
    return conv(dtype, *shape, [False, True, False])


def group_norm_silu(dtype, b, h, w, c, train):
    torch = torch_module()
    f = torch.nn.functional
    groups = 32 if c % 32 == 0 else 16
    works = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x, g = (rand(b, c, h, w, dtype=dtype).to(memory_format=layout) for _ in range(2))
        gamma, beta = rand(c, dtype=dtype), rand(c, dtype=dtype)
        forward = lambda x, gamma, beta: f.silu(f.group_norm(x, groups, gamma, beta, 1e-5))
        works.append(pulled(forward, [x, gamma, beta], g) if train
                     else lambda x=x, gamma=gamma, beta=beta: forward(x, gamma, beta))
    return works


@kind
def group_norm_silu_forward(dtype, *shape):
    return group_norm_silu(dtype, *shape, False)


@kind
def group_norm_silu_train(dtype, *shape):
    return group_norm_silu(dtype, *shape, True)


def layer_norm(dtype, rows, columns, train):
    f = torch_module().nn.functional
    x, g = rand(rows, columns, dtype=dtype), rand(rows, columns, dtype=dtype)
    gamma, beta = rand(columns, dtype=dtype), rand(columns, dtype=dtype)
    forward = lambda x, gamma, beta: f.layer_norm(x, [columns], gamma, beta)
    return [pulled(forward, [x, gamma, beta], g) if train else lambda: forward(x, gamma, beta)]


@kind
def layer_norm_forward(dtype, *shape):
    return layer_norm(dtype, *shape, False)


@kind
def layer_norm_train(dtype, *shape):
    return layer_norm(dtype, *shape, True)


def geglu(dtype, rows, columns, train):
    f = torch_module().nn.functional

    def forward(h):
        hidden, gate = h.chunk(2, -1)
        return hidden * f.gelu(gate)
    h, g = rand(rows, columns, dtype=dtype), rand(rows, columns // 2, dtype=dtype)
    return [pulled(forward, [h], g) if train else lambda: forward(h)]


@kind
def geglu_forward(dtype, *shape):
    return geglu(dtype, *shape, False)


@kind
def geglu_train(dtype, *shape):
    return geglu(dtype, *shape, True)


@kind
def softmax_forward(dtype, *shape):
    x = rand(*shape, dtype=dtype)
    return [lambda: x.softmax(-1)]


@kind
def softmax_train(dtype, *shape):
    x, g = rand(*shape, dtype=dtype), rand(*shape, dtype=dtype)
    return [pulled(lambda x: x.softmax(-1), [x], g)]


@kind
def adamw(dtype, n):
    torch = torch_module()
    p = torch.nn.Parameter(rand(n, dtype=dtype))
    p.grad = rand(n, dtype=dtype)
    optimizer = torch.optim.AdamW([p], lr=1e-4, fused=True)
    return [optimizer.step]


@kind
def adamw8bit(dtype, n):
    return adamw(dtype, n)  # PyTorch has moments of f32 alone: 28 bytes of traffic a parameter beside our 16.06


def attention(dtype, b, heads, n, m, d, train):
    sdpa = torch_module().nn.functional.scaled_dot_product_attention
    works = []
    for layout in ("tokens", "heads"):  # views of [B, N, H, D], as models have them; contiguous [B, H, N, D]
        q, k, v, g = (rand(b, length, heads, d, dtype=dtype).transpose(1, 2) for length in (n, m, m, n))
        if layout == "heads":
            q, k, v, g = (x.contiguous() for x in (q, k, v, g))
        works.append(pulled(sdpa, [q, k, v], g) if train else lambda q=q, k=k, v=v: sdpa(q, k, v))
    return works


@kind
def attention_forward(dtype, *shape):
    return attention(dtype, *shape, False)


@kind
def attention_train(dtype, *shape):
    return attention(dtype, *shape, True)


class Side:
    """One row, prepared; time(seconds) may be called again and again."""

    def __init__(self, row, threads):
        torch = torch_module()
        self.threads = threads
        torch.set_num_threads(threads)
        with torch.no_grad():
            self.works = KINDS[row.kind](row.dtype, *row.shape)
        for work in self.works:
            work()

    def time(self, seconds):
        """(min, median) in ns of one execution, of the layout with the smaller minimum."""
        torch_module().set_num_threads(self.threads)
        best = None
        for work in self.works:
            work()
            samples, end = [], time.perf_counter_ns() + int(seconds * 1e9)
            while not samples or time.perf_counter_ns() < end:
                start = time.perf_counter_ns()
                work()
                samples.append(time.perf_counter_ns() - start)
            result = (min(samples), statistics.median(samples))
            best = result if best is None or result[0] < best[0] else best
        return best


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import table
    sys.exit(table.main(["--rival", "pytorch"] + sys.argv[1:]))
