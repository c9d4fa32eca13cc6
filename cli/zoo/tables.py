"""The table of the networks that ship."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mnist_arch.spec.experiment import Budget

from ..consoles import stdout
from ..formats import VERDICTS, duration
from ..prose import say
from ..tables import Column, print_tables

if TYPE_CHECKING:
    from mnist_arch.runs.entries import Entry

_NOTHING = "–"


def show_entries(entries: Sequence[Entry]) -> None:
    """Prints a line for each network, and what the numbers mean."""
    console = stdout()
    print_tables(
        [
            Column("name", [it.name for it in entries], words=True, is_key=True),
            Column("parameters", [f"{it.counted.parameters:,}" for it in entries]),
            Column("MACs", [f"{it.counted.macs:,}" for it in entries], goes=2),
            Column("epochs", [f"{it.counted.experiment.recipe.epochs:,}" for it in entries]),
            Column("accuracy %", [_accuracy(it) for it in entries]),
            Column("over seeds\n≥ %", [_bound(it) for it in entries]),
            Column("and images\n≥ %", [_crossed(it) for it in entries], goes=3),
            Column("rules", [_rules(it) for it in entries], words=True, wants=20, goes=4),
            *_teachers(entries),
            Column("time", [_time(it) for it in entries], goes=1),
        ],
        console,
    )
    console.print()
    say(
        console,
        "accuracy: mean ± standard deviation (seeds) of final epochs, on test; ≥: one-sided 95 % "
        "bounds of the mean; time: of one seed, the median, with that of a teacher",
    )
    if entries:
        shown = next((it for it in entries if it.evidence is not None), entries[0])
        say(console, f"mnist-arch eval zoo/{shown.name}", label="next  ")


def _teachers(entries: Sequence[Entry]) -> list[Column]:
    """Whom each has learned from, where one has a teacher."""
    taught = [it.evidence.teacher if it.evidence is not None else None for it in entries]
    names = [_NOTHING if it is None else it.name for it in taught]
    return [Column("teacher", names, words=True, goes=2)] if any(taught) else []


def _accuracy(entry: Entry) -> str:
    """`99.626 ± 0.021 (5)`, and the split where it is not test."""
    if (evidence := entry.evidence) is None:
        return _NOTHING
    it = evidence.accuracies
    spread = "" if it.spread_percent is None else f" ± {it.spread_percent:.3f}"
    split = "" if evidence.split == "test" else f", {evidence.split}"
    return f"{it.mean_percent:.3f}{spread} ({it.runs}{split})"


def _bound(entry: Entry) -> str:
    bound = None if entry.evidence is None else entry.evidence.accuracies.bound_percent
    return _NOTHING if bound is None else f"{bound:.3f}"


def _crossed(entry: Entry) -> str:
    bound = None if entry.evidence is None else entry.evidence.crossed_bound_percent
    return _NOTHING if bound is None else f"{bound:.3f}"


def _rules(entry: Entry) -> str:
    """`< 20,000 parameters, < 20 epochs, ≥ 99.4 %: kept`."""
    return f"{rules_text(entry.counted.experiment.budget)}: {VERDICTS[entry.verdicts.overall]}"


def rules_text(budget: Budget) -> str:
    """`< 20,000 parameters, < 20 epochs, ≥ 99.4 %`."""
    limits = [f"< {limit:,} {what}" for what, limit in budget.limits().items()]
    return ", ".join([*limits, f"≥ {budget.accuracy_percent:g} %"])


def _time(entry: Entry) -> str:
    return _NOTHING if entry.seconds is None else duration(entry.seconds)
