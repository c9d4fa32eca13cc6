"""The block language read a second time, straight from the dictionary and without any plan.

A built network is followed step by step: at each step stands the module that the spec asks for,
and it must be the next one that the network executes, with all its settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from strategies import Mapping
from torch import Tensor, nn

from mnist_arch.counting.layers import Convolution, Pooling
from mnist_arch.network.build import Conv2d, GhostBatchNorm2d, LayerNorm, MaxPool2d

_DEFAULTS: Mapping = {
    "kernel": 3,
    "stride": 1,
    "padding": "same",
    "padding_mode": "zeros",
    "kind": "ordinary",
    "groups": 1,
    "bias": True,
    "norm": "batch",
    "activation": "relu",
    "order": "conv-activation-norm",
    "dropout": 0,
}
_ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
}


def assert_as_written(spec: Mapping, model: nn.Module, x_NCHW: Tensor) -> None:
    """What `spec` makes of images by the weights of `model` is what the model makes of them.

    They must agree at each step.
    """
    with torch.no_grad():
        leaves, logits_NK = _executed(model, x_NCHW)
        reader = _Reader(leaves)
        defaults = {**_DEFAULTS, **spec.get("defaults", {})}
        for index, block in enumerate(spec["blocks"]):
            x_NCHW = reader.block(x_NCHW, index, block, defaults)
        x_NCHW = reader.head(x_NCHW, spec.get("head", {}), defaults, spec.get("classes", 10))
    assert next(reader.leaves, None) is None
    assert torch.equal(x_NCHW.flatten(1), logits_NK)


def _executed(model: nn.Module, x_NCHW: Tensor) -> tuple[Iterator[nn.Module], Tensor]:
    used: list[nn.Module] = []
    leaves = [module for module in model.modules() if not list(module.children())]
    hooks = [leaf.register_forward_hook(lambda leaf, *_: used.append(leaf)) for leaf in leaves]
    logits_NK = model(x_NCHW)
    for hook in hooks:
        hook.remove()
    return iter(used), logits_NK


def _full(value: Any, short: str, **defaults: Any) -> Mapping:
    """The object that a short form stands for."""
    return {**defaults, **(value if isinstance(value, dict) else {short: value})}


def _is_before_norm(dropout: Mapping) -> bool:
    return dropout.get("at") == "before-norm"


_NORM: Mapping = {
    "kind": "batch",
    "groups": 4,
    "epsilon": 1e-5,
    "momentum": 0.1,
    "affine": "channel",
}


def _max_pool(x: Tensor, size: int, stride: int) -> nn.Module:
    """A max pool that pads until the size is that of before over the stride."""
    pads = []
    for side in x.shape[2:]:
        total = max(0, (-(-side // stride) - 1) * stride + size - side)
        pads += [total // 2, total - total // 2]
    if len({*pads}) == 1:
        return nn.MaxPool2d(size, stride, pads[0])
    return MaxPool2d(Pooling("max", size, stride, (pads[0], pads[1], pads[2], pads[3])))


class _Reader:
    def __init__(self, leaves: Iterator[nn.Module]) -> None:
        self.leaves = leaves
        self.shared: dict[tuple[Any, ...], nn.Module] = {}
        self.met: set[nn.Module] = set()

    def step(self, asked: nn.Module, x: Tensor, *, share: tuple[Any, ...] | None = None) -> Tensor:
        """Applies the next module, which must look as `asked`, and be new unless it is shared.

        Repeats share what looks the same: the same channels, and the same padding.
        """
        leaf = next(self.leaves)
        assert repr(leaf) == repr(asked)
        known = self.shared.get((share, repr(asked))) if share else None
        assert leaf is known if known else leaf not in self.met
        self.met.add(leaf)
        if share:
            self.shared[share, repr(asked)] = leaf
        result: Tensor = leaf(x)
        return result

    def block(
        self, x: Tensor, index: Any, block: Mapping, defaults: Mapping, *, shares: bool = False
    ) -> Tensor:
        """A block, or with `shares` a branch of one whose repeats share their weights."""
        options = {**defaults, **block}
        dropout = _full(options["dropout"], "rate", kind="elementwise", after="block")
        for _ in range(block.get("repeat", 1)):
            kept, stride = x, 1
            for number, conv in enumerate(block.get("channels", [])):
                conv = _full(conv, "out")
                own = {**options, **conv}
                share = (index, number) if shares or block.get("share") else None
                drop = dropout if dropout["after"] == "each" else {"rate": 0}
                if "dropout" in conv:
                    drop = _full(conv["dropout"], "rate", kind="elementwise")
                x = self.convolution(x, own, share, drop)
                stride *= own["stride"]
            if "branches" in block:
                each = dropout if dropout["after"] == "each" else 0
                x = self.joined(x, index, block, {**options, "dropout": each})
            if ratio := block.get("squeeze_excitation"):
                x = x * self.factors(x, max(1, x.shape[1] // ratio))
            if block.get("residual"):
                if x.shape != kept.shape:
                    bias = options["bias"]
                    skip = nn.Conv2d(kept.shape[1], x.shape[1], 1, stride, bias=bias)
                    kept = self.step(skip, kept)
                x = x + kept
        reduce = _full(block["reduce"], "out", at="after") if "reduce" in block else None
        if reduce and reduce["at"] == "before":
            x = self.reduce(x, reduce, options)
        pool = _full(block.get("pool", "none"), "kind")
        x = self.pool(x, pool, options)
        ends = dropout["after"] == "block"
        if ends and _is_before_norm(dropout):
            x = self.dropout(x, dropout)
        x = self.norm(x, pool.get("norm", "none"))
        if reduce and reduce["at"] == "after":
            x = self.reduce(x, reduce, options, share=(index, "reduce") if shares else None)
        return self.dropout(x, dropout) if ends and not _is_before_norm(dropout) else x

    def joined(self, x: Tensor, index: Any, block: Mapping, options: Mapping) -> Tensor:
        ends = []
        for number, branch in enumerate(block["branches"]):
            branch = branch if isinstance(branch, dict) else {"channels": branch}
            here, shares = (index, "branch", number), bool(block.get("share"))
            ends.append(self.block(x, here, branch, options, shares=shares))
        return torch.cat(ends, 1) if block.get("join") != "add" else sum(ends[1:], ends[0])

    def convolution(
        self, x: Tensor, own: Mapping, share: tuple[Any, ...] | None, drop: Mapping
    ) -> Tensor:
        kernel, channels, bias = own["kernel"], x.shape[1], own["bias"]
        window = kernel if isinstance(kernel, list) else [kernel, kernel]
        stride = own["stride"]

        def made(out: int, groups: int, bias: bool) -> nn.Module:
            pads = []
            for size, side in zip(x.shape[2:], window, strict=True):
                match own["padding"]:
                    case "same":
                        total = side - 1
                    case "same-end":
                        total = max(0, (-(-size // stride) - 1) * stride + side - size)
                    case "valid":
                        total = 0
                    case pixels:
                        total = 2 * pixels
                pads += [total // 2, total - total // 2]
            mode = own["padding_mode"] if any(pads) else "zeros"
            if pads[::2] != pads[1::2]:
                sides = (pads[0], pads[1], pads[2], pads[3])
                window_of = (window[0], window[1])
                return Conv2d(
                    channels, Convolution(out, window_of, "", bias, stride, sides, mode, groups)
                )
            return nn.Conv2d(
                channels, out, window, stride, pads[::2], 1, groups, bias, padding_mode=mode
            )

        match own["kind"]:
            case "separable":
                first = made(channels, channels, own.get("depthwise_bias", bias))
                x = self.step(first, x, share=share and (*share, "depthwise"))
                second = nn.Conv2d(channels, own["out"], 1, bias=bias)
                x = self.step(second, x, share=share and (*share, "pointwise"))
            case kind:
                groups = {"ordinary": 1, "depthwise": channels, "grouped": own["groups"]}[kind]
                x = self.step(made(own["out"], groups, bias), x, share=share)
        return self.norm_and_activation(x, own, drop)

    def norm_and_activation(self, x: Tensor, own: Mapping, drop: Mapping) -> Tensor:
        norm_first = own["order"] == "conv-norm-activation"
        for is_norm in (norm_first, not norm_first):
            if is_norm:
                x = self.dropout(x, drop) if _is_before_norm(drop) else x
                x = self.norm(x, own["norm"])
            else:
                x = self.activation(x, _full(own["activation"], "kind", kind="relu"))
        return x if _is_before_norm(drop) else self.dropout(x, drop)

    def activation(self, x: Tensor, said: Mapping) -> Tensor:
        match said:
            case {"kind": "none"}:
                return x
            case {"kind": "leaky_relu"}:
                return self.step(nn.LeakyReLU(said.get("slope", 0.01)), x)
            case {"kind": "prelu", "slopes": "channel"}:
                return self.step(nn.PReLU(x.shape[1]), x)
        return self.step(_ACTIVATIONS[said["kind"]](), x)

    def norm(self, x: Tensor, said: Any) -> Tensor:
        norm, channels = _full(said, "kind", **_NORM), x.shape[1]
        eps, affine = norm["epsilon"], norm["affine"] != "none"
        match norm:
            case {"kind": "none"}:
                return x
            case {"affine": "one" | "value" as what}:
                asked: nn.Module = LayerNorm(tuple(x.shape[1:]), is_one=what == "one", eps=eps)
            case {"kind": "batch", "splits": splits}:
                options = {"eps": eps, "momentum": norm["momentum"], "affine": affine}
                asked = GhostBatchNorm2d(channels, splits, **options)
            case {"kind": "batch"} if x.dim() == 2:
                asked = nn.BatchNorm1d(channels, eps, norm["momentum"], affine)
            case {"kind": "batch"}:
                asked = nn.BatchNorm2d(channels, eps, norm["momentum"], affine)
            case {"kind": "instance"}:
                asked = nn.InstanceNorm2d(channels, eps, affine=affine)
            case {"kind": kind}:
                groups = 1 if kind == "layer" else norm["groups"]
                asked = nn.GroupNorm(groups, channels, eps, affine)
        return self.step(asked, x)

    def factors(self, x: Tensor, hidden: int) -> Tensor:
        channels = x.shape[1]
        for asked in (
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        ):
            x = self.step(asked, x)
        return x

    def reduce(
        self,
        x: Tensor,
        reduce: Mapping,
        options: Mapping,
        *,
        side: int = 1,
        share: tuple[Any, ...] | None = None,
    ) -> Tensor:
        inherited = {name: options[name] for name in ("bias", "order")}
        own = {"norm": "none", "activation": "none", **inherited, **reduce}
        x = self.step(nn.Conv2d(x.shape[1], own["out"], side, bias=own["bias"]), x, share=share)
        return self.norm_and_activation(x, own, {"rate": 0})

    def pool(self, x: Tensor, pool: Mapping, options: Mapping) -> Tensor:
        size = pool.get("size", 2)
        match pool["kind"]:
            case "max":
                padding = pool.get("padding", 0)
                if padding == "same-end":
                    return self.step(_max_pool(x, size, pool.get("stride", size)), x)
                return self.step(nn.MaxPool2d(size, pool.get("stride", size), padding), x)
            case "average":
                padding = pool.get("padding", 0)
                return self.step(nn.AvgPool2d(size, pool.get("stride", size), padding), x)
            case "global-max":
                return self.step(nn.AdaptiveMaxPool2d(1), x)
            case "global-average":
                return self.step(nn.AdaptiveAvgPool2d(1), x)
            case "convolution":
                padding = (size - 1) // 2
                asked = nn.Conv2d(
                    x.shape[1],
                    x.shape[1],
                    size,
                    pool.get("stride", 2),
                    padding,
                    bias=options["bias"],
                    padding_mode=options["padding_mode"] if padding else "zeros",
                )
                return self.step(asked, x)
        return x

    def dropout(self, x: Tensor, dropout: Mapping) -> Tensor:
        if not dropout["rate"]:
            return x
        spatial = dropout["kind"] == "spatial" and x.dim() > 2
        return self.step((nn.Dropout2d if spatial else nn.Dropout)(dropout["rate"]), x)

    def flat(self, x: Tensor) -> Tensor:
        return self.step(nn.Flatten(), x) if x.dim() > 2 else x

    def head(self, x: Tensor, head: Mapping, defaults: Mapping, classes: int) -> Tensor:
        reduce = _full(head["reduce"], "out", at="after") if "reduce" in head else None
        dropout = _full(head.get("dropout", 0), "rate", kind="elementwise", at="after")
        if reduce and reduce["at"] == "before":
            x = self.reduce(x, reduce, defaults)
        if dropout["at"] == "before":
            x = self.dropout(x, dropout)
        match head.get("pool", "global-average"):
            case "average":
                x = self.step(nn.AvgPool2d(head["size"], head["size"]), x)
            case "global-average":
                x = self.step(nn.AdaptiveAvgPool2d(1), x)
            case "global-max":
                x = self.step(nn.AdaptiveMaxPool2d(1), x)
        if dropout["at"] == "after":
            x = self.dropout(x, dropout)
        if reduce and reduce["at"] == "after":
            side = x.shape[2] if head.get("pool") == "flatten" else 1
            x = self.reduce(x, reduce, defaults, side=side)
        hidden = head.get("hidden", [])
        for layer in hidden if isinstance(hidden, list) else [hidden]:
            own = {**defaults, "dropout": 0, **_full(layer, "out")}
            x = self.flat(x)
            x = self.step(nn.Linear(x.shape[1], own["out"], bias=own["bias"]), x)
            x = self.norm_and_activation(x, own, _full(own["dropout"], "rate", kind="elementwise"))
        if dropout["at"] == "before-linear":
            x = self.dropout(x, dropout)
        if head.get("linear") or hidden:
            x = self.flat(x)
            x = self.step(nn.Linear(x.shape[1], classes, bias=head.get("bias", True)), x)
        return x
