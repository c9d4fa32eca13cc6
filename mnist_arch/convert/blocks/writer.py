"""Every block that begins at an item, and the cheapest row of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any, Final

from mnist_arch.convert.blocks.parts import (
    MOST_UNITS,
    Parallel,
    Residual,
    are_alike,
    parallel_at,
    units_of,
)
from mnist_arch.convert.blocks.repeats import periods, said_by_one, shares
from mnist_arch.convert.blocks.texts import (
    NO_DROP,
    OPTIONS,
    Base,
    as_compared,
    as_written,
    dropout_tree,
    pool_tree,
    reduce_tree,
)
from mnist_arch.convert.blocks.units import (
    Drop,
    Tree,
    Unit,
    all_weights,
    drop_before_norm,
    may_pool,
    norm_text,
    ratio_of,
    tensors_of,
    unit_at,
)
from mnist_arch.convert.lowering import Branches, Item
from mnist_arch.counting import layers as our
from mnist_arch.spec.network import MAX_ITEMS
from mnist_arch.spec.strict_yaml import flow

_A_BLOCK: Final = 24
"""What a further block costs besides its text, in characters."""


class Writer:
    """Blocks under given defaults, and the cheapest row of them."""

    def __init__(self, items: Sequence[Item], base: Base) -> None:
        self.items, self.base = items, base
        self.defaults = dict(base.options)
        self.uses = Counter(all_weights(items))
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
        while len(units) < MOST_UNITS and (unit := unit_at(self.items, end)) is not None:
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
            drop = drop_before_norm(self.items, end)
            after = end + (drop is not None)
            norm = self.items[after].op if after < len(self.items) else None
            if isinstance(norm, our.Normalization) and not isinstance(tree, tuple):
                whole = tree if isinstance(tree, dict) else {"kind": tree}
                said = {**whole, "norm": as_written("norm", norm_text(norm))}
                yield (name, said), drop, after + 1

    def _reduces(self, start: int, at: str) -> Iterator[tuple[list[tuple[str, Any]], int]]:
        yield [], start
        unit = unit_at(self.items, start, with_dropout=False)
        if unit is None or unit.value("kind") != "ordinary":
            return
        if unit.value("kernel") == 1 and unit.value("stride") == 1 and self.is_own(unit):
            yield [("reduce", {"unit": unit, "at": at if at == "before" else None})], unit.end

    def _pool(self, start: int) -> Iterator[tuple[tuple[str, Any], int]]:
        if start >= len(self.items):
            return
        item = self.items[start]
        match item.op:
            case our.Pooling(kind=kind, size=size, stride=stride, padding=pad):
                said = pad if isinstance(pad, int) else "same-end"
                yield ("pool", pool_tree(kind, size, stride, usual=size, padding=said)), start + 1
            case our.GlobalPooling(kind=kind):
                yield ("pool", f"global-{kind}"), start + 1
            case our.Convolution(kernel=int() as side) as op if op.groups == 1 and may_pool(op):
                following = self.items[start + 1].op if start + 1 < len(self.items) else None
                is_bare = not isinstance(following, our.Activation | our.Normalization)
                keeps = op.out == item.in_shape[0] and op.padding == (side - 1) // 2
                if is_bare and keeps and self.uses[item.weights] == 1:
                    tree = pool_tree("convolution", side, op.stride, usual=2)
                    yield ("pool", (tree, op)), start + 1

    def _drops(self, start: int) -> Iterator[tuple[Drop | None, int]]:
        yield None, start
        if start < len(self.items) and isinstance(op := self.items[start].op, our.Dropout):
            yield (op.rate, op.kind, "end"), start + 1

    def is_own(self, unit: Unit) -> bool:
        """Whether nothing else uses its tensors."""
        return all(self.uses[weights] == 1 for weights in unit.weights)

    # ------------------------------------------------------------------------------ text of a block

    def _unit_blocks(
        self, units: list[Unit], tail: list[tuple[str, Any]], drop: Drop | None, last: int
    ) -> Iterator[tuple[int, Tree]]:
        for base, again, share in periods(units, self.is_own):
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
                found.append(NO_DROP)
        return found

    def _channels(self, units: Sequence[Unit], each: Drop | None, **forced: Any) -> Tree:
        """Options and `channels` of a block of these units."""
        block: Tree = {}
        options = dict(self.defaults)
        for name in OPTIONS:
            values = [value for unit in units if (value := unit.value(name)) is not None]
            if not values:
                continue
            value, count = Counter(values).most_common(1)[0]
            others = sum(it != self.defaults[name] for it in values)
            value = forced.get(name, value)
            if value != self.defaults[name] and (name in forced or 2 * count > len(values)):
                if others == len(values) or count > 2 or name in forced:
                    block[name], options[name] = as_written(name, value), value
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
                    entry[name] = as_written(name, value)
            if unit.dropout != each and not (unit.dropout is None and each == NO_DROP):
                entry["dropout"] = dropout_tree(unit.dropout or NO_DROP, each=False)
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
                whole["reduce"] = reduce_tree(value["unit"], bias, order, at=value["at"])
        return whole

    def _with_block_dropout(
        self, block: Tree, drop: Drop | None, last: int
    ) -> Iterator[tuple[int, Tree]]:
        yield last, self._with_dropout(block, drop or NO_DROP, each=False)

    def _with_dropout(self, block: Tree, dropout: Drop, *, each: bool) -> Tree:
        base = self.base
        is_default = dropout == base.dropout and each == base.each
        has_units = "channels" in block or "branches" in block
        if dropout[0] == 0 and (base.dropout[0] == 0 or (base.each and not has_units)):
            is_default = True
        if is_default:
            return block
        return {**block, "dropout": dropout_tree(dropout, each=each)}

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
            return parallel_at(self.items, start)
        inside, skip = parallel_at(item.op.body, 0), item.op.skip
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
        given: Tree = {name: as_compared(block[name]) for name in OPTIONS if name in block}
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
        rows = [list(tensors_of(it.items)) for it in found]
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
            if found and not (are_alike(found[-1], one) or are_alike(one, found[-1])):
                return
            found.append(one)
            end = one.end
            yield list(found)

    def _residual(self, start: int) -> Residual | None:
        if start >= len(self.items):
            return None
        item = self.items[start]
        if isinstance(item.op, Branches):
            units, ratio, is_whole = units_of(item.op.body)
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
                ratio = ratio_of(units_here[-1].out, gate.hidden)
                return Residual(tuple(units_here), ratio, None, False, end + 1) if ratio else None
        return None

    def _residual_block(self, residuals: list[Residual]) -> Tree | None:
        first = residuals[-1]
        units = said_by_one([it.units for it in residuals])
        if units is None:
            return None
        biases = {it.skip.bias for it in residuals if it.skip is not None}
        if len(biases) > 1:
            return None
        share = shares([list(it.units) for it in residuals], self.is_own)
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


def _branch(way: Sequence[Item], options: Tree) -> Tree | list[Any] | None:
    """The shortest text of one branch under the options of its block; None where none says it."""
    if not way:
        return []
    writer = Writer(way, Base(tuple(options.items())))
    whole = [it for end, it in writer.blocks_at(0) if end == len(way) and "branches" not in it]
    if not whole:
        return None
    tree = min(whole, key=lambda it: len(flow(it)))
    channels: list[Any] = tree["channels"] if tree.keys() == {"channels"} else []
    return channels or tree
