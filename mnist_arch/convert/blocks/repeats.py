"""Whether one text says several stretches of a row, and shares tensors as `share` has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from mnist_arch.convert.blocks.units import Unit
from mnist_arch.spec.network import MAX_ITEMS


def periods(units: Sequence[Unit], is_own: Any) -> Iterator[tuple[Sequence[Unit], int, bool]]:
    """Ways to say units as fewer of them, repeated; without repeats first."""
    if len(units) <= MAX_ITEMS and all(map(is_own, units)):
        yield units, 1, False
    for length in range(1, len(units) // 2 + 1):
        again, rest = divmod(len(units), length)
        if rest or again > MAX_ITEMS or length > MAX_ITEMS:
            continue
        rows = [list(units[i : i + length]) for i in range(0, len(units), length)]
        said = said_by_one(rows)
        if said is not None and (share := shares(rows, is_own)) is not None:
            yield said, again, share


def said_by_one(rows: Sequence[Sequence[Unit]]) -> Sequence[Unit] | None:
    """The repeat whose text says all of them: the last or the first; None where none does.

    The first has other channels to begin with, and may be seen in more than one way.
    """
    for base in (rows[-1], rows[0]):
        pairs = [pair for row in rows for pair in zip(row, base, strict=False)]
        if all(len(row) == len(base) for row in rows) and all(is_like(*it) for it in pairs):
            return base
    return None


def is_like(unit: Unit, other: Unit) -> bool:
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


def shares(rows: list[list[Unit]], is_own: Any) -> bool | None:
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
