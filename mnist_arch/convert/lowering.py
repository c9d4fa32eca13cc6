"""From a graph to the operations that the block language has; what it lacks is named.

This is where an option of the language that is new becomes known to the import: the case of its
operation below, and, where it is an option of a block, `blocks`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from mnist_arch.convert import graph as g
from mnist_arch.convert.questions import refusal
from mnist_arch.counting import layers as our
from mnist_arch.counting.unroll import padding_of
from mnist_arch.spec.network import MAX_PADDING, Affine

GATE: Final = " and "
"""Between the names of the two convolutions of a squeeze-and-excitation."""
_OVER_BATCH: Final = " of the images of a batch"
ENDS: Final = (
    "softmax",
    "log_softmax",
    "identity",
    f"softmax{_OVER_BATCH}",
    f"log_softmax{_OVER_BATCH}",
)
"""Functions after the logits that belong to the loss, or do nothing."""
_DEEPEST: Final = 50
"""Joins inside one another that are followed."""
_OURS: Final = ("relu", "leaky_relu", "prelu", "gelu", "silu", "hardswish")


@dataclass(frozen=True)
class Branches:
    """A residual: the sum of `body` and the input, which may go through a convolution."""

    body: tuple[Item, ...]
    skip: Item | None


@dataclass(frozen=True)
class Joined:
    """Several ways from one value, joined by channels or added; an empty one is the value."""

    kind: Literal["concat", "add"]
    ways: tuple[tuple[Item, ...], ...]


@dataclass(frozen=True)
class Item:
    """One operation of the language, in a row of them."""

    op: our.Op | Branches | Joined
    in_shape: our.Shape
    out_shape: our.Shape
    place: str
    weights: str = ""


@dataclass(frozen=True)
class Lack:
    """Something of the source that cannot be said."""

    what: str
    place: str
    """Where it was written."""


@dataclass
class Lowered:
    """A network in operations of the language, what it lacks, and what was written otherwise."""

    items: list[Item]
    lacks: list[Lack] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def lower(graph: g.Graph) -> Lowered:
    """The operations in a row from the image to the logits. Raises SpecError without any."""
    if graph.output < 0:
        raise refusal("there is no layer")
    return _Lowering(graph).run()


class _Lowering:
    def __init__(self, graph: g.Graph) -> None:
        self.graph = graph
        self.lacks: list[Lack] = []
        self.notes: list[str] = []
        self.dominators = self._dominators()
        self.visited = 0
        self.seen: set[str] = set()
        """Tensors of norms, slopes and fully connected layers so far."""

    def run(self) -> Lowered:
        output = self._without_ends(self.graph.output)
        nodes = self._chain(output, -1)
        if nodes is None:
            joins = [it for it in self.graph.nodes[: output + 1] if len(it.inputs) > 1]
            self._lack("so many branches that use one another", joins[-1].place)
            nodes = [it for it in self._main_way(output)]
        items = self._earlier(self._items(nodes))
        return Lowered(items, self.lacks, list(dict.fromkeys(self.notes)))

    def _lack(self, what: str, place: str) -> None:
        lack = Lack(what, place)
        if lack not in self.lacks:
            self.lacks.append(lack)

    def _without_ends(self, output: int) -> int:
        while output >= 0:
            node = self.graph.nodes[output]
            if isinstance(node.op, g.Act) and node.op.kind in ENDS:
                if node.op.kind.endswith(_OVER_BATCH):
                    what = f"a {node.op.kind} at the end is left out"
                    self.notes.append(f"{what}: here the loss is over the classes of each image")
                elif node.op.kind != "identity":
                    self.notes.append(f"{node.op.kind} at the end is left out: it is in the loss")
            elif not (isinstance(node.op, g.Flatten) and len(node.in_shape) != 0):
                break
            output = node.inputs[0]
        return output

    # ----------------------------------------------------------------------------- series-parallel

    def _dominators(self) -> list[int]:
        """For each node those on every way to it, itself among them, as bits; the image is 1."""
        found: list[int] = []
        for number, node in enumerate(self.graph.nodes):
            common = -1
            for value in node.inputs:
                common &= 1 if value < 0 else found[value]
            found.append(common | 1 << (number + 1))
        return found

    def _common(self, values: tuple[int, ...]) -> int:
        """The last value that every way to all of them goes through."""
        common = -1
        for value in values:
            common &= 1 if value < 0 else self.dominators[value]
        return common.bit_length() - 2

    def _chain(self, end: int, start: int, depth: int = 0) -> list[Any] | None:
        """Nodes from a value to another that is on every way to it, joins as tuples.

        What several ways use is in each of them. None where that makes too many, or too deep.
        """
        row: list[Any] = []
        while end != start:
            self.visited += 1
            if self.visited > g.MAX_NODES or depth > _DEEPEST:
                return None
            node = self.graph.nodes[end]
            if len(node.inputs) == 1:
                row.append(node)
                end = node.inputs[0]
                continue
            before = self._common(node.inputs)
            ways = [self._chain(value, before, depth + 1) for value in node.inputs]
            if any(way is None for way in ways):
                return None
            row.append((node, ways, self.graph.shape(before)))
            end = before
        row.reverse()
        return row

    def _main_way(self, output: int) -> list[g.Node]:
        """The nodes on the way of first inputs, where there is no better one."""
        row = []
        while output >= 0:
            node = self.graph.nodes[output]
            if len(node.inputs) == 1:
                row.append(node)
            output = node.inputs[0]
        return row[::-1]

    # ---------------------------------------------------------------------------------- operations

    def _items(self, row: list[Any]) -> list[Item]:
        items: list[Item] = []
        flat = False  # after a flatten of a map of several pixels, which waits for its linear layer
        last = row[-1] if row else None
        is_head = isinstance(last, g.Node) and isinstance(last.op, g.Linear)
        for entry in row:
            if isinstance(entry, tuple):
                if (item := self._join(*entry)) is not None:
                    items.append(item)
                continue
            node: g.Node = entry
            begin = row[0] if isinstance(row[0], g.Node) else node
            before = items[-1].out_shape if items else _map(begin.in_shape)
            match node.op:
                case g.Flatten():
                    flat = before[1:] != (1, 1)
                case g.Linear(out=out, bias=bias) if is_head and items:
                    if not any(isinstance(it.op, our.Flatten) for it in items):
                        values = (before[0] * before[1] * before[2], 1, 1)
                        items.append(Item(our.Flatten(), before, values, node.place))
                        before = values
                    op = our.Linear(out, bias)
                    items.append(Item(op, before, (out, 1, 1), node.place, node.weights))
                    self._check_once(node)
                    flat = False
                case g.Linear(out=out, bias=bias):
                    _, high, wide = before
                    side = high if high == wide else (high, wide)
                    window = our.Convolution(out, side, node.weights, bias)
                    items.append(Item(window, before, (out, 1, 1), node.place, node.weights))
                    self.notes.append(
                        f"the fully connected layer to {out} is written as a convolution with a "
                        f"window of the whole {high}×{wide} map, which is the same"
                    )
                    flat = False
                case g.Norm() if flat:
                    self._lack("a norm of the values of a flattened map", node.place)
                case g.Drop(rate=0):
                    pass
                case _:
                    items += self._leaf(node, before)
        return items

    def _earlier(self, items: list[Item]) -> list[Item]:
        """The row with each ReLU that comes after a max pool or a dropout before it, which is the
        same.

        A function that never falls takes the largest of a window to the largest of its values,
        and one that is 0 at 0 and straight above it takes no notice of a dropout before it.
        """
        row: list[Item] = []
        for item in items:
            at = len(row)
            if isinstance(item.op, our.Activation) and item.op.kind in ("relu", "leaky_relu"):
                while at and _lets_through(row[at - 1].op):
                    at -= 1
                begins = at and isinstance(row[at - 1].op, our.Convolution | our.Normalization)
                if begins and at < len(row):
                    shape = row[at - 1].out_shape
                    is_pool = any(isinstance(it.op, our.Pooling) for it in row[at:])
                    what = "a max pool" if is_pool else "a dropout"
                    row.insert(at, replace(item, in_shape=shape, out_shape=shape))
                    self.notes.append(
                        f"an activation after {what} is written before it, which is the same"
                    )
                    continue
            row.append(item)
        return row

    def _check_once(self, node: g.Node) -> None:
        if node.weights in self.seen:
            self._lack(f"{g.described(node.op)} that is used again", node.place)
        self.seen.add(node.weights)

    def _join(self, node: g.Node, ways: list[list[Any]], shape: g.Shape) -> Item | None:
        before, after = _map(shape), _map(node.shape)
        if node.op == g.Join("product") and len(ways) == 2:
            factors = next((way for way in ways if way), [])
            if any(not way for way in ways) and (hidden := self._gate(factors)):
                nodes = [it for it in factors if isinstance(it, g.Node) and it.weights]
                both = GATE.join(it.weights for it in nodes if not isinstance(it.op, g.Act))
                return Item(our.SqueezeExcitation(hidden), before, after, node.place, both)
            self._lack("a product that is no squeeze-and-excitation", node.place)
            return None
        if node.op == g.Join("product"):
            self._lack("a product of more than two", node.place)
            return None
        ways = [it for way in ways for it in _opened(way, node.op)]
        found = [tuple(self._earlier(self._items(way))) for way in ways]
        if not any(found):
            self._lack("a value joined with itself", node.place)
            return None
        if node.op != g.Join("sum"):
            return Item(Joined("concat", tuple(found)), before, after, node.place)
        short, body = sorted(found, key=len)[:2]
        is_projected = len(short) == 1 and isinstance(short[0].op, our.Convolution)
        if len(found) > 2 or (short and not is_projected):
            return Item(Joined("add", tuple(found)), before, after, node.place)
        return Item(Branches(tuple(body), short[0] if short else None), before, after, node.place)

    def _gate(self, way: list[Any]) -> int:
        """Hidden channels of a squeeze-and-excitation; 0 where it is none like ours."""
        row = [it for it in way if isinstance(it, g.Node)]
        row = [it for it in row if not isinstance(it.op, g.Flatten)]
        if len(row) != len([it for it in way if not _is_flatten(it)]) or len(row) != 5:
            return 0
        pool, down, relu, up, gate = (it.op for it in row)
        is_ours = (
            pool == g.GlobalPool("average")
            and _is_pointwise(down)
            and relu == g.Act("relu")
            and _is_pointwise(up)
            and gate == g.Act("sigmoid")
        )
        return int(getattr(down, "out", 0)) if is_ours else 0

    def _leaf(self, node: g.Node, before: our.Shape) -> list[Item]:
        op, after = self._op(node, before), _map(node.shape)
        if op is None:
            return []
        if isinstance(node.op, g.Conv):
            before = _map(node.in_shape)  # even where what stands before it is lacking
        is_prelu = isinstance(op, our.Activation) and op.kind == "prelu"
        if isinstance(op, our.Normalization) or is_prelu:
            self._check_once(node)
        return [Item(op, before, after, node.place, node.weights)]

    def _op(self, node: g.Node, before: our.Shape) -> our.Op | None:
        """The operation of the language, or None where there is none."""
        place = node.place
        match node.op:
            case g.Conv() as op:
                return self._convolution(op, node)
            case g.Norm(kind="other", over=over):
                self._lack(over, place)
                if "layer" not in over:  # batch norm comes nearest
                    return our.Normalization("batch", 1)
            case g.Norm() as norm:
                return _norm(norm, before)
            case g.Act(kind="leaky_relu", value=slope):
                if slope is None or slope >= 0:
                    return our.Activation("leaky_relu", our.LEAKY_SLOPE if slope is None else slope)
                self._lack(f"a slope of leaky_relu below 0, {slope:g}", place)
            case g.Act(kind="prelu", value=slopes):
                if slopes not in (None, 1, before[0]):
                    self._lack("PReLU with a slope for each value", place)
                return our.Activation("prelu", by_channel=slopes == before[0] != 1)
            case g.Act(kind=kind, value=value) if kind in _OURS:
                if kind == "gelu" and value is not None:
                    self._lack("GELU by an approximation", place)
                return our.Activation(kind)  # type: ignore[arg-type]  # one of ours
            case g.Act(kind="identity"):
                return None
            case g.Act(kind=kind):
                self._lack(f"the activation {kind}", place)
            case g.Drop(rate=rate, spatial=spatial):
                return our.Dropout(rate, "spatial" if spatial else "elementwise")
            case g.Pool() as op:
                return self._pool(op, before, place)
            case g.GlobalPool(kind=kind):
                return our.GlobalPooling(kind)
            case g.Other(what=what):
                self._lack(what, place)
            case g.Pad(is_lowest=is_lowest):
                self._lack("padding on its own" + " that is no zeros" * is_lowest, place)
            case g.Join(kind=kind):
                self._lack(f"a {kind} of one value", place)
        return None

    def _convolution(self, op: g.Conv, node: g.Node) -> our.Convolution | None:
        (high, wide), place = op.kernel, node.place
        if op.stride[0] != op.stride[1]:
            self._lack("a stride that is not the same both ways", place)
            return None
        if op.dilation != (1, 1):
            self._lack("dilation", place)
            return None
        if op.fill not in ("zeros", "replicate") and any(op.padding):
            self._lack(f"padding of the kind {op.fill}", place)
            return None
        made = our.Convolution(
            op.out,
            high if high == wide else (high, wide),
            node.weights,
            op.bias,
            op.stride[0],
            _alike(op.padding),
            groups=op.groups,
        )
        if padding_word(made, _map(node.in_shape)) is None:
            self._lack("padding of a side only that is not Keras' `same`", place)
            made = replace(made, padding=(high - 1) // 2)  # which comes nearest
        is_replicate = op.fill == "replicate" and any(made.sides)
        return replace(made, padding_mode="replicate") if is_replicate else made

    def _pool(self, op: g.Pool, before: our.Shape, place: str) -> our.Op | None:
        size = op.size
        whole = size == before[1:] and not any(op.padding)
        if size[0] != size[1] or (op.stride[0] != op.stride[1] and not whole):
            if whole and op.kind == "average":
                return our.GlobalPooling("average")
            self._lack(f"a pool of {g.text(size)}, which is not square", place)
            return None
        sides = _alike(op.padding)
        is_same = op.kind == "max" and sides == padding_of("same-end", size, op.stride[0], before)
        if not is_same and (not isinstance(sides, int) or 2 * sides > size[0]):
            self._lack(f"a {op.kind} pool of stride {op.stride[0]} that pads one side only", place)
            return None
        if op.dilation != (1, 1):
            self._lack("a pool with dilation", place)
            return None
        stride = op.stride[0]
        top, bottom, left, right = op.padding
        room = before[1] + top + bottom - size[0], before[2] + left + right - size[0]
        if op.ceil and any(it % stride for it in room):
            self._lack("a pool that keeps rows which do not fill a window", place)
            return None
        return our.Pooling(op.kind, size[0], size[0] if whole else stride, sides)


def _norm(op: g.Norm, before: our.Shape) -> our.Normalization:
    assert op.kind != "other"
    affine: Affine = "channel" if op.affine else "none"
    if op.kind == "layer" and op.affine:
        is_one = op.over == "one"
        affine = "one" if is_one else "value" if before[1:] != (1, 1) else "channel"
    return our.Normalization(
        "group" if op.kind == "layer" else op.kind,
        op.groups if op.kind == "group" else 1,
        affine,
        1e-5 if op.epsilon is None else op.epsilon,
        0.1 if op.momentum is None else op.momentum,
        op.splits,
    )


def _alike(sides: g.Sides) -> int | g.Sides:
    """One number where all sides have it."""
    return sides[0] if len(set(sides)) == 1 else sides


def padding_word(op: our.Convolution, shape: our.Shape) -> str | int | None:
    """What `padding` says of a convolution on a map; None where it cannot."""
    if not any(op.sides):
        return "valid"
    for word in ("same", "same-end"):
        if all(side % 2 for side in op.window) or word == "same-end":
            if padding_of(word, op.window, op.stride, shape) == op.padding:
                return word
    return op.padding if isinstance(op.padding, int) and op.padding <= MAX_PADDING else None


def _map(shape: g.Shape) -> our.Shape:
    return (shape[0], 1, 1) if len(shape) == 1 else (shape[0], shape[1], shape[2])


def _lets_through(op: our.Op | Branches | Joined) -> bool:
    match op:
        case our.Pooling(kind="max") | our.Dropout():
            return True
    return False


def _opened(way: list[Any], op: g.Operation) -> list[list[Any]]:
    """The ways of a join of the same kind that is all there is in a way, as in `a + b + c`."""
    match way:
        case [(g.Node(op=inner), ways, _)] if inner == op:
            return [it for one in ways for it in _opened(one, op)]
    return [way]


def _is_flatten(entry: Any) -> bool:
    return isinstance(entry, g.Node) and isinstance(entry.op, g.Flatten)


def _is_pointwise(op: g.Operation) -> bool:
    match op:
        case g.Conv(kernel=(1, 1), stride=(1, 1), groups=1, bias=True):
            return True
        case g.Linear(bias=True):
            return True
    return False


def without_weights(op: our.Convolution) -> our.Convolution:
    """An operation as it is compared: who shares tensors is compared apart."""
    return replace(op, weights="")


def unshared(items: list[Item]) -> list[Item]:
    """The row with tensors of its own for each use of a convolution."""
    return [
        replace(item, weights=name, op=replace(item.op, weights=name))
        if isinstance(item.op, our.Convolution)
        else item
        for item, name in zip(items, map(str, range(len(items))), strict=True)
    ]


def linked(items: list[Item]) -> list[Item]:
    """A row from which items were taken out, with the shapes that follow now. Raises SpecError."""
    shape = items[0].in_shape
    row: list[Item] = []
    for item in items:
        op = item.op
        channels, high, wide = shape
        match op:
            case our.Convolution(groups=groups) if groups == item.in_shape[0] != 1:
                op = replace(op, groups=channels, out=op.out // groups * channels)
            case Branches() | Joined() if item.in_shape != shape:
                continue
        match op:
            case our.Convolution(out=out, stride=step):
                (top, bottom, left, right), (tall, broad) = op.sides, op.window
                rows, columns = high + top + bottom - tall, wide + left + right - broad
                after = (out, rows // step + 1, columns // step + 1)
            case our.Pooling(size=size, stride=step):
                top, bottom, left, right = op.sides
                rows, columns = high + top + bottom - size, wide + left + right - size
                after = (channels, rows // step + 1, columns // step + 1)
            case our.GlobalPooling():
                after = (channels, 1, 1)
            case our.Flatten():
                after = (channels * high * wide, 1, 1)
            case our.Linear(out=out):
                after = (out, 1, 1)
            case Branches() | Joined():
                after = item.out_shape
            case _:
                after = shape
        if min(after) < 1 or (isinstance(op, our.Convolution) and channels % op.groups):
            raise refusal("what is left of the network does not connect", item.place)
        row.append(replace(item, op=op, in_shape=shape, out_shape=(after[0], after[1], after[2])))
        shape = row[-1].out_shape
    return row
