"""Residuals, and units with branches after them: what a block may say at an item, and repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mnist_arch.convert.blocks.repeats import is_like
from mnist_arch.convert.blocks.units import Unit, ratio_of, unit_at
from mnist_arch.convert.lowering import Item, Joined
from mnist_arch.counting import layers as our

MOST_UNITS: Final = 24
"""Most convolutions that one block is tried with, before it repeats them: bounds the search."""


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


def parallel_at(items: Sequence[Item], start: int) -> Parallel | None:
    """Units, a join and a squeeze-and-excitation from an item on, without any residual."""
    units: list[Unit] = []
    end = start
    while len(units) < MOST_UNITS and (unit := unit_at(items, end)) is not None:
        units.append(unit)
        end = unit.end
    join = items[end].op if end < len(items) else None
    if not isinstance(join, Joined):
        return None
    channels, ratio, end = items[end].out_shape[0], None, end + 1
    if end < len(items) and isinstance(gate := items[end].op, our.SqueezeExcitation):
        ratio, end = ratio_of(channels, gate.hidden), end + 1
        if ratio is None:
            return None
    return Parallel(tuple(items[start:end]), tuple(units), join, ratio, end)


def are_alike(one: Residual, two: Residual) -> bool:
    """Whether one text says both: a skip is there where the shapes differ."""
    return (
        len(one.units) == len(two.units)
        and all(is_like(a, b) for a, b in zip(one.units, two.units, strict=True))
        and (one.ratio, one.is_sum) == (two.ratio, two.is_sum)
    )


def units_of(items: Sequence[Item]) -> tuple[tuple[Unit, ...], int | None, bool]:
    """All items as units and a last squeeze-and-excitation, and whether that is all of them."""
    units: list[Unit] = []
    end = 0
    while (unit := unit_at(items, end)) is not None:
        units.append(unit)
        end = unit.end
    ratio = None
    if units and end < len(items) and isinstance(gate := items[end].op, our.SqueezeExcitation):
        ratio = ratio_of(units[-1].out, gate.hidden)
        end += 1
        if ratio is None:
            return (), None, False
    return tuple(units), ratio, end == len(items)
