"""The result of a check: as a table, as CSV for the grade book, and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from rich.markup import escape

from mnist_arch.claims.check import CheckedRun, reasons
from mnist_arch.spec.experiment import Budget

from ..consoles import stdout
from ..grade_book import grade_book
from ..prose import say
from ..quoting import printable
from ..tables import Column, print_tables

_STYLES: Final = {"as stated": "green", "differs": "bold red", "cannot be read": "bold red"}


def show(runs: Sequence[CheckedRun], budget: Budget) -> None:
    """Prints a row for each run, and what differs below."""
    console = stdout()
    counts = " and ".join(f"{limit:,} {what}" for what, limit in budget.limits().items())
    rules = f"fewer than {counts}, ≥ {budget.accuracy_percent:g} % on {budget.dataset} test"
    print_tables(_columns(runs), console, title=escape(f"checked by {rules}"))
    for run in runs:
        for number, text in enumerate(reasons(run)):
            if not number:
                console.print()
                say(console, printable(run.name), style="bold")
            say(console, printable(text), label="  ")


def _columns(runs: Sequence[CheckedRun]) -> list[Column]:
    def cells(name: str) -> list[str]:
        return [escape(printable(_text(_row(run)[name]))) for run in runs]

    states = [f"[{_STYLES[run.state]}]{run.state}[/]" for run in runs]
    return [
        Column("run", cells("run"), words=True, is_key=True),
        Column("is", states, words=True, is_whole=True),
        Column("network", cells("network"), words=True, goes=4),
        Column("seed", cells("seed"), goes=5),
        Column("parameters", cells("parameters"), goes=2),
        Column("epochs", cells("epochs"), goes=3),
        Column("correct", cells("correct"), goes=1),
        Column("of", cells("images"), goes=7),
        Column("split", cells("split"), words=True, goes=6),
        Column("parameter\nrule", cells("parameters_verdict"), words=True, goes=8),
        Column("epoch\nrule", cells("epochs_verdict"), words=True, goes=9),
        Column("accuracy\nrule", cells("accuracy_verdict"), words=True, goes=10),
    ]


def _text(value: object) -> str:
    if value is None or value == "":
        return "–"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _row(run: CheckedRun) -> dict[str, Any]:
    """One row of the grade book."""
    judged, verdicts = run.judgement, run.verdicts
    return {
        "run": run.name,
        "is": run.state,
        "network": run.network,
        "digest": run.digest,
        "seed": run.seed,
        "dataset": run.dataset,
        "split": run.split,
        "parameters": run.parameters,
        "epochs": run.epochs,
        "correct": judged and judged.correct,
        "images": judged and judged.images,
        "accuracy_percent": judged and judged.accuracy_percent,
        "parameters_verdict": verdicts and verdicts.parameters,
        "epochs_verdict": verdicts and verdicts.epochs,
        "accuracy_verdict": verdicts and verdicts.accuracy,
        "macs_verdict": verdicts and verdicts.macs,
        "bytes_verdict": verdicts and verdicts.bytes,
        "differs": len(run.contradictions),
        "reasons": "; ".join(reasons(run)),
    }


def csv_text(runs: Sequence[CheckedRun]) -> str:
    """A line for each run, below one of headings."""
    return grade_book([_row(run) for run in runs])


def as_object(
    runs: Sequence[CheckedRun], budget: Budget, *, passed_over: Sequence[str]
) -> dict[str, Any]:
    """All that was found, exact."""
    return {
        "format": 1,
        "budget": budget.model_dump(mode="json"),
        "runs": [
            {
                **_row(run),
                "reasons": reasons(run),
                "differs": [dataclasses.asdict(it) for it in run.contradictions],
                "repeat": None if run.repeat is None else dataclasses.asdict(run.repeat),
            }
            for run in runs
        ],
        "passed_over": list(passed_over),
    }
