"""What reports of benchmarks have in common: where their figures come from, spread, table, file."""

from __future__ import annotations

import compileall
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from mnist_arch.native.library import vectors_here

ROOT: Final = Path(__file__).parent.parent
PROGRAM = [sys.executable, "-c", "from mnist_arch_cli.app import app; app(prog_name='mnist-arch')"]
"""The command `mnist-arch`, of the checkout that a benchmark is called in."""

NO_BYTECODE: Final = "PYTHONDONTWRITEBYTECODE"
"""Where it is set, Python compiles this program anew at each start, but not torch, of which all was
compiled when it was installed: no user has that."""

CODE = ("benchmarks/*.py", "cli", "mnist_arch")
"""What figures depend on."""


def commit() -> str | None:
    """Of the checkout, with a + where its code differs from it; None where there is no git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "-uno", "--", *CODE)
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


COMMIT: Final = commit()
"""When the benchmark began: a long one may outlive it."""


def origin() -> dict[str, Any]:
    """The command, the commit, the machine and the versions that a report's figures are of."""
    return {
        "command": ["python", *map(portable, sys.argv)],
        "commit": COMMIT,
        "machine": f"{processor()}, {vectors_here()}, {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("mnist-arch", "torch")},
        },
    }


def processor() -> str:
    """Its model where Linux tells it, and its kind."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return " ".join([*models[:1], platform.machine()])


def environment(*without: str) -> dict[str, str]:
    """Of a command that is timed, where Python uses what it has compiled before, as for users.

    The variables `without` are left out, too. Call the command once before, or `compile_checkout`.
    """
    return {name: it for name, it in os.environ.items() if name not in (NO_BYTECODE, *without)}


def compile_checkout(checkout: Path) -> None:
    """Compiles the program, as its installation does, for commands that are too long to be called
    once before they are timed."""
    for package in ("cli", "mnist_arch"):
        compileall.compile_dir(checkout / package, quiet=1)


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
