#!/usr/bin/env python3
"""NaN and Inf through every op, as PyTorch has it: writes nan_inf.txt beside this file.

One line a case:   op | input | input ... -> result [-> gradient of the sum of the result by the first input]
A tensor is its shape and its values:  2x3: 1 nan inf -inf 0 -0
"""
import math
import pathlib
import torch
import torch.nn.functional as F

nan, inf = math.nan, math.inf
SPECIAL = [nan, inf, -inf, 0.0, -0.0, 1.0, -1.0, 100.0, -100.0, 3e38, -3e38, 1e-40]
PAIRS = [nan, inf, -inf, 0.0, -0.0, 1.0, -2.0, 3.0]


def number(v):
    v = float(v)
    return "nan" if v != v else "inf" if v == inf else "-inf" if v == -inf else repr(v) if math.copysign(1, v) > 0 or v else "-0.0"


def text(t):
    t = t.detach()
    return "x".join(map(str, t.shape)) + ": " + " ".join(number(v) for v in t.float().flatten().tolist())


lines = []


def case(name, f, *inputs, grad=True):
    xs = [torch.tensor(x, dtype=torch.float32) if not torch.is_tensor(x) else x.clone() for x in inputs]
    if grad:
        xs[0].requires_grad_(True)
    y = f(*xs)
    line = name + " | " + " | ".join(text(x) for x in xs) + " -> " + text(y)
    if grad:
        y.sum().backward()
        line += " -> " + text(xs[0].grad)
    lines.append(line)


# --- one operand
for name, f in {
    "neg": torch.neg, "abs": torch.abs, "square": torch.square, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt, "sin": torch.sin, "cos": torch.cos, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu,
    "silu": F.silu, "gelu_erf": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x), "softplus": F.softplus,
}.items():
    case(name, f, SPECIAL)
case("sign", torch.sign, SPECIAL, grad=False)
case("clamp", lambda x: torch.clamp(x, -2, 2), SPECIAL)

# --- two operands: every pair
a = [x for x in PAIRS for _ in PAIRS]
b = PAIRS * len(PAIRS)
for name, f in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "pow": torch.pow,
                "maximum": torch.maximum, "minimum": torch.minimum}.items():
    case(name, f, a, b, grad=False)
for name, f in {"less": torch.lt, "less_equal": torch.le, "greater": torch.gt, "greater_equal": torch.ge, "equal": torch.eq, "not_equal": torch.ne}.items():
    case(name, f, a, b, grad=False)
case("where", lambda a, b: torch.where(a > 0, a, b), a, b, grad=False)

# --- rows: a plain one, one with NaN, Inf, -Inf, both infinities, all NaN, all -Inf
ROWS = [[1, 2, 3, 4], [1, nan, 3, 4], [1, inf, 3, 4], [1, -inf, 3, 4], [inf, -inf, 3, 4], [nan] * 4, [-inf] * 4, [inf, inf, 1, 2], [1e4, -1e4, 0, 1e4]]
rows = torch.tensor(ROWS, dtype=torch.float32)
case("sum", lambda x: x.sum(-1), rows)
case("mean", lambda x: x.mean(-1), rows)
case("max", lambda x: x.amax(-1), rows, grad=False)
case("min", lambda x: x.amin(-1), rows, grad=False)
case("argmax", lambda x: x.argmax(-1), rows, grad=False)
case("var", lambda x: x.var(-1), rows, grad=False)
case("norm", lambda x: torch.linalg.vector_norm(x, dim=-1), rows, grad=False)
case("softmax", lambda x: x.softmax(-1), rows, grad=False)
case("log_softmax", lambda x: x.log_softmax(-1), rows, grad=False)
case("layer_norm", lambda x: F.layer_norm(x, (4,)), rows, grad=False)
# Channels last here, channels first there: 2 groups of 2 channels over 1 position.
case("group_norm", lambda x: F.group_norm(x, 2), rows, grad=False)
case("group_norm_silu", lambda x: F.silu(F.group_norm(x, 2)), rows, grad=False)
case("geglu", lambda x: x[:, :2] * F.gelu(x[:, 2:]), rows)
case("mse_per_sample", lambda x: ((x - 1) ** 2).mean(-1), rows)
case("cross_entropy", lambda x: F.cross_entropy(x, torch.tensor([0])), rows[1:2], grad=False)
case("cross_entropy", lambda x: F.cross_entropy(x, torch.tensor([0])), rows[2:3], grad=False)
case("cross_entropy", lambda x: F.cross_entropy(x, torch.tensor([1])), rows[3:4], grad=False)
case("cross_entropy", lambda x: F.cross_entropy(x, torch.tensor([0])), rows[3:4], grad=False)

# --- products: 0 times NaN and 0 times Inf are NaN
w = torch.tensor([[1, 0, 2], [0, 1, 1], [0, 0, 1], [1, 0, 0]], dtype=torch.float32)
case("matmul", torch.matmul, rows, w)
case("linear", lambda x, w: F.linear(x, w.t().contiguous(), torch.tensor([0.0, nan, 1.0])), rows, w, grad=False)
image = torch.arange(25, dtype=torch.float32).reshape(1, 5, 5, 1)
image[0, 1, 1, 0], image[0, 4, 4, 0] = nan, inf
kernel = torch.tensor([[0, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=torch.float32).reshape(1, 3, 3, 1)
case("conv2d", lambda x, k: F.conv2d(x.permute(0, 3, 1, 2), k.permute(0, 3, 1, 2), padding=1).permute(0, 2, 3, 1), image, kernel)
case("resize_nearest", lambda x: F.interpolate(x.permute(0, 3, 1, 2), size=(8, 7), mode="nearest").permute(0, 2, 3, 1), image, grad=False)
case("resize_bilinear", lambda x: F.interpolate(x.permute(0, 3, 1, 2), size=(7, 4), mode="bilinear", align_corners=False).permute(0, 2, 3, 1), image, grad=False)
case("avg_pool", lambda x: F.avg_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1), image, grad=False)

# --- attention, 2 queries, 3 keys, 1 head of 2: NaN and Inf in q, in k, in v
q = torch.tensor([[1.0, 2.0], [0.5, -1.0]])
k = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
v = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


def attend(q, k, v):
    s = q @ k.t() / math.sqrt(2)
    return torch.softmax(s, -1) @ v


for which in range(3):
    for bad in (nan, inf, -inf):
        ops = [q.clone(), k.clone(), v.clone()]
        ops[which][0, 0] = bad
        case("attention", attend, *ops, grad=False)

# --- casts of floats to 16 bits
case("cast_bf16", lambda x: x.bfloat16(), SPECIAL, grad=False)
case("cast_f16", lambda x: x.half(), SPECIAL, grad=False)
case("cast_bool", lambda x: x.bool(), SPECIAL, grad=False)
case("mul_bf16", lambda a, b: a.bfloat16() * b.bfloat16(), a, b, grad=False)

out = pathlib.Path(__file__).with_name("nan_inf.txt")
out.write_text("# Made by make_nan_inf.py with PyTorch %s. op | inputs -> result -> gradient\n" % torch.__version__.split("+")[0] + "\n".join(lines) + "\n")
print(out, len(lines), "cases")
