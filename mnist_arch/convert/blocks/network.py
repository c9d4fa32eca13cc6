"""From operations in a row to blocks: the shortest spec that unrolls to exactly these.

Every stretch of the row that one block can say is weighed by the length of its YAML; the cheapest
way through the row wins. What comes out is unrolled again and compared, operation by operation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from mnist_arch.convert.blocks.comparing import as_branches, differences
from mnist_arch.convert.blocks.heads import heads_of
from mnist_arch.convert.blocks.texts import OPTIONS, Base, language_defaults
from mnist_arch.convert.blocks.units import Tree, Unit, drop_before_norm, unit_at
from mnist_arch.convert.blocks.writer import Writer
from mnist_arch.convert.lowering import Branches, Item, Joined
from mnist_arch.counting import layers as our
from mnist_arch.spec.strict_yaml import flow

MAX_OPERATIONS: Final = 400
_SMALL: Final = 150
"""Operations up to which all `defaults` are tried that may make the text shorter."""


@dataclass(frozen=True)
class Stuck:
    """No blocks say the row: the item at which every way ends."""

    index: int


def write(items: Sequence[Item], classes: int = 10) -> Tree | Stuck:
    """The shortest `defaults`, `blocks` and `head` that say the row; Stuck where nothing does.

    A sum is a residual where it can be one, else of branches.
    """
    found = _write(items, classes)
    if isinstance(found, Stuck) and any(isinstance(it.op, Branches) for it in items):
        other = _write(as_branches(items), classes)
        return Stuck(max(found.index, other.index)) if isinstance(other, Stuck) else other
    return found


def _write(items: Sequence[Item], classes: int) -> Tree | Stuck:
    best: tuple[int, Tree] | None = None
    reached = 0
    for base in islice(_bases(items), None if len(items) <= _SMALL else 2):
        writer = Writer(items, base)
        rows = writer.cheapest()
        reached = max(reached, writer.reached)
        for start, head in heads_of(items, base, writer.is_own):
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


def _bases(items: Sequence[Item]) -> Iterator[Base]:
    """Defaults that are worth trying: the most common options, with and without a dropout."""
    units = list(_every_unit(items))
    options = language_defaults()
    large = [unit for unit in units if unit.value("kernel") != 1] or units
    for name in OPTIONS:
        values = Counter(value for unit in large if (value := unit.value(name)) is not None)
        if name not in ("stride", "groups") and values:
            value, count = values.most_common(1)[0]
            if count > values[options[name]]:
                options[name] = value
    if options["kind"] in ("grouped", "depthwise"):
        options["kind"] = "ordinary"
    plain = tuple(options.items())
    yield Base(plain)
    drops = Counter(
        drop_before_norm(items, index) or (item.op.rate, item.op.kind, "end")
        for index, item in enumerate(items)
        if isinstance(item.op, our.Dropout)
    )
    for dropout, _ in drops.most_common(2):
        yield Base(plain, dropout)
        yield Base(plain, dropout, each=True)


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
