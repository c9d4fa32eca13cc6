"""From the rows of a table to a graph: what the table does not say follows from shapes and counts.

Where one answer fits it is taken. Where several do, they are listed, and `choose` decides. What
no table says is taken from the library that printed it, and listed as assumed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from mnist_arch.convert import graph as g
from mnist_arch.convert.questions import Answer, Choices, chosen, refusal
from mnist_arch.convert.tables import Table, TableRow
from mnist_arch.errors import Problem

IMAGE: Final = (1, 28, 28)
NO_RATE: Final = 0.1
"""Rate that a part of a network gets where nothing says it."""

_LARGEST_KERNEL: Final = 31
_LARGEST_STRIDE: Final = 4

_CONVOLUTIONS: Final = ("Conv2d", "Conv2D", "DepthwiseConv2D", "SeparableConv2D")
_ACTIVATIONS: Final = {
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "GELU": "gelu",
    "SiLU": "silu",
    "Hardswish": "hardswish",
    "ReLU6": "relu6",
    "ELU": "elu",
    "SELU": "selu",
    "CELU": "celu",
    "Mish": "mish",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Hardtanh": "hardtanh",
    "Hardsigmoid": "hardsigmoid",
    "Softplus": "softplus",
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Identity": "identity",
}
_IN_ORDER: Final = ("Sequential", "ModuleList", "ModuleDict")
_DROPOUTS: Final = (
    "Dropout",
    "Dropout2d",
    "SpatialDropout2D",
    "AlphaDropout",
    "FeatureAlphaDropout",
)
_POOLS: Final = {
    "MaxPool2d": "max",
    "AvgPool2d": "average",
    "MaxPooling2D": "max",
    "AveragePooling2D": "average",
}
_A: Final = {"max": "a max", "average": "an average"}
_GLOBAL: Final = {
    "GlobalAveragePooling2D": "average",
    "GlobalMaxPooling2D": "max",
}
_ADAPTIVE: Final = {"AdaptiveAvgPool2d": "average", "AdaptiveMaxPool2d": "max"}
_KNOWN: Final = (
    *_CONVOLUTIONS,
    *_ACTIVATIONS,
    *_DROPOUTS,
    *_POOLS,
    *_GLOBAL,
    *_ADAPTIVE,
    "Activation",
    "Add",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNormalization",
    "Concatenate",
    "Dense",
    "Flatten",
    "GroupNorm",
    "InputLayer",
    "InstanceNorm2d",
    "LayerNorm",
    "LayerNormalization",
    "Linear",
    "Multiply",
    "Reshape",
    "ZeroPadding2D",
)

KERAS_EPSILON: Final = 1e-3
KERAS_MOMENTUM: Final = 0.01
"""Defaults of a batch norm of Keras, in torch's terms."""


@dataclass(frozen=True)
class Inferred:
    """The graph of a table."""

    graph: g.Graph
    names: tuple[str, ...]
    """The row of each node."""


def infer(
    table: Table, choices: Choices, *, dropout: float | None, is_partial: bool = False
) -> Inferred:
    """The graph of a table. What stays open is in `choices`; SpecError where nothing fits."""
    return _Inference(table, choices, dropout, is_partial).run()


@dataclass
class _Output:
    """What a row gives, under a name that may be cut short."""

    name: str
    value: int
    is_used: bool = False


@dataclass
class _Inference:
    table: Table
    choices: Choices
    dropout: float | None
    is_partial: bool
    graph: g.Graph = field(default_factory=lambda: g.Graph(IMAGE))
    names: list[str] = field(default_factory=list)
    current: int = -1
    outputs: list[_Output] = field(default_factory=list)
    """Of each row so far."""
    bounds: list[int] = field(default_factory=list)
    """Nodes before the end of each module made of others."""
    without_rate: list[TableRow] = field(default_factory=list)

    # ----------------------------------------------------------------------------------- the whole

    def run(self) -> Inferred:
        rows = [it for it in self._named() if it.layer != "InputLayer"]
        if self.table.rows[0].layer == "InputLayer":
            self._check_input(self.table.rows[0])
        self._check_total()
        self._complain_about_calls(rows)
        before = self.current
        for index, row in enumerate(rows):
            children = self._children(rows, index)
            if self._is_container(row, children):
                self._container(row, rows, index, children)
                continue
            if self.table.has_inputs:
                self._connected(row)
            else:
                self._row(row, rows[index + 1 :])
            self.outputs.append(_Output(row.name, self.current))
            before = self.current
        if before < 0:
            raise refusal("the table has no layer", self.table.origin)
        self._rates()
        self._assume()
        return Inferred(self.graph, tuple(self.names))

    def _named(self) -> list[TableRow]:
        rows = self.table.rows
        return [_whole_name(it) for it in rows] if self.table.tool == "Keras" else list(rows)

    def _check_input(self, row: TableRow) -> None:
        shape = self._shape(row)
        self.outputs.append(_Output(row.name, -1))
        if shape not in (IMAGE, None):
            raise refusal(f"the input is {g.text(shape)}; here it is 1×28×28", row.origin)

    def _check_total(self) -> None:
        table = self.table
        counted = sum(row.parameters or 0 for row in self._leaves())
        if table.total is not None and table.total != counted:
            message = f"the rows add up to {counted:,} parameters, the table says {table.total:,}"
            raise refusal(message, table.origin, "copy the whole table")

    def _leaves(self) -> Iterator[TableRow]:
        for index, row in enumerate(self.table.rows):
            if not self._is_container(row, self._children(self.table.rows, index)):
                yield row

    def _rates(self) -> None:
        if not self.without_rate or self.dropout is not None or self.is_partial:
            return
        rows = ", ".join(row.name for row in self.without_rate[:6])
        hint = "dropout=RATE for all, choose={'ROW': 'RATE'} for one, or the code with the table"
        message = f"no table says the rate of a dropout: {rows}"
        self.choices.open.append(Problem(message, "", self.without_rate[0].origin, hint))

    def _assume(self) -> None:
        tool = self.table.tool
        nodes = self.graph.nodes
        assume = self.choices.assume
        if any(isinstance(it.op, g.Conv) and any(it.op.padding) for it in nodes):
            assume("padding is zeros")
        if any(isinstance(it.op, g.Conv) for it in nodes):
            assume(
                "kernels are square and without dilation; convolutions are ordinary or depthwise"
            )
        if any(isinstance(it.op, g.Pool) for it in nodes):
            assume("pools step by their own size, do not pad, and fill the map, where one fits")
        if any(isinstance(it.op, g.Norm) for it in nodes):
            own = "epsilon 1e-3, momentum 0.01" if tool == "Keras" else "epsilon 1e-5, momentum 0.1"
            assume(f"norms have the defaults of {'Keras' if tool == 'Keras' else 'torch'}: {own}")
        if any(isinstance(it.op, g.Act) and it.op.kind == "leaky_relu" for it in nodes):
            assume("the slope of leaky_relu is the default of the library that printed the table")
        if tool == "torchsummary":
            assume("every row has tensors of its own: torchsummary does not say what is used twice")
        if tool != "Keras":
            assume("what is called as a function, and is no module, is not in the table")
        for entry, seen in (("Dropout", "elementwise"), ("Dropout2d", "of whole channels")):
            if any(row.layer == entry for row in self.without_rate):
                if self.dropout is not None:
                    assume(f"the rate of {entry} ({seen}) is {self.dropout:g}, as asked")

    # ---------------------------------------------------------------------------------- containers

    def _children(self, rows: Sequence[TableRow], index: int) -> int:
        """Rows below a row of torchinfo's tree."""
        count = 0
        for row in rows[index + 1 :]:
            if row.depth <= rows[index].depth:
                break
            count += 1
        return count

    def _is_container(self, row: TableRow, children: int) -> bool:
        if children or row.layer in _IN_ORDER:
            return True
        if self.table.tool == "torchsummary":
            return row.layer not in _KNOWN and not row.parameters
        return self.table.tool == "torchinfo" and row.layer not in _KNOWN and row.parameters is None

    def _container(
        self, row: TableRow, rows: Sequence[TableRow], index: int, children: int
    ) -> None:
        """A module made of others: its rows in order, unless it may be a sum."""
        if row.layer in _IN_ORDER:
            if not children and row.parameters:
                message = f"{row.name} has {row.parameters:,} parameters, and no row says of what"
                raise refusal(message, row.origin, "print the table with more depth")
            return
        here = self.graph.shape(self.current)
        if children:  # of torchinfo, before its rows
            inside = [it for it in rows[index + 1 : index + 1 + children] if _is_convolution(it)]
            self._may_be_sum(row, [here], inside)
            return
        since = self.bounds[-1] if self.bounds else 0
        nodes = self.graph.nodes[since:]
        inside = [
            it for it in rows[:index] if _is_convolution(it) and it.name in self.names[since:]
        ]
        self.bounds.append(len(self.graph.nodes))
        if row.shape not in (here, None):
            assert row.shape is not None
            raise refusal(
                f"{row.name} gives {g.text(row.shape)}, but its rows end in {g.text(here)}",
                row.origin,
                "import the code: a table does not say what a module does inside",
            )
        inputs = [node.in_shape for node in nodes if isinstance(node.op, g.Conv)]
        self._may_be_sum(row, inputs, inside)

    def _may_be_sum(
        self, row: TableRow, inputs: Sequence[g.Shape], inside: Sequence[TableRow]
    ) -> None:
        """A module whose input has the shape of its output may add both, and so may one with a
        convolution that would lead from one to the other: only the code says so.
        """
        projected = [
            other
            for before, other in pairwise(inside)
            for shape in inputs
            if row.shape is not None and before.shape == other.shape == row.shape != shape
            if other.parameters in (shape[0] * row.shape[0], (shape[0] + 1) * row.shape[0])
        ]
        if row.shape not in inputs and not projected:
            return
        answers = [
            Answer("chain", "its rows one after the other", False),
            Answer("residual", "the sum of that and its input", True),
        ]
        what = "a table does not say what a module does inside"
        if self.choices.decide((row.name, row.layer), what, answers, row.origin):
            raise refusal(
                f"{row.name}: a residual cannot be read from a table of torch",
                row.origin,
                "import the code that has the module",
            )

    def _complain_about_calls(self, rows: Sequence[TableRow]) -> None:
        """A table of torch without any activation has them as calls, or has none."""
        convolutions = sum(row.layer in _CONVOLUTIONS for row in rows)
        if self.table.tool == "Keras" or convolutions < 2:
            return
        if any(row.layer in _ACTIVATIONS and row.layer != "Identity" for row in rows):
            return
        answers = [
            Answer("none", "no activation at all", ""),
            Answer(
                "conv-norm-activation", "ReLU after each norm, or convolution, but the last", "n"
            ),
            Answer("conv-activation-norm", "ReLU after each convolution but the last", "c"),
        ]
        what = "no row is an activation, which may be called as functions"
        self.calls = self.choices.decide(("activations",), what, answers, rows[0].origin)

    calls: str = ""

    # --------------------------------------------------------------------------------- connections

    def _connected(self, row: TableRow) -> None:
        inputs = [self._find(name, row, number) for number, name in enumerate(row.inputs, 1)]
        if not inputs:
            inputs = [-1]
        if row.layer in ("Add", "Concatenate", "Multiply"):
            kinds = {"Add": "sum", "Concatenate": "concatenation", "Multiply": "product"}
            self._add(g.Join(kinds[row.layer]), row, *inputs)  # type: ignore[arg-type]  # known
            return
        if len(inputs) != 1:
            raise refusal(f"{row.name} has {len(inputs)} inputs", row.origin)
        self.current = inputs[0]
        self._row(row, [])

    def _find(self, text: str, row: TableRow, number: int) -> int:
        """The value that a connection names, whose name may be cut short.

        It has a place of its own in `choose`: the row may ask for something else as well.
        """
        name = text.split("[")[0].rstrip("…")
        is_whole = "[" in text or not text.endswith("…")
        fits = [it for it in self.outputs if _may_be(it.name, name, is_whole=is_whole)]
        # What a network computes is used, so a value that nothing uses yet comes first.
        fits = [it for it in fits if not it.is_used] or fits
        if not fits:
            message = f"{row.name} is connected to {text}, which is no row above it"
            raise refusal(message, row.origin)
        answers = [Answer(it.name, "it is connected to this", it) for it in fits]
        what = f"the name {text} is cut short"
        place = f"{row.name}-input-{number}"
        chosen = self.choices.decide((place,), what, answers, row.origin)
        chosen.is_used = True
        return chosen.value

    # ------------------------------------------------------------------------------------- one row

    def _shape(self, row: TableRow) -> g.Shape | None:
        """The output of a row, channels first."""
        if row.shape is None:
            return None
        if self.table.tool == "Keras" and len(row.shape) == 3:
            high, wide, channels = row.shape
            return channels, high, wide
        return row.shape

    def _add(self, op: g.Operation, row: TableRow, *inputs: int, weights: str = "") -> None:
        values = inputs or (self.current,)
        self.current = self.graph.add(op, *values, place=row.origin, weights=weights)
        self.names.append(row.name)

    def _row(self, row: TableRow, later: Sequence[TableRow]) -> None:
        wanted = self._shape(row)
        layer = row.layer
        if wanted is None and layer not in ("Identity",):
            raise refusal(f"{row.name}: the shape of its output is not printed", row.origin)
        assert wanted is not None or layer == "Identity"
        wanted = wanted or self.graph.shape(self.current)
        if layer in ("Conv2d", "Conv2D", "DepthwiseConv2D"):
            self._convolution(row, wanted)
            if self.calls == "c" and any(it.parameters for it in later):
                self._relu(row)
            elif self.calls == "n" and any(it.parameters for it in later):
                if not later or "Norm" not in later[0].layer:
                    self._relu(row)
        elif layer == "SeparableConv2D":
            self._separable(row, wanted)
        elif layer in ("BatchNorm2d", "BatchNorm1d", "BatchNormalization"):
            self._norm("batch", row)
            if self.calls == "n" and any(it.parameters for it in later):
                self._relu(row)
        elif layer in ("GroupNorm", "InstanceNorm2d", "LayerNorm", "LayerNormalization"):
            self._other_norm(row)
        elif layer in _ACTIVATIONS:
            self._activation(row)
        elif layer in _DROPOUTS:
            self._dropout(row)
        elif layer in _POOLS:
            self._pool(row, wanted)
        elif layer in _GLOBAL:
            self._add(g.GlobalPool(_GLOBAL[layer]), row)  # type: ignore[arg-type]  # a known name
        elif layer in _ADAPTIVE:
            self._adaptive(row, wanted)
        elif layer in ("Flatten", "Reshape"):
            self._add(g.Flatten(), row)
        elif layer in ("Linear", "Dense"):
            self._linear(row, wanted)
        elif layer == "Activation":
            self._keras_activation(row)
        elif self.is_partial and wanted == self.graph.shape(self.current):
            self._add(g.Other(f"the layer {layer}"), row)
        else:
            hint = "import the code that has it: a table does not say what a module does inside"
            raise refusal(
                f"{row.name}: {layer} is no layer that a table explains", row.origin, hint
            )
        self._check_shape(row, wanted)

    def _relu(self, row: TableRow) -> None:
        self._add(g.Act("relu"), row)

    def _check_shape(self, row: TableRow, wanted: g.Shape) -> None:
        found = self.graph.shape(self.current)
        if math.prod(found) != math.prod(wanted) or found[0] != wanted[0]:
            before = g.text(self.graph.nodes[self.current].in_shape)
            message = f"{row.name} gives {g.text(wanted)}, which does not follow from {before}"
            raise refusal(
                message, row.origin, "the rows may not follow one another: import the code"
            )

    # -------------------------------------------------------------------------------- convolutions

    def _convolution(self, row: TableRow, wanted: g.Shape) -> None:
        shape = self.graph.shape(self.current)
        if len(shape) != 3 or len(wanted) != 3:
            raise refusal(f"{row.name}: a convolution of {g.text(shape)}", row.origin)
        if row.recursive:
            self._again(row, wanted)
            return
        if row.parameters is None:
            raise refusal(f"{row.name}: its parameters are not printed", row.origin)
        count = f"{row.parameters:,} parameters"
        direct = [
            Answer(_word(op), f"{_meaning(op)}, {count}", (op, ""))
            for op in self._fitting(row, shape, wanted)
        ]
        answers = list(direct)
        if self.table.tool != "Keras" and not any(it.layer in _POOLS for it in self.table.rows):
            if not direct or all(it.value[0].stride != (1, 1) for it in direct):
                if calls := self._after_a_call(row, shape, wanted):
                    if len(direct) == 1:
                        word = f"stride-{direct[0].value[0].stride[0]}"
                        answers = [replace(direct[0], word=word)]
                    answers += calls
        if not answers:
            between = f"{g.text(shape)} to {g.text(wanted)}"
            before = f"{count} fit no convolution of {between}"
            hint = "a row may be parallel to others, which no table says; import the code"
            raise refusal(f"{row.name}: {before}", row.origin, hint)
        op, pool = self.choices.decide((row.name, row.layer), "several fit", answers, row.origin)
        if pool:
            self._add(g.Pool(pool, (2, 2), (2, 2)), row)  # type: ignore[arg-type]  # a known name
        self._add(op, row)

    def _fitting(self, row: TableRow, shape: g.Shape, wanted: g.Shape) -> list[g.Conv]:
        """Convolutions that lead from a shape to another with the parameters of the row.

        Of the most usual kind with one that fits: square and ordinary or depthwise; square and in
        groups; not square. Of each, first those that pad by nothing or keep the size.
        """
        in_groups = [it for it in range(2, shape[0]) if shape[0] % it == 0 == wanted[0] % it]
        usual = _groups_of(row.layer, shape[0])
        for kernels, groups in (
            (_squares(), usual),
            (_squares(), in_groups),
            (_rectangles(), usual),
        ):
            counted = [
                (kernel, group, bias)
                for kernel in kernels
                if max(kernel) <= max(shape[1:]) or row.kernel is not None
                if row.kernel is None or kernel == (row.kernel * 2)[:2]
                for group in groups
                if wanted[0] % group == 0
                for bias in (True, False)
                if _count(shape[0], wanted[0], kernel, group, bias) == row.parameters
            ]
            for is_usual in (True, False):
                found = [
                    op
                    for kernel, group, bias in counted
                    for op in self._windows(shape, wanted, kernel, group, bias, is_usual=is_usual)
                ]
                if found:
                    return found
        return []

    def _windows(
        self,
        shape: g.Shape,
        wanted: g.Shape,
        kernel: g.Pair,
        groups: int,
        bias: bool,
        *,
        is_usual: bool = True,
    ) -> list[g.Conv]:
        """Strides and paddings of one window that lead from a shape to another."""
        found: list[g.Conv] = []
        for stride in range(1, _LARGEST_STRIDE + 1):
            for sides in self._paddings(shape, kernel, stride, is_usual=is_usual):
                op = g.Conv(wanted[0], kernel, (stride, stride), sides, (1, 1), groups, bias)
                room = [
                    s + a + b - k
                    for s, a, b, k in zip(shape[1:], sides[::2], sides[1::2], kernel, strict=True)
                ]
                if min(room) >= 0 and all(
                    r // stride + 1 == w for r, w in zip(room, wanted[1:], strict=True)
                ):
                    if stride == 1 or wanted[1:] != (1, 1):  # a step from a single pixel is none
                        found.append(op)
        return found

    def _paddings(
        self, shape: g.Shape, kernel: g.Pair, stride: int, *, is_usual: bool
    ) -> list[g.Sides]:
        if self.table.tool == "Keras":
            return sorted({(0, 0, 0, 0), same(shape, kernel, (stride, stride))})
        high, wide = ((side - 1) // 2 for side in kernel)
        if is_usual:
            keeps = all(side % 2 for side in kernel)
            return sorted({(0, 0, 0, 0), (high, high, wide, wide)}) if keeps else [(0, 0, 0, 0)]
        found: set[g.Sides] = set()
        for pixels in range(max(kernel) // 2 + 1):
            up, left = min(pixels, kernel[0] // 2), min(pixels, kernel[1] // 2)
            found.add((up, up, left, left))
        return sorted(found)

    def _after_a_call(
        self, row: TableRow, shape: g.Shape, wanted: g.Shape
    ) -> list[Answer[tuple[g.Conv, str]]]:
        """Convolutions that fit after a pool of 2×2 that is called as a function."""
        count = f"{row.parameters:,} parameters"
        pooled = (shape[0], shape[1] // 2, shape[2] // 2)
        fitting = [op for op in self._fitting(row, pooled, wanted) if op.stride == (1, 1)]
        return [
            Answer(
                f"{kind}-pool" if len(fitting) == 1 else f"{kind}-pool-{_word(op)}",
                f"{_A[kind]} pool that is a call, then {_meaning(op)}, {count}",
                (op, kind),
            )
            for op in fitting
            for kind in ("max", "average")
        ]

    def _separable(self, row: TableRow, wanted: g.Shape) -> None:
        """Keras' depthwise convolution without bias, then a pointwise one with it or without."""
        shape = self.graph.shape(self.current)
        count = row.parameters or 0
        if len(shape) != 3 or len(wanted) != 3:
            raise refusal(f"{row.name}: a convolution of {g.text(shape)}", row.origin)
        between = (shape[0], *wanted[1:])
        answers = [
            Answer(_word(op), f"{_meaning(op)}, {count:,} parameters", (op, bias))
            for bias in (True, False)
            for kernel in _squares()
            if shape[0] * (kernel[0] ** 2 + wanted[0]) + bias * wanted[0] == count
            for op in self._windows(shape, between, kernel, shape[0], False)
        ]
        if not answers:
            message = f"{count:,} parameters fit no separable convolution"
            raise refusal(
                f"{row.name}: {message} of {g.text(shape)} to {g.text(wanted)}", row.origin
            )
        names = (row.name, row.layer)
        op, bias = self.choices.decide(names, "several fit", answers, row.origin)
        self._add(op, row)
        self._add(g.Conv(wanted[0], (1, 1), bias=bias), row)

    def _again(self, row: TableRow, wanted: g.Shape) -> None:
        """A layer that was used before, by torchinfo's `(recursive)`."""
        shape = self.graph.shape(self.current)
        fits: dict[str, Answer[g.Node]] = {}
        for name, node in zip(self.names, self.graph.nodes, strict=True):
            if (
                isinstance(node.op, g.Conv)
                and node.in_shape[0] == shape[0]
                and node.op.out == wanted[0]
            ):
                if g.out_shape(node.op, [shape], row.origin) == wanted and node.weights not in fits:
                    fits[node.weights] = Answer(name.replace(": ", "-"), "this layer again", node)
        if not fits:
            raise refusal(f"{row.name} is a layer again, and none above fits it", row.origin)
        node = self.choices.decide(
            (row.name, row.layer), "one of several again", list(fits.values()), row.origin
        )
        self._add(node.op, row, weights=node.weights)

    # -------------------------------------------------------------------------------- other layers

    def _norm(self, kind: str, row: TableRow) -> None:
        shape = self.graph.shape(self.current)
        each = 4 if self.table.tool == "Keras" else 2
        weights = ""
        if row.recursive:
            weights = next(
                (
                    it.weights
                    for it in reversed(self.graph.nodes)
                    if isinstance(it.op, g.Norm) and it.in_shape[0] == shape[0]
                ),
                "",
            )
        elif row.parameters not in (each * shape[0], 0, None):
            message = f"{row.parameters:,} parameters are no norm of {shape[0]} channels"
            raise refusal(f"{row.name}: {message}", row.origin)
        is_affine = row.recursive or bool(row.parameters)
        norm = g.Norm(kind, affine=is_affine)  # type: ignore[arg-type]
        if self.table.tool == "Keras":
            norm = replace(norm, epsilon=KERAS_EPSILON, momentum=KERAS_MOMENTUM)
        self._add(norm, row, weights=weights)

    def _other_norm(self, row: TableRow) -> None:
        shape = self.graph.shape(self.current)
        if row.layer == "InstanceNorm2d":
            self._norm("instance", row)
        elif row.layer == "GroupNorm":
            divisors = [it for it in range(1, shape[0] + 1) if shape[0] % it == 0]
            count = f"{row.parameters or 0:,} parameters"
            answers = [Answer(str(it), f"groups, {count}", it) for it in divisors]
            what = "no table says the groups of a norm"
            groups = self.choices.decide((row.name, row.layer), what, answers, row.origin)
            self._add(g.Norm("group", groups, affine=bool(row.parameters)), row)
        else:
            over = "one" if row.parameters == 2 else ""
            self._add(g.Norm("layer", affine=bool(row.parameters), over=over), row)

    def _activation(self, row: TableRow) -> None:
        kind = _ACTIVATIONS[row.layer]
        value = float(row.parameters) if kind == "prelu" and row.parameters else None
        if self.table.tool == "Keras" and kind == "leaky_relu":
            value = 0.3
        self._add(g.Act(kind, value), row)

    def _keras_activation(self, row: TableRow) -> None:
        names = ("relu", "softmax", "gelu", "silu", "tanh", "sigmoid")
        answers = [Answer(it, "0 parameters", it) for it in names]
        what = "no table says which activation it is"
        kind = self.choices.decide((row.name, row.layer), what, answers, row.origin)
        self._add(g.Act(kind), row)

    def _dropout(self, row: TableRow) -> None:
        rate = self.dropout
        self.choices.asked.update((row.name, row.layer))
        for name in (row.name, row.layer):
            if name in self.choices.given:
                self.choices.used.add(name)
                rate = _rate(self.choices.given[name], name, row.origin)
                break
        else:
            self.without_rate.append(row)
        is_spatial = row.layer in ("Dropout2d", "SpatialDropout2D")
        if "Alpha" in row.layer:
            self._add(g.Other(f"the dropout {row.layer}"), row)
        else:
            self._add(g.Drop(NO_RATE if rate is None else rate, is_spatial), row)

    def _pool(self, row: TableRow, wanted: g.Shape) -> None:
        shape = self.graph.shape(self.current)
        kind = _POOLS[row.layer]
        if len(shape) != 3 or len(wanted) != 3:
            raise refusal(f"{row.name}: a pool of {g.text(shape)}", row.origin)
        sizes = _pool_sizes(shape, wanted, row.kernel)
        answers = [
            Answer(_pool_word(op), f"{_pool_meaning(op)}, 0 parameters", op)
            for op in (
                g.Pool(kind, size, stride, padding)  # type: ignore[arg-type]  # a known name
                for size, stride, padding in sizes
            )
        ]
        if not answers:
            message = f"no window leads from {g.text(shape)} to {g.text(wanted)}"
            raise refusal(f"{row.name}: {message}", row.origin, "import the code")
        self._add(
            self.choices.decide((row.name, row.layer), "several windows fit", answers, row.origin),
            row,
        )

    def _adaptive(self, row: TableRow, wanted: g.Shape) -> None:
        shape = self.graph.shape(self.current)
        kind = _ADAPTIVE[row.layer]
        if wanted[1:] == (1, 1):
            self._add(g.GlobalPool(kind), row)  # type: ignore[arg-type]  # a name of its Literal
            return
        if len(shape) == 3 == len(wanted) and all(
            a % b == 0 for a, b in zip(shape[1:], wanted[1:], strict=True)
        ):
            size = (shape[1] // wanted[1], shape[2] // wanted[2])
            self._add(g.Pool(kind, size, size), row)  # type: ignore[arg-type]  # a known name
            return
        raise refusal(f"{row.name}: windows of several sizes from {g.text(shape)}", row.origin)

    def _linear(self, row: TableRow, wanted: g.Shape) -> None:
        shape = self.graph.shape(self.current)
        out, count = wanted[0], row.parameters or 0
        inputs = [
            (count // out - bias, bool(bias)) for bias in (1, 0) if count and count % out == 0
        ]
        if math.prod(wanted) != out or not inputs:
            raise refusal(
                f"{row.name}: {count:,} parameters do not give {g.text(wanted)}", row.origin
            )
        values = math.prod(shape)
        for size, bias in inputs:
            if size == values:
                if len(shape) == 3:
                    self._add(g.Flatten(), row)
                self._add(g.Linear(out, bias), row)
                return
        for size, bias in inputs:
            if len(shape) == 3 and size == shape[0]:
                answers = [
                    Answer(
                        "global-average", f"the mean of each map, {count:,} parameters", "average"
                    ),
                    Answer("global-max", f"the maximum of each map, {count:,} parameters", "max"),
                ]
                what = f"a pool that is a call leads from {g.text(shape)} to {size} values"
                kind = self.choices.decide((row.name, row.layer), what, answers, row.origin)
                self._add(g.GlobalPool(kind), row)  # type: ignore[arg-type]  # a known name
                self._add(g.Flatten(), row)
                self._add(g.Linear(out, bias), row)
                return
        message = f"{count:,} parameters fit no layer of {values:,} values to {out}"
        raise refusal(
            f"{row.name}: {message}", row.origin, "a call may stand before it: import the code"
        )


# ---------------------------------------------------------------------------------------- what fits


def _whole_name(row: TableRow) -> TableRow:
    """A row whose class is not cut short, where only one that is known begins so.

    Keras names a layer after its class: `global_average_pooling2d_1`.
    """
    if row.layer in _KNOWN:
        return row
    fits = [name for name in _KNOWN if name.startswith(row.layer.rstrip("…"))]
    own = re.sub(r"_\d+$", "", row.name.rstrip("…")).replace("_", "")
    fits = [name for name in fits if name.lower() == own] or fits
    return replace(row, layer=fits[0]) if len(fits) == 1 else row


def _may_be(name: str, wanted: str, *, is_whole: bool) -> bool:
    """Whether two names, each of which may be cut short, can be of one row."""
    if name.endswith("…"):
        return name[:-1].startswith(wanted) or wanted.startswith(name[:-1])
    return name == wanted if is_whole else name.startswith(wanted)


def _is_convolution(row: TableRow) -> bool:
    return row.layer in _CONVOLUTIONS


def same(shape: g.Shape, kernel: g.Pair, stride: g.Pair) -> g.Sides:
    """Keras' `same`: the size by the stride, rounded up; what is odd is padded on the far side."""
    sides: list[int] = []
    for pixels, size, step in zip(shape[1:], kernel, stride, strict=True):
        total = max((-(-pixels // step) - 1) * step + size - pixels, 0)
        sides += [total // 2, total - total // 2]
    return sides[0], sides[1], sides[2], sides[3]


def _groups_of(layer: str, channels: int) -> list[int]:
    """The groups that a row has if its library's user says nothing of them."""
    match layer:
        case "Conv2D":
            return [1]
        case "DepthwiseConv2D":
            return [channels]
    return sorted({1, channels})


def _squares() -> list[g.Pair]:
    return [(side, side) for side in range(1, _LARGEST_KERNEL + 1)]


def _rectangles() -> list[g.Pair]:
    sides = range(1, _LARGEST_KERNEL + 1)
    return [(high, wide) for high in sides for wide in sides if high != wide]


def _count(channels: int, out: int, kernel: g.Pair, groups: int, bias: bool) -> int:
    return out * channels // groups * kernel[0] * kernel[1] + out * bias


def _word(op: g.Conv) -> str:
    """A convolution in one word that the command line takes: `3x3`, `3x3-depthwise-s2-p1`."""
    words = [f"{op.kernel[0]}x{op.kernel[1]}"]
    if op.groups > 1:
        words.append(f"g{op.groups}")
    words.append(f"s{op.stride[0]}")
    words.append(
        f"p{'.'.join(map(str, op.padding)) if len(set(op.padding)) > 1 else op.padding[0]}"
    )
    return "-".join([*words, "bias" if op.bias else "nobias"])


def _meaning(op: g.Conv) -> str:
    grouped = f" in {op.groups} groups" if op.groups > 1 else ""
    padding = g.text(op.padding) if len(set(op.padding)) > 1 else str(op.padding[0])
    return f"a kernel of {g.text(op.kernel)}{grouped}, stride {op.stride[0]}, padding {padding}"


def _pool_word(op: g.Pool) -> str:
    word = f"{op.size[0]}" if op.size[0] == op.size[1] else f"{op.size[0]}x{op.size[1]}"
    if op.stride != op.size:
        word += f"-s{op.stride[0]}"
    return word + (f"-p{op.padding[0]}" if any(op.padding) else "")


def _pool_meaning(op: g.Pool) -> str:
    padding = f", padding {op.padding[0]}" if any(op.padding) else ""
    return f"a window of {g.text(op.size)}, stride {op.stride[0]}{padding}"


def _pool_sizes(
    shape: g.Shape, wanted: g.Shape, kernel: tuple[int, ...] | None
) -> list[tuple[g.Pair, g.Pair, g.Sides]]:
    """Windows that lead from a shape to another, of the most usual kind with one that fits.

    Those that step by their own size and fill the map; that leave a rest; that overlap; that pad.
    """
    sides, ends = shape[1:3], wanted[1:3]
    if kernel is not None:
        windows = [(kernel[0], kernel[-1])]
    else:
        windows = [(side, side) for side in range(1, max(sides) + 1)]
        if sides[0] * ends[1] != sides[1] * ends[0]:
            both = [(a, b) for a in range(1, sides[0] + 1) for b in range(1, sides[1] + 1)]
            windows += [it for it in both if it[0] != it[1]]

    def leads(window: g.Pair, steps: g.Pair, pad: int = 0) -> bool:
        room = [side + 2 * pad - size for side, size in zip(sides, window, strict=True)]
        after = [rest // step + 1 for rest, step in zip(room, steps, strict=True)]
        return min(room) >= 0 and after == list(ends)

    own = [it for it in windows if leads(it, it)]
    whole = [it for it in own if sides[0] % it[0] == 0 == sides[1] % it[1]]
    if own:
        return [(it, it, (0, 0, 0, 0)) for it in whole or own]
    for paddings in (range(1), range(1, 16)):
        found = [
            (it, (step, step), (pad, pad, pad, pad))
            for it in windows
            for step in range(1, _LARGEST_STRIDE + 1)
            for pad in paddings
            if pad <= min(it) // 2 and leads(it, (step, step), pad)
        ]
        if found:
            return found
    return []


def _rate(text: str, name: str, origin: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1
    if not 0 <= rate < 1:
        raise refusal(f"{chosen(name, text)} is no rate", origin, chosen(name, "0.1"))
    return rate
