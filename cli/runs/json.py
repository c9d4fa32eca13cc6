"""Runs as JSON and CSV: exact, nothing rounded."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_arch.files import shown
from mnist_arch.runs.listing import Line, ListedRun

if TYPE_CHECKING:
    from mnist_arch.runs.comparing import Compared

_COLUMNS = (
    *("name", "folder", "seed", "state", "started", "bytes", "epochs_done", "correct", "images"),
    *("accuracy_percent", "seconds", "network", "sweep", "differs", "parameters", "macs"),
    *("dataset", "split", "epochs", "seeds", "mean_percent", "spread_percent", "digest"),
)


def listing_object(lines: Sequence[Line], folder: Path) -> dict[str, Any]:
    """Every experiment with its runs."""
    return {"format": 1, "folder": shown(folder), "experiments": [*map(_line, lines)]}


def _line(line: Line) -> dict[str, Any]:
    return {
        **_of_line(line),
        "differs": line.differs,
        "state": line.value("state"),
        "started": line.started,
        "bytes": line.bytes,
        "accuracy_percent": line.accuracy_percent,
        "spread_percent": line.scores and line.scores.spread_percent,
        "interval_percent": line.interval_percent,
        "runs": [_run(run) for run in line.runs],
    }


def _of_line(line: Line) -> dict[str, Any]:
    names = "name network sweep digest parameters macs dataset split epochs"
    return {name: getattr(line, name) for name in names.split()}


def _run(run: ListedRun) -> dict[str, Any]:
    names = "seed state started bytes epochs_done correct images accuracy_percent seconds"
    return {"folder": shown(run.folder), **{it: getattr(run, it) for it in names.split()}}


def csv_text(lines: Sequence[Line]) -> str:
    """A line a run, with the counts of its experiment."""
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    table.writeheader()
    for line in lines:
        of_line = {
            **_of_line(line),
            "differs": line.value("differs"),
            "seeds": len(line.runs),
            "mean_percent": line.accuracy_percent,
            "spread_percent": line.scores and line.scores.spread_percent,
        }
        table.writerows({**of_line, **_run(run)} for run in line.runs)
    return text.getvalue()


def comparison_object(compared: Sequence[Compared]) -> dict[str, Any]:
    """Networks with their differences to the first."""
    return {
        "format": 1,
        "networks": [
            {
                **_of_line(it.line),
                "differs": it.line.differs,
                "score": it.score.model_dump(mode="json", exclude={"results"}),
                "against_first": it.against_first
                and {
                    **dataclasses.asdict(it.against_first),
                    "significant": it.against_first.significant,
                },
            }
            for it in compared
        ],
    }
