"""Code of torch for a network in the word notation of the handed cases."""

from __future__ import annotations

import re

HEAD = """import torch
from torch import nn
import torch.nn.functional as F


class GhostBatchNorm(nn.BatchNorm2d):
    def __init__(self, num_features, num_splits):
        super().__init__(num_features)
        self.num_splits = num_splits
        self.register_buffer('running_mean', torch.zeros(num_features * num_splits))
        self.register_buffer('running_var', torch.ones(num_features * num_splits))

    def forward(self, x):
        N, C, H, W = x.shape
        n = self.num_splits
        if self.training:
            return F.batch_norm(
                x.view(-1, C * n, H, W), self.running_mean, self.running_var,
                self.weight.repeat(n), self.bias.repeat(n), True, self.momentum, self.eps
            ).view(N, C, H, W)
        mean, var = (it.view(n, C).mean(0) for it in (self.running_mean, self.running_var))
        return F.batch_norm(x, mean, var, self.weight, self.bias, False, self.momentum, self.eps)


class LayerNorm(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.gamma = nn.Parameter(torch.ones(1))
        self.beta = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return F.layer_norm(x, self.shape) * self.gamma + self.beta


class Net(nn.Module):
"""


def code_of(tokens: str) -> str:
    """A module whose forward is the line of tokens."""
    setup: list[str] = ["super().__init__()"]
    forward: list[str] = []
    shape = (1, 28, 28)
    kept: dict[str, tuple[int, ...]] = {}
    named: dict[str, tuple[str, ...]] = {}
    for number, token in enumerate(tokens.split("; ")):
        word, *rest = token.split()
        name = f"self.l{number}"
        again = None
        if "as" in rest:
            again = rest[rest.index("as") + 1]
            rest = rest[: rest.index("as")]
        values = {it[0]: it[1:] for it in rest if it[0] in "psg" and it[1:2].isdigit()}
        line = f"x = {name}(x)"
        if word == "again":
            module, *out = named[rest[0]]
            line, shape = f"x = {module}(x)", _after(shape, *out)
            forward.append(line)
            continue
        if found := re.fullmatch(r"(conv|dw)(\d+)(?:x(\d+))?", word):
            high, wide = int(found[2]), int(found[3] or found[2])
            out, stride = int(rest[0]), int(values.get("s", 1))
            groups = shape[0] if found[1] == "dw" else int(values.get("g", 1))
            pads = (
                [int(it) for it in values.get("p", "0").split("x")] if "psame" not in rest else []
            )
            if "psame" in rest:
                sides = []
                for side, kernel in ((shape[2], wide), (shape[1], high)):
                    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
                    sides += [total // 2, total - total // 2]
                forward.append(f"x = F.pad(x, {tuple(sides)})")
                shape = (shape[0], shape[1] + sides[2] + sides[3], shape[2] + sides[0] + sides[1])
            pads = pads * 2 if len(pads) == 1 else pads or [0, 0]
            bias = "bias" in rest
            setup.append(
                f"{name} = nn.Conv2d({shape[0]}, {out}, ({high}, {wide}), stride={stride}, "
                f"padding={tuple(pads[:2])}, groups={groups}, bias={bias})"
            )
            how = (str(out), str(high), str(wide), str(pads[0]), str(pads[1]), str(stride))
            shape = _after(shape, *how)
            if again:
                named[again] = (name, *how)
        elif word == "linear":
            setup.append(f"{name} = nn.Linear({shape[0]}, {rest[0]}, bias={'bias' in rest})")
            shape = (int(rest[0]),)
        elif word in ("relu", "lrelu"):
            line = "x = F.relu(x)" if word == "relu" else f"x = F.leaky_relu(x, {rest[0]})"
        elif word == "prelu":
            setup.append(f"{name} = nn.PReLU({1 if rest[0] == 'one' else shape[0]})")
        elif word == "bn":
            setup.append(f"{name} = nn.BatchNorm{_kind(shape)}({shape[0]})")
        elif word == "gbn":
            setup.append(f"{name} = GhostBatchNorm({shape[0]}, {rest[0]})")
        elif word == "gn":
            setup.append(f"{name} = nn.GroupNorm({rest[0]}, {shape[0]}, affine={len(rest) == 1})")
        elif word == "ln":
            setup.append(f"{name} = LayerNorm({shape})")
        elif word in ("drop", "drop2d"):
            setup.append(f"{name} = nn.Dropout{'2d' if word == 'drop2d' else ''}({rest[0]})")
        elif found := re.fullmatch(r"(max|avg)pool(\d+)", word):
            size, stride = int(found[2]), int(values.get("s", found[2]))
            kind = "max" if found[1] == "max" else "avg"
            padded = "psame" in rest
            if padded:
                forward.append("x = F.pad(x, (0, 1, 0, 1), value=-1e9)")
                shape = (shape[0], shape[1] + 1, shape[2] + 1)
            line = f"x = F.{kind}_pool2d(x, {size}, {stride})"
            shape = (shape[0], *((side - size) // stride + 1 for side in shape[1:]))
        elif word == "gap":
            setup.append(f"{name} = nn.AdaptiveAvgPool2d(1)")
            shape = (shape[0], 1, 1)
        elif word == "flatten":
            values_in = shape[0] * shape[1] * shape[2]
            line, shape = f"x = x.view(-1, {values_in})", (values_in,)
        elif word == "keep":
            line, kept[rest[0]] = f"kept_{rest[0]} = x", shape
        elif word == "from":
            line, shape = f"x = kept_{rest[0]}", kept[rest[0]]
        elif word == "add":
            line = f"x = x + kept_{rest[0]}"
        elif word == "cat":
            line = f"x = torch.cat([{', '.join(f'kept_{it}' for it in rest)}], 1)"
            shape = (sum(kept[it][0] for it in rest), *kept[rest[0]][1:])
        else:
            raise AssertionError(token)
        forward.append(line)
    forward.append("return F.log_softmax(x.view(-1, 10), dim=1)")
    lines = ["    def __init__(self):", *(f"        {it}" for it in setup)]
    lines += ["", "    def forward(self, x):", *(f"        {it}" for it in forward)]
    return HEAD + "\n".join(lines) + "\n\n\nmodel = Net().to('cpu')\n"


def _kind(shape: tuple[int, ...]) -> str:
    return "2d" if len(shape) == 3 else "1d"


def _after(shape: tuple[int, ...], *how: str) -> tuple[int, ...]:
    out, high, wide, top, left, stride = map(int, how)
    sides = ((shape[1], high, top), (shape[2], wide, left))
    return (out, *((side + 2 * pad - size) // stride + 1 for side, size, pad in sides))
