"""Random specs in the block language, as plain dictionaries.

The rules of what fits together are written down here a second time, so that every network drawn
must be accepted. Options are drawn freely at each level; where they do not fit, the convolution
that would break says otherwise for itself, as a person would.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import yaml
from hypothesis import strategies as st

Mapping = dict[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

ACTIVATIONS = ["relu", "leaky_relu", "prelu", "gelu", "silu", "hardswish", "none"]
ORDERS = ["conv-activation-norm", "conv-norm-activation"]
MOST_CHANNELS = 48

_NORMS = [
    "batch",
    {"kind": "batch"},
    {},
    {"kind": "group"},
    {"kind": "group", "groups": 2},
    {"kind": "group", "groups": 1},
    "group",
    "instance",
    {"kind": "instance"},
    "none",
]
_LATER_NORMS = [
    {"affine": "none"},
    {"splits": 2},
    {"kind": "batch", "epsilon": 1e-3, "momentum": 0.01},
    {"kind": "group", "groups": 2, "affine": "none"},
    {"kind": "instance", "affine": "none", "epsilon": 0.01},
    "layer",
    {"kind": "layer", "affine": "one"},
    {"kind": "layer", "affine": "value"},
]
_LATER_ACTIVATIONS = [
    {"kind": "leaky_relu", "slope": 0.2},
    {"kind": "leaky_relu"},
    {"kind": "prelu", "slopes": "channel"},
]
_OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "kernel": st.sampled_from([1, 2, 3, 3, 5]),
    "stride": st.sampled_from([1, 1, 2, 3]),
    "padding": st.sampled_from(["same", "valid"]),
    "padding_mode": st.sampled_from(["zeros", "replicate"]),
    "kind": st.sampled_from(["ordinary", "separable", "depthwise", "grouped"]),
    "groups": st.sampled_from([1, 2, 4]),
    "bias": st.booleans(),
    "norm": st.sampled_from(_NORMS),
    "activation": st.sampled_from(ACTIVATIONS),
    "order": st.sampled_from(ORDERS),
}
_ALL_OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    **_OPTIONS,
    "kernel": st.sampled_from([1, 2, 3, 3, 4, 5, [3, 1], [1, 5], [2, 3], [3, 3]]),
    "padding": st.sampled_from(["same", "valid", "same-end", 0, 1, 2]),
    "norm": st.sampled_from([*_NORMS, *_LATER_NORMS]),
    "activation": st.sampled_from([*ACTIVATIONS, *_LATER_ACTIVATIONS]),
}
_RATES = st.sampled_from([0, 0.1, 0.25, 0.5])
_KINDS = st.sampled_from(["elementwise", "spatial"])
_CONV_DROPOUTS = _RATES | st.fixed_dictionaries({"rate": _RATES}, optional={"kind": _KINDS})
_BLOCK_DROPOUTS = _RATES | st.fixed_dictionaries(
    {"rate": _RATES}, optional={"kind": _KINDS, "after": st.sampled_from(["block", "each"])}
)
_HEAD_DROPOUTS = _RATES | st.fixed_dictionaries(
    {"rate": _RATES}, optional={"kind": _KINDS, "at": st.sampled_from(["before", "after"])}
)
_WHERE = st.sampled_from(["before", "after"])

_STANDARD: Mapping = {
    "kernel": 3,
    "stride": 1,
    "padding": "same",
    "kind": "ordinary",
    "groups": None,
    "norm": "batch",
}


def text_of(spec: Mapping, *, flow: bool | None = None) -> str:
    """The spec as YAML, without anchors."""
    return yaml.dump(spec, Dumper=_NoAliases, default_flow_style=flow, sort_keys=False)


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


@st.composite
def networks(draw: Draw, *, common: bool = False) -> Mapping:
    """A valid spec file with a network and a name, every option of the block language in it.

    With `common` only those that native steps and exports have, too.
    """
    every = _OPTIONS if common else _ALL_OPTIONS
    spec: Mapping = {"name": "drawn"}
    classes = draw(st.sampled_from([10, 10, 4, 7]))
    if classes != 10 or draw(st.booleans()):
        spec["classes"] = classes
    defaults = _some(draw, every)
    options = {**_STANDARD, **defaults}
    if draw(st.booleans()):
        defaults["dropout"] = draw(_BLOCK_DROPOUTS)
    drawn = _Drawn(draw, options, every)
    blocks = [drawn.block() for _ in range(draw(st.integers(1, 3)))]
    head = drawn.head(classes, blocks)
    if not drawn.grouped:
        defaults.pop("groups", None)
    if drawn.all and draw(st.integers(0, 3)) == 0:
        defaults["depthwise_bias"] = draw(st.booleans())
    if defaults or draw(st.booleans()):
        spec["defaults"] = defaults
    spec["blocks"] = blocks
    if head or draw(st.booleans()):
        spec["head"] = head
    return spec


def _some(draw: Draw, options: dict[str, st.SearchStrategy[Any]]) -> Mapping:
    chosen: Mapping = draw(st.fixed_dictionaries({}, optional=options))
    return dict(chosen)


class _Drawn:
    """Draws from the input on, and knows the channels and the side of the map it has reached."""

    def __init__(
        self, draw: Draw, defaults: Mapping, every: dict[str, st.SearchStrategy[Any]]
    ) -> None:
        self.draw = draw
        self.every = every
        self.all = every is not _OPTIONS
        self.defaults = defaults
        self.channels = 1
        self.side = 28
        self.grouped = False

    def block(self) -> Mapping:
        draw = self.draw
        block = _some(draw, self.every) if draw(st.booleans()) else {}
        options = {**self.defaults, **block}
        start = self.channels, self.side
        convs = [self._conv(options) for _ in range(draw(st.sampled_from([1, 1, 2, 3, 0])))]
        if convs:
            block["channels"] = [conv for conv, _ in convs]
            self._repeat(block, [resolved for _, resolved in convs], start)
        if self.all and draw(st.integers(0, 3)) == 0:
            self._branches(block, options)
        grouped = any(resolved["kind"] == "grouped" for _, resolved in convs)
        if not grouped:
            block.pop("groups", None)
        separable = any(resolved["kind"] == "separable" for _, resolved in convs)
        if self.all and separable and draw(st.booleans()):
            block["depthwise_bias"] = draw(st.booleans())
        reduce_first = draw(st.booleans())
        reduces = draw(st.booleans()) or not (convs or "branches" in block)
        if reduces and reduce_first:
            block["reduce"] = self._reduce(at="before")
        if draw(st.booleans()):
            block["pool"] = self._pool()
        if reduces and not reduce_first:
            block["reduce"] = self._reduce(at="after")
        if draw(st.booleans()):
            block["dropout"] = draw(_BLOCK_DROPOUTS if convs else _CONV_DROPOUTS)
        pool = block.get("pool")
        if isinstance(pool, dict) and "norm" in pool and draw(st.booleans()):
            block["dropout"] = {"rate": draw(_RATES), "at": "before-norm"}
        return block

    def head(self, classes: int, blocks: list[Mapping]) -> Mapping:
        """A head, and where it needs it a last block, that end in one number a class."""
        draw = self.draw
        head: Mapping = {}
        linear = draw(st.booleans())
        ending = draw(st.sampled_from(["before", "after", "block", "conv"]))
        if linear:
            head["linear"] = True
            if draw(st.booleans()):
                head["bias"] = draw(st.booleans())
            if ending in ("before", "after"):
                classes = draw(st.integers(1, 4)) * 4
        elif ending == "block":
            blocks.append({"reduce": self._reduce(at="after", out=classes)})
        elif ending == "conv":
            conv, _ = self._conv(self.defaults, out=classes)
            blocks.append({"channels": [conv]})
        hidden = linear and draw(st.integers(0, 2)) == 0
        if draw(st.booleans()) and not linear:
            head["linear"] = False
        if ending == "before":
            head["reduce"] = self._reduce(at="before", out=classes)
        self._head_pool(head, whole=not linear)
        if ending == "after":
            if head.get("pool") == "flatten":
                self.side = 1
            head["reduce"] = self._reduce(at="after", out=classes)
        if hidden:
            layers = [self._hidden() for _ in range(draw(st.integers(1, 2)))]
            head["hidden"] = layers[0] if len(layers) == 1 and draw(st.booleans()) else layers
            if draw(st.booleans()):
                del head["linear"]
        if draw(st.booleans()):
            head["dropout"] = draw(_HEAD_DROPOUTS)
        if self.all and linear and draw(st.integers(0, 3)) == 0:
            head["dropout"] = {"rate": draw(_RATES), "at": "before-linear"}
        return head

    def _head_pool(self, head: Mapping, *, whole: bool) -> None:
        """A pool of the head: of the whole map, unless a linear layer follows."""
        pools = ["average", "global-average", "global-max"]
        pool = self.draw(
            st.sampled_from([*pools, "flatten"] if self.side == 1 or not whole else pools)
        )
        if pool != "global-average" or self.draw(st.booleans()):
            head["pool"] = pool
        if pool == "average":
            least = self.side // 2 + 1 if whole else 1
            head["size"] = self.draw(st.integers(least, self.side))
            self.side //= head["size"]
        elif pool != "flatten":
            self.side = 1

    def _conv(self, options: Mapping, *, out: int | None = None) -> tuple[Any, Mapping]:
        """A convolution after what is there, and its options with all that it inherits."""
        draw = self.draw
        own = _some(draw, self.every) if draw(st.integers(0, 2)) == 0 else {}
        resolved = {**options, **own}

        def change(**changes: Any) -> None:
            own.update(changes)
            resolved.update(changes)

        if resolved["kind"] == "grouped":
            groups = resolved["groups"]
            if groups is None or self.channels % groups or (out is not None and out % groups):
                change(groups=1)
        else:
            own.pop("groups", None)
        if resolved["kind"] == "depthwise" and out is not None and out % self.channels:
            change(kind="ordinary")
        kernel, padding = resolved["kernel"], resolved["padding"]
        if padding not in ("same", "same-end"):  # which keep a square map square
            if isinstance(kernel, list) and kernel[0] != kernel[1]:
                change(kernel=3)
            if _side_of(resolved) > self.side + 2 * _pixels(padding):
                change(padding="same")
        kernel = resolved["kernel"]
        sides = kernel if isinstance(kernel, list) else [kernel]
        if resolved["padding"] == "same" and any(side % 2 == 0 for side in sides):
            change(kernel=3)
        side = _side_after(self.side, resolved)
        multiple = _multiple(self.channels, resolved)
        if out is None and multiple > MOST_CHANNELS:
            change(kind="ordinary", norm="batch")
            own.pop("groups", None)
            multiple = 1
        if out is None:
            out = multiple * draw(st.integers(1, max(1, 8 // multiple)))
        if not _norm_fits(resolved["norm"], out, side):
            change(norm="none")
        self.channels, self.side = out, side
        self.grouped = self.grouped or resolved["kind"] == "grouped"
        conv: Any = {"out": out, **own} if own or draw(st.booleans()) else out
        if draw(st.integers(0, 4)) == 0:
            conv = {
                **(conv if isinstance(conv, dict) else {"out": out}),
                "dropout": draw(_CONV_DROPOUTS),
            }
            if self.all and resolved["norm"] != "none" and draw(st.booleans()):
                conv["dropout"] = {"rate": draw(_RATES), "at": "before-norm"}
        if self.all and resolved["kind"] == "separable" and draw(st.booleans()):
            conv = conv if isinstance(conv, dict) else {"out": out}
            conv["depthwise_bias"] = draw(st.booleans())
        return conv, resolved | {"out": out}

    def _branches(self, block: Mapping, options: Mapping) -> None:
        """Branches that keep the size of the map, joined; alone they may be repeated, too."""
        draw = self.draw
        if options["kind"] in ("grouped", "depthwise") or block.get("repeat", 1) > 1:
            return
        if block.get("residual") or block.get("share") or block.get("squeeze_excitation"):
            return
        before, adds = self.channels, draw(st.booleans())
        has_input = draw(st.booleans())
        out = before if has_input else 4 * draw(st.integers(1, 2))
        branches = [self._branch(out) for _ in range(draw(st.integers(1, 2)) + (not has_input))]
        if has_input:
            branches.insert(draw(st.integers(0, len(branches))), [])
        block["branches"], self.channels = branches, out if adds else out * len(branches)
        if adds or draw(st.booleans()):
            block["join"] = "add" if adds else "concat"
        if "channels" not in block:
            if adds and draw(st.booleans()):
                block |= {"repeat": 2, "share": draw(st.booleans())}
            if draw(st.booleans()):
                block["residual"] = True
            if draw(st.booleans()):
                block["squeeze_excitation"] = draw(st.integers(1, 8))

    def _branch(self, out: int) -> Any:
        """Convolutions to so many channels, or a pool and a reduce, on a map whose size stays."""
        draw = self.draw
        same: Mapping = {"kernel": 3, "stride": 1, "padding": "same", "kind": "ordinary"}
        same["norm"] = draw(st.sampled_from(["batch", "none", {"affine": "none"}]))
        last = {"out": out, **same, "kernel": draw(st.sampled_from([1, 3, 5]))}
        branch: Mapping = {"channels": [{"out": draw(st.integers(1, 6)), **same}, last]}
        match draw(st.integers(0, 3)):
            case 0:
                pool = {"kind": "max", "size": 3, "stride": 1, "padding": 1}
                branch = {"pool": pool, "reduce": {"out": out, "norm": "batch"}}
            case 1:
                pool = {"kind": "max", "stride": 1, "padding": "same-end"}
                branch = {"channels": [last], "norm": "none", "pool": pool}
            case 2:
                return branch["channels"][1:]
        if draw(st.booleans()):
            branch["dropout"] = draw(_CONV_DROPOUTS)
        return branch

    def _repeat(self, block: Mapping, convs: list[Mapping], start: tuple[int, int]) -> None:
        """Repeats, residuals and squeeze-and-excitation, as far as the convolutions allow them."""
        draw = self.draw
        if draw(st.booleans()):
            block["squeeze_excitation"] = draw(st.integers(1, 8))
        units = [start, (self.channels, self.side)]
        for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
            after = _unit_after(units[-1], convs)
            if after is None:
                break
            units.append(after)
        if len(units) > 2 or draw(st.booleans()):
            block["repeat"] = len(units) - 1
        if draw(st.booleans()):
            block["share"] = draw(st.sampled_from([True, True, False]))
        stride = math.prod(conv["stride"] for conv in convs)
        adds = all(a == b or (a[1] - 1) // stride + 1 == b[1] for a, b in pairwise(units))
        if adds and draw(st.booleans()):
            block["residual"] = True
        self.channels, self.side = units[-1]

    def _reduce(self, *, at: str, out: int | None = None) -> Any:
        draw = self.draw
        options: Mapping = {}
        if draw(st.booleans()):
            names = ("bias", "norm", "activation", "order")
            options = _some(draw, {name: self.every[name] for name in names})
        if out is None:
            groups = _norm_groups(options.get("norm", "none"))
            out = groups * draw(st.integers(1, max(1, 8 // groups)))
        if not _norm_fits(options.get("norm", "none"), out, self.side):
            options["norm"] = "none"
        self.channels = out
        if at == "before" or draw(st.booleans()):
            options["at"] = at
        return {"out": out, **options} if options or draw(st.booleans()) else out

    def _hidden(self) -> Any:
        """A hidden fully connected layer."""
        draw = self.draw
        names = ("bias", "norm", "activation", "order")
        own = _some(draw, {name: self.every[name] for name in names}) if draw(st.booleans()) else {}
        norm = own.get("norm", self.defaults["norm"])
        out = _norm_groups(norm) * draw(st.integers(1, 4))
        if not _norm_fits(norm, out, 1):
            own["norm"] = "none"
        if draw(st.integers(0, 2)) == 0:
            own["dropout"] = draw(_CONV_DROPOUTS)
        return {"out": out, **own} if own or draw(st.booleans()) else out

    def _pool(self) -> Any:
        draw = self.draw
        kinds = ["max", "average", "convolution", "none"]
        kind = draw(st.sampled_from([*kinds, *["global-average", "global-max"] * self.all]))
        if kind.startswith("global"):
            self.side = 1
            return draw(st.sampled_from([kind, {"kind": kind}]))
        if kind == "none":
            return draw(st.sampled_from(["none", {"kind": "none"}]))
        if self.side >= 2 and draw(st.booleans()):
            self.side = (self.side - 2) // 2 + 1
            return kind
        if self.all and kind == "max" and draw(st.integers(0, 3)) == 0:
            size, step = draw(st.sampled_from([(2, 1), (2, 2), (3, 2), (4, 3)]))
            self.side = -(-self.side // step)
            return {"kind": "max", "size": size, "stride": step, "padding": "same-end"}
        pool: Mapping = {"kind": kind, "size": draw(st.integers(1, min(4, self.side)))}
        if draw(st.booleans()):
            pool["stride"] = draw(st.integers(1, 4))
        padding = (pool["size"] - 1) // 2 if kind == "convolution" else 0
        if self.all and kind != "convolution" and draw(st.booleans()):
            padding = pool["padding"] = draw(st.integers(0, pool["size"] // 2))
        step = pool.get("stride", 2 if kind == "convolution" else pool["size"])
        self.side = (self.side + 2 * padding - pool["size"]) // step + 1
        if self.all and draw(st.booleans()):
            norm = draw(self.every["norm"])
            if self.channels % _norm_groups(norm) == 0 and norm != "none":
                if _norm_fits(norm, self.channels, self.side):
                    pool["norm"] = norm
        return pool


def _side_after(side: int, conv: Mapping) -> int:
    reach, padding = 1, 0
    if conv["padding"] not in ("same", "same-end"):
        reach, padding = _side_of(conv), _pixels(conv["padding"])
    return int((side + 2 * padding - reach) // conv["stride"] + 1)


def _side_of(conv: Mapping) -> int:
    kernel = conv["kernel"]
    return int(kernel[0] if isinstance(kernel, list) else kernel)


def _pixels(padding: Any) -> int:
    return padding if isinstance(padding, int) else 0


def _norm_groups(norm: Any) -> int:
    """What the channels under a norm must be a multiple of."""
    match norm:
        case "group" | {"kind": "group"}:
            return int(norm.get("groups", 4)) if isinstance(norm, dict) else 4
    return 1


def _norm_fits(norm: Any, channels: int, side: int) -> bool:
    """Whether there are two values or more in what is normalised."""
    kind = norm.get("kind", "batch") if isinstance(norm, dict) else norm
    groups = channels if kind == "instance" else _norm_groups(norm)
    return kind in ("batch", "none") or (channels % groups == 0 and channels * side**2 > groups)


def _multiple(channels: int, conv: Mapping) -> int:
    """What the output channels must be a multiple of."""
    kinds = {"depthwise": channels, "grouped": conv["groups"]}
    return math.lcm(kinds.get(conv["kind"], 1), _norm_groups(conv["norm"]))


def _unit_after(shape: tuple[int, int], convs: list[Mapping]) -> tuple[int, int] | None:
    """Channels and side after the convolutions, or None where they do not fit."""
    channels, side = shape
    for conv in convs:
        if _side_after(side, conv) < 1:
            return None
        if conv["out"] % _multiple(channels, conv):
            return None
        if conv["kind"] == "grouped" and channels % conv["groups"]:
            return None
        channels, side = conv["out"], _side_after(side, conv)
        if not _norm_fits(conv["norm"], channels, side):
            return None
    return channels, side


# ----------------------------------------------------------------------- maps that are no squares

_HIGH_OR_WIDE = st.fixed_dictionaries(
    {
        "out": st.integers(1, 6),
        "kernel": st.lists(st.integers(1, 7), min_size=2, max_size=2),
        "padding": st.sampled_from(["valid", "valid", "same-end", 1, 3]),
    },
    optional={
        "stride": st.sampled_from([1, 2, 3]),
        "padding_mode": _ALL_OPTIONS["padding_mode"],
        "norm": st.sampled_from(["batch", "layer", {"kind": "layer", "affine": "value"}]),
        "activation": _ALL_OPTIONS["activation"],
        "order": _ALL_OPTIONS["order"],
        "dropout": _CONV_DROPOUTS,
    },
)
_POOLS_OF_ANY = st.sampled_from(
    [
        *("none", "none", "max", "average"),
        {"kind": "max", "size": 3, "stride": 2, "padding": "same-end"},
        {"kind": "average", "size": 2, "padding": 1, "norm": {"splits": 2}},
    ]
)


@st.composite
def rectangles(draw: Draw) -> Mapping:
    """A spec file with a network whose maps are higher or wider than square; some do not fit."""
    blocks = [
        {
            "channels": draw(st.lists(_HIGH_OR_WIDE, min_size=1, max_size=2)),
            "pool": draw(_POOLS_OF_ANY),
            **draw(st.sampled_from([{}, {}, {"squeeze_excitation": 2}])),
        }
        for _ in range(draw(st.integers(1, 3)))
    ]
    pool = draw(st.sampled_from(["flatten", "global-average", "global-max"]))
    return {"name": "drawn", "blocks": blocks, "head": {"pool": pool, "linear": True}}


# ------------------------------------------------------------------------------- the rest of a file

_SGD = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.just("sgd"),
        "momentum": st.floats(0.001, 0.999),
        "nesterov": st.booleans(),
        "weight_decay": st.floats(0, 1),
    },
)
_ADAMW = st.fixed_dictionaries(
    {"kind": st.just("adamw")},
    optional={
        "beta1": st.floats(0, 0.999),
        "beta2": st.floats(0, 0.9999),
        "weight_decay": st.floats(0, 1),
    },
)
_OTHER_OPTIMIZERS = st.fixed_dictionaries(
    {"kind": st.sampled_from(["adam", "rmsprop", "adadelta", "adagrad"])},
    optional={
        "weight_decay": st.floats(0, 1),
        "decays": st.sampled_from(["weights", "all"]),
        "epsilon": st.floats(1e-10, 1e-3),
    },
)
_RATE_OVER_TIME: dict[str, st.SearchStrategy[Any]] = {
    "peak": st.floats(1e-6, 10),
    "warmup": st.sampled_from([0, 0.25]),
}
_SCHEDULES = (
    st.fixed_dictionaries(
        {},
        optional={
            "kind": st.just("one-cycle"),
            "div_factor": st.floats(1, 100),
            "first_step": st.sampled_from(["risen", "start"]),
            **_RATE_OVER_TIME,
        },
    )
    | st.fixed_dictionaries(
        {"kind": st.just("multi-step"), "milestones": st.just([2, 5])},
        optional={"factor": st.floats(0, 1), **_RATE_OVER_TIME},
    )
    | st.fixed_dictionaries(
        {"kind": st.sampled_from(["exponential", "inverse-time", "plateau"])},
        optional=_RATE_OVER_TIME,
    )
    | st.fixed_dictionaries(
        {"kind": st.sampled_from(["cosine", "constant"])}, optional=_RATE_OVER_TIME
    )
    | st.fixed_dictionaries(
        {"kind": st.just("step")},
        optional={
            "every_epochs": st.integers(1, 64),
            "factor": st.floats(0, 1),
            **_RATE_OVER_TIME,
        },
    )
)
_SHARES = st.floats(0, 1)


def _ranges(most: float) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(0.01, most), min_size=2, max_size=2).map(sorted)


_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "rotate_degrees": st.integers(0, 180) | st.floats(0, 180),
        "shift_pixels": st.floats(0, 28),
        "whole_pixels": st.booleans(),
        "resample": st.sampled_from(["bilinear", "nearest"]),
        "fill": st.floats(0, 1),
        "crop": st.none()
        | st.fixed_dictionaries({"pixels": st.integers(1, 28)}, optional={"probability": _SHARES})
        | st.fixed_dictionaries({"area": _ranges(1)}, optional={"ratio": _ranges(4)}),
        "perspective": st.none() | st.fixed_dictionaries({"distortion": _SHARES}),
        "brightness": _SHARES | _ranges(3),
        "contrast": _SHARES | _ranges(3),
        "scale": st.floats(0, 0.99) | _ranges(3),
        "shear_degrees": st.floats(0, 60),
        "elastic": st.none()
        | st.fixed_dictionaries(
            {"pixels": st.floats(0, 10)}, optional={"sigma_pixels": st.floats(0.5, 14)}
        ),
        "erase": st.none()
        | st.fixed_dictionaries(
            {"probability": st.floats(0, 1)},
            optional={"pixels": st.integers(1, 28), "fill": _SHARES},
        )
        | st.fixed_dictionaries({"probability": _SHARES, "area": _ranges(1)}),
    },
)
_AUGMENTS = _CHANGES | st.lists(_CHANGES, max_size=3)
_TEACHERS = st.fixed_dictionaries(
    {"network": st.sampled_from(["s6", "zoo/best", "runs/a-0-s0"]), "sha256": st.just("0" * 64)},
    optional={"weight": st.floats(0.01, 1), "temperature": st.floats(0.1, 1000)},
)
_NORMALIZES = st.sampled_from(["dataset", "none"]) | st.fixed_dictionaries(
    {}, optional={"mean": st.floats(-1, 1), "std": st.floats(0.01, 2)}
)
_DATASETS = st.sampled_from(["mnist", "mnist-5k", "fashion-mnist", "kmnist", "emnist-letters"])
rest_of_file: st.SearchStrategy[Mapping] = st.fixed_dictionaries(
    {},
    optional={
        "recipe": st.fixed_dictionaries(
            {},
            optional={
                "epochs": st.integers(1, 10_000),
                "batch_size": st.integers(2, 65_536),
                "last_batch": st.sampled_from(["use", "drop"]),
                "optimizer": _SGD | _ADAMW | _OTHER_OPTIMIZERS,
                "l1": st.none() | st.floats(0, 1),
                "schedule": _SCHEDULES,
                "label_smoothing": st.floats(0, 0.5),
                "teacher": st.none() | _TEACHERS,
                "clip_norm": st.none() | st.floats(1e-3, 1e6),
                "ema": st.none() | st.floats(0, 0.9999),
                "augment": _AUGMENTS,
                "normalize": _NORMALIZES,
                "initialize": st.sampled_from(["torch", "keras", "he", "xavier", "orthogonal"]),
                "quantize": st.sampled_from([None, "int8", "int4"]),
            },
        ),
        "budget": st.fixed_dictionaries(
            {},
            optional={
                "parameters_below": st.integers(1, 10**12),
                "epochs_below": st.integers(1, 10**6),
                "macs_below": st.none() | st.integers(1, 10**12),
                "bytes_below": st.none() | st.integers(1, 10**12),
                "accuracy_percent": st.integers(0, 100) | st.floats(0, 100),
                "dataset": _DATASETS,
            },
        ),
        "dataset": _DATASETS | st.just("auto"),
        "holdout": st.integers(0, 60_000)
        | st.fixed_dictionaries({"folds": st.integers(2, 1000)})
        | st.fixed_dictionaries({"last": st.integers(1, 60_000)}),
    },
)
"""The keys of a file besides its network: recipe, budget, dataset and hold-out."""


@st.composite
def files(draw: Draw) -> Mapping:
    """A valid spec file, whole."""
    return {**draw(networks()), **draw(rest_of_file)}
