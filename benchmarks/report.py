"""What reports of benchmarks have in common: where their figures come from, spread, table, file."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

PROGRAM = [sys.executable, "-c", "from cli.app import app; app(prog_name='mnist-arch')"]
"""The command `mnist-arch`, of the checkout that a benchmark is called in."""


def origin() -> dict[str, Any]:
    """The command, the machine and the versions that the figures of a report are of."""
    return {
        "command": ["python", *map(portable, sys.argv)],
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("mnist-arch", "torch")},
        },
    }


def portable(argument: str) -> str:
    """A path outside the working folder as its name alone; anything else as it is."""
    flag, equals, value = argument.rpartition("=")
    path = Path(value)
    outside = path.is_absolute() or ".." in path.parts
    return f"{flag}{equals}{path.name if outside else value}"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under their headings: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (headings, *rows)
    )
    return "\n".join(lines) + "\n"


def publish(text: str, report: dict[str, Any], out: Path | None) -> None:
    """Prints the text, and writes the report as JSON where it is wanted."""
    if out:
        out.write_text(json.dumps(report, indent=2) + "\n")
    print(text, end="")
