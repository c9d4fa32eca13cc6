"""What the first command of a machine waits for its native library, until its first step.

    python benchmarks/first_command.py --turns 5 --out benchmarks/results/first_command.json

Three commands in turn: a later one, whose cache has all; the first with the library that was
installed, which it tries; and the first where none could be installed, which builds it. Each first
one has an empty cache. The figures are the differences from the later one of the same turn. The
checkout has to be installed with a compiler.
"""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from first_step import OURS, ours, timed
from report import ROOT, origin, publish, spread, table

from mnist_arch.native.library import installed_path, vectors_here

SIDES: Final = ("later", "installed", "built")


def without_library(folder: Path) -> str:
    """The program of the first step, in a copy of the checkout that has no library."""
    left = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "mnist_arch", folder / "mnist_arch", ignore=left)
    shutil.copytree(ROOT / "cli", folder / "mnist_arch_cli", ignore=left)
    return f"import sys; sys.path.insert(0, {str(folder)!r})\n{OURS}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--data-dir", type=Path, default=os.environ.get("MNIST_ARCH_DATA"))
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    if given.data_dir is None:
        options.error("--data-dir is needed where MNIST_ARCH_DATA is not set")
    if not installed_path(vectors_here()).exists():
        sys.exit("this checkout was installed without a library for this machine")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy = folder / "copy"
        copied = without_library(copy)
        for package in ("mnist_arch", "mnist_arch_cli"):
            compileall.compile_dir(copy / package, quiet=1)
        programs = {"later": OURS, "installed": OURS, "built": copied}
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        for turn in range(-1, given.turns):  # the first of which fills caches
            for side in SIDES:
                cache = folder / ("later" if side == "later" else f"{side}{turn}")
                os.environ["XDG_CACHE_HOME"] = str(cache)
                command = ours(given.data_dir, f"{folder}/runs", program=programs[side])
                took, _ = timed(command)
                if turn >= 0:
                    seconds[side].append(took)
    waits = {
        side: [first - later for first, later in zip(seconds[side], seconds["later"], strict=True)]
        for side in SIDES[1:]
    }
    report: dict[str, Any] = {
        **origin(),
        "seconds": seconds,
        "wait_seconds": {side: spread(found) for side, found in waits.items()},
    }
    rows = [
        [side, *(f"{value:.2f}" for value in found.values())]
        for side, found in report["wait_seconds"].items()
    ]
    publish(table(["waits, seconds", "median", "least", "most"], rows), report, given.out)


if __name__ == "__main__":
    main()
