"""From operations in a row to blocks: the shortest spec that unrolls to exactly these.

Every stretch of the row that one block can say is weighed by the length of its YAML; the cheapest
way through the row wins. What comes out is unrolled again and compared, operation by operation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from math import prod
from typing import Any, Final

from mnist_arch.convert.lowering import (
    Branches,
    Item,
    Joined,
    Lack,
    padding_word,
    without_weights,
)
from mnist_arch.counting import layers as our
from mnist_arch.counting.unroll import unroll
from mnist_arch.errors import ShapeError
from mnist_arch.spec.network import MAX_ITEMS, Defaults, Network
from mnist_arch.spec.strict_yaml import flow

Tree = dict[str, Any]
Drop = tuple[float, str, str]
"""Rate and kind of a dropout, and where it is: at the end, or before a norm."""

_OPTIONS: Final = (
    "kernel",
    "stride",
    "padding",
    "padding_mode",
    "kind",
    "groups",
    "bias",
    "norm",
    "activation",
    "order",
)
AGAIN: Final = "a layer that is used again, but in a `repeat`"
_MOST_UNITS: Final = 24
"""Most convolutions that one block is tried with, before it repeats them: bounds the search."""
MAX_OPERATIONS: Final = 400
_SMALL: Final = 150
"""Operations up to which all `defaults` are tried that may make the text shorter."""
_A_BLOCK: Final = 24
"""What a further block costs besides its text, in characters."""
_NONE: Final[Drop] = (0.0, "elementwise", "end")


@dataclass(frozen=True)
class Unit:
    """A convolution with what follows it: one entry of `channels`."""

    out: int
    options: tuple[tuple[str, Any], ...]
    """Values by name; None where any will do."""
    dropout: Drop | None
    weights: tuple[str, ...]
    channels: int
    """Channels that come in."""
    end: int

    def says(self) -> tuple[Any, ...]:
        """All that its text depends on."""
        return self.out, self.options, self.dropout

    def value(self, name: str) -> Any:
        return dict(self.options)[name]


@dataclass(frozen=True)
class Stuck:
    """No blocks say the row: the item at which every way ends."""

    index: int


@dataclass(frozen=True)
class Residual:
    """The inside of a residual, or of a squeeze-and-excitation, as units."""

    units: tuple[Unit, ...]
    ratio: int | None
    skip: our.Convolution | None
    is_sum: bool
    end: int


@dataclass(frozen=True)
class Parallel:
    """Units and the branches after them: what a block repeats."""

    items: tuple[Item, ...]
    units: tuple[Unit, ...]
    join: Joined
    ratio: int | None
    end: int
    skip: our.Convolution | None = None
    is_sum: bool = False


# ------------------------------------------------------------------------------------------- units


def unit_at(items: Sequence[Item], start: int, *, with_dropout: bool = True) -> Unit | None:
    """The unit that begins at an item; None where none does."""
    if start >= len(items) or not isinstance(conv := items[start].op, our.Convolution):
        return None
    channels = items[start].in_shape[0]
    kind, weights, end, out = _kind(conv, channels), [items[start].weights], start + 1, conv.out
    after = items[end].op if end < len(items) else None
    is_deep = kind == "depthwise" or (channels == 1 and max(conv.window) > 1)
    bias, depthwise_bias = conv.bias, None
    if is_deep and out == channels and (point := _pointwise(after)) is not None:
        kind, out, bias = "separable", point.out, point.bias
        depthwise_bias = conv.bias if conv.bias != bias else None
        weights.append(items[end].weights)
        end += 1
    norm: our.Normalization | None = None
    activation: our.Activation | None = None
    norm_first = False
    dropout: Drop | None = None
    while end < len(items):
        op = items[end].op
        between = _drop_before_norm(items, end) if with_dropout and norm is None else None
        if between is not None:
            dropout = between
        elif isinstance(op, our.Normalization) and norm is None:
            norm, norm_first = op, activation is None
        elif isinstance(op, our.Activation) and activation is None:
            activation = op
        else:
            break
        end += 1
    if with_dropout and dropout is None and end < len(items):
        if isinstance(drop := items[end].op, our.Dropout):
            dropout, end = (drop.rate, drop.kind, "end"), end + 1
    order = "conv-norm-activation" if norm_first else "conv-activation-norm"
    padding = padding_word(conv, items[start].in_shape)
    if padding is None:
        return None
    options = {
        "kernel": conv.kernel,
        "stride": conv.stride,
        "padding": None if conv.kernel == 1 and padding == "valid" else padding,
        "padding_mode": conv.padding_mode if conv.padding else None,
        "kind": kind,
        "groups": conv.groups if kind == "grouped" else None,
        "bias": bias,
        "depthwise_bias": depthwise_bias,
        "norm": _norm_text(norm),
        "activation": _activation_text(activation),
        "order": order if norm is not None and activation is not None else None,
    }
    return Unit(out, tuple(options.items()), dropout, tuple(weights), channels, end)


def _kind(conv: our.Convolution, channels: int) -> str:
    if conv.groups == 1:
        return "ordinary"
    return "depthwise" if conv.groups == channels else "grouped"


def _pointwise(op: object) -> our.Convolution | None:
    """A plain 1×1 convolution; None where it is something else."""
    match op:
        case our.Convolution(kernel=1, stride=1, groups=1, padding=0):
            return op
    return None


def _drop_before_norm(items: Sequence[Item], at: int) -> Drop | None:
    """The dropout at an item, if a norm follows."""
    if at + 1 < len(items) and isinstance(items[at + 1].op, our.Normalization):
        if isinstance(drop := items[at].op, our.Dropout):
            return drop.rate, drop.kind, "before-norm"
    return None


Said = str | tuple[tuple[str, Any], ...]
"""A kind, or the keys and values of an object that says more."""


def _said_as(kind: str, **more: Any) -> Said:
    return (("kind", kind), *more.items()) if more else kind


def _norm_text(norm: our.Normalization | None) -> Said:
    """A norm as it is written, in a form that can be compared."""
    if norm is None:
        return "none"
    more: Tree = {}
    kind: str = norm.kind
    if norm.affine in ("one", "value"):
        kind = "layer"
    elif norm.kind == "group" and norm.groups != 4:
        more["groups"] = norm.groups
    usual = our.Normalization(norm.kind, norm.groups)
    if norm.splits != usual.splits:
        more["splits"] = norm.splits
    for name in ("affine", "epsilon", "momentum"):
        if (value := getattr(norm, name)) != getattr(usual, name):
            more[name] = value
    return _said_as(kind, **more)


def _activation_text(activation: our.Activation | None) -> Said:
    if activation is None:
        return "none"
    if activation.by_channel:
        return _said_as(activation.kind, slopes="channel")
    if activation.slope != our.LEAKY_SLOPE:
        return _said_as(activation.kind, slope=activation.slope)
    return activation.kind


def _unwritten(value: Any) -> Any:
    """The value of an option in a form that can be compared."""
    if isinstance(value, dict):
        return tuple(value.items())
    return tuple(value) if isinstance(value, list) else value


def _written(name: str, value: Any) -> Any:
    """The value of an option as it is written."""
    if not isinstance(value, tuple):
        return value
    return list(value) if name == "kernel" else dict(value)


# ------------------------------------------------------------------------------------------ blocks


@dataclass(frozen=True)
class _Base:
    """The `defaults` that blocks are written under."""

    options: tuple[tuple[str, Any], ...]
    dropout: Drop = _NONE
    each: bool = False

    def tree(self) -> Tree:
        own = _language_defaults()
        tree = {name: _written(name, value) for name, value in self.options if value != own[name]}
        if self.dropout != _NONE:
            tree["dropout"] = _dropout_tree(self.dropout, each=self.each)
        return tree


def _language_defaults() -> dict[str, Any]:
    own = Defaults()
    values = {name: getattr(own, name) for name in _OPTIONS}
    return {**values, "norm": own.norm.kind, "activation": own.activation.kind}


def _dropout_tree(dropout: Drop, *, each: bool) -> Any:
    rate, kind, at = dropout
    tree: Tree = {"rate": rate}
    if kind != "elementwise":
        tree["kind"] = kind
    if at != "end":
        tree["at"] = at
    if each:
        tree["after"] = "each"
    return rate if len(tree) == 1 else tree


class _Writer:
    """Blocks under given defaults, and the cheapest row of them."""

    def __init__(self, items: Sequence[Item], base: _Base) -> None:
        self.items, self.base = items, base
        self.defaults = dict(base.options)
        self.uses = Counter(_all_weights(items))
        self.reached = 0

    def cheapest(self) -> list[tuple[int, list[Tree]] | None]:
        """For each number of items the cost and the blocks that say so many; None where none do."""
        best: list[tuple[int, list[Tree]] | None] = [None] * (len(self.items) + 1)
        best[0] = (0, [])
        for start in range(len(self.items)):
            here = best[start]
            if here is None or len(here[1]) >= MAX_ITEMS:
                continue
            for end, block in self.blocks_at(start):
                self.reached = max(self.reached, end)
                cost = here[0] + len(flow(block)) + _A_BLOCK
                known = best[end]
                if known is None or cost < known[0]:
                    best[end] = (cost, [*here[1], block])
        return best

    def blocks_at(self, start: int) -> Iterator[tuple[int, Tree]]:
        """Every block that begins at an item, with the item after it."""
        yield from self._tails([], start)
        yield from self._plain(start)
        for parallel, end in self._parallels(start):
            forced = parallel.get("bias", self.defaults["bias"])
            yield from self._tails([], end, block=parallel, bias=forced)
        for residuals in self._residuals(start):
            if (block := self._residual_block(residuals)) is not None:
                forced = block["bias"] if "bias" in block else self.defaults["bias"]
                yield from self._tails([], residuals[-1].end, block=block, bias=forced)

    def _plain(self, start: int) -> Iterator[tuple[int, Tree]]:
        units: list[Unit] = []
        end = start
        while len(units) < _MOST_UNITS and (unit := unit_at(self.items, end)) is not None:
            units.append(unit)
            if unit.dropout is not None:
                bare = unit_at(self.items, end, with_dropout=False)
                assert bare is not None
                yield from self._tails([*units[:-1], bare], bare.end)
            end = unit.end
            yield from self._tails(units, end)

    def _tails(
        self,
        units: list[Unit],
        end: int,
        *,
        block: Tree | None = None,
        bias: bool | None = None,
    ) -> Iterator[tuple[int, Tree]]:
        """A block of units, or of what is given, with everything that may follow them in it."""
        for tail, between, stop in self._pools(end):
            drops = self._drops(stop) if between is None else [(between, stop)]
            for drop, last in drops:
                if block is not None:
                    whole = self._with_tail(block, tail, bias=bool(bias))
                    if whole is not None:
                        yield from self._with_block_dropout(whole, drop, last)
                elif units or tail:
                    yield from self._unit_blocks(units, tail, drop, last)

    def _pools(self, start: int) -> Iterator[tuple[list[tuple[str, Any]], Drop | None, int]]:
        """A reduce, a pool, a reduce from an item on: each of them may be there.

        With them the dropout before the norm of the pool, if there is one.
        """
        yield [], None, start
        for before, middle in self._reduces(start, "before"):
            if before and middle > start:
                yield [("reduce", {**before[0][1], "at": None})], None, middle
            for pool, between, end in self._normed_pool(middle):
                yield [*before, pool], between, end
                if not before:
                    for after, last in self._reduces(end, "after"):
                        if after:
                            yield [pool, *after], between, last

    def _normed_pool(self, start: int) -> Iterator[tuple[tuple[str, Any], Drop | None, int]]:
        """A pool, alone and with the norm that follows it."""
        for pool, end in self._pool(start):
            yield pool, None, end
            name, tree = pool
            drop = _drop_before_norm(self.items, end)
            after = end + (drop is not None)
            norm = self.items[after].op if after < len(self.items) else None
            if isinstance(norm, our.Normalization) and not isinstance(tree, tuple):
                whole = tree if isinstance(tree, dict) else {"kind": tree}
                said = {**whole, "norm": _written("norm", _norm_text(norm))}
                yield (name, said), drop, after + 1

    def _reduces(self, start: int, at: str) -> Iterator[tuple[list[tuple[str, Any]], int]]:
        yield [], start
        unit = unit_at(self.items, start, with_dropout=False)
        if unit is None or unit.value("kind") != "ordinary":
            return
        if unit.value("kernel") == 1 and unit.value("stride") == 1 and self._is_own(unit):
            yield [("reduce", {"unit": unit, "at": at if at == "before" else None})], unit.end

    def _pool(self, start: int) -> Iterator[tuple[tuple[str, Any], int]]:
        if start >= len(self.items):
            return
        item = self.items[start]
        match item.op:
            case our.Pooling(kind=kind, size=size, stride=stride, padding=pad):
                said = pad if isinstance(pad, int) else "same-end"
                yield ("pool", _pool_tree(kind, size, stride, usual=size, padding=said)), start + 1
            case our.GlobalPooling(kind=kind):
                yield ("pool", f"global-{kind}"), start + 1
            case our.Convolution(kernel=int() as side) as op if op.groups == 1 and _may_pool(op):
                following = self.items[start + 1].op if start + 1 < len(self.items) else None
                is_bare = not isinstance(following, our.Activation | our.Normalization)
                keeps = op.out == item.in_shape[0] and op.padding == (side - 1) // 2
                if is_bare and keeps and self.uses[item.weights] == 1:
                    tree = _pool_tree("convolution", side, op.stride, usual=2)
                    yield ("pool", (tree, op)), start + 1

    def _drops(self, start: int) -> Iterator[tuple[Drop | None, int]]:
        yield None, start
        if start < len(self.items) and isinstance(op := self.items[start].op, our.Dropout):
            yield (op.rate, op.kind, "end"), start + 1

    def _is_own(self, unit: Unit) -> bool:
        """Whether nothing else uses its tensors."""
        return all(self.uses[weights] == 1 for weights in unit.weights)

    # ------------------------------------------------------------------------------ text of a block

    def _unit_blocks(
        self, units: list[Unit], tail: list[tuple[str, Any]], drop: Drop | None, last: int
    ) -> Iterator[tuple[int, Tree]]:
        for base, again, share in _periods(units, self._is_own):
            for each in self._each(base, drop):
                block = self._channels(base, each)
                if again > 1:
                    block["repeat"] = again
                    if share:
                        block["share"] = True
                whole = self._with_tail(block, tail, bias=block.get("bias", self.defaults["bias"]))
                if whole is None:
                    continue
                if each is not None:
                    yield last, self._with_dropout(whole, each, each=True)
                else:
                    yield from self._with_block_dropout(whole, drop, last)

    def _each(self, units: Sequence[Unit], drop: Drop | None) -> list[Drop | None]:
        """What `after: each` may say of a block; None is a dropout at its end."""
        found: list[Drop | None] = [None]
        rates = Counter(unit.dropout for unit in units if unit.dropout is not None)
        if units and drop is None:
            if rates:
                found.append(rates.most_common(1)[0][0])
            elif self.base.each:
                found.append(_NONE)
        return found

    def _channels(self, units: Sequence[Unit], each: Drop | None, **forced: Any) -> Tree:
        """Options and `channels` of a block of these units."""
        block: Tree = {}
        options = dict(self.defaults)
        for name in _OPTIONS:
            values = [value for unit in units if (value := unit.value(name)) is not None]
            if not values:
                continue
            value, count = Counter(values).most_common(1)[0]
            others = sum(it != self.defaults[name] for it in values)
            value = forced.get(name, value)
            if value != self.defaults[name] and (name in forced or 2 * count > len(values)):
                if others == len(values) or count > 2 or name in forced:
                    block[name], options[name] = _written(name, value), value
        deep = {unit.value("depthwise_bias") for unit in units}
        if len(deep) == 1 and (bias := deep.pop()) is not None:
            block["depthwise_bias"] = options["depthwise_bias"] = bias
        channels: list[Any] = []
        for unit in units:
            entry: Tree = {"out": unit.out}
            for name, value in unit.options:
                if name == "padding" and value is None and isinstance(options[name], int):
                    value = "valid"  # only words leave a 1×1 convolution unpadded
                if value is not None and value != options.get(name):
                    entry[name] = _written(name, value)
            if unit.dropout != each and not (unit.dropout is None and each == _NONE):
                entry["dropout"] = _dropout_tree(unit.dropout or _NONE, each=False)
            channels.append(entry if len(entry) > 1 else unit.out)
        return {"channels": channels, **block} if channels else block

    def _with_tail(self, block: Tree, tail: list[tuple[str, Any]], *, bias: bool) -> Tree | None:
        """The block with its pool and its reduce; None where it cannot say them."""
        whole = dict(block)
        tail = sorted(tail, key=lambda it: it[0])  # the pool first, as people write it
        order = block.get("order", self.defaults["order"])
        for name, value in tail:
            if name == "pool":
                if isinstance(value, tuple):
                    value, op = value
                    mode = block.get("padding_mode", self.defaults["padding_mode"])
                    if op.bias != bias or (op.padding and op.padding_mode != mode):
                        return None
                whole["pool"] = value
            else:
                whole["reduce"] = _reduce_tree(value["unit"], bias, order, at=value["at"])
        return whole

    def _with_block_dropout(
        self, block: Tree, drop: Drop | None, last: int
    ) -> Iterator[tuple[int, Tree]]:
        yield last, self._with_dropout(block, drop or _NONE, each=False)

    def _with_dropout(self, block: Tree, dropout: Drop, *, each: bool) -> Tree:
        base = self.base
        is_default = dropout == base.dropout and each == base.each
        has_units = "channels" in block or "branches" in block
        if dropout[0] == 0 and (base.dropout[0] == 0 or (base.each and not has_units)):
            is_default = True
        if is_default:
            return block
        return {**block, "dropout": _dropout_tree(dropout, each=each)}

    # ------------------------------------------------------------------------------------- branches

    def _parallels(self, start: int) -> Iterator[tuple[Tree, int]]:
        """Blocks of units and the branches after them, repeated as often as they follow."""
        found: list[Parallel] = []
        end = start
        while len(found) < MAX_ITEMS and (one := self._parallel(end)) is not None:
            found.append(one)
            end = one.end
            biases = {it.skip.bias for it in found if it.skip is not None}
            texts = [self._parallel_text(it, *biases) for it in found] if len(biases) < 2 else []
            share = self._share(found)
            if not texts or texts[-1] is None or any(text != texts[-1] for text in texts):
                return
            if share is None:
                continue
            repeated: Tree = {"repeat": len(found), **({"share": True} if share else {})}
            yield {**texts[-1], **(repeated if len(found) > 1 else {})}, end

    def _parallel(self, start: int) -> Parallel | None:
        """Units and a join, and a squeeze-and-excitation, as they are or inside of a residual."""
        item = self.items[start] if start < len(self.items) else None
        if item is None or not isinstance(item.op, Branches):
            return _parallel_at(self.items, start)
        inside, skip = _parallel_at(item.op.body, 0), item.op.skip
        if inside is None or inside.end != len(item.op.body):
            return None
        if skip is None:
            return replace(inside, is_sum=True, end=start + 1)
        conv = skip.op
        assert isinstance(conv, our.Convolution)
        is_ours = conv == our.Convolution(conv.out, 1, conv.weights, conv.bias, conv.stride)
        if not is_ours or item.in_shape == item.out_shape or self.uses[skip.weights] != 1:
            return None
        return replace(inside, is_sum=True, skip=conv, end=start + 1)

    def _parallel_text(self, found: Parallel, bias: bool | None = None) -> Tree | None:
        """The text of a block, whose bias may be settled; None where a branch has none."""
        forced = {} if bias is None else {"bias": bias}
        block = self._channels(found.units, None, **forced)
        if bias not in (None, self.defaults["bias"]):
            block["bias"] = bias
        given: Tree = {name: _unwritten(block[name]) for name in _OPTIONS if name in block}
        branches = [_branch(way, {**self.defaults, **given}) for way in found.join.ways]
        if any(branch is None for branch in branches) or len(branches) > MAX_ITEMS:
            return None
        block["branches"] = branches
        if found.join.kind != "concat":
            block["join"] = found.join.kind
        if found.is_sum:
            block["residual"] = True
        if found.ratio is not None:
            block["squeeze_excitation"] = found.ratio
        return block

    def _share(self, found: Sequence[Parallel]) -> bool | None:
        """Whether repeats share tensors as `share` has them do; None where they do otherwise."""
        rows = [list(_tensors(it.items)) for it in found]
        uses = Counter(name for row in rows for name, _ in row)
        if len({*map(len, rows)}) > 1 or any(self.uses[it] != uses[it] for it in uses):
            return None
        if max(uses.values(), default=1) == 1:
            return False
        columns = [sorted(column, key=lambda it: it[1]) for column in zip(*rows, strict=True)]
        for column in columns:
            for (one, channels), (two, others) in pairwise(column):
                if (channels == others) != (one == two):
                    return None
        is_apart = sum(len({name for name, _ in column}) for column in columns) == len(uses)
        return True if is_apart else None

    # ------------------------------------------------------------------------------------ residuals

    def _residuals(self, start: int) -> Iterator[list[Residual]]:
        """Residuals, or units that a squeeze-and-excitation ends, one after the other."""
        found: list[Residual] = []
        end = start
        while (one := self._residual(end)) is not None and len(found) < MAX_ITEMS:
            if found and not (_are_alike(found[-1], one) or _are_alike(one, found[-1])):
                return
            found.append(one)
            end = one.end
            yield list(found)

    def _residual(self, start: int) -> Residual | None:
        if start >= len(self.items):
            return None
        item = self.items[start]
        if isinstance(item.op, Branches):
            units, ratio, is_whole = _units_of(item.op.body)
            if not is_whole or not units:
                return None
            skip = item.op.skip
            if skip is None:
                return Residual(units, ratio, None, True, start + 1)
            conv = skip.op
            assert isinstance(conv, our.Convolution)
            steps = prod(unit.value("stride") for unit in units)
            is_ours = conv == our.Convolution(conv.out, 1, conv.weights, conv.bias, steps)
            if not is_ours or item.in_shape == item.out_shape or self.uses[skip.weights] != 1:
                return None
            return Residual(units, ratio, conv, True, start + 1)
        units_here: list[Unit] = []
        end = start
        while (unit := unit_at(self.items, end)) is not None:
            units_here.append(unit)
            end = unit.end
        if units_here and end < len(self.items):
            if isinstance(gate := self.items[end].op, our.SqueezeExcitation):
                ratio = _ratio(units_here[-1].out, gate.hidden)
                return Residual(tuple(units_here), ratio, None, False, end + 1) if ratio else None
        return None

    def _residual_block(self, residuals: list[Residual]) -> Tree | None:
        first = residuals[-1]
        units = _said([it.units for it in residuals])
        if units is None:
            return None
        biases = {it.skip.bias for it in residuals if it.skip is not None}
        if len(biases) > 1:
            return None
        share = _sharing([list(it.units) for it in residuals], self._is_own)
        if share is None:
            return None
        forced = {"bias": biases.pop()} if biases else {}
        block = self._channels(units, None, **forced)
        if len(residuals) > 1:
            block["repeat"] = len(residuals)
            if share:
                block["share"] = True
        if first.is_sum:
            block["residual"] = True
        if first.ratio is not None:
            block["squeeze_excitation"] = first.ratio
        return block


def _parallel_at(items: Sequence[Item], start: int) -> Parallel | None:
    """Units, a join and a squeeze-and-excitation from an item on, without any residual."""
    units: list[Unit] = []
    end = start
    while len(units) < _MOST_UNITS and (unit := unit_at(items, end)) is not None:
        units.append(unit)
        end = unit.end
    join = items[end].op if end < len(items) else None
    if not isinstance(join, Joined):
        return None
    channels, ratio, end = items[end].out_shape[0], None, end + 1
    if end < len(items) and isinstance(gate := items[end].op, our.SqueezeExcitation):
        ratio, end = _ratio(channels, gate.hidden), end + 1
        if ratio is None:
            return None
    return Parallel(tuple(items[start:end]), tuple(units), join, ratio, end)


def _branch(way: Sequence[Item], options: Tree) -> Tree | list[Any] | None:
    """The shortest text of one branch under the options of its block; None where none says it."""
    if not way:
        return []
    writer = _Writer(way, _Base(tuple(options.items())))
    whole = [it for end, it in writer.blocks_at(0) if end == len(way) and "branches" not in it]
    if not whole:
        return None
    tree = min(whole, key=lambda it: len(flow(it)))
    channels: list[Any] = tree["channels"] if tree.keys() == {"channels"} else []
    return channels or tree


def _tensors(items: Sequence[Item]) -> Iterator[tuple[str, int]]:
    """Names and input channels of the tensors of convolutions, projections left aside."""
    for item in items:
        match item.op:
            case Branches(body=body):
                yield from _tensors(body)
            case Joined(ways=ways):
                for way in ways:
                    yield from _tensors(way)
            case our.Convolution():
                yield item.weights, item.in_shape[0]


def _may_pool(op: our.Convolution) -> bool:
    """Whether a convolution is more likely a pool than one of `channels`."""
    return op.stride > 1 or (any(op.sides) and op.window[0] % 2 == 0)


def _are_alike(one: Residual, two: Residual) -> bool:
    """Whether one text says both: a skip is there where the shapes differ."""
    return (
        len(one.units) == len(two.units)
        and all(_is_like(a, b) for a, b in zip(one.units, two.units, strict=True))
        and (one.ratio, one.is_sum) == (two.ratio, two.is_sum)
    )


def _units_of(items: Sequence[Item]) -> tuple[tuple[Unit, ...], int | None, bool]:
    """All items as units and a last squeeze-and-excitation, and whether that is all of them."""
    units: list[Unit] = []
    end = 0
    while (unit := unit_at(items, end)) is not None:
        units.append(unit)
        end = unit.end
    ratio = None
    if units and end < len(items) and isinstance(gate := items[end].op, our.SqueezeExcitation):
        ratio = _ratio(units[-1].out, gate.hidden)
        end += 1
        if ratio is None:
            return (), None, False
    return tuple(units), ratio, end == len(items)


def _ratio(channels: int, hidden: int) -> int | None:
    """A ratio that gives so many hidden channels; None where there is none."""
    ratios: list[int] = [max(1, channels // hidden), *range(1, channels + 1)]
    for ratio in ratios:
        if max(1, channels // ratio) == hidden:
            return ratio
    return None


def _pool_tree(kind: str, size: int, stride: int, *, usual: int, padding: int | str = 0) -> Any:
    tree: Tree = {"kind": kind}
    if size != 2:
        tree["size"] = size
    if stride != usual:
        tree["stride"] = stride
    if padding:
        tree["padding"] = padding
    return kind if len(tree) == 1 else tree


def _reduce_tree(unit: Unit, bias: bool, order: str, *, at: str | None) -> Any:
    tree: Tree = {"out": unit.out}
    if at is not None:
        tree["at"] = at
    if unit.value("bias") != bias:
        tree["bias"] = unit.value("bias")
    for name in ("norm", "activation"):
        if unit.value(name) != "none":
            tree[name] = _written(name, unit.value(name))
    if unit.value("order") not in (None, order):
        tree["order"] = unit.value("order")
    return unit.out if len(tree) == 1 else tree


def _periods(units: Sequence[Unit], is_own: Any) -> Iterator[tuple[Sequence[Unit], int, bool]]:
    """Ways to say units as fewer of them, repeated; without repeats first."""
    if len(units) <= MAX_ITEMS and all(map(is_own, units)):
        yield units, 1, False
    for length in range(1, len(units) // 2 + 1):
        again, rest = divmod(len(units), length)
        if rest or again > MAX_ITEMS or length > MAX_ITEMS:
            continue
        rows = [list(units[i : i + length]) for i in range(0, len(units), length)]
        said = _said(rows)
        if said is not None and (share := _sharing(rows, is_own)) is not None:
            yield said, again, share


def _said(rows: Sequence[Sequence[Unit]]) -> Sequence[Unit] | None:
    """The repeat whose text says all of them: the last or the first; None where none does.

    The first has other channels to begin with, and may be seen in more than one way.
    """
    for base in (rows[-1], rows[0]):
        pairs = [pair for row in rows for pair in zip(row, base, strict=False)]
        if all(len(row) == len(base) for row in rows) and all(_is_like(*it) for it in pairs):
            return base
    return None


def _is_like(unit: Unit, other: Unit) -> bool:
    """Whether the text of the other says this, too.

    A depthwise convolution is one in as many groups as there are channels, and of one channel an
    ordinary one is depthwise.
    """
    kind, wanted = unit.value("kind"), other.value("kind")
    changed: dict[str, Any] = {}
    if (kind, wanted, unit.channels) == ("ordinary", "depthwise", 1):
        changed = {"kind": wanted}
    elif (kind, wanted) == ("depthwise", "grouped") and other.value("groups") == unit.channels:
        changed = {"kind": wanted, "groups": unit.channels}
    options = tuple({**dict(unit.options), **changed}.items())
    return replace(unit, options=options).says() == other.says()


def _sharing(rows: list[list[Unit]], is_own: Any) -> bool | None:
    """Whether repeats share tensors as `share` has them do; None where they do otherwise."""
    if all(is_own(unit) for row in rows for unit in row):
        return False
    for column in zip(*rows, strict=True):
        for one, two in pairwise(sorted(column, key=lambda unit: unit.channels)):
            if (one.channels == two.channels) != (one.weights == two.weights):
                return None
    inside = [weights for row in rows for unit in row for weights in unit.weights]
    columns = [{w for unit in column for w in unit.weights} for column in zip(*rows, strict=True)]
    if sum(map(len, columns)) != len(set(inside)):
        return None
    return True


def _all_weights(items: Sequence[Item]) -> Iterator[str]:
    for item in items:
        if isinstance(item.op, Branches):
            yield from _all_weights(item.op.body)
            if item.op.skip is not None:
                yield item.op.skip.weights
        elif isinstance(item.op, Joined):
            for way in item.op.ways:
                yield from _all_weights(way)
        elif isinstance(item.op, our.Convolution | our.Linear):
            yield item.weights


# -------------------------------------------------------------------------------------------- head


def _heads(items: Sequence[Item], base: _Base, is_own: Any) -> Iterator[tuple[int, Tree]]:
    """Every head that ends the row, with the item at which it begins."""
    linear: Tree = {}
    end = len(items)
    defaults = dict(base.options)
    if items and isinstance(op := items[-1].op, our.Linear):
        linear = {"linear": True} if op.bias else {"linear": True, "bias": False}
        end = next(at for at, it in enumerate(items) if isinstance(it.op, our.Flatten))
        hidden, last = _hidden(items, end + 1, defaults)
        if last != len(items) - 1:
            return
        if hidden:
            linear = {"hidden": hidden[0] if len(hidden) == 1 else hidden, **linear}
            del linear["linear"]
    for start in range(max(0, end - 12), end + 1):
        for tree, stop in _head_parts(items, start, end, defaults, is_own):
            if stop == end:
                yield start, {**tree, **linear}


def _hidden(items: Sequence[Item], start: int, defaults: Tree) -> tuple[list[Any], int]:
    """Hidden fully connected layers from an item on, and the item after them."""
    found: list[Any] = []
    while start < len(items) - 1 and isinstance(linear := items[start].op, our.Linear):
        alike = our.Convolution(linear.out, 1, items[start].weights, linear.bias)
        unit = unit_at([replace(items[start], op=alike), *items[start + 1 : start + 4]], 0)
        assert unit is not None
        tree: Tree = {"out": unit.out}
        for name in ("bias", "norm", "activation", "order"):
            if (value := unit.value(name)) not in (None, defaults[name]):
                tree[name] = _written(name, value)
        if unit.dropout is not None:
            tree["dropout"] = _dropout_tree(unit.dropout, each=False)
        found.append(tree if len(tree) > 1 else unit.out)
        start += unit.end
    return found, start


def _head_parts(
    items: Sequence[Item], start: int, end: int, defaults: dict[str, Any], is_own: Any
) -> Iterator[tuple[Tree, int]]:
    row = items[:end]

    def drop(at: int, where: str) -> list[tuple[Tree, int]]:
        found: list[tuple[Tree, int]] = [({}, at)]
        if at < end and isinstance(op := row[at].op, our.Dropout):
            tree: Tree = {"rate": op.rate}
            if op.kind != "elementwise":
                tree["kind"] = op.kind
            if where != "after":
                tree["at"] = where
            found.append(({"dropout": op.rate if len(tree) == 1 else tree}, at + 1))
        return found

    def reduce(at: int, where: str, kernel: int | tuple[int, int]) -> list[tuple[Tree, int]]:
        found: list[tuple[Tree, int]] = [({}, at)]
        unit = unit_at(row, at, with_dropout=False)
        if unit is None or not is_own(unit) or unit.value("stride") != 1:
            return found
        if unit.value("kernel") == kernel and unit.value("kind") == "ordinary":
            if unit.value("padding") in (None, "valid"):
                tree = _reduce_tree(
                    unit,
                    defaults["bias"],
                    defaults["order"],
                    at="before" if where == "before" else None,
                )
                found.append(({"reduce": tree}, unit.end))
        return found

    def pool(at: int) -> list[tuple[Tree, int, int | tuple[int, int]]]:
        side = row[at].in_shape if at < end else (row[-1].out_shape if row else (0, 0, 0))
        kernel = side[1] if side[1] == side[2] else side[1:]
        found: list[tuple[Tree, int, int | tuple[int, int]]] = [({"pool": "flatten"}, at, kernel)]
        if at < end:
            match row[at].op:
                case our.Pooling(kind="average", size=size, stride=stride, padding=0) if (
                    size == stride
                ):
                    found.append(({"pool": "average", "size": size}, at + 1, 1))
                case our.GlobalPooling(kind="average"):
                    found.append(({}, at + 1, 1))
                case our.GlobalPooling():
                    found.append(({"pool": "global-max"}, at + 1, 1))
        return found

    for first, a in reduce(start, "before", 1):
        for second, b in drop(a, "before"):
            for third, c, kernel in pool(b):
                for fourth, d in drop(c, "after") if not second else [({}, c)]:
                    for fifth, e in reduce(d, "after", kernel) if not first else [({}, d)]:
                        said = {**third, **first, **fifth, **second, **fourth}
                        yield said, e
                        is_last = end == len(items) - 2  # with no hidden layer before it
                        if fifth and is_last and not second and not fourth:
                            for sixth, f in drop(e, "before-linear")[1:]:
                                yield {**said, **sixth}, f


# ------------------------------------------------------------------------------------- the network


def write(items: Sequence[Item], classes: int = 10) -> Tree | Stuck:
    """The shortest `defaults`, `blocks` and `head` that say the row; Stuck where nothing does.

    A sum is a residual where it can be one, else of branches.
    """
    found = _write(items, classes)
    if isinstance(found, Stuck) and any(isinstance(it.op, Branches) for it in items):
        other = _write(_as_branches(items), classes)
        return found if isinstance(other, Stuck) else other
    return found


def _as_branches(items: Sequence[Item]) -> list[Item]:
    """The row with sums of branches in the place of residuals."""
    return [
        replace(item, op=Joined("add", (op.body, () if op.skip is None else (op.skip,))))
        if isinstance(op := item.op, Branches)
        else item
        for item in items
    ]


def _write(items: Sequence[Item], classes: int) -> Tree | Stuck:
    best: tuple[int, Tree] | None = None
    reached = 0
    for base in islice(_bases(items), None if len(items) <= _SMALL else 2):
        writer = _Writer(items, base)
        rows = writer.cheapest()
        reached = max(reached, writer.reached)
        for start, head in _heads(items, base, writer._is_own):
            found = rows[start]
            if found is None or not found[1]:
                continue
            tree: Tree = {} if classes == 10 else {"classes": classes}
            if defaults := base.tree():
                tree["defaults"] = defaults
            tree["blocks"] = found[1]
            if head:
                tree["head"] = head
            cost = found[0] + len(flow(defaults)) + len(flow(head))
            if (best is None or cost < best[0]) and differences(tree, items) == []:
                best = (cost, tree)
    return Stuck(reached) if best is None else best[1]


def _bases(items: Sequence[Item]) -> Iterator[_Base]:
    """Defaults that are worth trying: the most common options, with and without a dropout."""
    units = list(_every_unit(items))
    options = _language_defaults()
    large = [unit for unit in units if unit.value("kernel") != 1] or units
    for name in _OPTIONS:
        values = Counter(value for unit in large if (value := unit.value(name)) is not None)
        if name not in ("stride", "groups") and values:
            value, count = values.most_common(1)[0]
            if count > values[options[name]]:
                options[name] = value
    if options["kind"] in ("grouped", "depthwise"):
        options["kind"] = "ordinary"
    plain = tuple(options.items())
    yield _Base(plain)
    drops = Counter(
        _drop_before_norm(items, index) or (item.op.rate, item.op.kind, "end")
        for index, item in enumerate(items)
        if isinstance(item.op, our.Dropout)
    )
    for dropout, _ in drops.most_common(2):
        yield _Base(plain, dropout)
        yield _Base(plain, dropout, each=True)


def _every_unit(items: Sequence[Item]) -> Iterator[Unit]:
    index = 0
    while index < len(items):
        op = items[index].op
        if isinstance(op, Branches):
            yield from _every_unit(op.body)
        if isinstance(op, Joined):
            for way in op.ways:
                yield from _every_unit(way)
        if (unit := unit_at(items, index)) is not None:
            yield unit
            index = unit.end
        else:
            index += 1


def differences(tree: Tree, items: Sequence[Item]) -> list[str]:
    """Where the spec unrolls to something else than the row: nothing, unless we have a bug."""
    network = Network.model_validate(tree)
    try:
        ours = list(_signature(unroll(network)))
    except ShapeError as error:
        return [str(error)]
    theirs = list(_item_signature(items))
    if len(ours) != len(theirs) and any(isinstance(it.op, Branches) for it in items):
        theirs = list(_item_signature(_as_branches(items)))
    if len(ours) != len(theirs):
        return [f"{len(ours)} operations, not {len(theirs)}"]
    found = [f"{a} is not {b}" for a, b in zip(ours, theirs, strict=True) if a[:-1] != b[:-1]]
    if _pattern([a[-1] for a in ours]) != _pattern([b[-1] for b in theirs]):
        found.append("tensors are shared in another way")
    return found


Signature = tuple[Any, ...]


def _signature(layers: Sequence[our.Layer]) -> Iterator[Signature]:
    for layer in layers:
        match layer.op:
            case our.Residual(body=body, skip=skip):
                yield "residual", layer.in_shape, ""
                yield from _signature(body)
                yield "skip", layer.out_shape, ""
                if skip is not None:
                    yield from _signature((skip,))
            case our.Join(kind=kind, branches=branches):
                yield kind, len(branches), layer.in_shape, ""
                for branch in branches:
                    yield "branch", len(branch), layer.out_shape, ""
                    yield from _signature(branch)
            case our.Convolution(weights=weights) as op:
                yield replace(op, weights=""), layer.in_shape, layer.out_shape, weights
            case op:
                yield _plain(op, layer.in_shape), layer.in_shape, layer.out_shape, ""


def _item_signature(items: Sequence[Item]) -> Iterator[Signature]:
    for item in items:
        match item.op:
            case Branches(body=body, skip=skip):
                yield "residual", item.in_shape, ""
                yield from _item_signature(body)
                yield "skip", item.out_shape, ""
                if skip is not None:
                    yield from _item_signature((skip,))
            case Joined(kind=kind, ways=ways):
                yield kind, len(ways), item.in_shape, ""
                for way in ways:
                    yield "branch", len(way), item.out_shape, ""
                    yield from _item_signature(way)
            case our.Convolution():
                yield without_weights(item.op), item.in_shape, item.out_shape, item.weights
            case op:
                yield _plain(op, item.in_shape), item.in_shape, item.out_shape, ""


def _plain(op: our.Op, shape: our.Shape) -> Any:
    """A global pool as the pool with a window of the whole map, which it is."""
    if isinstance(op, our.GlobalPooling) and shape[1] == shape[2]:
        return our.Pooling(op.kind, shape[1], shape[1])
    return op


def _pattern(names: Sequence[str]) -> list[int]:
    """Which names are equal, whatever they are."""
    first: dict[str, int] = {}
    return [first.setdefault(name, index) if name else -1 for index, name in enumerate(names)]


def stuck(items: Sequence[Item], index: int) -> Lack:
    """What the language lacks where every way through the row ends."""
    index = min(index, len(items) - 1)
    item = items[index]
    before = items[index - 1].op if index else None
    match before, item.op:
        case _, our.Normalization():
            what = f"a norm after {_word(before)}"
        case Branches(), our.Activation():
            what = "an activation after the sum of a residual"
        case Joined(), our.Activation() | our.Normalization():
            what = "a norm or an activation after branches are joined"
        case _, Joined():
            what = "branches of this kind"
        case _, our.Activation():
            what = f"an activation after {_word(before)}"
        case _, Branches():
            what = "a residual of this kind"
        case _, our.Convolution(weights=weights) if list(_all_weights(items)).count(weights) > 1:
            what = AGAIN
        case _, our.Convolution():
            what = f"a convolution of this kind after {_word(before)}"
        case _:
            what = f"{_word(item.op)} after {_word(before)}"
    return Lack(what, item.place)


def _word(op: our.Op | Branches | Joined | None) -> str:
    match op:
        case None:
            return "the image"
        case our.Convolution():
            return "a convolution"
        case our.Normalization():
            return "a norm"
        case our.Activation():
            return "an activation"
        case our.Dropout():
            return "a dropout"
        case our.Pooling() | our.GlobalPooling():
            return "a pool"
        case Branches():
            return "a residual"
        case Joined():
            return "branches"
        case our.SqueezeExcitation():
            return "a squeeze-and-excitation"
        case _:
            return "a fully connected layer"
