"""How long `mnist-arch summary` takes compared with `import torch`, run in turn.

    python benchmarks/start.py --pairs 15 --out benchmarks/results/start.json

Whole processes are timed from outside. The figure is the ratio of each pair, so that the machine's
changes of speed cancel out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from report import PROGRAM, environment, origin, publish, spread, table

SUMMARY = [*PROGRAM, "summary"]
TORCH = [sys.executable, "-c", "import torch"]
HEADINGS = ("", "median", "least", "most")


def seconds(command: list[str]) -> float:
    """Wall-clock of one process."""
    start = time.perf_counter()
    subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=15)
    options.add_argument("--out", type=Path)
    arguments = options.parse_args()
    seconds(SUMMARY), seconds(TORCH)  # fills the file cache
    pairs = [(seconds(SUMMARY), seconds(TORCH)) for _ in range(arguments.pairs)]
    measured = {
        "summary_seconds": spread([summary for summary, _ in pairs]),
        "torch_seconds": spread([torch for _, torch in pairs]),
        "ratio": spread([summary / torch for summary, torch in pairs]),
    }
    rows = [[name, *(f"{value:.3f}" for value in it.values())] for name, it in measured.items()]
    publish(table(HEADINGS, rows), {**origin(), "pairs_seconds": pairs, **measured}, arguments.out)


if __name__ == "__main__":
    main()
