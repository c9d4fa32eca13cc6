"""Variants of one thing, measured in turn, and their ratios round by round."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import torch
from report import spread

HEADINGS: Final = ("", "", "median", "least", "most", "ratio", "least", "most")
"""Of `Readings.rows`."""

Call = Callable[[], object]


@dataclass(frozen=True)
class Lever:
    """Variants of one thing, of which the others are compared with the first."""

    name: str
    variants: dict[str, Call]
    calls: int
    """Of a variant in a round."""
    threads: dict[str, int] = field(default_factory=dict)
    """By variant, where they are what differs."""


@dataclass(frozen=True)
class Readings:
    """What was measured of each variant, round by round."""

    name: str
    unit: str
    values: dict[str, list[float]]

    def ratios(self) -> dict[str, list[float]]:
        """The first variant by each of the others, round by round."""
        (_, first), *others = self.values.items()
        return {
            name: [one / other for one, other in zip(first, values, strict=True)]
            for name, values in others
        }

    def report(self) -> dict[str, Any]:
        ratios = self.ratios()
        spreads = {name: spread(values) for name, values in ratios.items()}
        return {**asdict(self), "ratios": ratios, "ratio_spreads": spreads}

    def rows(self) -> list[list[str]]:
        """A row for each variant; the first has no ratio."""
        ratios = self.ratios()

        def row(name: str, values: list[float]) -> list[str]:
            read = [f"{value:,.3f}" for value in spread(values).values()]
            ratio = ["", "", ""]
            if name in ratios:
                ratio = [f"{value:.3g}" for value in spread(ratios[name]).values()]
            return [f"{self.name}: {name}", self.unit, *read, *ratio]

        return [row(name, values) for name, values in self.values.items()]


def measure(lever: Lever, *, rounds: int, threads: int) -> Readings:
    """Milliseconds a call of each variant in each round, after a block of each to warm up."""

    def block(name: str) -> float:
        torch.set_num_threads(lever.threads.get(name, threads))
        start = time.perf_counter()
        for _ in range(lever.calls):
            lever.variants[name]()
        return 1e3 * (time.perf_counter() - start) / lever.calls

    for name in lever.variants:
        block(name)
    milliseconds: dict[str, list[float]] = {name: [] for name in lever.variants}
    for _ in range(rounds):
        for name, found in milliseconds.items():
            found.append(block(name))
    return Readings(lever.name, "ms", milliseconds)
